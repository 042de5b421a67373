//! Two devices with everything around their records, in memory.

mod convergence;
mod hostile;
mod limits;
mod schedules;
mod secrecy;
mod stored;

use std::collections::{HashMap, HashSet};

use subrosa_verify::bundle::PrekeyBundle;
use subrosa_verify::prekey::{Prekey, PrekeyKind};

use super::{Decrypted, LocalDevice, PeerDevice, PrekeySource, SessionError, SessionRecord};
use crate::device::DeviceSecrets;
use crate::prekeys::{PrekeySecret, generate_prekey};
use crate::test_rng::TestRng;

/// Some time in 2025, ms since the epoch.
const NOW: u64 = 1_760_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// A device, its prekeys and its sessions with one other device.
pub(crate) struct Party {
    pub(crate) account: &'static str,
    pub(crate) account_key: [u8; 32],
    pub(crate) secrets: DeviceSecrets,
    pub(crate) record: SessionRecord,
    pub(crate) store: Store,
    pub(crate) rng: TestRng,
    pub(crate) now: u64,
    signed: Prekey,
    last_resort: Prekey,
    next_id: u32,
}

#[derive(Clone, Default)]
pub(crate) struct Store {
    prekeys: HashMap<(PrekeyKind, u32), PrekeySecret>,
    seen: HashSet<(String, u32, [u8; 32])>,
}

impl PrekeySource for Store {
    fn signed(&mut self, id: u32) -> Option<PrekeySecret> {
        self.prekeys.get(&(PrekeyKind::SignedEc, id)).cloned()
    }

    fn one_time(&mut self, id: u32) -> Option<PrekeySecret> {
        self.prekeys.get(&(PrekeyKind::OneTimeEc, id)).cloned()
    }

    fn kem(&mut self, id: u32, last_resort: bool) -> Option<PrekeySecret> {
        let kind = if last_resort { PrekeyKind::LastResortKem } else { PrekeyKind::OneTimeKem };
        self.prekeys.get(&(kind, id)).cloned()
    }

    fn base_key_seen(&mut self, peer_account: &str, peer_device: u32, base_key: &[u8; 32]) -> bool {
        self.seen.contains(&(peer_account.to_owned(), peer_device, *base_key))
    }
}

impl Party {
    pub(crate) fn new(account: &'static str, seed: u64) -> Self {
        let mut rng = TestRng::new(seed);
        let secrets = DeviceSecrets::generate(&mut rng);
        let mut store = Store::default();
        let mut publish = |kind, rng: &mut TestRng| {
            let (secret, prekey) = generate_prekey(kind, 1, &secrets, account, 1, NOW, rng);
            store.prekeys.insert((kind, 1), secret);
            prekey
        };
        let signed = publish(PrekeyKind::SignedEc, &mut rng);
        let last_resort = publish(PrekeyKind::LastResortKem, &mut rng);
        let record = SessionRecord::new();
        let account_key = [seed as u8; 32];
        Self { account, account_key, secrets, record, store, rng, now: NOW, signed, last_resort, next_id: 1 }
    }

