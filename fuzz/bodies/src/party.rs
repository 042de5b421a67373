//! Devices with prekeys, made once a process, and parties that use them, made for each input.

use std::{
    collections::{HashMap, HashSet},
    sync::OnceLock,
};

use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    prekeys::{PrekeySecret, generate_prekey},
    session::{Decrypted, LocalDevice, PeerDevice, PrekeySource, SessionError, SessionRecord},
};
use subrosa_verify::{
    bundle::PrekeyBundle,
    prekey::{Prekey, PrekeyKind},
};

use crate::rng::SeededRng;

/// Some time in 2025, ms since the epoch: when the prekeys were made.
pub const NOW: u64 = 1_760_000_000_000;
/// The device id of each.
pub const DEVICE: u32 = 1;
/// One-time prekeys of each kind.
const ONE_TIME: u32 = 8;

/// A device and its published prekeys.
pub struct Device {
    /// Its account.
    pub account: &'static str,
    /// The account's secret.
    pub account_secret: AccountSecret,
    /// Its secrets.
    pub secrets: DeviceSecrets,
    prekeys: HashMap<(PrekeyKind, u32), (PrekeySecret, Prekey)>,
}

/// Two devices, the same ones in every process.
pub fn devices() -> &'static [Device; 2] {
    static DEVICES: OnceLock<[Device; 2]> = OnceLock::new();
    DEVICES.get_or_init(|| [Device::new("alice", 1), Device::new("bobby", 2)])
}

impl Device {
    fn new(account: &'static str, seed: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let (account_secret, _) = AccountSecret::generate(&mut rng);
        let secrets = DeviceSecrets::generate(&mut rng);
        let mut prekeys = HashMap::new();
        let kinds = [(PrekeyKind::SignedEc, 2), (PrekeyKind::LastResortKem, 2)];
        for (kind, count) in
            kinds.into_iter().chain([(PrekeyKind::OneTimeEc, ONE_TIME), (PrekeyKind::OneTimeKem, ONE_TIME)])
        {
            for id in 1..=count {
                let made = generate_prekey(kind, id, &secrets, account, DEVICE, NOW, &mut rng);
                prekeys.insert((kind, id), made);
            }
        }
        Self { account, account_secret, secrets, prekeys }
    }

    /// A published prekey.
    #[must_use]
    pub fn prekey(&self, kind: PrekeyKind, id: u32) -> &Prekey {
        &self.prekeys[&(kind, id)].1
    }

    /// Whether it published this very prekey.
    #[must_use]
    pub fn published(&self, prekey: &Prekey) -> bool {
        self.prekeys.get(&(prekey.kind, prekey.key_id)).is_some_and(|(_, genuine)| genuine == prekey)
    }

    /// The bundle with the one-time prekeys of this number, or, beyond the last, with none and the last-resort key.
    #[must_use]
    pub fn bundle(&self, number: u32) -> PrekeyBundle {
        let signed = self.prekey(PrekeyKind::SignedEc, 1).clone();
        if (1..=ONE_TIME).contains(&number) {
            let one_time = Some(self.prekey(PrekeyKind::OneTimeEc, number).clone());
            PrekeyBundle { signed, one_time, kem: self.prekey(PrekeyKind::OneTimeKem, number).clone() }
        } else {
            PrekeyBundle { signed, one_time: None, kem: self.prekey(PrekeyKind::LastResortKem, 1).clone() }
        }
    }

    /// As itself.
    #[must_use]
    pub fn local(&self) -> LocalDevice<'static> {
        let device = devices().iter().find(|device| device.account == self.account).unwrap();
        LocalDevice {
            account: device.account,
            account_key: device.account_secret.public(),
            device_id: DEVICE,
            secrets: &device.secrets,
        }
    }

    /// As others see it.
    #[must_use]
    pub fn peer(&self) -> PeerDevice<'static> {
        self.local().public()
    }
}

