-- Rooms: what this device knows of each, what is on its way to it. The state of MLS stands in tables of its own.

-- `chat` is the room's name in `messages` and `chats`; `label` is what people type, without #, and never changes.
-- `cursor` is the highest seq of the log that was dealt with.
CREATE TABLE rooms (
    room         BLOB PRIMARY KEY CHECK (length(room) = 16),
    chat         TEXT NOT NULL UNIQUE,
    label        TEXT NOT NULL UNIQUE,
    state        INTEGER NOT NULL,
    public       INTEGER NOT NULL,
    slug         TEXT,
    name         TEXT NOT NULL,
    topic        TEXT NOT NULL,
    description  TEXT NOT NULL,
    role         INTEGER,
    members      INTEGER NOT NULL,
    suite        TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    cursor       INTEGER NOT NULL,
    owner_secret BLOB CHECK (length(owner_secret) = 32),
    -- The one that follows, until the commit that brings it is read.
    next_secret  BLOB CHECK (length(next_secret) = 32),
    invited_by   TEXT,
    invitation   BLOB,
    muted        INTEGER NOT NULL,
    -- Why the log cannot be followed any further before an owner makes the group anew.
    refused      TEXT
) STRICT, WITHOUT ROWID;

-- Messages to rooms. `sealed` and the epoch it was made in are there once it was encrypted; `counter` and `prev_hash`, its
-- place in this device's chain, stay when it has to be encrypted again. `seq` is there once the relay has it, until the
-- log comes there.
CREATE TABLE room_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    room       BLOB NOT NULL CHECK (length(room) = 16),
    entry      BLOB NOT NULL UNIQUE CHECK (length(entry) = 16),
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    content    BLOB NOT NULL,
    sealed     BLOB,
    generation INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    counter    INTEGER,
    prev_hash  BLOB CHECK (length(prev_hash) = 32),
    seq        INTEGER,
    attempts   INTEGER NOT NULL,
    next_try   INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX room_outbox_room ON room_outbox (room, id);
CREATE INDEX room_outbox_message ON room_outbox (message_id);

-- The one commit of this device that a room's relay has neither taken nor refused yet, and what goes with it.
CREATE TABLE room_commits (
    room        BLOB PRIMARY KEY CHECK (length(room) = 16),
    entry       BLOB NOT NULL CHECK (length(entry) = 16),
    generation  INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    -- The newest seq that was dealt with when it was made.
    after       INTEGER NOT NULL,
    delta       BLOB NOT NULL,
    bytes       BLOB NOT NULL,
    welcome     BLOB,
    group_info  BLOB,
    invitations BLOB NOT NULL,
    act         BLOB NOT NULL,
    attempts    INTEGER NOT NULL,
    next_try    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest message of each other device in a room: its counter and hash.
CREATE TABLE room_chains (
    room    BLOB NOT NULL CHECK (length(room) = 16),
    account TEXT NOT NULL,
    device  INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    hash    BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (room, account, device)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_chains_account ON room_chains (account);

-- When an account was told last where this device is in a room.
CREATE TABLE room_states_told (
    room    BLOB NOT NULL CHECK (length(room) = 16),
    account TEXT NOT NULL,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (room, account)
) STRICT, WITHOUT ROWID;

-- Which members have stored, and seen, what this account wrote in a room.
CREATE TABLE room_receipts (
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    account    TEXT NOT NULL,
    read       INTEGER NOT NULL,
    PRIMARY KEY (message_id, account)
) STRICT, WITHOUT ROWID;

-- Signs beside messages.
CREATE TABLE reactions (
    place   INTEGER NOT NULL,
    account TEXT NOT NULL,
    sign    TEXT NOT NULL,
    PRIMARY KEY (place, account, sign)
) STRICT, WITHOUT ROWID;

ALTER TABLE messages ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_pinned ON messages (chat, pinned) WHERE pinned > 0;
CREATE TRIGGER messages_text_update AFTER UPDATE OF text ON messages BEGIN
    INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.place, old.text);
    INSERT INTO messages_text (rowid, text) VALUES (new.place, new.text);
END;
CREATE TRIGGER messages_reactions_delete AFTER DELETE ON messages BEGIN
    DELETE FROM reactions WHERE place = old.place;
END;

ALTER TABLE messages ADD COLUMN mention INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_mentions ON messages (chat) WHERE state = 6 AND mention = 1;

-- A message written here takes with it what could still tell its text.
CREATE TRIGGER messages_room_delete AFTER DELETE ON messages WHEN old.direction = 0 BEGIN
    DELETE FROM room_outbox WHERE message_id = old.id;
    DELETE FROM room_receipts WHERE message_id = old.id;
END;
