//! What `scripts/` do with their arguments, and what `scripts/soak` counts as passed. Nothing is built: where a script
//! would call cargo, it finds a program that says what the test wants.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Cargo must not be called.
const NEVER: &str = "echo 'cargo was called' >&2; exit 99";

/// Runs scripts with a cargo of the test's.
struct Scripts {
    folder: TempDir,
}

struct Ended {
    code: i32,
    said: String,
    errors: String,
}

impl Scripts {
    fn with_cargo(does: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cargo = folder.path().join("cargo");
        std::fs::write(&cargo, format!("#!/bin/sh\n{does}\n")).unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Ended {
        let mut path = self.folder.path().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = Command::new(scripts().join(script));
        // From another folder, by its whole path.
        command.args(arguments).current_dir(self.folder.path()).env("PATH", path);
        command.env("SUBROSA_SOAK_LOGS", self.folder.path().join("logs"));
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy().starts_with("SUBROSA_") && name != "SUBROSA_SOAK_LOGS";
            if ours {
                command.env_remove(name);
            }
        }
        let output = command.output().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            said: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn refuses(&self, script: &str, arguments: &[&str], says: &str) {
        let ended = self.run(script, arguments);
        assert_eq!(ended.code, 2, "{script} {arguments:?}: {}{}", ended.said, ended.errors);
        assert!(ended.errors.contains(says), "{script} {arguments:?}: {}", ended.errors);
        assert!(
            ended.errors.contains(&format!("scripts/{script}")),
            "the usage is missing: {}",
            ended.errors
        );
    }
}

fn scripts() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts")).canonicalize().unwrap()
}

