//! Every bound of the wire. A limit may be changed for a reason written in `docs/decisions/`; it may not vanish.

/// Bytes of the length prefix that precedes every frame.
pub const FRAME_PREFIX: usize = 4;
/// Bytes of a frame's fixed header: kind (2), flags (1), request id (4).
pub const FRAME_HEADER: usize = 7;
/// Largest frame, header included and prefix excluded, once a connection is authenticated: 72 KiB (R3).
pub const FRAME_MAX: usize = 72 * 1024;
/// Largest frame before authentication: 8 KiB (R3).
pub const FRAME_MAX_UNAUTHENTICATED: usize = 8 * 1024;
/// Bytes of a half-read frame that earn it a second more (R6): the slowest link over which the largest frame comes through
/// has 16 kbit/s.
pub const HALF_FRAME_RATE: usize = 2 * 1024;

/// Characters of a username, at least.
pub const USERNAME_MIN: usize = 3;
/// Characters of a username, at most.
pub const USERNAME_MAX: usize = 32;
/// UTF-8 bytes of a display name (R39).
pub const DISPLAY_NAME_BYTES: usize = 256;
/// Grapheme clusters of a display name (R39).
pub const DISPLAY_NAME_GRAPHEMES: usize = 64;
/// UTF-8 bytes of the detail of an error frame.
pub const ERROR_DETAIL_BYTES: usize = 200;

/// Devices of one account (R28).
pub const DEVICES_PER_ACCOUNT: usize = 6;
/// Bytes of a device list's canonical form, at most.
pub const DEVICE_LIST_BYTES: usize = 2048;
/// Signed device lists in one reply.
pub const DEVICE_LISTS_PER_PAGE: usize = 16;

/// Bytes of a signed prekey with an X25519 key.
pub const PREKEY_EC_BYTES: usize = 117;
/// Bytes of a signed prekey with an ML-KEM-768 key.
pub const PREKEY_KEM_BYTES: usize = 1269;
/// One-time prekeys of each kind a device publishes, and the most that one upload may hold (R36).
pub const ONE_TIME_PREKEYS: usize = 100;
/// One-time prekeys of each kind in one staging frame before authentication (8 KiB frames).
pub const STAGED_EC_PER_FRAME: usize = 60;
/// One-time ML-KEM prekeys in one staging frame before authentication.
pub const STAGED_KEM_PER_FRAME: usize = 6;
/// One-time ML-KEM prekeys in one upload after authentication (72 KiB frames).
pub const UPLOAD_KEM_PER_FRAME: usize = 50;
/// A device refills its one-time prekeys when fewer than this are left of a kind (R36).
pub const PREKEYS_LOW: u32 = 20;

/// Bytes of any one OPAQUE message or record.
pub const OPAQUE_BYTES: usize = 512;

/// Bytes of one sealed envelope: a 64 KiB padded plaintext, its ratchet header, a first message's PQXDH part and the
/// HPKE wrapping, rounded up.
pub const SEALED_BYTES: usize = 69 * 1024;
/// Envelopes in one send.
pub const ENVELOPES_PER_SEND: usize = 48;
/// Envelopes in one mailbox page.
pub const ENVELOPES_PER_PAGE: usize = 48;

/// UTF-8 bytes of a text message (R43).
pub const TEXT_BYTES: usize = 32 * 1024;
/// UTF-8 bytes of the sign of a reaction.
pub const REACTION_BYTES: usize = 32;
/// UTF-8 bytes of a message request, the first message to somebody who has not accepted the sender (R43).
pub const REQUEST_TEXT_BYTES: usize = 512;
/// Message ids in one receipt.
pub const RECEIPT_IDS: usize = 100;
/// Bytes of one encoded payload (what is inside the binding header), at most: the largest padding bucket.
pub const PAYLOAD_BYTES: usize = 64 * 1024;
/// Code points in one grapheme cluster of text that is shown; the rest is cut and marked (R48).
pub const CODE_POINTS_PER_GRAPHEME: usize = 16;
/// Combining marks on one base character in a name (R39).
pub const COMBINING_MARKS_IN_NAMES: usize = 8;

/// Bytes of a host name or address in a relay address.
pub const HOST_BYTES: usize = 253;

/// Bytes of one MLS KeyPackage, at most; one with X-Wing keys has about 2,700 (R35).
pub const KEY_PACKAGE_BYTES: usize = 4 * 1024;
/// KeyPackages of each suite that a device publishes (R35).
pub const KEY_PACKAGES: usize = 50;
/// KeyPackages in one upload.
pub const KEY_PACKAGES_PER_UPLOAD: usize = 16;
/// A device refills its KeyPackages of a suite when fewer than this are left (R35).
pub const KEY_PACKAGES_LOW: u32 = 15;
/// MLS cipher suites for which a device publishes KeyPackages, at most.
pub const SUITES: usize = 4;

/// Bytes of one object: a commit, a Welcome, a GroupInfo, a list of invitations (R4).
pub const OBJECT_BYTES: usize = 1024 * 1024;
/// Bytes of every piece of an object but the last (R4).
pub const OBJECT_PIECE_BYTES: usize = 64 * 1024;
/// Objects that a connection may have put and not yet used (R4).
pub const OBJECTS_IN_FLIGHT: usize = 2;

/// Characters of a slug, at least.
pub const SLUG_MIN: usize = 2;
/// Characters of a slug, at most.
pub const SLUG_MAX: usize = 32;
/// UTF-8 bytes of a public room's name (R39).
pub const ROOM_NAME_BYTES: usize = 256;
/// UTF-8 bytes of a public room's description.
pub const ROOM_DESCRIPTION_BYTES: usize = 512;
/// Devices in a room's roster (R30).
pub const ROOM_DEVICES: usize = 1_000;
/// Accounts that are banned from a room.
pub const ROOM_BANNED: usize = 1_000;
/// Elements of each list of a commit's delta; a commit holds at most as many proposals.
pub const ROOM_CHANGES: usize = 100;
/// Leave proposals that may wait for a commit in one epoch.
pub const ROOM_LEAVES: usize = 100;
/// Invitations that stand in a commit's frame; more travel as an object.
pub const INVITATIONS_INLINE: usize = 24;
/// Bytes of an entry that stands in its frame: 64 KiB of padded plaintext and what MLS adds.
pub const ROOM_ENTRY_BYTES: usize = 68 * 1024;
/// Bytes of a commit that stands in its frame; a larger one is an object. It leaves room for the largest delta.
pub const ROOM_COMMIT_INLINE: usize = 40 * 1024;
/// Bytes of an ephemeral message: 1 KiB of padded plaintext and what MLS adds.
pub const ROOM_EPHEMERAL_BYTES: usize = 2 * 1024;
/// Entries in one page of a room log.
pub const ROOM_ENTRIES_PER_PAGE: usize = 48;
/// Devices in one page of a roster.
pub const ROSTER_PER_PAGE: usize = 250;
/// Accounts whose device lists one request may name.
pub const ROOM_LISTS_PER_PAGE: usize = 64;
/// Rooms in one page of the directory.
pub const DIRECTORY_PER_PAGE: usize = 32;
/// Rooms in one page of the rooms that a device is in.
pub const ROOM_HEADS_PER_PAGE: usize = 128;
