//! The encrypted database of a profile: one connection, typed operations by domain, no SQL outside this module.
//!
//! Everything happens in a transaction: [`Store::transaction`] for changes, [`Store::read`] for looking. Both give a
//! [`Tx`], which has all operations; [`Tx::attempt`] is a part of a transaction that can fail alone. Whatever changes
//! ratchet or MLS state (sessions, chains, prekeys, rooms) raises the state generation by itself in the same transaction (R21, R23).
//!
//! | module | what it keeps |
//! |---|---|
//! | [`identity`] | account, device, their secrets, how far joining came |
//! | [`prekeys`] | secret prekeys, base keys seen |
//! | `parsed_lists` | device lists that were parsed lately |
//! | [`peers`] | accounts: the key first seen, trust, contact state |
//! | [`device_lists`] | the newest verified list of each account, evidence of lies |
//! | `mls` | the state of rooms: MLS groups and key packages |
//! | [`sessions`] | session records, when they were healed |
//! | [`chains`] | counters of both directions, what is missing |
//! | [`messages`], [`search`] | lines of chats, and finding them |
//! | [`chats`] | the list of chats, read positions, drafts |
//! | [`pending`] | contents not yet encrypted |
//! | [`outbox`] | sealed envelopes on their way out |
//! | [`inbox`] | envelopes dealt with, the mailbox cursor, envelopes put aside |
//! | [`marks`] | what is done with messages after they were written |
//! | [`receipts`] | receipts due and given, and those that came before their message |
//! | [`rooms`], [`room_outbox`] | rooms, messages and commits on their way to them |
//! | [`room_evidence`] | commits that were followed, and what contradicts them |
//! | [`room_seen`] | when each device of a room was heard of last |
//! | [`events`] | the event log |
//! | [`meta`] | the state generation, counters, settings |
//! | [`upkeep`] | forgetting what is too old |
//! | `disk` | the disk of a simulation |

pub mod chains;
pub mod chats;
mod codes;
mod connection;
pub mod device_lists;
mod disk;
mod error;
pub mod events;
pub mod identity;
pub mod inbox;
pub mod limits;
mod log;
pub mod marks;
pub mod messages;
pub mod meta;
mod mls;
pub mod outbox;
mod parsed_lists;
pub mod peers;
pub mod pending;
pub mod prekeys;
pub mod receipts;
pub mod room_evidence;
pub mod room_outbox;
pub mod room_seen;
pub mod rooms;
mod rows;
mod schema;
pub mod search;
pub mod sessions;
mod sqlcipher;
#[cfg(test)]
mod tests;
mod tx;
pub mod upkeep;

pub use chains::{Acknowledgeable, Incoming, IncomingChain, OutgoingChain, Placed, Sent};
pub use connection::Store;
pub use device_lists::{Claim, Evidence, KnownList};
pub use disk::{Disk, DiskFault};
pub use error::{Result, StoreError};
pub use identity::{Identity, IdentityKeys, Progress};
pub use inbox::{DeferredEnvelope, NewDeferred};
pub use marks::Reacted;
pub use messages::{NewMessage, ReadMessage};
pub use meta::Counter;
pub use outbox::{NewOutbox, OutboxRow, OutboxTarget};
pub use peers::{ChangedKey, Peer};
pub use pending::{HeldFor, NewPending, Pending};
pub use prekeys::PrekeyCounts;
pub use receipts::DueReceipt;
pub use room_evidence::{Commit, Contradiction};
pub use room_outbox::{PendingCommit, RoomPostRow, SealedPost};
pub use rooms::StoredRoom;
pub use tx::Tx;
