-- Invitations of rooms that came before the one in `rooms`, oldest first: of two commits that add a device only one is taken, and
-- which one that is shows when its Welcome is fetched.
CREATE TABLE earlier_invitations (
    number     INTEGER PRIMARY KEY,
    room       BLOB NOT NULL CHECK (length(room) = 16),
    invited_by TEXT NOT NULL,
    invitation BLOB NOT NULL
) STRICT;
CREATE INDEX earlier_invitations_by_room ON earlier_invitations (room, number);
