//! Roles, rights, topics, names, mutes and bans; races.

use subrosa_client::{
    Request,
    api::{EventKind, Kind, MessageKind, MessageState, Role, RoomState, WaitFor},
};

use crate::world::World;

#[test]
fn who_is_kicked_reads_nothing_after() {
    let mut world = World::with_rooms(20, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.send("alice", "#ops", "before");
    world.settle();
    let room = world.kick("alice", "#ops", "bob").unwrap();
    assert_eq!(room.members, 2);
    world.send("carol", "#ops", "after");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["before"]);
    assert_eq!(world.texts("alice", "#ops"), ["before", "after"]);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Removed));
    assert_eq!(world.told("bob", EventKind::RoomLeft).len(), 1);
    assert!(world.notices("carol", "#ops").contains(&MessageKind::MemberRemoved { name: "bob".into() }));
    let error = world.try_send("bob", "#ops", "let me in", WaitFor::Queued).error.unwrap();
    assert_eq!(error.kind, Kind::Refused);
    assert_eq!(world.kick("alice", "#ops", "bob").unwrap_err().kind, Kind::NotFound);
}

#[test]
fn removed_while_offline() {
    let mut world = World::with_rooms(21, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.disconnect("bob");
    world.send("alice", "#ops", "he can read this");
    world.settle();
    world.kick("alice", "#ops", "bob").unwrap();
    world.send("carol", "#ops", "and not this");
    let queued = world.send("bob", "#ops", "written meanwhile");
    world.settle();
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "#ops"), ["written meanwhile", "he can read this"]);
    assert_eq!(world.shown("bob", "#ops").state, Some(RoomState::Removed));
    assert_eq!(world.state("bob", &queued), MessageState::Failed);
    assert!(!world.texts("alice", "#ops").contains(&"written meanwhile".to_owned()));
}

#[test]
fn r33_roles_decide_who_may_do_what() {
    let mut world = World::with_rooms(22, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    let topic = |topic: &str| Request::RoomTopic { room: "#ops".into(), topic: topic.into() };
    let role = |name: &str, role| Request::RoomRole { room: "#ops".into(), name: name.into(), role };
    let error = world.room("bob", topic("mine")).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.message.contains("no right"), "{error:?}");
    assert_eq!(world.kick("bob", "#ops", "carol").unwrap_err().kind, Kind::Refused);

    world.room("alice", role("bob", Role::Moderator)).unwrap();
    world.settle();
    assert_eq!(world.shown("bob", "#ops").role, Some(Role::Moderator));
    let room = world.room("bob", topic("now I may")).unwrap();
    assert_eq!(room.topic.as_str(), "now I may");
    world.settle();
    world.agree(&["alice", "bob", "carol"], "#ops");
    let rename = Request::RoomRename { room: "#ops".into(), name: "Operations".into() };
    assert_eq!(world.room("bob", rename.clone()).unwrap_err().kind, Kind::Refused);
    let room = world.room("alice", rename).unwrap();
    assert_eq!((room.name.as_str(), room.chat.as_str()), ("Operations", "#ops"), "the label stays");
    assert_eq!(world.kick("bob", "#ops", "alice").unwrap_err().kind, Kind::Refused);
    assert_eq!(world.room("alice", role("alice", Role::Member)).unwrap_err().kind, Kind::Refused);
    world.settle();
    let lines = world.notices("carol", "#ops");
    assert!(lines.contains(&MessageKind::RoleChanged { name: "bob".into(), role: Role::Moderator }));
    assert!(lines.iter().any(|line| matches!(line, MessageKind::TopicChanged { .. })));
    assert!(lines.iter().any(|line| matches!(line, MessageKind::RoomRenamed { .. })));
}

