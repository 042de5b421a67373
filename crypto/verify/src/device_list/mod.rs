//! The signed, versioned, hash-chained list of an account's devices (R28).
//!
//! Every version is signed by the account key, so a relay can neither add a device nor change one; every version names
//! the hash of the one before, so a relay that shows different people different lists cannot join the branches again.

mod chain;
mod encoding;

pub use chain::follow;

use sha2::{Digest, Sha256};

use crate::canonical::{Malformed, account_fits};
use crate::keys::{BadSignature, Signature, VerifyingKey, WeakKey, check_x25519};
use crate::labels;

/// The most devices of an account (R28).
pub const MAX_DEVICES: usize = 6;
/// The longest canonical list in bytes: all names and six devices at their longest.
pub const MAX_BYTES: usize = 1 + 1 + 32 + 32 + 8 + 32 + 4 + 1 + MAX_DEVICES * DEVICE_BYTES;
/// The length of one device in the canonical list.
const DEVICE_BYTES: usize = 4 + 32 + 32 + 32 + 8;

/// One device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// 1 or more; never given twice to an account.
    pub device_id: u32,
    /// X25519, for key agreement.
    pub identity_key: [u8; 32],
    /// X25519, for sealed envelopes and nothing else.
    pub sealing_key: [u8; 32],
    /// Ed25519, for connections, prekeys and rooms.
    pub signing_key: [u8; 32],
    /// When the device was signed in, ms since the epoch, by the clock of the device that signed the list.
    pub added_at: u64,
}

/// One version of an account's device list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    /// The username, 3 to 32 bytes.
    pub account: String,
    /// The account key (Ed25519) that signs this list.
    pub account_key: [u8; 32],
    /// 1 for the first list, then one more each time.
    pub version: u64,
    /// [`DeviceList::hash`] of the version before; zeros for version 1, and only there.
    pub prev_hash: [u8; 32],
    /// The id the next new device gets; above every id in use or ever used.
    pub next_device_id: u32,
    /// At most [`MAX_DEVICES`], by ascending id. Empty when the account's person has revoked them all.
    pub devices: Vec<DeviceEntry>,
}

/// A list as it travels and is stored: the canonical bytes and the account key's signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDeviceList {
    /// [`DeviceList::to_bytes`].
    pub bytes: Vec<u8>,
    /// By the account key inside, under [`labels::SIGN_DEVICE_LIST`].
    pub signature: [u8; 64],
}

/// Why a device list is refused. Nothing of it may be used; a client keeps the last good list and shows the conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceListError {
    /// The bytes are not canonical.
    #[error("not a canonical device list: {0}")]
    Malformed(#[from] Malformed),
    /// A key is of low order, not canonical, or stands in the list twice.
    #[error("the device list holds a key that is weak or that stands there twice")]
    Key,
    /// The account key inside did not sign these bytes.
    #[error("the device list is not signed by its account key")]
    Signature,
    /// The list is of another account than the one asked for.
    #[error("the device list is of another account")]
    OtherAccount,
    /// The account key differs from the one known: a new identity. Blocks sending until the person decides (R27).
    #[error("the account key changed")]
    AccountKeyChanged,
    /// The version is not the one after the known version: a rollback or a gap.
    #[error("expected version {expected} of the device list, got {got}")]
    Version {
        /// The version that would follow.
        expected: u64,
        /// The version in the list.
        got: u64,
    },
    /// The list follows another list of the same version: the account's history was forked.
    #[error("the device list does not follow the one known: its history was forked")]
    Forked,
    /// `next_device_id` fell.
    #[error("the next device id fell")]
    NextIdFell,
    /// A device id came back after its removal, or a new device took an id that was given before.
    #[error("device id {0} was given before")]
    IdReused(u32),
    /// A device changed its keys or its date under the same id, or a new device took over another's key.
    #[error("device {0} changed, or took over a key of another device")]
    KeysChanged(u32),
}

impl From<WeakKey> for DeviceListError {
    fn from(_: WeakKey) -> Self {
        Self::Key
    }
}

impl From<BadSignature> for DeviceListError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl DeviceEntry {
    /// The key that verifies this device's signatures.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.signing_key)
    }
}

impl DeviceList {
    /// SHA-256 over `label || 0x00 || bytes`: what the next version names as `prev_hash`, and what people gossip (R29).
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(labels::HASH_DEVICE_LIST.as_bytes());
        hasher.update([0]);
        hasher.update(self.to_bytes());
        hasher.finalize().into()
    }

    /// The entry of `device_id`, if the list holds it.
    pub fn device(&self, device_id: u32) -> Option<&DeviceEntry> {
        self.devices.iter().find(|d| d.device_id == device_id)
    }

    /// Every rule on a list by itself. [`DeviceList::parse`] has checked it; call it before signing a list made by hand.
    pub fn check(&self) -> Result<(), DeviceListError> {
        if !account_fits(&self.account) {
            return Err(Malformed::Account.into());
        }
        if self.version == 0 || (self.version == 1) != (self.prev_hash == [0; 32]) {
            return Err(Malformed::Field("version").into());
        }
        if self.devices.len() > MAX_DEVICES {
            return Err(Malformed::Field("devices").into());
        }
        let mut last = 0;
        for device in &self.devices {
            if device.device_id <= last || device.device_id >= self.next_device_id {
                return Err(Malformed::Field("device_id").into());
            }
            last = device.device_id;
        }
        if self.next_device_id == 0 {
            return Err(Malformed::Field("next_device_id").into());
        }
        self.check_keys()
    }

    fn check_keys(&self) -> Result<(), DeviceListError> {
        if !VerifyingKey(self.account_key).is_usable() {
            return Err(DeviceListError::Key);
        }
        let mut seen = vec![self.account_key];
        for device in &self.devices {
            check_x25519(&device.identity_key)?;
            check_x25519(&device.sealing_key)?;
            if !device.verifying_key().is_usable() {
                return Err(DeviceListError::Key);
            }
            for key in [device.identity_key, device.sealing_key, device.signing_key] {
                if seen.contains(&key) {
                    return Err(DeviceListError::Key);
                }
                seen.push(key);
            }
        }
        Ok(())
    }
}

impl SignedDeviceList {
    /// Parses the list and checks the signature by the account key inside and that it is `expected_account`'s. Whether
    /// that account key is the right one is for the caller to know: see [`DeviceList::check_follows`] and [`follow`].
    pub fn verify(&self, expected_account: &str) -> Result<DeviceList, DeviceListError> {
        let list = DeviceList::parse(&self.bytes)?;
        VerifyingKey(list.account_key).verify(
            labels::SIGN_DEVICE_LIST,
            &self.bytes,
            &Signature(self.signature),
        )?;
        if list.account != expected_account {
            return Err(DeviceListError::OtherAccount);
        }
        Ok(list)
    }
}
