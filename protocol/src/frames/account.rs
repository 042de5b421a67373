//! Registration, login and the proof of a device's key.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::directory::{KemPrekeyBytes, PrekeyBytes, PrekeyCounts, SignedList};
use crate::{
    BoundedBytes, BoundedStr, BoundedVec, DeviceId, Username,
    limits::{DISPLAY_NAME_BYTES, OPAQUE_BYTES, STAGED_EC_PER_FRAME, STAGED_KEM_PER_FRAME},
};

/// Proves a device's signing key for this very connection: the signature covers the TLS exporter value, the relay's
/// nonce, account and device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticate {
    /// The account.
    pub account: Username,
    /// The device in its list.
    pub device: DeviceId,
    /// Ed25519 signature by the device's signing key.
    pub signature: ByteArray<64>,
}

/// The device is authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticated {
    /// The highest state generation this device ever reported (R23).
    pub generation: u64,
    /// The version of the account's current device list.
    pub list_version: u64,
    /// The `seq` that the next envelope in this device's mailbox will get.
    pub next_seq: u64,
    /// One-time prekeys left.
    pub prekeys: PrekeyCounts,
    /// Seconds after which a fresh proof will be asked for.
    pub proof_lifetime_s: u32,
    /// The relay's clock, milliseconds since 1970.
    pub relay_time: u64,
}

/// A fresh proof is needed. The transcript is that of `Authenticate` with this nonce in the place of the relay's first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReauthChallenge {
    /// 32 fresh random bytes.
    pub nonce: ByteArray<32>,
    /// Seconds until the connection ends without a proof.
    pub within_s: u32,
}

/// The answer to a `ReauthChallenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reauthenticate {
    /// Ed25519 signature by the device's signing key.
    pub signature: ByteArray<64>,
}

/// Begins registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterStart {
    /// The wanted name.
    pub account: Username,
    /// The invite's secret where the relay asks for one.
    pub invite: Option<ByteArray<16>>,
    /// OPAQUE registration request.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
}

/// The relay's half of OPAQUE registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterChallenge {
    /// OPAQUE registration response.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
}

/// One-time prekeys, held by the relay for this connection only until `RegisterFinish` or `DeviceAdd` makes them durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePrekeys {
    /// One-time X25519 prekeys.
    pub one_time: BoundedVec<PrekeyBytes, STAGED_EC_PER_FRAME>,
    /// One-time ML-KEM-768 prekeys.
    pub kem: BoundedVec<KemPrekeyBytes, STAGED_KEM_PER_FRAME>,
}

/// The two prekeys every device must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prekeys {
    /// The signed X25519 prekey.
    pub signed: PrekeyBytes,
    /// The last-resort ML-KEM-768 prekey.
    pub last_resort: KemPrekeyBytes,
}

/// Ends registration. The relay stores account, device, prekeys and OPAQUE record in one transaction, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterFinish {
    /// OPAQUE registration upload: the record.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
    /// The name people see.
    pub display_name: BoundedStr<DISPLAY_NAME_BYTES>,
    /// Version 1 of the device list, with exactly one device.
    pub device_list: SignedList,
    /// By the account key, over this connection's exporter value and the list.
    pub proof: ByteArray<64>,
    /// The device's prekeys.
    pub prekeys: Prekeys,
}

/// Begins login with the passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStart {
    /// The account.
    pub account: Username,
    /// OPAQUE KE1.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
}

/// The relay's half of OPAQUE login; unknown accounts get one as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginChallenge {
    /// OPAQUE KE2.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
}

/// Proves the passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginFinish {
    /// OPAQUE KE3.
    pub opaque: BoundedBytes<OPAQUE_BYTES>,
    /// A device of the account that was unused for too long and may authenticate again after this.
    pub renew: Option<DeviceId>,
}

/// The passphrase was right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginGranted {
    /// The account's current device list.
    pub device_list: SignedList,
}

/// After a granted login: a new device. The list is the current one's successor and names one device more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAdd {
    /// The new list.
    pub device_list: SignedList,
    /// Which of its devices is the new one.
    pub device: DeviceId,
    /// The device's prekeys.
    pub prekeys: Prekeys,
}
