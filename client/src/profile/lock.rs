//! One owner a profile (R24), and creating and opening its store.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rand_core::CryptoRng;
use subrosa_crypto::vault::{DbKey, VAULT_BYTES, Vault, VaultError, VaultParams, calibrate};

use super::{ProfilePaths, private_file};
use crate::{
    api::{ApiError, Kind},
    store::Store,
};

/// What a profile's directory may hold.
const FILES: &[&str] = &[
    "store.db",
    "store.db-wal",
    "store.db-shm",
    "vault",
    "vault.new",
    "lock",
    "rosa.sock",
    "socket",
    "socket.new",
    "check.new",
];

/// How long a new owner tries, since somebody who only looks holds the lock for a moment.
const PATIENCE: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(10);
/// How long one guess at the passphrase is to take (R26: 0.5 to 1.5 s).
const GUESS_MS: u64 = 1_000;
/// Digits of a process id, and a line end.
const PID_BYTES: u64 = 16;

/// A profile that this process owns and has not opened. Given up when it is dropped.
pub struct Locked {
    paths: ProfilePaths,
    /// The lock ends with it.
    _file: File,
}

impl Locked {
    /// Takes the profile for this process; its directory is made when it is not there.
    ///
    /// # Errors
    /// `NotReady` when another process owns it (told within half a second, with its process id), or when the directory
    /// cannot be used.
    pub fn acquire(paths: ProfilePaths) -> Result<Self, ApiError> {
        let directory = private_file::ensure_directory(&paths.dir, FILES);
        directory.map_err(|error| unusable(&paths.dir, &error))?;
        let mut file = private_file::open(&paths.lock).map_err(|error| unusable(&paths.lock, &error))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(unusable(&paths.lock, &error)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(taken(&mut file)),
            }
        }
        write_pid(&mut file).map_err(|error| unusable(&paths.lock, &error))?;
        Ok(Self { paths, _file: file })
    }

    /// The process that owns a profile now. A lock file that a dead process left behind says nothing.
    #[must_use]
    pub fn owner(paths: &ProfilePaths) -> Option<u32> {
        let mut file = File::open(&paths.lock).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_pid(&mut file),
            _ => None,
        }
    }

    /// The profile's files.
    #[must_use]
    pub const fn paths(&self) -> &ProfilePaths {
        &self.paths
    }

    /// Creates the profile: a new database key under a new passphrase, and an empty store. Takes several seconds, since it
    /// measures how much work makes one guess at the passphrase cost this machine about a second (R26).
    ///
    /// # Errors
    /// `Refused` when there is a profile already, `NotReady` when its files cannot be written.
    pub fn create(self, passphrase: &[u8], rng: &mut impl CryptoRng) -> Result<Store, ApiError> {
        if least_work() {
            return self.create_with(passphrase, VaultParams::MINIMUM, rng);
        }
        let params = calibrate(GUESS_MS, &mut |params| {
            let begun = Instant::now();
            match params.stretch(b"how long does one guess take?", &[0; 16], &mut [0; 32]) {
                Ok(()) => begun.elapsed(),
                // Too much memory for this machine: that is too long.
                Err(_) => Duration::from_secs(60),
            }
        });
        self.create_with(passphrase, params, rng)
    }

    /// The same with the work given.
    ///
    /// # Errors
    /// As [`Locked::create`].
    pub fn create_with(
        self,
        passphrase: &[u8],
        params: VaultParams,
        rng: &mut impl CryptoRng,
    ) -> Result<Store, ApiError> {
        if self.paths.exists() {
            return Err(ApiError::new(
                Kind::Refused,
                format!("the profile {} exists already", self.paths.name),
            )
            .hint("choose another name with --profile"));
        }
        let (vault, key) = Vault::create(passphrase, params, rng).map_err(|error| told(&error))?;
        set_aside(&self.paths.store).map_err(|error| unusable(&self.paths.store, &error))?;
        let paths = self.paths.clone();
        // The vault comes last: a profile exists from then on, and then its store is there.
        let store = self.open_with(&key)?;
        private_file::write(&paths.vault, &vault.to_bytes())
            .map_err(|error| unusable(&paths.vault, &error))?;
        Ok(store)
    }

    /// Opens the profile. Takes about a second, for stretching the passphrase.
    ///
    /// # Errors
    /// `NotReady`: there is no profile, the passphrase is wrong, the store is damaged or of a newer version.
    pub fn open(self, passphrase: &[u8]) -> Result<Store, ApiError> {
        if !self.paths.exists() {
            return Err(ApiError::new(Kind::NotReady, format!("there is no profile {}", self.paths.name))
                .hint("join a relay with an invite, or log in to your account, first"));
        }
        let bytes = read_vault(&self.paths.vault).map_err(|error| unusable(&self.paths.vault, &error))?;
        let key = Vault::from_bytes(&bytes)
            .and_then(|vault| vault.open(passphrase))
            .map_err(|error| told(&error))?;
        if !self.paths.store.is_file() {
            return Err(ApiError::new(Kind::NotReady, format!("{} is missing", self.paths.store.display()))
                .hint("restore the profile's files from a copy of the whole disk, or make a new profile and log in again"));
        }
        self.open_with(&key)
    }

    /// Whether a passphrase opens the profile, for a lock screen whose profile another process has open. Takes about a
    /// second.
    ///
    /// # Errors
    /// `NotReady`: there is no profile, or the passphrase is wrong.
    pub fn check_passphrase(paths: &ProfilePaths, passphrase: &[u8]) -> Result<(), ApiError> {
        let bytes = read_vault(&paths.vault).map_err(|error| unusable(&paths.vault, &error))?;
        Vault::from_bytes(&bytes)
            .and_then(|vault| vault.open(passphrase))
            .map(drop)
            .map_err(|error| told(&error))
    }

    fn open_with(self, key: &DbKey) -> Result<Store, ApiError> {
        let path = self.paths.store.clone();
        Ok(Store::open(&path, key.as_bytes(), Some(self))?)
    }
}

