//! The part of Subrosa's cryptography that a relay may link: public keys, signatures, the device list and its chain,
//! prekeys and bundles, the transcripts that authenticate a connection, and the relay's half of OPAQUE.
//!
//! There is no secret key of a person in here and nothing that decrypts: what a relay links cannot read a message,
//! by construction. The client links this crate too, so both sides parse and check with the same code.
//!
//! | module | what it does |
//! |---|---|
//! | [`labels`] | the one registry of domain-separation labels (R13) |
//! | [`canonical`] | reading and writing the fixed byte layouts that are signed or hashed |
//! | [`keys`] | public keys, signatures, and which keys are refused (R11) |
//! | [`device_list`] | the signed, hash-chained list of an account's devices (R28) |
//! | [`prekey`], [`bundle`] | what a sender fetches to open a session (R12, R36) |
//! | [`auth`] | what a device signs to prove itself on a connection |
//! | [`room`] | what a commit shows to the relay, the owner key of a room (R31, R33) |
//! | [`opaque`] | the OPAQUE suite and the relay's half of it (R40) |

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod auth;
pub mod bundle;
pub mod canonical;
pub mod device_list;
pub mod keys;
pub mod labels;
pub mod opaque;
pub mod prekey;
pub mod room;
