//! Where connections come from.
//!
//! | module | what it does |
//! |---|---|
//! | `network` | a client's network, as limits see it |
//! | `gate` | who may connect at all (R7) |
//! | `quic` | the QUIC endpoint (R5, R6) |

mod gate;
mod network;
mod quic;

pub use gate::{Admission, Gate, Turned};
pub use network::Network;
pub(crate) use quic::{QuicListener, bind};
