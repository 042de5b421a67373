//! A small file system of its own: an ext4 in a file, mounted. Only root may.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::report::left_out;

/// A mounted file system. Dropping it unmounts it.
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

fn runs(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {said}")) }
}

impl SmallDisk {
    /// A file system of about so many MiB; where that cannot be, `None`, and it is said that `what` is left out.
    pub fn new(mebibytes: u64, what: &str) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("subrosa-disk-").tempdir().unwrap();
        let image = folder.path().join("image");
        fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let disk = Self { folder };
        let (image, mounted) = (image.display().to_string(), disk.path().display().to_string());
        // No room that only root may use, and no journal that would take most of it.
        let made = runs("mkfs.ext4", &["-q", "-m", "0", "-O", "^has_journal", "-F", &image])
            .and_then(|()| runs("mount", &["-o", "loop", &image, &mounted]));
        if let Err(why) = made {
            left_out(&format!("{what}: {why}"));
            return None;
        }
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Free bytes.
    pub fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Takes room until so many bytes are free.
    pub fn fill(&self, leave: u64) {
        let mut ballast = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        while self.free() > leave {
            let chunk = usize::try_from((self.free() - leave).min(1 << 20)).unwrap();
            // The last block may not be there although it is counted as free.
            if ballast.write_all(&vec![0x5a; chunk]).and_then(|()| ballast.sync_all()).is_err() {
                break;
            }
        }
    }

    /// Gives all of that room back.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Lets nobody write (`true`) or lets them again.
    ///
    /// # Panics
    /// When somebody has a file open for writing.
    pub fn read_only(&self, only: bool) {
        let mode = if only { "remount,ro" } else { "remount,rw" };
        runs("mount", &["-o", mode, &self.path().display().to_string()]).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mounted: &Path = &self.path();
        // Whoever still writes was killed and may take a moment to be gone.
        for _ in 0..50 {
            if runs("umount", &[&mounted.display().to_string()]).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
