-- Accepted envelope ids, pending or long delivered: a repetition is recognised by them. A row holds those of the places
-- `first` to `last` of one mailbox, in order, 24 bytes each: the id, and when it was accepted (milliseconds since 1970,
-- big-endian). Ids are random: one row each, ordered by id, dirtied a page for each message.
CREATE TABLE accepted (
    device INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
    first  INTEGER NOT NULL CHECK (first >= 1),
    last   INTEGER NOT NULL CHECK (last >= first),
    ids    BLOB    NOT NULL CHECK (length(ids) = 24 * (last - first + 1)),
    PRIMARY KEY (device, first)
) STRICT, WITHOUT ROWID;

INSERT INTO accepted (device, first, last, ids)
SELECT device, min(seq), max(seq), unhex(group_concat(hex(id) || printf('%016X', accepted_at), '' ORDER BY seq))
FROM accepted_ids GROUP BY device, seq / 64;

DROP TABLE accepted_ids;

-- The mailbox journal beside the database: which one, and the number of its last batch whose effect stands in these
-- tables. Without a salt, whatever journal lies there is not this database's.
CREATE TABLE journal (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    salt   BLOB CHECK (length(salt) = 16),
    folded INTEGER NOT NULL CHECK (folded >= 0)
) STRICT;
INSERT INTO journal (id, salt, folded) VALUES (1, NULL, 0);
