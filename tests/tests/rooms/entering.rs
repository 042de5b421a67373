//! Who comes into rooms without doing anything for it: new accounts into the lobby, and somebody who has only just joined
//! the relay by a script.

use subrosa_tests::report;

use super::scene::{Scene, shown};

#[test]
fn new_accounts_are_in_the_lobby_that_the_relay_names() {
    // Whoever makes it has an account before it is there.
    let mut scene = Scene::configured("lobby = \"lobby\"\n", &["alice"]);
    scene.room("alice", &["create", "Lobby", "--public", "--slug", "lobby"]).ok();
    scene.comes("bob");
    assert_eq!(scene.event("bob", "room.joined")["chat"], "#lobby");
    let added = scene.event("alice", "room.member_added");
    assert_eq!((&added["name"], &added["by"]), (&"bob".into(), &"bob".into()));
    let room = shown(&scene.room("bob", &["show", "#lobby"]).ok());
    assert_eq!((&room["state"], &room["role"]), (&"joined".into(), &"member".into()));
    scene.says("bob", "#lobby", "is anybody here?");
    assert_eq!(scene.hears("alice")["text"], "is anybody here?");

    // Who leaves stays out, whatever is started again.
    scene.room("bob", &["leave", "#lobby"]).ok();
    let bob = scene.goes("bob");
    scene.returns(bob);
    scene.sees("alice", "#lobby", &[("alice", "owner")]);
    scene.who("bob").run(&["recv"]).ok();
    assert_eq!(shown(&scene.room("bob", &["show", "#lobby"]).ok())["state"], "left");

    // The next one is in it again, also by scripts alone, of which the first one ends at once.
    let carol = scene.world.joined("carol");
    carol.run(&["send", "#lobby", "too early", "--timeout", "100ms"]);
    carol.run(&["recv", "--filter", "room.joined", "--max", "1", "--timeout", "50s"]).ok();
    carol.run(&["send", "#lobby", "hello from a script"]).ok();
    assert_eq!(scene.hears("alice")["text"], "hello from a script");
    scene.sees("alice", "#lobby", &[("alice", "owner"), ("carol", "member")]);
    report::did("rooms: 2 accounts in the lobby by themselves, one of them by scripts alone");
}

#[test]
fn a_lobby_that_nobody_made_hinders_nobody() {
    let scene = Scene::configured("lobby = \"lobby\"\n", &["alice", "bob"]);
    scene.room("alice", &["create", "Ops"]).ok();
    scene.bring("alice", "#ops", "bob");
    scene.says("bob", "#ops", "hello");
    assert_eq!(scene.hears("alice")["text"], "hello");
    let rooms = scene.who("bob").run(&["ls", "rooms"]).ok().lines()[0]["rooms"].clone();
    assert_eq!(rooms.as_array().unwrap().len(), 1, "{rooms}");
}

#[test]
fn somebody_who_joined_the_relay_by_a_script_a_moment_ago_can_be_invited() {
    let scene = Scene::of(&["alice"]);
    scene.room("alice", &["create", "Ops"]).ok();
    // No daemon, and no connection after `rosa join`.
    let bob = scene.world.joined("bob");
    scene.room("alice", &["invite", "#ops", "bob"]).ok();
    bob.run(&["recv", "--filter", "room.invited", "--max", "1", "--timeout", "50s"]).ok();
    bob.run(&["room", "join", "#ops"]).ok();
    scene.sees("alice", "#ops", &[("alice", "owner"), ("bob", "member")]);
    bob.run(&["send", "#ops", "here already"]).ok();
    assert_eq!(scene.hears("alice")["text"], "here already");
    report::did("rooms: somebody invited right after a scripted join");
}
