//! `recv` in all its ways.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use subrosa_client::{Request, api::Kind};

use crate::{
    owner::{Owner, error},
    run::{finish, run, signal},
};

fn told(count: u64) -> Owner {
    let owner = Owner::new();
    for number in 1..=count {
        owner.engine.tell(&format!("number {number}"));
    }
    owner
}

fn seqs(owner: &Owner, args: &[&str]) -> Vec<u64> {
    let mut all = vec!["recv", "--json"];
    all.extend(args);
    let lines = run(&mut owner.rosa(&all)).code(0).lines();
    lines.iter().map(|line| line["seq"].as_u64().unwrap()).collect()
}

#[test]
fn what_was_printed_is_not_printed_again() {
    let owner = told(3);
    assert_eq!(seqs(&owner, &[]), [1, 2, 3]);
    assert_eq!(seqs(&owner, &[]), [0; 0]);
    owner.engine.tell("new");
    assert_eq!(seqs(&owner, &["--ack", "manual"]), [4]);
    assert_eq!(seqs(&owner, &[]), [4]);
    assert_eq!(seqs(&owner, &["--since", "1"]), [2, 3, 4]);
}

#[test]
fn max_ends_and_leaves_the_rest() {
    let owner = told(1_200);
    assert_eq!(seqs(&owner, &["--max", "2"]), [1, 2]);
    assert_eq!(seqs(&owner, &["--max", "2", "--timeout", "5s"]), [3, 4]);
    assert_eq!(seqs(&owner, &[]).len(), 1_196);
    run(&mut owner.rosa(&["recv", "--max", "0"])).code(2);
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let owner = told(2);
    assert_eq!(seqs(&owner, &["--filter", "contact.*"]), [0; 0]);
    assert_eq!(seqs(&owner, &["--filter", "contact.*", "--filter", "message.received"]), [1, 2]);
}

#[test]
fn a_filter_that_no_event_has_is_refused() {
    let owner = told(1);
    for more in [&["--follow"][..], &[]] {
        let filter = ["recv", "--json", "--filter", "contact.*", "--filter", "message.recieved"];
        let outcome = run(&mut owner.rosa(&[&filter[..], more].concat())).code(2);
        assert_eq!(outcome.error()["hint"], "did you mean message.received?");
    }
    assert!(owner.engine.requests.lock().unwrap().is_empty());
}

#[test]
fn it_syncs_first_and_says_when_the_relay_is_away() {
    let owner = told(1);
    seqs(&owner, &[]);
    assert!(matches!(owner.engine.requests.lock().unwrap()[0], Request::SyncWait { .. }));
    let owner = told(1);
    *owner.engine.failure.lock().unwrap() = Some(error(Kind::Unreachable));
    run(&mut owner.rosa(&["recv"])).code(4);
}

#[test]
fn with_a_timeout_it_waits_for_the_first() {
    let owner = told(0);
    let outcome = run(&mut owner.rosa(&["recv", "--timeout", "300ms", "--json"])).code(9);
    assert!(outcome.took >= Duration::from_millis(300) && outcome.stdout.is_empty());
    assert_eq!(outcome.error()["kind"], "timeout");

    let began = Instant::now();
    let child = owner.rosa(&["recv", "--timeout", "20s", "--json"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    owner.engine.tell("at last");
    let outcome = finish(child, began).code(0);
    assert_eq!(outcome.lines().len(), 1);
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
}

fn follow(owner: &Owner, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut all = vec!["recv", "--follow", "--json"];
    all.extend(args);
    let mut child = owner.rosa(&all).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

fn next(stdout: &mut BufReader<ChildStdout>) -> u64 {
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    serde_json::from_str::<serde_json::Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))["seq"]
        .as_u64()
        .unwrap()
}

#[test]
fn follow_goes_on_in_order_without_a_hole() {
    let owner = told(3);
    let (child, mut stdout) = follow(&owner, &[]);
    for expected in 1..=3 {
        assert_eq!(next(&mut stdout), expected);
    }
    let engine = std::sync::Arc::clone(&owner.engine);
    let teller =
        std::thread::spawn(move || (0..2_000).for_each(|number| engine.tell(&format!("more {number}"))));
    for expected in 4..=2_003 {
        assert_eq!(next(&mut stdout), expected);
    }
    teller.join().unwrap();
    signal(&child, Signal::INT);
    finish(child, Instant::now()).code(130);
}

#[test]
fn follow_ends_after_max_and_finds_no_owner_after_its_own_has_gone() {
    let owner = told(1);
    let (child, mut stdout) = follow(&owner, &["--max", "2"]);
    assert_eq!(next(&mut stdout), 1);
    owner.engine.tell("two");
    assert_eq!(next(&mut stdout), 2);
    finish(child, Instant::now()).code(0);

    let mut owner = told(1);
    let (child, mut stdout) = follow(&owner, &["--timeout", "3s"]);
    assert_eq!(next(&mut stdout), 1);
    owner.end();
    let outcome = finish(child, Instant::now()).code(3);
    assert!(outcome.took < Duration::from_secs(15), "{outcome:?}");
}

/// The owner is killed at the n-th fetch or acknowledgement, and another one takes its place.
fn killed_at(stalls: usize, ack: &str, away: Duration) {
    const EVENTS: u64 = 1_200;
    let what = format!("killed at call {stalls}, --ack {ack}, away for {away:?}");
    let mut owner = told(EVENTS);
    *owner.engine.stalls_after.lock().unwrap() = Some(stalls);
    let (child, mut stdout) = follow(&owner, &["--ack", ack]);
    let reader = std::thread::spawn(move || {
        let seqs: Vec<u64> = (0..=EVENTS).map(|_| next(&mut stdout)).collect();
        (seqs, stdout)
    });
    let began = Instant::now();
    while owner.engine.requests.lock().unwrap().len() <= stalls {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: it never came that far");
        std::thread::sleep(Duration::from_millis(2));
    }
    owner.vanish();
    *owner.engine.stalls_after.lock().unwrap() = None;
    std::thread::sleep(away);
    owner.come_back();
    // Once it has caught up, what is new comes too.
    while owner.engine.listeners() == 0 {
        assert!(began.elapsed() < Duration::from_secs(50), "{what}: it did not come back");
        std::thread::sleep(Duration::from_millis(2));
    }
    owner.engine.tell("new");
    let (seqs, stdout) = reader.join().unwrap();
    assert_eq!(seqs, (1..=EVENTS + 1).collect::<Vec<_>>(), "{what}: each once, in order");
    let acknowledged = || *owner.engine.acknowledged.lock().unwrap();
    if ack == "auto" {
        while acknowledged() < EVENTS + 1 {
            assert!(began.elapsed() < Duration::from_secs(50), "{what}: {}", acknowledged());
            std::thread::sleep(Duration::from_millis(2));
        }
    } else {
        assert_eq!(acknowledged(), 0, "{what}");
    }
    drop(stdout);
    signal(&child, Signal::INT);
    finish(child, Instant::now()).code(130);
}

#[test]
fn follow_survives_a_new_owner_while_it_fetches_and_acknowledges() {
    // Fetch, acknowledge, fetch, acknowledge, ...
    for stalls in 0..4 {
        killed_at(stalls, "auto", Duration::from_millis(100));
    }
    killed_at(1, "manual", Duration::from_millis(100));
}

#[test]
fn follow_waits_for_a_new_owner_that_takes_its_time() {
    // Longer than anything that a single attempt waits.
    killed_at(2, "auto", Duration::from_secs(12));
}
