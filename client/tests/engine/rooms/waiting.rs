//! What cannot be done yet is tried again after a while, and asks for little meanwhile.

use subrosa_client::{
    Request,
    api::{Kind, MessageKind, RoomState},
};
use subrosa_protocol::{RawFrame, frames::Request as Asked};

use super::id_of;
use crate::world::World;

impl World {
    /// How many requests about rooms, lookups included, a client has sent from a place on.
    fn asked_since(&mut self, handle: &str, from: usize) -> usize {
        let sent = &self.client(handle).sent;
        let asks = |frame: &&RawFrame| {
            let request = Asked::from_raw(frame);
            matches!(
                request,
                Ok(Asked::RoomShow(_)
                    | Asked::RoomLists(_)
                    | Asked::RoomSync(_)
                    | Asked::ObjectGet(_)
                    | Asked::RoomCommit(_)
                    | Asked::DeviceListFetch(_))
            )
        };
        sent[from..].iter().filter(asks).count()
    }
}

#[test]
fn who_joins_beside_somebody_who_has_left_waits_and_comes_in_with_the_next_commit() {
    for (seed, roster_only, leaver_known) in
        [(630, false, false), (631, true, false), (632, false, true), (633, true, true)]
    {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        if leaver_known {
            world.befriend("bob", "carol");
        }
        world.create_public("alice", "Lobby");
        world.join("bob", "lobby").unwrap();
        world.settle();
        world.relay.rooms.lists_of_roster = roster_only;
        world.disconnect("alice");
        world.leave("bob", "#lobby").unwrap();
        let from = world.client("carol").sent.len();
        let join = world.ask_later("carol", Request::RoomJoin { room: "lobby".into() });
        world.run_for(12_000);
        assert!(world.answer("carol", join).is_none(), "{seed}: it waits");
        let asked = world.asked_since("carol", from);
        assert!(asked < 60, "{seed}: {asked} requests in 12 s");
        world.connect("alice");
        world.run_for(9_000);
        let joined = world.answer("carol", join).expect("in as soon as he is taken out").unwrap();
        assert_eq!(joined_state(&joined), Some(RoomState::Joined), "{seed}");
        world.run_for(30_000);
        world.agree(&["alice", "carol"], "#lobby");
        assert_eq!(world.members("carol", "#lobby").len(), 2);
    }
}

fn joined_state(reply: &subrosa_client::Reply) -> Option<RoomState> {
    match reply {
        subrosa_client::Reply::Room { room } => room.state,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_join_that_nobody_makes_possible_ends_after_30_seconds_with_few_requests() {
    let mut world = World::with_rooms(634, &["alice", "bob", "carol"]);
    world.create_public("alice", "Lobby");
    world.join("bob", "lobby").unwrap();
    world.settle();
    world.disconnect("alice");
    world.leave("bob", "#lobby").unwrap();
    for hidden in [false, true] {
        world.relay.rooms.lists_of_nobody = hidden;
        let from = world.client("carol").sent.len();
        let join = world.ask_later("carol", Request::RoomJoin { room: "lobby".into() });
        world.run_for(31_000);
        let error = world.answer("carol", join).expect("it is given up").unwrap_err();
        assert_eq!(error.kind, Kind::Refused, "{error:?}");
        assert!(error.message.contains("nobody is there to take out who left"), "{error:?}");
        let asked = world.asked_since("carol", from);
        assert!(asked < 130, "{asked} requests in 30 s");
        let from = world.client("carol").sent.len();
        world.run_for(60_000);
        assert_eq!(world.asked_since("carol", from), 0, "it is over");
    }
}

#[test]
fn what_somebody_did_who_has_left_since_is_read_by_who_was_away() {
    for (seed, roster_only) in [(635, false), (636, true)] {
        let mut world = World::with_rooms(seed, &["alice", "bob", "carol"]);
        world.create_public("alice", "Lobby");
        world.join("bob", "lobby").unwrap();
        world.settle();
        world.disconnect("alice");
        world.join("carol", "lobby").unwrap();
        world.settle();
        world.send("carol", "#lobby", "hello");
        world.settle();
        world.leave("carol", "#lobby").unwrap();
        world.run_for(30_000);
        world.relay.rooms.lists_of_roster = roster_only;
        world.connect("alice");
        world.run_for(30_000);
        world.agree(&["alice", "bob"], "#lobby");
        assert_eq!(world.texts("alice", "#lobby"), ["hello"], "{seed}");
    }
}

#[test]
fn a_list_that_is_not_to_be_had_is_asked_for_a_few_times_and_then_it_is_told() {
    let mut world = World::with_rooms(637, &["alice", "bob", "carol"]);
    let room = id_of(&world.create_public("alice", "Lobby"));
    world.join("bob", "lobby").unwrap();
    world.settle();
    world.disconnect("bob");
    world.join("carol", "lobby").unwrap();
    world.settle();
    world.relay.rooms.lists_of_nobody = true;
    world.relay.lists.remove("carol");
    let from = world.client("bob").sent.len();
    world.connect("bob");
    world.run_for(200_000);
    let asked = world.asked_since("bob", from);
    assert!(asked < 60, "{asked} requests");
    let refused = |kind: &MessageKind| matches!(kind, MessageKind::CommitRefused { .. });
    assert!(world.notices("bob", "#lobby").iter().any(refused));
    // An owner renews the room.
    world.run_for(60_000);
    assert_eq!(world.relay.rooms.rooms[&room].generation, 1);
}

#[test]
fn a_join_that_another_change_overtakes_is_made_again_at_once() {
    let mut overtaken = 0;
    for steps in 0..16 {
        let mut world = World::with_rooms(634, &["alice", "bob"]);
        world.create_public("alice", "Lobby");
        world.settle();
        let join = world.ask_later("bob", Request::RoomJoin { room: "lobby".into() });
        for _ in 0..steps {
            world.step_of("bob");
        }
        let lost = world.relay.rooms.lost;
        world.ask_later("alice", Request::RoomTopic { room: "#lobby".into(), topic: "news".into() });
        world.run_for(4_000);
        overtaken += world.relay.rooms.lost - lost;
        let joined =
            world.answer("bob", join).unwrap_or_else(|| panic!("{steps}: not in after 4 s")).unwrap();
        assert_eq!(joined_state(&joined), Some(RoomState::Joined), "{steps}");
        world.run_for(4_000);
        world.agree(&["alice", "bob"], "#lobby");
    }
    assert!(overtaken > 0, "nobody was overtaken");
}
