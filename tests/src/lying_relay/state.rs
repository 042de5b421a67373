//! Accounts, devices and mailboxes, and what an honest relay answers (docs/PROTOCOL.md, 1.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EnvelopeId, ErrorCode,
    frames::{
        CloseReason, Closing, DeviceBundle, DeviceListChanged, DeviceLists, Empty, EnvelopeAccepted,
        EnvelopeSend, ErrorFrame, KemPrekeyBytes, MailboxEnvelope, MailboxPage, OutgoingEnvelope,
        PrekeyBundles, PrekeyBytes, PrekeyCounts, PrekeyUpload, Push, Request, Response, SignedList,
        StaleDeviceList,
    },
    limits::{DEVICE_LISTS_PER_PAGE, ENVELOPES_PER_PAGE},
};
use subrosa_verify::{
    device_list::{DeviceList, SignedDeviceList},
    opaque::RelayOpaque,
};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    lies::{Lies, Say},
    now, rng,
};

/// An account's device.
pub type Place = (String, u32);

/// Bytes of ciphertext in one page: what fits a frame beside the rest.
const PAGE_BYTES: usize = 70_000;

/// An account.
#[derive(Clone, Default)]
pub struct Account {
    /// All versions.
    pub lists: Vec<SignedDeviceList>,
    /// What others see.
    pub display_name: String,
    /// The OPAQUE record.
    pub record: Option<Vec<u8>>,
}

/// What is kept of a device.
#[derive(Clone, Default)]
pub struct Device {
    /// The signed prekey.
    pub signed: Option<PrekeyBytes>,
    /// The last-resort prekey.
    pub last_resort: Option<KemPrekeyBytes>,
    /// One-time prekeys.
    pub one_time: VecDeque<PrekeyBytes>,
    /// One-time ML-KEM prekeys.
    pub kem: VecDeque<KemPrekeyBytes>,
    /// Envelopes that wait.
    pub mailbox: Vec<MailboxEnvelope>,
    /// The place of the newest envelope.
    pub last_seq: u64,
    /// The highest place that was acknowledged.
    pub acked: u64,
    /// The highest state generation reported.
    pub generation: u64,
    /// Ids of envelopes that were accepted.
    pub accepted: BTreeSet<EnvelopeId>,
}

/// Everything a relay knows.
#[derive(Default)]
pub struct State {
    /// By name.
    pub accounts: BTreeMap<String, Account>,
    /// By account and number.
    pub devices: BTreeMap<Place, Device>,
    /// Every envelope that was accepted: from, to, the envelope.
    pub log: Vec<(Place, Place, OutgoingEnvelope)>,
    /// How often each request was made, by its name.
    pub asked: BTreeMap<&'static str, usize>,
    /// Connections on which hellos were exchanged.
    pub hellos: usize,
    /// What is said instead of the truth.
    pub lies: Lies,
    pub(super) opaque: Option<RelayOpaque>,
    pub(super) connected: BTreeMap<u64, (Option<Place>, UnboundedSender<Say>)>,
}

/// A refusal.
pub fn error(code: ErrorCode) -> Response {
    Response::Error(ErrorFrame::new(code, ""))
}

pub(super) fn done() -> Response {
    Response::Done(Empty {})
}

impl State {
    /// The newest list of an account.
    pub fn newest(&self, account: &str) -> Option<DeviceList> {
        DeviceList::parse(&self.accounts.get(account)?.lists.last()?.bytes).ok()
    }

    /// A device, new when it is not there.
    pub fn device(&mut self, account: &str, device: u32) -> &mut Device {
        self.devices.entry((account.to_owned(), device)).or_default()
    }

