//! Rooms: members, mentions, who has read, and what is done with messages; and what goes wrong.

use ratatui::style::Modifier;
use rosa::app::{
    keymap::Place,
    model::{PAGE, Position},
    update::{Msg, Purpose},
    view::{block::Context, theme::Theme, timeline},
};
use subrosa_client::{
    ApiError, Request,
    api::{
        EventBody, Kind, ListedRoom, Member, Message, MessageKind, MessageState, Receipted, Role,
        RoomReceipts, RoomState, Touched, Trust, Visibility,
    },
    net::refused,
};
use subrosa_protocol::{ErrorCode, SafeText, frames::ErrorFrame};

use crate::{
    stage::Stage,
    world::{World, event, member, message, notice, receipt, received, told},
};

fn stage() -> Stage {
    Stage::sized(World::with_room(), 140, 40)
}

/// Selects the newest message whose text contains `text`.
fn select(stage: &mut Stage, text: &str) {
    stage.key("Shift-Up");
    for _ in 0..200 {
        let open = stage.desk().open.as_ref().unwrap();
        let at = open.timeline.find(open.selected.unwrap()).unwrap();
        if matches!(&at.kind, MessageKind::Text { text: said } if said.contains(text)) {
            return;
        }
        stage.key("k");
    }
    panic!("no message says {text}:\n{}", stage.screen());
}

/// The cells of the screen on which `text` stands, left of the member pane.
fn styles(stage: &Stage, text: &str) -> Vec<Modifier> {
    let buffer = stage.buffer();
    let mut found = Vec::new();
    for y in 0..buffer.area.height {
        let line: String = (0..buffer.area.width - 24).map(|x| buffer[(x, y)].symbol().to_owned()).collect();
        if let Some(at) = line.find(text) {
            let x = u16::try_from(line[..at].chars().count()).unwrap();
            found.push(buffer[(x, y)].modifier);
        }
    }
    found
}

/// The lines of the screen, white space single.
fn lines(stage: &Stage) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    stage.screen().lines().map(words).collect()
}

fn asked(stage: &Stage, which: impl Fn(&Request) -> bool) -> usize {
    stage.world.asked_for(which)
}

#[test]
fn members_stand_beside_the_conversation_by_role_with_what_is_known_of_their_keys() {
    let stage = stage();
    let screen = stage.screen();
    for line in
        ["│Members (5)", "│owners", "│ alice              you", "│moderators", "│ bob                 ok"]
    {
        assert!(screen.contains(line), "{line}:\n{screen}");
    }
    for line in ["│members", "│ carol", "│ erin              !key", "│ mallory          muted"] {
        assert!(screen.contains(line), "{line}:\n{screen}");
    }
}

#[test]
fn the_members_are_shown_from_a_hundred_columns_and_by_f8() {
    for (width, shown) in [(140, true), (100, true), (99, false), (60, false), (40, false)] {
        let mut stage = Stage::sized(World::with_room(), width, 24);
        assert_eq!(stage.shows("Members (5)"), shown, "{width}");
        stage.key("F8");
        assert_eq!(stage.shows("Members (5)"), !shown, "{width}");
        assert!(stage.shows("#ops>"));
        stage.key("F8");
        assert_eq!(stage.shows("Members (5)"), shown, "{width}");
    }
    let mut stage = Stage::sized(World::with_room(), 80, 24);
    stage.key("F8").key("Esc");
    assert!(!stage.shows("Members (5)"), "Esc closes what lies over the conversation");
    stage.key("F8").key("Alt-2");
    assert_eq!(stage.here(), "bob");
    assert!(!stage.shows("Members (5)"));
    stage.key("F8");
    assert_eq!(stage.notice(), "only rooms have members");
}

#[test]
fn the_members_are_kept_current_by_events() {
    let mut stage = stage();
    stage.world.members.push(member("frank", Role::Member, Trust::Unverified));
    let chat = || "#ops".to_owned();
    stage.event(event(EventBody::RoomMemberAdded { chat: chat(), name: "frank".into(), by: "alice".into() }));
    assert!(stage.shows("Members (6)") && stage.shows("│ frank"));
    stage.world.members.retain(|member| member.name != "carol");
    stage.event(event(EventBody::RoomMemberRemoved { chat: chat(), name: "carol".into(), by: "bob".into() }));
    assert!(stage.shows("Members (5)") && !stage.shows("│ carol"));
    stage.world.members[1].role = Role::Owner;
    stage.event(event(EventBody::RoomChanged { chat: chat(), by: "alice".into() }));
    assert!(!stage.shows("│moderators"), "{}", stage.screen());
    stage.world.members[1].trust = Trust::Forked;
    stage.event(event(EventBody::IdentityVerified { name: "bob".into(), compared: true }));
    assert!(stage.shows("│ bob              !list"), "{}", stage.screen());
    // Not for another room, and nobody's key who is not in this one.
    let before = asked(&stage, |request| matches!(request, Request::RoomMembers { .. }));
    stage.event(event(EventBody::RoomChanged { chat: "#other".into(), by: "alice".into() }));
    stage.event(event(EventBody::DeviceLinked { name: "dave".into(), device: 2 }));
    assert_eq!(asked(&stage, |request| matches!(request, Request::RoomMembers { .. })), before);
    // A burst is one question, and one more.
    stage.answers = false;
    for _ in 0..50 {
        stage.event(event(EventBody::RoomChanged { chat: chat(), by: "alice".into() }));
    }
    let waiting = |stage: &Stage| {
        let roster = |effect: &&rosa::app::update::Effect| {
            matches!(effect, rosa::app::update::Effect::Call(Purpose::Roster(_), _))
        };
        stage.waiting.iter().filter(roster).count()
    };
    assert_eq!(waiting(&stage), 1);
    stage.answer_waiting();
    assert_eq!(waiting(&stage), 1);
}

