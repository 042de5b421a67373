//! The Double Ratchet (Signal's specification, revision 3 of 2025-09-26, sections 2, 3 and 7) between two devices that
//! share a root key. It knows nothing of how they came to share it (`pqxdh`) nor of other sessions (`session`).
//!
//! | file | concept of the specification |
//! |---|---|
//! | `root_key` | the root chain, `KDF_RK` |
//! | `chain_key` | sending and receiving chains, `KDF_CK` |
//! | `message_key` | one key for one message, `ENCRYPT` and `DECRYPT` |
//! | `receiving_chain` | a chain of the peer with the skipped keys that wait in it, `MKSKIPPED` |
//! | `header` | what stands before each ciphertext |
//! | `state` | the two ratchets together, sections 3.3 to 3.5 |
//! | `bytes` | the stored form |
//! | `limits` | every bound (R17) |
//! | `ledger` | test builds only: no (key, nonce) is ever used twice (I4) |
//!
//! Sparse post-quantum ratchet (sections 5 and 6): not here yet; the header keeps a field for it.

mod bytes;
mod chain_key;
mod error;
mod header;
#[cfg(any(test, feature = "ledger"))]
pub mod ledger;
pub mod limits;
mod message_key;
mod receiving_chain;
mod root_key;
mod state;
#[cfg(test)]
pub(crate) mod testing;

pub use error::RatchetError;
pub use header::Header;
pub(crate) use root_key::RootKey;
pub(crate) use state::{Incoming, Ratchet};