/// All of them, but not what they read themselves.
fn names() -> Vec<String> {
    let all = std::fs::read_dir(scripts()).unwrap().map(|entry| entry.unwrap());
    let programs = all.filter(|entry| entry.metadata().unwrap().permissions().mode() & 0o100 != 0);
    programs.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_script_tells_its_usage_and_refuses_what_it_does_not_know() {
    let scripts = Scripts::with_cargo(NEVER);
    let names = names();
    assert!(names.len() >= 7, "{names:?}");
    for name in &names {
        for help in ["--help", "-h"] {
            let ended = scripts.run(name, &[help]);
            assert_eq!((ended.code, ended.errors.as_str()), (0, ""), "{name} {help}");
            assert!(
                ended.said.contains(&format!("scripts/{name}")) || name == "test",
                "{name}: {}",
                ended.said
            );
            assert!(!ended.said.contains("set -"), "{name}: {}", ended.said);
        }
        let ended = scripts.run(name, &["--nonsense"]);
        assert_eq!(ended.code, 2, "{name}: {}", ended.errors);
        assert!(ended.errors.contains("--nonsense"), "{name}: {}", ended.errors);
    }
}

#[test]
fn wrong_arguments_are_errors_before_anything_is_done() {
    let scripts = Scripts::with_cargo(NEVER);
    scripts.refuses("soak", &["--only", "nosuchstep"], "no step \"nosuchstep\"");
    scripts.refuses("soak", &["--only", ""], "no step");
    scripts.refuses("soak", &["--seed", "x"], "--seed");
    scripts.refuses("soak", &["--seed", "9999999999999999"], "--seed");
    scripts.refuses("soak", &["--hours", "-1"], "--hours");
    scripts.refuses("soak", &["kills"], "kills");
    for flag in ["--only", "--seed", "--hours"] {
        scripts.refuses("soak", &[flag], &format!("{flag} needs a value"));
    }
    for flag in ["--from", "--to", "--events", "--threads", "--seed"] {
        scripts.refuses("simulation", &[flag], &format!("{flag} needs a value"));
        scripts.refuses("simulation", &[flag, "many"], flag);
    }
    scripts.refuses("simulation", &["--from", "7", "--to", "7"], "there is no seed");
    scripts.refuses("simulation", &["--events", "0"], "--events");
    scripts.refuses("simulation", &["--trace"], "--trace");
    scripts.refuses("mutations", &["NONSENSE"], "no mistake begins with \"NONSENSE\"");
    scripts.refuses("mutations", &["01", ""], "no mistake begins with \"\"");
    scripts.refuses("mutations", &["--seeds"], "--seeds needs a value");
    scripts.refuses("mutations", &["--seeds", "0"], "--seeds");
    scripts.refuses("fuzz", &["nosuchtarget"], "no target \"nosuchtarget\"");
    scripts.refuses("fuzz", &["60", "frame_decode", "--all"], "no target \"--all\"");
    scripts.refuses("fuzz", &["0"], "SECONDS");
    scripts.refuses("mutants", &["crypto/src/nothing/*.rs"], "no file");
    scripts.refuses("bench", &["soon"], "SECONDS");
    scripts.refuses("bench", &["8", "9"], "too many");
    let ended = scripts.run("test", &["quick"]);
    assert_eq!(ended.code, 2, "{}", ended.errors);
}

#[test]
fn soak_counts_what_was_left_out_apart_from_what_passed() {
    let left_out = "echo 'left out: power cuts: no strace'; echo 'test result: ok. 1 passed; 0 failed;'";
    let ended = Scripts::with_cargo(left_out).run("soak", &["--only", "power", "--hours", "1"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.said.contains("0 steps passed, 0 failed, 1 left out"), "{}", ended.said);

    let nothing = "echo 'test result: ok. 0 passed; 0 failed;'";
    let ended = Scripts::with_cargo(nothing).run("soak", &["--only", "power"]);
    assert!(ended.code == 1 && ended.said.contains("0 steps passed, 0 failed, 1 left out"), "{}", ended.said);

    let some = "echo 'left out: something'; echo 'did: 7 cuts'; echo 'test result: ok. 2 passed; 0 failed;'";
    let ended = Scripts::with_cargo(some).run("soak", &["--only", "power", "--hours", "0"]);
    assert_eq!(ended.code, 0, "{}{}", ended.said, ended.errors);
    assert!(ended.said.contains("1 steps passed, 0 failed, 0 left out"), "{}", ended.said);
    assert!(ended.said.contains("1 things were left out"), "{}", ended.said);

    let broken = "echo 'test result: FAILED. 0 passed; 1 failed;'; exit 101";
    let ended = Scripts::with_cargo(broken).run("soak", &["--only", "power", "--hours", "0", "--seed", "12"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.said.contains("failed: scripts/soak --only power --seed 12"), "{}", ended.said);
}

#[test]
fn soak_ends_when_no_step_is_left_to_run() {
    // There is no nightly compiler: an hour of it is over at once.
    let ended = Scripts::with_cargo("exit 1").run("soak", &["--only", "fuzz", "--hours", "1"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert_eq!(ended.said.matches("== fuzz").count(), 1, "{}", ended.said);
    assert!(ended.said.contains("0 steps passed, 0 failed, 1 left out"), "{}", ended.said);

    // The mutations are for the first round only. They fail here, at once.
    let ended = Scripts::with_cargo("exit 1").run("soak", &["--only", "mutations", "--hours", "1"]);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert_eq!(ended.said.matches("== mutations").count(), 1, "{}", ended.said);
}

#[test]
fn soak_goes_on_in_rounds_with_other_seeds() {
    let slow = "sleep 2; echo 'did: 1 thing'; echo 'test result: ok. 1 passed; 0 failed;'";
    let scripts = Scripts::with_cargo(slow);
    let ended = scripts.run("soak", &["--only", "ready", "--hours", "0.002", "--seed", "5"]);
    assert_eq!(ended.code, 0, "{}", ended.said);
    assert!(
        ended.said.contains("== ready, seed 5 ") && ended.said.contains("== ready, seed 10005 "),
        "{}",
        ended.said
    );
}
