//! The leaves of a member follow its device list, also when none of its own devices is there to see to it (R23, R33).

use subrosa_client::{
    Request,
    api::{EventBody, EventKind, MessageKind, Role, RoomState},
};
use subrosa_crypto::verify::device_list::DeviceList;

use crate::{relay_rooms::device_of, world::World};

impl World {
    /// A device goes from its account's list, without having been told.
    fn unlist(&mut self, handle: &str) {
        let (account, number) = self.clients[handle].place.clone();
        let before = self.relay.newest(&account).unwrap();
        let mut next = DeviceList { version: before.version + 1, prev_hash: before.hash(), ..before };
        next.devices.retain(|entry| entry.device_id != number);
        let signed = self.clients[handle].account.sign_device_list(&next).unwrap();
        let pushes = self.relay.publish(&account, signed);
        self.push(pushes);
    }

    fn devices(&mut self, handle: &str, of: &str) -> Vec<u32> {
        let member = self.members(handle, "#ops").into_iter().find(|member| member.name == of);
        member.map(|member| member.devices).unwrap_or_default()
    }
}

#[test]
fn r23_whose_only_device_became_a_new_one_is_in_the_room_again() {
    let mut world = World::with_rooms(820, &["alice", "bob", "carol", "dave"]);
    world.gather(&["alice", "bob", "carol", "dave"]);
    world.befriend("carol", "bob");
    // Bob's profile is found to be an old copy: it logs in as another device, and the old one is taken off the list.
    world.crash("bob");
    world.login("bob", "bob2");
    world.unlist("bob");
    world.settle();
    world.send("bob2", "carol", "I had to begin anew");
    world.run_for(10 * 60_000);
    assert_eq!(world.shown("bob2", "#ops").state, Some(RoomState::Invited), "its person is asked");
    world.join("bob2", "#ops").unwrap();
    world.run_for(60_000);
    for who in ["alice", "carol", "dave"] {
        assert_eq!(world.devices(who, "bob"), [2], "{who}");
        let lines = world.notices(who, "#ops");
        assert!(!lines.contains(&MessageKind::MemberRemoved { name: "bob".into() }), "{who}");
        assert!(world.told(who, EventKind::RoomRefused).is_empty(), "{who}");
    }
    world.agree(&["alice", "bob2", "carol", "dave"], "#ops");
    world.send("bob2", "#ops", "it is me");
    world.settle();
    world.send("dave", "#ops", "we know");
    world.settle();
    for who in ["alice", "bob2", "carol", "dave"] {
        assert_eq!(world.texts(who, "#ops"), ["it is me", "we know"], "{who}");
    }
}

#[test]
fn r33_a_device_that_is_listed_later_comes_in_while_the_accounts_others_are_away() {
    let mut world = World::with_rooms(821, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.befriend("alice", "bob");
    world.disconnect("bob");
    world.login("bob", "bob2");
    world.settle();
    world.send("bob2", "alice", "hello from here");
    world.run_for(10 * 60_000);
    assert_eq!(world.devices("alice", "bob"), [1, 2]);
    world.join("bob2", "#ops").unwrap();
    world.run_for(60_000);
    world.agree(&["alice", "bob2", "carol"], "#ops");
    // An own device that is there does it at once, and the others find nothing left to do.
    world.connect("bob");
    world.settle();
    let before = world.relay.rooms.commits;
    world.login("bob", "bob3");
    world.send("bob3", "alice", "and from here");
    world.run_for(10 * 60_000);
    world.agree(&["alice", "bob", "bob2", "bob3", "carol"], "#ops");
    let commits = world.relay.rooms.commits - before;
    assert!(commits <= 2, "{commits} commits: one adds it, one renews its leaf");
}

#[test]
fn r33_a_device_that_is_listed_no_more_goes_and_its_person_may_still_come_back() {
    let mut world = World::with_rooms(822, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.befriend("carol", "bob");
    world.login("bob", "bob2");
    world.run_for(60_000);
    world.agree(&["alice", "bob", "bob2", "carol"], "#ops");
    // The account's devices are all away when the stolen one is taken off the list.
    world.disconnect("bob");
    world.disconnect("bob2");
    world.unlist("bob2");
    world.settle();
    world.send("carol", "bob", "are you there?");
    world.run_for(10 * 60_000);
    for who in ["alice", "carol"] {
        assert_eq!(world.devices(who, "bob"), [1], "{who}");
        assert!(world.told(who, EventKind::RoomRefused).is_empty(), "{who}");
    }
    world.connect("bob");
    world.run_for(60_000);
    world.agree(&["alice", "bob", "carol"], "#ops");
    // Who asks for a change meanwhile does not wait for any of this.
    let topic = Request::RoomTopic { room: "#ops".into(), topic: "at once".into() };
    assert!(world.room("alice", topic).is_ok());
}

#[test]
fn what_a_device_wrote_that_was_signed_out_since_is_told_as_missing() {
    let mut world = World::with_rooms(823, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.befriend("carol", "bob");
    // Bob writes with a device that he signs out then, and Carol hears of that before she reads the room's log.
    world.disconnect("carol");
    world.disconnect("alice");
    world.send("bob", "#ops", "one");
    world.send("bob", "#ops", "two");
    world.settle();
    world.login("bob", "bob2");
    world.unlist("bob");
    world.settle();
    let room = super::id_of(&world.shown("bob", "#ops"));
    let carol = (room, device_of(&world.clients["carol"].place));
    world.relay.rooms.denied.insert(carol.clone());
    world.connect("carol");
    world.send("bob2", "carol", "my other device is gone");
    world.settle();
    world.relay.rooms.denied.remove(&carol);
    world.run_for(10 * 60_000);
    assert_eq!(world.texts("carol", "#ops"), [""; 0], "whoever has that device now may have written it");
    assert!(world.notices("carol", "#ops").contains(&MessageKind::Missing { count: 2 }), "one line for both");
    let told = world.told("carol", EventKind::MessageMissing);
    assert!(
        matches!(&told[..], [EventBody::MessageMissing { from, device: 1, count: 1, .. }, _] if from == "bob")
    );
    assert_eq!(world.texts("bob", "#ops"), ["one", "two"]);
}

#[test]
fn r31_what_a_device_did_that_was_signed_out_since_is_followed() {
    let mut world = World::with_rooms(824, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    let role = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Moderator };
    world.room("alice", role).unwrap();
    world.settle();
    // While Carol is away, a second device of Bob's comes in, changes the room, and is signed out.
    world.disconnect("carol");
    world.login("bob", "bob2");
    world.run_for(60_000);
    assert_eq!(world.devices("alice", "bob"), [1, 2]);
    world.room("bob2", Request::RoomTopic { room: "#ops".into(), topic: "from the new one".into() }).unwrap();
    world.settle();
    world.unlist("bob2");
    world.disconnect("bob2");
    world.send("bob", "alice", "my other device is gone");
    world.run_for(10 * 60_000);
    assert_eq!(world.devices("alice", "bob"), [1], "its leaf went");
    world.connect("carol");
    world.run_for(10 * 60_000);
    for who in ["alice", "bob", "carol"] {
        assert!(world.told(who, EventKind::RoomRefused).is_empty(), "{who}");
        assert!(world.told(who, EventKind::RoomRekeyed).is_empty(), "{who}: nobody had to renew it");
    }
    world.agree(&["alice", "bob", "carol"], "#ops");
    assert_eq!(world.shown("carol", "#ops").topic.as_str(), "from the new one");
}