#[test]
fn a_thousand_members_are_told_with_how_many_are_not_shown() {
    let mut world = World::with_room();
    world.members.extend((0..995).map(|n| member(&format!("m{n:03}"), Role::Member, Trust::Unverified)));
    let stage = Stage::sized(world, 100, 24);
    assert!(stage.shows("Members (1000)"));
    // 20 rows: 3 headings, 16 members, and the line itself.
    assert!(stage.shows("│ +984 /members"), "{}", stage.screen());
}

#[test]
fn the_list_tells_topics_mentions_unread_and_muted_rooms() {
    let mut world = World::with_room();
    world.unread("#ops", 3);
    world.room_mut("#ops").mentions = 1;
    world.room("#friends", "").muted = true;
    let mut stage = Stage::locked(world, 140, 40);
    stage.model.first_chat = Some("bob".to_owned());
    stage.send(Msg::Unlocked(Ok(())));
    assert!(stage.shows("  #ops  deploys a… @1"), "{}", stage.screen());
    assert!(stage.shows("  #friends          M"), "{}", stage.screen());
    assert!(stage.shows("act #ops 3@1"), "{}", stage.screen());
    stage.key("Alt-2");
    assert!(stage.shows("> #ops  deploys and …"), "{}", stage.screen());
    assert!(!stage.shows("@1 "), "what was seen does not call any more:\n{}", stage.screen());
    assert!(stage.shows("#ops  5 members  deploys and pages"));
}

#[test]
fn the_rooms_page_lists_own_and_public_rooms() {
    let mut world = World::with_room();
    world.unread("#ops", 3);
    world.room_mut("#ops").mentions = 2;
    world.room("#gone", "").state = Some(RoomState::Removed);
    world.listed = vec![ListedRoom {
        slug: "lobby".into(),
        name: SafeText::name("Lobby"),
        description: SafeText::single_line("say hello"),
        id: "1".repeat(26),
        members: 12,
        state: None,
        chat: None,
    }];
    let mut stage = Stage::locked(world, 100, 30);
    stage.model.first_chat = Some("bob".to_owned());
    stage.send(Msg::Unlocked(Ok(())));
    stage.enter("/rooms");
    for line in [
        "#ops   5 members, 3 unread, 2 for you, deploys and pages",
        "#gone  removed",
        "lobby  12 members, Lobby: say hello",
    ] {
        assert!(stage.shows(line), "{line}:\n{}", stage.screen());
    }
}

#[test]
fn whatever_changes_in_a_room_is_a_line_with_who_and_whom() {
    let mut world = World::with_room();
    let kinds = |name: &str| {
        let name = name.to_owned();
        [
            (MessageKind::MemberInvited { name: name.clone() }, "bob invited zed"),
            (MessageKind::MemberJoined {}, "bob joined"),
            (MessageKind::MemberLeft {}, "bob left"),
            (MessageKind::MemberRemoved { name: name.clone() }, "bob removed zed"),
            (MessageKind::MemberBanned { name: name.clone() }, "bob banned zed"),
            (MessageKind::MemberUnbanned { name: name.clone() }, "bob lifted the ban of zed"),
            (MessageKind::MemberMuted { name: name.clone() }, "bob muted zed"),
            (MessageKind::RoleChanged { name, role: Role::Owner }, "bob made zed an owner"),
            (MessageKind::TopicChanged { topic: SafeText::single_line("new") }, "bob set the topic: new"),
            (MessageKind::RoomRenamed { name: SafeText::single_line("new") }, "bob renamed the room: new"),
            (MessageKind::RoomRenewed {}, "bob renewed the room"),
        ]
    };
    for (order, (kind, _)) in (50..).zip(kinds("zed")) {
        world.put(Message { from: "bob".to_owned(), ..notice("#ops", order, kind) });
    }
    let stage = Stage::sized(world, 140, 40);
    for (_, line) in kinds("zed") {
        assert!(stage.shows(&format!("-- {line} --")), "{line}:\n{}", stage.screen());
    }
}

#[test]
fn mentions_stand_out_and_those_of_oneself_more() {
    let stage = stage();
    let bold = Modifier::BOLD;
    let mine = Modifier::BOLD | Modifier::REVERSED;
    assert_eq!(styles(&stage, "@carol can"), [bold]);
    assert_eq!(styles(&stage, "@bob"), [bold]);
    assert_eq!(styles(&stage, "@alice the"), [mine]);
    assert_eq!(styles(&stage, "@room"), [mine]);
    // Nobody's name is a part of another word; the rule of the engine is the rule of the screen.
    assert_eq!(styles(&stage, "@carolina"), [Modifier::empty()]);
    // Not by style alone.
    let screen = stage.screen();
    let called: Vec<&str> =
        screen.lines().filter(|line| line.contains("@05:") || line.contains("@04:")).collect();
    assert_eq!(called.len(), 1, "{screen}");
    assert!(called[0].contains("@alice the certificate"));
}

#[test]
fn who_may_not_call_everybody_does_not_look_as_if() {
    let mut stage = stage();
    stage.world.members[1].role = Role::Member;
    stage.event(event(EventBody::RoomChanged { chat: "#ops".into(), by: "alice".into() }));
    stage.event(received(&message("#ops", 50, "carol", "hello @room and @Bob")));
    assert_eq!(styles(&stage, "@room and"), [Modifier::empty()]);
    assert_eq!(styles(&stage, "@Bob"), [Modifier::BOLD]);
    let mut called = told(&message("#ops", 51, "carol", "@ALICE!"));
    called.mention = true;
    stage.event(event(EventBody::MessageReceived { message: called }));
    assert!(
        stage.screen().lines().any(|line| line.contains("@ALICE!") && line.contains("@04:")
            || line.contains("@ALICE!") && line.contains("@05:")),
        "{}",
        stage.screen()
    );
}

#[test]
fn a_name_that_the_line_breaks_is_one_mention() {
    let mut world = World::with_room();
    world.put(message("#ops", 60, "bob", "xxxxxxxxxxxxxx@mallory and @malloryx"));
    let stage = Stage::sized(world, 30, 8);
    let buffer = stage.buffer();
    let bold: String = buffer
        .content()
        .iter()
        .filter(|cell| cell.modifier == Modifier::BOLD)
        .map(|cell| cell.symbol())
        .collect();
    assert!(bold.contains("@mallory") && !bold.contains("@malloryx"), "{bold}\n{}", stage.screen());
}

