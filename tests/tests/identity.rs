//! Somebody's account key changes under the same name: nothing is sent before a person decides, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use rusqlite::Connection;
use subrosa_tests::{Person, World};

/// What only a lying relay or its operator can do: forget an account, so that its name can be registered again.
fn forget(world: &World, name: &str) {
    let path = world.relay.data.join("rosad.db");
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    let account: i64 =
        db.query_row("SELECT id FROM accounts WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    db.execute("DELETE FROM devices WHERE account = ?1", [account]).unwrap();
    db.execute("DELETE FROM device_lists WHERE account = ?1", [account]).unwrap();
    db.execute("DELETE FROM accounts WHERE id = ?1", [account]).unwrap();
}

#[test]
fn r27_a_changed_key_stops_sending_until_it_is_trusted() {
    let mut world = World::open();
    let (alice, _bob) = world.friends("alice", "bob");
    let shown = alice.run(&["verify", "bob"]).ok();
    let old = shown.lines()[0]["number"].as_str().unwrap().to_owned();

    let (status, _) = world.relay.terminate();
    assert!(status.success());
    forget(&world, "bob");
    world.restart_relay();
    let other = Person::on_device(world.path(), "bob", "other");
    other.join(&world.relay.address).ok();
    other.run(&["send", "alice", "it is me, bob"]).ok();

    // Alice's client notices, shows it, and does not take the message for bob's.
    alice.run(&["recv", "--timeout", "20s"]).ok();
    let came = alice.run(&[
        "recv",
        "--since",
        "0",
        "--max",
        "1",
        "--filter",
        "identity.changed",
        "--timeout",
        "20s",
    ]);
    let change = came.lines().into_iter().next().unwrap_or_else(|| panic!("no identity.changed: {came:?}"));
    let received = alice.run(&["recv", "--since", "0", "--filter", "message.received"]).ok().texts();
    assert!(!received.iter().any(|text| text == "it is me, bob"), "{received:?}");
    assert_eq!(change["data"]["name"], "bob");
    assert_eq!(change["data"]["old_number"], old.as_str());
    assert_ne!(change["data"]["new_number"], old.as_str());

    // A send is held, with the documented exit code; nothing is lost.
    alice.run(&["send", "bob", "are you really bob?"]).code(6).says("trust");
    assert!(!other.run(&["recv"]).stdout.contains("are you really bob?"));
    let status = alice.run(&["status"]).ok();
    assert_eq!(status.lines()[0]["held"], 1, "{}", status.stdout);

    // The wrong number changes nothing, the decision does.
    let wrong = "00000 ".repeat(12);
    alice.run(&["trust", "bob", "--number", wrong.trim()]).code(6);
    alice.run(&["trust", "bob"]).ok();
    alice.run(&["recv"]).ok();
    let texts = other.run(&["recv", "--timeout", "20s", "--filter", "message.received"]).texts();
    assert_eq!(texts, ["are you really bob?"]);
}