    pub(crate) fn local(&self) -> LocalDevice<'_> {
        LocalDevice {
            account: self.account,
            account_key: self.account_key,
            device_id: 1,
            secrets: &self.secrets,
        }
    }

    pub(crate) fn peer(&self) -> PeerDevice<'static> {
        PeerDevice { account: self.account, ..self.local().public() }
    }

    /// A bundle with fresh one-time prekeys, or with the last-resort key and none.
    pub(crate) fn bundle(&mut self, one_time: bool) -> PrekeyBundle {
        if !one_time {
            return PrekeyBundle {
                signed: self.signed.clone(),
                one_time: None,
                kem: self.last_resort.clone(),
            };
        }
        self.next_id += 1;
        let id = self.next_id;
        let mut publish = |kind| {
            let (secret, prekey) =
                generate_prekey(kind, id, &self.secrets, self.account, 1, NOW, &mut self.rng);
            self.store.prekeys.insert((kind, id), secret);
            prekey
        };
        let (one_time, kem) = (publish(PrekeyKind::OneTimeEc), publish(PrekeyKind::OneTimeKem));
        PrekeyBundle { signed: self.signed.clone(), one_time: Some(one_time), kem }
    }

    pub(crate) fn initiate(&mut self, peer: &mut Self, one_time: bool) {
        let bundle = peer.bundle(one_time);
        bundle.verify(&peer.secrets.verifying_key(), peer.account, 1, NOW).unwrap();
        let local = LocalDevice {
            account: self.account,
            account_key: self.account_key,
            device_id: 1,
            secrets: &self.secrets,
        };
        self.record.initiate(&local, &peer.peer(), &bundle, self.now, &mut self.rng).unwrap();
    }

    /// Encrypts, opening a session first when there is none.
    pub(crate) fn send(&mut self, peer: &mut Self, plaintext: &[u8]) -> Vec<u8> {
        if !self.record.has_active() {
            self.initiate(peer, true);
        }
        self.try_send(peer, plaintext).unwrap()
    }

    pub(crate) fn try_send(&mut self, peer: &Self, plaintext: &[u8]) -> Result<Vec<u8>, SessionError> {
        let local = LocalDevice {
            account: self.account,
            account_key: self.account_key,
            device_id: 1,
            secrets: &self.secrets,
        };
        self.record.encrypt(&local, &peer.peer(), plaintext, self.now, &mut self.rng)
    }

    /// Decrypts and does what a caller does with the outcome.
    pub(crate) fn receive(&mut self, peer: &Self, message: &[u8]) -> Result<Decrypted, SessionError> {
        let local = LocalDevice {
            account: self.account,
            account_key: self.account_key,
            device_id: 1,
            secrets: &self.secrets,
        };
        let decrypted =
            self.record.decrypt(&local, &peer.peer(), message, &mut self.store, self.now, &mut self.rng)?;
        if let Some(id) = decrypted.consumed_one_time {
            self.store.prekeys.remove(&(PrekeyKind::OneTimeEc, id)).unwrap();
        }
        if let Some(id) = decrypted.consumed_kem {
            self.store.prekeys.remove(&(PrekeyKind::OneTimeKem, id)).unwrap();
        }
        if let Some(base_key) = decrypted.base_key {
            assert!(self.store.seen.insert((peer.account.to_owned(), 1, base_key)));
        }
        assert_eq!(decrypted.new_session, decrypted.base_key.is_some());
        Ok(decrypted)
    }

    pub(crate) fn text(&mut self, peer: &Self, message: &[u8]) -> String {
        String::from_utf8(self.receive(peer, message).unwrap().plaintext.to_vec()).unwrap()
    }

    pub(crate) fn error(&mut self, peer: &Self, message: &[u8]) -> SessionError {
        let before = self.record.to_bytes();
        let error = self.receive(peer, message).err().expect("an error");
        assert_eq!(self.record.to_bytes(), before, "R16: nothing changed");
        error
    }

    pub(crate) fn active_id(&self) -> Option<[u8; 16]> {
        self.record.active.as_ref().map(|session| session.id)
    }

    /// A copy of all that a profile holds, as a backup of its directory would be.
    fn snapshot(&self) -> (Vec<u8>, Store) {
        (self.record.to_bytes().to_vec(), self.store.clone())
    }

    fn restore(&mut self, (record, store): (Vec<u8>, Store)) {
        self.record = SessionRecord::from_bytes(&record).unwrap();
        self.store = store;
    }
}

pub(crate) fn pair() -> (Party, Party) {
    (Party::new("alice", 1), Party::new("bob", 2))
}

/// Two parties who have heard from each other.
pub(crate) fn acquainted() -> (Party, Party) {
    let (mut alice, mut bob) = pair();
    let hello = alice.send(&mut bob, b"hello");
    assert_eq!(bob.text(&alice, &hello), "hello");
    let answer = bob.send(&mut alice, b"hi");
    assert_eq!(alice.text(&bob, &answer), "hi");
    (alice, bob)
}

#[test]
fn a_conversation() {
    for one_time in [true, false] {
        let (mut alice, mut bob) = pair();
        alice.initiate(&mut bob, one_time);
        let first = alice.send(&mut bob, b"one");
        let second = alice.send(&mut bob, b"two");
        assert_eq!((first[0], second[0]), (1, 1), "the agreement is repeated until the first reply");

        let decrypted = bob.receive(&alice, &second).unwrap();
        assert_eq!(decrypted.plaintext.as_slice(), b"two");
        assert!(decrypted.new_session);
        let used_up = (decrypted.consumed_one_time.is_some(), decrypted.consumed_kem.is_some());
        assert_eq!(used_up, (one_time, one_time), "only one-time keys are used up");
        let decrypted = bob.receive(&alice, &first).unwrap();
        assert_eq!(decrypted.plaintext.as_slice(), b"one");
        assert!(!decrypted.new_session, "the session exists, though its keys are used up");
        assert_eq!((decrypted.consumed_one_time, decrypted.consumed_kem), (None, None));

        for round in 0..5 {
            for (from, to) in [(true, false), (false, true)] {
                let (sender, receiver) =
                    if from && !to { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
                let texts = [format!("{round} a"), format!("{round} b"), String::new()];
                let messages = texts.clone().map(|text| sender.send(receiver, text.as_bytes()));
                assert!(messages.iter().all(|message| message[0] == 2));
                for (message, text) in messages.iter().zip(texts) {
                    assert_eq!(receiver.text(sender, message), text);
                }
            }
        }
        assert_eq!(alice.active_id(), bob.active_id());
    }
}

#[test]
fn plaintexts_of_65536_bytes_and_not_one_more() {
    let (mut alice, mut bob) = acquainted();
    let message = alice.send(&mut bob, &[7; 65_536]);
    assert_eq!(message.len(), 2 + 16 + 58 + 65_536 + 16);
    assert_eq!(bob.receive(&alice, &message).unwrap().plaintext.len(), 65_536);
    let before = alice.record.to_bytes();
    assert_eq!(alice.try_send(&bob, &[7; 65_537]).err(), Some(SessionError::TooLong));
    assert_eq!(alice.record.to_bytes(), before);
}

#[test]
fn without_a_session_nothing_is_sent() {
    let (mut alice, bob) = pair();
    assert_eq!(alice.try_send(&bob, b"x").err(), Some(SessionError::NoSession));
}
