//! Every bound of the socket.

use std::time::Duration;

/// Bytes of a line that a client may send, newline excluded (R50).
pub const REQUEST_LINE_BYTES: usize = 1 << 20;
/// Bytes of a line with a page of history, events or hits; longer pages are cut and say that there is more.
pub const PAGE_LINE_BYTES: usize = 1 << 20;
/// Bytes of any line that an attached program accepts from the owner: lists of chats and contacts are not paged.
pub const REPLY_LINE_BYTES: usize = 16 << 20;
/// Calls in one batch.
pub const BATCH: usize = 64;
/// Connections at a time; further ones are told so and closed.
pub const CONNECTIONS: usize = 64;
/// Calls of one connection that are under way; further lines are not read before one of them is answered.
pub const IN_FLIGHT: usize = 16;
/// Lines waiting to be written to one connection.
pub const OUT_QUEUE: usize = 8;
/// Events that wait for a local reader of an attached stream.
pub const STREAM_QUEUE: usize = 256;
/// Patterns in one filter.
pub const FILTER_PATTERNS: usize = 64;
/// How long an attached program waits for the owner to accept its connection.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);
