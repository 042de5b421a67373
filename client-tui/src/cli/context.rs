//! What a verb works with: its flags, its output, and the profile, opened here or by another process.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use subrosa_client::{
    ApiError, Handle, Reply, Request,
    api::Kind,
    attach::Attached,
    profile::{Locked, ProfilePaths},
    store::Store,
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use super::{
    args::Global,
    failure::Failure,
    out::{Out, note},
    owner::{Owner, Role},
    socket_file, terminal,
    watched::{Watched, hangs},
};

/// How long an owner that is just starting may take until its socket answers (R24 allows a second in all).
const STARTING: Duration = Duration::from_millis(400);
/// How long a verb waits for an owner that starts or ends, at most (it can use either's profile as well), and for one that
/// says nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(40);
/// How long a call may take that has no time of its own.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What a call with a time of its own may take longer.
const GRACE: Duration = Duration::from_secs(10);

/// What a verb works with.
pub struct Context {
    /// What every verb takes.
    pub global: Global,
    /// Where results go.
    pub out: Out,
    owner: Mutex<Option<Owner>>,
}

impl Context {
    /// From the flags.
    #[must_use]
    pub fn new(global: Global) -> Self {
        let out = Out { json: global.json };
        Self { global, out, owner: Mutex::new(None) }
    }

    /// Where the profile's files are.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a name that is none.
    pub fn paths(&self) -> Result<ProfilePaths, Failure> {
        Ok(ProfilePaths::resolve(self.global.profile.as_deref())?)
    }

