//! Results as people read them. Everything here is text from data, so that it can be looked at in tests; what foreign text
//! could do to a terminal is taken from it in [`super::out`].
//!
//! | module | what it does |
//! |---|---|
//! | [`table`] | aligned columns |
//! | [`time`] | local times |
//! | [`words`] | what states are called |
//! | [`chat`] | chats, contacts, devices, messages |
//! | [`event`] | events |
//! | [`status`] | connection, queues, checks |

pub mod chat;
pub mod event;
pub mod room;
pub mod status;
pub mod table;
pub mod time;
pub mod words;
