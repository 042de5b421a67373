//! Which directory and which socket belong to a profile.

use std::path::{Path, PathBuf, absolute};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::api::{ApiError, Kind};

/// The profile that is meant when none is named.
const DEFAULT_PROFILE: &str = "default";
/// Characters of a profile's name, at most.
const NAME_CHARACTERS: usize = 32;
/// Bytes of a Unix socket's path, at most: `sun_path` without its final zero.
const SOCKET_PATH_BYTES: usize = 107;

/// The files of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePaths {
    /// The directory, absolute.
    pub dir: PathBuf,
    /// The encrypted database.
    pub store: PathBuf,
    /// The wrapped database key.
    pub vault: PathBuf,
    /// The lock of the owner, with its process id.
    pub lock: PathBuf,
    /// The socket on which the owner serves others; at most 107 bytes.
    pub socket: PathBuf,
    /// The name to show: what `--profile` was given.
    pub name: String,
}

/// What of the environment decides.
struct Environment {
    home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    uid: u32,
}

impl Environment {
    fn of_this_process() -> Self {
        // The XDG specification: relative paths are invalid and to be ignored.
        let path = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            home: path("HOME"),
            data_home: path("XDG_DATA_HOME"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            uid: rustix::process::geteuid().as_raw(),
        }
    }
}

impl ProfilePaths {
    /// The files of a profile: a name (`[a-z0-9_-]`, at most 32 characters) below `$XDG_DATA_HOME/rosa`, or a directory
    /// when it contains a `/`. Without any, the profile `default`. Touches nothing.
    ///
    /// # Errors
    /// `Usage` for what is neither a name nor a directory, `NotReady` when there is no home directory.
    pub fn resolve(profile: Option<&str>) -> Result<Self, ApiError> {
        Self::resolve_in(profile, &Environment::of_this_process())
    }

    fn resolve_in(profile: Option<&str>, environment: &Environment) -> Result<Self, ApiError> {
        let name = profile.unwrap_or(DEFAULT_PROFILE);
        let named = !name.contains('/');
        let dir = if named {
            check_name(name)?;
            data_home(environment)?.join("rosa").join(name)
        } else {
            absolute(name).map_err(|e| ApiError::new(Kind::Usage, format!("{name}: {e}")))?
        };
        let socket = match &environment.runtime_dir {
            Some(runtime) if named => runtime.join("rosa").join(format!("{name}.sock")),
            _ => dir.join("rosa.sock"),
        };
        Ok(Self {
            store: dir.join("store.db"),
            vault: dir.join("vault"),
            lock: dir.join("lock"),
            socket: short_enough(socket, &dir, environment.uid),
            name: name.to_owned(),
            dir,
        })
    }

    /// Whether the profile was created. One whose creation was interrupted does not exist.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.vault.is_file()
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    if (1..=NAME_CHARACTERS).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let message = "a profile's name has 1 to 32 characters: small letters, digits, _ and -";
    Err(ApiError::new(Kind::Usage, message)
        .hint("to name a directory instead, write it with a /, such as ./here"))
}

fn data_home(environment: &Environment) -> Result<PathBuf, ApiError> {
    let home = || environment.home.as_ref().map(|home| home.join(".local/share"));
    environment.data_home.clone().or_else(home).ok_or_else(|| {
        ApiError::new(Kind::NotReady, "there is no home directory: neither HOME nor XDG_DATA_HOME is set")
            .hint("set HOME, or name a directory: --profile /some/directory")
    })
}

/// The socket, or a short one below `/tmp` when its path is too long for a socket.
fn short_enough(socket: PathBuf, dir: &Path, uid: u32) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES {
        return socket;
    }
    let digest = Sha256::digest(dir.as_os_str().as_bytes());
    let name = HEXLOWER.encode(digest.as_slice().get(..8).unwrap_or_default());
    PathBuf::from(format!("/tmp/rosa-{uid}/{name}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment {
            home: Some("/home/ann".into()),
            data_home: None,
            runtime_dir: Some("/run/user/7".into()),
            uid: 7,
        }
    }

    #[test]
    fn names_lie_below_the_data_directory() {
        let paths = ProfilePaths::resolve_in(None, &environment()).unwrap();
        assert_eq!(paths.store, Path::new("/home/ann/.local/share/rosa/default/store.db"));
        assert_eq!(paths.vault, Path::new("/home/ann/.local/share/rosa/default/vault"));
        assert_eq!(paths.socket, Path::new("/run/user/7/rosa/default.sock"));
        let elsewhere = Environment { data_home: Some("/data".into()), runtime_dir: None, ..environment() };
        let paths = ProfilePaths::resolve_in(Some("bot-2"), &elsewhere).unwrap();
        assert_eq!(paths.dir, Path::new("/data/rosa/bot-2"));
        assert_eq!(paths.socket, Path::new("/data/rosa/bot-2/rosa.sock"));
        assert_eq!(paths.name, "bot-2");
    }

    #[test]
    fn directories_are_taken_as_they_are() {
        let paths = ProfilePaths::resolve_in(Some("/srv/bot"), &environment()).unwrap();
        assert_eq!(paths.store, Path::new("/srv/bot/store.db"));
        assert_eq!(paths.socket, Path::new("/srv/bot/rosa.sock"));
        let here = ProfilePaths::resolve_in(Some("./bot"), &environment()).unwrap();
        assert!(here.dir.is_absolute() && here.dir.ends_with("bot"));
    }

    #[test]
    fn other_names_are_refused() {
        for bad in ["", "Ann", "a b", "..", "a.b", "ä", &"a".repeat(33)] {
            let error = ProfilePaths::resolve_in(Some(bad), &environment()).unwrap_err();
            assert_eq!(error.kind, Kind::Usage, "{bad}");
        }
        assert!(ProfilePaths::resolve_in(Some(&"a".repeat(32)), &environment()).is_ok());
        let homeless = Environment { home: None, ..environment() };
        assert_eq!(ProfilePaths::resolve_in(None, &homeless).unwrap_err().kind, Kind::NotReady);
    }

    #[test]
    fn a_socket_path_fits_its_address() {
        let deep = format!("/{}", "d".repeat(SOCKET_PATH_BYTES - "/rosa.sock".len() - 1));
        let fits = ProfilePaths::resolve_in(Some(&deep), &environment()).unwrap();
        assert_eq!(fits.socket.as_os_str().len(), SOCKET_PATH_BYTES);
        let deeper = ProfilePaths::resolve_in(Some(&format!("{deep}x")), &environment()).unwrap();
        assert!(deeper.socket.starts_with("/tmp/rosa-7"));
        let other = ProfilePaths::resolve_in(Some(&format!("{deep}y")), &environment()).unwrap();
        assert_ne!(deeper.socket, other.socket);
    }
}
