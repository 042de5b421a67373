//! What is said about messages of a room: edits, deletes, signs, pins; who has them; who writes.

use subrosa_client::{
    Request,
    api::{EventBody, EventKind, Kind, Message, MessageKind, MessageState, Role, RoomReceipts, WaitFor},
};

use crate::world::World;

fn edit(id: &str, text: &str) -> Request {
    Request::MessageEdit { id: id.into(), text: text.into() }
}

fn react(id: &str, sign: &str, undo: bool) -> Request {
    Request::MessageReact { id: id.into(), sign: sign.into(), undo }
}

#[test]
fn whom_a_text_mentions_is_as_it_says_now() {
    let mut world = World::with_rooms(715, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    let id = world.send("bob", "#ops", "hello all");
    world.settle();
    let mut changes = |text: &str, mentions: u64, event: bool| {
        world.touch("bob", edit(&id, text)).unwrap();
        world.settle();
        assert_eq!(world.shown("alice", "#ops").mentions, mentions, "{text}");
        assert_eq!(world.line("alice", "#ops", text).marks.mention, event, "{text}");
        let told = world.told("alice", EventKind::MessageEdited);
        let Some(EventBody::MessageEdited { message }) = told.last() else { panic!() };
        assert_eq!(message.mention, event, "{text}");
        assert!(
            !world.line("bob", "#ops", text).marks.mention,
            "{text}: who wrote it mentions nobody at home"
        );
    };
    changes("hello @alice", 1, true);
    changes("hello @alicia", 0, false);
    changes("hello @room", 0, false);
    changes("sorry, @Alice!", 1, true);
}

#[test]
fn a_text_is_changed_and_taken_back_by_its_writer_or_a_moderator() {
    let mut world = World::with_rooms(700, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    let id = world.send("bob", "#ops", "helo");
    let other = world.send("bob", "#ops", "a secret");
    world.settle();
    world.touch("bob", edit(&id, "hello")).unwrap();
    world.settle();
    for who in ["alice", "bob", "carol"] {
        let line = world.line(who, "#ops", "hello");
        assert!(line.marks.edited && line.id == id, "{who}: {line:?}");
    }
    let told = world.told("alice", EventKind::MessageEdited);
    assert!(matches!(&told[..], [EventBody::MessageEdited { message }] if message.text.as_str() == "hello"));
    let hits = |world: &mut World, word: &str| match world
        .ask("carol", Request::MessageSearch { query: word.into(), limit: 9 })
        .unwrap()
    {
        subrosa_client::Reply::Hits { hits } => hits.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (hits(&mut world, "helo"), hits(&mut world, "hello")),
        (0, 1),
        "what is not there is not found"
    );

    // Nobody else changes it; a member takes back only what is its own.
    assert_eq!(world.touch("alice", edit(&id, "HELLO")).unwrap_err().kind, Kind::Refused);
    let delete = |id: &str| Request::MessageDelete { id: id.into() };
    assert_eq!(world.touch("carol", delete(&id)).unwrap_err().kind, Kind::Refused);
    assert_eq!(world.touch("carol", edit(&id, "")).unwrap_err().kind, Kind::Usage);
    assert_eq!(world.touch("carol", delete("nothing")).unwrap_err().kind, Kind::NotFound);
    world.touch("bob", delete(&id)).unwrap();
    world.touch("alice", delete(&other)).unwrap();
    world.settle();
    for who in ["alice", "bob", "carol"] {
        assert!(world.texts(who, "#ops").is_empty(), "{who}");
        let notices = world.notices(who, "#ops");
        assert_eq!(
            notices.iter().filter(|kind| matches!(kind, MessageKind::Deleted { .. })).count(),
            2,
            "{who}"
        );
    }
    assert_eq!(hits(&mut world, "secret"), 0);
    // Who took what back stays with its line.
    let by = |message: &Message| match &message.kind {
        MessageKind::Deleted { by } => by.clone(),
        other => panic!("{other:?}"),
    };
    for who in ["alice", "bob", "carol"] {
        let lines = world.history(who, "#ops");
        let line = |id: &str| lines.iter().find(|line| line.id == id).unwrap();
        assert_eq!((line(&id).from.as_str(), by(line(&id)).as_deref()), ("bob", Some("bob")), "{who}");
        assert_eq!(
            (line(&other).from.as_str(), by(line(&other)).as_deref()),
            ("bob", Some("alice")),
            "{who}"
        );
    }
    let by: Vec<_> = world.told("carol", EventKind::MessageDeleted);
    assert!(
        matches!(&by[1], EventBody::MessageDeleted { touched } if touched.by == "alice" && touched.author == "bob")
    );
    // What is gone is not changed any more.
    assert_eq!(world.touch("bob", edit(&id, "again")).unwrap_err().kind, Kind::Refused);
}

#[test]
fn signs_and_pins_are_the_same_for_all() {
    let mut world = World::with_rooms(701, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    let id = world.send("alice", "#ops", "who comes?");
    world.settle();
    for who in ["bob", "carol"] {
        world.touch(who, react(&id, "+1", false)).unwrap();
        world.touch(who, react(&id, "+1", false)).unwrap();
    }
    world.touch("bob", react(&id, "👍", false)).unwrap();
    world.touch("bob", react(&id, "👍", true)).unwrap();
    assert_eq!(world.touch("bob", react(&id, "two words", false)).unwrap_err().kind, Kind::Usage);
    let pin = |undo| Request::MessagePin { id: id.clone(), undo };
    assert_eq!(world.touch("bob", pin(false)).unwrap_err().kind, Kind::Refused);
    world.touch("alice", pin(false)).unwrap();
    world.settle();
    for who in ["alice", "bob", "carol"] {
        let line = world.line(who, "#ops", "who comes?");
        let signs: Vec<_> = line.marks.reactions.iter().map(|one| (one.sign.as_str(), &one.by[..])).collect();
        assert_eq!(signs, [("+1", &["bob".to_owned(), "carol".to_owned()][..])], "{who}");
        assert!(line.marks.pinned, "{who}");
    }
    // Of one account eight stand there; a ninth says why it does not, and one that is there is no error.
    let signs = ["1", "2", "3", "4", "5", "6", "7"];
    signs.iter().for_each(|sign| drop(world.touch("carol", react(&id, sign, false)).unwrap()));
    let error = world.touch("carol", react(&id, "9", false)).unwrap_err();
    assert!(error.kind == Kind::Refused && error.message.contains("at most 8 signs"), "{error:?}");
    world.touch("carol", react(&id, "7", false)).unwrap();
    signs.iter().for_each(|sign| drop(world.touch("carol", react(&id, sign, true)).unwrap()));
    world.settle();
    assert_eq!(world.told("alice", EventKind::ReactionAdded).len(), 3 + 7, "nothing is told twice");
    assert_eq!(world.told("alice", EventKind::ReactionRemoved).len(), 1 + 7);
    world.touch("alice", pin(true)).unwrap();
    // A moderator may pin too.
    let role = Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Moderator };
    world.room("alice", role).unwrap();
    world.settle();
    world.touch("bob", pin(false)).unwrap();
    world.settle();
    assert_eq!(world.told("carol", EventKind::MessagePinned).len(), 2);
    assert_eq!(world.told("carol", EventKind::MessageUnpinned).len(), 1);
    assert!(world.line("carol", "#ops", "who comes?").marks.pinned);
}

#[test]
fn r45_receipts_in_rooms_come_from_contacts_and_are_counted() {
    let mut world = World::with_rooms(702, &["alice", "bob", "carol"]);
    world.befriend("alice", "bob");
    world.gather(&["alice", "bob", "carol"]);
    let id = world.send("alice", "#ops", "read this");
    world.settle();
    let counted = |world: &mut World| world.line("alice", "#ops", "read this").marks.receipts;
    assert_eq!(
        counted(&mut world),
        Some(RoomReceipts { of: 2, delivered: 1, read: 0 }),
        "carol is no contact"
    );
    assert_eq!(world.state("alice", &id), MessageState::Delivered);
    for who in ["bob", "carol"] {
        let up_to = world.line(who, "#ops", "read this").order;
        world.ask(who, Request::ChatRead { chat: "#ops".into(), up_to }).unwrap();
    }
    world.settle();
    assert_eq!(counted(&mut world), Some(RoomReceipts { of: 2, delivered: 1, read: 1 }));
    assert_eq!(world.state("alice", &id), MessageState::Read);
    let told = world.told("alice", EventKind::MessageRead);
    let of_room =
        |body: &&EventBody| matches!(body, EventBody::MessageRead { message } if message.by.is_some());
    assert_eq!(told.iter().filter(of_room).count(), 1);
    match world.ask("alice", Request::MessageShow { id }).unwrap() {
        subrosa_client::Reply::Message { delivered_to, read_by, .. } => {
            assert_eq!((delivered_to, read_by), (vec!["bob".to_owned()], vec!["bob".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    // Who waits for it gets it.
    let token = world.send_later("alice", "#ops", "and this", WaitFor::Delivered);
    world.settle();
    assert!(world.answer("alice", token).is_some());
}

#[test]
fn r45_typing_is_told_to_who_is_there_and_ends_by_itself() {
    let mut world = World::with_rooms(703, &["alice", "bob", "carol"]);
    world.gather(&["alice", "bob", "carol"]);
    world.disconnect("carol");
    let typing = |stopped| Request::ChatTyping { chat: "#ops".into(), stopped };
    let log = world.relay.rooms.rooms.values().next().unwrap().log.len();
    for _ in 0..5 {
        world.ask("alice", typing(false)).unwrap();
    }
    let signals = world.clients["alice"].sent.iter().filter(|frame| {
        matches!(
            subrosa_protocol::frames::Request::from_raw(frame),
            Ok(subrosa_protocol::frames::Request::RoomEphemeral(_))
        )
    });
    assert_eq!(signals.count(), 1, "at most one in three seconds");
    world.run_for(1_000);
    assert_eq!(world.told("bob", EventKind::TypingStarted).len(), 1);
    assert!(world.told("bob", EventKind::TypingStopped).is_empty());
    world.run_for(7_000);
    assert_eq!(world.told("bob", EventKind::TypingStopped).len(), 1);
    // What they wrote ends it too.
    world.ask("alice", typing(false)).unwrap();
    world.run_for(500);
    world.send("alice", "#ops", "done");
    world.run_for(1_000);
    assert_eq!(world.told("bob", EventKind::TypingStarted).len(), 2);
    assert_eq!(world.told("bob", EventKind::TypingStopped).len(), 2);
    world.run_for(3_000);
    world.ask("alice", typing(false)).unwrap();
    world.run_for(4_000);
    world.ask("alice", typing(true)).unwrap();
    world.run_for(500);
    assert_eq!(world.told("bob", EventKind::TypingStopped).len(), 3);
    // Kept nowhere: the log has the text alone, and who was away hears nothing of it, nor misses anything.
    assert_eq!(world.relay.rooms.rooms.values().next().unwrap().log.len(), log + 1);
    world.connect("carol");
    world.settle();
    assert_eq!(world.texts("carol", "#ops"), ["done"]);
    assert!(world.told("carol", EventKind::TypingStarted).is_empty());
    assert!(world.told("carol", EventKind::MessageMissing).is_empty());
    assert!(world.told("bob", EventKind::MessageMissing).is_empty());
}
