//! A relay in memory, as far as an authenticated device sees one, with the lies and faults that tests ask for.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use serde_bytes::ByteArray;
use subrosa_crypto::verify::{
    auth::{AuthTranscript, verify_auth},
    device_list::{DeviceList, SignedDeviceList},
};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, EnvelopeId, ErrorCode,
    frames::{
        Authenticate, Authenticated, CloseReason, Closing, DeviceBundle, DeviceListChanged, DeviceLists,
        EnvelopeAccepted, EnvelopeSend, ErrorFrame, KemPrekeyBytes, MailboxEnvelope, MailboxPage,
        PrekeyBundles, PrekeyBytes, PrekeyCounts, Push, Request, Response, SignedList, StaleDeviceList,
    },
    limits::{DEVICE_LISTS_PER_PAGE, ENVELOPES_PER_PAGE},
};

use crate::relay_rooms::Rooms;

pub type Place = (String, u32);
/// A device, its signing key, and a signature made with that.
type Proof = (Place, [u8; 32], [u8; 64]);

pub const NONCE: [u8; 32] = [9; 32];
pub const EXPORTER: [u8; 32] = [7; 32];

#[derive(Clone, Default)]
pub struct Device {
    pub signed: Option<PrekeyBytes>,
    pub last_resort: Option<KemPrekeyBytes>,
    pub one_time: VecDeque<PrekeyBytes>,
    pub kem: VecDeque<KemPrekeyBytes>,
    pub mailbox: Vec<MailboxEnvelope>,
    pub last_seq: u64,
    pub generation: u64,
    pub accepted: BTreeSet<EnvelopeId>,
    /// Per kind, the highest id that was ever uploaded: a prekey is taken once, also when it was handed out meanwhile.
    uploaded: BTreeMap<u8, u32>,
}

#[derive(Clone, Default)]
pub struct Relay {
    pub lists: BTreeMap<String, Vec<SignedDeviceList>>,
    pub devices: BTreeMap<Place, Device>,
    pub now: u64,
    /// Every push of an envelope is sent so many times.
    pub pushes: usize,
    /// No pushes at all, and no hints.
    pub silent: bool,
    /// So many one-time prekeys of each kind are said to be left beyond those that are: no refill is due then.
    pub pretended: u32,
    /// Sends are answered with this.
    pub refuse_sends: Option<ErrorFrame>,
    /// Lookups are answered with this.
    pub refuse_lookups: Option<ErrorFrame>,
    /// Every envelope that was accepted, with its ciphertext, in order.
    pub log: Vec<(Place, EnvelopeId, Vec<u8>)>,
    pub lookups: usize,
    pub claims: usize,
    pub rooms: Rooms,
    /// The newest list of each account that was asked for, with its bytes.
    parsed: RefCell<BTreeMap<String, (Vec<u8>, DeviceList)>>,
    /// Proofs that were found good, with the key they are good for: the same bytes need no second look.
    proofs: RefCell<BTreeSet<Proof>>,
}

fn error(code: ErrorCode) -> Response {
    Response::Error(ErrorFrame::new(code, ""))
}

impl Relay {
    pub fn new() -> Self {
        Self { pushes: 1, ..Self::default() }
    }

    pub fn newest(&self, account: &str) -> Option<DeviceList> {
        let bytes = &self.lists.get(account)?.last()?.bytes;
        let mut parsed = self.parsed.borrow_mut();
        if let Some((of, list)) = parsed.get(account)
            && of == bytes
        {
            return Some(list.clone());
        }
        let list = DeviceList::parse(bytes).ok()?;
        parsed.insert(account.to_owned(), (bytes.clone(), list.clone()));
        Some(list)
    }

    pub fn device(&mut self, account: &str, device: u32) -> &mut Device {
        self.devices.entry((account.to_owned(), device)).or_default()
    }

