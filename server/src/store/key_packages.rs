//! KeyPackages in, one for each who adds a device out (R35).
//!
//! **Key ids ascend**, as those of prekeys do: a number at or below the highest one of its suite that is not stored any more
//! was handed out, and is never taken again.

use subrosa_protocol::{
    DeviceId, Username,
    frames::{ClaimedKeyPackage, KeyPackageCounts, NewKeyPackage},
};

use super::Timestamp;

/// Further KeyPackages of a device. Repeating it changes nothing.
#[derive(Debug, Clone)]
pub struct KeyPackageRefill {
    /// The account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// The suite of all of them.
    pub suite: u16,
    /// To be handed out once each.
    pub packages: Vec<NewKeyPackage>,
    /// In the place of the last resort before, when its number is greater.
    pub last_resort: Option<NewKeyPackage>,
    /// The relay's clock.
    pub now: Timestamp,
}

/// What came of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPackagesUploaded {
    /// Stored; so many are there now.
    Done(KeyPackageCounts),
    /// A number is used for two different KeyPackages. Nothing was stored.
    Conflict,
    /// More than 100 of a suite, or more than four suites, would be stored. Nothing was.
    TooMany,
    /// No such device.
    NotFound,
}

/// Asks for KeyPackages, one a device.
#[derive(Debug, Clone)]
pub struct KeyPackageClaims {
    /// The account.
    pub account: Username,
    /// Devices of it; unknown ones are left out of the answer.
    pub devices: Vec<DeviceId>,
    /// The suite.
    pub suite: u16,
    /// How many must be left after this claim, else it gets the last resort: 0 takes the last one (R37).
    pub leave: u32,
    /// The relay's clock.
    pub now: Timestamp,
}

/// A KeyPackage, and what is left of the device's. The counts are for the device itself, never for the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedPackage {
    /// The KeyPackage.
    pub package: ClaimedKeyPackage,
    /// What is left, when it is little, or the last resort was taken.
    pub low: Option<KeyPackageCounts>,
}
