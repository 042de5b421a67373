//! Devices that have no KeyPackages when they are to be added, and relays that give none for a while.

use subrosa_client::api::{Kind, RoomState};
use subrosa_protocol::{ErrorCode, frames::ErrorFrame};

use crate::world::World;

fn refusal(code: ErrorCode, retry_after_ms: Option<u64>) -> ErrorFrame {
    ErrorFrame { retry_after_ms, ..ErrorFrame::new(code, "") }
}

#[test]
fn a_new_device_of_somebody_in_many_rooms_gets_into_all_of_them() {
    let mut world = World::with_rooms(620, &["alice"]);
    let chats: Vec<String> =
        (0..8).map(|number| world.create_private("alice", &format!("Room {number}")).chat).collect();
    // It has no KeyPackages at first, and the relay has enough of the questions.
    world.relay.rooms.open = false;
    world.relay.rooms.opened.insert(("alice".into(), 1));
    world.login("alice", "alice2");
    world.settle();
    let asked = world.relay.rooms.claims;
    assert!((1..=3).contains(&asked), "{asked} claims for eight rooms");
    let frame = refusal(ErrorCode::RateLimited, Some(120_000));
    world.relay.rooms.claims_refused = Some((2, frame));
    world.run_for(40_000);
    world.relay.rooms.opened.insert(("alice".into(), 2));
    world.disconnect("alice2");
    world.connect("alice2");
    world.run_for(10 * 60_000);
    for chat in &chats {
        assert_eq!(world.shown("alice2", chat).state, Some(RoomState::Joined), "{chat}");
        world.agree(&["alice", "alice2"], chat);
    }
    // One for each room, and a few that were in vain.
    let claims = world.relay.rooms.claims;
    assert!(claims <= 8 + 6, "{claims} claims");
}

#[test]
fn r37_an_invitation_waits_for_the_relay_or_says_why_not() {
    let mut world = World::with_rooms(621, &["alice", "bob"]);
    world.create_private("alice", "ops");
    world.relay.rooms.claims_refused = Some((1, refusal(ErrorCode::RateLimited, Some(10_000))));
    let request = subrosa_client::Request::RoomInvite { room: "#ops".into(), name: "bob".into() };
    let token = world.ask_later("alice", request.clone());
    world.run_for(15_000);
    world.answer("alice", token).expect("answered").unwrap();
    world.kick("alice", "#ops", "bob").unwrap();
    // Longer than a person waits: told at once.
    world.relay.rooms.claims_refused = Some((1, refusal(ErrorCode::RateLimited, Some(600_000))));
    let error = world.ask("alice", request.clone()).unwrap_err();
    assert_eq!((error.kind, error.retry_after_ms), (Kind::RateLimited, Some(600_000)), "{error:?}");
    // Who is not there is not waited for.
    world.run_for(700_000);
    world.relay.rooms.claims_refused = Some((1, refusal(ErrorCode::NotFound, None)));
    assert_eq!(world.ask("alice", request).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn a_device_without_key_packages_is_invited_when_it_has_some() {
    let mut world = World::with_rooms(622, &["alice", "bob"]);
    world.befriend("alice", "bob");
    world.create_private("alice", "ops");
    world.relay.rooms.open = false;
    world.disconnect("bob");
    world.login("bob", "bob2");
    world.settle();
    world.send("bob2", "alice", "I have another one now");
    world.settle();
    world.invite("alice", "#ops", "bob").unwrap();
    assert_eq!(world.members("alice", "#ops")[1].devices, [1], "the other one has none");
    world.run_for(30_000);
    world.relay.rooms.opened.insert(("bob".into(), 2));
    world.disconnect("bob2");
    world.connect("bob2");
    world.run_for(3 * 60_000);
    assert_eq!(world.members("alice", "#ops")[1].devices, [1, 2]);
    world.join("bob2", "#ops").unwrap();
    world.run_for(60_000);
    world.agree(&["alice", "bob2"], "#ops");
    // One that never has any is not looked for without end.
    world.login("bob", "bob3");
    world.run_for(3 * 60_000);
    let before = world.relay.rooms.claims;
    world.run_for(24 * 60 * 60_000);
    let claims = world.relay.rooms.claims - before;
    assert!(claims < 40, "{claims} claims in a day");
}
