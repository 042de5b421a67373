//! MLS KeyPackages: what a device publishes so that others can add it to a room while it is offline (R35). Their bytes
//! are opaque here; whoever claims one checks it.

use serde::{Deserialize, Serialize};

use crate::{
    BoundedBytes, BoundedVec, DeviceId, Username,
    limits::{DEVICES_PER_ACCOUNT, KEY_PACKAGE_BYTES, KEY_PACKAGES_PER_UPLOAD, SUITES},
};

/// An encoded `KeyPackage` (RFC 9420, section 10).
pub type KeyPackageBytes = BoundedBytes<KEY_PACKAGE_BYTES>;

/// A KeyPackage to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKeyPackage {
    /// The device's own number for it, ascending within a suite, never used twice.
    pub key_id: u32,
    /// When its lifetime ends, milliseconds since 1970: the relay hands it out only before. At most 30 days from now.
    pub expires_at: u64,
    /// The KeyPackage.
    pub bytes: KeyPackageBytes,
}

/// New KeyPackages of the asking device, all of one suite. Uploading the same again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPackageUpload {
    /// The MLS cipher suite (RFC 9420, section 17.1).
    pub suite: u16,
    /// To be handed out once each.
    pub packages: BoundedVec<NewKeyPackage, KEY_PACKAGES_PER_UPLOAD>,
    /// To be handed out when no other is left, as often as it takes; in the place of the one before.
    pub last_resort: Option<NewKeyPackage>,
}

/// Asks for one KeyPackage of each of some devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPackageClaim {
    /// The account.
    pub account: Username,
    /// Devices of it.
    pub devices: BoundedVec<DeviceId, DEVICES_PER_ACCOUNT>,
    /// The room's cipher suite.
    pub suite: u16,
}

/// A device's KeyPackage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedKeyPackage {
    /// The device.
    pub device: DeviceId,
    /// Its KeyPackage; it is handed out to nobody else, unless it is the device's last resort.
    pub bytes: KeyPackageBytes,
}

/// KeyPackages of those of the asked devices that exist and have one of the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPackages {
    /// One a device.
    pub packages: BoundedVec<ClaimedKeyPackage, DEVICES_PER_ACCOUNT>,
}

/// What is left of a suite for the asking device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteCount {
    /// The suite.
    pub suite: u16,
    /// KeyPackages that were not handed out and have not expired.
    pub left: u32,
    /// Whether there is a last resort that has not expired.
    pub last_resort: bool,
    /// Whether the last resort was handed out: replace it within a day (R35).
    pub last_resort_used: bool,
}

/// What is left, a suite each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPackageCounts {
    /// Ascending by suite.
    pub suites: BoundedVec<SuiteCount, SUITES>,
}
