-- When each device of a room was heard of last (R34): by a message or a commit of its own in the log, or by being added.
-- `logged_at` is the log's clock, which the relay keeps; `heard_at` is this device's, when it read that. Both in ms since 1970.
-- `told` once this device's person was told that it is silent.
CREATE TABLE room_seen (
    room      BLOB NOT NULL CHECK (length(room) = 16),
    account   TEXT NOT NULL,
    device    INTEGER NOT NULL,
    logged_at INTEGER NOT NULL,
    heard_at  INTEGER NOT NULL,
    told      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room, account, device)
) STRICT, WITHOUT ROWID;