    /// How often a request was made.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.get(name).copied().unwrap_or(0)
    }

    /// The relay's half of OPAQUE, made when it is first needed.
    pub fn opaque(&mut self) -> &RelayOpaque {
        self.opaque.get_or_insert_with(|| RelayOpaque::generate(&mut rng()))
    }

    /// Says something on every connection of a device. How many there are.
    pub fn say(&mut self, to: &Place, say: &[Say]) -> usize {
        let theirs = self.connected.values().filter(|(place, _)| place.as_ref() == Some(to));
        theirs.map(|(_, out)| say.iter().for_each(|say| drop(out.send(say.clone())))).count()
    }

    /// Pushes, as far as no lie stands in the way.
    pub fn push(&mut self, to: &Place, push: Push) {
        let pushes = match self.lies.push.as_mut() {
            Some(lie) => lie(to, push),
            None => vec![push],
        };
        let say: Vec<_> = pushes.iter().map(Say::push).collect();
        self.say(to, &say);
    }

    /// Puts an envelope into a mailbox under the next number, and pushes it. The number.
    pub fn put(&mut self, to: &Place, envelope: OutgoingEnvelope) -> u64 {
        let device = self.devices.entry(to.clone()).or_default();
        device.last_seq += 1;
        let stored = MailboxEnvelope {
            seq: device.last_seq,
            id: envelope.id,
            accepted_at: now(),
            sealed: envelope.sealed,
        };
        device.mailbox.push(stored.clone());
        self.push(to, Push::Deliver(stored));
        self.devices[to].last_seq
    }

    /// Makes a list the newest one of its account and tells its devices.
    pub fn publish(&mut self, account: &str, signed: SignedDeviceList) {
        let list = DeviceList::parse(&signed.bytes).unwrap();
        let known: Vec<_> = self.devices.keys().filter(|(name, _)| name == account).cloned().collect();
        self.accounts.entry(account.to_owned()).or_default().lists.push(signed);
        for place in known {
            if list.device(place.1).is_none() {
                self.devices.remove(&place);
                self.push(&place, Push::Closing(Closing { reason: CloseReason::Revoked }));
            } else {
                let version = list.version;
                self.push(&place, Push::DeviceListChanged(DeviceListChanged { version }));
            }
        }
    }

    /// What an honest relay answers an authenticated device.
    pub(super) fn request(&mut self, from: &Place, request: &Request) -> Response {
        match request {
            Request::Reauthenticate(_) => done(),
            Request::DeviceListFetch(fetch) => match self.accounts.get(fetch.account.as_str()) {
                None => error(ErrorCode::NotFound),
                Some(account) => account.after(fetch.since),
            },
            Request::PrekeyClaim(claim) => {
                if !self.accounts.contains_key(claim.account.as_str()) {
                    return error(ErrorCode::NotFound);
                }
                let devices = claim.devices.to_vec();
                let bundle = |device: DeviceId| self.claim(claim.account.as_str(), device);
                let bundles = devices.into_iter().filter_map(bundle).collect();
                Response::PrekeyBundles(PrekeyBundles { bundles: BoundedVec::new(bundles).unwrap() })
            }
            Request::PrekeyUpload(upload) => {
                let device = self.devices.entry(from.clone()).or_default();
                device.upload(upload.clone());
                Response::PrekeyCounts(device.counts())
            }
            Request::PrekeyStatus(_) => Response::PrekeyCounts(self.device(&from.0, from.1).counts()),
            Request::DeviceListPublish(publish) => {
                let list = signed(&publish.device_list);
                let follows = list.verify(&from.0).is_ok_and(|next| {
                    self.newest(&from.0).is_some_and(|known| next.check_follows(&known).is_ok())
                });
                if !follows {
                    return error(ErrorCode::Conflict);
                }
                self.publish(&from.0, list);
                done()
            }
            Request::EnvelopeSend(send) => self.accept(from, send.clone()),
            Request::MailboxFetch(fetch) => self.device(&from.0, from.1).page(fetch.after, fetch.max),
            Request::MailboxAck(ack) => {
                let device = self.device(&from.0, from.1);
                device.generation = device.generation.max(ack.generation);
                device.acked = device.acked.max(ack.up_to);
                device.mailbox.retain(|envelope| envelope.seq > ack.up_to);
                done()
            }
            // It has no rooms.
            _ => error(ErrorCode::UnknownFrame),
        }
    }

    /// The bundle of a device; its one-time prekeys are gone with it.
    pub fn claim(&mut self, account: &str, device: DeviceId) -> Option<DeviceBundle> {
        let found = self.devices.get_mut(&(account.to_owned(), device.get()))?;
        Some(DeviceBundle {
            device,
            signed: found.signed?,
            one_time: found.one_time.pop_front(),
            kem: found.kem.pop_front().or(found.last_resort)?,
        })
    }

    fn accept(&mut self, from: &Place, send: EnvelopeSend) -> Response {
        let Some(list) = self.newest(send.to.as_str()) else { return error(ErrorCode::NotFound) };
        let sender = self.devices.entry(from.clone()).or_default();
        sender.generation = sender.generation.max(send.generation);
        if send.list_version != list.version {
            return stale(list.version);
        }
        if list.device(send.device.get()).is_none() {
            return error(ErrorCode::NotFound);
        }
        let to = (send.to.to_string(), send.device.get());
        for envelope in send.envelopes.into_inner() {
            if !self.device(&to.0, to.1).accepted.insert(envelope.id) {
                continue;
            }
            self.log.push((from.clone(), to.clone(), envelope.clone()));
            let stored = match self.lies.store.as_mut() {
                Some(lie) => lie(from, &to, envelope),
                None => vec![(to.clone(), envelope)],
            };
            for (to, envelope) in stored {
                self.put(&to, envelope);
            }
        }
        Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at: now() })
    }
}

