//! What a relay can make by itself: accounts, devices and prekeys of its own, envelopes that claim anything.

use subrosa_crypto::{account::AccountSecret, device::DeviceSecrets, prekeys::generate_prekey, sealed};
use subrosa_protocol::{
    DeviceId,
    frames::{DeviceBundle, KemPrekeyBytes, PrekeyBytes},
};
use subrosa_verify::{
    device_list::{DeviceList, SignedDeviceList},
    prekey::PrekeyKind,
};

use super::{connection::fixed, now, rng};

/// Keys of the relay's own making.
pub struct Attacker {
    /// An account key.
    pub account: AccountSecret,
    /// A device's keys.
    pub device: DeviceSecrets,
}

impl Default for Attacker {
    fn default() -> Self {
        let (account, _) = AccountSecret::generate(&mut rng());
        Self { account, device: DeviceSecrets::generate(&mut rng()) }
    }
}

impl Attacker {
    /// A whole chain for an account of any name: version 1 with one device of the attacker's.
    pub fn first_list(&self, name: &str) -> SignedDeviceList {
        let list = DeviceList {
            account: name.to_owned(),
            account_key: self.account.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![self.device.entry(1, now())],
        };
        self.account.sign_device_list(&list).unwrap()
    }

    /// The successor of a list with the attacker's device in it, as unsigned as it can be: the signature is by the
    /// attacker's account key, whose place in the list the true one keeps.
    pub fn with_own_device(&self, known: &DeviceList) -> SignedDeviceList {
        let mut next = successor(known);
        next.devices.push(self.device.entry(known.next_device_id, now()));
        next.next_device_id += 1;
        let signature =
            self.account.sign_device_list(&DeviceList { account_key: self.account.public(), ..next.clone() });
        SignedDeviceList { bytes: next.to_bytes(), signature: signature.unwrap().signature }
    }

    /// The same under the attacker's account key altogether.
    pub fn taken_over(&self, known: &DeviceList) -> SignedDeviceList {
        let mut next = DeviceList { account_key: self.account.public(), ..successor(known) };
        next.devices.push(self.device.entry(known.next_device_id, now()));
        next.next_device_id += 1;
        self.account.sign_device_list(&next).unwrap()
    }

    /// A bundle with keys of the attacker's, signed by the attacker's device.
    pub fn bundle(&self, account: &str, device: DeviceId) -> DeviceBundle {
        bundle(&self.device, account, device, now())
    }
}

/// The next version of a list, with nothing else changed.
pub fn successor(known: &DeviceList) -> DeviceList {
    DeviceList { version: known.version + 1, prev_hash: known.hash(), ..known.clone() }
}

/// A bundle of fresh prekeys made at a time, signed by any device.
pub fn bundle(signer: &DeviceSecrets, account: &str, device: DeviceId, made: u64) -> DeviceBundle {
    let make =
        |kind| generate_prekey(kind, 4_000_000, signer, account, device.get(), made, &mut rng()).1.to_bytes();
    DeviceBundle {
        device,
        signed: ec(make(PrekeyKind::SignedEc)),
        one_time: Some(ec(make(PrekeyKind::OneTimeEc))),
        kem: kem(make(PrekeyKind::OneTimeKem)),
    }
}

/// An X25519 prekey as it travels.
pub fn ec(bytes: Vec<u8>) -> PrekeyBytes {
    fixed(bytes)
}

/// An ML-KEM prekey as it travels.
pub fn kem(bytes: Vec<u8>) -> KemPrekeyBytes {
    fixed(bytes)
}

/// An envelope to a device that claims to be from another one, with anything inside.
pub fn envelope(to: &DeviceList, device: u32, claimed: (&str, u32), inner: &[u8]) -> Vec<u8> {
    let key = to.device(device).unwrap().sealing_key;
    sealed::seal(&key, &to.account, device, claimed.0, claimed.1, inner, &mut rng()).unwrap()
}
