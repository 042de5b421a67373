//! What is not possible says why, ends with the code that scripts act on, and loses nothing.

use subrosa_tests::report;

use super::scene::{Scene, shown};

#[test]
fn what_is_not_possible_says_why_and_changes_nothing() {
    let scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Ops", "--public", "--slug", "ops"]).ok();
    let long = "x".repeat(65);
    let refused: &[(&str, &[&str], i32, &str)] = &[
        ("bob", &["join", "nowhere"], 7, "no such"),
        ("bob", &["join", "NOT A SLUG"], 2, "slug"),
        ("bob", &["show", "nowhere"], 7, "no such"),
        ("bob", &["members", "#nowhere"], 7, "no room"),
        ("bob", &["leave", "#nowhere"], 7, "no room"),
        ("bob", &["kick", "#nowhere", "alice"], 7, "no room"),
        ("bob", &["create", "Mine", "--public", "--slug", "ops"], 5, "taken"),
        ("bob", &["create", "Mine", "--public", "--slug", "Ops!"], 2, "slug"),
        ("bob", &["create", &long, "--public"], 2, "too long"),
        ("bob", &["create", ""], 2, "name"),
        ("bob", &["create", "Mine", "--slug", "mine"], 2, "--public"),
        ("alice", &["rename", "#ops", &long], 2, "too long"),
        ("alice", &["join", "ops"], 5, "already"),
        ("alice", &["kick", "#ops", "bob"], 7, "not in"),
        ("alice", &["kick", "#ops", "NOBODY!"], 2, "name"),
        ("alice", &["invite", "#ops", "nobody_at_all"], 7, "nobody_at_all"),
        ("alice", &["unban", "#ops", "bob"], 7, "not banned"),
        ("alice", &["role", "#ops", "alice", "member"], 5, "without an owner"),
        ("alice", &["kick", "#ops", "alice"], 5, "own account"),
        ("alice", &["role", "#ops", "alice", "king"], 2, "king"),
        ("alice", &["history", "#ops", "--limit", "0"], 2, "limit"),
    ];
    for (name, args, code, words) in refused {
        let outcome = scene.room(name, args);
        assert_eq!(outcome.code, Some(*code), "{args:?}: {outcome:?}");
        outcome.says(words);
    }
    scene.who("bob").run(&["send", "#nowhere", "hello"]).code(7).says("no room");
    scene.who("alice").run(&["send", "#ops", ""]).code(2);
    assert_eq!(scene.members("alice", "#ops"), [("alice".to_owned(), "owner".to_owned())]);
    let known = scene.who("bob").run(&["ls", "rooms"]).ok();
    assert_eq!(known.lines()[0]["rooms"].as_array().unwrap().len(), 0, "{}", known.stdout);
    report::did(&format!("rooms: {} requests refused, each with its code and its words", refused.len() + 2));
}

