//! Bare `rosa`: the terminal application, or its line mode.

use std::{
    io::{self, IsTerminal},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use subrosa_client::{ApiError, Handle, api::Kind};

use crate::{
    app::{self, ExitReason, Session, Settings},
    cli::{
        context::{Context, attach, open_store},
        door::ProfileDoor,
        failure::Failure,
        owner::Role,
        terminal,
    },
};

/// # Errors
/// [`Kind::Usage`] without a terminal, [`Kind::NotReady`] without a profile.
pub async fn run(plain: bool, context: &Arc<Context>) -> Result<(), Failure> {
    if !plain && !terminal_for_screen() {
        return Err(Failure::usage(
            "the application needs a terminal",
            "`rosa --help` lists the verbs for scripts; `rosa --plain` is the application in line mode",
        ));
    }
    let paths = context.existing()?;
    // A daemon has it open already; whoever gave a passphrase by flag wants no lock screen.
    let open: Option<Arc<dyn Handle>> = match attach(&paths).await? {
        Some(attached) => Some(Arc::new(attached)),
        None if context.global.passphrase().is_some() => {
            let passphrase = context.passphrase("").await?;
            let store = open_store(&paths, passphrase).await?;
            Some(context.own(store, Role::Passing).await?)
        }
        None if plain && !terminal::is_there() => {
            // There is nobody to ask.
            return Err(context.passphrase("").await.err().unwrap_or(Failure::Closed));
        }
        None => None,
    };
    open_session(context, open, None, plain).await
}

fn terminal_for_screen() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Opens the application on a profile that may be open already.
///
/// # Errors
/// When the terminal or the configuration cannot be used.
pub async fn open(
    context: &Arc<Context>,
    handle: Option<Arc<dyn Handle>>,
    plain: bool,
) -> Result<(), Failure> {
    open_session(context, handle, None, plain).await
}

/// The same, beginning in a chat.
///
/// # Errors
/// As [`open`].
pub async fn open_session(
    context: &Arc<Context>,
    open: Option<Arc<dyn Handle>>,
    chat: Option<String>,
    plain: bool,
) -> Result<(), Failure> {
    let session = Session {
        profile: context.paths()?.name,
        door: Arc::new(ProfileDoor::new(Arc::clone(context))),
        open,
        chat,
        settings: settings()?,
        scratch: scratch(),
        lock_ends: true,
    };
    match run_app(session, plain).await? {
        ExitReason::Quit => Ok(()),
        ExitReason::Terminated => Err(Failure::Signal(15)),
        ExitReason::Locked => {
            context.close().await;
            Err(anew(plain, context))
        }
    }
}

async fn run_app(session: Session, plain: bool) -> Result<ExitReason, Failure> {
    let ended = if plain || std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        app::plain::run(session).await
    } else {
        app::run(session).await
    };
    ended.map_err(|error| Failure::new(Kind::Internal, format!("the terminal cannot be used: {error}")))
}

/// Replaces this process, so that nothing of the session stays in memory (R49). Returns only when that fails.
fn anew(plain: bool, context: &Context) -> Failure {
    let Ok(program) = std::env::current_exe() else {
        return Failure::new(Kind::Internal, "locked, and the program cannot be found to start it anew");
    };
    let mut command = Command::new(program);
    if let Some(profile) = &context.global.profile {
        command.args(["--profile", profile]);
    }
    if plain {
        command.arg("--plain");
    }
    Failure::new(
        Kind::Internal,
        format!("locked, and the program cannot be started anew: {}", command.exec()),
    )
}

fn settings() -> Result<Settings, Failure> {
    let Some(path) = config_file() else { return Ok(Settings::default()) };
    Settings::load(&path).map_err(|error| {
        ApiError::new(Kind::Usage, format!("{}: {error}", path.display()))
            .hint("mend it or move it away")
            .into()
    })
}

fn config_file() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(home.join("rosa/config.toml"))
}

/// The runtime folder is in memory on most systems.
fn scratch() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    folder.is_dir().then_some(folder)
}
