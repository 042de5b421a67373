//! A client that speaks QUIC and frames without any of the manners of ours, written from docs/PROTOCOL.md: any source
//! address of 127.0.0.0/8, any protocol name, any bytes at any pace, streams with holes, identities of anybody. With it
//! comes a client that behaves, to see what the relay is like for others meanwhile, and what a relay process costs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`network`] | a source address, and connections from it |
//! | [`holes`] | packets whose contents never arrive although they are acknowledged |
//! | [`session`] | frames and bytes on a session stream, and how a connection ended |
//! | [`identity`] | somebody with keys, lists, prekeys and proofs |
//! | [`good`] | a client that behaves, and how long it waits |
//! | [`gauge`] | memory, time and counters of a relay process |

pub mod gauge;
pub mod good;
pub mod holes;
pub mod identity;
pub mod network;
pub mod session;

pub use gauge::Gauge;
pub use good::Probe;
pub use holes::Holes;
pub use identity::Identity;
pub use network::{Manners, Network};
pub use session::{Ending, Session};
