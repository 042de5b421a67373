//! Making rooms, inviting, accepting, joining, leaving.

use subrosa_client::{
    Reply, Request,
    api::{
        CreateRoom, EventBody, EventKind, Kind, Message, MessageKind, Role, RoomState, Visibility, WaitFor,
    },
};

use super::{create, id_of};
use crate::world::World;

#[test]
fn a_private_room_is_made_and_the_invited_accept() {
    let mut world = World::with_rooms(1, &["alice", "bob"]);
    let room = world.create_private("alice", "Ops & more");
    assert_eq!((room.chat.as_str(), room.visibility), ("#ops-more", Visibility::Private));
    assert_eq!((room.state, room.role, room.members), (Some(RoomState::Joined), Some(Role::Owner), 1));
    assert!(room.suite.contains("XWING"));

    let room = world.invite("alice", "#ops-more", "bob").unwrap();
    assert_eq!(room.members, 2);
    world.settle();
    let Reply::Chats { chats } = world.ask("bob", Request::ChatList {}).unwrap() else { panic!() };
    let asked = chats[0].room.as_ref().unwrap();
    assert_eq!((asked.state, asked.invited_by.as_deref()), (Some(RoomState::Invited), Some("alice")));
    assert_eq!(asked.name.as_str(), "Ops & more");
    assert_eq!(world.told("bob", EventKind::RoomInvited).len(), 1);
    assert_eq!(
        world.try_send("bob", "#ops-more", "too early", WaitFor::Queued).error.unwrap().kind,
        Kind::Refused
    );

    let joined = world.join("bob", "#ops-more").unwrap();
    assert_eq!((joined.state, joined.role, joined.members), (Some(RoomState::Joined), Some(Role::Member), 2));
    world.settle();
    world.agree(&["alice", "bob"], "#ops-more");
    assert_eq!(
        world.names("bob", "#ops-more"),
        [("alice".to_owned(), Role::Owner), ("bob".to_owned(), Role::Member)]
    );
    world.send("alice", "#ops-more", "hello room");
    world.settle();
    world.send("bob", "#ops-more", "hello alice");
    world.settle();
    for who in ["alice", "bob"] {
        assert_eq!(world.texts(who, "#ops-more"), ["hello room", "hello alice"], "{who}");
    }
}

#[test]
fn a_relay_learns_nothing_of_a_private_room() {
    let mut world = World::with_rooms(2, &["alice", "bob"]);
    let mut private = create("Zwetschgenkuchen", false);
    private.topic = "Pflaumenmus".into();
    world.room("alice", Request::RoomCreate(private)).unwrap();
    world.invite("alice", "#zwetschgenkuchen", "bob").unwrap();
    world.settle();
    world.join("bob", "#zwetschgenkuchen").unwrap();
    world.send("bob", "#zwetschgenkuchen", "Marillenknoedel");
    world.settle();
    for word in ["Zwetschgenkuchen", "zwetschgenkuchen", "Pflaumenmus", "Marillenknoedel"] {
        let seen = &world.relay.rooms.seen;
        assert!(!seen.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word}");
    }
    assert!(!world.relay.rooms.seen.is_empty());
}

