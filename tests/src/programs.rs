//! Where the built programs are: in `SUBROSA_PROGRAMS` when that names a folder, otherwise beside the test's own, built
//! once if they are not there or are old.

use std::{path::PathBuf, process::Command, sync::OnceLock};

/// The path of a program of this workspace, `rosad` or `rosa`, freshly built in the profile the tests have.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            if let Some(folder) = std::env::var_os("SUBROSA_PROGRAMS") {
                return folder.into();
            }
            let exe = std::env::current_exe().unwrap();
            let mut folder = exe.parent().unwrap().to_path_buf();
            if folder.ends_with("deps") {
                folder.pop();
            }
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--quiet", "--workspace", "--bins", "--locked"]);
            cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
            cargo.arg("--target-dir").arg(folder.parent().unwrap());
            if folder.ends_with("release") {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "the programs could not be built");
            folder
        })
        .join(name)
}
