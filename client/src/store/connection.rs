//! The store of a profile: one connection, one owner.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, backup::Backup};
use subrosa_protocol::SafeText;

use super::{
    Disk, Tx,
    error::{Result, StoreError},
    log,
    parsed_lists::ParsedLists,
    schema, sqlcipher,
};
use crate::{
    api::CheckItem,
    profile::{Locked, private_file, room},
};

/// The store of a profile. It owns the connection and the profile's lock; both end with it.
///
/// `Send`, not `Sync`: it lives on the one thread that decides.
pub struct Store {
    connection: Connection,
    path: Option<PathBuf>,
    /// Held until the connection is closed.
    lock: Option<Locked>,
    /// What a simulation makes fail; a store with a file has none.
    disk: Option<Disk>,
    group: Cell<Option<Group>>,
    parsed: ParsedLists,
}

/// Transactions that become durable together.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    /// The generation they raised to, once they did.
    raised: Option<u64>,
}

impl Store {
    /// Opens the store in the file at `path` with a raw key, without a profile around it; it is made (0600) when it is not
    /// there. The caller sees to it that nobody else has it open.
    ///
    /// # Errors
    /// [`StoreError`] when the key does not fit, the file is damaged or a newer version's, or cannot be written.
    pub fn open_at(path: &Path, key: &[u8; 32]) -> Result<Self> {
        Self::open(path, key, None)
    }

    /// The same, for the owner of a profile.
    pub(crate) fn open(path: &Path, key: &[u8; 32], lock: Option<Locked>) -> Result<Self> {
        let told = |error| StoreError::File { path: path.to_owned(), error };
        private_file::ensure(path).map_err(told)?;
        log::settle(path).map_err(told)?;
        let mut connection = sqlcipher::open(path, key)?;
        schema::migrate(&mut connection)?;
        Ok(Self {
            connection,
            path: Some(path.to_owned()),
            lock,
            disk: None,
            group: Cell::new(None),
            parsed: ParsedLists::default(),
        })
    }

    /// A store that nothing is ever written of, for tests and simulations.
    ///
    /// # Errors
    /// [`StoreError`] when memory is short.
    pub fn in_memory() -> Result<Self> {
        let mut connection = sqlcipher::in_memory()?;
        schema::migrate(&mut connection)?;
        Ok(Self {
            connection,
            path: None,
            lock: None,
            disk: None,
            group: Cell::new(None),
            parsed: ParsedLists::default(),
        })
    }

    /// A store in memory whose commits fail as `disk` is told: a copy of `original` as it is now, or a new one. For
    /// simulations, which clone worlds and restore old copies.
    ///
    /// # Errors
    /// [`StoreError`] when memory is short; [`StoreError::ReadOnly`] when `original` has a file, of which no copy that is
    /// not encrypted is ever made.
    pub fn in_memory_on(disk: Disk, original: Option<&Self>) -> Result<Self> {
        let Some(original) = original else { return Ok(Self { disk: Some(disk), ..Self::in_memory()? }) };
        if original.path.is_some() {
            return Err(StoreError::ReadOnly);
        }
        let mut connection = sqlcipher::in_memory()?;
        Backup::new(&original.connection, &mut connection)?.step(-1)?;
        Ok(Self {
            connection,
            path: None,
            lock: None,
            disk: Some(disk),
            group: Cell::new(None),
            parsed: ParsedLists::default(),
        })
    }

    /// Gives up durability (`synchronous=NORMAL`): a power cut then takes away what was committed. Only for the control run
    /// of the power-cut test, which must see that data is lost.
    ///
    /// # Errors
    /// [`StoreError`] when the setting cannot be made.
    #[doc(hidden)]
    pub fn sync_at_checkpoints_only(&self) -> Result<()> {
        Ok(self.connection.pragma_update(None, "synchronous", "NORMAL")?)
    }

    /// The profile that this store belongs to; `None` in memory.
    #[must_use]
    pub fn profile(&self) -> Option<&crate::profile::ProfilePaths> {
        self.lock.as_ref().map(Locked::paths)
    }