    /// The profile: attached to its owner, or opened here. An owner that starts or ends is waited for, so that verbs may run
    /// beside each other: one of them owns the profile, the others attach, or take it when it has ended.
    ///
    /// # Errors
    /// [`Kind::NotReady`] when there is none, it is owned and not served, or the passphrase is wrong.
    pub async fn open(&self) -> Result<Arc<dyn Handle>, Failure> {
        if let Some(owner) = self.owner.lock().await.as_ref() {
            return Ok(owner.handle());
        }
        let paths = self.existing()?;
        let patience = self.patience();
        let began = Instant::now();
        let mut passphrase = None;
        loop {
            if let Some(attached) = attach(&paths).await? {
                return Ok(Arc::new(Watched::new(attached, patience)));
            }
            let owner = Locked::owner(&paths);
            if owner.is_none() {
                let asked = match passphrase.take() {
                    Some(passphrase) => passphrase,
                    None => self.passphrase("Passphrase: ").await?,
                };
                if let Some(locked) = take(&paths).await? {
                    // The key is derived by whoever holds the lock, and by nobody else.
                    let store = terminal::blocking(move || locked.open(asked.as_bytes())).await??;
                    return self.own(store, Role::Passing).await;
                }
                passphrase = Some(asked);
            }
            if began.elapsed() > patience {
                return Err(
                    already_running(owner.or_else(|| Locked::owner(&paths)).unwrap_or_default()).into()
                );
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How long an owner may be silent. Shorter than what ends the whole verb: who has the profile is the better answer.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.global.timeout.map_or(PATIENCE, |time| (time * 9 / 10).min(PATIENCE))
    }

    /// The profile, opened here.
    ///
    /// # Errors
    /// As [`Context::open`]; also when somebody else owns it.
    pub async fn open_as_owner(&self, role: Role) -> Result<Arc<dyn Handle>, Failure> {
        let paths = self.existing()?;
        refuse_owned(&paths).await?;
        let passphrase = self.passphrase("Passphrase: ").await?;
        let store = open_store(&paths, passphrase).await?;
        self.own(store, role).await
    }

    /// Takes over an open store.
    ///
    /// # Errors
    /// When the engine does not start.
    pub async fn own(&self, store: Store, role: Role) -> Result<Arc<dyn Handle>, Failure> {
        let owner = Owner::start(store, &self.paths()?, role).await?;
        let handle = owner.handle();
        if let Some(before) = self.owner.lock().await.replace(owner) {
            before.close().await;
        }
        Ok(handle)
    }

    /// Notified when an attached program ends this one; only once it owns the profile.
    pub async fn told_to_end(&self) {
        let ended = self.owner.lock().await.as_ref().map(Owner::ended);
        match ended {
            Some(ended) => ended.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the profile is open in this process.
    pub async fn owns(&self) -> bool {
        self.owner.lock().await.is_some()
    }

    /// Flushes and closes what was opened here.
    pub async fn close(&self) {
        let owner = self.owner.lock().await.take();
        if let Some(owner) = owner {
            owner.close().await;
        }
    }

    /// The passphrase, from where the flags say or from the terminal.
    ///
    /// # Errors
    /// [`Kind::NotReady`] when there is neither.
    pub async fn passphrase(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        if let Some(source) = self.global.passphrase() {
            return Ok(terminal::blocking(move || source.read()).await??);
        }
        if terminal::is_there() {
            return terminal::ask_secret(prompt).await;
        }
        Err(ApiError::new(Kind::NotReady, "the profile is locked, and there is no terminal to ask for its passphrase")
            .hint("give --passphrase-file, --passphrase-fd or --passphrase-command, or run `rosa daemon` and attach")
            .into())
    }

    /// Carries out a request and does not wait for ever. Should the owner end before it answers, the next one is asked, or
    /// this process is it; a message without an idempotency key is not sent again, since it may have gone out.
    ///
    /// # Errors
    /// Those of the request; [`Kind::NotReady`] when the owner does not answer.
    pub async fn call(&self, handle: &dyn Handle, request: Request) -> Result<Reply, ApiError> {
        let again = match &request {
            Request::MessageSend(send) if send.key.is_none() => None,
            _ => Some(request.clone()),
        };
        let gone = match self.call_once(handle, request).await {
            Err(error) if is_gone(&error) => error,
            other => return other,
        };
        let Some(request) = again else { return Err(gone) };
        match self.open().await {
            Ok(handle) => self.call_once(&*handle, request).await,
            Err(_) => Err(gone),
        }
    }

    async fn call_once(&self, handle: &dyn Handle, request: Request) -> Result<Reply, ApiError> {
        let within = match &request {
            Request::MessageSend(send) => Duration::from_millis(send.timeout_ms.unwrap_or(30_000)) + GRACE,
            Request::SyncWait { timeout_ms } => Duration::from_millis(*timeout_ms) + GRACE,
            _ => ANSWER_WITHIN,
        };
        timeout(within, handle.call(request))
            .await
            .unwrap_or_else(|_| Err(hangs(self.paths().ok().and_then(|paths| Locked::owner(&paths)))))
    }

    /// The profile's files, when there is a profile.
    ///
    /// # Errors
    /// [`Kind::NotReady`] when there is none.
    pub fn existing(&self) -> Result<ProfilePaths, Failure> {
        let paths = self.paths()?;
        if paths.exists() {
            return Ok(paths);
        }
        Err(ApiError::new(Kind::NotReady, format!("there is no profile {:?} yet", paths.name))
            .hint("`rosa join LINK` registers an account, `rosa login ADDRESS` uses one on a further device")
            .into())
    }

    /// Tells something beside the data, where people read.
    pub fn note(&self, text: &str) {
        if !self.global.json {
            note(text);
        }
    }
}

/// Attaches to the owner of this very profile, at the socket's usual place or where the owner says that it is (its environment
/// may be another one). Two profiles of one name (in two data folders) may share a socket path: the process that serves it
/// must be the one that holds our lock.
///
/// # Errors
/// [`Kind::NotReady`] when the socket cannot be used.
pub async fn attach(paths: &ProfilePaths) -> Result<Option<Attached>, ApiError> {
    let usual = attach_at(paths, &paths.socket).await;
    if let Ok(Some(attached)) = usual {
        return Ok(Some(attached));
    }
    match socket_file::read(paths) {
        Some(path) if path != paths.socket => match attach_at(paths, &path).await? {
            Some(attached) => Ok(Some(attached)),
            None => usual,
        },
        _ => usual,
    }
}

async fn attach_at(paths: &ProfilePaths, socket: &Path) -> Result<Option<Attached>, ApiError> {
    let Some(attached) = Attached::connect(socket).await? else { return Ok(None) };
    let ours = match (Locked::owner(paths), attached.owner()) {
        (Some(owner), Some(serving)) => owner == serving,
        (Some(_), None) => true,
        (None, _) => false,
    };
    Ok(ours.then_some(attached))
}

/// Takes the profile for this process; `None` when somebody else was faster.
async fn take(paths: &ProfilePaths) -> Result<Option<Locked>, Failure> {
    let paths = paths.clone();
    match terminal::blocking(move || Locked::acquire(paths)).await? {
        Ok(locked) => Ok(Some(locked)),
        Err(error) if error.kind == Kind::NotReady && error.message.starts_with("already running") => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the owner that was asked ended without an answer.
#[must_use]
pub fn is_gone(error: &ApiError) -> bool {
    let ended = ["the process that owns the profile has ended", "the engine has ended"];
    error.kind == Kind::NotReady && ended.iter().any(|start| error.message.starts_with(start))
}

/// Gives an owner that holds the lock and does not serve yet a moment; then it is said who it is.
async fn starting(paths: &ProfilePaths) -> Result<Option<Attached>, ApiError> {
    let began = Instant::now();
    while let Some(pid) = Locked::owner(paths) {
        if let Some(attached) = attach(paths).await? {
            return Ok(Some(attached));
        }
        if began.elapsed() > STARTING {
            return Err(already_running(pid));
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(None)
}

async fn refuse_owned(paths: &ProfilePaths) -> Result<(), ApiError> {
    match starting(paths).await? {
        Some(attached) => {
            Err(already_running(attached.owner().or_else(|| Locked::owner(paths)).unwrap_or_default()))
        }
        None => Ok(()),
    }
}

fn already_running(pid: u32) -> ApiError {
    ApiError::new(Kind::NotReady, format!("already running (pid {pid}): another process owns the profile"))
        .hint("wait for it, end it, or use another profile: --profile NAME")
}

/// Opens the store here; the key derivation takes about a second.
///
/// # Errors
/// [`Kind::NotReady`] for a wrong passphrase, or when somebody else was faster.
pub async fn open_store(paths: &ProfilePaths, passphrase: Zeroizing<String>) -> Result<Store, Failure> {
    let paths = paths.clone();
    Ok(terminal::blocking(move || Locked::acquire(paths)?.open(passphrase.as_bytes())).await??)
}

/// Takes a reply apart; another one than the method's is a fault of this program.
macro_rules! reply_of {
    ($reply:expr, $pattern:pat => $value:expr) => {
        match $reply {
            $pattern => Ok($value),
            _ => Err($crate::cli::failure::Failure::new(
                subrosa_client::api::Kind::Internal,
                "internal error: a reply of another method",
            )),
        }
    };
}
pub(crate) use reply_of;
