//! Opening a database: what it must be, its schema's version, a backup before a migration.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use refinery::Runner;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    SqliteOptions, backup,
    body::PAGE,
    files, journal, log, ops,
    thread::{BUSY, Thread},
};

mod embedded {
    refinery::embed_migrations!("src/store/sqlite/migrations");
}

/// `PRAGMA application_id` of a relay's database: "Rosa".
const APPLICATION_ID: i64 = 0x526f_7361;
/// The log is copied into the database when it has this many pages (32 MiB): a page that is written again and again in
/// that time, as those of a busy mailbox are, is copied once.
const CHECKPOINT_PAGES: u32 = 16384;
/// The log's file is cut to this many bytes after it had to grow beyond.
const LOG_BYTES: u64 = 64 * 1024 * 1024;

/// The schema that has a journal.
const JOURNAL_SINCE: u32 = 2;

/// Why a database cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// File or directory cannot be written. Check owner, permissions and mount, or name another directory.
    #[error("cannot write {}: {source}", path.display())]
    NotWritable {
        /// The database.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is something else. Name another path, or move the file away.
    #[error("{} is not a relay's database: {why}", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What gives it away.
        why: String,
    },
    /// A newer rosad wrote it. Use that version, or restore the backup it made when it upgraded (R58).
    #[error("{} has schema version {found}, and this rosad knows versions up to {known}", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The system does not give what durability needs (R56), for instance on a file system without shared memory.
    #[error("{} cannot be written durably: {what} is {found}", path.display())]
    NotDurable {
        /// The database.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// What it reads back as.
        found: String,
    },
    /// The backup before a migration failed; the migration was not begun. Make room.
    #[error("the backup {} could not be written: {why}", path.display())]
    Backup {
        /// Where it was to be.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The mailbox journal beside the database is damaged, or belongs to another one. Restore both from a backup, or move
    /// the journal away: what was only in it is lost then, at most the last seconds of messages.
    #[error("{}.mailbox-journal cannot be used: {why}; restore the database and the journal together, or move the journal \
             away and lose the messages that are only in it", path.display())]
    Journal {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The migration failed and was rolled back. The backup stands beside the database.
    #[error("{} could not be brought to the current schema: {why}", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Anything else that SQLite reports: a damaged file, a lock held by another program.
    #[error("{} cannot be opened: {why}", path.display())]
    Failed {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
}

/// What a look at a database shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The schema's version; 0 before the first migration.
    pub schema_version: u32,
    /// The newest version this program knows.
    pub newest_known: u32,
    /// What SQLite's integrity check says when it is not content.
    pub problem: Option<String>,
}

/// Looks at a database without changing it; the relay may be running.
///
/// # Errors
/// [`OpenError`] when there is none, or it is not one.
pub fn inspect(path: &Path) -> Result<Inspection, OpenError> {
    let conn = look(path)?;
    let fail = |error| sqlite_error(path, &error);
    let verdict: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(fail)?;
    Ok(Inspection {
        schema_version: schema_version(&conn).map_err(fail)?,
        newest_known: newest(&embedded::migrations::runner()),
        problem: (verdict != "ok").then_some(verdict),
    })
}

/// The connection that writes, on a database of the current schema.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    open_with(path, options, embedded::migrations::runner())
}

/// A connection that reads.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096")
        .and_then(|()| conn.busy_timeout(BUSY))
        .map_err(|error| sqlite_error(path, &error))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Looks at the journal of the database at `path` without changing it; no relay may be running. Answers how many batches
/// of it are not in the database yet.
///
/// # Errors
/// [`OpenError`] when it is damaged, or cannot be read.
pub fn inspect_journal(path: &Path) -> Result<u64, OpenError> {
    let conn = look(path)?;
    if schema_version(&conn).map_err(|error| sqlite_error(path, &error))? < JOURNAL_SINCE {
        return Ok(0);
    }
    let journal = |why| OpenError::Journal { path: path.to_owned(), why };
    let mark = ops::fold::mark(&conn).map_err(|error| journal(error.to_string()))?;
    journal::inspect(path, mark).map_err(|error| journal(error.to_string()))
}

pub(super) fn open_with(
    path: &Path,
    options: &SqliteOptions,
    runner: Runner,
) -> Result<Connection, OpenError> {
    let known = newest(&runner);
    let existed = fs::metadata(path).is_ok_and(|meta| meta.len() > 0);
    if existed {
        let conn = look(path)?;
        let found = schema_version(&conn).map_err(|error| sqlite_error(path, &error))?;
        if found > known {
            return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
        }
    }
    create(path)?;
    log::settle(path).map_err(|source| OpenError::NotWritable { path: path.to_owned(), source })?;
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    configure(path, &conn, options)?;
    let found = schema_version(&conn).map_err(|error| sqlite_error(path, &error))?;
    if (JOURNAL_SINCE..known).contains(&found) {
        // The backup is of the tables, and so is what the migration knows.
        conn = Thread::settle(path, conn, &Arc::new(options.clone()))?;
    }
    if (1..known).contains(&found) {
        back_up(path, &conn, found)?;
    }
    runner
        .set_grouped(true)
        .run(&mut conn)
        .map_err(|error| OpenError::Migration { path: path.to_owned(), why: error.to_string() })?;
    expect(path, &conn, "foreign_keys", "ON", "1")?;
    Ok(conn)
}