    /// Carries out changes: committed when `work` returns `Ok`, without a trace otherwise. What it returned is durable when
    /// this returns.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] when beginning or committing failed.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(tx) = self.part_of_group()? {
            let value = tx.attempt(work)?;
            self.group.set(Some(Group { raised: tx.raised.get() }));
            return Ok(value);
        }
        self.disk.as_ref().map_or(Ok(()), |disk| disk.begin(&self.connection))?;
        let tx = Tx::to_write(&self.connection, &self.parsed)?;
        let value = work(&tx)?;
        match &self.disk {
            None => tx.commit()?,
            Some(disk) => disk.commit(tx)?,
        }
        Ok(value)
    }

    /// Looks at one state of the store. Changes made by `work` are undone.
    ///
    /// # Errors
    /// What `work` returned, or [`StoreError`] when beginning failed.
    pub fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        if let Some(disk) = &self.disk {
            disk.read()?;
        }
        if let Some(tx) = self.part_of_group()? {
            return tx.undone(work);
        }
        let tx = Tx::to_read(&self.connection, &self.parsed)?;
        work(&tx)
    }

    /// From now until [`Store::commit_group`] all transactions are parts of one: each still leaves no trace when it fails,
    /// but what the others changed becomes durable with that call only. Whoever groups tells nothing of it before.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot begin; then nothing is grouped.
    pub fn begin_group(&mut self) -> Result<()> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.begin(&self.connection))?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.group.set(Some(Group::default()));
        Ok(())
    }

    /// Makes durable what the transactions since [`Store::begin_group`] changed.
    ///
    /// # Errors
    /// [`StoreError`] when that fails: then all of them have left no trace.
    pub fn commit_group(&mut self) -> Result<()> {
        let part = self.part_of_group();
        self.group.set(None);
        let Some(tx) = part? else { return Ok(()) };
        let committed = match &self.disk {
            None => tx.commit(),
            Some(disk) => disk.commit(tx),
        };
        if committed.is_err() && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        committed
    }

    /// The transaction of the group, while there is one.
    fn part_of_group(&self) -> Result<Option<Tx<'_>>> {
        let Some(group) = self.group.get() else { return Ok(None) };
        // After some errors (a full disk, a broken one) SQLite undoes the whole transaction by itself.
        if self.connection.is_autocommit() {
            return Err(StoreError::GroupUndone);
        }
        Ok(Some(Tx::in_group(&self.connection, group.raised, &self.parsed)))
    }

    /// Folds the write-ahead log into the file and empties it: what was deleted is overwritten from then on.
    ///
    /// # Errors
    /// [`StoreError`] when that fails; nothing is lost.
    pub fn checkpoint(&self) -> Result<()> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 {
            Ok(())
        } else {
            Err(StoreError::Setting { setting: "wal_checkpoint", expected: "0", got: busy.to_string() })
        }
    }

    /// Writes the whole file anew when something was deleted that must not be found any more, and folds in the log.
    ///
    /// `secure_delete` zeroes deleted rows, but not the copies that SQLite leaves in the unused part of a page when it
    /// moves rows between pages to balance a tree; those end here. Takes about as long as copying the file twice. Call it
    /// when there is time after [`Tx::delete_message`]; [`Store::close`] does it otherwise.
    ///
    /// # Errors
    /// [`StoreError`] when that fails, for want of room for instance; nothing is lost, and it is still due.
    pub fn scrub(&mut self) -> Result<()> {
        if self.read(|tx| tx.is_scrub_due())? {
            self.connection.execute_batch("VACUUM")?;
            self.transaction(|tx| tx.scrubbed())?;
        }
        if self.path.is_some() { self.checkpoint() } else { Ok(()) }
    }

    /// Closes the store: what is due of [`Store::scrub`] is done, the write-ahead log is folded in, its file removed, and
    /// the profile is free.
    ///
    /// # Errors
    /// [`StoreError`] when folding in failed; nothing is lost, the next opening does it.
    pub fn close(mut self) -> Result<()> {
        self.scrub()?;
        self.connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// Closes the store and removes the profile's files, for a profile whose creation came to nothing.
    ///
    /// # Errors
    /// [`StoreError::File`] when a file cannot be removed.
    pub fn destroy(self) -> Result<()> {
        let Self { connection, path, lock, .. } = self;
        drop(connection);
        let Some(store) = path else { return Ok(()) };
        // The vault first: without it there is no profile any more, whatever happens next.
        let vault = lock.as_ref().map(|lock| lock.paths().vault.clone());
        let files = ["", "-wal", "-shm"].map(|suffix| private_file::with_suffix(&store, suffix));
        for path in vault.into_iter().chain(files) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::File { path, error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks the store: settings, the authentication of every page, the structure, the search index, schema, permissions,
    /// and the disk below it.
    #[must_use]
    pub fn check(&self) -> Vec<CheckItem> {
        let mut items = vec![
            item("store settings", self.path.as_ref().map_or(Ok(()), |_| sqlcipher::check(&self.connection))),
            item("store pages", self.pages_are_authentic()),
            item("store structure", self.rows_say("PRAGMA quick_check", Some("ok"))),
            item("store references", self.rows_say("PRAGMA foreign_key_check", None)),
            item("search index", self.search_index_fits()),
        ];
        let version = schema::version(&self.connection);
        items.push(CheckItem {
            name: "store schema".into(),
            ok: version.is_ok(),
            detail: SafeText::single_line(
                &version.map_or_else(|e| e.to_string(), |v| format!("version {v}")),
            ),
        });
        if let Some(path) = &self.path {
            items.push(private_file::check(path));
            items.push(room::check(path));
        }
        items
    }

    /// Whether every row of a checking pragma says `fine`; no row says so too.
    fn rows_say(&self, pragma: &str, fine: Option<&str>) -> Result<()> {
        let mut statement = self.connection.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: rusqlite::types::Value = row.get(0)?;
            match (&said, fine) {
                (rusqlite::types::Value::Text(text), Some(fine)) if text == fine => {}
                _ => return Err(StoreError::Corrupt("page")),
            }
        }
        Ok(())
    }

    /// The pages in the file itself are checked, past the log: what power failing tore there stands whole in the log, so
    /// that is folded in first.
    fn pages_are_authentic(&self) -> Result<()> {
        if self.path.is_some() {
            self.checkpoint()?;
        }
        self.rows_say("PRAGMA cipher_integrity_check", None)
    }

    fn search_index_fits(&self) -> Result<()> {
        let sql = "INSERT INTO messages_text (messages_text, rank) VALUES ('integrity-check', 1)";
        self.connection.execute(sql, []).map(drop).map_err(|_| StoreError::Corrupt("search index"))
    }
}

fn item(name: &str, result: Result<()>) -> CheckItem {
    let detail = result.as_ref().map_or_else(ToString::to_string, |()| "as it should be".to_owned());
    CheckItem { name: name.to_owned(), ok: result.is_ok(), detail: SafeText::single_line(&detail) }
}

#[cfg(test)]
impl Store {
    /// The connection, for tests that look underneath.
    pub(super) const fn raw(&self) -> &Connection {
        &self.connection
    }
}
