//! Subrosa's end-to-end encryption: everything a client needs to agree on keys, to encrypt for a device, and to keep
//! its secrets. No input or output, no clock and no randomness of its own: `now` and `rng` come from the caller.
//!
//! | module | what it does |
//! |---|---|
//! | [`account`] | the account key and its 24 recovery words |
//! | [`device`] | the three secret keys of a device |
//! | [`prekeys`] | making prekeys and keeping their secrets |
//! | [`dh`], [`kdf`] | the one X25519 wrapper, the one key-derivation helper |
//! | [`pqxdh`] | key agreement with a device that is offline |
//! | [`ratchet`] | the Double Ratchet |
//! | [`session`] | all sessions with one peer device, converging as in Sesame |
//! | [`binding`] | the header inside every ciphertext and the one function that checks it |
//! | [`padding`] | plaintext lengths |
//! | [`sealed`] | envelopes that hide their sender |
//! | [`mls`] | what the MLS groups of rooms compute with (`subrosa-rooms`) |
//! | [`safety_number`] | what two people compare |
//! | [`vault`] | the database key under a passphrase |
//! | [`opaque_client`] | the client's half of OPAQUE |
//!
//! What a relay may do as well (verifying signatures, device lists, prekeys) is in [`subrosa_verify`].

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod account;
pub mod binding;
pub mod device;
pub mod dh;
pub mod kdf;
pub mod mls;
pub mod opaque_client;
pub mod padding;
pub mod pqxdh;
pub mod prekeys;
pub mod ratchet;
pub mod safety_number;
pub mod sealed;
pub mod session;
mod signing;
#[cfg(test)]
mod test_rng;
pub mod vault;

pub use subrosa_verify as verify;
