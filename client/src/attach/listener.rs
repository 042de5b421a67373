//! Making the socket: mode 0600 in a folder of mode 0700 that is ours, whatever the umask (R50).

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::api::{ApiError, Kind};

/// A bound socket. Dropping it removes the file.
#[derive(Debug)]
pub struct Listener {
    pub(super) inner: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the profile's socket. Only the process that holds the profile's lock may call this: a socket file that nobody
/// answers on is a dead owner's and is replaced. Must be called within a tokio runtime.
///
/// # Errors
/// [`Kind::Refused`] when somebody answers there already (another profile of the same name in another data folder), or
/// when the folder is not ours; [`Kind::Internal`] when the system refuses.
pub fn bind(path: &Path) -> Result<Listener, ApiError> {
    let folder = path.parent().ok_or_else(|| ApiError::internal("a socket path without a folder"))?;
    private_folder(folder)?;
    let failed = |error: io::Error| refused(format!("the socket {} cannot be made: {error}", path.display()));
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(refused(format!("another profile of the same name serves {}", path.display()))
                    .hint("give one of them another name, or another XDG_RUNTIME_DIR"));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        Ok(_) => {
            return Err(refused(format!("{} is in the way and no socket", path.display())).hint("remove it"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let inner = UnixListener::bind(path).map_err(failed)?;
    let listener = Listener { inner, path: path.to_path_buf() };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Makes sure the folder is there, is a folder, is ours, and is closed to others.
fn private_folder(folder: &Path) -> Result<(), ApiError> {
    let failed =
        |error: io::Error| refused(format!("the folder {} cannot be used: {error}", folder.display()));
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(format!("{} is not a folder of this user", folder.display())));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn refused(message: String) -> ApiError {
    ApiError::new(Kind::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r50_the_socket_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("run/p.sock");
        fs::create_dir(home.path().join("run")).unwrap();
        fs::set_permissions(home.path().join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        let listener = bind(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_owners_socket_is_replaced_and_a_living_ones_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("p.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let living = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind, Kind::Refused);
        drop(living);
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind, Kind::Refused);
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_folder_that_is_a_link_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("real")).unwrap();
        std::os::unix::fs::symlink(home.path().join("real"), home.path().join("link")).unwrap();
        assert_eq!(bind(&home.path().join("link/p.sock")).unwrap_err().kind, Kind::Refused);
    }
}
