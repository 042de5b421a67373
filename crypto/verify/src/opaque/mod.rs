//! OPAQUE (RFC 9807): how a person proves a passphrase to a relay that never sees it, not even at registration.
//!
//! The suite is OPAQUE-3DH over ristretto255 with SHA-512 and Argon2id as key stretching. The client's half is in
//! `subrosa_crypto::opaque_client`. Lengths of the messages in bytes:
//!
//! | message | from | bytes |
//! |---|---|---|
//! | registration request | client | [`REGISTRATION_REQUEST_BYTES`] |
//! | registration response | relay | [`REGISTRATION_RESPONSE_BYTES`] |
//! | record | client | [`RECORD_BYTES`] |
//! | KE1 | client | [`KE1_BYTES`] |
//! | KE2 | relay | [`KE2_BYTES`] |
//! | KE3 | client | [`KE3_BYTES`] |
//!
//! An account that does not exist gets a KE2 of the same length made from a dummy record (R40): neither bytes nor codes
//! tell whether a name is taken.

mod ksf;
mod relay;
mod rng;

pub use ksf::{Argon2Ksf, KSF_MEMORY_KIB, KSF_PARALLELISM, KSF_PASSES};
pub use relay::{LoginState, OpaqueError, RelayOpaque};
pub use rng::OpaqueRng;

use opaque_ke::{CipherSuite, Identifiers, Ristretto255, TripleDh};

use crate::labels;

/// Length of the relay's stored keys.
pub const RELAY_KEYS_BYTES: usize = 128;
/// Length of a registration request.
pub const REGISTRATION_REQUEST_BYTES: usize = 32;
/// Length of a registration response.
pub const REGISTRATION_RESPONSE_BYTES: usize = 64;
/// Length of the record that the relay keeps of an account.
pub const RECORD_BYTES: usize = 192;
/// Length of the first login message.
pub const KE1_BYTES: usize = 96;
/// Length of the relay's answer.
pub const KE2_BYTES: usize = 320;
/// Length of the last login message.
pub const KE3_BYTES: usize = 64;

/// The one cipher suite of both sides.
pub struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Argon2Ksf;
}

/// The identities that both sides mix into the record and the login: the username, and for the relay its OPAQUE key.
pub fn identifiers(username: &str) -> Identifiers<'_> {
    Identifiers { client: Some(username.as_bytes()), server: None }
}

/// The OPAQUE context of a login: [`labels::OPAQUE_LOGIN`], a zero byte and `connection`, which is the TLS exporter of
/// the connection. A login therefore belongs to the connection it was made on.
pub fn login_context(connection: &[u8]) -> Vec<u8> {
    [labels::OPAQUE_LOGIN.as_bytes(), &[0], connection].concat()
}
