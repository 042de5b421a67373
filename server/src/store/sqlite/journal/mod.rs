//! The mailbox journal: a file of ours in front of the database, in which accepted and acknowledged envelopes become
//! durable with one write and one sync, and from which what still waits is folded into the database every few seconds
//! (docs/decisions/0017). What is acknowledged before that never reaches a tree.
//!
//! The file has a fixed size and is written with zeros when it is made, so that a sync has nothing but data to write.
//!
//! ```text
//! 0     "ROSAJRNL" | version u32 | zero u32 | salt 16 | check 16            the rest of 4 KiB is zero
//! 4096  batches, each from a multiple of 64 on: "bat1" | length u32 | number u64 | check 16 | records
//! ```
//!
//! Numbers rise by one from batch to batch, for ever. A check is SipHash-1-3 with 128 bits, keyed with the salt, of what
//! stands before it and after it: nobody who sends an envelope can make one whose bytes look like a batch. The database
//! knows the salt, and the number of the last batch that is folded in. Then the batches are overwritten with zeros (R44),
//! and the next one goes to the front.

pub(super) mod record;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::files;

const MAGIC: &[u8; 8] = b"ROSAJRNL";
const VERSION: u32 = 1;
/// Bytes of the file before the first batch.
const FRONT: usize = 4096;
/// Bytes of the front that are not zero.
const HEADER: usize = 48;
/// Where batches may begin.
const STEP: usize = 64;
const BATCH: &[u8; 4] = b"bat1";
/// Bytes of a batch before its records.
const BATCH_HEADER: usize = 32;
/// Bytes that are written at once.
const CHUNK: usize = 256 * 1024;
/// Largest journal that is read: a longer file is none of ours.
const LONGEST: u64 = 1 << 30;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Which journal a database has, and how much of it is folded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// `None`: none yet, or whatever lies there is not its own.
    pub(super) salt: Option<[u8; 16]>,
    /// The number of the last batch that is folded in.
    pub(super) folded: u64,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what was written.
    #[error("{0}")]
    Damaged(String),
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    salt: [u8; 16],
    /// The file's size.
    size: usize,
    /// Where the next batch goes.
    end: usize,
    /// Behind everything that was written since it was empty.
    touched: usize,
    /// The number of the last batch.
    number: u64,
    /// Whether batches are synced; only a control run does without.
    sync: bool,
}

/// A batch that was found: its number and where its records are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    number: u64,
    start: usize,
    end: usize,
}

/// The path of the journal of the database at `path`.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    files::with_suffix(path, ".mailbox-journal")
}

impl Journal {
    /// Opens the journal of the database at `path`, or makes one of `size` bytes. Answers it with the records of the
    /// batches that are not folded in, which are on the disk now whatever became of their syncs. When its salt is not the
    /// mark's, it is a new one, and the database must be told.
    pub(super) fn open(
        path: &Path,
        mark: Mark,
        size: usize,
        sync: bool,
    ) -> Result<(Self, Vec<Vec<u8>>), JournalError> {
        let path = beside(path);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if mark.salt.is_some() {
                    tracing::warn!("the mailbox journal is missing: messages that were only in it are lost");
                }
                return Ok((Self::create(&path, size, sync)?, Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = whole(&file)?;
        let Some(salt) = mark.salt else {
            // This database never had a journal: what lies here belongs to another state, and must not stay readable.
            zero(&file, FRONT, bytes.len())?;
            file.sync_data()?;
            return Ok((Self::create(&path, size, sync)?, Vec::new()));
        };
        if is_empty_other(&bytes, &salt) {
            // A new one was made, and the database was not told in time.
            return Ok((Self::create(&path, size, sync)?, Vec::new()));
        }
        let fresh = look_through(&bytes, &salt, mark.folded)?;
        let end = fresh.last().map_or(FRONT, |last| last.end.next_multiple_of(STEP));
        let number = fresh.last().map_or(mark.folded, |last| last.number);
        let journal = Self { file, salt, size: bytes.len(), end, touched: end, number, sync };
        let mut batches = Vec::with_capacity(fresh.len());
        for found in &fresh {
            batches.push(bytes.get(found.start..found.end).unwrap_or_default().to_vec());
        }
        let half = bytes.get(end..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0));
        if let Some(used) = bytes.get(..end).filter(|_| !fresh.is_empty()) {
            // A batch whose sync failed was refused, but the system shows it although the disk may not have it.
            write(&journal.file, used, 0)?;
        }
        if half {
            // What was folded in and not yet overwritten, or half a batch.
            zero(&journal.file, end, bytes.len())?;
        }
        if half || !fresh.is_empty() {
            journal.file.sync_data()?;
        }
        Ok((journal, batches))
    }

    /// Makes an empty journal; complete, or not there at all.
    fn create(path: &Path, size: usize, sync: bool) -> Result<Self, JournalError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        let partial = files::with_suffix(path, ".new");
        let size = size.max(2 * FRONT).next_multiple_of(FRONT);
        let made = make(&partial, path, &salt, size);
        if made.is_err() {
            // On a full disk it would stand in the way of the next try.
            let _ = fs::remove_file(&partial);
        }
        Ok(Self { file: made?, salt, size, end: FRONT, touched: FRONT, number: 0, sync })
    }

