//! What people do in a private and in a public room.

use serde_json::Value;
use subrosa_tests::{Outcome, report};

use super::scene::{Scene, shown};

#[test]
fn r30_three_people_in_a_private_room() {
    let scene = Scene::of(&["alice", "bob", "carol"]);
    let room = shown(&scene.room("alice", &["create", "Ops", "--topic", "on call"]).ok());
    assert_eq!(
        (&room["chat"], &room["role"], &room["visibility"]),
        (&"#ops".into(), &"owner".into(), &"private".into())
    );
    assert_eq!(room["suite"], "MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519");
    assert_eq!(room["slug"], Value::Null);

    // Nobody finds it, and nobody gets in without being asked.
    let listed = scene.room("carol", &["list"]).ok();
    assert_eq!(listed.lines()[0]["rooms"].as_array().unwrap().len(), 0);
    scene.room("carol", &["join", room["id"].as_str().unwrap()]).code(7).says("no such");

    scene.bring("alice", "#ops", "bob");
    scene.bring("alice", "#ops", "carol");
    let all = [("alice", "owner"), ("bob", "member"), ("carol", "member")];
    for name in ["alice", "bob", "carol"] {
        scene.sees(name, "#ops", &all);
    }
    let room = shown(&scene.room("carol", &["show", "#ops"]).ok());
    assert_eq!((&room["name"], &room["topic"]), (&"Ops".into(), &"on call".into()));

    // A text, and an answer to it.
    let id = scene.says("bob", "#ops", "is the relay up?");
    for name in ["alice", "carol"] {
        let heard = scene.hears(name);
        assert_eq!(
            (&heard["text"], &heard["chat"], &heard["from"]),
            (&"is the relay up?".into(), &"#ops".into(), &"bob".into())
        );
        assert_eq!(heard["id"], id.as_str());
    }
    scene.who("carol").run(&["send", "#ops", "it is", "--reply", &id]).ok();
    for name in ["alice", "bob"] {
        assert_eq!(scene.hears(name)["reply_to"], id.as_str());
    }
    let history = scene.room("alice", &["history", "#ops", "--limit", "1"]).ok();
    assert_eq!(history.lines()[0]["messages"][0]["text"], "it is");

    // Changed, answered with a sign, pinned, taken back.
    scene.room("bob", &["edit", &id, "is the relay up now?"]).ok();
    assert_eq!(scene.event("alice", "message.edited")["text"], "is the relay up now?");
    scene.room("carol", &["react", &id, "+1"]).ok();
    let sign = scene.event("bob", "reaction.added");
    assert_eq!(
        (&sign["id"], &sign["by"], &sign["sign"]),
        (&id.as_str().into(), &"carol".into(), &"+1".into())
    );
    scene.room("bob", &["pin", &id]).code(5).says("no right");
    scene.room("alice", &["pin", &id]).ok();
    scene.event("carol", "message.pinned");
    let shown_to_bob = scene.who("bob").run(&["show", &id]).ok().lines()[0]["message"].clone();
    assert_eq!(
        (&shown_to_bob["edited"], &shown_to_bob["reactions"][0]["by"][0]),
        (&true.into(), &"carol".into())
    );
    scene.room("carol", &["edit", &id, "mine"]).code(5).says("writer");
    scene.room("bob", &["delete", &id]).ok();
    assert_eq!(scene.event("carol", "message.deleted")["by"], "bob");

    // Topic and name reach all; only owners rename.
    scene.room("bob", &["rename", "#ops", "Bob's"]).code(5).says("no right");
    scene.room("alice", &["rename", "#ops", "Night shift"]).ok();
    scene.at_last(0, || {
        let outcome = scene.room("bob", &["show", "#ops"]);
        let renamed = outcome.code == Some(0) && shown(&outcome)["name"] == "Night shift";
        Outcome { code: Some(i32::from(!renamed)), ..outcome }
    });

    // Who is removed hears it, and reads and writes nothing more.
    scene.room("alice", &["kick", "#ops", "bob"]).ok();
    assert_eq!(scene.event("bob", "room.left")["by"], "alice");
    scene.who("bob").run(&["send", "#ops", "let me in"]).code(5).says("not in");
    scene.says("alice", "#ops", "bob is gone");
    assert_eq!(scene.hears("carol")["text"], "bob is gone");
    let heard = scene.who("bob").run(&["recv", "--filter", "message.received", "--timeout", "2s"]);
    assert!(!heard.stdout.contains("bob is gone"), "{}", heard.stdout);

    // Who leaves is taken out by whoever stays, who goes on.
    scene.room("carol", &["leave", "#ops"]).ok();
    scene.sees("alice", "#ops", &[("alice", "owner")]);
    scene.says("alice", "#ops", "alone");
    scene.room("carol", &["members", "#ops"]).code(5).says("not in");
    report::did("rooms: a private room of three, by its verbs");
}

