-- "Rosa": which program's database this is.
PRAGMA application_id = 0x526f7361;

CREATE TABLE accounts (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    display_name   TEXT    NOT NULL,
    account_key    BLOB    NOT NULL CHECK (length(account_key) = 32),
    opaque_record  BLOB    NOT NULL,
    admin          INTEGER NOT NULL CHECK (admin IN (0, 1)),
    list_version   INTEGER NOT NULL CHECK (list_version >= 1),
    -- The greatest device number ever given in this account; numbers are never given again.
    highest_device INTEGER NOT NULL
) STRICT;

-- Every version is kept: clients follow the hash chain.
CREATE TABLE device_lists (
    account   INTEGER NOT NULL REFERENCES accounts (id),
    version   INTEGER NOT NULL,
    devices   BLOB    NOT NULL CHECK (length(devices) % 4 = 0), -- device numbers, u32 little-endian
    bytes     BLOB    NOT NULL,
    signature BLOB    NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (account, version)
) STRICT;

-- The devices of the current lists, and their mailboxes' state.
CREATE TABLE devices (
    id            INTEGER PRIMARY KEY,
    account       INTEGER NOT NULL REFERENCES accounts (id),
    device        INTEGER NOT NULL CHECK (device BETWEEN 1 AND 4294967295),
    signing_key   BLOB    NOT NULL CHECK (length(signing_key) = 32),
    generation    INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    last_seen_day INTEGER NOT NULL,           -- days since 1970
    next_seq      INTEGER NOT NULL DEFAULT 1 CHECK (next_seq >= 1),
    pending       INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
    pending_bytes INTEGER NOT NULL DEFAULT 0 CHECK (pending_bytes >= 0),
    UNIQUE (account, device)
) STRICT;

-- kind: 1 signed, 2 one-time X25519, 3 last-resort ML-KEM-768, 4 one-time ML-KEM-768 (as inside the prekey).
CREATE TABLE prekeys (
    device INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    kind   INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    key_id INTEGER NOT NULL,
    bytes  BLOB    NOT NULL,
    PRIMARY KEY (device, kind, key_id)
) STRICT;

-- The greatest number accepted of each kind: what is not above it is never accepted again.
CREATE TABLE prekey_marks (
    device  INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    kind    INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    highest INTEGER NOT NULL,
    PRIMARY KEY (device, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE envelopes (
    device      INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    accepted_at INTEGER NOT NULL,             -- milliseconds since 1970
    size        INTEGER NOT NULL,             -- sealed bytes
    body        INTEGER NOT NULL,             -- bodies.id
    PRIMARY KEY (device, seq)
) STRICT, WITHOUT ROWID;

-- Sealed bytes, laid out so that they stand in overflow pages only (src/store/sqlite/body.rs). Nothing else may be added
-- to this table: its layout depends on the row's header.
CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

-- Accepted envelope ids, pending or long delivered: a repetition is recognised by them.
CREATE TABLE accepted_ids (
    device      INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    seq         INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (device, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX accepted_ids_in_order ON accepted_ids (device, seq);

CREATE TABLE invites (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the secret
    uses       INTEGER NOT NULL CHECK (uses > 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    admin      INTEGER NOT NULL CHECK (admin IN (0, 1))
) STRICT, WITHOUT ROWID;
