//! `rosad up`, `rosad invite`, `rosad backup`, `rosad check`: what an operator types, and the exit codes.
//!
//! 0 ok, 1 internal, 2 usage or configuration, 3 not ready, 4 unreachable (no relay runs, or it does not answer).

mod backup;
mod check;
mod invite;
mod up;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    config::{Config, ConfigError},
    data_dir::CONFIG,
};

/// Something failed inside.
const INTERNAL: u8 = 1;
/// The command line or the configuration is wrong.
const USAGE: u8 = 2;
/// The machine is not ready for it.
const NOT_READY: u8 = 3;
/// No relay runs, or the one that does says nothing.
const UNREACHABLE: u8 = 4;

/// rosad, the Subrosa relay: it stores and forwards what it cannot read.
#[derive(Debug, Parser)]
#[command(name = "rosad", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the relay; it runs until SIGTERM or Ctrl-C
    Up(up::Up),
    /// Make an invite at the running relay
    Invite(invite::Invite),
    /// Copy the database to a new file, while the relay runs or not
    Backup(backup::Backup),
    /// Look at configuration, directory, disk, port, certificate and database
    Check(check::Check),
}

/// Where the relay lives.
#[derive(Debug, clap::Args)]
struct Place {
    /// The data directory [default: ./rosad-data]
    #[arg(long, env = "ROSAD_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration [default: rosad.toml in the data directory, if there is one]
    #[arg(long, env = "ROSAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The configuration that is named, or the one in the data directory, or the defaults; then `--data`.
    fn read(&self) -> Result<Config, ConfigError> {
        let data = self.data.clone().unwrap_or(Config::default().data);
        let path = self.config.clone().or_else(|| Some(data.join(CONFIG)).filter(|path| path.is_file()));
        let mut config = match &path {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        } else if self.config.is_none() {
            config.data = data;
        }
        Ok(config)
    }
}

/// Runs a command to its end.
pub async fn run(cli: Cli) -> ExitCode {
    let code = match cli.command {
        Command::Up(up) => up.run().await,
        Command::Invite(invite) => invite.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Check(check) => check.run().await,
    };
    ExitCode::from(code)
}

/// Says what went wrong, for people on standard error and with `--json` for programs on standard output.
fn fail(json: bool, code: u8, message: &str) -> u8 {
    eprintln!("rosad: {message}");
    if json {
        println!("{}", serde_json::json!({ "event": "error", "code": code, "message": message }));
    }
    code
}

/// A time such as `90s`, `30m`, `24h`, `7d`; a bare number is seconds.
fn lifetime(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("expected a time such as 90s, 30m, 24h or 7d".to_owned()),
    };
    let count: u64 = digits.parse().map_err(|_| "expected a time such as 90s, 30m, 24h or 7d".to_owned())?;
    Ok(Duration::from_secs(count.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604_800)] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "h", "1w", "-1s", "1h30m"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_in_the_directory_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CONFIG), "registration = \"closed\"\ndata = \"/elsewhere\"").unwrap();
        let place = Place { data: Some(dir.path().to_owned()), config: None };
        let config = place.read().unwrap();
        assert_eq!(config.data, dir.path());
        assert_eq!(config.registration, crate::config::Registration::Closed);
        let missing = Place { data: None, config: Some(dir.path().join("none.toml")) };
        assert!(missing.read().unwrap_err().to_string().contains("none.toml"));
    }
}
