//! What every front end speaks: the terminal application, one-shot verbs, scripts on the socket.
//!
//! A [`Request`] is one method of the engine, a [`Reply`] its result, an [`ApiError`] its refusal with the exit code of
//! docs/SCRIPTING.md, an [`Event`] what happened. All of them are the same objects in the process and, as JSON, on the
//! profile's socket: `{"method": "message.send", "params": {…}}`.

mod error;
mod event;
mod handle;
mod reply;
mod request;
mod room;
mod room_evidence;
pub mod time;

pub(crate) use error::cut;
pub use error::{ApiError, Kind, echo, kind_of};
pub use event::{Event, EventBody, EventKind, FailureReason, KeyChange, MessageEvent, Receipted, Touched};
pub use handle::{Call, EventStream, Handle, StreamItem, Subscribe};
pub use reply::{
    AccountInfo, Chat, CheckItem, CheckReport, ConnectionState, Contact, ContactState, Device, Direction,
    EventPage, HistoryPage, Marks, Message, MessageKind, MessageState, Reply, RoomReceipts, SafetyNumberInfo,
    SearchHit, SendResult, SignOf, Status, Trust,
};
pub use request::{CreateRoom, Request, SendMessage, WaitFor};
pub use room::{ListedRoom, Member, Role, Room, RoomState, Visibility};
pub use room_evidence::{RoomEvidence, SeenCommit, ToldHead};
