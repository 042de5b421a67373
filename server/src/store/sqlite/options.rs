//! Sizes and intervals of the embedded store.

use std::time::Duration;

/// How the embedded store behaves. The defaults are the requirements' figures.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Envelopes in one mailbox (R44).
    pub mailbox_envelopes: u64,
    /// Sealed bytes in one mailbox (R44).
    pub mailbox_bytes: u64,
    /// An undelivered envelope is deleted after this time (R44).
    pub envelope_lifetime: Duration,
    /// How long an accepted envelope's id is remembered, so that a late repetition is not delivered twice.
    pub id_memory: Duration,
    /// Remembered ids of one mailbox.
    pub id_memory_count: u64,
    /// Entries of one room that are kept; beyond that the oldest go.
    pub room_entries: u64,
    /// Bytes of one room's entries and their objects that are kept; beyond that the oldest go.
    pub room_bytes: u64,
    /// An entry is deleted after this time, whoever has not got it.
    pub room_lifetime: Duration,
    /// Rooms that one account may have joined.
    pub rooms_per_account: u64,
    /// Invitations that may wait for one device.
    pub invitations_per_device: u64,
    /// Connections that read.
    pub readers: usize,
    /// Writes that may wait.
    pub queue_jobs: usize,
    /// Bytes of writes that may wait.
    pub queue_bytes: usize,
    /// Writes in one transaction or batch, at most.
    pub batch_jobs: usize,
    /// Bytes of writes in one transaction or batch, about.
    pub batch_bytes: usize,
    /// Acknowledgements wait for a send so long, to become durable with it: one sync less for both. Their answers come
    /// after the sync as ever.
    pub acknowledge_after: Duration,
    /// Deleted sealed bytes are gone from database and log this long after their deletion, unless a reader is in the
    /// way; then as soon as it is done. Must leave room within the 60 s of R44.
    pub scrub_after: Duration,
    /// Bytes of the mailbox journal.
    pub journal_bytes: usize,
    /// What is young is folded into the database after this time at the latest, and the journal overwritten (R44).
    pub fold_after: Duration,
    /// Young envelopes that wait: so many are folded in at once. A send may have to wait for that.
    pub young_envelopes: usize,
    /// Their sealed bytes.
    pub young_bytes: usize,
    /// Mailboxes that the writing thread has at hand, about.
    pub mailboxes_at_hand: usize,
    /// Memory for the indexes of remembered ids, about.
    pub index_bytes: usize,
    /// Largest database in bytes, beyond which a write is answered with `Full`. `None`: as large as the disk.
    pub max_database_bytes: Option<u64>,
    /// Acknowledges what a power cut takes away (`synchronous=NORMAL`). Only for the control run of the power-cut test,
    /// which must see that data is lost; no configuration leads here.
    #[doc(hidden)]
    pub sync_at_checkpoints_only: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            mailbox_envelopes: 10_000,
            mailbox_bytes: 64 * 1024 * 1024,
            envelope_lifetime: Duration::from_secs(30 * 24 * 3600),
            id_memory: Duration::from_secs(60 * 24 * 3600),
            id_memory_count: 20_000,
            room_entries: 50_000,
            room_bytes: 128 * 1024 * 1024,
            room_lifetime: Duration::from_secs(30 * 24 * 3600),
            rooms_per_account: 500,
            invitations_per_device: 100,
            readers: 4,
            queue_jobs: 8192,
            queue_bytes: 16 * 1024 * 1024,
            batch_jobs: 512,
            batch_bytes: 1024 * 1024,
            acknowledge_after: Duration::from_millis(20),
            scrub_after: Duration::from_secs(15),
            journal_bytes: 8 * 1024 * 1024,
            fold_after: Duration::from_secs(2),
            young_envelopes: 4096,
            young_bytes: 4 * 1024 * 1024,
            mailboxes_at_hand: 8192,
            index_bytes: 64 * 1024 * 1024,
            max_database_bytes: None,
            sync_at_checkpoints_only: false,
        }
    }
}
