//! Device lists and prekeys. Their bytes are made and checked by the crate `subrosa-verify`; here they are only bounded.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, Username,
    limits::{
        DEVICE_LIST_BYTES, DEVICE_LISTS_PER_PAGE, DEVICES_PER_ACCOUNT, DISPLAY_NAME_BYTES, ONE_TIME_PREKEYS,
        PREKEY_EC_BYTES, PREKEY_KEM_BYTES, UPLOAD_KEM_PER_FRAME,
    },
};

/// A signed prekey with an X25519 key: 117 bytes.
pub type PrekeyBytes = ByteArray<PREKEY_EC_BYTES>;
/// A signed prekey with an ML-KEM-768 key: 1,269 bytes.
pub type KemPrekeyBytes = ByteArray<PREKEY_KEM_BYTES>;

/// A device list in canonical form and the account key's signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedList {
    /// Canonical form.
    pub bytes: BoundedBytes<DEVICE_LIST_BYTES>,
    /// Ed25519 signature.
    pub signature: ByteArray<64>,
}

/// Asks for an account's device lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListFetch {
    /// Exact name.
    pub account: Username,
    /// The newest version the client has; 0 for none. Newer ones are returned.
    pub since: u64,
}

/// Device lists, ascending and without gaps from `since + 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLists {
    /// The lists; empty when there is nothing newer.
    pub lists: BoundedVec<SignedList, DEVICE_LISTS_PER_PAGE>,
    /// Whether still newer ones exist.
    pub more: bool,
    /// The display name given at registration.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
}

/// Asks for prekey bundles; each one-time prekey is handed out once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyClaim {
    /// The account.
    pub account: Username,
    /// Devices of it.
    pub devices: BoundedVec<DeviceId, DEVICES_PER_ACCOUNT>,
}

/// What a sender needs to open a session with a device that is offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceBundle {
    /// The device.
    pub device: DeviceId,
    /// The signed X25519 prekey.
    pub signed: PrekeyBytes,
    /// A one-time X25519 prekey, while there are any.
    pub one_time: Option<PrekeyBytes>,
    /// A one-time ML-KEM-768 prekey, or the last-resort one.
    pub kem: KemPrekeyBytes,
}

/// Bundles of those of the asked devices that exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyBundles {
    /// One a device.
    pub bundles: BoundedVec<DeviceBundle, DEVICES_PER_ACCOUNT>,
}

/// New prekeys of the asking device. Uploading the same prekey again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyUpload {
    /// A new signed prekey, in the place of the old one.
    pub signed: Option<PrekeyBytes>,
    /// A new last-resort prekey, in the place of the old one.
    pub last_resort: Option<KemPrekeyBytes>,
    /// One-time X25519 prekeys to add.
    pub one_time: BoundedVec<PrekeyBytes, ONE_TIME_PREKEYS>,
    /// One-time ML-KEM-768 prekeys to add.
    pub kem: BoundedVec<KemPrekeyBytes, UPLOAD_KEM_PER_FRAME>,
}

/// One-time prekeys left on the relay for the asking device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyCounts {
    /// X25519.
    pub one_time: u32,
    /// ML-KEM-768.
    pub kem: u32,
}

/// The next version of the own account's list: removes devices (revocation, logout). Adding is `DeviceAdd`'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListPublish {
    /// The new list.
    pub device_list: SignedList,
}

/// The own account has a newer device list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListChanged {
    /// Its version.
    pub version: u64,
}