#[test]
fn the_muted_and_the_banned_are_told() {
    let mut world = World::with_rooms(23, &["alice", "bob", "carol"]);
    world.create_public("alice", "Rust");
    for who in ["bob", "carol"] {
        world.join(who, "rust").unwrap();
        world.settle();
    }
    let mute = |undo| Request::RoomMute { room: "#rust".into(), name: Some("bob".into()), undo };
    world.room("alice", mute(false)).unwrap();
    world.settle();
    let error = world.try_send("bob", "#rust", "mmm", WaitFor::Queued).error.unwrap();
    assert!(error.kind == Kind::Refused && error.message.contains("muted"), "{error:?}");
    world.room("alice", mute(true)).unwrap();
    world.settle();
    world.send("bob", "#rust", "I can speak");
    world.settle();
    assert_eq!(world.texts("carol", "#rust"), ["I can speak"]);

    let ban = Request::RoomBan { room: "#rust".into(), name: "carol".into() };
    world.room("alice", ban).unwrap();
    world.settle();
    assert_eq!(world.shown("carol", "#rust").state, Some(RoomState::Removed));
    let error = world.join("carol", "rust").unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("banned"), "{error:?}");
    let error = world.invite("alice", "#rust", "carol").unwrap_err();
    assert!(error.message.contains("banned"), "{error:?}");
    let unban = Request::RoomUnban { room: "#rust".into(), name: "carol".into() };
    world.room("alice", unban).unwrap();
    world.settle();
    world.join("carol", "rust").unwrap();
    world.settle();
    world.agree(&["alice", "bob", "carol"], "#rust");
}

#[test]
fn r31_many_commit_at_once_and_all_come_to_one_epoch() {
    let names: Vec<String> = (0..8).map(|n| format!("user_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::with_rooms(24, &names);
    world.gather(&names);
    for name in &names[1..] {
        let role = Request::RoomRole { room: "#ops".into(), name: (*name).into(), role: Role::Moderator };
        world.room(names[0], role).unwrap();
        world.settle();
    }
    let tokens: Vec<_> = names
        .iter()
        .map(|name| {
            let topic = Request::RoomTopic { room: "#ops".into(), topic: format!("by {name}") };
            (*name, world.ask_later(name, topic))
        })
        .collect();
    world.run_for(10_000);
    let lost = world.relay.rooms.lost;
    assert!(lost > 0, "nobody raced");
    let mut won = 0;
    for (name, token) in tokens {
        match world.answer(name, token).expect("answered") {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.kind, Kind::Refused, "{error:?}"),
        }
    }
    assert!(won >= 2, "{won} of {} changes came through", names.len());
    world.agree(&names, "#ops");
}

#[test]
fn bad_input_is_told_with_what_to_do() {
    let mut world = World::with_rooms(25, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    let mut fails = |request: Request, kind: Kind| {
        let error = world.ask("alice", request.clone()).unwrap_err();
        assert_eq!(error.kind, kind, "{request:?}: {error:?}");
    };
    fails(Request::RoomShow { room: "nowhere".into() }, Kind::NotFound);
    fails(Request::RoomShow { room: "No Where".into() }, Kind::Usage);
    fails(Request::RoomMembers { room: "#nowhere".into() }, Kind::NotFound);
    fails(Request::RoomJoin { room: "nowhere".into() }, Kind::NotFound);
    fails(Request::RoomInvite { room: "#ops".into(), name: "nobody_here".into() }, Kind::NotFound);
    fails(Request::RoomInvite { room: "#ops".into(), name: "Bad Name".into() }, Kind::Usage);
    fails(Request::RoomInvite { room: "#ops".into(), name: "bob".into() }, Kind::Refused);
    fails(Request::RoomTopic { room: "#ops".into(), topic: "x".repeat(513) }, Kind::Usage);
    fails(Request::RoomRename { room: "#ops".into(), name: "x".repeat(65) }, Kind::Usage);
    fails(Request::RoomRename { room: "#ops".into(), name: "  ".into() }, Kind::Usage);
    fails(Request::RoomCreate(super::create("", false)), Kind::Usage);
    let slug = subrosa_client::api::CreateRoom { slug: Some("No Slug".into()), ..super::create("x", true) };
    fails(Request::RoomCreate(slug), Kind::Usage);
    let private = subrosa_client::api::CreateRoom { slug: Some("ops2".into()), ..super::create("x", false) };
    fails(Request::RoomCreate(private), Kind::Usage);
    fails(
        Request::ChatHistory { chat: "#nowhere".into(), before: None, after: None, limit: 5 },
        Kind::NotFound,
    );
    assert_eq!(world.try_send("alice", "#nowhere", "x", WaitFor::Queued).error.unwrap().kind, Kind::NotFound);
    world.disconnect("alice");
    let error =
        world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "x".into() }).unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable);
}