/// The version after all of the runner's migrations.
fn newest(runner: &Runner) -> u32 {
    let versions =
        runner.get_migrations().iter().map(|migration| u32::try_from(migration.version()).unwrap_or(0));
    versions.max().unwrap_or(0)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| sqlite_error(path, &error))
}

/// Opens an existing file for reading only and makes sure that it is a relay's database.
fn look(path: &Path) -> Result<Connection, OpenError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let fail = |error| sqlite_error(path, &error);
    conn.busy_timeout(BUSY).map_err(fail)?;
    let id: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(fail)?;
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    // A first start that was cut short leaves an empty database without an id.
    if id != APPLICATION_ID && tables > 0 {
        return Err(OpenError::NotOurs { path: path.to_owned(), why: "another program made it".into() });
    }
    Ok(conn)
}

fn schema_version(conn: &Connection) -> rusqlite::Result<u32> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    if conn.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    conn.query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| row.get(0))
}

/// Makes sure that the file exists, is the owner's alone, and can be written.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    let not_writable = |source| OpenError::NotWritable { path: path.to_owned(), source };
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(not_writable)?;
    files::sync_folder(path).map_err(not_writable)
}

/// As [`create`], and the file is empty: what is left of an earlier try is removed.
pub(super) fn create_anew(path: &Path) -> Result<(), OpenError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::NotWritable { path: path.to_owned(), source })
        }
        _ => create(path),
    }
}

fn configure(path: &Path, conn: &Connection, options: &SqliteOptions) -> Result<(), OpenError> {
    conn.busy_timeout(BUSY).map_err(|error| sqlite_error(path, &error))?;
    conn.set_prepared_statement_cache_capacity(128);
    // Before the first write, for it cannot be changed later; sealed bodies are laid out for it.
    expect(path, conn, "page_size", &PAGE.to_string(), &PAGE.to_string())?;
    expect(path, conn, "journal_mode", "WAL", "wal")?;
    let (synchronous, level) = if options.sync_at_checkpoints_only { ("NORMAL", "1") } else { ("FULL", "2") };
    expect(path, conn, "synchronous", synchronous, level)?;
    // Deleted bytes are zeroed (R44), and nothing is ever written to temporary files.
    expect(path, conn, "secure_delete", "ON", "1")?;
    expect(path, conn, "temp_store", "MEMORY", "2")?;
    let pages = options.max_database_bytes.map(|bytes| bytes / PAGE as u64);
    let limit = pages.map(|pages| format!("PRAGMA max_page_count = {pages};")).unwrap_or_default();
    conn.execute_batch(&format!(
        "PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA cache_size = -16384; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = {LOG_BYTES}; {limit}"
    ))
    .map_err(|error| sqlite_error(path, &error))
}

/// Sets a pragma and reads it back.
fn expect(
    path: &Path,
    conn: &Connection,
    what: &'static str,
    value: &str,
    expected: &str,
) -> Result<(), OpenError> {
    let fail = |error| sqlite_error(path, &error);
    conn.execute_batch(&format!("PRAGMA {what} = {value}")).map_err(fail)?;
    let found = conn
        .query_row(&format!("PRAGMA {what}"), [], |row| {
            Ok(match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or_default().to_owned(),
            })
        })
        .map_err(fail)?;
    if found == expected { Ok(()) } else { Err(OpenError::NotDurable { path: path.to_owned(), what, found }) }
}

/// A copy of the database beside it, complete before the migration begins (R58).
fn back_up(path: &Path, conn: &Connection, version: u32) -> Result<(), OpenError> {
    let beside = |ending: &str| files::with_suffix(path, &format!(".v{version}{ending}"));
    let (partial, backup) = (beside(".partial"), beside(".backup"));
    let fail = |why: String| OpenError::Backup { path: backup.clone(), why };
    create_anew(&partial).map_err(|error| fail(error.to_string()))?;
    let target = partial.to_str().ok_or_else(|| fail("its path is not UTF-8".into()))?;
    conn.execute("VACUUM INTO ?1", [target]).map_err(|error| fail(error.to_string()))?;
    if version >= JOURNAL_SINCE {
        backup::disown(&partial).map_err(|error| fail(error.to_string()))?;
    }
    fs::File::open(&partial)
        .and_then(|file| files::rename(&file, &partial, &backup))
        .map_err(|error| fail(error.to_string()))
}

fn sqlite_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let (path, why) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotOurs { path, why },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            OpenError::NotWritable { path, source: io::Error::new(io::ErrorKind::PermissionDenied, why) }
        }
        Some(ErrorCode::DiskFull) => {
            OpenError::NotWritable { path, source: io::Error::new(io::ErrorKind::StorageFull, why) }
        }
        _ => OpenError::Failed { path, why },
    }
}