#[test]
fn r30_a_public_room_and_its_moderators() {
    let scene = Scene::of(&["alice", "bob", "carol"]);
    let make = ["create", "Rust Club", "--public", "--slug", "rust", "--description", "all about it"];
    let room = shown(&scene.room("alice", &make).ok());
    assert_eq!((&room["slug"], &room["visibility"]), (&"rust".into(), &"public".into()));
    let listed = scene.room("bob", &["list", "ru"]).ok().lines()[0]["rooms"].clone();
    assert_eq!((&listed[0]["slug"], &listed[0]["name"]), (&"rust".into(), &"Rust Club".into()));
    for name in ["bob", "carol"] {
        let joined = shown(&scene.room(name, &["join", "rust"]).ok());
        assert_eq!((&joined["state"], &joined["role"]), (&"joined".into(), &"member".into()));
    }
    scene.says("bob", "#rust", "hello");
    assert_eq!(scene.hears("carol")["text"], "hello");

    // Roles, and what they may do.
    scene.room("carol", &["role", "#rust", "bob", "owner"]).code(5).says("no right");
    scene.room("alice", &["role", "#rust", "bob", "moderator"]).ok();
    scene.sees("bob", "#rust", &[("alice", "owner"), ("bob", "moderator"), ("carol", "member")]);
    scene.room("bob", &["kick", "#rust", "alice"]).code(5).says("no right");
    scene.room("bob", &["topic", "#rust", "borrowing"]).ok();

    // Muted: it says so, and nothing reaches anybody.
    scene.room("bob", &["mute", "#rust", "carol"]).ok();
    scene.at_last(5, || scene.who("carol").run(&["send", "#rust", "hm"])).says("muted");
    scene.room("bob", &["mute", "#rust", "carol", "--undo"]).ok();
    scene.at_last(0, || scene.who("carol").run(&["send", "#rust", "thanks"]));

    // Banned: out, and not in again before the ban is lifted.
    scene.room("bob", &["ban", "#rust", "carol"]).ok();
    assert_eq!(scene.event("carol", "room.left")["by"], "bob");
    scene.room("carol", &["join", "rust"]).code(5).says("banned");
    scene.room("bob", &["invite", "#rust", "carol"]).code(5).says("banned");
    scene.room("bob", &["unban", "#rust", "carol"]).ok();
    scene.room("carol", &["join", "rust"]).ok();
    scene.sees("alice", "#rust", &[("alice", "owner"), ("bob", "moderator"), ("carol", "member")]);

    // The last one out ends it.
    for name in ["carol", "bob", "alice"] {
        // Those who stay take out who left: such a change may be on its way.
        scene.at_last(0, || scene.room(name, &["leave", "#rust"]));
    }
    scene.at_last(7, || scene.room("carol", &["join", "rust"])).says("no such");
    scene.room("bob", &["create", "Rust again", "--public", "--slug", "rust"]).ok();
    report::did("rooms: a public room of three, roles, mutes, bans, its end");
}
