//! Several devices an account: login with passphrase and recovery words, copies between one's own devices, logout.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use subrosa_tests::{World, person::Person};

fn second_device(world: &World, alice: &Person) -> Person {
    let phone = Person::on_device(world.path(), &alice.name, "phone");
    let words = alice.recovery_file();
    let login = phone
        .run(&[
            "login",
            &world.relay.address,
            "--name",
            &alice.name,
            "--recovery-file",
            words.to_str().unwrap(),
        ])
        .ok();
    drop(login);
    phone
}

#[test]
fn both_devices_send_receive_and_see_each_others_sent_messages() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let phone = second_device(&world, &alice);
    assert_eq!(phone.run(&["whoami"]).ok().lines()[0]["device"], 2);

    // Bob's client learns of the new device from the relay's answer, and both get it.
    bob.run(&["send", "alice", "to all of you"]).ok();
    assert_eq!(alice.run(&["recv", "--filter", "message.received"]).texts().last().unwrap(), "to all of you");
    assert_eq!(phone.run(&["recv", "--filter", "message.received"]).texts(), ["to all of you"]);

    // What one sends, bob and the other see.
    phone.run(&["send", "bob", "from the phone"]).ok();
    assert_eq!(bob.run(&["recv", "--filter", "message.received"]).texts().last().unwrap(), "from the phone");
    alice.run(&["recv"]).ok();
    let history = alice.run(&["show", "bob"]).ok();
    assert!(history.stdout.contains("from the phone"), "{}", history.stdout);
    alice.run(&["send", "bob", "from the laptop"]).ok();
    phone.run(&["recv"]).ok();
    let history = phone.run(&["show", "bob"]).ok();
    assert!(history.stdout.contains("from the laptop"), "{}", history.stdout);

    let devices = alice.run(&["ls", "devices"]).ok();
    assert_eq!(devices.lines()[0]["devices"].as_array().unwrap().len(), 2, "{}", devices.stdout);
}

#[test]
fn wrong_words_link_no_device() {
    let world = World::open();
    let alice = world.joined("alice");
    let phone = Person::on_device(world.path(), "alice", "phone");
    let words = phone.home.join("wrong-words");
    let mut list: Vec<_> =
        fs::read_to_string(alice.recovery_file()).unwrap().split_whitespace().map(str::to_owned).collect();
    list.swap(0, 1);
    fs::write(&words, list.join(" ")).unwrap();
    let login = |file: &std::path::Path| {
        phone.run(&[
            "login",
            &world.relay.address,
            "--name",
            "alice",
            "--recovery-file",
            file.to_str().unwrap(),
        ])
    };
    let outcome = login(&words);
    assert!(matches!(outcome.code, Some(2 | 3 | 6)), "{outcome:?}");
    assert!(outcome.stderr.to_lowercase().contains("word"), "{}", outcome.stderr);
    login(&alice.recovery_file()).ok();
}

#[test]
fn logout_removes_the_device_and_ends_its_access() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let phone = second_device(&world, &alice);
    phone.run(&["logout", "--yes"]).ok();
    let after = phone.run(&["send", "bob", "still here?"]);
    assert_eq!(after.code, Some(3), "{after:?}");
    bob.run(&["send", "alice", "to the laptop only"]).ok();
    assert_eq!(
        alice.run(&["recv", "--filter", "message.received"]).texts().last().unwrap(),
        "to the laptop only"
    );
    let devices = alice.run(&["ls", "devices"]).ok();
    assert_eq!(devices.lines()[0]["devices"].as_array().unwrap().len(), 1, "{}", devices.stdout);
}

#[test]
fn r23_a_restored_copy_of_a_profile_is_quarantined_and_sends_nothing() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let copy = alice.home.join("copy");
    let copied = std::process::Command::new("cp").arg("-a").arg(alice.profile()).arg(&copy).status().unwrap();
    assert!(copied.success());
    for n in 0..5 {
        alice.run(&["send", "bob", &format!("after the copy {n}")]).ok();
    }
    bob.run(&["recv"]).ok();
    fs::remove_dir_all(alice.profile()).unwrap();
    fs::rename(&copy, alice.profile()).unwrap();
    let sent = alice.run(&["send", "bob", "from the old copy", "--timeout", "10s"]);
    assert!(matches!(sent.code, Some(3 | 6)), "{sent:?}");
    sent.says("copy");
    let texts = bob.run(&["recv", "--filter", "message.received"]).texts();
    assert!(!texts.iter().any(|text| text == "from the old copy"), "{texts:?}");
}
