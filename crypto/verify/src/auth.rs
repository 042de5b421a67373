//! What is signed to prove a device, or a new account, on one connection. Nothing that is sent can be replayed on
//! another: the transcript holds the TLS exporter of this connection and a nonce that the relay chose for it.

use crate::canonical::put_str8;
use crate::keys::{BadSignature, Signature, VerifyingKey};
use crate::labels;

/// Signed by a device's signing key at login, and again when the relay asks for a fresh proof.
///
/// ```text
/// exporter 32 | nonce 32 | account str8 | device_id u32
/// ```
#[derive(Debug, Clone, Copy)]
pub struct AuthTranscript<'a> {
    /// TLS exporter (RFC 8446, section 7.5) of this connection.
    pub exporter: [u8; 32],
    /// The relay's nonce, used for one proof.
    pub nonce: [u8; 32],
    /// The username, 3 to 32 bytes.
    pub account: &'a str,
    /// The device that proves itself.
    pub device_id: u32,
}

/// Signed by the account key when it registers: proves that the one who registers holds the key of the device list.
///
/// ```text
/// exporter 32 | nonce 32 | account str8 | device_list_sha256 32
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RegistrationTranscript<'a> {
    /// TLS exporter (RFC 8446, section 7.5) of this connection.
    pub exporter: [u8; 32],
    /// The relay's nonce, used for one proof.
    pub nonce: [u8; 32],
    /// The username, 3 to 32 bytes.
    pub account: &'a str,
    /// Plain SHA-256 of the first device list's canonical bytes.
    pub device_list_sha256: [u8; 32],
}

impl AuthTranscript<'_> {
    /// The canonical bytes that are signed under [`labels::SIGN_AUTH`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = opening(&self.exporter, &self.nonce, self.account);
        out.extend_from_slice(&self.device_id.to_le_bytes());
        out
    }
}

impl RegistrationTranscript<'_> {
    /// The canonical bytes that are signed under [`labels::SIGN_REGISTRATION`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = opening(&self.exporter, &self.nonce, self.account);
        out.extend_from_slice(&self.device_list_sha256);
        out
    }
}

/// Checks a device's proof. On failure the connection stays unauthenticated.
pub fn verify_auth(
    signing_key: &VerifyingKey,
    transcript: &AuthTranscript<'_>,
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    signing_key.verify(labels::SIGN_AUTH, &transcript.to_bytes(), &Signature(*signature))
}

/// Checks the account key's proof at registration.
pub fn verify_registration(
    account_key: &VerifyingKey,
    transcript: &RegistrationTranscript<'_>,
    signature: &[u8; 64],
) -> Result<(), BadSignature> {
    account_key.verify(labels::SIGN_REGISTRATION, &transcript.to_bytes(), &Signature(*signature))
}

fn opening(exporter: &[u8; 32], nonce: &[u8; 32], account: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + 32 + 33 + 32);
    out.extend_from_slice(exporter);
    out.extend_from_slice(nonce);
    put_str8(&mut out, account);
    out
}
