//! Sealed envelopes: a session message and its sender's address, encrypted to the recipient device's sealing key, so that
//! what lies in a mailbox tells neither who sent it nor where in a session it stands.
//!
//! HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.
//!
//! ```text
//! envelope:  0x01 | enc 32 | ciphertext (plaintext + 16)
//! plaintext: sender_account: length u8, then 32 bytes filled up with zeros | sender_device u32 | session message
//! info:      label | 0x00 | 0x01 | kem u16 = 0x0020 | kdf u16 = 0x0001 | aead u16 = 0x0003
//! aad:       label | 0x00 | 0x01 | recipient_account str8 | recipient_device u32 | sealing_key 32
//! ```
//!
//! The sender's name takes 33 bytes whatever its length, since the length of an envelope is visible. Base mode proves
//! nothing about the sender: the address only says which session to try, and the session proves it.

use hpke::aead::{Aead, ChaCha20Poly1305};
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::X25519HkdfSha256;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use subrosa_verify::canonical::{ACCOUNT_MAX, ACCOUNT_MIN, Malformed, Reader, account_fits, put_str8};
use subrosa_verify::keys::{WeakKey, check_x25519};
use subrosa_verify::labels;
use zeroize::Zeroizing;

use crate::device::DeviceSecrets;

/// What an envelope adds to the session message, in bytes.
pub const OVERHEAD: usize = 1 + ENC_BYTES + TAG_BYTES + 1 + ACCOUNT_MAX + 4;
/// The longest session message in bytes that is sealed or opened: the largest padded plaintext and room for the headers.
pub const MAX_MESSAGE: usize = 69 * 1024;
/// The version that stands first in every envelope.
pub const VERSION: u8 = 0x01;

const ENC_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// What an envelope held. The sender is a claim until the session with that device decrypts the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Username that the sender claims, 3 to 32 bytes of UTF-8.
    pub sender_account: String,
    /// Device id that the sender claims.
    pub sender_device: u32,
    /// The session message.
    pub message: Vec<u8>,
}

/// Why an envelope is not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("a session message of {0} bytes is too long to seal")]
    TooLong(usize),
    /// The first byte names a version that this client does not know; an update may.
    #[error("sealed envelope of unknown version {0}")]
    UnknownVersion(u8),
    /// The sealing key or the envelope's key is of low order or not canonical (R11).
    #[error("a key of the envelope is weak")]
    WeakKey,
    /// Not made for this device, or altered on the way. Drop and count it.
    #[error("the envelope does not open")]
    Refused,
    /// A name or device id is not one, or the envelope is cut short.
    #[error("not a canonical envelope: {0}")]
    Malformed(#[from] Malformed),
}

impl From<WeakKey> for SealError {
    fn from(_: WeakKey) -> Self {
        Self::WeakKey
    }
}

/// Seals `message` for one device. The recipient's key must come from its verified device list.
pub fn seal(
    recipient_sealing_key: &[u8; 32],
    recipient_account: &str,
    recipient_device: u32,
    sender_account: &str,
    sender_device: u32,
    message: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    if message.len() > MAX_MESSAGE {
        return Err(SealError::TooLong(message.len()));
    }
    if !account_fits(sender_account) || !account_fits(recipient_account) {
        return Err(Malformed::Account.into());
    }
    check_x25519(recipient_sealing_key)?;
    let key = PublicKey::from_bytes(recipient_sealing_key).map_err(|_| SealError::WeakKey)?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(1 + ACCOUNT_MAX + 4 + message.len()));
    put_str8(&mut plaintext, sender_account);
    plaintext.resize(1 + ACCOUNT_MAX, 0);
    plaintext.extend_from_slice(&sender_device.to_le_bytes());
    plaintext.extend_from_slice(message);
    let aad = associated_data(recipient_account, recipient_device, recipient_sealing_key);
    let (enc, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &key,
        &info(),
        &plaintext,
        &aad,
        rng,
    )
    .map_err(|_| SealError::WeakKey)?;
    Ok([&[VERSION], enc.to_bytes().as_slice(), &ciphertext].concat())
}

/// Opens an envelope that came for `device`, which is `account`'s device `device_id`.
pub fn open(
    device: &DeviceSecrets,
    account: &str,
    device_id: u32,
    sealed: &[u8],
) -> Result<Opened, SealError> {
    let mut r = Reader::new(sealed);
    let version = r.u8()?;
    if version != VERSION {
        return Err(SealError::UnknownVersion(version));
    }
    if sealed.len() > OVERHEAD + MAX_MESSAGE {
        return Err(SealError::TooLong(sealed.len() - OVERHEAD));
    }
    let enc = r.array::<ENC_BYTES>()?;
    check_x25519(&enc)?;
    let enc = EncappedKey::from_bytes(&enc).map_err(|_| SealError::WeakKey)?;
    let secret = PrivateKey::from_bytes(device.sealing().as_bytes()).map_err(|_| SealError::WeakKey)?;
    let aad = associated_data(account, device_id, &device.sealing().public());
    let plaintext = single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret,
        &enc,
        &info(),
        r.remaining(),
        &aad,
    )
    .map_err(|_| SealError::Refused)?;
    Ok(read_plaintext(&Zeroizing::new(plaintext))?)
}

type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

fn read_plaintext(plaintext: &[u8]) -> Result<Opened, Malformed> {
    let mut r = Reader::new(plaintext);
    let len = usize::from(r.u8()?);
    let field = r.bytes(ACCOUNT_MAX)?;
    let (name, fill) = field.split_at_checked(len).ok_or(Malformed::Account)?;
    if len < ACCOUNT_MIN || fill.iter().any(|b| *b != 0) {
        return Err(Malformed::Account);
    }
    let sender_account = std::str::from_utf8(name).map_err(|_| Malformed::Account)?.to_owned();
    let sender_device = r.u32()?;
    if sender_device == 0 {
        return Err(Malformed::Field("sender_device"));
    }
    Ok(Opened { sender_account, sender_device, message: r.remaining().to_vec() })
}

fn info() -> Vec<u8> {
    let suite = [X25519HkdfSha256::KEM_ID, HkdfSha256::KDF_ID, ChaCha20Poly1305::AEAD_ID];
    let mut out = labels::HPKE_SEALED.as_bytes().to_vec();
    out.extend_from_slice(&[0, VERSION]);
    suite.iter().for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    out
}

fn associated_data(account: &str, device_id: u32, sealing_key: &[u8; 32]) -> Vec<u8> {
    let mut out = labels::AEAD_SEALED.as_bytes().to_vec();
    out.extend_from_slice(&[0, VERSION]);
    put_str8(&mut out, account);
    out.extend_from_slice(&device_id.to_le_bytes());
    out.extend_from_slice(sealing_key);
    out
}

#[cfg(test)]
mod tests;
