//! `rosad room`: public rooms listed, any room removed.

use std::io::{self, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{NOT_READY, Place, USAGE, ask_relay, fail};
use crate::admin::AdminRequest;

#[derive(Debug, Args)]
pub(super) struct Room {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the public rooms
    List(List),
    /// Remove a room for good, with its log and its slug
    Remove(Remove),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    place: Place,
    /// One JSON object a room on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    place: Place,
    /// Its slug, or its id
    #[arg(value_name = "ROOM")]
    room: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// One JSON object on standard output
    #[arg(long)]
    json: bool,
}

impl Room {
    pub(super) async fn run(self) -> u8 {
        match self.action {
            Action::List(list) => list.run().await,
            Action::Remove(remove) => remove.run().await,
        }
    }
}

impl List {
    async fn run(self) -> u8 {
        let mut after = None;
        loop {
            let answer = match ask_at(&self.place, self.json, &AdminRequest::Rooms { after }).await {
                Ok(answer) => answer,
                Err(code) => return code,
            };
            let rooms = answer.get("rooms").and_then(Value::as_array).cloned().unwrap_or_default();
            after = None;
            for room in &rooms {
                let text = |name: &str| room.get(name).and_then(Value::as_str).unwrap_or_default();
                if self.json {
                    println!("{room}");
                } else {
                    let accounts = room.get("accounts").and_then(Value::as_u64).unwrap_or_default();
                    println!("{:<32} {accounts:>5}  {}  {}", text("slug"), text("room"), text("name"));
                }
                after = Some(text("slug").to_owned());
            }
            if answer.get("more") != Some(&Value::Bool(true)) || after.is_none() {
                return 0;
            }
        }
    }
}

impl Remove {
    async fn run(self) -> u8 {
        if !self.yes && !confirmed(&self.room) {
            return fail(self.json, USAGE, "nothing was removed: say --yes, or answer the question with yes");
        }
        let request = AdminRequest::RemoveRoom { room: self.room };
        match ask_at(&self.place, self.json, &request).await {
            Ok(answer) => {
                let id = answer.get("room").and_then(Value::as_str).unwrap_or_default();
                if self.json {
                    println!("{}", serde_json::json!({ "removed": id }));
                } else {
                    println!("Room {id} is removed.");
                }
                0
            }
            Err(code) => code,
        }
    }
}

/// Asks the person at the terminal; without one the answer is no.
fn confirmed(room: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    eprint!("Remove {} and everything in it for good? [yes/no] ", room.escape_debug());
    let mut line = String::new();
    io::stderr().flush().is_ok() && io::stdin().read_line(&mut line).is_ok() && line.trim() == "yes"
}

/// What the running relay answers; or the exit code, when that was told.
async fn ask_at(place: &Place, json: bool, request: &AdminRequest) -> Result<Value, u8> {
    let config = place.read().map_err(|error| fail(json, USAGE, &error.to_string()))?;
    let answer = ask_relay(&config.data, json, request).await?;
    if answer.get("ok") == Some(&Value::Bool(true)) {
        return Ok(answer);
    }
    let error = answer.get("error").and_then(Value::as_str).unwrap_or("no reason given");
    Err(fail(json, NOT_READY, &format!("the relay refuses: {error}")))
}
