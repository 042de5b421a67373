//! What people are told of rooms, and what they may write where.

use subrosa_tests::report;

use super::scene::{Scene, shown};

#[test]
fn a_topic_is_shown_set_and_removed_and_a_sign_may_begin_with_a_hyphen() {
    let scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Ops", "--topic", "calm"]).ok();
    // Asked for, it stays.
    for _ in 0..2 {
        assert_eq!(shown(&scene.room("alice", &["topic", "ops"]).ok())["topic"], "calm");
    }
    scene.room("alice", &["topic", "#ops", "busy"]).ok();
    assert_eq!(shown(&scene.room("alice", &["topic", "#ops"]).ok())["topic"], "busy");
    scene.room("alice", &["topic", "#ops", "--none"]).ok();
    assert_eq!(shown(&scene.room("alice", &["topic", "#ops"]).ok())["topic"], "");
    scene.room("alice", &["topic", "#ops", "busy", "--none"]).code(2);
    scene.room("bob", &["topic", "#ops"]).code(7).says("no room");

    let id = scene.says("alice", "#ops", "who is there?");
    for sign in ["-1", "-_-"] {
        let outcome = scene.room("alice", &["react", &id, sign]).ok();
        assert!(outcome.stdout.contains(sign), "{}", outcome.stdout);
        scene.room("alice", &["react", &id, sign, "--undo"]).ok();
    }
    report::did("rooms: a topic asked for, set and removed; 2 signs that begin with a hyphen");
}

#[test]
fn rooms_are_called_by_what_they_are_named_in_any_script() {
    let scene = Scene::of(&["alice", "bob"]);
    for (name, label) in [("Кухня", "#кухня"), ("X", "#x"), ("台所", "#台所"), ("о\u{202e}ps", "#room")]
    {
        let made = scene.room("alice", &["create", name]);
        if label == "#room" {
            // Refused for its name, or called by nothing of it.
            assert!(made.code == Some(2) || shown(&made)["chat"] == label, "{made:?}");
        } else {
            assert_eq!(shown(&made.ok())["chat"], label);
        }
    }
    scene.bring("alice", "#кухня", "bob");
    scene.says("bob", "#кухня", "чай?");
    assert_eq!(scene.hears("alice")["chat"], "#кухня");
    // One that only looks like another is told apart from it.
    scene.room("alice", &["create", "сор"]).ok();
    let latin = shown(&scene.room("alice", &["create", "cop"]).ok());
    assert_eq!(latin["chat"], "#cop-2");
    report::did("rooms: labels in 3 scripts, and one that looks like another");
}

#[test]
fn who_was_cut_off_from_a_private_room_is_told_so_when_joining_and_comes_in_by_another_invitation() {
    let mut scene = Scene::limited("room_entries = 16\n", &["alice", "bob"]);
    scene.room("alice", &["create", "Ops"]).ok();
    scene.bring("alice", "#ops", "bob");
    let bob = scene.goes("bob");
    for n in 0..40 {
        scene.says("alice", "#ops", &format!("text {n}"));
    }
    scene.returns(bob);
    scene.event("bob", "room.cut_off");
    let refused = scene.room("bob", &["join", "#ops"]).code(5);
    refused.says("cut off").says("another invitation");
    scene.sees("alice", "#ops", &[("alice", "owner")]);
    scene.bring("alice", "#ops", "bob");
    scene.says("bob", "#ops", "here again");
    assert_eq!(scene.hears("alice")["text"], "here again");
    report::did("rooms: a device cut off from a private room, told so, and in it again");
}

#[test]
fn two_owners_who_take_each_others_role_are_told_what_became_of_it() {
    let scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Ops"]).ok();
    scene.bring("alice", "#ops", "bob");
    scene.room("alice", &["role", "#ops", "bob", "owner"]).ok();
    scene.sees("bob", "#ops", &[("alice", "owner"), ("bob", "owner")]);
    let (alice, bob) = std::thread::scope(|threads| {
        let alice = threads.spawn(|| scene.room("alice", &["role", "#ops", "bob", "member"]));
        let bob = threads.spawn(|| scene.room("bob", &["role", "#ops", "alice", "member"]));
        (alice.join().unwrap(), bob.join().unwrap())
    });
    let (done, refused) = if alice.code == Some(0) { (alice, bob) } else { (bob, alice) };
    assert_eq!((done.code, refused.code), (Some(0), Some(5)), "{done:?} {refused:?}");
    assert!(!refused.stderr.contains("not valid"), "{refused:?}");
    refused.says("owner");
    let owners = |name: &str| {
        let members = scene.members(name, "#ops");
        members.iter().filter(|(_, role)| role == "owner").count()
    };
    for name in ["alice", "bob"] {
        scene.until("one owner is left", || owners(name) == 1);
    }
    report::did("rooms: two owners who demoted each other at once; one is left");
}

#[test]
fn r33_who_joins_a_public_room_sees_that_they_did_each_time() {
    let scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Rust", "--public"]).ok();
    let lines = |name: &str| {
        let outcome = scene.room(name, &["history", "#rust"]).ok();
        let messages = outcome.lines()[0]["messages"].as_array().unwrap().clone();
        let by_bob = messages.iter().filter(|line| line["from"] == "bob");
        by_bob.map(|line| line["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    scene.room("bob", &["join", "rust"]).ok();
    assert_eq!(lines("bob"), ["member_joined"]);
    scene.room("bob", &["leave", "#rust"]).ok();
    scene.sees("alice", "#rust", &[("alice", "owner")]);
    scene.room("bob", &["join", "#rust"]).ok();
    let all = ["member_joined", "member_left", "member_joined"];
    assert_eq!(lines("bob"), all);
    scene.until("alice sees the same", || lines("alice") == all);
    report::did("rooms: somebody in a public room twice, the same lines on both sides");
}

#[test]
fn a_slug_that_is_taken_says_so_once() {
    let scene = Scene::of(&["alice"]);
    scene.room("alice", &["create", "Ops", "--public", "--slug", "ops"]).ok();
    let taken = scene.room("alice", &["create", "Mine", "--public", "--slug", "0ps"]).code(5);
    assert_eq!(taken.stderr.matches("taken").count(), 1, "{}", taken.stderr);
}
