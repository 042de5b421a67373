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

/// Set for the program that replaces a locked one: an owner that still has the profile open does not unlock it.
const LOCKED: &str = "ROSA_LOCKED";

/// # Errors
/// [`Kind::Usage`] without a terminal, [`Kind::NotReady`] without a profile.
pub async fn run(plain: bool, context: &Arc<Context>) -> Result<(), Failure> {
    if !plain && !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "the application needs a terminal",
            "`rosa --help` lists the verbs for scripts; `rosa --plain` is the application in line mode",
        ));
    }
    let paths = context.existing()?;
    let locked = std::env::var_os(LOCKED).is_some();
    // A daemon has it open already; whoever gave a passphrase by flag wants no lock screen.
    let open: Option<Arc<dyn Handle>> = match attach(&paths).await? {
        _ if locked => None,
        Some(attached) => Some(Arc::new(attached)),
        None if context.global.passphrase().is_some() || (plain && !terminal::is_there()) => {
            let passphrase = context.passphrase("").await?;
            let store = open_store(&paths, passphrase).await?;
            Some(context.own(store, Role::Passing).await?)
        }
        None => None,
    };
    open_in(context, open, plain).await
}

/// Opens the application on a profile that may be open already.
///
/// # Errors
/// When the terminal or the configuration cannot be used.
pub async fn open_in(
    context: &Arc<Context>,
    handle: Option<Arc<dyn Handle>>,
    plain: bool,
) -> Result<(), Failure> {
    let mut open = handle;
    loop {
        let session = Session {
            profile: context.paths()?.name,
            door: Arc::new(ProfileDoor::new(Arc::clone(context))),
            open: open.take(),
            chat: None,
            settings: settings()?,
            scratch: scratch(),
            lock_ends: true,
        };
        match on_terminal(session, plain).await? {
            ExitReason::Quit => return Ok(()),
            ExitReason::Terminated => return Err(Failure::Signal(15)),
            ExitReason::Locked => {
                context.close().await;
                // Returns only when it fails; then the lock screen of this process has to do.
                tracing::warn!("the program cannot be started anew: {}", anew(plain, context));
            }
        }
    }
}

/// On the full screen, or line by line where that is wanted.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn on_terminal(session: Session, plain: bool) -> Result<ExitReason, Failure> {
    let ended =
        if app::wants_plain(plain) { app::plain::run(session).await } else { app::run(session).await };
    ended.map_err(|error| Failure::new(Kind::Internal, format!("the terminal cannot be used: {error}")))
}

/// Replaces this process, so that nothing of the session stays in memory (R49).
fn anew(plain: bool, context: &Context) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    if let Some(profile) = &context.global.profile {
        command.args(["--profile", profile]);
    }
    if plain {
        command.arg("--plain");
    }
    command.env(LOCKED, "1").exec()
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
