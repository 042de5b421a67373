//! Posting without a relay.

use subrosa_tests::report;

use super::scene::Scene;

#[test]
fn r21_what_is_posted_without_a_relay_goes_out_in_order() {
    let mut scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Ops"]).ok();
    scene.bring("alice", "#ops", "bob");
    scene.says("alice", "#ops", "before");
    assert_eq!(scene.hears("bob")["text"], "before");
    scene.world.relay.kill();
    let alice = scene.who("alice");
    for number in 1..=5 {
        let sent = alice.run(&["send", "#ops", &format!("offline {number}"), "--wait", "queued"]).ok();
        assert_eq!(sent.lines()[0]["results"][0]["state"], "queued");
    }
    let late = alice.run(&["send", "#ops", "offline 6", "--timeout", "1s"]);
    assert!(matches!(late.code, Some(4 | 9)), "{late:?}");
    // A change needs the relay: it is not reached, or not within the time.
    let changed = scene.room("alice", &["topic", "#ops", "offline", "--timeout", "5s"]);
    assert!(matches!(changed.code, Some(4 | 9)), "{changed:?}");
    // The history has them all, before anybody else does.
    let history = scene.room("alice", &["history", "#ops"]).ok();
    assert!(history.stdout.contains("offline 6"), "{}", history.stdout);
    // The owners of the profiles end in between, and forget nothing.
    let people: Vec<_> = scene.people.drain(..).collect();
    scene.world.restart_relay();
    for (person, daemon) in people {
        daemon.kill();
        let daemon = person.daemon();
        scene.people.push((person, daemon));
    }
    for number in 1..=6 {
        assert_eq!(scene.hears("bob")["text"], format!("offline {number}"));
    }
    report::did("rooms: 6 texts queued without a relay, sent in order after a kill");
}