#[test]
fn r30_a_public_room_is_found_and_joined() {
    let mut world = World::with_rooms(3, &["alice", "bob", "carol"]);
    let room = CreateRoom { description: "All about rust".into(), ..create("Rust", true) };
    let room = world.room("alice", Request::RoomCreate(room)).unwrap();
    assert_eq!((room.slug.as_deref(), room.visibility), (Some("rust"), Visibility::Public));
    for slug in ["Rost", "Go"] {
        world.create_public("alice", slug);
    }
    let Reply::Rooms { rooms } = world.ask("bob", Request::RoomList { prefix: String::new() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(rooms.iter().map(|room| room.slug.as_str()).collect::<Vec<_>>(), ["go", "rost", "rust"]);
    assert_eq!(rooms[2].description.as_str(), "All about rust");
    let Reply::Rooms { rooms } = world.ask("bob", Request::RoomList { prefix: "ru".into() }).unwrap() else {
        panic!()
    };
    assert_eq!(rooms.len(), 1);
    let shown = world.shown("bob", "rust");
    assert_eq!((shown.state, shown.members), (None, 1));

    world.join("bob", "rust").unwrap();
    world.settle();
    world.join("carol", "rust").unwrap();
    world.settle();
    world.agree(&["alice", "bob", "carol"], "#rust");
    world.send("carol", "#rust", "hi all");
    world.settle();
    for who in ["alice", "bob", "carol"] {
        assert_eq!(world.texts(who, "#rust"), ["hi all"], "{who}");
    }
    assert!(world.notices("alice", "#rust").contains(&MessageKind::MemberJoined {}));
    assert_eq!(world.join("bob", "rust").unwrap_err().kind, Kind::Refused);
}

#[test]
fn a_slug_that_is_taken_is_refused_and_one_made_from_a_name_is_numbered() {
    let mut world = World::with_rooms(4, &["alice", "bob"]);
    world.create_public("alice", "Lobby");
    let second = world.create_public("bob", "Lobby");
    assert_eq!(second.slug.as_deref(), Some("lobby-2"));
    let alike = CreateRoom { slug: Some("l0bby".into()), ..create("Other", true) };
    let error = world.room("bob", Request::RoomCreate(alike)).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.message.contains("taken") && error.hint.is_some(), "{error:?}");
    // One made from a name looks like it with any number.
    for name in ["L0bby", "l-o-b-b-y"] {
        let error = world.room("bob", Request::RoomCreate(create(name, true))).unwrap_err();
        assert!(error.kind == Kind::Refused && error.message.contains("looks like"), "{name}: {error:?}");
    }
    let Reply::Chats { chats } = world.ask("bob", Request::ChatList {}).unwrap() else { panic!() };
    assert_eq!(chats.len(), 1, "nothing is left of the rooms that were not made");
    assert_eq!(world.create_public("bob", "Lobby").slug.as_deref(), Some("lobby-3"));
}

#[test]
fn who_declines_is_not_in_the_room() {
    let mut world = World::with_rooms(5, &["alice", "bob"]);
    let room = world.create_private("alice", "ops");
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap();
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Left));
    let roster = &world.relay.rooms.rooms[&id_of(&room)].roster;
    assert_eq!(roster.len(), 1);
}

#[test]
fn who_is_invited_is_marked_and_who_declines_is_no_removed_member() {
    let mut world = World::with_rooms(17, &["alice", "bob", "carol", "dave"]);
    world.befriend("alice", "carol");
    world.gather(&["alice", "bob"]);
    for name in ["carol", "dave"] {
        world.invite("alice", "#ops", name).unwrap();
        world.settle();
    }
    let invited = |world: &mut World, who: &str| -> Vec<(String, bool)> {
        world.members(who, "#ops").into_iter().map(|member| (member.name, member.invited)).collect()
    };
    for who in ["alice", "bob"] {
        let expected = [("alice", false), ("bob", false), ("carol", true), ("dave", true)];
        assert_eq!(
            invited(&mut world, who),
            expected.map(|(name, invited)| (name.to_owned(), invited)),
            "{who}"
        );
    }
    world.join("dave", "#ops").unwrap();
    world.run_for(30_000);
    assert!(invited(&mut world, "bob").contains(&("dave".to_owned(), false)));
    world.ask("carol", Request::RoomLeave { room: "#ops".into() }).unwrap();
    world.run_for(60_000);
    assert_eq!(world.members("bob", "#ops").len(), 3);
    let declined = MessageKind::MemberDeclined {};
    let lines = world.history("alice", "#ops");
    let line = lines.iter().find(|line| line.kind == declined).expect("told who declined");
    assert_eq!(line.from, "carol");
    let ended = MessageKind::InvitationEnded { name: "carol".into() };
    assert!(world.notices("bob", "#ops").contains(&ended));
    // Dave came later, and knows nothing of who was invited before.
    for who in ["alice", "bob"] {
        let removed = MessageKind::MemberRemoved { name: "carol".into() };
        assert!(!world.notices(who, "#ops").contains(&removed), "{who}");
    }
    world.kick("alice", "#ops", "dave").unwrap();
    world.settle();
    assert!(world.notices("bob", "#ops").contains(&MessageKind::MemberRemoved { name: "dave".into() }));
}

#[test]
fn who_had_no_keys_for_rooms_can_be_added_once_they_have() {
    let mut world = World::with_rooms(8, &["alice"]);
    world.create_private("alice", "ops");
    world.register("bob");
    let error = world.invite("alice", "#ops", "bob").unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("cannot be added"), "{error:?}");
    world.connect("bob");
    world.settle();
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.join("bob", "#ops").unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
}

