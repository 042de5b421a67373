//! A profile: where its files are, who owns it, creating and opening it.
//!
//! A directory (0700) with `store.db` (SQLCipher, with `-wal` and `-shm`), `vault` (the database key, wrapped by the
//! passphrase) and `lock` (held by the one process that owns the profile). Files are 0600 whatever the umask is.
//!
//! | module | what it does |
//! |---|---|
//! | `paths` | which directory and which socket belong to a profile's name |
//! | `lock` | one owner a profile; creating and opening its store |
//! | `private_file` | files and directories that nobody else may read |
//! | `room` | whether its disk takes more |
//! | `harden` | what keeps secrets out of core dumps |

mod harden;
mod lock;
mod paths;
pub(crate) mod private_file;
pub(crate) mod room;

pub use harden::harden_process;
pub use lock::Locked;
pub use paths::ProfilePaths;
