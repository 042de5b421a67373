-- Whether nothing was heard of a device since somebody added it to a room: it is invited, and has not come yet.
ALTER TABLE room_seen ADD COLUMN invited INTEGER NOT NULL DEFAULT 0;
