//! PQXDH (Signal's specification, revision 3): key agreement with a device that is offline, from X25519 and
//! ML-KEM-768. There is no variant without the KEM (R12).
//!
//! | file | what it holds |
//! |---|---|
//! | `party` | the two devices that agree |
//! | `initial` | what the initiator tells the responder, and its bytes in an initial message |
//! | `associated_data` | everything both sides must have seen alike, and its hash, the transcript |
//! | `agreement` | the computation at either side |

mod agreement;
mod associated_data;
mod initial;
mod party;

pub use agreement::{Agreement, Initiated, PqxdhError, Responder, SharedSecret, initiate, respond};
pub use associated_data::AssociatedData;
pub use initial::{InitialParams, KEM_CIPHERTEXT_LEN};
pub(crate) use party::parties_hash;
pub use party::{LocalDevice, PeerDevice};
