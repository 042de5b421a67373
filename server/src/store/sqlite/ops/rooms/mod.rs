//! Rooms, a file a concern.
//!
//! | module | what it holds |
//! |---|---|
//! | `row` | a room's row, its members, bans and listing |
//! | `log` | entries in and out, and their deletion |
//! | `objects` | objects in pieces |
//! | `commit` | commits and reboots: everything that changes an epoch |
//! | `post` | messages, proposals, joining, leaving, cursors |
//! | `show` | what may be asked |
//! | `expire` | what is too old |

mod commit;
mod expire;
mod log;
mod objects;
mod post;
mod row;
mod show;

pub(in crate::store::sqlite) use commit::{commit, create, reboot};
pub(in crate::store::sqlite) use expire::{check, expire, remove};
pub(in crate::store::sqlite) use objects::piece;
pub(in crate::store::sqlite) use post::{accept, cursor, leave, post};
pub(in crate::store::sqlite) use show::{directory, entries, info, joined, lists, of_device, roster};