#[test]
fn members_are_completed_where_somebody_is_mentioned() {
    let mut stage = stage();
    stage.type_in("hi @ca").key("Tab");
    assert_eq!(stage.draft(), "hi @carol ");
    stage.key("Ctrl-U").type_in("@").key("Tab");
    assert!(stage.shows("[@bob]  @carol  @erin  @mallory  @room"), "{}", stage.screen());
    stage.key("Ctrl-U").type_in("/kick m").key("Tab");
    assert_eq!(stage.draft(), "/kick mallory ");
    stage.key("Ctrl-U").type_in("/role bob o").key("Tab");
    assert_eq!(stage.draft(), "/role bob owner ");
    stage.key("Ctrl-U").type_in("see #o").key("Tab");
    assert_eq!(stage.draft(), "see #ops ");
    // Who is no moderator calls nobody together.
    stage.world.room_mut("#ops").role = Some(Role::Member);
    stage.send(Msg::Gap);
    stage.key("Ctrl-U").type_in("@r").key("Tab");
    assert_eq!(stage.draft(), "@r");
}

#[test]
fn the_details_tell_who_has_an_own_message_and_who_has_read_it() {
    let mut stage = stage();
    select(&mut stage, "thanks");
    stage.key("i");
    for line in
        ["members delivered to 2 of 4, read by 1", "read by bob", "has it carol", "not told erin, mallory"]
    {
        assert!(lines(&stage).contains(&line.to_owned()), "{line}:\n{}", stage.screen());
    }
    // It goes on while it is looked at.
    stage.world.holders.1.push("carol".to_owned());
    let own = stage.world.messages.iter_mut().find(|message| message.order == 36).unwrap();
    let receipts = Some(RoomReceipts { of: 4, delivered: 2, read: 2 });
    own.marks.receipts = receipts;
    let told = Receipted { by: Some("carol".to_owned()), receipts, ..receipt(own) };
    stage.event(event(EventBody::MessageRead { message: told }));
    assert!(lines(&stage).contains(&"read by bob, carol".to_owned()), "{}", stage.screen());
    stage.key("Esc").key("Esc");
    select(&mut stage, "on it");
    stage.key("i");
    assert!(stage.shows("only its writer is told"), "{}", stage.screen());
}

#[test]
fn the_details_say_so_where_nobody_tells() {
    let mut world = World::with_room();
    world.room_mut("#ops").members = 51;
    let mut stage = Stage::sized(world, 140, 40);
    select(&mut stage, "thanks");
    stage.key("i");
    assert!(stage.shows("nobody tells in rooms of more than 50 members"), "{}", stage.screen());
}

#[test]
fn the_details_of_a_direct_message_tell_the_same() {
    for (state, line) in [
        (MessageState::Read, "bob has read it"),
        (MessageState::Delivered, "bob has it, and has not told that it was read"),
        (MessageState::Accepted, "bob has not told that it came"),
    ] {
        let mut world = World::peopled();
        world.messages[2].state = state;
        let mut stage = Stage::new(world);
        select(&mut stage, "yes, 0 lost");
        stage.key("i");
        assert!(stage.shows(line), "{}", stage.screen());
    }
}

#[test]
fn an_own_message_is_changed_and_the_draft_waits() {
    let mut stage = stage();
    stage.type_in("a draft");
    select(&mut stage, "thanks");
    assert!(stage.shows("r reply  e edit  d delete  + react  p pin  y copy  i info"), "{}", stage.screen());
    stage.key("e");
    assert_eq!((stage.model.place(), stage.draft()), (Place::Write, "thanks"));
    assert!(stage.shows("change> thanks") && stage.shows("changes you: thanks   Enter does it"));
    // The draft that waits is what the store keeps.
    stage.type_in(" a lot").pass(3_000).send(Msg::Tick);
    assert_eq!(stage.world.chat("#ops").draft, "a draft");
    stage.key("Enter");
    assert_eq!(stage.draft(), "a draft");
    assert_eq!(stage.notice(), "the message is changed");
    assert!(stage.shows("thanks a lot") && stage.shows("[changed]"), "{}", stage.screen());
    // Esc, Ctrl-C and another chat leave it as it is.
    for way in ["Esc", "Ctrl-C", "Alt-2"] {
        select(&mut stage, "thanks");
        stage.key("e").type_in("!").key(way).key("Alt-1");
        assert_eq!(stage.draft(), "a draft", "{way}");
        assert!(stage.desk().composer.aimed.is_none());
    }
    assert_eq!(asked(&stage, |request| matches!(request, Request::MessageEdit { .. })), 1);
    assert_eq!(stage.sent(), []);
}

#[test]
fn a_text_that_begins_with_a_slash_stays_a_text_when_it_is_changed() {
    let mut stage = stage();
    select(&mut stage, "thanks");
    stage.key("e").key("Ctrl-U").enter("/quit");
    let edits = |request: &Request| matches!(request, Request::MessageEdit { text, .. } if text == "/quit");
    assert_eq!(asked(&stage, edits), 1);
    assert!(stage.effects.is_empty());
    select(&mut stage, "/quit");
    stage.key("e").key("Ctrl-U").key("Enter");
    assert!(stage.notice().contains("cannot be empty"));
}

#[test]
fn a_command_from_the_palette_is_no_text_of_a_message() {
    let mut stage = stage();
    stage.type_in("a draft");
    select(&mut stage, "thanks");
    stage.key("e").key("Ctrl-P").type_in("/topic").key("Enter");
    assert_eq!((stage.draft(), stage.desk().composer.aimed.is_none()), ("/topic ", true));
    stage.enter("new");
    assert_eq!(asked(&stage, |request| matches!(request, Request::MessageEdit { .. })), 0);
    assert_eq!(asked(&stage, |request| matches!(request, Request::RoomTopic { .. })), 1);
    stage.key("Up").key("Up");
    assert_eq!(stage.draft(), "a draft");
}

