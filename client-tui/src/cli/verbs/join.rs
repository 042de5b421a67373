//! `rosa join LINK`: an account on a relay, and this as its first device. At a terminal it asks for what was not given and
//! ends in the application; without one it takes everything from flags and ends with the address.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use subrosa_client::{
    ApiError,
    api::Kind,
    join::{self, JoinParams, Joined},
    profile::ProfilePaths,
};
use subrosa_protocol::{JoinLink, Username};
use zeroize::Zeroizing;

use super::application;
use crate::{
    cli::{
        context::Context,
        failure::Failure,
        owner::Role,
        recovery::{self, Sink},
        terminal,
    },
    secrets::strength::judge,
};

/// How often somebody may mistype before it is given up.
const TRIES: usize = 5;

/// Registers an account.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a terminal: rosa join LINK --name bot --passphrase-file F --recovery-file WORDS")]
pub struct Args {
    /// What the relay's operator gave you: rosa://host:port/fingerprint#invite
    pub link: String,
    /// The account's name: 3 to 32 small letters, digits and _, a letter first
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What others see beside the name
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub display_name: String,
    /// Write the recovery words to this new file (mode 0600) instead of showing them; - prints them with the result
    #[arg(long, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// End with the address instead of opening the application
    #[arg(long)]
    pub no_app: bool,
}

/// # Errors
/// Whatever keeps the account from being registered; the same command then takes up where it was interrupted.
pub async fn run(args: Args, context: &Arc<Context>) -> Result<(), Failure> {
    let link: JoinLink = args.link.parse().map_err(|error| {
        Failure::usage(
            format!("this is no link: {error}"),
            "copy all of what the relay's operator gave you, in quotes: 'rosa://…'",
        )
    })?;
    let paths = context.paths()?;
    let mut sink = match args.recovery_file.as_deref() {
        Some(file) if paths.exists() && has_something(file) => return Err(joined_before(&paths, file)),
        file => Sink::prepare(file)?,
    };
    let name = name(args.name).await?;
    let passphrase = passphrase(context, &name).await?;
    context.note(&format!("registering {name} at {} …", link.relay.authority()));
    let params = JoinParams { link, name: name.clone(), display_name: args.display_name, passphrase };
    let keep = async |words: &Zeroizing<String>| keep(&mut sink, words).await;
    let (Joined { store, words, address }, told) = join::join_keeping(paths.clone(), params, keep).await?;
    drop(words);
    if !args.no_app && !context.out.json && terminal::is_there() {
        let handle = context.own(store, Role::Passing).await?;
        return application::open_in(context, Some(handle), false).await;
    }
    store.close().map_err(ApiError::from)?;
    result(context, &paths, &name, &address, told)
}

fn has_something(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() > 0)
}

/// What the same command says after it has come through.
fn joined_before(paths: &ProfilePaths, file: &Path) -> Failure {
    let (name, file) = (&paths.name, file.display());
    let message = format!("the profile {name} exists already, and so does {file}");
    let hint = "`rosa whoami` tells the profile's account, whose words are in that file; for another account choose \
                another --profile and another file; to go on with an interrupted join choose another file";
    ApiError::new(Kind::Refused, message).hint(hint).into()
}

fn result(
    context: &Context,
    paths: &ProfilePaths,
    name: &Username,
    address: &str,
    told: Told,
) -> Result<(), Failure> {
    let (file, printed) = match told {
        Told::Shown => (None, None),
        Told::File(path) => (Some(path), None),
        Told::Printed(words) => (None, Some(words)),
    };
    let value = json!({
        "address": address,
        "name": name,
        "profile": paths.dir,
        "recovery_file": file,
        "recovery_words": printed.as_ref().map(|words| words.as_str()),
    });
    context.out.either(&value, || match &printed {
        Some(words) => format!("{address}\n{}", words.as_str()),
        None => address.to_owned(),
    })
}

enum Told {
    Shown,
    File(PathBuf),
    Printed(Zeroizing<String>),
}

async fn keep(sink: &mut Sink, words: &Zeroizing<String>) -> Result<Told, Failure> {
    match sink {
        Sink::Terminal => recovery::show(words).await.map(|()| Told::Shown),
        Sink::Output => Ok(Told::Printed(words.clone())),
        Sink::File(kept) => match kept.write(words) {
            Ok(()) => Ok(Told::File(kept.path().to_path_buf())),
            Err(error) => Err(ApiError::new(
                Kind::Internal,
                format!(
                    "the account is registered, but {} cannot be written: {error}",
                    kept.path().display()
                ),
            )
            .hint("make room, and give the same command again with another --recovery-file")
            .into()),
        },
    }
}

async fn name(given: Option<String>) -> Result<Username, Failure> {
    if let Some(name) = given {
        return Username::new(name)
            .map_err(|error| Failure::usage(error.to_string(), "for example --name alice"));
    }
    if !terminal::is_there() {
        return Err(Failure::usage("the account needs a name", "give --name NAME"));
    }
    for _ in 0..TRIES {
        match Username::new(terminal::ask("Name: ").await?.trim()) {
            Ok(name) => return Ok(name),
            Err(error) => terminal::say(&format!("  {error}\n")),
        }
    }
    Err(Failure::usage("no usable name", "3 to 32 small letters, digits and _, a letter first"))
}

/// A new passphrase: asked for twice, with what it is worth.
async fn passphrase(context: &Context, name: &Username) -> Result<Zeroizing<String>, Failure> {
    if context.global.passphrase().is_some() || !terminal::is_there() {
        let passphrase = context.passphrase("").await.map_err(no_passphrase)?;
        let strength = judge(&passphrase, &[name.as_str()]);
        if strength.is_weak() {
            context.note(&format!("warning: the passphrase is {strength}"));
        }
        return Ok(passphrase);
    }
    terminal::say(
        "The passphrase opens this profile and, with the recovery words, further devices. The relay never sees it.\n",
    );
    for _ in 0..TRIES {
        let passphrase = terminal::ask_secret("Passphrase: ").await?;
        if passphrase.is_empty() {
            continue;
        }
        let strength = judge(&passphrase, &[name.as_str()]);
        terminal::say(&format!("  {strength}\n"));
        if strength.is_weak() && !terminal::confirm("  Use it all the same?").await? {
            continue;
        }
        if terminal::ask_secret("Again: ").await? == passphrase {
            return Ok(passphrase);
        }
        terminal::say("  they differ\n");
    }
    Err(Failure::usage(
        "no passphrase was chosen",
        "four or five words that do not belong together are strong",
    ))
}

fn no_passphrase(failure: Failure) -> Failure {
    match failure {
        Failure::Error(error) if error.kind == Kind::NotReady && error.message.contains("locked") => {
            Failure::usage(
                "the account needs a passphrase, and there is no terminal to ask for one",
                "give --passphrase-file, --passphrase-fd or --passphrase-command",
            )
        }
        other => other,
    }
}
