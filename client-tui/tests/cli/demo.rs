//! `rosa demo` without a terminal.

use std::time::Duration;

use rustix::process::Signal;

use crate::run::{finish, rosa, run, signal};

#[test]
fn the_demonstration_proves_every_line_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(rosa(home.path(), &["demo", "--json"]).env("TMPDIR", folder.path())).code(0);
    let lines = outcome.lines();
    let (done, lines) = lines.split_last().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(done["transport"], "quic");
    assert_eq!((done["messages"].as_u64(), done["delivered"].as_u64()), (Some(10), Some(10)));
    assert_eq!(lines.len(), 10);
    for pair in lines.chunks(2) {
        assert_eq!((pair[0]["from"].as_str(), pair[1]["from"].as_str()), (Some("alice"), Some("echo")));
        assert_eq!(
            pair[1]["text"].as_str().unwrap(),
            format!("you said: {}", pair[0]["text"].as_str().unwrap())
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the temporary folder is gone");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "no profile was touched");
}

#[test]
fn a_signal_ends_the_demonstration_and_removes_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    let child = rosa(home.path(), &["demo"]).env("TMPDIR", folder.path()).spawn().unwrap();
    while std::fs::read_dir(folder.path()).unwrap().count() == 0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, Signal::TERM);
    finish(child, began).code(143);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
