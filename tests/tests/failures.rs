//! What goes wrong: each with a clear message, the documented exit code, and nothing lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fs, os::unix::fs::PermissionsExt, process::Command, time::Duration};

use subrosa_tests::{
    World,
    person::Person,
    programs::program,
    relay::{RelayOptions, RelayProcess},
};

#[test]
fn r1_a_wrong_fingerprint_ends_the_connection_before_any_credential() {
    let world = World::open();
    let alice = world.somebody("alice");
    let (base, fingerprint) = world.relay.address.rsplit_once('/').unwrap();
    let wrong: String =
        fingerprint.chars().map(|c| if c == 'b' { 'c' } else { 'b' }).take(51).chain(['a']).collect();
    alice.join(&format!("{base}/{wrong}")).code(6).says("another key");
    assert!(!alice.recovery_file().exists());
    // The right one still works afterwards: nothing half-made stands in the way.
    alice.join(&world.relay.address).ok();
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let world = World::open();
    let alice = world.joined("alice");
    let wrong = alice.home.join("wrong");
    fs::write(&wrong, "not the passphrase").unwrap();
    let wrong = wrong.to_str().unwrap();
    alice.run_plain(&["whoami", "--passphrase-file", wrong], None).code(3).says("passphrase");
    alice.run(&["whoami"]).ok();
}

#[test]
fn a_wrong_passphrase_logs_nobody_in() {
    let world = World::open();
    let alice = world.joined("alice");
    let thief = Person::on_device(world.path(), "alice", "elsewhere");
    fs::write(thief.passphrase_file(), "guessed wrongly").unwrap();
    let words = alice.recovery_file();
    let login = |name: &str| {
        thief.run(&[
            "login",
            &world.relay.address,
            "--name",
            name,
            "--recovery-file",
            words.to_str().unwrap(),
        ])
    };
    let wrong = login("alice").code(3).says("passphrase");
    // Somebody who does not exist gets the same answer (R40).
    let unknown = login("nobody_here").code(3);
    assert_eq!(wrong.stderr.replace("alice", "X"), unknown.stderr.replace("nobody_here", "X"));
}

#[test]
fn r42_invites_are_single_use_and_expire() {
    let world = World::with(RelayOptions { registration: "invite", ..RelayOptions::default() });
    let invite = |args: &[&str]| {
        let output = Command::new(program("rosad"))
            .arg("invite")
            .args(args)
            .arg("--json")
            .arg("--data")
            .arg(&world.relay.data)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["invite"].as_str().unwrap().to_owned()
    };
    let link = invite(&[]);
    world.somebody("alice").join(&link).ok();
    world.somebody("bob").join(&link).code(5).says("invite");
    let short = invite(&["--ttl", "1s"]);
    std::thread::sleep(Duration::from_millis(1500));
    world.somebody("carol").join(&short).code(5).says("invite");
    world.somebody("dave").join(&world.relay.address).code(5).says("invite");
    let twice = invite(&["--uses", "2"]);
    world.somebody("erin").join(&twice).ok();
    world.somebody("frank").join(&twice).ok();
    world.somebody("grace").join(&twice).code(5).says("invite");
}

#[test]
fn a_closed_relay_registers_nobody() {
    let world = World::with(RelayOptions { registration: "closed", ..RelayOptions::default() });
    world.somebody("alice").join(&world.relay.address).code(5);
}

#[test]
fn a_taken_name_is_refused_and_another_one_can_be_chosen() {
    let world = World::open();
    world.joined("alice");
    let other = Person::on_device(world.path(), "alice", "other");
    other.join(&world.relay.address).code(5).says("taken");
    let words = other.home.join("words2");
    other
        .run(&["join", &world.relay.address, "--name", "alison", "--recovery-file", words.to_str().unwrap()])
        .ok();
    assert_eq!(other.run(&["whoami"]).ok().lines()[0]["name"], "alison");
}

#[test]
fn a_relay_that_is_gone_keeps_messages_queued() {
    let mut world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    world.relay.kill();
    let sent = alice.run(&["send", "bob", "while you were out", "--timeout", "3s"]);
    assert!(matches!(sent.code, Some(4 | 9)), "{sent:?}");
    let queued = alice.run(&["send", "bob", "queued only", "--wait", "queued"]).ok();
    assert_eq!(queued.lines()[0]["results"][0]["state"], "queued");
    world.restart_relay();
    // Any run that syncs sends what is queued.
    alice.run(&["send", "bob", "third", "--timeout", "20s"]).ok();
    let texts = bob.run(&["recv", "--filter", "message.received", "--timeout", "10s", "--max", "3"]).texts();
    assert_eq!(texts, ["while you were out", "queued only", "third"]);
}

