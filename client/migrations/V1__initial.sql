-- The first schema of a profile's store. Times are milliseconds since 1970 unless a column says otherwise; accounts are
-- usernames; ids are 16 bytes. Codes of enumerations stand in src/store/codes.rs.

-- Who this profile is: one row.
CREATE TABLE identity (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    account        TEXT NOT NULL,
    display_name   TEXT NOT NULL,
    relay          TEXT NOT NULL,
    account_key    BLOB NOT NULL CHECK (length(account_key) = 32),
    account_secret BLOB,
    device         INTEGER NOT NULL,
    device_secrets BLOB,
    progress       INTEGER NOT NULL,
    joining        BLOB
) STRICT;

-- Numbers that only grow: the state generation, the mailbox cursor, prekey ids, what was discarded.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Secret halves of this device's prekeys; `public` until the relay has it.
CREATE TABLE prekeys (
    kind        INTEGER NOT NULL,
    key_id      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    replaced_at INTEGER,
    secret      BLOB NOT NULL,
    public      BLOB,
    PRIMARY KEY (kind, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE base_keys_seen (
    account  TEXT NOT NULL,
    device   INTEGER NOT NULL,
    base_key BLOB NOT NULL CHECK (length(base_key) = 32),
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (account, device, base_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX base_keys_seen_at ON base_keys_seen (seen_at);

-- Accounts: the key first seen, and where they stand. `contact` is NULL for accounts that are only known.
CREATE TABLE peers (
    account      TEXT PRIMARY KEY,
    account_key  BLOB CHECK (length(account_key) = 32),
    changed_key  BLOB CHECK (length(changed_key) = 32),
    changed_list BLOB,
    changed_signature BLOB CHECK (length(changed_signature) = 64),
    display_name TEXT NOT NULL,
    contact      INTEGER,
    trust        INTEGER NOT NULL,
    request_used INTEGER NOT NULL,
    added_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest verified device list of each account, the own one included.
CREATE TABLE device_lists (
    account    TEXT PRIMARY KEY,
    version    INTEGER NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    bytes      BLOB NOT NULL,
    signature  BLOB NOT NULL CHECK (length(signature) = 64),
    fetched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE evidence (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    account          TEXT NOT NULL,
    found_at         INTEGER NOT NULL,
    ours_bytes       BLOB NOT NULL,
    ours_signature   BLOB NOT NULL CHECK (length(ours_signature) = 64),
    theirs_bytes     BLOB,
    theirs_signature BLOB CHECK (length(theirs_signature) = 64),
    claimed_by       TEXT,
    claimed_device   INTEGER,
    claimed_version  INTEGER,
    claimed_hash     BLOB CHECK (length(claimed_hash) = 32)
) STRICT;

-- All sessions with one peer device.
CREATE TABLE sessions (
    account    TEXT NOT NULL,
    device     INTEGER NOT NULL,
    record     BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE healings (
    account   TEXT NOT NULL,
    device    INTEGER NOT NULL,
    healed_at INTEGER NOT NULL,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

-- What was sent to each peer device.
CREATE TABLE chains_out (
    account   TEXT NOT NULL,
    device    INTEGER NOT NULL,
    counter   INTEGER NOT NULL,
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32),
    acked     INTEGER NOT NULL,
    -- Bytes of plaintext in `sent`.
    sent_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;

-- Unpadded messages (binding header and payload) that a peer device may ask for again.
CREATE TABLE sent (
    account    TEXT NOT NULL,
    device     INTEGER NOT NULL,
    counter    INTEGER NOT NULL,
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    plaintext  BLOB NOT NULL,
    sent_at    INTEGER NOT NULL,
    PRIMARY KEY (account, device, counter)
) STRICT;
CREATE INDEX sent_message ON sent (message_id);
CREATE INDEX sent_at ON sent (sent_at);
CREATE TRIGGER sent_insert AFTER INSERT ON sent BEGIN
    UPDATE chains_out SET sent_bytes = sent_bytes + length(new.plaintext)
    WHERE account = new.account AND device = new.device;
END;
CREATE TRIGGER sent_delete AFTER DELETE ON sent BEGIN
    UPDATE chains_out SET sent_bytes = sent_bytes - length(old.plaintext)
    WHERE account = old.account AND device = old.device;
END;

-- What came from each peer device, and what is missing of it: ranges, both ends included.
CREATE TABLE chains_in (
    account   TEXT NOT NULL,
    device    INTEGER NOT NULL,
    highest   INTEGER NOT NULL,
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32),
    told      INTEGER NOT NULL,
    lost      INTEGER NOT NULL,
    notice    INTEGER,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX chains_in_untold ON chains_in (highest - told);

CREATE TABLE missing (
    account TEXT NOT NULL,
    device  INTEGER NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL CHECK (last >= first),
    PRIMARY KEY (account, device, first)
) STRICT, WITHOUT ROWID;

-- Lines of chats. `place` is the message's `order`.
CREATE TABLE messages (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB NOT NULL CHECK (length(id) = 16),
    chat      TEXT NOT NULL,
    direction INTEGER NOT NULL,
    sender    TEXT NOT NULL,
    device    INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    text      TEXT,
    reply_to  BLOB CHECK (length(reply_to) = 16),
    sent_at   INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    reason    TEXT,
    verified  INTEGER NOT NULL,
    key       TEXT
) STRICT;
CREATE UNIQUE INDEX messages_id ON messages (id, sender);
CREATE INDEX messages_chat ON messages (chat, place);
CREATE INDEX messages_unread ON messages (chat, place) WHERE state = 6;
CREATE UNIQUE INDEX messages_key ON messages (chat, key) WHERE key IS NOT NULL;

CREATE VIRTUAL TABLE messages_text USING fts5(
    text, content = 'messages', content_rowid = 'place', tokenize = 'unicode61 remove_diacritics 2'
);
-- Every line has its entry, also those without a text: FTS5's integrity check asks for one a row.
-- Without this FTS5 leaves the words of a deleted message in its segments until they are merged.
INSERT INTO messages_text (messages_text, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER messages_text_insert AFTER INSERT ON messages BEGIN
    INSERT INTO messages_text (rowid, text) VALUES (new.place, new.text);
END;
CREATE TRIGGER messages_text_delete AFTER DELETE ON messages BEGIN
    INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', old.place, old.text);
END;

-- `rank` sorts the list of chats: the place of the newest line, or of the newest anywhere when the chat was opened.
CREATE TABLE chats (
    chat       TEXT PRIMARY KEY,
    rank       INTEGER NOT NULL,
    read_up_to INTEGER NOT NULL,
    draft      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX chats_rank ON chats (rank);

-- Contents that are not encrypted yet.
CREATE TABLE pending (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    account    TEXT NOT NULL,
    device     INTEGER,
    chat       TEXT NOT NULL,
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    content    BLOB NOT NULL,
    reason     INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_account ON pending (account, id);
CREATE INDEX pending_message ON pending (message_id, account);

-- A message written here takes with it what could still tell its text.
CREATE TRIGGER messages_sent_delete AFTER DELETE ON messages WHEN old.direction = 0 BEGIN
    DELETE FROM pending WHERE message_id = old.id;
    DELETE FROM sent WHERE message_id = old.id;
END;

-- Sealed envelopes on their way to the relay.
CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    account      TEXT NOT NULL,
    device       INTEGER NOT NULL,
    envelope     BLOB NOT NULL UNIQUE CHECK (length(envelope) = 16),
    sealed       BLOB NOT NULL,
    message_id   BLOB NOT NULL CHECK (length(message_id) = 16),
    counter      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    next_try     INTEGER NOT NULL,
    queued_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_device ON outbox (account, device, id);
CREATE INDEX outbox_next_try ON outbox (next_try);
CREATE INDEX outbox_message ON outbox (message_id, account);

-- Envelopes that were dealt with; a second one of the same id is dropped.
CREATE TABLE envelopes_seen (
    id      BLOB PRIMARY KEY CHECK (length(id) = 16),
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX envelopes_seen_at ON envelopes_seen (seen_at);

-- Envelopes whose sender's device list could not be fetched yet.
CREATE TABLE deferred (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    envelope    BLOB NOT NULL UNIQUE CHECK (length(envelope) = 16),
    account     TEXT NOT NULL,
    device      INTEGER NOT NULL,
    sealed      BLOB NOT NULL,
    accepted_at INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    next_try    INTEGER NOT NULL,
    stored_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX deferred_account ON deferred (account, id);
CREATE INDEX deferred_next_try ON deferred (next_try);

-- One receipt a message and kind, for life; `due_at` is NULL once it was given.
CREATE TABLE receipts (
    account    TEXT NOT NULL,
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    kind       INTEGER NOT NULL,
    due_at     INTEGER,
    PRIMARY KEY (account, message_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_due ON receipts (due_at) WHERE due_at IS NOT NULL;

-- The event log. Texts of messages are not repeated here: `place` points to them.
CREATE TABLE events (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    name  TEXT NOT NULL,
    place INTEGER,
    json  TEXT NOT NULL
) STRICT;
