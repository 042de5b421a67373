-- Who took a message back: its writer, or a moderator. NULL where that was not kept.
ALTER TABLE messages ADD COLUMN deleted_by TEXT;
