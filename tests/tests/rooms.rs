//! Rooms with real programs: `rosa room …` as people and scripts use it, three people and a relay, and what the verbs say
//! when something is not possible.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use serde_json::Value;
use subrosa_tests::{Outcome, Person, World, person::Daemon, relay::RelayOptions, report, world::FAST};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// People of one relay, each with a running daemon.
struct Scene {
    people: Vec<(Person, Daemon)>,
    world: World,
}

impl Scene {
    fn of(names: &[&str]) -> Self {
        let world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
        let people = names
            .iter()
            .map(|name| {
                let person = world.joined(name);
                let daemon = person.daemon();
                (person, daemon)
            })
            .collect();
        Self { people, world }
    }

    fn who(&self, name: &str) -> &Person {
        &self.people.iter().find(|(person, _)| person.name == name).unwrap().0
    }

    /// `rosa room …` of somebody.
    fn room(&self, name: &str, args: &[&str]) -> Outcome {
        self.who(name).run(&[&["room"], args].concat())
    }

    /// Waits for an event and returns its data. Events before it are acknowledged.
    fn event(&self, name: &str, event: &str) -> Value {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let heard = self.who(name).run(&["recv", "--filter", event, "--max", "1", "--timeout", "10s"]);
            if heard.code == Some(0) {
                return heard.lines()[0]["data"].clone();
            }
        }
        panic!("{name} never hears {event}");
    }

    /// The next text that reaches somebody.
    fn hears(&self, name: &str) -> Value {
        self.event(name, "message.received")
    }

    fn says(&self, name: &str, room: &str, text: &str) -> String {
        let sent = self.who(name).run(&["send", room, text]).ok();
        sent.lines()[0]["results"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Adds somebody, as soon as their device has published what it is added with.
    fn invite(&self, by: &str, room: &str, name: &str) {
        let began = Instant::now();
        loop {
            let outcome = self.room(by, &["invite", room, name]);
            if outcome.code == Some(0) {
                break;
            }
            let early = outcome.code == Some(5) && outcome.stderr.contains("cannot be added");
            assert!(early && began.elapsed() < PATIENCE, "{outcome:?}");
        }
    }

    /// Invites somebody, who accepts.
    fn bring(&self, by: &str, room: &str, name: &str) {
        self.invite(by, room, name);
        let invited = self.event(name, "room.invited");
        assert_eq!(invited["by"], by);
        self.room(name, &["join", invited["chat"].as_str().unwrap()]).ok();
    }

    fn members(&self, name: &str, room: &str) -> Vec<(String, String)> {
        let outcome = self.room(name, &["members", room]).ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = outcome.lines()[0]["members"].as_array().unwrap().clone();
        members.iter().map(|member| (text(&member["name"]), text(&member["role"]))).collect()
    }

    /// Waits until somebody sees these members.
    fn sees(&self, name: &str, room: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, role)| ((*name).to_owned(), (*role).to_owned())).collect();
        let began = Instant::now();
        loop {
            let seen = self.members(name, room);
            if seen == expected {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{name} sees {seen:?}, not {expected:?}");
        }
    }

    /// Waits until a verb ends with this code.
    fn at_last(&self, code: i32, what: impl Fn() -> Outcome) -> Outcome {
        let began = Instant::now();
        loop {
            let outcome = what();
            if outcome.code == Some(code) {
                return outcome;
            }
            assert!(began.elapsed() < PATIENCE, "{outcome:?}");
        }
    }
}

fn shown(outcome: &Outcome) -> Value {
    outcome.lines()[0]["room"].clone()
}

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
        ("alice", &["role", "#ops", "alice", "member"], 5, "own account"),
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
