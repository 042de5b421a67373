//! Subrosa's wire protocol: frames and their codec, limits, content types, names, addresses and links.
//!
//! This crate knows no cryptography (keys and signatures are opaque, bounded bytes here) and does no input or output
//! beyond turning bytes into frames and back. docs/PROTOCOL.md describes all of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`limits`] | every bound of the wire, in one place |
//! | [`codec`] | the only place that names bincode: canonical, bounded encoding |
//! | [`bounded`] | lists, strings and byte strings that carry their bound in their type |
//! | [`frame`] | one length-delimited protocol message, before its body is understood |
//! | [`frames`] | the bodies: what a client and a relay say to each other |
//! | [`error_code`] | typed errors a relay answers with |
//! | [`version`] | version and feature negotiation |
//! | [`content`] | the typed plaintext inside an envelope |
//! | [`names`] | usernames, device ids, ids of messages, envelopes and entries |
//! | [`room_names`] | room ids and slugs |
//! | [`address`] | relay addresses, account addresses, join links |
//! | [`safe_text`] | text of others, made harmless for a terminal |

#![warn(missing_docs)]

pub mod address;
pub mod bounded;
pub mod codec;
pub mod content;
pub mod error_code;
pub mod frame;
pub mod frames;
pub mod limits;
pub mod names;
pub mod room_names;
pub mod safe_text;
pub mod version;

pub use address::{AccountAddress, AddressError, Fingerprint, InviteSecret, JoinLink, RelayAddress};
pub use bounded::{BoundedBytes, BoundedStr, BoundedVec, OverBound};
pub use content::{Content, Payload};
pub use error_code::ErrorCode;
pub use frame::{FrameDecoder, FrameError, RawFrame};
pub use names::{DeviceId, EntryId, EnvelopeId, MessageId, NameError, Username};
pub use room_names::{RoomId, RoomNameError, Slug};
pub use safe_text::SafeText;
