//! `rosad backup`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{INTERNAL, NOT_READY, Place, UNREACHABLE, USAGE, fail};
use crate::{
    admin::{AdminRequest, ask},
    data_dir::{DATABASE, DataDir},
    store::{
        SqliteStore, Store,
        sqlite::{SqliteOptions, inspect},
    },
};

#[derive(Debug, Args)]
pub(super) struct Backup {
    #[command(flatten)]
    place: Place,
    /// The new file; there must be none yet
    #[arg(value_name = "FILE")]
    to: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) async fn run(self) -> u8 {
        let config = match self.place.read() {
            Ok(config) => config,
            Err(error) => return fail(self.json, USAGE, &error.to_string()),
        };
        let data = config.data.as_path();
        let copied = match (std::path::absolute(&self.to), DataDir::running(data)) {
            (Ok(to), Ok(Some(_))) => by_the_relay(data, &to).await,
            (Ok(to), Ok(None)) => of_a_stopped_one(data, &to).await,
            (Err(error), _) => Err((USAGE, error.to_string())),
            (_, Err(error)) => Err((NOT_READY, error.to_string())),
        };
        match copied {
            Ok(()) if self.json => {
                println!("{}", json!({ "event": "backup", "file": self.to.display().to_string() }));
                0
            }
            Ok(()) => {
                println!("  {} holds every account and every message that waits", self.to.display());
                0
            }
            Err((code, message)) => fail(self.json, code, &message),
        }
    }
}

async fn by_the_relay(data: &Path, to: &Path) -> Result<(), (u8, String)> {
    let request = AdminRequest::Backup { to: to.to_owned() };
    let answer = ask(data, &request).await.map_err(|error| {
        (UNREACHABLE, format!("the relay on {} does not answer: {error}", data.display()))
    })?;
    if answer.get("ok") == Some(&json!(true)) {
        return Ok(());
    }
    let why = answer.get("error").and_then(serde_json::Value::as_str).unwrap_or("it does not say why");
    Err((NOT_READY, why.to_owned()))
}

async fn of_a_stopped_one(data: &Path, to: &Path) -> Result<(), (u8, String)> {
    let dir = DataDir::open(data).map_err(|error| (NOT_READY, error.to_string()))?;
    let path = dir.file(DATABASE);
    // A backup is no upgrade: another schema is another program's.
    let seen = inspect(&path).map_err(|error| (NOT_READY, error.to_string()))?;
    if seen.schema_version != seen.newest_known {
        let text = format!(
            "{} has schema version {}, and this rosad has {}: start the relay once, or use the rosad that wrote it",
            path.display(),
            seen.schema_version,
            seen.newest_known
        );
        return Err((NOT_READY, text));
    }
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, SqliteOptions::default()));
    let store = opened
        .await
        .map_err(|error| (INTERNAL, error.to_string()))?
        .map_err(|error| (NOT_READY, error.to_string()))?;
    let copied = store.back_up(to).await.map_err(|error| (NOT_READY, error.to_string()));
    let closed = store.close().await.map_err(|error| (INTERNAL, error.to_string()));
    drop(dir);
    copied.and(closed)
}