#[test]
fn a_refused_change_comes_back_into_the_line() {
    let mut stage = stage();
    select(&mut stage, "thanks");
    stage.world.refuse = Some(ApiError::new(Kind::Refused, "you are muted in #ops"));
    stage.key("e").type_in("!").key("Enter");
    assert_eq!(stage.notice(), "you are muted in #ops");
    assert_eq!(stage.draft(), "thanks!");
    assert!(stage.shows("change> thanks!"));
    stage.key("Enter");
    assert!(stage.shows("thanks!") && stage.draft().is_empty());
}

#[test]
fn a_message_is_taken_back_after_a_question() {
    let mut stage = stage();
    select(&mut stage, "thanks");
    stage.key("d");
    assert!(stage.shows("Take it back, for everybody?") && stage.shows("you: thanks"));
    stage.key("Esc");
    assert_eq!(asked(&stage, |request| matches!(request, Request::MessageDelete { .. })), 0);
    stage.key("d").key("y");
    assert_eq!(asked(&stage, |request| matches!(request, Request::MessageDelete { .. })), 1);
    assert!(!stage.shows("you    thanks") && stage.notice() == "the message is taken back");
    assert_eq!(stage.model.place(), Place::Write);
}

#[test]
fn signs_are_put_and_taken_away() {
    let mut stage = stage();
    select(&mut stage, "on it");
    stage.key("+");
    assert!(stage.shows("1  +1") && stage.shows("o  another one"), "{}", stage.screen());
    stage.key("3");
    let reacts = |stage: &Stage, wanted: &str, gone: bool| {
        asked(
            stage,
            |request| matches!(request, Request::MessageReact { sign, undo, .. } if sign == wanted && *undo == gone),
        )
    };
    assert_eq!(reacts(&stage, "👍", false), 1);
    assert!(stage.shows("[👍]"), "{}", stage.screen());
    select(&mut stage, "on it");
    stage.key("+").key("1");
    assert_eq!(reacts(&stage, "👍", true), 1);
    assert!(!stage.shows("[👍]"));
    stage.type_in("draft");
    select(&mut stage, "on it");
    stage.key("+").key("o");
    assert!(stage.shows("sign>") && stage.shows("a sign beside carol: on it"), "{}", stage.screen());
    stage.enter("wow");
    assert_eq!((reacts(&stage, "wow", false), stage.draft()), (1, "draft"));
}

#[test]
fn a_pin_is_set_and_taken_away() {
    let mut stage = stage();
    select(&mut stage, "the certificate");
    stage.key("p");
    assert_eq!(stage.notice(), "the message is not pinned any more");
    select(&mut stage, "the certificate");
    stage.key("p");
    assert_eq!(stage.notice(), "the message is pinned");
    assert!(stage.shows("[pinned  +1 2]"), "{}", stage.screen());
}

#[test]
fn what_one_may_not_do_with_a_message_is_said_before_it_is_asked_for() {
    let mut world = World::with_room();
    world.room_mut("#ops").role = Some(Role::Member);
    let mut stage = Stage::sized(world, 140, 40);
    let before = stage.world.asked.len();
    select(&mut stage, "on it");
    for (key, why) in [
        ("e", "only its writer can change a message"),
        ("d", "you have no right to take back what others wrote"),
        ("p", "you have no right to pin messages here"),
    ] {
        stage.key(key);
        assert!(stage.notice().contains(why), "{key}: {}", stage.notice());
        assert_eq!(stage.model.place(), Place::Select);
    }
    stage.key("Esc").key("Shift-Up").key("k").key("e");
    assert!(stage.notice().contains("only with what somebody wrote"), "{}", stage.notice());
    assert_eq!(stage.world.asked.len(), before);
}

#[test]
fn chats_with_one_person_say_what_only_rooms_offer() {
    let mut stage = Stage::new(World::peopled());
    stage.key("Shift-Up");
    assert!(stage.shows("r reply  y copy  i info  (e d + p: in rooms only)"), "{}", stage.screen());
    let before = stage.world.asked.len();
    for key in ["e", "d", "+", "p"] {
        stage.key(key);
        assert_eq!(stage.notice(), "only in rooms, so far: not yet in chats with one person");
    }
    assert_eq!(stage.world.asked.len(), before);
    stage.key("r");
    assert!(stage.shows("answers bob:"));
}

#[test]
fn a_reply_in_a_room_names_its_message() {
    let mut stage = stage();
    select(&mut stage, "on it");
    stage.key("r").enter("good");
    let sent = stage.world.asked.iter().find_map(|request| match request {
        Request::MessageSend(send) => Some((send.to.clone(), send.reply_to.clone())),
        _ => None,
    });
    let on_it = stage.world.messages.iter().find(|message| message.order == 35).unwrap().id.clone();
    assert_eq!(sent, Some((vec!["#ops".to_owned()], Some(on_it))));
    assert!(stage.shows("> carol: on it, @bob"), "{}", stage.screen());
}

#[test]
fn what_others_do_with_a_message_far_back_is_seen_too() {
    let mut world = World::with_room();
    for order in 100..400 {
        world.put(message("#ops", order, "bob", &format!("message {order}")));
    }
    let mut stage = Stage::sized(world, 140, 40);
    for _ in 0..6 {
        stage.key("PgUp");
    }
    let open = stage.desk().open.as_ref().unwrap();
    let lines = open.timeline.messages();
    assert!(lines.len() > PAGE as usize + 50);
    let far = lines[lines.len() - PAGE as usize - 50].clone();
    let known = stage.world.messages.iter_mut().find(|message| message.id == far.id).unwrap();
    known.marks.pinned = true;
    let touched = Touched { id: far.id.clone(), chat: "#ops".into(), author: "bob".into(), by: "bob".into() };
    stage.event(event(EventBody::MessagePinned { touched }));
    let open = stage.desk().open.as_ref().unwrap();
    assert!(open.timeline.find(far.order).unwrap().marks.pinned);
}

