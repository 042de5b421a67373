//! The vault: the random key of the local database, wrapped by the passphrase (R26).
//!
//! ```text
//! magic 8 = "SUBROSAV" | format u8 = 0x01 | memory_kib u32 | passes u32 | lanes u32 | salt 16 | nonce 24 | wrapped 48
//! stretched = Argon2id(passphrase, salt, memory_kib, passes, lanes, version 0x13), 32 bytes
//! key       = HKDF-SHA-256(salt = none, input = stretched, info = KDF_VAULT)
//! wrapped   = XChaCha20-Poly1305(key, nonce, aad = AEAD_VAULT | 0x00 | all bytes before `wrapped`, database key)
//! ```
//!
//! 109 bytes in all. The file is read before anyone has proved anything, so its parameters are bounded: a hostile file
//! cannot make this program take all memory, nor make it stretch a passphrase less than [`VaultParams::MINIMUM`].

mod calibrate;
mod params;

pub use calibrate::calibrate;
pub use params::{ParamsError, VaultParams};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::labels;
use zeroize::Zeroizing;

use crate::kdf::{Key32, hkdf_key};

/// Length of [`Vault::to_bytes`].
pub const VAULT_BYTES: usize = HEADER_BYTES + WRAPPED_BYTES;

const MAGIC: [u8; 8] = *b"SUBROSAV";
const FORMAT: u8 = 0x01;
const HEADER_BYTES: usize = 8 + 1 + 12 + SALT_BYTES + NONCE_BYTES;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const WRAPPED_BYTES: usize = 32 + 16;

/// A wrapped database key, as it lies on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct Vault {
    params: VaultParams,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    wrapped: [u8; WRAPPED_BYTES],
}

/// The raw key of the database, 32 bytes. Erased on drop.
pub struct DbKey(Zeroizing<[u8; 32]>);

/// Why a vault is not made or does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not a vault file, or one of a newer program.
    #[error("not a vault: {0}")]
    Malformed(#[from] Malformed),
    /// The file asks for parameters outside the bounds.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// Wrong passphrase, or the file was altered; the two cannot be told apart.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// Argon2id could not run with these parameters on this machine.
    #[error("the passphrase could not be stretched")]
    Stretch,
}

impl DbKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// The key, for the database's `PRAGMA key` only.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Vault {
    /// A vault around a fresh database key.
    pub fn create(
        passphrase: &[u8],
        params: VaultParams,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, DbKey), VaultError> {
        let key = DbKey::generate(rng);
        Ok((Self::wrap(&key, passphrase, params, rng)?, key))
    }

    /// The database key. Takes as long as a guess.
    pub fn open(&self, passphrase: &[u8]) -> Result<DbKey, VaultError> {
        let cipher = cipher(passphrase, self.params, &self.salt)?;
        let aad = associated_data(&self.header());
        let opened = cipher
            .decrypt(&XNonce::from(self.nonce), Payload { msg: &self.wrapped, aad: &aad })
            .map_err(|_| VaultError::WrongPassphrase)?;
        let opened = Zeroizing::new(opened);
        let mut r = Reader::new(&opened);
        Ok(DbKey(Zeroizing::new(r.array()?)))
    }

    /// A vault around the same key under a new passphrase or parameters, with a salt and nonce of its own. The old file
    /// opens with the old passphrase as long as a copy of it exists.
    pub fn rewrap(
        &self,
        passphrase: &[u8],
        new_passphrase: &[u8],
        params: VaultParams,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, VaultError> {
        Self::wrap(&self.open(passphrase)?, new_passphrase, params, rng)
    }

    /// A vault around `key`.
    pub fn wrap(
        key: &DbKey,
        passphrase: &[u8],
        params: VaultParams,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, VaultError> {
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let mut vault = Self { params, salt, nonce, wrapped: [0; WRAPPED_BYTES] };
        let aad = associated_data(&vault.header());
        let wrapped = cipher(passphrase, params, &salt)?
            .encrypt(&XNonce::from(nonce), Payload { msg: key.as_bytes(), aad: &aad })
            .map_err(|_| VaultError::Stretch)?;
        vault.wrapped = Reader::new(&wrapped).array()?;
        Ok(vault)
    }

    /// The cost of one guess.
    pub fn params(&self) -> VaultParams {
        self.params
    }

    /// The [`VAULT_BYTES`] of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header()[..], &self.wrapped].concat()
    }

    /// A vault file. Parameters outside the bounds are refused before anything is stretched.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut r = Reader::new(bytes);
        if r.array()? != MAGIC {
            return Err(Malformed::Field("magic").into());
        }
        if r.u8()? != FORMAT {
            return Err(Malformed::Field("format").into());
        }
        let params = VaultParams::new(r.u32()?, r.u32()?, r.u32()?)?;
        let vault = Self { params, salt: r.array()?, nonce: r.array()?, wrapped: r.array()? };
        r.finish()?;
        Ok(vault)
    }

    fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VAULT_BYTES);
        out.extend_from_slice(&MAGIC);
        out.push(FORMAT);
        out.extend_from_slice(&self.params.memory_kib().to_le_bytes());
        out.extend_from_slice(&self.params.passes().to_le_bytes());
        out.extend_from_slice(&self.params.lanes().to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.nonce);
        out
    }
}

fn cipher(passphrase: &[u8], params: VaultParams, salt: &[u8]) -> Result<XChaCha20Poly1305, VaultError> {
    let mut stretched = Zeroizing::new([0; 32]);
    params.stretch(passphrase, salt, &mut *stretched).map_err(|_| VaultError::Stretch)?;
    let key: Key32 = hkdf_key(&[], &*stretched, labels::KDF_VAULT);
    Ok(XChaCha20Poly1305::new(key.as_bytes().into()))
}

fn associated_data(header: &[u8]) -> Vec<u8> {
    [labels::AEAD_VAULT.as_bytes(), &[0], header].concat()
}

#[cfg(test)]
mod tests;
