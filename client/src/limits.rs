//! Every bound of the client engine. The store's own stand in `store::limits`, the wire's in
//! [`subrosa_protocol::limits`].

use std::time::Duration;

/// Seconds, in milliseconds.
const SECOND: u64 = 1000;
/// Minutes, in milliseconds.
const MINUTE: u64 = 60 * SECOND;
/// Days, in milliseconds.
const DAY: u64 = 24 * 60 * MINUTE;

// --- connection ---------------------------------------------------------------------------------------------

/// The first wait before dialling again.
pub const RECONNECT_MIN: Duration = Duration::from_millis(250);
/// The longest wait before dialling a relay again that answered and refused.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);
/// The longest wait before dialling a relay again that did not answer. With [`DIAL_TIMEOUT`] it decides how soon the
/// return of a network is noticed: within 5 s.
pub const RECONNECT_SILENT_MAX: Duration = Duration::from_secs(1);
/// A connection that lasted this long lets the wait start over.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);
/// The round trip time that is assumed before one is measured; what gets no answer is repeated after three of these. Less
/// than the 333 ms of RFC 9002, so that a handshake comes through within its 5 s where a third of all packets is lost.
pub const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(100);
/// How long one address of a relay is tried.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the host's addresses are looked for.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they are looked for before those that are known are taken.
pub const RESOLVE_AGAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one answer of a relay is waited for while joining or logging in.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a frame may take from its first byte to its last (R6), beside what it earns
/// ([`subrosa_protocol::frame::time_earned`]).
pub const HALF_FRAME: Duration = Duration::from_secs(10);
/// Flow control of a connection, in bytes. Its one stream has a smaller window; this one is there to be grown by a byte
/// when the relay is to show a sign of life.
pub const RECEIVE_WINDOW: u32 = 4 * 1024 * 1024;
/// How often an idle connection is kept alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a silent connection counts as alive.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How often a connection is looked at for whether the relay still answers.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A relay that acknowledges nothing for so many round trips is gone,
pub const SILENCE_ROUND_TRIPS: u32 = 8;
/// but not before so long,
pub const SILENCE_MIN: Duration = Duration::from_secs(3);
/// and after so long at the latest.
pub const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How often the round trip time is told.
pub const ROUND_TRIP_EVERY: Duration = Duration::from_secs(10);
/// Bytes of frames written in one go.
pub const WRITE_BATCH_BYTES: usize = 256 * 1024;
/// Frames and commands waiting between engine and connection, either way.
pub const LINK_QUEUE: usize = 256;
/// Milliseconds after which an unanswered request means that the connection is dead.
pub const REQUEST_TIMEOUT_MS: u64 = 30 * SECOND;

// --- front ends ---------------------------------------------------------------------------------------------

/// Requests of front ends waiting for the core.
pub const REQUEST_QUEUE: usize = 256;
/// Requests that wait for something to happen (a receipt, the relay), in all.
pub const WAITING_REQUESTS: usize = 1_024;
/// Events waiting for one slow reader; more become a gap. See also [`EVENT_QUEUE_BYTES`].
pub const EVENT_QUEUE: usize = 1_024;
/// Bytes of events waiting for one slow reader, counted as [`crate::api::Event::weight`] does; more become a gap.
pub const EVENT_QUEUE_BYTES: usize = 256 * 1024;
/// Event streams at once.
pub const SUBSCRIBERS: usize = 64;
/// Milliseconds a request waits at most when it says nothing.
pub const DEFAULT_WAIT_MS: u64 = 30 * SECOND;
/// Milliseconds a request may ask to wait at most.
pub const LONGEST_WAIT_MS: u64 = 60 * MINUTE;
/// Recipients of one send.
pub const RECIPIENTS: usize = 64;

// --- sending ------------------------------------------------------------------------------------------------

/// Envelopes to one peer device that it has not acknowledged; at this many, texts wait (R19).
pub const UNACKNOWLEDGED_MAX: u64 = 500;
/// Envelopes beyond [`UNACKNOWLEDGED_MAX`] that only receipts and requests to send again may use, so that two devices that
/// both stand at the limit can still release each other.
pub const UNACKNOWLEDGED_RESERVE: u64 = 100;
/// Envelopes received from a device and not acknowledged yet, after which an acknowledgement is sent for its own sake.
pub const ACKNOWLEDGE_AFTER: u64 = 100;
/// While so many contents wait, further copies for own devices that are away are not kept.
pub const COPIES_WAITING: u64 = 5_000;
/// Bytes of envelopes on their way to a relay of which nothing is known yet; one batch at a time may be larger.
pub const SENDING_FIRST: usize = 16 * 1024;
/// The least of them that a relay is held to bear, and
pub const SENDING_MIN: usize = 4 * 1024;
/// the most.
pub const SENDING_MAX: usize = 1024 * 1024;
/// Milliseconds within which an answer says that the relay bears more, and
pub const SENDING_QUICK_MS: u64 = 2 * SECOND;
/// after which it says that it bears less.
pub const SENDING_SLOW_MS: u64 = 6 * SECOND;
/// Pending contents of one account that are looked at in one go.
pub const PENDING_AT_ONCE: u32 = 1_000;
/// Milliseconds after which what the relay or the recipient never took is given up: 30 days (R44).
pub const GIVE_UP_AFTER_MS: u64 = 30 * DAY;
/// The first wait in milliseconds after the relay could not take an envelope or answer a lookup.
pub const RETRY_MIN_MS: u64 = SECOND;
/// The longest such wait.
pub const RETRY_MAX_MS: u64 = 10 * MINUTE;
/// Gossip rides in the first message of a session and in each one whose counter this divides (R29).
pub const GOSSIP_EVERY: u64 = 20;

