//! What shows that a relay lies about a room: the commits that were followed last, and contradictions to them (R29).

use rusqlite::{Row, params};
use subrosa_protocol::{MessageId, RoomId, Username};

use super::{
    StoreError, Tx,
    error::Result,
    limits::{COMMIT_KEPT_BYTES, COMMITS_KEPT, EVIDENCE_PER_ROOM},
    rows::{Columns, clamped, counter},
};
use crate::api::{SeenCommit, time::Timestamp};

/// A commit that was followed, or another one of its epoch.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The group's generation.
    pub generation: u32,
    /// The epoch it was made in.
    pub epoch: u64,
    /// Its place in the log.
    pub seq: u64,
    /// The entry's id.
    pub entry: [u8; 16],
    /// When the relay accepted it, ms since 1970.
    pub accepted_at: u64,
    /// Who made it; unknown for what was not followed.
    pub by: Option<(&'a str, u32)>,
    /// The encoded delta.
    pub delta: &'a [u8],
    /// Its SHA-256.
    pub hash: [u8; 32],
    /// The MLS commit.
    pub bytes: &'a [u8],
}

impl Commit<'_> {
    /// As front ends see it.
    #[must_use]
    pub fn shown(&self) -> SeenCommit {
        SeenCommit {
            seq: self.seq,
            epoch: self.epoch,
            entry: subrosa_protocol::EntryId::from_bytes(self.entry).to_string(),
            accepted_at: Timestamp(self.accepted_at),
            by: self.by.map(|(account, device)| format!("{account}/{device}")),
            delta: hex(self.delta),
            hash: hex(&self.hash),
            commit: (self.bytes.len() <= COMMIT_KEPT_BYTES).then(|| hex(self.bytes)),
        }
    }
}

/// A contradiction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// When it was found, ms since 1970.
    pub found_at: u64,
    /// The group's generation.
    pub generation: u32,
    /// The epoch.
    pub epoch: u64,
    /// The own head of that epoch.
    pub our_head: Option<[u8; 32]>,
    /// Another head, and who told it in which message.
    pub theirs: Option<([u8; 32], Username, u32, MessageId)>,
    /// The commit that was followed.
    pub our_commit: Option<SeenCommit>,
    /// The other one.
    pub their_commit: Option<SeenCommit>,
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn read_commit(row: &Row<'_>) -> Result<SeenCommit> {
    let (account, device): (String, u32) = (row.get(4)?, row.get(5)?);
    Ok(SeenCommit {
        epoch: row.number(0)?,
        seq: row.number(1)?,
        entry: subrosa_protocol::EntryId::from_bytes(row.get(2)?).to_string(),
        accepted_at: Timestamp(row.number(3)?),
        by: Some(format!("{account}/{device}")),
        delta: hex(&row.get::<_, Vec<u8>>(6)?),
        hash: hex(&row.get::<_, [u8; 32]>(7)?),
        commit: row.get::<_, Option<Vec<u8>>>(8)?.map(|bytes| hex(&bytes)),
    })
}

fn to_json(commit: Option<&SeenCommit>) -> Result<Option<Vec<u8>>> {
    let json = commit.map(serde_json::to_vec).transpose();
    json.map_err(|_| StoreError::Corrupt("evidence"))
}

fn of_json(row: &Row<'_>, column: usize) -> Result<Option<SeenCommit>> {
    let json: Option<Vec<u8>> = row.get(column)?;
    let commit = json.map(|json| serde_json::from_slice(&json)).transpose();
    commit.map_err(|_| StoreError::Corrupt("evidence"))
}

