//! The profile's Unix socket: the process that owns a profile serves it, everybody else attaches (R24, R50).
//!
//! The wire is JSON-RPC 2.0, one object (or batch) a line: a method is a [`crate::Request`], its result a
//! [`crate::Reply`], a refusal an error whose `code` is the exit code of docs/SCRIPTING.md. After `events.subscribe` the
//! connection also carries notifications `event`, whose `params` are a [`crate::Event`]. Nobody but the same user gets an
//! answer, there is no TCP, and a reader who stalls holds up only itself: it is told of a gap later.
//!
//! | module | what it holds |
//! |---|---|
//! | [`limits`] | every bound of the socket |
//! | [`mod@line`] | one JSON value a line, with nothing in it that steers a terminal |
//! | [`filter`] | `message.*` |
//! | [`rpc`] | requests, responses and notifications as JSON |
//! | [`fit`] | makes a page of a reply fit into a line |
//! | [`listener`] | making the socket |
//! | [`server`] | the owner's side |
//! | [`attached`] | the other side: a [`crate::Handle`] |

pub mod attached;
mod connection;
pub mod filter;
pub mod fit;
pub mod limits;
pub mod line;
pub mod listener;
pub mod rpc;
pub mod server;

pub use attached::Attached;
pub use listener::{Listener, bind};
pub use server::{Serving, serve};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