/// Tests of whole programs make hundreds of profiles and open them again and again: those of a development build may ask for
/// the least work that R26 allows in place of calibration. A release build knows nothing of it.
#[cfg(debug_assertions)]
fn least_work() -> bool {
    std::env::var_os("SUBROSA_TEST_LEAST_WORK").is_some()
}

#[cfg(not(debug_assertions))]
const fn least_work() -> bool {
    false
}

/// A store without a vault: its creation was interrupted, or its vault was lost. Nobody can open it; it is kept all the
/// same, should the vault be found.
fn set_aside(store: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let path = private_file::with_suffix(store, suffix);
        let aside = private_file::with_suffix(&private_file::with_suffix(store, ".without-vault"), suffix);
        match fs::rename(&path, &aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn read_vault(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than a vault has, so that a longer file is found to be none.
    File::open(path)?.take(VAULT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(PID_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn taken(file: &mut File) -> ApiError {
    let message = match read_pid(file) {
        Some(pid) => format!("already running (pid {pid})"),
        None => "already running".to_owned(),
    };
    ApiError::new(Kind::NotReady, message).hint("use the program that runs, or end it first")
}

fn told(error: &VaultError) -> ApiError {
    let told = ApiError::new(Kind::NotReady, error.to_string());
    match error {
        VaultError::WrongPassphrase => told,
        VaultError::Malformed(_) | VaultError::Params(_) => {
            told.hint("the file `vault` of the profile is damaged; restore it from a copy of the disk")
        }
        VaultError::Stretch => told.hint("free some memory and try again"),
    }
}

fn unusable(path: &Path, error: &io::Error) -> ApiError {
    ApiError::new(Kind::NotReady, format!("{}: {error}", path.display()))
        .hint("check the owner and the permissions of the profile's directory, and the disk")
}
