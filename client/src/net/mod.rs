//! The connection to the relay: one QUIC connection with one long-lived stream of frames, the relay's key pinned.
//!
//! This module moves frames; what they mean is decided in [`crate::core`]. It is generic over what carries the bytes:
//! [`Wire`] is any pair of byte streams, so that a test can use an in-memory one.
//!
//! | file | what it does |
//! |---|---|
//! | `tls` | which certificates are accepted (R1): the pinned key, or the system's roots |
//! | `quic` | dialling an address |
//! | `wire` | frames on a pair of byte streams, and the hellos |
//! | `dialogue` | one question after the other, for joining and logging in |
//! | `link` | the connection task of a running engine: reconnects by itself |
//! | `carrier` | what carries the bytes, as far as it is asked about itself |
//! | `pulse` | whether the relay still answers |
//! | `backoff` | how long to wait before the next try |

mod backoff;
mod carrier;
mod dialogue;
mod error;
mod link;
mod pulse;
mod quic;
mod tls;
mod wire;

pub use backoff::Backoff;
pub use carrier::{Carrier, Signs};
pub use dialogue::Dialogue;
pub use error::{NetError, refused};
pub use link::{AnyWire, Dial, LinkCommand, LinkEvent, QuicDial, run};
pub use quic::dial;
pub use wire::{FrameReader, FrameWriter, Wire};