impl Tx<'_> {
    /// Keeps a commit that was followed. Of a room at most [`COMMITS_KEPT`], and of one that is larger than
    /// [`COMMIT_KEPT_BYTES`] the hash alone.
    pub fn commit_seen(&self, room: RoomId, commit: &Commit<'_>) -> Result<()> {
        let Some((account, device)) = commit.by else { return Ok(()) };
        let sql = "INSERT OR REPLACE INTO room_commits_seen (room, generation, epoch, seq, entry, accepted_at, account,
                   device, delta, hash, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let bytes = (commit.bytes.len() <= COMMIT_KEPT_BYTES).then_some(commit.bytes);
        self.run(
            sql,
            params![
                room.as_bytes(),
                commit.generation,
                counter(commit.epoch)?,
                counter(commit.seq)?,
                commit.entry,
                clamped(commit.accepted_at),
                account,
                device,
                commit.delta,
                commit.hash,
                bytes,
            ],
        )?;
        let old = "DELETE FROM room_commits_seen WHERE room = ?1 AND (generation < ?2 OR epoch < ?3)";
        let first = commit.epoch.saturating_sub(COMMITS_KEPT - 1);
        self.run(old, params![room.as_bytes(), commit.generation, clamped(first)])?;
        Ok(())
    }

    /// The commit that was followed in an epoch, if it is still kept.
    pub fn seen_commit(&self, room: RoomId, generation: u32, epoch: u64) -> Result<Option<SeenCommit>> {
        let sql = "SELECT epoch, seq, entry, accepted_at, account, device, delta, hash, bytes FROM room_commits_seen
                   WHERE room = ?1 AND generation = ?2 AND epoch = ?3";
        self.one(sql, params![room.as_bytes(), generation, counter(epoch)?], read_commit)
    }

    /// Keeps proof that a room's histories differ; of one room at most [`EVIDENCE_PER_ROOM`] pieces, and the same only once.
    /// Whether it was kept.
    pub fn put_room_evidence(&self, room: RoomId, found: &Contradiction) -> Result<bool> {
        let before = self.room_evidence(room)?;
        let same = |other: &Contradiction| {
            let head = |found: &Contradiction| found.theirs.as_ref().map(|(head, ..)| *head);
            let hash = |found: &Contradiction| found.their_commit.as_ref().map(|commit| commit.hash.clone());
            (other.generation, other.epoch, head(other), hash(other))
                == (found.generation, found.epoch, head(found), hash(found))
        };
        if before.len() >= EVIDENCE_PER_ROOM || before.iter().any(same) {
            return Ok(false);
        }
        let sql = "INSERT INTO room_evidence (room, found_at, generation, epoch, our_head, their_head, told_by, told_device,
                   told_message, our_commit, their_commit) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let theirs = found.theirs.as_ref();
        self.run(
            sql,
            params![
                room.as_bytes(),
                clamped(found.found_at),
                found.generation,
                counter(found.epoch)?,
                found.our_head,
                theirs.map(|(head, ..)| *head),
                theirs.map(|(_, by, ..)| by.as_str()),
                theirs.map(|(_, _, device, _)| *device),
                theirs.map(|(.., message)| *message.as_bytes()),
                to_json(found.our_commit.as_ref())?,
                to_json(found.their_commit.as_ref())?,
            ],
        )?;
        Ok(true)
    }

    /// The proof about a room, oldest first.
    pub fn room_evidence(&self, room: RoomId) -> Result<Vec<Contradiction>> {
        let sql = "SELECT found_at, generation, epoch, our_head, their_head, told_by, told_device, told_message, our_commit,
                   their_commit FROM room_evidence WHERE room = ?1 ORDER BY id";
        self.all(sql, [room.as_bytes()], |row| {
            let theirs = match row.get::<_, Option<[u8; 32]>>(4)? {
                Some(head) => Some((head, row.account(5)?, row.get(6)?, row.message_id(7)?)),
                None => None,
            };
            Ok(Contradiction {
                found_at: row.number(0)?,
                generation: row.get(1)?,
                epoch: row.number(2)?,
                our_head: row.get(3)?,
                theirs,
                our_commit: of_json(row, 8)?,
                their_commit: of_json(row, 9)?,
            })
        })
    }
}