    /// Which one it is.
    pub(super) fn salt(&self) -> [u8; 16] {
        self.salt
    }

    /// The number of the last batch.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether records of so many bytes fit behind what is there.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.end.saturating_add(BATCH_HEADER).saturating_add(bytes) <= self.size
    }

    /// Whether they fit into an empty journal.
    pub(super) fn could_hold(&self, bytes: usize) -> bool {
        (FRONT + BATCH_HEADER).saturating_add(bytes) <= self.size
    }

    /// Whether three quarters are used.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.end > self.size / 4 * 3
    }

    /// Puts room for a batch's header in front of its records.
    pub(super) fn begin(batch: &mut Vec<u8>) {
        batch.clear();
        batch.resize(BATCH_HEADER, 0);
    }

    /// Whether a batch that was begun has records.
    pub(super) fn has_records(batch: &[u8]) -> bool {
        batch.len() > BATCH_HEADER
    }

    /// Writes a batch that was begun. It is durable only after [`Journal::sync`].
    pub(super) fn write(&mut self, batch: &mut [u8]) -> io::Result<()> {
        let number = self.number + 1;
        let length = u32::try_from(batch.len() - BATCH_HEADER).unwrap_or(u32::MAX);
        if self.end.saturating_add(batch.len()) > self.size || length == u32::MAX {
            return Err(ErrorKind::StorageFull.into());
        }
        let (header, records) = batch.split_at_mut(BATCH_HEADER);
        header.copy_from_slice(&batch_header(&self.salt, number, length, records));
        self.touched = self.touched.max(self.end + batch.len());
        write(&self.file, batch, self.end)?;
        self.end = (self.end + batch.len()).next_multiple_of(STEP).min(self.size);
        self.number = number;
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.sync { self.file.sync_data() } else { Ok(()) }
    }

    /// Overwrites everything with zeros, durably, and begins anew: the batches are folded in.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if self.touched > FRONT {
            zero(&self.file, FRONT, self.touched)?;
            self.sync()?;
            (self.end, self.touched) = (FRONT, FRONT);
        }
        Ok(())
    }
}

