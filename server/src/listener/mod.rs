//! Where connections come from.
//!
//! | module | what it does |
//! |---|---|
//! | `network` | a client's network, as limits see it |
//! | `gate` | who may connect at all (R7) |
//! | `quic` | the QUIC endpoint (R5, R6) |
//! | `flow` | windows that a connection earns by what it moves (R5) |

mod flow;
mod gate;
mod network;
mod quic;

pub use gate::{Admission, Gate, Turned};
pub use network::Network;
pub(crate) use quic::{QuicListener, bind};
