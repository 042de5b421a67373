//! The directory in which a profile's socket lies.

use crate::api::{ApiError, Kind};

use super::{ProfilePaths, private_file};

/// Makes sure that the directory of a profile's socket is there, is this user's, and is private (0700).
///
/// # Errors
/// `NotReady` when it cannot be made, or is somebody else's.
pub fn prepare(paths: &ProfilePaths) -> Result<(), ApiError> {
    let Some(directory) = paths.socket.parent() else {
        return Err(ApiError::internal("a socket without a directory"));
    };
    let refused = |why: String| {
        ApiError::new(Kind::NotReady, format!("{}: {why}", directory.display()))
            .hint("set XDG_RUNTIME_DIR to a directory of your own")
    };
    // In /tmp anybody could have put a link there that leads into a directory of ours.
    if directory.is_symlink() {
        return Err(refused("is a symbolic link".into()));
    }
    let ours = super::lock::FILES;
    private_file::ensure_directory(directory, ours).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn r50_the_directory_is_private_and_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let profile = directory.path().join("profile");
        let mut paths = ProfilePaths::resolve(profile.to_str()).unwrap();
        paths.socket = directory.path().join("run/rosa/p.sock");
        prepare(&paths).unwrap();
        let metadata = std::fs::metadata(directory.path().join("run/rosa")).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o700);

        std::os::unix::fs::symlink(directory.path().join("run/rosa"), directory.path().join("link")).unwrap();
        paths.socket = directory.path().join("link/p.sock");
        assert_eq!(prepare(&paths).unwrap_err().kind, Kind::NotReady);
    }
}
