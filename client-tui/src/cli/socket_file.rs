//! Where the owner's socket is: the file `socket` in the profile holds its path. Who has another environment than the owner
//! (no `XDG_RUNTIME_DIR`, as below cron or sudo) would look in another place otherwise.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::OpenOptionsExt,
    },
    path::PathBuf,
};

use subrosa_client::profile::ProfilePaths;

/// Its name in the profile's directory.
const NAME: &str = "socket";
/// A socket's path has at most 107 bytes.
const PATH_BYTES: u64 = 107;

/// Says where this process serves. Only for the owner of the profile.
///
/// # Errors
/// What the system says.
pub fn write(paths: &ProfilePaths) -> io::Result<()> {
    let temporary = paths.dir.join("socket.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(paths.socket.as_os_str().as_bytes())?;
    fs::rename(&temporary, paths.dir.join(NAME))
}

/// Where the owner says that it serves. A dead one may have said so: whoever connects must look who answers.
#[must_use]
pub fn read(paths: &ProfilePaths) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    File::open(paths.dir.join(NAME)).ok()?.take(PATH_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= PATH_BYTES);
    let path = PathBuf::from(OsString::from_vec(bytes));
    (fits && path.is_absolute()).then_some(path)
}

/// Takes it back, before the socket goes.
pub fn remove(paths: &ProfilePaths) {
    let _ = fs::remove_file(paths.dir.join(NAME));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_only_a_socket_path_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ProfilePaths::resolve(dir.path().to_str()).unwrap();
        assert_eq!(read(&paths), None);
        write(&paths).unwrap();
        write(&paths).unwrap();
        assert_eq!(read(&paths), Some(paths.socket.clone()));
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
        for bad in [String::new(), "rosa.sock".to_owned(), format!("/{}", "x".repeat(107))] {
            fs::write(dir.path().join(NAME), bad).unwrap();
            assert_eq!(read(&paths), None);
        }
        remove(&paths);
        remove(&paths);
        assert!(!dir.path().join(NAME).exists());
    }
}
