//! The line mode: lines that are only ever appended, and not one escape byte.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use rosa::app::{ExitReason, Session, Settings, plain};
use subrosa_client::{
    Request,
    api::{ContactState, EventBody},
};
use tokio::sync::mpsc;

use crate::world::{Shared, TestDoor, World, Written, event, message, received, told};

struct Running {
    out: Written,
    shared: Shared,
    lines: Option<mpsc::Sender<String>>,
    ended: tokio::task::JoinHandle<anyhow::Result<ExitReason>>,
}

impl Running {
    fn start(world: World, typed: bool) -> Self {
        let shared = Shared::new(world);
        let out = Written::default();
        let door = Arc::new(TestDoor { shared: shared.clone(), locked: Arc::default() });
        let session = Session {
            profile: "default".to_owned(),
            door,
            open: Some(Arc::new(shared.clone())),
            chat: None,
            settings: Settings::default(),
            scratch: None,
            lock_ends: false,
        };
        let (lines, from_lines) = mpsc::channel(100);
        let to = out.clone();
        let ended = tokio::spawn(plain::run_on(session, from_lines, to, typed, jiff::tz::TimeZone::UTC));
        Self { out, shared, lines: Some(lines), ended }
    }

    async fn line(&self, line: &str) -> String {
        self.lines.as_ref().unwrap().send(line.to_owned()).await.unwrap();
        self.settle().await
    }

    async fn settle(&self) -> String {
        tokio::time::sleep(Duration::from_millis(80)).await;
        String::from_utf8(std::mem::take(&mut *self.out.0.lock().unwrap())).unwrap()
    }

    async fn end(mut self) -> (ExitReason, String) {
        self.lines = None;
        let reason = self.ended.await.unwrap().unwrap();
        let rest = String::from_utf8(std::mem::take(&mut *self.out.0.lock().unwrap())).unwrap();
        (reason, rest)
    }
}

#[tokio::test]
async fn a_whole_session_reads_like_a_transcript() {
    let running = Running::start(World::peopled(), false);
    let mut transcript = running.settle().await;
    for line in [
        "hello bob",
        "/msg erin",
        "/verify",
        "",
        "/trust erin",
        "t",
        "/msg dave",
        "/accept",
        "/serach x",
        "i/help",
        "s",
        "/search relay",
        "/help verify",
        "/status",
    ] {
        transcript.push_str(&format!("$ {line}\n"));
        transcript.push_str(&running.line(line).await);
    }
    let new = message("bob", 70, "bob", "are you\nstill there?\u{1b}[2J");
    running.shared.world().put(new.clone());
    running.shared.world().emit(received(&new));
    transcript.push_str(&running.settle().await);
    let (reason, rest) = running.end().await;
    transcript.push_str(&rest);
    assert_eq!(reason, ExitReason::Quit);
    assert!(transcript.chars().all(|c| c == '\n' || !c.is_control()), "not one escape byte");
    // The year is left out in its own year.
    insta::assert_snapshot!(transcript.replace(" Nov 2025", " Nov"));
}

#[tokio::test]
async fn the_help_is_the_same_commands() {
    let running = Running::start(World::peopled(), false);
    running.settle().await;
    let help = running.line("/help").await;
    for key in ["Ctrl-", "PgUp", "Alt-", "F1", "/keys"] {
        assert!(!help.contains(key), "{key} is not of the line mode: {help}");
    }
    for command in rosa::app::commands::COMMANDS.iter().filter(|command| command.name != "keys") {
        assert!(help.contains(&format!("{}: {}", command.usage(), command.help)), "{}", command.name);
    }
}

