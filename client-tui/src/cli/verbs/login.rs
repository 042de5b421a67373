//! `rosa login ADDRESS --name NAME`: this becomes a further device of an account. The passphrase opens the account at the
//! relay, the recovery words sign the device into its list.

use std::{path::PathBuf, sync::Arc};

use serde_json::json;
use subrosa_client::{
    ApiError,
    join::{self, LoggedIn, LoginParams},
};
use subrosa_protocol::{JoinLink, Username};

use super::application;
use crate::cli::{context::Context, failure::Failure, owner::Role, recovery, terminal};

/// Adds this device to an account.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a terminal: rosa login ADDRESS --name alice --passphrase-file F --recovery-file WORDS")]
pub struct Args {
    /// The relay: rosa://host:port/fingerprint
    pub address: String,
    /// The account's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Read the recovery words from this file; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// End with the address instead of opening the application
    #[arg(long)]
    pub no_app: bool,
}

/// # Errors
/// Whatever keeps the device from being added; the same command then takes up where it was interrupted.
pub async fn run(args: Args, context: &Arc<Context>) -> Result<(), Failure> {
    let link: JoinLink = args.address.parse().map_err(|error| {
        Failure::usage(
            format!("this is no relay address: {error}"),
            "`rosa whoami` on the other device prints it",
        )
    })?;
    let paths = context.paths()?;
    let name = match args.name {
        Some(name) => name,
        None if terminal::is_there() => terminal::ask("Name: ").await?.trim().to_owned(),
        None => return Err(Failure::usage("which account?", "give --name NAME")),
    };
    let name =
        Username::new(name).map_err(|error| Failure::usage(error.to_string(), "for example --name alice"))?;
    let words = recovery::read(args.recovery_file.as_deref()).await?;
    let passphrase = context.passphrase("Passphrase of the account: ").await?;
    context.note(&format!("logging in as {name} at {} …", link.relay.authority()));
    let params = LoginParams { relay: link.relay, name, passphrase, words };
    let LoggedIn { store, address, device } = join::login(paths.clone(), params).await?;
    if !args.no_app && !context.out.json && terminal::is_there() {
        let handle = context.own(store, Role::Passing).await?;
        return application::open_in(context, Some(handle), false).await;
    }
    store.close().map_err(ApiError::from)?;
    let value = json!({ "address": address, "device": device, "profile": paths.dir });
    context.out.either(&value, || format!("{address}, device {device}"))
}
