//! Looking into the stores that a killed program left. It is always a copy that is opened: opening recovers a store, and
//! that is for the program to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rusqlite::Connection;
use subrosa_client::{
    api::{Direction, MessageKind, MessageState},
    store::{Store, StoreError, Tx},
};
use subrosa_protocol::Username;
use subrosa_server::store::{SqliteStore, sqlite::SqliteOptions};

/// What a client's store says.
#[derive(Debug, Default)]
pub struct ClientView {
    /// What its own check complains about.
    pub wrong: Vec<String>,
    /// Ids of the envelopes in the outbox.
    pub outbox: BTreeSet<[u8; 16]>,
    /// How far the mailbox was read.
    pub cursor: u64,
    /// Numbers that the peer sent, in the order of the chat.
    pub displayed: Vec<u64>,
    /// Own numbers and how far they are.
    pub own: BTreeMap<u64, MessageState>,
    /// The state generation.
    pub generation: u64,
}

/// What a relay's database says of one account's only device.
#[derive(Debug, Default)]
pub struct MailboxView {
    /// What the checks complain about.
    pub wrong: Vec<String>,
    /// Every envelope id that was ever accepted (the last 20,000).
    pub accepted: BTreeSet<[u8; 16]>,
    /// What waits: place, id and sealed bytes' row.
    pub waiting: BTreeMap<u64, ([u8; 16], Vec<u8>)>,
    /// The next place.
    pub next_seq: u64,
}

/// Copies a database, its log and its journal, as they are now.
pub fn copy(folder: &Path, name: &str) -> tempfile::TempDir {
    let target = tempfile::tempdir().unwrap();
    for file in [name.to_owned(), format!("{name}-wal"), format!("{name}.mailbox-journal")] {
        let from = folder.join(&file);
        if from.exists() {
            std::fs::copy(from, target.path().join(file)).unwrap();
        }
    }
    target
}

/// Looks into a copy of the store in `folder`, for a chat with `peer`.
pub fn client(folder: &Path, key: &[u8; 32], peer: &str) -> Result<ClientView, StoreError> {
    client_at(copy(folder, "store.db").path(), key, peer)
}

/// Looks into the store in `folder` itself.
pub fn client_at(folder: &Path, key: &[u8; 32], peer: &str) -> Result<ClientView, StoreError> {
    let store = Store::open_at(&folder.join("store.db"), key)?;
    let peer = Username::new(peer).unwrap();
    let mut view = store.read(|tx| view_of(tx, &peer))?;
    let items = store.check();
    let bad = items.iter().filter(|item| !item.ok && item.name != "permissions");
    view.wrong = bad.map(|item| format!("{}: {}", item.name, item.detail.as_str())).collect();
    Ok(view)
}

fn view_of(tx: &Tx<'_>, peer: &Username) -> Result<ClientView, StoreError> {
    let mut view =
        ClientView { cursor: tx.mailbox_cursor()?, generation: tx.generation()?, ..ClientView::default() };
    for target in tx.outbox_targets()? {
        for row in tx.outbox_head(&target.account, target.device, 100_000, usize::MAX)? {
            view.outbox.insert(*row.envelope.as_bytes());
        }
    }
    let mut after = i64::MIN;
    loop {
        let page = tx.history(&peer.into(), None, Some(after), 500)?;
        for message in &page.messages {
            after = message.order;
            let MessageKind::Text { text } = &message.kind else { continue };
            let Ok(number) = text.as_str().parse() else { continue };
            if message.direction == Direction::Out {
                view.own.insert(number, message.state);
            } else {
                view.displayed.push(number);
            }
        }
        if !page.more_after {
            return Ok(view);
        }
    }
}

/// Looks into a copy of the relay's database in `folder`, as the relay would find it at its next start: with what is in
/// its journal.
///
/// # Panics
/// When the relay could not start on it.
pub fn relay(folder: &Path, account: &str) -> rusqlite::Result<MailboxView> {
    let copy = copy(folder, "rosad.db");
    drop(SqliteStore::open(&copy.path().join("rosad.db"), SqliteOptions::default()).unwrap());
    relay_at(copy.path(), account)
}

/// Looks into the relay's database in `folder` itself; what is only in its journal is not seen.
pub fn relay_at(folder: &Path, account: &str) -> rusqlite::Result<MailboxView> {
    let conn = Connection::open(folder.join("rosad.db"))?;
    let mut view = MailboxView::default();
    for (pragma, fine) in [("integrity_check", Some("ok")), ("foreign_key_check", None)] {
        let mut statement = conn.prepare(&format!("PRAGMA {pragma}"))?;
        let said = statement.query_map([], |row| Ok(format!("{:?}", row.get_ref(0)?.as_str())))?;
        for said in said.collect::<Result<Vec<_>, _>>()? {
            if fine.is_none_or(|fine| !said.contains(fine)) {
                view.wrong.push(format!("{pragma}: {said}"));
            }
        }
    }
    let sql = "SELECT d.id, d.next_seq FROM devices d JOIN accounts a ON a.id = d.account WHERE a.name = ?1";
    let (device, next_seq): (i64, u64) =
        conn.query_row(sql, [account], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
    view.next_seq = next_seq;
    let mut statement = conn.prepare("SELECT ids FROM accepted WHERE device = ?1")?;
    let runs = statement.query_map([device], |row| row.get::<_, Vec<u8>>(0))?;
    for run in runs {
        // Ids with their times.
        view.accepted.extend(run?.chunks(24).map(|entry| <[u8; 16]>::try_from(&entry[..16]).unwrap()));
    }
    let sql =
        "SELECT e.seq, e.id, b.body FROM envelopes e JOIN bodies b ON b.id = e.body WHERE e.device = ?1";
    let mut statement = conn.prepare(sql)?;
    let rows = statement
        .query_map([device], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), (row.get(1)?, row.get(2)?))))?;
    view.waiting = rows.collect::<Result<_, _>>()?;
    Ok(view)
}