#[test]
fn the_room_is_told_that_somebody_writes_and_not_with_every_key() {
    let mut stage = stage();
    let told = |stage: &Stage, end: bool| {
        asked(stage, |request| matches!(request, Request::ChatTyping { stopped, .. } if *stopped == end))
    };
    stage.type_in("hello, all of you");
    assert_eq!((told(&stage, false), told(&stage, true)), (1, 0));
    stage.pass(2_500).type_in("!");
    assert_eq!(told(&stage, false), 2);
    stage.pass(60_000).send(Msg::Tick);
    stage.pass(60_000).send(Msg::Tick);
    assert_eq!(told(&stage, false), 2, "a line that lies there is nobody who writes");
    stage.key("Enter");
    assert_eq!((told(&stage, false), told(&stage, true)), (2, 1));
    stage.enter("/members").key("Esc");
    stage.key("Alt-2").type_in("hi");
    assert_eq!((told(&stage, false), told(&stage, true)), (2, 1), "neither commands nor people are told of");
}

#[test]
fn who_writes_is_shown_also_beside_what_was_done() {
    let mut stage = stage();
    let typing = |from: &str| event(EventBody::TypingStarted { chat: "#ops".into(), from: from.into() });
    stage.event(typing("bob"));
    assert!(stage.shows("bob writes..."));
    select(&mut stage, "the certificate");
    stage.key("p");
    assert!(stage.shows("bob writes...   the message is not pinned any more"), "{}", stage.screen());
    stage.event(event(EventBody::TypingStopped { chat: "#ops".into(), from: "bob".into() }));
    assert!(!stage.shows("writes"));
}

// --- What goes wrong: a clear line, and nothing is lost. ---

fn relay(code: ErrorCode) -> ApiError {
    refused(&ErrorFrame::new(code, ""))
}

#[test]
fn a_refused_command_says_why_and_comes_back_to_be_corrected() {
    let long = "x".repeat(300);
    for (line, error, says) in [
        ("/join #nowhere", relay(ErrorCode::UnknownRoom), "there is no such room"),
        ("/join #ops", relay(ErrorCode::Banned), "you are banned from this room"),
        (
            "/create --public ops",
            relay(ErrorCode::SlugTaken),
            "this slug, or one that looks like it, is taken",
        ),
        (
            &*format!("/create {long}"),
            ApiError::new(Kind::Usage, "a room's name has at most 64 characters and 256 bytes"),
            "at most 64 characters",
        ),
        (
            &*format!("/topic {long}"),
            ApiError::new(Kind::Usage, "the topic is too long: at most 512 bytes"),
            "at most 512 bytes",
        ),
        (
            "/kick bob",
            ApiError::new(Kind::Refused, "you have no right to remove bob").hint("ask an owner of the room"),
            "you have no right to remove bob. ask an owner of the room",
        ),
        ("/invite dave", relay(ErrorCode::RoomFull), "the room is full"),
        (
            "/role bob owner",
            ApiError::new(Kind::Unreachable, "the relay cannot be reached"),
            "the relay cannot be reached",
        ),
    ] {
        let mut stage = stage();
        stage.world.refuse = Some(error);
        stage.enter(line);
        assert!(stage.notice().contains(says), "{line}: {}", stage.notice());
        assert_eq!(stage.draft(), line);
        assert_eq!(stage.here(), "#ops");
        assert!(stage.shows(&says[..says.len().min(20)]), "{}", stage.screen());
    }
}

#[test]
fn what_was_begun_meanwhile_is_not_replaced_by_a_refused_command() {
    let mut stage = stage();
    stage.answers = false;
    stage.enter("/kick bob").type_in("meanwhile");
    stage.world.refuse = Some(relay(ErrorCode::RoomFull));
    stage.answer_waiting();
    assert_eq!(stage.draft(), "meanwhile");
    assert!(stage.notice().contains("the room is full"));
}

#[test]
fn a_text_that_a_room_refuses_comes_back() {
    for error in [
        ApiError::new(Kind::Refused, "you are muted in #ops").hint("ask a moderator of the room"),
        ApiError::new(Kind::Refused, "you are not in #ops any more"),
        ApiError::new(Kind::Refused, "this device is cut off from #ops"),
    ] {
        let mut stage = stage();
        let says = error.message.to_string();
        stage.world.refuse_send = Some(error);
        stage.enter("hear me");
        assert!(stage.notice().starts_with(&says), "{}", stage.notice());
        assert_eq!(stage.draft(), "hear me");
    }
}

#[test]
fn where_one_stands_in_a_room_is_said_above_it() {
    for (state, visibility, says) in [
        (RoomState::Removed, Visibility::Private, "! You are not in this room any more: only an invitation"),
        (
            RoomState::Removed,
            Visibility::Public,
            "! You are not in this room any more: /join asks to come back.",
        ),
        (RoomState::Left, Visibility::Public, "You left this room: /join asks to come back."),
        (RoomState::CutOff, Visibility::Private, "! The relay has not kept what was said here"),
        (RoomState::Joining, Visibility::Public, "The relay has not let you in yet."),
    ] {
        let mut stage = stage();
        stage.world.room_mut("#ops").state = Some(state);
        stage.world.room_mut("#ops").visibility = visibility;
        stage.event(event(EventBody::RoomLeft { chat: "#ops".into(), by: Some("bob".into()) }));
        assert!(stage.shows(says), "{state:?}:\n{}", stage.screen());
        assert!(stage.shows("thanks"), "what was said stays");
    }
}

#[test]
fn a_muted_member_is_told_and_may_still_read() {
    let mut stage = stage();
    stage.world.members[0].muted = true;
    stage.event(event(EventBody::RoomChanged { chat: "#ops".into(), by: "bob".into() }));
    assert!(stage.shows("! Moderators keep you from writing here."), "{}", stage.screen());
    assert!(stage.shows("you muted"));
    stage.event(received(&message("#ops", 70, "bob", "still here")));
    assert!(stage.shows("still here"));
}