// --- receiving ----------------------------------------------------------------------------------------------

/// Milliseconds by which an acknowledgement to the relay is delayed, to take others along.
pub const MAILBOX_ACK_DELAY_MS: u64 = 50;
/// Envelopes after which the acknowledgement is not delayed any more.
pub const MAILBOX_ACK_AT_ONCE: u64 = 48;
/// Milliseconds between two healings of sessions with the same peer device.
pub const HEAL_EVERY_MS: u64 = 10 * MINUTE;
/// Longest run of counters that one message may leave out: more than sender and store can ever fill are not counted one
/// by one.
pub const GAP_MAX: u64 = 100_000;
/// Older gaps of a device that are asked for together with a new one.
pub const GAPS_ASKED_FOR: usize = 3;
/// Milliseconds between two rounds of asking everybody for what never came.
pub const ASK_AGAIN_EVERY_MS: u64 = 6 * 60 * MINUTE;
/// Message requests of one stranger that are stored (R43).
pub const REQUESTS_PER_STRANGER: u64 = 3;
/// Lookups of accounts that only envelopes named, at once.
pub const STRANGER_LOOKUPS: u32 = 20;
/// Milliseconds after which one more such lookup is allowed.
pub const STRANGER_LOOKUP_EVERY_MS: u64 = MINUTE;
/// Lookups that wait, in all; further ones are made when something asks for them again.
pub const LOOKUPS_WAITING: usize = 1_000;
/// Versions of one account's device list that are followed in one go.
pub const CHAIN_MAX: usize = 4_096;
/// Milliseconds between two lookups of the same account for the sake of an envelope; doubled each time that brings nothing.
pub const RELOOK_EVERY_MS: u64 = 5 * SECOND;
/// The longest such time.
pub const RELOOK_MAX_MS: u64 = 15 * MINUTE;
/// Most random delay of a receipt in milliseconds (R45).
pub const RECEIPT_DELAY_MS: u64 = 2 * SECOND;
/// Receipts collected in one go.
pub const RECEIPTS_AT_ONCE: u32 = 500;

// --- rooms --------------------------------------------------------------------------------------------------

/// Changes of rooms that wait, in all.
pub const ROOM_ACTS: usize = 1_000;
/// How often a change is tried again after another one won the epoch (R31).
pub const ACT_TRIES: u32 = 5;
/// The shortest wait before that in milliseconds (R31).
pub const ACT_JITTER_MIN_MS: u32 = 50;
/// The longest.
pub const ACT_JITTER_MAX_MS: u32 = 500;
/// Joining a public room is tried until its time is up while others change it: each time a little later, so many times.
pub const JOIN_WAITS_GROW: u32 = 5;
/// Milliseconds after which it is tried again to add own devices that have no KeyPackages yet; each time twice as long.
pub const OWN_DEVICES_EVERY_MS: u64 = 10 * SECOND;
/// Milliseconds after which devices are looked for that had no KeyPackages when their account was invited.
pub const LATE_DEVICES_AFTER_MS: [u64; 3] = [MINUTE, 10 * MINUTE, 45 * MINUTE];
/// Invited accounts of which devices are looked for later, at once.
pub const LATE_DEVICES: usize = 256;
/// What is encrypted for a device that is being invited waits while the commit is handed over within so long, ms.
pub const INVITED_WAIT_MS: u64 = 10 * SECOND;
/// How often it is looked whether it still waits for that, ms.
pub const INVITED_LOOK_MS: u64 = SECOND;
/// Milliseconds that a relay may still work on what it was sent on a connection that is gone.
pub const GIVEN_UP_WITHIN_MS: u64 = 5 * SECOND;
/// Milliseconds before an entry is tried again that needs a device list that the relay does not have; each time twice as long.
pub const WITHOUT_LIST_MS: u64 = SECOND;
/// How often that is done. After that the entry is nobody's.
pub const WITHOUT_LIST_TRIES: u32 = 6;
/// Milliseconds before a change is tried again that needs a device list that the relay does not have.
pub const ACT_WITHOUT_LIST_MS: u64 = 10 * SECOND;
/// Milliseconds within which a room's roster is looked at after the relay said that it changed.
pub const ROSTER_AFTER_CHANGE_MS: u32 = 10_000;
/// Milliseconds within which it is looked at after connecting,
pub const ROSTER_WITHIN_MS: u32 = 120_000;
/// at most this often.
pub const ROSTER_EVERY_MS: u64 = 6 * 60 * MINUTE;
/// Devices after which no further page of a roster is asked for.
pub const ROSTER_PAGES: usize = 1_000;
/// Accounts that are looked up because of a roster, at most.
pub const ROSTER_ACCOUNTS: usize = 32;
/// Milliseconds that a lookup gets before what follows from a list is done.
pub const FOLLOW_LOOKUP_MS: u64 = 5 * SECOND;
/// Milliseconds within which one of the members follows the list of somebody who has no listed device in the room to see to it.
pub const FOLLOW_SOON_WITHIN_MS: u32 = 5_000;
/// Milliseconds within which one of the members takes out who left.
pub const SETTLE_WITHIN_MS: u32 = 5_000;
/// Milliseconds by which the acknowledgement of a room's log is delayed, to take others along.
pub const ROOM_ACK_DELAY_MS: u64 = 2 * SECOND;
/// Milliseconds after which the relay is asked again for a room that it says this device is not in.
pub const ROOM_DENIED_ASK_EVERY_MS: u64 = 10 * MINUTE;
/// Objects of rooms kept in memory until they are used.
pub const ROOM_OBJECTS: usize = 8;
/// KeyPackages of others kept until they are used.
pub const CLAIMED_PACKAGES: usize = 1_024;
/// Public rooms in one list.
pub const LISTED_ROOMS: usize = 1_000;
/// Invitations to rooms that wait for an answer, in all; further ones are not taken.
pub const INVITATIONS: usize = 100;
/// Of these, from one account that is no contact.
pub const INVITATIONS_PER_STRANGER: usize = 3;

