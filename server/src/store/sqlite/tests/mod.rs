mod erasure;
mod failures;
mod folding;
mod journal;
mod opening;
mod rooms;

use std::sync::Arc;

use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore};
use crate::store::conformance::conformance;

conformance!(opened(SqliteOptions::default()));

/// An empty store and its directory.
fn opened(options: SqliteOptions) -> (Arc<SqliteStore>, TempDir) {
    let dir = TempDir::new().unwrap();
    let store = SqliteStore::open(&dir.path().join("relay.db"), options).unwrap();
    (Arc::new(store), dir)
}