#[test]
fn members_that_are_not_told_are_no_empty_room() {
    let mut world = World::with_room();
    world.room_mut("#ops").state = Some(RoomState::Removed);
    let stage = Stage::sized(world, 140, 40);
    assert!(stage.shows(" not in it"), "{}", stage.screen());
    assert_eq!(asked(&stage, |request| matches!(request, Request::RoomMembers { .. })), 0);
}

#[test]
fn what_is_written_offline_waits_and_goes_out_in_order() {
    use subrosa_client::api::ConnectionState;
    let mut stage = stage();
    let down = ConnectionState::Down { reason: SafeText::single_line("no route"), retry_in_ms: 4_000 };
    stage.world.status.connection = down.clone();
    stage.event(event(EventBody::ConnectionDown { connection: down }));
    stage.world.status.queued = 3;
    for text in ["one", "two", "three"] {
        stage.enter(text);
    }
    assert!(stage.shows("offline") && stage.shows("queued 3"), "{}", stage.screen());
    let marks = |stage: &Stage| {
        let lines = lines(stage);
        ["one", "two", "three"].map(|text| {
            let said = format!(" you {text} ");
            let line = lines.iter().find_map(|line| line.split_once(&said)).map(|(_, rest)| rest);
            line.and_then(|rest| rest.split(['│', ' ']).next()).unwrap_or_default().to_owned()
        })
    };
    assert_eq!(marks(&stage), ["..", "..", ".."], "{}", stage.screen());
    assert_eq!(
        stage.sent().iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    let sent: Vec<Message> = stage.world.messages.iter().rev().take(3).rev().cloned().collect();
    stage.world.status.queued = 0;
    stage.world.status.connection = ConnectionState::Up { transport: "quic".into(), rtt_ms: 20 };
    stage.event(event(EventBody::ConnectionUp { connection: stage.world.status.connection.clone() }));
    for (at, message) in sent.iter().enumerate() {
        stage.world.messages.iter_mut().find(|known| known.id == message.id).unwrap().state =
            MessageState::Accepted;
        stage.event(event(EventBody::MessageAccepted { message: receipt(message) }));
        assert_eq!(marks(&stage).iter().filter(|mark| *mark == "o").count(), at + 1);
    }
    assert!(!stage.shows("queued"));
}

#[test]
fn nothing_of_a_room_writes_control_bytes() {
    let mut world = World::with_room();
    let nasty = "\u{1b}[2J\u{202e}x\u{7}@alice\u{9b}31m";
    let room = world.room_mut("#ops");
    room.topic = SafeText::single_line(nasty);
    world.listed = vec![ListedRoom {
        slug: "s".into(),
        name: SafeText::name(nasty),
        description: SafeText::single_line(nasty),
        id: "1".repeat(26),
        members: 1,
        state: None,
        chat: None,
    }];
    let mut called = message("#ops", 80, "mallory", nasty);
    called.marks.mention = true;
    called.marks.reactions =
        vec![subrosa_client::api::SignOf { sign: SafeText::single_line(nasty), by: vec!["bob".to_owned()] }];
    world.put(called);
    world.members[2].name = SafeText::single_line(nasty).to_string();
    let mut stage = Stage::sized(world, 140, 40);
    for keys in [&["F8", "F8"][..], &["Shift-Up", "i"], &["Esc", "+"], &["Esc", "Esc"], &["Ctrl-P"], &["Esc"]]
    {
        for key in keys {
            stage.key(key);
        }
        assert!(stage.buffer().content().iter().all(|cell| !cell.symbol().contains(char::is_control)));
    }
    stage.enter("/rooms");
    assert!(stage.buffer().content().iter().all(|cell| !cell.symbol().contains(char::is_control)));
}

// --- What makes a large room quick. ---

#[test]
fn what_a_drawing_costs_is_bounded_by_the_screen_and_not_by_the_history() {
    let costs = |count: i64| {
        let mut world = World::with_room();
        world.members.extend((0..995).map(|n| member(&format!("m{n:03}"), Role::Member, Trust::Unverified)));
        for order in 100..100 + count {
            let text = format!("message {order} for @m{:03} and @bob", order % 900);
            world.put(message("#ops", order, "carol", &text));
        }
        let mut stage = Stage::sized(world, 140, 40);
        for _ in 0..30 {
            stage.key("PgUp");
        }
        let theme = Theme::new(true);
        let open = stage.desk().open.as_ref().unwrap();
        let newest = open.timeline.last().unwrap().order;
        let built = |act: &dyn Fn(&Context<'_>)| {
            let context = Context::new(&stage.model, &theme, open, 90);
            act(&context);
            context.built()
        };
        [
            built(&|context| drop(timeline::visible(context, 37))),
            built(&|context| assert!(timeline::scrolled(context, 37, -3) != Position::Bottom)),
            built(&|context| assert!(timeline::scrolled(context, 37, 35) != Position::Bottom)),
            built(&|context| {
                assert!(
                    timeline::revealing(context, 37, newest) != Position::Bottom || !open.timeline.more_after
                )
            }),
        ]
    };
    let (short, long) = (costs(450), costs(10_000));
    for (few, many) in short.iter().zip(&long) {
        // One line a message: a screen of them, and for scrolling the screens on both sides.
        assert!(*few <= 4 * 37 && *many <= 4 * 37, "{short:?} {long:?}");
        assert!(many <= &(few + 3), "{short:?} {long:?}");
    }
}

#[test]
fn a_room_is_made_with_the_flags_of_the_verb_and_shown() {
    let mut stage = stage();
    stage.enter("/create --public --slug on-call --topic \"who is on call\" --large The \"on call\" room");
    let made = stage.world.asked.iter().find_map(|request| match request {
        Request::RoomCreate(create) => Some(create.clone()),
        _ => None,
    });
    let made = made.unwrap();
    assert_eq!((made.public, made.large, made.slug.as_deref()), (true, true, Some("on-call")));
    assert_eq!((made.topic.as_str(), made.name.as_str()), ("who is on call", "The \"on call\" room"));
    for (line, says) in [
        ("/create --slug", "--slug needs a value"),
        ("/create --pubic ops", "/create knows no --pubic"),
        ("/create --public", "/create NAME [FLAGS]"),
        ("/create ops --private", "/create knows no --private: it takes --public, --large"),
        ("/create ops --public=yes", "--public takes no value"),
    ] {
        stage.key("Ctrl-U").enter(line);
        assert!(stage.notice().contains(says), "{line}: {}", stage.notice());
        assert_eq!(stage.draft(), line, "it comes back to be corrected");
    }
    let mut stage = self::stage();
    stage.enter("/show");
    for line in ["you joined", "members 5", "topic deploys and pages"] {
        assert!(lines(&stage).contains(&line.to_owned()), "{line}:\n{}", stage.screen());
    }
    // One whose suite is not known says nothing of it.
    assert!(!stage.shows("suite"), "{}", stage.screen());
    stage.key("Esc").enter("/show lobby");
    assert_eq!(asked(&stage, |request| matches!(request, Request::RoomShow { room } if room == "lobby")), 1);
}

#[test]
fn flags_stand_before_or_after_what_they_belong_to() {
    let mut stage = stage();
    for line in ["/create On call --public", "/create --public \"On call\"", "/create On --public call"] {
        stage.enter(line);
    }
    stage.enter("/create -- --public");
    let made = |request: &Request| match request {
        Request::RoomCreate(create) => Some((create.name.clone(), create.public)),
        _ => None,
    };
    let made: Vec<_> = stage.world.asked.iter().filter_map(made).collect();
    let public = ("On call".to_owned(), true);
    assert_eq!(made, [public.clone(), public.clone(), public, ("--public".to_owned(), false)]);
}

#[test]
fn commands_about_somebody_take_a_room_and_one_name_as_their_verbs_do() {
    let mut stage = stage();
    let before = stage.world.asked.len();
    let lines = [
        ("/invite dave carol", "/invite [#ROOM] NAME"),
        ("/kick bob --force", "/kick knows no --force: it takes no flags"),
        ("/ban", "/ban [#ROOM] NAME"),
        ("/unban --all", "/unban knows no --all"),
        ("/role bob king", "/role [#ROOM] NAME owner|moderator|member"),
        ("/role bob owner now", "/role [#ROOM] NAME owner"),
        ("/mute bob --undoo", "/mute knows no --undoo: did you mean --undo?"),
        ("/leave #ops now", "/leave [ROOM]"),
        ("/join #ops now", "/join [ROOM]"),
        ("/join", "/join [ROOM]"),
        ("/rename --name x", "/rename knows no --name"),
        ("/topic --nome", "/topic knows no --nome: did you mean --none?"),
        ("/topic calm --none", "not both"),
        ("/react +1 --und", "/react knows no --und: did you mean --undo?"),
    ];
    for (line, says) in lines {
        stage.key("Ctrl-U").enter(line);
        assert!(stage.notice().contains(says), "{line}: {}", stage.notice());
        assert_eq!(stage.draft(), line);
    }
    let changes =
        |request: &&Request| !matches!(request, Request::ChatDraft { .. } | Request::ChatRead { .. });
    assert_eq!(stage.world.asked[before..].iter().filter(changes).count(), 0, "{:?}", stage.world.asked);
    stage.key("Ctrl-U");
    for (line, wanted) in [
        ("/kick #friends @bob", Request::RoomKick { room: "#friends".into(), name: "bob".into() }),
        (
            "/role #ops bob member",
            Request::RoomRole { room: "#ops".into(), name: "bob".into(), role: Role::Member },
        ),
        ("/mute --undo bob", Request::RoomMute { room: "#ops".into(), name: Some("bob".into()), undo: true }),
        ("/mute #ops", Request::RoomMute { room: "#ops".into(), name: None, undo: false }),
        ("/renew", Request::RoomRenew { room: "#ops".into() }),
    ] {
        stage.world.room("#friends", "");
        stage.enter(line);
        assert_eq!(asked(&stage, |request| *request == wanted), 1, "{line}: {}", stage.notice());
    }
}

#[test]
fn a_topic_is_told_before_it_is_set_or_removed() {
    let mut stage = stage();
    let set = |stage: &Stage| {
        let topic = |request: &Request| match request {
            Request::RoomTopic { topic, .. } => Some(topic.clone()),
            _ => None,
        };
        stage.world.asked.iter().filter_map(topic).collect::<Vec<_>>()
    };
    stage.enter("/topic");
    assert!(stage.notice().starts_with("topic: deploys and pages"), "{}", stage.notice());
    assert!(set(&stage).is_empty());
    stage.enter("/topic on call: \"carol\"").enter("/topic --none");
    assert_eq!(set(&stage), ["on call: \"carol\"", ""]);
    assert_eq!(stage.notice(), "the topic is removed");
    let mut world = World::with_room();
    world.room_mut("#ops").topic = SafeText::default();
    let mut stage = Stage::sized(world, 140, 40);
    stage.enter("/topic");
    assert_eq!(stage.notice(), "#ops has no topic: /topic TEXT sets one");
}

#[test]
fn hints_of_the_engine_are_slash_commands_here() {
    let mut stage = stage();
    stage.world.refuse = Some(
        ApiError::new(Kind::Refused, "a room needs an owner")
            .hint("make somebody an owner first: rosa room role '#ops' NAME owner"),
    );
    stage.enter("/leave");
    assert_eq!(stage.notice(), "a room needs an owner. make somebody an owner first: /role #ops NAME owner");
}

#[test]
fn a_refusal_is_told_whole_also_on_a_narrow_screen() {
    for (width, height) in [(80, 24), (40, 12)] {
        let mut stage = Stage::sized(World::with_room(), width, height);
        let rows = |stage: &Stage| stage.screen().lines().filter(|line| !line.starts_with("cursor")).count();
        let before = rows(&stage);
        stage.world.refuse = Some(
            ApiError::new(Kind::Refused, "this device is cut off from #ops: it was away for too long")
                .hint("ask an owner or moderator for an invitation"),
        );
        stage.enter("/kick bob");
        let screen = lines(&stage).join(" ");
        assert!(screen.contains("cut off from #ops"), "{screen}");
        assert!(screen.contains("for an invitation"), "{width}: {screen}");
        assert!(stage.shows("#ops> /kick bob"), "{}", stage.screen());
        assert_eq!(rows(&stage), before);
        stage.key("Ctrl-U").type_in("x");
        assert!(!stage.shows("invitation"), "{}", stage.screen());
    }
    // No more than a quarter of the screen, whatever the relay says.
    let mut stage = Stage::sized(World::with_room(), 40, 10);
    stage.world.refuse = Some(ApiError::new(Kind::Refused, "no ".repeat(400)));
    stage.enter("/kick bob");
    assert_eq!(stage.screen().lines().filter(|line| line.contains("no no")).count(), 2, "{}", stage.screen());
}

#[test]
fn a_public_room_that_one_is_out_of_is_joined_again_by_the_bare_command() {
    for state in [RoomState::CutOff, RoomState::Left, RoomState::Removed] {
        let mut world = World::with_room();
        world.room_mut("#ops").state = Some(state);
        world.room_mut("#ops").visibility = Visibility::Public;
        let mut stage = Stage::sized(world, 140, 40);
        assert!(stage.shows("/join asks to come back"), "{}", stage.screen());
        stage.enter("/join");
        assert_eq!(stage.notice(), "you are in #ops");
        assert_eq!(
            asked(&stage, |request| matches!(request, Request::RoomJoin { room } if room == "#ops")),
            1
        );
    }
    let mut world = World::with_room();
    world.room_mut("#ops").state = Some(RoomState::CutOff);
    world.room_mut("#ops").visibility = Visibility::Private;
    let stage = Stage::sized(world, 140, 40);
    assert!(stage.shows("a member must add you again"), "{}", stage.screen());
}

#[test]
fn who_took_a_message_back_and_who_declined_is_told() {
    let mut world = World::with_room();
    let by = |name: &str| MessageKind::Deleted { by: Some(name.to_owned()) };
    let line =
        |order, kind| Message { from: "carol".to_owned(), kind, ..message("#ops", order, "carol", "") };
    world.put(line(50, by("carol")));
    world.put(line(51, by("bob")));
    world.put(line(52, MessageKind::Deleted { by: None }));
    world.put(Message { from: "dave".to_owned(), ..notice("#ops", 53, MessageKind::MemberDeclined {}) });
    let role = MessageKind::RoleChanged { name: "bob".to_owned(), role: Role::Member };
    world.put(Message { from: "alice".to_owned(), ..notice("#ops", 54, role.clone()) });
    world.put(Message { from: "bob".to_owned(), ..notice("#ops", 55, role) });
    let stage = Stage::sized(world, 140, 40);
    for says in [
        "-- a message of carol, deleted by bob --",
        "-- dave declined the invitation --",
        "-- alice took bob's role away --",
        "-- bob gave up the role here --",
    ] {
        assert!(stage.shows(says), "{says}:\n{}", stage.screen());
    }
    assert_eq!(stage.screen().matches("carol took this back").count(), 2, "{}", stage.screen());
}

#[test]
fn who_was_invited_and_has_not_accepted_is_marked() {
    let mut world = World::with_room();
    world.members.push(Member { invited: true, ..member("dave", Role::Member, Trust::Unverified) });
    let mut stage = Stage::sized(world, 140, 40);
    assert!(stage.shows("│ dave           invited"), "{}", stage.screen());
    stage.enter("/members");
    assert!(stage.shows("invited, has not accepted, unverified"), "{}", stage.screen());
}

#[test]
fn a_room_that_one_is_banned_from_or_that_the_relay_denies_says_so() {
    let mut world = World::with_room();
    let ban = MessageKind::MemberBanned { name: "alice".to_owned() };
    world.put(Message { from: "bob".to_owned(), ..notice("#ops", 50, ban) });
    world.room_mut("#ops").state = Some(RoomState::Removed);
    let stage = Stage::sized(world, 140, 40);
    assert!(stage.shows("! You are banned from this room"), "{}", stage.screen());
    assert!(!stage.shows("/join"), "{}", stage.screen());
    let mut world = World::with_room();
    world.room_mut("#ops").denied = true;
    let mut stage = Stage::sized(world, 140, 40);
    assert!(stage.shows("! The relay says that you are not in this room"), "{}", stage.screen());
    stage.enter("/rooms");
    assert!(stage.shows("#ops  the relay says that you are not in it"), "{}", stage.screen());
    stage.world.refuse_send = Some(ApiError::new(Kind::Refused, "the relay says that you are not in #ops"));
    stage.key("Esc").enter("hello?");
    assert_eq!((stage.draft(), stage.notice()), ("hello?", "the relay says that you are not in #ops"));
}

#[test]
fn an_own_message_that_others_overtook_stands_behind_them_and_once() {
    let mut stage = stage();
    let own = message("#ops", 70, "alice", "who was first?");
    let other = message("#ops", 71, "bob", "it was me");
    stage.event(event(EventBody::MessageQueued { message: told(&own) }));
    stage.event(event(EventBody::MessageReceived { message: told(&other) }));
    let place = |stage: &Stage, text: &str| {
        let screen = stage.screen();
        let places: Vec<usize> = screen.match_indices(text).map(|(at, _)| at).collect();
        assert_eq!(places.len(), 1, "{text}:\n{screen}");
        places[0]
    };
    assert!(place(&stage, "who was first?") < place(&stage, "it was me"));
    stage.event(event(EventBody::MessageMoved { id: own.id, chat: "#ops".into(), order: 72 }));
    assert!(place(&stage, "who was first?") > place(&stage, "it was me"));
}
