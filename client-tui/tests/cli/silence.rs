//! No verb waits for a standard input that says nothing, and none asks without a terminal: closed, `/dev/null`, or a pipe
//! that somebody keeps open, it ends by itself, soon, with an exit code that says why.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    owner::Owner,
    run::{Outcome, finish, in_shell, rosa, run},
};

const SOON: Duration = Duration::from_secs(10);
const LINK: &str = "rosa://127.0.0.1:1";

/// Every verb, and its exit code where there is no profile.
const VERBS: &[(&[&str], i32)] = &[
    (&[], 2),
    (&["join", LINK], 2),
    (&["join", LINK, "--recovery-file", "words"], 2),
    (&["join", LINK, "--recovery-file", "words", "--name", "alice"], 2),
    (&["join", "no link"], 2),
    (&["login", LINK], 2),
    (&["login", LINK, "--name", "alice"], 2),
    (&["logout"], 2),
    (&["logout", "--yes"], 3),
    (&["whoami"], 3),
    (&["send", "bob", "hi"], 3),
    (&["send", "bob"], 2),
    (&["recv"], 3),
    (&["recv", "--follow"], 3),
    (&["ls"], 3),
    (&["ls", "contacts"], 3),
    (&["ls", "nothing"], 2),
    (&["show", "bob"], 3),
    (&["search", "hi"], 3),
    (&["accept", "bob"], 3),
    (&["verify", "bob"], 3),
    (&["trust", "bob"], 3),
    (&["status"], 3),
    (&["check"], 3),
    (&["daemon"], 3),
    (&["version"], 0),
    (&["completions", "bash"], 0),
    (&["completions", "zsh"], 0),
    (&["completions", "fish"], 0),
    (&["man"], 0),
    (&["man", "send"], 0),
    (&["man", "nothing"], 2),
    (&["nothing"], 2),
    (&["--help"], 0),
    (&["--version"], 0),
    (&["--plain"], 3),
];

fn with_every_input(home: &std::path::Path, args: &[&str]) -> Vec<(&'static str, Outcome)> {
    let idle = {
        let began = Instant::now();
        let mut child = rosa(home, args).stdin(Stdio::piped()).spawn().unwrap();
        let open = child.stdin.take();
        let outcome = finish(child, began);
        drop(open);
        outcome
    };
    vec![
        ("/dev/null", run(&mut rosa(home, args))),
        ("closed", run(&mut in_shell(home, "exec \"$0\" \"$@\" <&-", args))),
        ("an idle pipe", idle),
    ]
}

#[test]
fn without_a_profile_every_verb_ends_by_itself() {
    let home = tempfile::tempdir().unwrap();
    for (args, code) in VERBS {
        for (input, outcome) in with_every_input(home.path(), args) {
            assert_eq!(outcome.code, Some(*code), "{args:?} with {input}: {outcome:?}");
            assert!(outcome.took < SOON, "{args:?} with {input} took {:?}", outcome.took);
            if *code != 0 {
                assert!(outcome.stdout.is_empty(), "{args:?}: errors belong on standard error: {outcome:?}");
                assert!(outcome.stderr.starts_with("error: "), "{args:?}: {outcome:?}");
            }
        }
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "a refused verb leaves nothing behind");
}

#[test]
fn a_locked_profile_is_not_asked_for_without_a_terminal() {
    let mut owner = Owner::new();
    owner.end();
    for (args, code) in VERBS.iter().filter(|(args, code)| *code == 3 && !args.contains(&"--plain")) {
        let mut all = args.to_vec();
        all.extend(["--profile", owner.profile()]);
        for (input, outcome) in with_every_input(&owner.home(), &all) {
            assert_eq!(outcome.code, Some(*code), "{args:?} with {input}: {outcome:?}");
            assert!(outcome.took < SOON, "{args:?} with {input} took {:?}", outcome.took);
            assert!(outcome.stderr.contains("passphrase"), "{args:?}: {outcome:?}");
            assert!(outcome.stderr.contains("hint: "), "{args:?}: {outcome:?}");
        }
    }
}

#[test]
fn attached_verbs_do_not_read_standard_input() {
    let owner = Owner::new();
    owner.engine.tell("hi");
    for args in [
        &["whoami"][..],
        &["send", "bob", "hi"],
        &["recv"],
        &["ls"],
        &["show", "bob"],
        &["search", "x"],
        &["accept", "dave"],
        &["verify", "bob"],
        &["trust", "bob"],
        &["status"],
        &["check"],
        &["logout", "--yes"],
    ] {
        let mut all = args.to_vec();
        all.extend(["--profile", owner.profile()]);
        for (input, outcome) in with_every_input(&owner.home(), &all) {
            assert_eq!(outcome.code, Some(0), "{args:?} with {input}: {outcome:?}");
            assert!(outcome.took < SOON, "{args:?} with {input} took {:?}", outcome.took);
        }
    }
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    let home = tempfile::tempdir().unwrap();
    for (args, code) in VERBS.iter().filter(|(_, code)| *code != 0) {
        let mut all = args.to_vec();
        all.push("--json");
        let outcome = run(&mut rosa(home.path(), &all));
        let error = outcome.code(*code).error();
        assert_eq!(error["code"], *code, "{args:?}");
        assert!(error["message"].is_string() && error["kind"].is_string(), "{args:?}: {error}");
    }
}
