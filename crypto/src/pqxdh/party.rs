use subrosa_verify::canonical::put_str8;
use subrosa_verify::labels;

use crate::device::DeviceSecrets;
use crate::kdf;

/// `EncodeEC`: the one-byte type that stands before an X25519 public key (R12).
pub(super) const EC_PREFIX: u8 = 0x05;
/// `EncodeKEM`: the one-byte type that stands before an ML-KEM-768 public key (R12).
pub(super) const KEM_PREFIX: u8 = 0x0a;

/// This device, with its secrets.
#[derive(Clone, Copy)]
pub struct LocalDevice<'a> {
    /// The account's name, 3 to 32 bytes.
    pub account: &'a str,
    /// The account key (Ed25519), 32 bytes.
    pub account_key: [u8; 32],
    /// The device's number in its account's device list, from 1.
    pub device_id: u32,
    /// The device's secret keys.
    pub secrets: &'a DeviceSecrets,
}

/// The device at the other end, as its account's verified device list describes it.
#[derive(Clone, Copy, Debug)]
pub struct PeerDevice<'a> {
    /// The account's name, 3 to 32 bytes.
    pub account: &'a str,
    /// The account key (Ed25519), 32 bytes.
    pub account_key: [u8; 32],
    /// The device's number in its account's device list, from 1.
    pub device_id: u32,
    /// The device's identity key (X25519), 32 bytes.
    pub identity_key: [u8; 32],
}

impl<'a> LocalDevice<'a> {
    /// What the other side sees of this device.
    pub fn public(&self) -> PeerDevice<'a> {
        PeerDevice {
            account: self.account,
            account_key: self.account_key,
            device_id: self.device_id,
            identity_key: self.secrets.identity().public(),
        }
    }
}

impl PeerDevice<'_> {
    /// Appends `account str8 | account_key 32 | device_id u32 | EncodeEC(identity_key) 33`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_str8(out, self.account);
        out.extend_from_slice(&self.account_key);
        out.extend_from_slice(&self.device_id.to_le_bytes());
        out.push(EC_PREFIX);
        out.extend_from_slice(&self.identity_key);
    }
}

/// The hash by which a stored session knows its two devices: this one first, then the peer.
pub(crate) fn parties_hash(local: &PeerDevice<'_>, peer: &PeerDevice<'_>) -> [u8; 32] {
    let mut parties = Vec::with_capacity(256);
    local.encode(&mut parties);
    peer.encode(&mut parties);
    kdf::hash(labels::HASH_SESSION_PARTIES, &parties)
}
