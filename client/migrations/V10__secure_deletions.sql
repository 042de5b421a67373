-- The index of texts notes with its first deletion that words are deleted for good. SQLite 3.46 believes that it has noted that when the
-- transaction of that deletion is undone, and finds the index damaged later. So the first deletion is here.
INSERT INTO messages_text (rowid, text) VALUES (0, 'x');
INSERT INTO messages_text (messages_text, rowid, text) VALUES ('delete', 0, 'x');
