//! What the application is started with, and how it ended.

use std::{future::Future, path::PathBuf, pin::Pin, sync::Arc};

use subrosa_client::{ApiError, Handle};
use zeroize::Zeroizing;

use super::settings::Settings;

/// The future of [`Door::unlock`].
pub type Unlocking<'a> = Pin<Box<dyn Future<Output = Result<Arc<dyn Handle>, ApiError>> + Send + 'a>>;
/// The future of [`Door::lock`].
pub type Locking<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Opens and closes a profile. The application knows nothing of files, locks and keys.
pub trait Door: Send + Sync {
    /// Opens the profile; the key derivation runs where it does not hold up the screen. A wrong passphrase is
    /// [`subrosa_client::api::Kind::NotReady`]. Where another process owns the profile, the passphrase is checked against
    /// the vault and the socket is attached to.
    fn unlock(&self, passphrase: Zeroizing<String>) -> Unlocking<'_>;

    /// Closes what [`Door::unlock`] opened and wipes its keys: the engine is shut down and the store closed. Called once
    /// for every successful unlock, also when the application ends. The application has dropped its handle before.
    fn lock(&self) -> Locking<'_>;
}

/// What the application works with.
pub struct Session {
    /// The profile's name, for the lock screen.
    pub profile: String,
    /// Opens the profile.
    pub door: Arc<dyn Door>,
    /// The profile, when it is open already: after a join, in a demonstration, or when a daemon owns it.
    pub open: Option<Arc<dyn Handle>>,
    /// The chat to open first.
    pub chat: Option<String>,
    /// What the person set.
    pub settings: Settings,
    /// Where the history of the composer's external editor may be written: a folder of mode 0700 in memory, if there is
    /// one. `None` takes the system's folder for temporary files.
    pub scratch: Option<PathBuf>,
    /// Whether locking ends [`super::run`] with [`ExitReason::Locked`], so that the caller starts the program anew with
    /// `exec` and nothing of the session stays in memory (R49).
    pub lock_ends: bool,
}

/// Why the application ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The person quit.
    Quit,
    /// The person, or ten idle minutes, locked it, and [`Session::lock_ends`] was set.
    Locked,
    /// The terminal went away, or a signal ended the program.
    Terminated,
}