#[test]
fn who_leaves_is_taken_out_and_reads_nothing_after() {
    let mut world = World::with_rooms(6, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.send("alice", "#ops", "before");
    world.settle();
    assert_eq!(world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap(), Reply::Done {});
    world.run_for(30_000);
    world.agree(&["alice", "carol"], "#ops");
    assert_eq!(world.names("alice", "#ops").len(), 2);
    assert!(world.notices("carol", "#ops").contains(&MessageKind::MemberLeft {}));
    world.send("carol", "#ops", "after");
    world.settle();
    assert_eq!(world.texts("alice", "#ops"), ["before", "after"]);
    assert_eq!(world.texts("bob", "#ops"), ["before"]);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Left));
    let error = world.try_send("bob", "#ops", "still here?", WaitFor::Queued).error.unwrap();
    assert_eq!(error.kind, Kind::Refused);
}

#[test]
fn who_leaves_while_the_room_changes_is_out_all_the_same() {
    let mut world = World::with_rooms(9, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.relay.silent = true;
    world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "new".into() }).unwrap();
    world.relay.silent = false;
    assert_eq!(world.ask("bob", Request::RoomLeave { room: "#ops".into() }).unwrap(), Reply::Done {});
    world.run_for(30_000);
    assert_eq!(world.names("alice", "#ops").len(), 1);
    world.send("alice", "#ops", "alone");
    world.settle();
    assert_eq!(world.texts("alice", "#ops"), ["alone"]);
}

