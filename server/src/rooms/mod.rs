//! What the relay keeps of rooms in memory.
//!
//! | module | what it holds |
//! |---|---|
//! | [`fanout`] | who is in a room that is being written to, and pushes in the order of its log |
//! | [`held`] | objects that a connection has put and not yet used |

pub(crate) mod fanout;
pub(crate) mod held;

pub(crate) use fanout::Rooms;
pub(crate) use held::Held;
