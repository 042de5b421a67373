//! All sessions with one device of a peer, converging as in Sesame (Signal's specification, revision 2, section 3).
//!
//! | file | what it holds |
//! |---|---|
//! | `record` | [`SessionRecord`]: the active session and the archived ones, and which of them becomes active |
//! | `state` | one session: a key agreement and its ratchet |
//! | `message` | the two session messages on the wire |
//! | `bytes` | the stored form of a record |
//! | `prekey_source` | where the responder finds his prekeys |
//!
//! A session names itself in each message, so a message costs the work of one session whatever it says (R18). Which
//! session a device sends in follows one order that both sides know; see [`SessionRecord::decrypt`].

mod bytes;
mod error;
mod message;
mod prekey_source;
mod record;
mod state;
#[cfg(test)]
mod tests;

pub use crate::pqxdh::{LocalDevice, PeerDevice};
pub use error::SessionError;
pub use prekey_source::PrekeySource;
pub use record::{Decrypted, SessionRecord};
