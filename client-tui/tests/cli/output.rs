//! What every verb prints, for people and as JSON.

use serde_json::Value;
use subrosa_client::{
    Request,
    api::{Kind, MessageState, Trust, WaitFor},
};

use crate::{
    owner::{HOSTILE, ID, Owner, error},
    run::{run, run_with},
};

/// Both forms of a verb, one below the other.
fn both(owner: &Owner, args: &[&str]) -> String {
    let people = run(&mut owner.rosa(args)).code(0);
    let mut json = args.to_vec();
    json.push("--json");
    let json = run(&mut owner.rosa(&json)).code(0);
    for outcome in [&people, &json] {
        harmless(&outcome.stdout);
        harmless(&outcome.stderr);
    }
    assert!(json.json().is_object());
    format!("{}\n{}", people.stdout, json.stdout)
}

/// Nothing that a terminal acts on (R48, R50).
#[track_caller]
fn harmless(text: &str) {
    for char in text.chars() {
        let steers = char.is_control() && char != '\n'
            || HOSTILE.contains(char) && !char.is_ascii_graphic() && char != ' ';
        assert!(!steers, "{char:?} in {text:?}");
    }
}

#[test]
fn r48_r50_every_verb_prints_for_people_and_as_json() {
    let owner = Owner::new();
    insta::assert_snapshot!("whoami", both(&owner, &["whoami"]));
    insta::assert_snapshot!("status", both(&owner, &["status"]));
    insta::assert_snapshot!("ls_chats", both(&owner, &["ls"]));
    insta::assert_snapshot!("ls_contacts", both(&owner, &["ls", "contacts"]));
    insta::assert_snapshot!("ls_devices", both(&owner, &["ls", "devices"]));
    insta::assert_snapshot!("ls_requests", both(&owner, &["ls", "requests"]));
    insta::assert_snapshot!("show_message", both(&owner, &["show", ID]));
    insta::assert_snapshot!("show_chat", both(&owner, &["show", "bob"]));
    insta::assert_snapshot!("search", both(&owner, &["search", "hi", "there"]));
    insta::assert_snapshot!("accept", both(&owner, &["accept", "dave"]));
    insta::assert_snapshot!("verify", both(&owner, &["verify", "bob"]));
    insta::assert_snapshot!("send", both(&owner, &["send", "bob", "carol", "hi"]));
    insta::assert_snapshot!("version", both(&owner, &["version"]));
    insta::assert_snapshot!("logout", both(&owner, &["logout", "--yes"]));
}

#[test]
fn r48_events_are_printed_without_what_steers_a_terminal() {
    let owner = Owner::new();
    owner.engine.tell(&format!("hi{HOSTILE}\nthere"));
    let people = run(&mut owner.rosa(&["recv", "--ack", "manual"])).code(0);
    let json = run(&mut owner.rosa(&["recv", "--json"])).code(0);
    harmless(&people.stdout);
    harmless(&json.stdout);
    insta::assert_snapshot!("recv", format!("{}\n{}", people.stdout, json.stdout));
}

#[test]
fn errors_say_what_why_and_what_next() {
    let owner = Owner::new();
    *owner.engine.failure.lock().unwrap() = Some(error(Kind::Refused));
    let people = run(&mut owner.rosa(&["whoami"])).code(5);
    let json = run(&mut owner.rosa(&["whoami", "--json"])).code(5);
    harmless(&people.stderr);
    harmless(&json.stderr);
    assert!(people.stdout.is_empty() && json.stdout.is_empty());
    insta::assert_snapshot!("error", format!("{}\n{}", people.stderr, json.stderr));
}

