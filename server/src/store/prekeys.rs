//! Prekeys in, bundles out.
//!
//! **Key ids ascend.** Of each kind, a device numbers its prekeys upwards. The store remembers the highest number it
//! accepted of each kind; a number at or below it that is not stored any more was handed out, and is never taken again.
//! This makes an upload repeatable at any time and keeps the memory of used numbers at one integer a kind.

use subrosa_protocol::{
    DeviceId, Username,
    frames::{DeviceBundle, KemPrekeyBytes, PrekeyBytes, PrekeyCounts},
};

/// A signed prekey and its number. The caller has verified the signature and read the number from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrekey<B> {
    /// The number inside the prekey.
    pub key_id: u32,
    /// The prekey.
    pub bytes: B,
}

/// The prekeys of a new device.
#[derive(Debug, Clone)]
pub struct NewPrekeys {
    /// The signed X25519 prekey.
    pub signed: NewPrekey<PrekeyBytes>,
    /// The last-resort ML-KEM-768 prekey.
    pub last_resort: NewPrekey<KemPrekeyBytes>,
    /// One-time X25519 prekeys.
    pub one_time: Vec<NewPrekey<PrekeyBytes>>,
    /// One-time ML-KEM-768 prekeys.
    pub kem: Vec<NewPrekey<KemPrekeyBytes>>,
}

/// Further prekeys of a device.
///
/// A signed or last-resort prekey takes the place of the one before when its number is greater; an older one changes
/// nothing. A one-time prekey is added when its number is greater than all before. One that is stored already changes
/// nothing; with other bytes under the same number the whole upload is refused.
#[derive(Debug, Clone)]
pub struct PrekeyRefill {
    /// The account.
    pub account: Username,
    /// The device.
    pub device: DeviceId,
    /// A new signed prekey.
    pub signed: Option<NewPrekey<PrekeyBytes>>,
    /// A new last-resort prekey.
    pub last_resort: Option<NewPrekey<KemPrekeyBytes>>,
    /// One-time X25519 prekeys to add.
    pub one_time: Vec<NewPrekey<PrekeyBytes>>,
    /// One-time ML-KEM-768 prekeys to add.
    pub kem: Vec<NewPrekey<KemPrekeyBytes>>,
}

/// What came of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// Stored; so many one-time prekeys are there now.
    Done(PrekeyCounts),
    /// A number is used for two different prekeys. Nothing was stored.
    Conflict,
    /// More than 200 one-time prekeys of a kind would be stored. Nothing was.
    TooMany,
    /// No such device.
    NotFound,
}

/// Asks for bundles. A signed and a last-resort prekey are in every bundle; one-time prekeys are handed out once, ever,
/// lowest number first.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The account.
    pub account: Username,
    /// Devices of it; unknown ones are left out of the answer.
    pub devices: Vec<DeviceId>,
    /// How many one-time prekeys of each kind must be left after this claim, else it gets none of that kind: 0 takes
    /// the last one, 20 leaves the reserve alone, [`Claim::NO_ONE_TIME`] takes none (R37;
    /// docs/decisions/0003-prekey-reserve.md says who gives what).
    pub leave: u32,
}

impl Claim {
    /// A claim that gets the last-resort prekey and no one-time prekeys.
    pub const NO_ONE_TIME: u32 = u32::MAX;
}

/// A bundle, and what is left for the next one. The count is for the device itself (`PrekeysLow`), never for the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedBundle {
    /// The bundle.
    pub bundle: DeviceBundle,
    /// One-time prekeys left.
    pub left: PrekeyCounts,
}
