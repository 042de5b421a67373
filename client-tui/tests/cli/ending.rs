//! Exit codes, signals, and readers that go away.

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use subrosa_client::{ApiError, api::Kind};

use crate::{
    owner::{ID, Owner, error},
    run::{finish, in_shell, run, run_with, signal},
};

#[test]
fn every_kind_of_refusal_has_its_exit_code() {
    let owner = Owner::new();
    for (kind, code) in [
        (Kind::Internal, 1),
        (Kind::Usage, 2),
        (Kind::NotReady, 3),
        (Kind::Unreachable, 4),
        (Kind::Refused, 5),
        (Kind::Identity, 6),
        (Kind::NotFound, 7),
        (Kind::Partial, 8),
        (Kind::Timeout, 9),
        (Kind::RateLimited, 10),
    ] {
        *owner.engine.failure.lock().unwrap() = Some(error(kind));
        let outcome = run(&mut owner.rosa(&["show", ID, "--json"])).code(code);
        assert_eq!(outcome.error()["code"], code);
        assert_eq!(outcome.error()["hint"], "what to do next");
    }
}

#[test]
fn a_signal_ends_a_verb_with_its_code() {
    let owner = Owner::new();
    for (name, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let began = Instant::now();
        let child = owner.rosa(&["recv", "--follow"]).spawn().unwrap();
        while owner.engine.listeners() == 0 {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(2));
        }
        signal(&child, name);
        let outcome = finish(child, Instant::now()).code(code);
        assert!(outcome.took < Duration::from_secs(5), "{outcome:?}");
        while owner.engine.listeners() > 0 {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic_and_its_event_is_not_acknowledged() {
    let owner = Owner::new();
    for number in 0..10 {
        owner.engine.tell(&format!("number {number}"));
    }
    let outcome =
        run(&mut in_shell(&owner.home(), "\"$0\" \"$@\" | head -1", &["ls", "--profile", owner.profile()]))
            .code(0);
    assert_eq!(outcome.stdout.lines().count(), 1);

    let mut child = owner.rosa(&["recv", "--follow", "--json", "--since", "10"]).spawn().unwrap();
    let began = Instant::now();
    while owner.engine.listeners() == 0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
    owner.engine.tell("seen");
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("seen"));
    while *owner.engine.acknowledged.lock().unwrap() < 11 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(stdout);
    owner.engine.tell("not seen");
    let outcome = finish(child, Instant::now()).code(0);
    assert!(outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(*owner.engine.acknowledged.lock().unwrap(), 11);
}

#[test]
fn a_full_disk_is_told() {
    let owner = Owner::new();
    let script = "exec \"$0\" \"$@\" >/dev/full";
    let outcome = run(&mut in_shell(&owner.home(), script, &["ls", "--profile", owner.profile()])).code(1);
    assert!(outcome.stderr.contains("standard output"), "{outcome:?}");
}

#[test]
fn texts_that_cannot_be_sent_are_refused_before_anything_is_opened() {
    let owner = Owner::new();
    let long = "x".repeat(40_000);
    for (args, input) in [
        (&["send", "bob", "-"][..], Vec::new()),
        (&["send", "bob", "-"], b"\n".to_vec()),
        (&["send", "bob", "-"], b"\xff\xfe".to_vec()),
        (&["send", "bob", "-"], long.clone().into_bytes()),
        (&["send", "bob", "-"], "ü".repeat(20_000).into_bytes()),
        (&["send", "bob", ""], Vec::new()),
        (&["send", "bob", &long], Vec::new()),
    ] {
        run_with(&mut owner.rosa(args), &input).code(2);
    }
    assert!(owner.engine.requests.lock().unwrap().is_empty());
    run_with(&mut owner.rosa(&["send", "bob", "-"]), "x".repeat(32 * 1024).as_bytes()).code(0);
}

#[test]
fn a_verb_gives_up_when_its_time_is_up() {
    let owner = Owner::new();
    *owner.engine.failure.lock().unwrap() = None;
    // The idle pipe is read for an explicit `-`, and that is bounded too.
    let began = Instant::now();
    let mut child = owner.rosa(&["send", "bob", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"slowly").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it does not wait for the end of its input");
    drop(stdin);
    finish(child, began).code(0);
}

#[test]
fn r24_a_second_owner_ends_within_a_second_and_names_the_first() {
    let mut owner = Owner::new();
    let daemon =
        |owner: &Owner| run(&mut owner.rosa(&["daemon", "--passphrase-command", "echo secret"])).code(3);
    let pid = format!("pid {}", std::process::id());
    let outcome = daemon(&owner);
    assert!(outcome.stderr.contains("already running") && outcome.stderr.contains(&pid), "{outcome:?}");
    assert!(outcome.took < Duration::from_millis(2_500), "{:?}", outcome.took);
    // One that holds the lock and does not answer.
    owner.stop_serving();
    let outcome = daemon(&owner);
    assert!(outcome.stderr.contains(&pid), "{outcome:?}");
    assert!(outcome.took < Duration::from_millis(2_500), "{:?}", outcome.took);
    // A verb waits for it, since it may be starting or ending; not for ever.
    for args in [&["whoami"][..], &["recv"], &["send", "bob", "hi"]] {
        let outcome = run(owner.rosa(args).args(["--timeout", "1s"])).code(3);
        assert!(outcome.stderr.contains("already running") && outcome.stderr.contains(&pid), "{outcome:?}");
        assert!(outcome.took < Duration::from_millis(2_500), "{:?}", outcome.took);
    }
}

#[test]
fn a_socket_of_another_profile_is_not_attached_to() {
    let owner = Owner::new();
    // Another data folder whose profile has, by its name, the same socket.
    let other = tempfile::tempdir().unwrap();
    let vault = other.path().join("rosa/default/vault");
    std::fs::create_dir_all(vault.parent().unwrap()).unwrap();
    std::fs::write(&vault, "not a vault").unwrap();
    let run_dir = other.path().join("run");
    std::fs::create_dir_all(run_dir.join("rosa")).unwrap();
    std::os::unix::fs::symlink(&owner.paths.socket, run_dir.join("rosa/default.sock")).unwrap();
    let mut command = crate::run::rosa(other.path(), &["whoami"]);
    command.env("XDG_DATA_HOME", other.path()).env("XDG_RUNTIME_DIR", &run_dir);
    let outcome = run(&mut command).code(3);
    assert!(outcome.stderr.contains("locked"), "{outcome:?}");
    assert!(owner.engine.requests.lock().unwrap().is_empty());
}

#[test]
fn attaching_stretches_no_passphrase() {
    let owner = Owner::new();
    let fastest = (0..30).map(|_| run(&mut owner.rosa(&["whoami"])).code(0).took).min().unwrap();
    eprintln!("did: attached to an owner 30 times, {:.1} ms at the least", fastest.as_secs_f64() * 1e3);
    // Opening the profile by itself takes half a second at the least (R26); how fast attaching is, is no test's matter.
    assert!(fastest < Duration::from_millis(400), "{fastest:?}");
}

#[test]
fn kinds_and_codes_are_the_same_thing() {
    let error = ApiError::new(Kind::Timeout, "x");
    assert_eq!(rosa::cli::failure::Failure::from(error).exit_code(), 9);
}
