//! What the log shows at the start is on the disk before anything is built on it.
//!
//! A commit whose sync failed was refused, but its bytes stand in the log, and the system shows them although they may
//! never have got to the disk. The next start would find that commit whole, answer its repetition with "accepted", and
//! append to it; a power cut then ends the log before all of that. Written once more and synced, the bytes are there.

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

use super::files::with_suffix;

/// Bytes at a time.
const CHUNK: usize = 1024 * 1024;

/// Writes the log of the database at `path` once more, in place, and syncs it. Nobody may have the database open.
///
/// # Errors
/// What the system says. A full disk is no error: a file system that needs room to write in place keeps no bytes in memory
/// that it could not write.
pub(super) fn settle(path: &Path) -> io::Result<()> {
    let log = with_suffix(path, "-wal");
    let file = match OpenOptions::new().read(true).write(true).open(&log) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut chunk, at)?;
        let Some(bytes) = chunk.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        match file.write_all_at(bytes, at) {
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            written => written?,
        }
        at += bytes.len() as u64;
    }
    if at > 0 { file.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_as_it_is_and_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db");
        settle(&path).unwrap();
        assert!(!with_suffix(&path, "-wal").exists());
        let bytes: Vec<u8> = (0..CHUNK + 7).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(with_suffix(&path, "-wal"), &bytes).unwrap();
        settle(&path).unwrap();
        assert!(std::fs::read(with_suffix(&path, "-wal")).unwrap() == bytes);
    }
}