#[test]
fn names_that_look_like_another_and_texts_that_are_too_long_are_refused() {
    let scene = Scene::of(&["alice", "bob"]);
    scene.room("alice", &["create", "Ops", "--public", "--slug", "ops-room"]).ok();
    let (long, longer) = ("x".repeat(513), "\u{e9}".repeat(129));
    let refused: &[(&str, &[&str], i32, &str)] = &[
        // A slug of the same skeleton.
        ("bob", &["create", "Mine", "--public", "--slug", "0ps-room"], 5, "taken"),
        ("bob", &["create", "Mine", "--public", "--slug", "opsr00m"], 5, "taken"),
        // Bytes count besides characters, and directions of writing are not for names.
        ("bob", &["create", &longer, "--public", "--slug", "mine"], 2, "too long"),
        ("bob", &["create", "Mine", "--public", "--description", &long], 2, "too long"),
        ("bob", &["create", "Mine", "--topic", &long], 2, "too long"),
        ("bob", &["create", "Mine", "--description", "only public ones have it"], 2, "--public"),
        ("alice", &["topic", "#ops-room", &long], 2, "too long"),
        ("alice", &["rename", "#ops-room", ""], 2, "name"),
        ("alice", &["rename", "#nowhere", "Ops"], 7, "no room"),
        ("alice", &["topic", "#nowhere", "x"], 7, "no room"),
        ("alice", &["history", "#nowhere"], 7, "no room"),
        ("alice", &["renew", "#nowhere"], 7, "no room"),
        ("alice", &["ban", "#nowhere", "bob"], 7, "no room"),
        ("alice", &["mute", "#ops-room", "bob"], 7, "not in"),
        ("alice", &["role", "#ops-room", "bob", "owner"], 7, "not in"),
        ("alice", &["react", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "+1"], 7, "no such message"),
        ("alice", &["pin", "no id"], 7, "no such message"),
        ("bob", &["topic", "#ops-room", "x"], 7, "no room"),
        ("bob", &["invite", "#ops-room", "alice"], 7, "no room"),
    ];
    for (name, args, code, words) in refused {
        let outcome = scene.room(name, args);
        assert_eq!(outcome.code, Some(*code), "{args:?}: {outcome:?}");
        outcome.says(words);
    }
    let room = shown(&scene.room("alice", &["show", "#ops-room"]).ok());
    assert_eq!((&room["name"], &room["topic"]), (&"Ops".into(), &"".into()));
    let listed = scene.room("bob", &["list"]).ok().lines()[0]["rooms"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let known = scene.who("bob").run(&["ls", "rooms"]).ok().lines()[0]["rooms"].clone();
    assert_eq!(known.as_array().unwrap().len(), 0, "{known}");
    // A slug that is made from a name is made unique.
    let made = shown(&scene.room("bob", &["create", "Ops Room", "--public"]).ok());
    assert_eq!(made["slug"], "ops-room-2");
    report::did(&format!("rooms: {} more requests refused, nothing made or changed", refused.len()));
}

#[test]
fn who_has_no_right_is_told_and_the_room_stays_as_it_was() {
    let scene = Scene::of(&["alice", "bob", "carol", "dave"]);
    scene.room("alice", &["create", "Ops", "--public", "--slug", "ops", "--topic", "calm"]).ok();
    for name in ["bob", "carol"] {
        scene.room(name, &["join", "ops"]).ok();
    }
    scene.room("alice", &["role", "#ops", "bob", "moderator"]).ok();
    let members = [("alice", "owner"), ("bob", "moderator"), ("carol", "member")];
    for name in ["alice", "bob", "carol"] {
        scene.sees(name, "#ops", &members);
    }
    let id = scene.says("alice", "#ops", "by the owner");
    for name in ["bob", "carol"] {
        assert_eq!(scene.hears(name)["text"], "by the owner");
    }
    let id = id.as_str();
    let refused: &[(&str, &[&str], &str)] = &[
        ("carol", &["kick", "#ops", "bob"], "no right"),
        ("carol", &["ban", "#ops", "bob"], "no right"),
        ("carol", &["ban", "#ops", "dave"], "no right"),
        ("carol", &["mute", "#ops", "bob"], "no right"),
        ("carol", &["topic", "#ops", "mine"], "no right"),
        ("carol", &["rename", "#ops", "Mine"], "no right"),
        ("carol", &["role", "#ops", "carol", "owner"], "no right"),
        ("carol", &["renew", "#ops"], "no right"),
        ("carol", &["pin", id], "no right"),
        ("carol", &["delete", id], "no right"),
        ("carol", &["edit", id, "by carol"], "writer"),
        ("bob", &["kick", "#ops", "alice"], "no right"),
        ("bob", &["ban", "#ops", "alice"], "no right"),
        ("bob", &["mute", "#ops", "alice"], "no right"),
        ("bob", &["rename", "#ops", "Bob's"], "no right"),
        ("bob", &["role", "#ops", "carol", "moderator"], "no right"),
        ("bob", &["role", "#ops", "bob", "owner"], "no right"),
        ("bob", &["renew", "#ops"], "no right"),
    ];
    for (name, args, words) in refused {
        let outcome = scene.room(name, args);
        assert_eq!(outcome.code, Some(5), "{args:?}: {outcome:?}");
        outcome.says(words);
    }
    for name in ["alice", "bob", "carol"] {
        assert_eq!(scene.members(name, "#ops").len(), 3, "{name}");
        let room = shown(&scene.room(name, &["show", "#ops"]).ok());
        assert_eq!((&room["name"], &room["topic"]), (&"Ops".into(), &"calm".into()), "{name}");
        assert_eq!(scene.history(name, "#ops"), ["by the owner"], "{name}");
    }
    scene.says("carol", "#ops", "and I may still write");
    assert_eq!(scene.hears("alice")["text"], "and I may still write");
    report::did(&format!("rooms: {} acts without the right refused, nobody sees a change", refused.len()));
}

#[test]
fn what_somebody_wrote_before_they_were_muted_banned_or_the_room_removed_is_not_lost() {
    let mut scene = Scene::of(&["alice", "bob", "carol"]);
    scene.room("alice", &["create", "Ops", "--public", "--slug", "ops"]).ok();
    for name in ["bob", "carol"] {
        scene.room(name, &["join", "ops"]).ok();
    }
    for name in ["bob", "carol"] {
        scene.says(name, "#ops", &format!("{name} is here"));
        assert_eq!(scene.hears("alice")["text"], format!("{name} is here"));
    }

    // Without a relay bob and carol write; before they are back they are muted and banned. What was on its way when the
    // connection broke may be accepted all the same: so they write once that was noticed.
    scene.world.relay.kill();
    for name in ["bob", "carol"] {
        scene.until(&format!("{name} is without a connection"), || {
            // Who asks the relay for something notices soon.
            scene.room(name, &["list", "--timeout", "1s"]);
            let status = scene.who(name).run(&["status"]).ok();
            assert!(status.stdout.contains("\"connection\":{"), "{}", status.stdout);
            !status.stdout.contains("\"state\":\"up\"")
        });
    }
    scene.who("bob").run(&["send", "#ops", "written while offline", "--wait", "queued"]).ok();
    scene.who("carol").run(&["send", "#ops", "written before the ban", "--wait", "queued"]).ok();
    let (alice, bob, carol) = (scene.goes("alice"), scene.goes("bob"), scene.goes("carol"));
    scene.world.restart_relay();
    scene.returns(alice);
    scene.room("alice", &["mute", "#ops", "bob"]).ok();
    scene.room("alice", &["ban", "#ops", "carol"]).ok();
    scene.returns(bob);
    scene.returns(carol);
    assert_eq!(scene.event("carol", "room.left")["by"], "alice");
    for (name, text, words) in
        [("bob", "written while offline", "muted"), ("carol", "written before the ban", "not in")]
    {
        scene.until(&format!("{name} sees what became of the text"), || {
            let history = scene.room(name, &["history", "#ops"]).ok().lines()[0]["messages"].clone();
            let line = history.as_array().unwrap().iter().find(|line| line["text"] == text).cloned();
            let line = line.unwrap_or_else(|| panic!("{name}: {text:?} is lost: {history}"));
            line["state"] == "failed" && line["reason"].as_str().unwrap().contains(words)
        });
        scene.who(name).run(&["send", "#ops", "again"]).code(5).says(words);
    }
    let texts = scene.history("alice", "#ops");
    for text in ["bob is here", "carol is here"] {
        assert!(texts.iter().any(|said| said == text), "{texts:?}");
    }
    assert_eq!(texts.len(), 2, "what was refused is seen by nobody: {texts:?}");

    // The operator removes the room: everybody keeps what was said, and hears that nothing more goes.
    scene.room("alice", &["mute", "#ops", "bob", "--undo"]).ok();
    let removed = std::process::Command::new(subrosa_tests::programs::program("rosad"))
        .args(["room", "remove", "ops", "--yes", "--data"])
        .arg(&scene.world.relay.data)
        .output()
        .unwrap();
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    for name in ["alice", "bob"] {
        scene.until(&format!("{name} is told that nothing goes"), || {
            let late = scene.who(name).run(&["send", "#ops", "late", "--timeout", "5s"]);
            assert!(matches!(late.code, Some(0 | 5)), "{late:?}");
            late.code != Some(0)
        });
        let texts = scene.history(name, "#ops");
        assert!(texts.iter().any(|said| said == "bob is here"), "{name}: {texts:?}");
        let changed = scene.room(name, &["topic", "#ops", "late", "--timeout", "5s"]);
        assert!(matches!(changed.code, Some(5 | 7 | 9)), "{changed:?}");
    }
    scene.room("carol", &["join", "ops"]).code(7).says("no such");
    report::did(
        "rooms: texts of somebody muted, somebody banned and in a removed room kept, with the reason",
    );
}
