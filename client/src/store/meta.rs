//! The state generation, counters and settings.

use super::{
    Tx,
    error::Result,
    limits::SETTING_BYTES,
    rows::{Columns, bounded, counter},
};

/// What is counted, for the person and for tests. Nothing here says whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// Envelopes whose binding header did not fit their session: discarded, never shown (R14).
    DiscardedMismatch,
    /// Envelopes that came a second time.
    DiscardedDuplicate,
    /// Initial messages that were replayed (R15).
    DiscardedReplay,
    /// Messages of strangers beyond those a request may have.
    DiscardedRequest,
    /// Envelopes that could not be opened at all, so that not even a sender is known.
    DiscardedSealed,
    /// Envelopes that were put aside for too long, or too many of them.
    DiscardedDeferred,
    /// Contents of a kind this version does not know that their sender marked optional.
    SkippedOptional,
    /// Envelopes that could not be decrypted.
    Undecryptable,
    /// Sessions made anew after that.
    Healed,
}

impl Counter {
    /// Every counter.
    pub const ALL: &'static [Self] = &[
        Self::DiscardedMismatch,
        Self::DiscardedDuplicate,
        Self::DiscardedReplay,
        Self::DiscardedRequest,
        Self::DiscardedSealed,
        Self::DiscardedDeferred,
        Self::SkippedOptional,
        Self::Undecryptable,
        Self::Healed,
    ];

    /// The name it is stored and shown under.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiscardedMismatch => "discarded_mismatch",
            Self::DiscardedDuplicate => "discarded_duplicate",
            Self::DiscardedReplay => "discarded_replay",
            Self::DiscardedRequest => "discarded_request",
            Self::DiscardedSealed => "discarded_sealed",
            Self::DiscardedDeferred => "discarded_deferred",
            Self::SkippedOptional => "skipped_optional",
            Self::Undecryptable => "undecryptable",
            Self::Healed => "healed",
        }
    }
}

const GENERATION: &str = "generation";
/// The generation of the first change that was made without a connection since the last one.
const OFFLINE_FROM: &str = "offline_from";
const SCRUB_DUE: &str = "scrub_due";

impl Tx<'_> {
    /// How many transactions changed ratchet state so far (R23).
    pub fn generation(&self) -> Result<u64> {
        self.number_named(GENERATION)
    }

    /// Raises the state generation, once a transaction however often it is called; returns the generation that holds when
    /// this transaction commits. Operations on sessions, outgoing chains and prekeys call it by themselves.
    pub fn raise_generation(&self) -> Result<u64> {
        if let Some(generation) = self.raised.get() {
            return Ok(generation);
        }
        let generation = self.add_named(GENERATION, 1)?;
        self.raised.set(Some(generation));
        Ok(generation)
    }

    /// This transaction is made without a connection. The first such one that raises the generation remembers how far it
    /// was: the relay can have seen no newer state of this device than that.
    pub fn changed_offline(&self) -> Result<()> {
        match self.raised.get() {
            Some(generation) if self.number_named(OFFLINE_FROM)? == 0 => {
                self.raise_named(OFFLINE_FROM, generation).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The newest generation that a relay can have seen of this store, when it is no old copy: not what it was raised to
    /// without a connection since.
    pub fn generation_shown(&self) -> Result<u64> {
        match self.number_named(OFFLINE_FROM)? {
            0 => self.generation(),
            first => Ok(first.saturating_sub(1)),
        }
    }

    /// The relay has seen no newer state: from now on it may see every one.
    pub fn online(&self) -> Result<()> {
        self.run("DELETE FROM counters WHERE name = ?1", [OFFLINE_FROM]).map(drop)
    }

    /// Adds one to a counter.
    pub fn count(&self, what: Counter) -> Result<()> {
        self.add_named(what.name(), 1).map(drop)
    }

    /// A counter's value.
    pub fn counted(&self, what: Counter) -> Result<u64> {
        self.number_named(what.name())
    }

    /// How many envelopes could not be used, for whatever reason.
    pub fn discarded(&self) -> Result<u64> {
        let sql = "SELECT coalesce(sum(value), 0) FROM counters
                   WHERE name GLOB 'discarded_*' OR name = 'undecryptable'";
        self.row(sql, [], |row| row.number(0))
    }

    /// A setting, `None` when it was never set.
    pub fn setting(&self, name: &str) -> Result<Option<String>> {
        self.one("SELECT value FROM settings WHERE name = ?1", [name], |row| Ok(row.get(0)?))
    }

    /// Sets a setting; `None` removes it. Name and value have at most [`SETTING_BYTES`] each.
    pub fn set_setting(&self, name: &str, value: Option<&str>) -> Result<()> {
        bounded(name.len(), SETTING_BYTES, "setting")?;
        match value {
            Some(value) => {
                bounded(value.len(), SETTING_BYTES, "setting")?;
                let sql = "INSERT INTO settings (name, value) VALUES (?1, ?2)
                           ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                self.run(sql, [name, value])?;
            }
            None => {
                self.run("DELETE FROM settings WHERE name = ?1", [name])?;
            }
        }
        Ok(())
    }

    /// Every setting, by name.
    pub fn settings(&self) -> Result<Vec<(String, String)>> {
        self.all("SELECT name, value FROM settings ORDER BY name", [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Something was deleted of which no trace may stay: [`Store::scrub`](super::Store::scrub) has something to do.
    pub(super) fn scrub_is_due(&self) -> Result<()> {
        self.raise_named(SCRUB_DUE, 1).map(drop)
    }

    pub(super) fn is_scrub_due(&self) -> Result<bool> {
        Ok(self.number_named(SCRUB_DUE)? > 0)
    }

    pub(super) fn scrubbed(&self) -> Result<()> {
        self.run("DELETE FROM counters WHERE name = ?1", [SCRUB_DUE]).map(drop)
    }

    /// A number under a name; 0 when it was never set.
    pub(super) fn number_named(&self, name: &str) -> Result<u64> {
        let value = self.one("SELECT value FROM counters WHERE name = ?1", [name], |row| row.number(0))?;
        Ok(value.unwrap_or(0))
    }

    /// Adds to a number under a name; the new value.
    pub(super) fn add_named(&self, name: &str, add: u64) -> Result<u64> {
        let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = value + excluded.value RETURNING value";
        self.row(sql, (name, counter(add)?), |row| row.number(0))
    }

    /// Raises a number under a name to at least `value`; the value it has then.
    pub(super) fn raise_named(&self, name: &str, value: u64) -> Result<u64> {
        let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value) RETURNING value";
        self.row(sql, (name, counter(value)?), |row| row.number(0))
    }
}
