//! Files and directories that nobody but their owner may read, whatever the umask is (R26).

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use subrosa_protocol::SafeText;

use crate::api::CheckItem;

const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// The permission bits of a mode.
const BITS: u32 = 0o7777;

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

/// Opens a file for reading and writing; it is made when it is not there. Never follows a symbolic link at its end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default());
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("is not a regular file"));
    }
    if metadata.mode() & BITS != FILE_MODE {
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    }
    Ok(file)
}

/// Makes sure that a file is there and private. SQLite gives the mode of a database to its `-wal` and `-shm`.
pub(crate) fn ensure(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// Writes a file as a whole: after a crash there is the old one or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = with_suffix(path, ".new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Makes sure that a directory is there, is this user's and is private. What is missing of its path is made private too.
///
/// A directory that others may read is made private when it is empty or holds nothing but what `ours` names; otherwise it
/// is refused, since it is somebody's directory for something else.
pub(crate) fn ensure_directory(path: &Path, ours: &[&str]) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut ancestor = Some(path);
    while let Some(directory) = ancestor.filter(|d| !d.as_os_str().is_empty()) {
        match fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "is not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(directory),
            Err(error) => return Err(error),
        }
        ancestor = directory.parent();
    }
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let metadata = fs::metadata(path)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused("belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            if !ours.iter().any(|known| name == **known) {
                return Err(refused("can be read by others and holds other files; name an empty directory"));
            }
        }
        fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?;
    }
    Ok(())
}

/// Checks the permissions of a store's files and of their directory.
pub(crate) fn check(store: &Path) -> CheckItem {
    let mut wrong = Vec::new();
    let mut look = |path: &Path, expected: u32| match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.mode() & BITS != expected => {
            wrong.push(format!("{} is {:o}, not {expected:o}", path.display(), metadata.mode() & BITS));
        }
        Ok(metadata) if metadata.uid() != rustix::process::geteuid().as_raw() => {
            wrong.push(format!("{} belongs to another user", path.display()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => wrong.push(format!("{}: {error}", path.display())),
    };
    for suffix in ["", "-wal", "-shm"] {
        look(&with_suffix(store, suffix), FILE_MODE);
    }
    if let Some(directory) = store.parent() {
        look(directory, DIRECTORY_MODE);
        look(&directory.join("vault"), FILE_MODE);
        look(&directory.join("lock"), FILE_MODE);
    }
    let detail = if wrong.is_empty() { "as they should be".to_owned() } else { wrong.join("; ") };
    CheckItem { name: "permissions".into(), ok: wrong.is_empty(), detail: SafeText::single_line(&detail) }
}

/// A path with something added to its last part.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shared");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("photo.jpg"), b"x").unwrap();
        assert_eq!(ensure_directory(&path, &["vault"]).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::metadata(&path).unwrap().mode() & BITS, 0o755);

        fs::rename(path.join("photo.jpg"), path.join("vault")).unwrap();
        ensure_directory(&path, &["vault"]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & BITS, 0o700);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("lock"));
        fs::write(&target, b"precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(open(&link).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn writing_replaces_the_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vault");
        write(&path, b"long first content").unwrap();
        fs::write(with_suffix(&path, ".new"), b"left over").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & BITS, 0o600);
        assert!(!with_suffix(&path, ".new").exists());
    }
}
