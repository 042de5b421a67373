-- What a relay says of a room is no proof, and what shows that it lies is kept.

-- Whether the relay says that this device is not in the room, though nobody took it out. The group stays.
ALTER TABLE rooms ADD COLUMN denied INTEGER NOT NULL DEFAULT 0;
-- Whether a Welcome was processed and the relay has not been told.
ALTER TABLE rooms ADD COLUMN accepting INTEGER NOT NULL DEFAULT 0;
-- Whether this device asked to leave, and has not heard whether it did.
ALTER TABLE rooms ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;

-- The commits that were followed last, as the relay gave them: should it show another one of the same epoch, here or to
-- another member, both are proof. `bytes` is NULL when the commit is too large to be kept beside its hash.
CREATE TABLE room_commits_seen (
    room        BLOB NOT NULL CHECK (length(room) = 16),
    generation  INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    entry       BLOB NOT NULL CHECK (length(entry) = 16),
    accepted_at INTEGER NOT NULL,
    account     TEXT NOT NULL,
    device      INTEGER NOT NULL,
    delta       BLOB NOT NULL,
    hash        BLOB NOT NULL CHECK (length(hash) = 32),
    bytes       BLOB,
    PRIMARY KEY (room, generation, epoch)
) STRICT, WITHOUT ROWID;

-- Proof that members of a room were shown different histories. With heads: what this device has, and what a member told.
-- With commits: two of one epoch, as the relay gave them to this device.
CREATE TABLE room_evidence (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    room          BLOB NOT NULL CHECK (length(room) = 16),
    found_at      INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    our_head      BLOB CHECK (length(our_head) = 32),
    their_head    BLOB CHECK (length(their_head) = 32),
    told_by       TEXT,
    told_device   INTEGER,
    told_message  BLOB CHECK (length(told_message) = 16),
    our_commit    BLOB,
    their_commit  BLOB
) STRICT;
CREATE INDEX room_evidence_room ON room_evidence (room, id);
