//! The files beside a database: their paths, and how a file gets its name so that after a crash it is whole or not there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// A path with this appended to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Gives the complete file at `partial` its name, durably.
pub(super) fn rename(file: &File, partial: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(partial, path)?;
    sync_folder(path)
}

/// The name of a new file must survive a crash as well as its contents.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
