//! The relay's directory: its keys, its database, its lock and its admin socket.
//!
//! | file | what it is |
//! |---|---|
//! | `rosad.lock` | held while a relay runs; holds its process id |
//! | `relay-key.pem`, `relay-cert.pem` | the TLS key that the address pins, and its certificate |
//! | `opaque-setup` | the keys behind every passphrase: lose them and every passphrase is dead |
//! | `rosad.db` | the database (with `-wal` and `-shm` beside it) |
//! | `rosad.db.mailbox-journal` | what was accepted or acknowledged in the last seconds |
//! | `admin.sock` | where `rosad invite` talks to the running relay |
//!
//! The directory is 0700 and every file 0600, whatever the umask says.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

const LOCK: &str = "rosad.lock";
/// The TLS key.
pub const TLS_KEY: &str = "relay-key.pem";
/// The TLS certificate.
pub const TLS_CERT: &str = "relay-cert.pem";
/// The OPAQUE keys.
pub const OPAQUE_SETUP: &str = "opaque-setup";
/// The database.
pub const DATABASE: &str = "rosad.db";
/// The admin socket.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// The configuration that is read when none is named.
pub const CONFIG: &str = "rosad.toml";

/// Largest key file that is read, in bytes.
const KEY_FILE_MAX: u64 = 64 * 1024;

/// Why a data directory cannot be used. The messages are for the operator and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another relay runs on it.
    #[error(
        "already running (pid {pid}) on {path}: stop that relay, or give this one a directory of its own with --data"
    )]
    Running {
        /// The directory.
        path: PathBuf,
        /// The other's process id, `?` when it cannot be read.
        pid: String,
    },
    /// It does not exist, and must.
    #[error(
        "there is no data directory {path}: start a relay with `rosad up --data {path}` first, or name the right one"
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error(
        "{path} belongs to user {owner}, not to the one who runs rosad: run it as that user, or choose another --data"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// Making, reading or writing something in it failed.
    #[error("cannot {action} {path}: {source}; rosad needs a directory it can write, name one with --data")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A data directory that this process has to itself until it drops it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if need be, makes it private and locks it.
    ///
    /// # Errors
    /// [`DataDirError`]; [`DataDirError::Running`] when another relay holds it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |action| move |source| DataDirError::Io { action, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create"))?;
        let path = path.canonicalize().map_err(io("find"))?;
        let owner = fs::metadata(&path).map_err(io("look at"))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(DataDirError::Foreign { path, owner });
        }
        let lock_path = path.join(LOCK);
        let at_lock = |action| {
            let path = lock_path.clone();
            move |source| DataDirError::Io { action, path, source }
        };
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(io("make private"))?;
        let mut lock = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&lock_path)
            .map_err(at_lock("create"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(DataDirError::Running { path, pid: pid_in(&mut lock) });
        }
        lock.set_permissions(Permissions::from_mode(0o600)).map_err(at_lock("make private"))?;
        lock.set_len(0).map_err(at_lock("write"))?;
        writeln!(lock, "{}", std::process::id()).and_then(|()| lock.sync_all()).map_err(at_lock("write"))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a private file; `None` when there is none.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, DataDirError> {
        read_private(&self.file(name))
    }

    /// Writes a private file whole or not at all, and returns when it is durable.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        let path = self.file(name);
        let partial = self.file(&format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file =
                private(OpenOptions::new().write(true).create(true).truncate(true)).open(&partial)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| DataDirError::Io { action: "write", path: path.clone(), source })
    }

    /// Whether a relay runs on `path`, and its process id.
    ///
    /// # Errors
    /// [`DataDirError::Missing`], or [`DataDirError::Io`] when the lock cannot be read.
    pub fn running(path: &Path) -> Result<Option<String>, DataDirError> {
        if !path.is_dir() {
            return Err(DataDirError::Missing { path: path.to_owned() });
        }
        let lock_path = path.join(LOCK);
        let mut lock = match File::open(&lock_path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataDirError::Io { action: "read", path: lock_path, source }),
        };
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(_) => Ok(Some(pid_in(&mut lock))),
        }
    }
}

/// Reads a small file; `None` when there is none.
pub(crate) fn read_private(path: &Path) -> Result<Option<Vec<u8>>, DataDirError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(KEY_FILE_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataDirError::Io { action: "read", path: path.to_owned(), source }),
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
}

fn pid_in(lock: &mut File) -> String {
    let mut text = String::new();
    let digits = lock.take(20).read_to_string(&mut text).is_ok();
    let pid = text.trim();
    if digits && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) {
        pid.to_owned()
    } else {
        "?".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn directory_and_files_are_private_and_files_change_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(dir.read(OPAQUE_SETUP).unwrap(), None);
        dir.write(OPAQUE_SETUP, b"one").unwrap();
        dir.write(OPAQUE_SETUP, b"two").unwrap();
        assert_eq!(dir.read(OPAQUE_SETUP).unwrap().unwrap(), b"two");
        assert_eq!(mode(&dir.file(OPAQUE_SETUP)), 0o600);
        assert_eq!(mode(&dir.file(LOCK)), 0o600);
    }

    #[test]
    fn a_directory_open_to_others_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
    }

    #[test]
    fn one_relay_a_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        assert!(matches!(DataDir::running(&path), Err(DataDirError::Missing { .. })));
        let first = DataDir::open(&path).unwrap();
        let pid = std::process::id().to_string();
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().starts_with(&format!("already running (pid {pid})")), "{error}");
        assert_eq!(DataDir::running(&path).unwrap(), Some(pid));
        drop(first);
        assert_eq!(DataDir::running(&path).unwrap(), None);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_says_what_and_what_next() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = DataDir::open(&file.join("data")).unwrap_err().to_string();
        assert!(error.contains("cannot create") && error.contains("--data"), "{error}");
    }
}