#[test]
fn what_is_asked_for_reaches_the_engine() {
    let owner = Owner::new();
    run(&mut owner.rosa(&[
        "send",
        "bob",
        "carol@r.example",
        "hi there",
        "--reply",
        ID,
        "--wait",
        "delivered",
        "--key",
        "k",
        "--timeout",
        "5s",
    ]))
    .code(0);
    run_with(&mut owner.rosa(&["send", "bob", "-"]), "two\nlines ü\n".as_bytes()).code(0);
    run(&mut owner.rosa(&["verify", "bob", "--confirm", "12345"])).code(0);
    run(&mut owner.rosa(&["trust", "bob", "--number", "54321"])).code(0);
    run(&mut owner.rosa(&["show", "bob", "--last", "7", "--read"])).code(0);
    let requests = owner.engine.requests.lock().unwrap();
    let Request::MessageSend(send) = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(
        (send.to.as_slice(), send.text.as_str()),
        (&["bob".to_owned(), "carol@r.example".into()][..], "hi there")
    );
    assert_eq!((send.reply_to.as_deref(), send.key.as_deref()), (Some(ID), Some("k")));
    assert_eq!((send.wait, send.timeout_ms), (WaitFor::Delivered, Some(5_000)));
    let Request::MessageSend(send) = &requests[1] else { panic!("{requests:?}") };
    assert_eq!((send.text.as_str(), send.wait, send.timeout_ms), ("two\nlines ü", WaitFor::Accepted, None));
    assert_eq!(requests[2], Request::ContactVerify { name: "bob".into(), number: "12345".into() });
    assert_eq!(requests[3], Request::ContactTrust { name: "bob".into(), number: Some("54321".into()) });
    assert_eq!(requests[4], Request::ChatHistory { chat: "bob".into(), before: None, after: None, limit: 7 });
    assert_eq!(requests[5], Request::ChatRead { chat: "bob".into(), up_to: 3 });
    assert_eq!(requests.len(), 6);
}

#[test]
fn a_script_is_never_asked_and_trusts_only_when_told_to() {
    let owner = Owner::new();
    *owner.engine.trust.lock().unwrap() = Some(Trust::Changed);
    run(&mut owner.rosa(&["verify", "bob"])).code(0);
    let requests = owner.engine.requests.lock().unwrap();
    assert!(
        requests.iter().all(|request| matches!(request, Request::ContactSafetyNumber { .. })),
        "{requests:?}"
    );
}

#[test]
fn the_results_of_a_send_are_told_for_each_recipient() {
    let owner = Owner::new();
    let limited = {
        let mut error = error(Kind::RateLimited);
        error.retry_after_ms = Some(1_500);
        error
    };
    *owner.engine.outcomes.lock().unwrap() =
        vec![(MessageState::Accepted, None), (MessageState::Queued, Some(limited.clone()))];
    let outcome = run(&mut owner.rosa(&["send", "bob", "carol", "hi", "--json"])).code(8);
    let results = outcome.json()["results"].clone();
    assert_eq!(results[0]["to"], "bob");
    assert_eq!(results[0]["error"], Value::Null);
    assert_eq!(results[1]["error"]["kind"], "rate_limited");
    assert_eq!(results[1]["error"]["retry_after_ms"], 1_500);
    assert_eq!(outcome.error()["kind"], "partial");

    *owner.engine.outcomes.lock().unwrap() = vec![(MessageState::Queued, Some(limited))];
    let outcome = run(&mut owner.rosa(&["send", "bob", "hi", "--json"])).code(10);
    assert_eq!(outcome.error()["retry_after_ms"], 1_500);
    assert_eq!(outcome.error()["id"], ID);
}

#[test]
fn completions_and_man_pages_come_from_the_definition() {
    let owner = Owner::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&mut owner.rosa(&["completions", shell])).code(0).stdout;
        assert!(script.contains("recovery-file") && script.contains("follow"), "{shell}");
    }
    let page = run(&mut owner.rosa(&["man"])).code(0).stdout;
    assert!(page.contains(".TH rosa 1") && page.contains("rosa\\-send(1)"), "{page}");
    let page = run(&mut owner.rosa(&["man", "recv"])).code(0).stdout;
    assert!(page.contains("rosa\\-recv") && page.contains("\\-\\-since"), "{page}");
}
