-- Devices that were in an account's list and are not any more, with their signing keys: what they did to a room while they were
-- listed is followed by who reads it later. A number is given once, so it and its key belong together for good.
CREATE TABLE former_devices (
    account     TEXT NOT NULL,
    device      INTEGER NOT NULL,
    signing_key BLOB NOT NULL CHECK (length(signing_key) = 32),
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