#[test]
fn a_relay_that_hangs_does_not_hang_the_client() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    world.relay.freeze();
    let sent = alice.run(&["send", "bob", "anybody there?", "--timeout", "3s"]);
    assert!(matches!(sent.code, Some(4 | 9)), "{sent:?}");
    assert!(sent.took < Duration::from_secs(15), "{:?}", sent.took);
    let who = world.somebody("carol").run(&[
        "join",
        &world.relay.address,
        "--name",
        "carol",
        "--recovery-file",
        "/dev/null",
        "--timeout",
        "3s",
    ]);
    assert!(matches!(who.code, Some(2..=9)), "{who:?}");
    world.relay.thaw();
    alice.run(&["send", "bob", "again", "--timeout", "30s"]).ok();
    let texts = bob.run(&["recv", "--filter", "message.received", "--timeout", "10s", "--max", "2"]).texts();
    assert_eq!(texts, ["anybody there?", "again"]);
}

#[test]
fn nobody_at_the_address_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let alice = Person::new(folder.path(), "alice");
    alice.join("rosa://127.0.0.1:9").code(4);
    alice.join("http://example").code(2).says("rosa://");
}

#[test]
fn an_unknown_recipient_is_not_found_and_others_still_get_it() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    alice.run(&["send", "nobody_here", "hello"]).code(7).says("nobody_here");
    let both = alice.run(&["send", "bob", "nobody_here", "hello both"]).code(8);
    let results = both.lines()[0]["results"].clone();
    assert_eq!(results[0]["state"], "accepted");
    assert!(results[1]["error"].is_object(), "{results}");
    assert_eq!(bob.run(&["recv", "--filter", "message.received"]).texts().last().unwrap(), "hello both");
}

#[test]
fn r24_a_second_owner_is_refused_within_a_second_of_asking() {
    let world = World::open();
    let alice = world.joined("alice");
    let owner = alice.daemon();
    alice.run(&["daemon"]).code(3).says(&owner.pid().to_string());
    owner.kill();
    // A lock of the dead does not count.
    assert!(alice.daemon().terminate().success());
}

#[test]
fn no_profile_and_usage_have_their_codes() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Person::new(folder.path(), "nobody");
    nobody.run(&["whoami"]).code(3).says("join");
    nobody.run(&["send"]).code(2);
    nobody.run(&["frobnicate"]).code(2);
    nobody.run(&["join", "not a link", "--name", "bob"]).code(2);
}

#[test]
fn a_relay_with_a_data_directory_it_cannot_write_says_so() {
    // Root writes everywhere, so the directory is one nobody can write: a file stands in its place, or /proc.
    for place in ["/proc/subrosa", "/dev/null/relay"] {
        let (status, log) = RelayProcess::try_start(std::path::Path::new(place), &RelayOptions::default())
            .err()
            .expect("it must not start");
        assert!(matches!(status.code(), Some(2 | 3)), "{status} {log}");
        assert!(log.contains(place) && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn one_relay_a_data_directory_and_one_a_port() {
    let world = World::open();
    let (status, log) = RelayProcess::try_start(&world.relay.data, &RelayOptions::default()).err().unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.contains(&world.relay.pid().to_string()), "{log}");
    let options = RelayOptions { listen: world.relay.quic.clone(), ..RelayOptions::default() };
    let (status, log) = RelayProcess::try_start(&world.path().join("second"), &options).err().unwrap();
    assert!(matches!(status.code(), Some(2 | 3)), "{status} {log}");
    assert!(log.contains("in use"), "{log}");
}

#[test]
fn r59_sigterm_drains_and_nothing_acknowledged_is_lost() {
    let mut world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    alice.run(&["send", "bob", "before the stop"]).ok();
    let (status, took) = world.relay.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    world.restart_relay();
    let texts = bob.run(&["recv", "--filter", "message.received"]).texts();
    assert_eq!(texts.last().unwrap(), "before the stop");
}

#[test]
fn relay_files_are_for_their_owner_only() {
    let world = World::open();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.relay.data), 0o700);
    for file in subrosa_tests::scan::files(&world.relay.data) {
        assert_eq!(mode(&file) & 0o077, 0, "{}", file.display());
    }
    let check = Command::new(program("rosad"))
        .args(["check", "--json", "--data"])
        .arg(&world.relay.data)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