/// Milliseconds of silence after which owners and moderators are told of a member's device: 45 days (R34).
pub const SILENT_TOLD_AFTER_MS: u64 = 45 * DAY;
/// Milliseconds of silence after which an owner's device takes it out: 90 days (R34).
pub const SILENT_OUT_AFTER_MS: u64 = 90 * DAY;
/// Devices of a room of which that is told, or that go, at once; more follow an hour later.
pub const SILENT_AT_ONCE: usize = 32;
/// Milliseconds within which one of the owners' devices takes out who is silent.
pub const SILENT_OUT_WITHIN_MS: u32 = 5 * 60_000;
/// Milliseconds that a member's own devices have to bring another one of theirs into a room, and
pub const FOLLOW_AFTER_MS: u64 = 30 * SECOND;
/// within which, after that, one of the other members does.
pub const FOLLOW_WITHIN_MS: u32 = 120_000;
/// Objects of commits on their way at once: the relay keeps no more of a connection that were not used yet.
pub const OBJECTS_ON_THE_WAY: usize = 4;

/// Milliseconds within which an owner's device renews a room that stands still: one of them is the first (R31).
pub const RENEW_WITHIN_MS: u32 = 5_000;
/// Milliseconds between two renewals of a room that only others say stands still.
pub const RENEW_AFTER_REPORT_EVERY_MS: u64 = 10 * MINUTE;
/// Claims of KeyPackages under way at once.
pub const CLAIMS_AT_ONCE: usize = 16;
/// Owners and moderators that are told when this device is cut off from a room.
pub const LOST_TOLD: usize = 8;
/// Milliseconds between two heads of a room told to the same account (R29).
pub const ROOM_HEAD_EVERY_MS: u64 = 10 * MINUTE;
/// Rooms of which an account is told with one text.
pub const ROOM_HEADS_AT_ONCE: usize = 8;
/// Members of a room up to which receipts are given in it.
pub const RECEIPTS_IN_ROOMS_OF: u32 = 50;
/// Milliseconds between two signals that this account writes in a room (R45).
pub const TYPING_EVERY_MS: u64 = 3 * SECOND;
/// Milliseconds for which such a signal holds (R45).
pub const TYPING_SHOWN_MS: u64 = 6 * SECOND;
/// Members of a room that are shown as writing; further ones are not.
pub const TYPING_IN_ROOM: usize = 32;

// --- prekeys ------------------------------------------------------------------------------------------------

/// Signed and last-resort prekeys are replaced after this many milliseconds: 7 days (R36).
pub const ROTATE_AFTER_MS: u64 = 7 * DAY;
/// One-time ML-KEM prekeys in one upload: with 100 X25519 ones and the two long-lived ones they fit a frame of 72 KiB.
pub const KEM_PREKEYS_PER_UPLOAD: usize = 45;
/// Secrets of one-time prekeys of a kind that are kept at most: as many as ten refills of which none was used. A relay
/// that says again and again that it has none gets no more.
pub const ONE_TIME_SECRETS: u64 = 1_000;
/// Milliseconds between two refills of one-time prekeys.
pub const REFILL_EVERY_MS: u64 = MINUTE;
/// Milliseconds between two rounds of clearing away what is too old.
pub const UPKEEP_EVERY_MS: u64 = 60 * MINUTE;