    pub fn authenticate(&mut self, proof: &Authenticate) -> Response {
        let place = (proof.account.to_string(), proof.device.get());
        let list = self.newest(proof.account.as_str());
        let Some(entry) = list.as_ref().and_then(|list| list.device(place.1)) else {
            return error(ErrorCode::AuthenticationFailed);
        };
        let transcript = AuthTranscript {
            exporter: EXPORTER,
            nonce: NONCE,
            account: proof.account.as_str(),
            device_id: place.1,
        };
        let seen = (place.clone(), entry.signing_key, proof.signature.into_array());
        if !self.proofs.borrow().contains(&seen) {
            if verify_auth(&entry.verifying_key(), &transcript, &proof.signature).is_err() {
                return error(ErrorCode::AuthenticationFailed);
            }
            self.proofs.borrow_mut().insert(seen);
        }
        let version = list.as_ref().unwrap().version;
        let device = self.devices.entry(place).or_default();
        Response::Authenticated(Authenticated {
            generation: device.generation,
            list_version: version,
            next_seq: device.last_seq + 1,
            prekeys: counts(device, self.pretended),
            proof_lifetime_s: 900,
            relay_time: self.now,
        })
    }

    pub fn request(&mut self, from: &Place, request: Request) -> (Response, Vec<(Place, Push)>) {
        let mut pushes = Vec::new();
        let response = match request {
            Request::Reauthenticate(_) => Response::Done(subrosa_protocol::frames::Empty {}),
            Request::DeviceListFetch(fetch) => {
                self.lookups += 1;
                match (&self.refuse_lookups, self.lists.get(fetch.account.as_str())) {
                    (Some(frame), _) => Response::Error(frame.clone()),
                    (None, None) => error(ErrorCode::NotFound),
                    (None, Some(lists)) => lists_after(lists, fetch.since),
                }
            }
            Request::PrekeyClaim(claim) => {
                self.claims += 1;
                let claim_of = |device: &DeviceId| self.claim(claim.account.as_str(), *device);
                let bundles = claim.devices.iter().filter_map(claim_of).collect();
                Response::PrekeyBundles(PrekeyBundles { bundles: BoundedVec::new(bundles).unwrap() })
            }
            Request::PrekeyUpload(upload) => {
                let device = self.devices.entry(from.clone()).or_default();
                device.signed = upload.signed.or(device.signed.take());
                device.last_resort = upload.last_resort.or(device.last_resort.take());
                let one_time = upload.one_time.into_inner().into_iter();
                let one_time = one_time.filter(|prekey| is_new(&mut device.uploaded, &prekey[..]));
                device.one_time.extend(one_time.collect::<Vec<_>>());
                let kem = upload.kem.into_inner().into_iter();
                let kem = kem.filter(|prekey| is_new(&mut device.uploaded, &prekey[..]));
                device.kem.extend(kem.collect::<Vec<_>>());
                Response::PrekeyCounts(counts(device, self.pretended))
            }
            Request::PrekeyStatus(_) => {
                let device = self.devices.entry(from.clone()).or_default();
                Response::PrekeyCounts(counts(device, self.pretended))
            }
            Request::DeviceListPublish(publish) => {
                let signed = SignedDeviceList {
                    bytes: publish.device_list.bytes.to_vec(),
                    signature: publish.device_list.signature.into_array(),
                };
                let next = signed.verify(&from.0).unwrap();
                if next.check_follows(&self.newest(&from.0).unwrap()).is_err() {
                    return (error(ErrorCode::Conflict), pushes);
                }
                pushes.extend(self.publish(&from.0, signed));
                Response::Done(subrosa_protocol::frames::Empty {})
            }
            Request::EnvelopeSend(send) => self.accept(from, send, &mut pushes),
            Request::MailboxFetch(fetch) => {
                let device = self.devices.entry(from.clone()).or_default();
                let all: Vec<_> = device.mailbox.iter().filter(|e| e.seq > fetch.after).cloned().collect();
                let max = usize::from(fetch.max).min(ENVELOPES_PER_PAGE).min(8);
                let more = all.len() > max;
                let page = all.into_iter().take(max).collect();
                Response::MailboxPage(MailboxPage { envelopes: BoundedVec::new(page).unwrap(), more })
            }
            Request::MailboxAck(ack) => {
                let device = self.devices.entry(from.clone()).or_default();
                device.generation = device.generation.max(ack.generation);
                device.mailbox.retain(|envelope| envelope.seq > ack.up_to);
                Response::Done(subrosa_protocol::frames::Empty {})
            }
            other => self.room_request(from, other, &mut pushes),
        };
        (response, pushes)
    }

