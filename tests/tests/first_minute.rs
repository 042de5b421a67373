//! The first minute of UX.md without a terminal, by flags, and what two people then do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, os::unix::fs::PermissionsExt};

use subrosa_tests::{RelayProcess, World, person::Person, relay::RelayOptions};

#[test]
fn five_commands_from_nothing_to_a_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let options = RelayOptions { registration: "invite", ..RelayOptions::default() };
    // 1: the relay, which prints the first user's link.
    let relay = RelayProcess::start(&folder.path().join("relay"), &options);
    let link = relay.invite.clone().expect("a fresh relay prints an invite");
    assert!(link.starts_with(&relay.address) && link.contains('#'), "{link}");
    let (alice, bob) = (Person::new(folder.path(), "alice"), Person::new(folder.path(), "bob"));
    // 2: alice joins.
    alice.join(&link).ok();
    // 3: the operator makes a link for bob.
    let output = std::process::Command::new(subrosa_tests::programs::program("rosad"))
        .args(["invite", "--json", "--data"])
        .arg(&relay.data)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let invite: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let link = invite["invite"].as_str().unwrap().to_owned();
    // 4: bob joins. 5: bob writes.
    bob.join(&link).ok();
    let sent = bob.run(&["send", "alice", "hi!"]).ok();
    assert_eq!(sent.lines()[0]["results"][0]["state"], "accepted", "{}", sent.stdout);

    let came = alice.run(&["recv", "--timeout", "10s", "--max", "20"]);
    assert_eq!(came.texts(), ["hi!"], "{}{}", came.stdout, came.stderr);
    alice.run(&["send", "bob", "hello bob"]).ok();
    let came = bob.run(&["recv", "--timeout", "10s", "--max", "20", "--filter", "message.received"]);
    assert_eq!(came.texts(), ["hello bob"], "{}{}", came.stdout, came.stderr);
}

#[test]
fn recovery_words_are_written_once_and_only_for_their_owner() {
    let world = World::open();
    let alice = world.joined("alice");
    let words = fs::read_to_string(alice.recovery_file()).unwrap();
    assert_eq!(
        words.split_whitespace().filter(|w| w.chars().all(|c| c.is_ascii_lowercase())).count(),
        24,
        "{words}"
    );
    let mode = fs::metadata(alice.recovery_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let profile = fs::metadata(alice.profile()).unwrap().permissions().mode();
    assert_eq!(profile & 0o777, 0o700);
    // A file that is there already is not overwritten.
    let bob = world.somebody("bob");
    fs::write(bob.recovery_file(), "something").unwrap();
    let outcome = bob.join(&world.relay.address);
    assert_ne!(outcome.code, Some(0));
    assert_eq!(fs::read_to_string(bob.recovery_file()).unwrap(), "something");
}

#[test]
fn messages_wait_for_a_device_that_is_off_and_keep_their_order() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    bob.run(&["recv"]).ok();
    for n in 0..20 {
        alice.run(&["send", "bob", &format!("number {n}")]).ok();
    }
    let came = bob.run(&["recv", "--filter", "message.received"]).ok();
    let texts = came.texts();
    assert_eq!(texts, (0..20).map(|n| format!("number {n}")).collect::<Vec<_>>());
    // Acknowledged events are not told again; asked for, they are.
    assert!(bob.run(&["recv", "--filter", "message.received"]).ok().texts().is_empty());
    assert_eq!(bob.run(&["recv", "--since", "0", "--filter", "message.received"]).ok().texts().len(), 21);
}

#[test]
fn states_of_a_message_reach_its_sender() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let daemon = bob.daemon();
    let sent = alice.run(&["send", "bob", "are you there?", "--wait", "delivered", "--timeout", "20s"]).ok();
    assert_eq!(sent.lines()[0]["results"][0]["state"], "delivered");
    assert!(daemon.terminate().success());
}

#[test]
fn a_running_owner_serves_the_other_verbs() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let owner = alice.daemon();
    // No passphrase is needed: the owner has the profile open.
    let who = alice.run_plain(&["whoami", "--json"], None).ok();
    assert_eq!(who.lines()[0]["name"], "alice");
    alice.run_plain(&["send", "bob", "through the owner"], None).ok();
    let found = alice.run_plain(&["search", "owner", "--json"], None).ok();
    assert!(found.stdout.contains("through the owner"), "{}", found.stdout);
    // A second owner is refused at once, with the pid of the first.
    let second = alice.run(&["daemon"]).code(3).says("already running");
    assert!(second.stderr.contains(&owner.pid().to_string()), "{}", second.stderr);
    assert!(second.took.as_secs() < 5);
    assert!(owner.terminate().success());
    let texts = bob.run(&["recv", "--filter", "message.received"]).ok().texts();
    assert_eq!(texts.last().map(String::as_str), Some("through the owner"));
}

#[test]
fn text_comes_from_standard_input_only_when_asked() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let file = alice.passphrase_file();
    let file = file.to_str().unwrap();
    alice.run_plain(&["send", "bob", "-", "--passphrase-file", file], Some("from\na pipe\n")).ok();
    alice.run_plain(&["send", "bob", "--passphrase-file", file], Some("unasked")).code(2);
    let texts = bob.run(&["recv", "--filter", "message.received"]).ok().texts();
    assert_eq!(texts.last().unwrap().trim_end(), "from\na pipe");
}

#[test]
fn an_idempotency_key_sends_once() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let sent = alice.run(&["send", "bob", "only once", "--key", "build-17"]).ok();
            sent.lines()[0]["results"][0]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let texts = bob.run(&["recv", "--filter", "message.received"]).ok().texts();
    assert_eq!(texts.iter().filter(|text| *text == "only once").count(), 1);
}

#[test]
fn safety_numbers_agree_and_verification_sticks() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let number = |person: &Person, other: &str| {
        let shown = person.run(&["verify", other]).ok();
        shown.lines()[0]["number"].as_str().unwrap().to_owned()
    };
    let (a, b) = (number(&alice, "bob"), number(&bob, "alice"));
    assert_eq!(a, b);
    assert_eq!(a.split_whitespace().map(str::len).collect::<Vec<_>>(), [5; 12]);
    alice.run(&["verify", "bob", "--confirm", &a]).ok();
    let wrong = "00000 ".repeat(12);
    bob.run(&["verify", "alice", "--confirm", wrong.trim()]).code(6);
    let contacts = alice.run(&["ls", "contacts"]).ok();
    assert!(contacts.stdout.contains("\"verified\""), "{}", contacts.stdout);
}

#[test]
fn the_demo_without_a_terminal_shows_a_conversation() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Person::new(folder.path(), "nobody");
    let demo = nobody.run_plain(&["demo"], None).ok();
    assert!(demo.stdout.lines().count() >= 4, "{}", demo.stdout);
    assert!(!demo.stdout.contains('\u{1b}'));
    assert!(!nobody.profile().exists(), "the demo leaves no profile behind");
}
