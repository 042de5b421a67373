//! Tests of the store that look underneath it; those of whole profiles and of crashes are in `client/tests/`.

mod chains;
mod files;
mod groups;
mod keys;
mod messages;
mod mls;
pub(super) mod plans;
mod queues;
mod rooms;
mod secrecy;

use std::os::unix::fs::PermissionsExt;

use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, SafeText, Username};

use super::{NewMessage, Result, Store, Tx};
use crate::api::{Direction, MessageKind, MessageState, time::Timestamp};

/// An empty directory that nobody else may read.
fn private_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    directory
}

fn store() -> Store {
    Store::in_memory().unwrap()
}

/// Carries out changes that must succeed.
fn change<T>(store: &mut Store, work: impl FnOnce(&Tx<'_>) -> Result<T>) -> T {
    store.transaction(work).unwrap()
}

/// Looks.
fn look<T>(store: &Store, work: impl FnOnce(&Tx<'_>) -> Result<T>) -> T {
    store.read(work).unwrap()
}

fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

fn device(number: u32) -> DeviceId {
    DeviceId::new(number).unwrap()
}

fn id(number: u64) -> MessageId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    MessageId::from_bytes(bytes)
}

fn envelope(number: u64) -> EnvelopeId {
    EnvelopeId::from_bytes(*id(number).as_bytes())
}

/// A text that `from` wrote in the chat with bob.
fn text(number: u64, from: &str, text: &str) -> NewMessage {
    let own = from == "alice";
    NewMessage {
        id: id(number),
        chat: name("bob").into(),
        direction: if own { Direction::Out } else { Direction::In },
        from: name(from),
        device: 1,
        kind: MessageKind::Text { text: SafeText::multi_line(text) },
        reply_to: None,
        sent_at: Timestamp(number),
        stored_at: Timestamp(number),
        state: if own { MessageState::Queued } else { MessageState::Received },
        reason: None,
        verified: false,
        key: None,
        mention: false,
    }
}