    /// Makes a list the newest one of its account.
    pub fn publish(&mut self, account: &str, signed: SignedDeviceList) -> Vec<(Place, Push)> {
        let list = DeviceList::parse(&signed.bytes).unwrap();
        let removed: Vec<_> = self
            .devices
            .keys()
            .filter(|(name, device)| name == account && list.device(*device).is_none())
            .cloned()
            .collect();
        self.devices.retain(|place, _| !removed.contains(place));
        self.lists.entry(account.to_owned()).or_default().push(signed);
        let changed = Push::DeviceListChanged(DeviceListChanged { version: list.version });
        let revoked = Push::Closing(Closing { reason: CloseReason::Revoked });
        let told = list.devices.iter().map(|entry| ((account.to_owned(), entry.device_id), changed.clone()));
        let roster = self.signed_out_of_rooms(&removed);
        told.chain(removed.into_iter().map(|place| (place, revoked.clone()))).chain(roster).collect()
    }

    fn claim(&mut self, account: &str, device: DeviceId) -> Option<DeviceBundle> {
        let found = self.devices.get_mut(&(account.to_owned(), device.get()))?;
        Some(DeviceBundle {
            device,
            signed: found.signed?,
            one_time: found.one_time.pop_front(),
            kem: found.kem.pop_front().or(found.last_resort)?,
        })
    }

    fn accept(&mut self, from: &Place, send: EnvelopeSend, pushes: &mut Vec<(Place, Push)>) -> Response {
        if let Some(frame) = &self.refuse_sends {
            return Response::Error(frame.clone());
        }
        let account = send.to.to_string();
        let Some(list) = self.newest(&account) else { return error(ErrorCode::NotFound) };
        let sender = self.devices.entry(from.clone()).or_default();
        sender.generation = sender.generation.max(send.generation);
        if send.list_version < list.version {
            return Response::StaleDeviceList(StaleDeviceList {
                version: list.version,
                missing: BoundedVec::default(),
                extra: BoundedVec::default(),
            });
        }
        if list.device(send.device.get()).is_none() {
            return error(ErrorCode::NotFound);
        }
        let place = (account, send.device.get());
        for envelope in send.envelopes.into_inner() {
            let device = self.devices.entry(place.clone()).or_default();
            if !device.accepted.insert(envelope.id) {
                continue;
            }
            self.log.push((place.clone(), envelope.id, envelope.sealed.to_vec()));
            device.last_seq += 1;
            let stored = MailboxEnvelope {
                seq: device.last_seq,
                id: envelope.id,
                accepted_at: self.now,
                sealed: envelope.sealed,
            };
            device.mailbox.push(stored.clone());
            if !self.silent {
                for _ in 0..self.pushes {
                    pushes.push((place.clone(), Push::Deliver(stored.clone())));
                }
            }
        }
        Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at: self.now })
    }

    /// Puts an envelope of anybody's making into a mailbox.
    pub fn inject(&mut self, account: &str, device: u32, id: EnvelopeId, sealed: Vec<u8>) {
        let now = self.now;
        let device = self.device(account, device);
        device.last_seq += 1;
        let sealed = BoundedBytes::new(sealed).unwrap();
        device.mailbox.push(MailboxEnvelope { seq: device.last_seq, id, accepted_at: now, sealed });
    }
}

fn counts(device: &Device, pretended: u32) -> PrekeyCounts {
    PrekeyCounts {
        one_time: device.one_time.len() as u32 + pretended,
        kem: device.kem.len() as u32 + pretended,
    }
}

/// Whether a one-time prekey has a higher id than every one of its kind before; then it is the highest.
fn is_new(uploaded: &mut BTreeMap<u8, u32>, prekey: &[u8]) -> bool {
    let id = u32::from_le_bytes(prekey[1..5].try_into().unwrap());
    let highest = uploaded.entry(prekey[0]).or_default();
    let new = id > *highest;
    *highest = id.max(*highest);
    new
}

fn lists_after(lists: &[SignedDeviceList], since: u64) -> Response {
    let newer: Vec<_> = lists.iter().skip(since as usize).collect();
    let more = newer.len() > DEVICE_LISTS_PER_PAGE;
    let page = newer.into_iter().take(DEVICE_LISTS_PER_PAGE).map(|signed| SignedList {
        bytes: BoundedBytes::new(signed.bytes.clone()).unwrap(),
        signature: ByteArray::new(signed.signature),
    });
    Response::DeviceLists(DeviceLists {
        lists: BoundedVec::new(page.collect()).unwrap(),
        more,
        display_name: BoundedStr::new("").unwrap(),
    })
}
