-- Nothing in these tables says who sent an entry.
CREATE TABLE rooms (
    id         INTEGER PRIMARY KEY,
    room       BLOB    NOT NULL UNIQUE CHECK (length(room) = 16),
    owner_key  BLOB    NOT NULL CHECK (length(owner_key) = 32),
    generation INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    epoch      INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    next_seq   INTEGER NOT NULL DEFAULT 1 CHECK (next_seq >= 1),
    -- The first entry that is kept, or next_seq.
    first_seq  INTEGER NOT NULL DEFAULT 1 CHECK (first_seq BETWEEN 1 AND next_seq),
    -- Bytes of the entries that are kept, with their objects.
    bytes      INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    -- 1: nobody is in it any more; what is left of it is being deleted.
    gone       INTEGER NOT NULL DEFAULT 0 CHECK (gone IN (0, 1))
) STRICT;

-- The public rooms.
CREATE TABLE room_listings (
    room        INTEGER NOT NULL PRIMARY KEY REFERENCES rooms (id) ON DELETE CASCADE,
    slug        TEXT    NOT NULL UNIQUE,
    skeleton    TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL
) STRICT;

-- state: 0 invited, 1 joined, 2 removed (kept for a while, so that it can read how it was removed, and be in a reboot).
CREATE TABLE room_members (
    room       INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    device     INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    account    INTEGER NOT NULL REFERENCES accounts (id),
    state      INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
    since      INTEGER NOT NULL, -- the seq of the commit that added it; it reads what comes after
    until      INTEGER,          -- state 2: the seq of the commit that removed it
    removed_at INTEGER,          -- state 2: milliseconds since 1970
    cursor     INTEGER NOT NULL, -- what it has acknowledged; the entries after it are kept for it
    PRIMARY KEY (room, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_members_of_device ON room_members (device, state);
CREATE INDEX room_members_of_account ON room_members (account, state);
CREATE INDEX room_members_by_cursor ON room_members (room, cursor);

CREATE TABLE room_bans (
    room    INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    account TEXT    NOT NULL,
    PRIMARY KEY (room, account)
) STRICT, WITHOUT ROWID;

-- kind: 0 application, 1 proposal, 2 commit, 3 reboot.
CREATE TABLE room_entries (
    room        INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    kind        INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 3),
    generation  INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,  -- milliseconds since 1970
    size        INTEGER NOT NULL,  -- bytes of its body and its objects
    body        INTEGER NOT NULL,  -- room_bodies.id
    PRIMARY KEY (room, seq)
) STRICT, WITHOUT ROWID;

-- Leaves, which a commit of their epoch has to cover.
CREATE INDEX room_leaves ON room_entries (room, generation, epoch, seq) WHERE kind = 1;

-- Accepted entry ids, kept or long deleted: a repetition is recognised by them.
CREATE TABLE room_entry_ids (
    room        INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    seq         INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_entry_ids_in_order ON room_entry_ids (room, seq);

-- kind: 1 commit, 2 Welcome of a commit, 3 Welcome of a reboot, 4 GroupInfo. The GroupInfo belongs to no entry (seq 0).
CREATE TABLE room_objects (
    id   INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    hash BLOB    NOT NULL CHECK (length(hash) = 32),
    size INTEGER NOT NULL
) STRICT;
CREATE INDEX room_objects_of_room ON room_objects (room, seq);

CREATE TABLE room_pieces (
    object INTEGER NOT NULL REFERENCES room_objects (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    body   INTEGER NOT NULL, -- room_bodies.id
    PRIMARY KEY (object, number)
) STRICT, WITHOUT ROWID;

-- Like table bodies: laid out so that the bytes stand in overflow pages only (src/store/sqlite/body.rs). Nothing else may be
-- added to this table.
CREATE TABLE room_bodies (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE key_packages (
    device      INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    suite       INTEGER NOT NULL,
    key_id      INTEGER NOT NULL,
    last_resort INTEGER NOT NULL CHECK (last_resort IN (0, 1)),
    used        INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1)), -- of a last resort
    expires_at  INTEGER NOT NULL, -- milliseconds since 1970
    bytes       BLOB    NOT NULL,
    PRIMARY KEY (device, suite, key_id)
) STRICT;

-- The greatest number accepted of each suite: what is not above it is never accepted again.
CREATE TABLE key_package_marks (
    device  INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    suite   INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, suite)
) STRICT, WITHOUT ROWID;
