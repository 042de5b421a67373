//! The command line of `rosa`: its verbs, what they share, and how they end.
//!
//! | module | what it does |
//! |---|---|
//! | [`args`] | the definition of the command line |
//! | [`verbs`] | a file a verb |
//! | [`context`] | flags, output, and the profile, attached to or opened here |
//! | [`owner`] | this process owns the profile and serves its socket |
//! | [`watched`] | another process owns it, and may hang |
//! | [`socket_file`] | where the owner's socket is, for whoever has another environment |
//! | [`flush`] | what must go out before a verb ends |
//! | [`door`] | how the application opens the profile |
//! | [`recovery`] | the recovery words: shown, written, read |
//! | [`terminal`] | asking somebody |
//! | [`out`], [`mod@format`] | standard output, and results as people read them |
//! | [`failure`] | what went wrong, why, what next, and the exit code |
//! | [`signals`], [`duration`] | small things |

pub mod args;
pub mod context;
pub mod door;
pub mod duration;
pub mod failure;
pub mod flush;
pub mod format;
pub mod out;
pub mod owner;
pub mod recovery;
pub mod signals;
pub mod socket_file;
pub mod terminal;
pub mod verbs;
pub mod watched;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use subrosa_client::{ApiError, api::Kind, profile::harden_process};
use tokio::time::timeout;

use self::{
    args::{Cli, Verb},
    context::Context,
    failure::Failure,
    signals::Signals,
};

/// How long threads that do not end by themselves are waited for.
const THREADS_END_WITHIN: Duration = Duration::from_millis(500);

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    if let Err(error) = harden_process() {
        let failure =
            Failure::new(Kind::Internal, format!("this process cannot be closed to others: {error}"));
        let _ = writeln!(io::stderr().lock(), "{}", failure.text(false).unwrap_or_default());
        return ExitCode::from(failure.exit_code());
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json = cli.global.json;
    let saved = terminal::Saved::now();
    let outcome = in_runtime(cli);
    drop(saved);
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if let Some(text) = failure.text(json) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
    ExitCode::from(failure.exit_code())
}

fn in_runtime(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Internal, format!("the program cannot start: {error}")))?;
    let outcome = runtime.block_on(run(cli));
    // Threads that opened the store must be gone before the process cleans up beneath them; one that waits for standard
    // input must not hold up the end.
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    outcome
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let context = Arc::new(Context::new(cli.global));
    let outcome = match cli.verb {
        // These see to signals themselves.
        None => {
            log_to_stderr(false);
            verbs::application::run(cli.plain, &context).await
        }
        Some(verb @ (Verb::Daemon | Verb::Demo)) => {
            log_to_stderr(matches!(verb, Verb::Daemon));
            verbs::run(verb, &context).await
        }
        Some(verb) => {
            log_to_stderr(!matches!(verb, Verb::Join(_) | Verb::Login(_)));
            until_signal(verb, &context).await
        }
    };
    // Also after an error and a signal: what is open here is flushed. A second signal ends that.
    let mut signals = Signals::listen()?;
    tokio::select! {
        () = context.close() => outcome,
        number = signals.next() => Err(Failure::Signal(number)),
    }
}

async fn until_signal(verb: Verb, context: &Arc<Context>) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let limit = context.global.timeout.filter(|_| !verb.has_own_timeout());
    let (late, hint) = match &verb {
        Verb::Join(_) | Verb::Login(_) => (
            "the relay did not answer within --timeout",
            "check the address and the network; the same command takes up where it was",
        ),
        Verb::Room(args) if args.action.changes() => (
            "the relay did not answer within --timeout: it may have been done, or be done yet",
            "look before you ask again: rosa ls rooms, rosa room show ROOM",
        ),
        _ => {
            ("it took longer than --timeout allows", "what was queued stays queued; try again with more time")
        }
    };
    let work = async {
        let Some(limit) = limit else { return verbs::run(verb, context).await };
        timeout(limit, verbs::run(verb, context))
            .await
            .unwrap_or_else(|_| Err(ApiError::new(Kind::Timeout, late).hint(hint).into()))
    };
    tokio::select! {
        outcome = work => outcome,
        number = signals.next() => Err(Failure::Signal(number)),
    }
}

/// `ROSA_LOG=debug` says more. On a screen of the application there is no place for it.
fn log_to_stderr(enabled: bool) {
    if !enabled && io::stderr().is_terminal() {
        return;
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("ROSA_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .try_init();
}

/// What clap says: help and version to standard output with 0, the rest in our form with 2.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let printed = error.print();
        return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(Failure::Closed.exit_code()) };
    }
    let json = std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json");
    let rendered = error.render().to_string();
    let text = rendered.trim_end();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    if json {
        let message = text.split("\n\n").next().unwrap_or(text);
        let failure = Failure::usage(message, "rosa --help");
        let _ = writeln!(io::stderr().lock(), "{}", failure.text(true).unwrap_or_default());
    } else {
        let _ = writeln!(io::stderr().lock(), "error: {}", subrosa_protocol::SafeText::multi_line(text));
    }
    ExitCode::from(Kind::Usage.exit_code())
}
