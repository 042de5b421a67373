-- The state of MLS groups and the private keys of key packages: values under keys, by part (subrosa_crypto::rooms::store::Part).
CREATE TABLE mls (
    part  INTEGER NOT NULL,
    key   BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (part, key)
) STRICT, WITHOUT ROWID;