/// A device with its sessions and with what its store remembers.
pub struct Party {
    /// Which device.
    pub device: &'static Device,
    /// Its sessions with the other one.
    pub record: SessionRecord,
    /// Its randomness.
    pub rng: SeededRng,
    /// The next bundle it hands out.
    pub next_bundle: u32,
    store: Store,
}

struct Store {
    device: &'static Device,
    used_up: HashSet<(PrekeyKind, u32)>,
    seen: HashSet<(String, u32, [u8; 32])>,
}

impl PrekeySource for Store {
    fn signed(&mut self, id: u32) -> Option<PrekeySecret> {
        self.secret(PrekeyKind::SignedEc, id)
    }

    fn one_time(&mut self, id: u32) -> Option<PrekeySecret> {
        self.secret(PrekeyKind::OneTimeEc, id)
    }

    fn kem(&mut self, id: u32, last_resort: bool) -> Option<PrekeySecret> {
        self.secret(if last_resort { PrekeyKind::LastResortKem } else { PrekeyKind::OneTimeKem }, id)
    }

    fn base_key_seen(&mut self, peer_account: &str, peer_device: u32, base_key: &[u8; 32]) -> bool {
        self.seen.contains(&(peer_account.to_owned(), peer_device, *base_key))
    }
}

impl Store {
    fn secret(&self, kind: PrekeyKind, id: u32) -> Option<PrekeySecret> {
        let (secret, _) = self.device.prekeys.get(&(kind, id))?;
        (!self.used_up.contains(&(kind, id))).then(|| secret.clone())
    }
}

impl Party {
    /// Without a session.
    #[must_use]
    pub fn new(device: &'static Device, seed: u64) -> Self {
        let store = Store { device, used_up: HashSet::new(), seen: HashSet::new() };
        Self { device, record: SessionRecord::new(), rng: SeededRng::new(seed), next_bundle: 1, store }
    }

    /// Opens a session with `peer`, by its next bundle.
    pub fn initiate(&mut self, peer: &mut Self, now: u64) {
        let bundle = peer.device.bundle(peer.next_bundle);
        peer.next_bundle += 1;
        bundle.verify(&peer.device.secrets.verifying_key(), peer.device.account, DEVICE, now).unwrap();
        self.record.initiate(&self.device.local(), &peer.device.peer(), &bundle, now, &mut self.rng).unwrap();
    }

    /// Encrypts, opening a session first when there is none.
    pub fn send(&mut self, peer: &mut Self, plaintext: &[u8], now: u64) -> Vec<u8> {
        if !self.record.has_active() {
            self.initiate(peer, now);
        }
        self.record.encrypt(&self.device.local(), &peer.device.peer(), plaintext, now, &mut self.rng).unwrap()
    }

    /// Decrypts and does what a caller does with the outcome. A failure changes no byte (R16).
    ///
    /// # Errors
    /// What `decrypt` says.
    pub fn receive(&mut self, peer: &Device, message: &[u8], now: u64) -> Result<Decrypted, SessionError> {
        let before = self.record.to_bytes();
        let (local, peer) = (self.device.local(), peer.peer());
        match self.record.decrypt(&local, &peer, message, &mut self.store, now, &mut self.rng) {
            Ok(decrypted) => {
                let used = [
                    (PrekeyKind::OneTimeEc, decrypted.consumed_one_time),
                    (PrekeyKind::OneTimeKem, decrypted.consumed_kem),
                ];
                for (kind, id) in used {
                    assert!(id.is_none_or(|id| self.store.used_up.insert((kind, id))), "used up twice");
                }
                if let Some(base_key) = decrypted.base_key {
                    let seen = (peer.account.to_owned(), peer.device_id, base_key);
                    assert!(self.store.seen.insert(seen), "R15: a base key opened two sessions");
                }
                assert_eq!(decrypted.new_session, decrypted.base_key.is_some());
                Ok(decrypted)
            }
            Err(error) => {
                assert_eq!(self.record.to_bytes(), before, "R16: a failure changed the record");
                Err(error)
            }
        }
    }
}
