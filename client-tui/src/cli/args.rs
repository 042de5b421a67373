//! The command line: what `--help`, the completions and the man pages are made from.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use super::{duration, verbs};
use crate::secrets::Source;

const EXIT_CODES: &str = "\
Exit codes: 0 ok, 1 internal, 2 usage, 3 not ready (no profile, wrong passphrase,
owned by another process), 4 unreachable (try again), 5 refused, 6 identity (a key
changed), 7 not found, 8 results differ, 9 time ran out (what was queued stays
queued), 10 rate limited, 130 and 143 ended by a signal, after the store was flushed.

Without a verb the terminal application opens. docs/SCRIPTING.md describes scripting.";

/// Private chat in the terminal, end to end encrypted, through a relay that anyone can host.
#[derive(Debug, Parser)]
#[command(name = "rosa", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// For every verb.
    #[command(flatten)]
    pub global: Global,
    /// The application in line mode: no full screen, not one escape sequence
    #[arg(long)]
    pub plain: bool,
    /// What to do; without one, the application.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What every verb takes, before or after its name.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// The profile: a name, or a directory when it contains a /
    #[arg(long, global = true, value_name = "NAME|DIR")]
    pub profile: Option<String>,
    /// One JSON object a line on standard output, errors as one on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// How long it may take: 500ms, 30s, 5m, 1h, 2d; a bare number is seconds
    #[arg(long, global = true, value_name = "TIME", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Read the passphrase from this file descriptor (a pipe or a file)
    #[arg(long, global = true, value_name = "N", conflicts_with_all = ["passphrase_file", "passphrase_command"])]
    pub passphrase_fd: Option<u32>,
    /// Read the passphrase from the first line of this file
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_command")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from what this command prints; it is split into words and run without a shell
    #[arg(long, global = true, value_name = "COMMAND")]
    pub passphrase_command: Option<String>,
}

impl Global {
    /// Where the passphrase comes from, if that was said.
    #[must_use]
    pub fn passphrase(&self) -> Option<Source> {
        let fd = self.passphrase_fd.map(Source::Fd);
        let file = || self.passphrase_file.clone().map(Source::File);
        fd.or_else(file).or_else(|| self.passphrase_command.clone().map(Source::Command))
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Register an account on a relay and make this its first device
    Join(verbs::join::Args),
    /// Make this a further device of an account
    Login(verbs::login::Args),
    /// Remove this device from its account and its keys from this profile; messages stay
    Logout(verbs::logout::Args),
    /// Who this profile is
    Whoami,
    /// Send a text
    Send(verbs::send::Args),
    /// Print the events that are new
    Recv(verbs::recv::Args),
    /// Make, find, join and rule rooms
    Room(verbs::room::Args),
    /// List chats, contacts, rooms, devices or requests
    Ls(verbs::ls::Args),
    /// One message, or the last messages of a chat
    Show(verbs::show::Args),
    /// Search all messages, newest first
    Search(verbs::search::Args),
    /// Accept a stranger's request
    Accept(verbs::accept::Args),
    /// Show, compare and confirm the safety number shared with somebody
    Verify(verbs::verify::Args),
    /// Accept somebody's changed key; held messages then go out by themselves
    Trust(verbs::trust::Args),
    /// Connection, queues, prekeys, and who owns the profile
    Status,
    /// Check the profile: permissions, store, relay, clock
    Check,
    /// The versions of this program and of its protocol
    Version,
    /// Print the completions for a shell
    Completions(verbs::completions::Args),
    /// Print the man page, of rosa or of a verb
    Man(verbs::man::Args),
    /// Own the profile without a screen and serve its socket
    Daemon,
    /// Try it: a relay in this process, two throw-away accounts, one of them an echo
    Demo,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_every_verb_takes_stands_before_or_after_it() {
        let flags = ["--profile", "work", "--json", "--timeout", "1m", "--passphrase-file", "f"];
        let before: Vec<&str> = ["rosa"].into_iter().chain(flags).chain(["whoami"]).collect();
        let after: Vec<&str> = ["rosa", "whoami"].into_iter().chain(flags).collect();
        for args in [before, after] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.global.profile.as_deref(), Some("work"));
            assert!(cli.global.json);
            assert_eq!(cli.global.timeout, Some(Duration::from_secs(60)));
            assert_eq!(cli.global.passphrase(), Some(Source::File("f".into())));
            assert!(matches!(cli.verb, Some(Verb::Whoami)));
        }
    }

    #[test]
    fn signs_may_begin_with_a_hyphen_and_flags_of_the_verb_stay_flags() {
        use crate::cli::verbs::room::Action;
        let action = |args: &[&str]| {
            let cli = Cli::try_parse_from([&["rosa", "room"], args].concat()).unwrap();
            let Some(Verb::Room(room)) = cli.verb else { panic!("{args:?}") };
            (room.action, cli.global.json)
        };
        for (args, wanted, wanted_undo) in [
            (&["react", "ID", "-1"][..], "-1", false),
            (&["react", "ID", "-_-", "--undo"], "-_-", true),
            (&["react", "--undo", "ID", "-1", "--json"], "-1", true),
            (&["react", "ID", "--undo", "+1"], "+1", true),
            (&["react", "ID", "--", "--undo"], "--undo", false),
        ] {
            let (Action::React { sign, undo, .. }, json) = action(args) else { panic!("{args:?}") };
            assert_eq!((sign.as_str(), undo), (wanted, wanted_undo), "{args:?}");
            assert_eq!(json, args.contains(&"--json"), "{args:?}");
        }
    }

    #[test]
    fn a_topic_is_shown_set_or_removed() {
        use crate::cli::verbs::room::Action;
        let topic = |args: &[&str]| {
            let cli = Cli::try_parse_from([&["rosa", "room", "topic", "#ops"], args].concat()).ok()?;
            match cli.verb {
                Some(Verb::Room(verbs::room::Args { action: Action::Topic { topic, none, .. } })) => {
                    Some((topic, none))
                }
                _ => None,
            }
        };
        assert_eq!(topic(&[]), Some((None, false)));
        assert_eq!(topic(&["calm"]), Some((Some("calm".into()), false)));
        assert_eq!(topic(&["--none"]), Some((None, true)));
        assert_eq!(topic(&["--none", "calm"]), None);
    }

    #[test]
    fn two_sources_of_a_passphrase_are_refused() {
        assert!(
            Cli::try_parse_from(["rosa", "whoami", "--passphrase-fd", "3", "--passphrase-file", "f"])
                .is_err()
        );
        assert!(Cli::try_parse_from(["rosa", "--passphrase", "secret"]).is_err());
    }
}