#[tokio::test]
async fn a_script_is_carried_out_to_its_end() {
    let running = Running::start(World::peopled(), false);
    for line in ["/msg frank first", "second", "/quit"] {
        running.lines.as_ref().unwrap().send(line.to_owned()).await.unwrap();
    }
    let shared = running.shared.clone();
    let (reason, _) = running.end().await;
    assert_eq!(reason, ExitReason::Quit);
    let world = shared.world();
    let texts: Vec<(&str, &str)> = world
        .asked
        .iter()
        .filter_map(|request| match request {
            Request::MessageSend(send) => Some((send.to[0].as_str(), send.text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(texts, [("frank", "first"), ("frank", "second")]);
}

#[tokio::test]
async fn lines_that_come_at_once_from_a_person_are_a_paste() {
    let running = Running::start(World::peopled(), true);
    running.settle().await;
    for line in ["hello", "/quit"] {
        running.lines.as_ref().unwrap().send(line.to_owned()).await.unwrap();
    }
    let asked = running.settle().await;
    assert!(asked.contains("2 lines came at once"), "{asked}");
    assert!(!running.ended.is_finished());
    running.line("s").await;
    let sent = running
        .shared
        .world()
        .asked_for(|request| matches!(request, Request::MessageSend(send) if send.text == "hello\n/quit"));
    assert_eq!(sent, 1);
}

#[tokio::test]
async fn requests_are_told_apart() {
    let running = Running::start(World::peopled(), false);
    let first = running.settle().await;
    assert!(
        first.contains("dave wants to write to you. /msg dave shows it, /accept dave accepts"),
        "{first}"
    );
    running.line("/accept dave").await;
    assert_eq!(running.shared.world().contact("dave").state, ContactState::Accepted);
}

#[tokio::test]
async fn r49_locking_ends_the_line_mode_and_says_so_once() {
    let running = Running::start(World::peopled(), false);
    running.settle().await;
    running.lines.as_ref().unwrap().send("/lock".to_owned()).await.unwrap();
    let (reason, said) = running.end().await;
    assert_eq!(reason, ExitReason::Locked);
    assert_eq!(said, "* locked\n");
}

#[tokio::test]
async fn a_question_mark_alone_is_help_and_no_message() {
    let running = Running::start(World::peopled(), false);
    running.settle().await;
    let help = running.line("?").await;
    assert!(help.contains("/msg NAME [TEXT]: "), "{help}");
    let missing = running.line("/nonsense").await;
    assert!(missing.contains("? helps") && !missing.contains("F1"), "{missing}");
    assert_eq!(running.shared.world().asked_for(|request| matches!(request, Request::MessageSend(_))), 0);
}

#[tokio::test]
async fn opening_a_chat_tells_its_newest_messages_and_own_ones_with_them() {
    let mut world = World::peopled();
    for order in 20..40 {
        let from = if order % 3 == 0 { "carol" } else { "alice" };
        world.put(message("carol", order, from, &format!("text {order}")));
    }
    let running = Running::start(world, false);
    running.settle().await;
    // First, and from another chat.
    for chat in ["carol", "erin", "carol"] {
        let shown = running.line(&format!("/msg {chat}")).await;
        if chat == "carol" {
            let texts: Vec<&str> =
                shown.lines().filter_map(|line| Some(line.split_once(": text ")?.1)).collect();
            assert_eq!(texts, (30..40).map(|order| order.to_string()).collect::<Vec<_>>(), "{shown}");
        } else {
            assert!(shown.contains("is it really you?"), "{shown}");
        }
    }
    // What is typed stands there already; what was written elsewhere on this device does not.
    assert_eq!(running.line("typed").await, "");
    let elsewhere = message("carol", 70, "alice", "from a script");
    running.shared.world().put(elsewhere.clone());
    running.shared.world().emit(event(EventBody::MessageQueued { message: told(&elsewhere) }));
    let said = running.settle().await;
    assert!(said.contains("you: from a script"), "{said}");
}

#[tokio::test]
async fn a_reader_that_had_enough_ends_the_line_mode_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shared = Shared::new(World::peopled());
    let session = Session {
        profile: "default".to_owned(),
        door: Arc::new(TestDoor { shared: shared.clone(), locked: Arc::default() }),
        open: Some(Arc::new(shared)),
        chat: None,
        settings: Settings::default(),
        scratch: None,
        lock_ends: false,
    };
    let (_lines, from_lines) = mpsc::channel(1);
    let ended = plain::run_on(session, from_lines, Closed, false, jiff::tz::TimeZone::UTC).await;
    assert_eq!(ended.unwrap(), ExitReason::Quit);
}
