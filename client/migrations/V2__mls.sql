-- State of rooms: the parts of each MLS group and the secret halves of key packages, under keys that subrosa_crypto::rooms
-- makes. Parts are numbers of its `store::Part`.
CREATE TABLE mls_state (
    part  INTEGER NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (part, key)
) STRICT, WITHOUT ROWID;
