//! Expiry and statistics.

/// What a round of expiry deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Undelivered envelopes.
    pub envelopes: u64,
    /// Invites.
    pub invites: u64,
    /// Ids of accepted envelopes.
    pub remembered_ids: u64,
    /// Whether more is to be deleted: call again.
    pub more: bool,
}

/// Counts of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Accounts.
    pub accounts: u64,
    /// Devices.
    pub devices: u64,
    /// Envelopes waiting in mailboxes.
    pub envelopes: u64,
    /// Their sealed bytes.
    pub envelope_bytes: u64,
    /// Bytes the database takes, its log apart.
    pub database_bytes: u64,
    /// The schema's version.
    pub schema_version: u32,
}