/// Looks at the journal of the database at `path` without changing it, while no relay runs. Answers how many batches wait
/// to be folded in.
pub(super) fn inspect(path: &Path, mark: Mark) -> Result<u64, JournalError> {
    let file = match File::open(beside(path)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let Some(salt) = mark.salt else { return Ok(0) };
    Ok(look_through(&whole(&file)?, &salt, mark.folded)?.len() as u64)
}

/// The batches that are not folded in, in order.
fn look_through(bytes: &[u8], salt: &[u8; 16], folded: u64) -> Result<Vec<Found>, JournalError> {
    let damaged = |what: String| Err(JournalError::Damaged(what));
    match bytes.first_chunk::<HEADER>() {
        Some(header) if header == &front(salt) => {}
        Some(header) if header.starts_with(MAGIC) && is_front(header) => {
            return damaged("it belongs to another database".to_owned());
        }
        _ => return damaged("its header is not one".to_owned()),
    }
    let mut fresh: Vec<Found> = Vec::new();
    let mut at = FRONT;
    while at < bytes.len() {
        match batch_at(bytes, at, salt) {
            Some(found) => {
                at = found.end.next_multiple_of(STEP);
                if found.number > folded {
                    fresh.push(found);
                }
            }
            None => at += STEP,
        }
    }
    // Each batch is synced before the next is written: only the last one can be half there, and it was never answered.
    for (found, expected) in fresh.iter().zip(folded + 1..) {
        if found.number != expected {
            return damaged(format!(
                "batch {expected} is damaged or missing and batch {} is there: messages that were accepted would be lost",
                found.number
            ));
        }
    }
    Ok(fresh)
}

fn batch_at(bytes: &[u8], at: usize, salt: &[u8; 16]) -> Option<Found> {
    let start = at.checked_add(BATCH_HEADER)?;
    let header: &[u8; BATCH_HEADER] = bytes.get(at..start)?.first_chunk()?;
    if !header.starts_with(BATCH) {
        return None;
    }
    let length = u32::from_le_bytes(*header.get(4..)?.first_chunk()?);
    let number = u64::from_le_bytes(*header.get(8..)?.first_chunk()?);
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let expected = batch_header(salt, number, length, bytes.get(start..end)?);
    (*header == expected && length > 0).then_some(Found { number, start, end })
}

fn batch_header(salt: &[u8; 16], number: u64, length: u32, records: &[u8]) -> [u8; BATCH_HEADER] {
    let mut header = [0; BATCH_HEADER];
    let (plain, check) = header.split_at_mut(16);
    let fields = BATCH.iter().copied().chain(length.to_le_bytes()).chain(number.to_le_bytes());
    plain.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    check.copy_from_slice(&checked(salt, &[plain, records]));
    header
}

/// The front's bytes that are not zero.
fn front(salt: &[u8; 16]) -> [u8; HEADER] {
    let mut front = [0; HEADER];
    let (plain, check) = front.split_at_mut(32);
    let fields = MAGIC.iter().copied().chain(VERSION.to_le_bytes()).chain([0; 4]).chain(*salt);
    plain.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    check.copy_from_slice(&checked(salt, &[plain]));
    front
}

/// Whether these are the first bytes of some journal.
fn is_front(header: &[u8; HEADER]) -> bool {
    let salt = header.get(16..).and_then(|rest| rest.first_chunk::<16>());
    salt.is_some_and(|salt| *header == front(salt))
}

/// Whether these bytes are a sound journal of another salt that has no batch.
fn is_empty_other(bytes: &[u8], salt: &[u8; 16]) -> bool {
    let other = bytes.get(16..).and_then(|rest| rest.first_chunk::<16>());
    other.is_some_and(|other| {
        other != salt && look_through(bytes, other, 0).is_ok_and(|found| found.is_empty())
    })
}

fn checked(salt: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    use std::hash::Hasher as _;
    let mut hasher = SipHasher13::new_with_key(salt);
    parts.iter().for_each(|part| hasher.write(part));
    hasher.finish128().as_bytes()
}

/// Writes an empty journal to `partial` and gives it its name.
fn make(partial: &Path, path: &Path, salt: &[u8; 16], size: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(partial)?;
    write(&file, &front(salt), 0)?;
    zero(&file, HEADER, size)?;
    files::rename(&file, partial, path)?;
    Ok(file)
}

fn whole(file: &File) -> Result<Vec<u8>, JournalError> {
    let length = file.metadata()?.len();
    if length > LONGEST {
        return Err(JournalError::Damaged(format!("it has {length} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn write(file: &File, bytes: &[u8], at: usize) -> io::Result<()> {
    file.write_all_at(bytes, at as u64)
}

fn zero(file: &File, from: usize, to: usize) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let chunk = ZEROS.get(..(to - at).min(CHUNK)).unwrap_or(&ZEROS);
        write(file, chunk, at)?;
        at += chunk.len();
    }
    Ok(())
}
