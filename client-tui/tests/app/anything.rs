//! Whatever is pressed in whatever order: nothing panics, everything draws, and only text leaves.

use std::process::Command;

use proptest::prelude::*;
use rosa::app::{
    keymap::BINDINGS,
    terminal::{Screen, restore_on_panic, sequences},
    update::Msg,
};
use subrosa_client::{
    ApiError,
    api::{EventBody, KeyChange, Kind, MessageKind, Touched},
};
use subrosa_protocol::SafeText;

use crate::{
    stage::Stage,
    world::{World, event, message, notice, receipt, received},
};

#[derive(Debug, Clone)]
enum Step {
    Key(usize),
    Type(String),
    Paste(String),
    Line(String),
    Resize(u16, u16),
    Focus(bool),
    Wheel(isize),
    Click(u16, u16),
    Message(usize, String),
    Event(usize, usize),
    Pass(u64),
    Edited(String),
    Unlock,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = BINDINGS.len();
    prop_oneof![
        12 => (0..keys).prop_map(Step::Key),
        4 => "[a-z/@ ?nN日e\u{301}]{1,6}".prop_map(Step::Type),
        1 => "(/[a-z]{1,5}|[a-z\n]{0,12}|.{0,6})".prop_map(Step::Paste),
        1 => "/(msg|add|verify|trust|search|reply|help|keys|status|accept|rooms|topic|kick|edit|react) ?[a-z]{0,5}".prop_map(Step::Line),
        1 => (1u16..150, 1u16..45).prop_map(|(w, h)| Step::Resize(w, h)),
        1 => any::<bool>().prop_map(Step::Focus),
        1 => (-9isize..9).prop_map(Step::Wheel),
        1 => (0u16..90, 0u16..30).prop_map(|(x, y)| Step::Click(x, y)),
        3 => (0usize..5, "(.|@alice|@room|\n|\u{5d0}|日){0,80}").prop_map(|(chat, text)| Step::Message(chat, text)),
        2 => (0usize..13, 0usize..5).prop_map(|(kind, chat)| Step::Event(kind, chat)),
        1 => (0u64..700_000).prop_map(Step::Pass),
        1 => "(/q|[a-z\n]{0,9})".prop_map(Step::Edited),
        2 => Just(Step::Unlock),
    ]
}

const CHATS: [&str; 5] = ["bob", "carol", "erin", "dave", "#ops"];

fn take(stage: &mut Stage, step: Step) {
    let order = stage.world.messages.last().map_or(1, |last| last.order + 1);
    match step {
        Step::Key(at) => drop(stage.key(BINDINGS[at].keys[0]).now),
        Step::Type(text) => drop(stage.type_in(&text).now),
        Step::Paste(text) => stage.send(Msg::Paste(text)),
        Step::Line(text) => stage.send(Msg::Line(text)),
        Step::Resize(width, height) => stage.send(Msg::Resize(width, height)),
        Step::Focus(focused) => stage.send(Msg::Focus(focused)),
        Step::Wheel(lines) => stage.send(Msg::Wheel(lines)),
        Step::Click(column, row) => stage.send(Msg::Click { column, row }),
        Step::Message(chat, text) => {
            let from = if chat == 4 { "mallory" } else { CHATS[chat] };
            let mut new = message(CHATS[chat], order, from, &text);
            new.marks.mention = chat == 4 && order % 2 == 0;
            stage.world.put(new.clone());
            stage.event(received(&new));
        }
        Step::Event(kind, chat) => {
            let name = CHATS[chat].to_owned();
            let last = stage
                .world
                .messages
                .iter()
                .rev()
                .find(|m| matches!(m.kind, MessageKind::Text { .. }))
                .unwrap()
                .clone();
            let body = match kind {
                0 => EventBody::MessageRead { message: receipt(&last) },
                1 => EventBody::MessageAccepted { message: receipt(&last) },
                2 => {
                    stage.world.put(notice(&name, order, MessageKind::Missing { count: 3 }));
                    EventBody::MessageMissing { chat: name.clone(), from: name, device: 1, count: 3 }
                }
                3 => EventBody::ContactRequested { name },
                4 => EventBody::IdentityChanged {
                    change: KeyChange { name, old_number: None, new_number: None, held: 0 },
                },
                5 => EventBody::SyncDone {},
                6 => EventBody::ServerNotice { text: SafeText::multi_line("a\nnotice") },
                7 => EventBody::ProfileFault {
                    error: (order % 2 == 0).then(|| ApiError::new(Kind::NotReady, "the disk is full")),
                },
                8 => EventBody::SystemGap { from: 1, to: 2 },
                9 => EventBody::RoomMemberAdded { chat: name, name: "zed".into(), by: "bob".into() },
                10 => {
                    stage.world.members.truncate(usize::try_from(order % 6).unwrap());
                    EventBody::RoomChanged { chat: name, by: "bob".into() }
                }
                11 => {
                    let touched = Touched {
                        id: last.id.clone(),
                        chat: last.chat.clone(),
                        author: last.from.clone(),
                        by: "bob".into(),
                    };
                    EventBody::MessagePinned { touched }
                }
                _ => EventBody::DeviceLinked { name, device: 2 },
            };
            stage.event(event(body));
        }
        Step::Pass(ms) => stage.pass(ms).send(Msg::Tick),
        Step::Edited(text) => stage.send(Msg::Edited(Ok(text))),
        Step::Unlock => {
            if stage.model.desk().is_none() {
                stage.send(Msg::Unlocked(Ok(())));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn whatever_happens_the_screen_draws_and_commands_are_never_sent(steps in prop::collection::vec(step(), 1..80)) {
        let mut stage = Stage::new(World::with_room());
        for step in steps {
            take(&mut stage, step);
            let buffer = stage.buffer();
            let clean = buffer.content().iter().all(|cell| !cell.symbol().contains(char::is_control));
            prop_assert!(clean);
        }
        // A text that begins with a slash goes out only when somebody doubled it, or said so in answer to a question.
        prop_assert!(stage.sent().iter().all(|(_, text)| !text.is_empty()));
        prop_assert!(rosa::app::update::next_tick(&stage.model) > stage.now);
    }
}

/// Run by the test below, in a terminal of its own.
#[test]
#[ignore = "panics on purpose"]
fn panics_on_purpose() {
    restore_on_panic();
    let mut screen = Screen::real(std::io::stdout(), true);
    screen.enter().unwrap();
    std::mem::forget(screen);
    panic!("on purpose \u{1b}[31m");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let me = std::env::current_exe().unwrap();
    let run = format!(
        "{} --exact anything::panics_on_purpose --ignored --nocapture --test-threads=1; stty -a",
        me.display()
    );
    let Ok(output) =
        Command::new("script").args(["-qec", &run, "/dev/null"]).stdin(std::process::Stdio::null()).output()
    else {
        eprintln!("left out: there is no script(1) here to make a terminal");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let leave = String::from_utf8_lossy(sequences::LEAVE);
    let (before, after) = said.split_once(&*leave).unwrap_or_else(|| panic!("not left: {said:?}"));
    assert!(before.contains("\u{1b}[?1049h"));
    assert!(after.contains("rosa failed at") && after.contains("on purpose [31m"), "{after:?}");
    assert!(after.contains(" icanon") && after.contains(" echo "), "{after:?}");
}