#[test]
fn a_further_device_of_a_member_follows_by_itself() {
    let mut world = World::with_rooms(7, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    world.login("bob", "bob2");
    world.run_for(60_000);
    assert_eq!(world.shown("bob2", "#ops").state, Some(RoomState::Joined));
    world.agree(&["alice", "bob", "bob2"], "#ops");
    world.send("bob2", "#ops", "from my other device");
    world.settle();
    world.send("alice", "#ops", "hello both");
    world.settle();
    for who in ["alice", "bob", "bob2"] {
        assert_eq!(world.texts(who, "#ops"), ["from my other device", "hello both"], "{who}");
    }
    assert!(world.told("bob", EventKind::RoomMemberAdded).is_empty(), "devices of members are no news");
}

#[test]
fn who_is_in_and_loses_the_connection_before_the_relay_knows_is_not_woken_without_end() {
    let mut world = World::with_rooms(16, &["alice", "bob"]);
    let room = id_of(&world.create_private("alice", "ops"));
    world.invite("alice", "#ops", "bob").unwrap();
    world.settle();
    world.ask_later("bob", Request::RoomJoin { room: "#ops".into() });
    while world.peek_room("bob", room).is_none_or(|room| room.state != RoomState::Joined) {
        assert!(world.step());
    }
    world.disconnect("bob");
    // It would never come to rest.
    world.run_for(10 * 60_000);
    world.connect("bob");
    world.settle();
    world.agree(&["alice", "bob"], "#ops");
}

fn names(error: &subrosa_client::ApiError) -> (Kind, &str) {
    (error.kind, error.message.as_str())
}

#[test]
fn a_slug_is_the_relays_and_a_label_is_ones_own() {
    let mut world = World::with_rooms(17, &["alice", "bob", "mallory"]);
    let rust = world.create_public("alice", "rust");
    // A stranger's room is called like the public one; it is private.
    let trap = world.create_private("mallory", "rust");
    world.invite("mallory", "#rust", "bob").unwrap();
    world.settle();
    let shown = world.shown("bob", "#rust");
    assert_eq!((shown.id.as_str(), shown.state), (trap.id.as_str(), Some(RoomState::Invited)));
    assert_eq!(world.shown("bob", "rust").id, rust.id, "the slug is the relay's");
    assert_eq!(world.shown("bob", "rust").chat, "rust", "this is what it is joined by");
    // Declined, it is no room of his, and its label stands for nothing of the relay's.
    world.ask("bob", Request::RoomLeave { room: "#rust".into() }).unwrap();
    assert_eq!(world.shown("bob", "rust").id, rust.id);
    let joined = world.join("bob", "rust").unwrap();
    assert_eq!((joined.id.as_str(), joined.chat.as_str()), (rust.id.as_str(), "#rust-2"));
    world.settle();
    let Reply::Rooms { rooms } = world.ask("bob", Request::RoomList { prefix: String::new() }).unwrap()
    else {
        panic!()
    };
    assert_eq!(rooms[0].chat.as_deref(), Some("#rust-2"), "listed with what it is called here");
    // The slug means the room that one is in, also where the label of another is spelled so.
    assert_eq!(world.shown("bob", "rust").id, rust.id);
    assert_eq!(names(&world.join("bob", "rust").unwrap_err()), (Kind::Refused, "you are in #rust-2 already"));
    assert_eq!(world.send("bob", "#rust-2", "hi").len(), 26);
    let error = world.try_send("bob", "#rust", "hi", WaitFor::Queued).error.unwrap();
    assert_eq!(names(&error), (Kind::Refused, "you are not in #rust any more"));
    // One that nobody here has called anything.
    world.create_public("alice", "go");
    let error = world.try_send("bob", "#go", "hi", WaitFor::Queued).error.unwrap();
    assert_eq!(names(&error), (Kind::NotFound, "you are in no room #go"));
    assert!(error.hint.unwrap().contains("rosa room join go"));
    let error = world.join("bob", "#go").unwrap_err();
    assert_eq!(names(&error), (Kind::NotFound, "no room here is called #go"));
    world.join("bob", "go").unwrap();
    // What is repeated of what was typed is bounded.
    let long = "x".repeat(100_000);
    for request in [
        Request::RoomShow { room: long.clone() },
        Request::RoomShow { room: format!("#{long}") },
        Request::RoomMembers { room: long.clone() },
        Request::RoomKick { room: "#go".into(), name: long.clone() },
    ] {
        let error = world.room("bob", request).unwrap_err();
        assert!(
            error.message.len() + error.hint.map_or(0, |hint| hint.len()) < 300,
            "{}",
            error.message.len()
        );
    }
}

#[test]
fn an_invitation_to_a_public_room_is_accepted_by_its_slug_too() {
    let mut world = World::with_rooms(18, &["alice", "bob"]);
    world.create_public("alice", "rust");
    world.invite("alice", "#rust", "bob").unwrap();
    world.settle();
    assert!(world.members("alice", "#rust").iter().any(|member| member.name == "bob" && member.invited));
    world.join("bob", "rust").unwrap();
    world.settle();
    world.agree(&["alice", "bob"], "#rust");
    assert!(world.members("alice", "#rust").iter().all(|member| !member.invited));
    assert!(world.members("bob", "#rust").iter().all(|member| !member.invited));
}

#[test]
fn who_does_not_exist_is_not_banned() {
    let mut world = World::with_rooms(20, &["alice", "bob"]);
    world.create_public("alice", "rust");
    let ban = |name: &str| Request::RoomBan { room: "#rust".into(), name: name.into() };
    let error = world.room("alice", ban("nobody_at_all")).unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error:?}");
    world.room("alice", ban("bob")).unwrap();
    assert_eq!(world.join("bob", "rust").unwrap_err().kind, Kind::Refused);
}

#[test]
fn who_was_invited_and_comes_is_told_once() {
    let mut world = World::with_rooms(590, &["alice", "bob", "carol"]);
    world.gather(&["alice", "carol"]);
    world.login("bob", "bob2");
    world.run_for(30_000);
    world.invite("alice", "#ops", "bob").unwrap();
    world.run_for(30_000);
    let joined = |world: &mut World, handle: &str| {
        let lines = world.history(handle, "#ops");
        let joined = |line: &&Message| line.from == "bob" && line.kind == MessageKind::MemberJoined {};
        lines.iter().filter(joined).count()
    };
    assert_eq!(joined(&mut world, "carol"), 0, "he has not answered");
    world.join("bob", "#ops").unwrap();
    world.run_for(60_000);
    world.send("bob", "#ops", "here");
    world.settle();
    for handle in ["alice", "carol"] {
        assert_eq!(joined(&mut world, handle), 1, "{handle}");
        let told = world.told(handle, EventKind::RoomMemberAdded);
        let by_himself = |body: &&EventBody| matches!(body, EventBody::RoomMemberAdded { name, by, .. } if name == "bob" && by == "bob");
        assert_eq!(told.iter().filter(by_himself).count(), 1, "{handle}");
    }
    world.agree(&["alice", "bob", "carol"], "#ops");
}
