-- State of rooms: the parts of each MLS group and the secret halves of key packages, under keys that subrosa_crypto::rooms
-- makes. `kind` is a number of its `store::Part`.
CREATE TABLE mls_state (
    kind  INTEGER NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
