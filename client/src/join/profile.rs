//! Making, taking up and removing the profile of a join.

use std::time::{SystemTime, UNIX_EPOCH};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::{
    api::{ApiError, Kind},
    profile::{Locked, ProfilePaths},
    store::{Progress, Store},
};

/// An open profile that says [`Progress::Joining`].
pub(super) struct Begun {
    pub(super) store: Store,
    pub(super) made: Made,
}

/// How a profile came to be joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It was made just now.
    New,
    /// It was no device any more and got new keys just now; its messages are kept.
    Renewed,
    /// A join that was interrupted earlier.
    Resumed,
}

/// Makes a profile and lets `fill` put an identity into it, or opens one whose join was interrupted, or one that is no
/// device any more. Key derivation runs on a thread of its own.
pub(super) async fn begin(
    paths: ProfilePaths,
    passphrase: Zeroizing<String>,
    fill: impl FnOnce(&mut Store, &mut UnwrapErr<SysRng>, u64) -> Result<(), ApiError> + Send + 'static,
) -> Result<Begun, ApiError> {
    let work = move || {
        let mut rng = UnwrapErr(SysRng);
        let exists = paths.exists();
        let locked = Locked::acquire(paths)?;
        if !exists {
            let mut store = locked.create(passphrase.as_bytes(), &mut rng)?;
            return match fill(&mut store, &mut rng, now()) {
                Ok(()) => Ok(Begun { store, made: Made::New }),
                Err(error) => Err(give_up(store, Made::New, error)),
            };
        }
        let mut store = locked.open(passphrase.as_bytes())?;
        let progress =
            store.read(|tx| tx.identity()).map_err(ApiError::from)?.map(|identity| identity.progress);
        match progress {
            Some(Progress::Ready) => {
                Err(ApiError::new(Kind::Refused, "this profile belongs to an account already")
                    .hint("choose another one with --profile NAME"))
            }
            Some(Progress::Joining(_)) => Ok(Begun { store, made: Made::Resumed }),
            // Nothing was asked of the relay yet, or the device is none any more: keys are made anew, messages stay.
            None | Some(Progress::LoggedOut | Progress::Quarantined) => {
                fill(&mut store, &mut rng, now())?;
                Ok(Begun { store, made: Made::Renewed })
            }
        }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::internal("making the profile")),
    }
}

/// A join that failed: undoes what was made for it if the relay said no; keeps it when the relay's answer is not known,
/// because it may have said yes. Returns the error to tell.
pub(super) fn give_up(mut store: Store, made: Made, error: ApiError) -> ApiError {
    let refused = !matches!(error.kind, Kind::Unreachable | Kind::Timeout | Kind::Internal);
    let done = match made {
        Made::New if refused => store.destroy(),
        Made::Renewed if refused => store.transaction(|tx| tx.forget_keys()).and_then(|()| store.close()),
        _ => store.close(),
    };
    match done {
        Ok(()) => error,
        Err(failure) => {
            let text = format!("{}; and the profile could not be put away: {failure}", error.message);
            ApiError { message: subrosa_protocol::SafeText::single_line(&text), ..error }
        }
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
