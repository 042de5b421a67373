//! Every test of the suite once more, on a store that folds at every turn and forgets everything it can.

use std::time::Duration;

use super::{SqliteOptions, opened};
use crate::store::conformance::conformance;

conformance!(opened(SqliteOptions {
    fold_after: Duration::ZERO,
    young_envelopes: 1,
    mailboxes_at_hand: 4,
    index_bytes: 0,
    journal_bytes: 256 * 1024,
    batch_jobs: 7,
    ..SqliteOptions::default()
}));
