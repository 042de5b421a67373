//! `rosa logout`: this device leaves its account. At a terminal it asks first; elsewhere `--yes` says that it is meant.

use std::time::Duration;

use subrosa_client::Request;

use crate::cli::{context::Context, duration::millis, failure::Failure, terminal};

/// How long the relay may take to answer when `--timeout` says nothing.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Removes this device.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not ask; required without a terminal and with --json
    #[arg(long, short)]
    pub yes: bool,
    /// Also when this is your only device and rooms lose their only owner with it
    #[arg(long)]
    pub force: bool,
}

/// # Errors
/// [`subrosa_client::api::Kind::Usage`] when nobody can be asked and `--yes` is missing;
/// [`subrosa_client::api::Kind::Refused`] while rooms would lose their only owner and `--force` is missing;
/// [`subrosa_client::api::Kind::Unreachable`] when the relay cannot be told; nothing is removed then.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let asks = terminal::is_there() && !context.out.json;
    if !args.yes && !asks {
        return Err(Failure::usage(
            "this removes the device's keys for good, and there is no terminal to ask at",
            "give --yes when that is meant",
        ));
    }
    let handle = context.open().await?;
    if !args.yes {
        terminal::say("This device's keys are removed from this profile and from the account's list.\n");
        terminal::say("Messages stay here; nobody can write to this device any more.\n");
        if !terminal::confirm("Log out?").await? {
            context.note("nothing was changed");
            return Ok(());
        }
    }
    // The relay must know: wait for the connection first.
    context
        .call(
            &*handle,
            Request::SyncWait { timeout_ms: millis(context.global.timeout.unwrap_or(CONNECT_WITHIN)) },
        )
        .await?;
    context.call(&*handle, Request::AccountLogout { force: args.force }).await?;
    context.out.either(&serde_json::json!({}), || "logged out; messages stay in this profile".to_owned())
}