/// The sender's list is old; which devices came and went is left to the lookup.
pub fn stale(version: u64) -> Response {
    let (missing, extra) = (BoundedVec::default(), BoundedVec::default());
    Response::StaleDeviceList(StaleDeviceList { version, missing, extra })
}

impl Account {
    /// A page of lists.
    pub fn after(&self, since: u64) -> Response {
        let newer: Vec<_> =
            self.lists.iter().skip(usize::try_from(since).unwrap_or(usize::MAX)).cloned().collect();
        let more = newer.len() > DEVICE_LISTS_PER_PAGE;
        let page = newer.iter().take(DEVICE_LISTS_PER_PAGE).map(wire).collect();
        Response::DeviceLists(DeviceLists {
            lists: BoundedVec::new(page).unwrap(),
            more,
            display_name: BoundedStr::truncated(&self.display_name),
        })
    }
}

impl Device {
    pub(super) fn counts(&self) -> PrekeyCounts {
        let number = |len| u32::try_from(len).unwrap();
        PrekeyCounts { one_time: number(self.one_time.len()), kem: number(self.kem.len()) }
    }

    fn upload(&mut self, upload: PrekeyUpload) {
        self.signed = upload.signed.or(self.signed.take());
        self.last_resort = upload.last_resort.or(self.last_resort.take());
        for prekey in upload.one_time.into_inner() {
            if !self.one_time.contains(&prekey) {
                self.one_time.push_back(prekey);
            }
        }
        for prekey in upload.kem.into_inner() {
            if !self.kem.contains(&prekey) {
                self.kem.push_back(prekey);
            }
        }
    }

    fn page(&self, after: u64, max: u16) -> Response {
        let waiting: Vec<_> = self.mailbox.iter().filter(|envelope| envelope.seq > after).collect();
        let (mut page, mut bytes) = (Vec::new(), 0);
        for envelope in &waiting {
            bytes += envelope.sealed.len() + 64;
            let full = page.len() >= usize::from(max).min(ENVELOPES_PER_PAGE) || bytes > PAGE_BYTES;
            if full && !page.is_empty() {
                break;
            }
            page.push((*envelope).clone());
        }
        let more = page.len() < waiting.len();
        Response::MailboxPage(MailboxPage { envelopes: BoundedVec::new(page).unwrap(), more })
    }
}

/// A list as it travels.
pub fn wire(list: &SignedDeviceList) -> SignedList {
    SignedList {
        bytes: BoundedBytes::new(list.bytes.clone()).unwrap(),
        signature: ByteArray::new(list.signature),
    }
}

/// And back.
pub(super) fn signed(list: &SignedList) -> SignedDeviceList {
    SignedDeviceList { bytes: list.bytes.to_vec(), signature: list.signature.into_array() }
}
