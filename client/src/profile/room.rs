//! Whether the disk below a profile takes more: it can be written, and there is room left.

use std::{fs, io::Write, path::Path};

use subrosa_protocol::SafeText;

use super::private_file;
use crate::api::CheckItem;

/// Bytes that must be free: some hundred messages with all that belongs to them, and the store's log.
const LEAST: u64 = 4 * 1024 * 1024;
/// Bytes that are written to see whether it works; a quota shows in no other way.
const TRIED: usize = 64 * 1024;
const FILE: &str = "check.new";

/// Checks the disk of a store.
pub(crate) fn check(store: &Path) -> CheckItem {
    let folder = store.parent().unwrap_or(Path::new("."));
    let outcome = tried(folder).and_then(|()| left(folder));
    let ok = outcome.is_ok();
    let (Ok(detail) | Err(detail)) = outcome;
    CheckItem { name: "disk".into(), ok, detail: SafeText::single_line(&detail) }
}

fn tried(folder: &Path) -> Result<(), String> {
    let path = folder.join(FILE);
    let written = private_file::open(&path).and_then(|mut file| {
        file.write_all(&[0; TRIED])?;
        file.sync_all()
    });
    // What is left over is written over by the next check.
    let removed = fs::remove_file(&path);
    let outcome = written.and(removed);
    outcome.map_err(|error| format!("{} cannot be written: {error}", folder.display()))
}

fn left(folder: &Path) -> Result<String, String> {
    let stat = rustix::fs::statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let told = format!("{} MiB are left on the disk of {}", free >> 20, folder.display());
    if free >= LEAST { Ok(told) } else { Err(format!("only {told}: make room")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_no_more_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let item = check(&folder.path().join("store.db"));
        assert!(item.ok && item.detail.contains("MiB are left"), "{item:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        // A file system that takes nothing, also not from root.
        let item = check(Path::new("/proc/self/store.db"));
        assert!(!item.ok && item.detail.contains("cannot be written"), "{item:?}");
    }
}
