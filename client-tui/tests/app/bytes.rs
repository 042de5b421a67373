//! The loop with a terminal that counts: bytes a key press, nothing while idle, and what is left behind.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use futures_util::StreamExt as _;
use rosa::app::{
    ExitReason, Session, Settings,
    keymap::Chord,
    model::Size,
    runtime::Runtime,
    terminal::{Screen, sequences},
    update::Msg,
};
use subrosa_client::Request;
use tokio::sync::mpsc;

use crate::world::{NOW, PASSPHRASE, Shared, TestDoor, World, Written, message, received};

struct Running {
    tty: Written,
    shared: Shared,
    locked: Arc<Mutex<usize>>,
    keys: mpsc::Sender<Msg>,
    ended: tokio::task::JoinHandle<anyhow::Result<ExitReason>>,
}

const SIZE: Size = Size { width: 80, height: 24 };

impl Running {
    /// Runs the application; `open` skips the lock screen.
    fn start(open: bool, lock_ends: bool) -> Self {
        let shared = Shared::new(World::peopled());
        let (tty, locked) = (Written::default(), Arc::new(Mutex::new(0)));
        let door = Arc::new(TestDoor { shared: shared.clone(), locked: Arc::clone(&locked) });
        let session = Session {
            profile: "default".to_owned(),
            door,
            open: open.then(|| Arc::new(shared.clone()) as _),
            chat: None,
            settings: Settings::default(),
            scratch: None,
            lock_ends,
        };
        let (keys, from_keys) = mpsc::channel(100);
        let from_keys = Arc::new(tokio::sync::Mutex::new(from_keys));
        let inputs = Box::new(move || {
            let from_keys = Arc::clone(&from_keys);
            futures_util::stream::unfold(from_keys, |from_keys| async move {
                let msg = from_keys.lock().await.recv().await?;
                Some((msg, from_keys))
            })
            .boxed()
        });
        let screen = Screen::detached(tty.clone());
        let ended =
            tokio::spawn(async move { Runtime::start(session, screen, SIZE, inputs).await?.run().await });
        Self { tty, shared, locked, keys, ended }
    }

    /// Bytes written until nothing more comes for a while.
    async fn settle(&self) -> Vec<u8> {
        let mut seen = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let length = self.tty.0.lock().unwrap().len();
            if length == seen {
                return std::mem::take(&mut *self.tty.0.lock().unwrap());
            }
            seen = length;
        }
    }

    async fn press(&self, label: &str) -> Vec<u8> {
        let chord = Chord::parse(label).unwrap();
        self.keys.send(Msg::Key(KeyEvent::new(chord.code, chord.modifiers))).await.unwrap();
        self.settle().await
    }
}

#[tokio::test]
async fn a_key_press_is_at_most_forty_bytes_and_idling_is_none() {
    // The clock's minute is the one thing that is drawn by itself.
    if rosa::app::runtime::now().0 % 60_000 > 45_000 {
        tokio::time::sleep(Duration::from_secs(16)).await;
    }
    let running = Running::start(true, false);
    let mut screen = crate::stage::terminal(SIZE.width, SIZE.height);
    screen.process(&running.settle().await);
    assert!(screen.screen().contents().contains("did the relay restart?"));

    let mut most = 0;
    for c in "typing a line that is long enough to wrap, éü, and goes on after it, as people do".chars() {
        running.keys.send(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))).await.unwrap();
        let bytes = running.settle().await;
        screen.process(&bytes);
        let wraps = screen.screen().contents().lines().count();
        // Where the composer grows by a line, the conversation above moves; that is not a key's echo.
        if bytes.len() < 200 {
            most = most.max(bytes.len());
            assert!(bytes.len() <= 40, "{c:?} took {} bytes", bytes.len());
        }
        assert!(wraps > 0);
    }
    assert!(most >= 1);
    for label in ["Left", "Left", "Backspace", "x", "Ctrl-A", "y", "Ctrl-E", "Backspace"] {
        let bytes = running.press(label).await;
        screen.process(&bytes);
        assert!(
            bytes.len() <= 40,
            "{label} took {} bytes: {:?}",
            bytes.len(),
            String::from_utf8_lossy(&bytes)
        );
    }
    assert!(screen.screen().contents().contains("yping a line"));

    let start = Instant::now();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let idle = running.settle().await;
    assert_eq!(
        idle.len(),
        0,
        "{} bytes in {:?}: {:?}",
        idle.len(),
        start.elapsed(),
        String::from_utf8_lossy(&idle)
    );
    running.keys.send(Msg::Terminate).await.unwrap();
    assert_eq!(running.ended.await.unwrap().unwrap(), ExitReason::Terminated);
}

#[test]
fn a_minute_costs_a_few_bytes() {
    let mut stage = crate::stage::Stage::new(World::peopled());
    let mut painter = rosa::app::terminal::painter::Painter::default();
    let cursor = Some(ratatui::layout::Position::new(5, 22));
    painter.paint(&stage.buffer(), cursor, &mut Vec::new());
    stage.pass(60_000);
    stage.send(Msg::Tick);
    let mut out = Vec::new();
    painter.paint(&stage.buffer(), cursor, &mut out);
    assert!((1..=40).contains(&out.len()), "{}: {:?}", out.len(), String::from_utf8_lossy(&out));
    assert_eq!(NOW / 60_000 + 1, stage.now.0 / 60_000);
}

#[tokio::test]
async fn the_first_frame_is_the_lock_screen_and_comes_at_once() {
    let start = Instant::now();
    let running = Running::start(false, false);
    let first = loop {
        let bytes = running.tty.0.lock().unwrap().clone();
        if bytes.len() > sequences::ENTER.len() {
            break bytes;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
    let mut screen = crate::stage::terminal(SIZE.width, SIZE.height);
    screen.process(&first);
    assert!(screen.screen().contents().contains("profile default is locked"));
    assert!(running.shared.world().asked.is_empty());
}

#[tokio::test]
async fn a_session_from_the_passphrase_to_the_lock() {
    let running = Running::start(false, false);
    let mut screen = crate::stage::terminal(SIZE.width, SIZE.height);
    for c in PASSPHRASE.chars() {
        running.keys.send(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE))).await.unwrap();
    }
    screen.process(&running.press("Enter").await);
    assert!(screen.screen().contents().contains("yes, 0 lost"), "{}", screen.screen().contents());

    let new = message("bob", 60, "bob", "told by an event");
    running.shared.world().put(new.clone());
    running.shared.world().emit(received(&new));
    screen.process(&running.settle().await);
    assert!(screen.screen().contents().contains("told by an event"));

    running.keys.send(Msg::Paste("a draft".to_owned())).await.unwrap();
    screen.process(&running.press("Alt-L").await);
    assert!(screen.screen().contents().contains("is locked"));
    assert!(!screen.screen().contents().contains("relay"));
    assert_eq!(*running.locked.lock().unwrap(), 1);
    assert_eq!(
        running.shared.world().chat("bob").draft,
        "a draft",
        "what was under way was carried out before"
    );
    assert_eq!(
        Arc::strong_count(&running.shared.0),
        2,
        "nothing but the door and this test holds the engine"
    );
    screen.process(&running.press("Ctrl-C").await);
    let reason = running.ended.await.unwrap().unwrap();
    assert_eq!(reason, ExitReason::Quit);
    assert_eq!(*running.locked.lock().unwrap(), 1);
    screen.process(&std::mem::take(&mut *running.tty.0.lock().unwrap()));
    assert!(
        !screen.screen().alternate_screen()
            && !screen.screen().bracketed_paste()
            && !screen.screen().hide_cursor()
    );
}

#[tokio::test]
async fn r49_locking_can_end_the_program() {
    let running = Running::start(true, true);
    running.settle().await;
    running.press("Alt-L").await;
    assert_eq!(running.ended.await.unwrap().unwrap(), ExitReason::Locked);
    assert_eq!(*running.locked.lock().unwrap(), 1);
}

#[tokio::test]
async fn texts_are_sent_in_the_order_they_were_written() {
    let running = Running::start(true, false);
    running.settle().await;
    for n in 0..50 {
        running.keys.send(Msg::Paste(format!("text {n}"))).await.unwrap();
        running.keys.send(Msg::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE))).await.unwrap();
    }
    running.settle().await;
    running.keys.send(Msg::Terminate).await.unwrap();
    running.ended.await.unwrap().unwrap();
    let world = running.shared.world();
    let sent: Vec<&str> = world
        .asked
        .iter()
        .filter_map(
            |request| if let Request::MessageSend(send) = request { Some(send.text.as_str()) } else { None },
        )
        .collect();
    assert_eq!(sent, (0..50).map(|n| format!("text {n}")).collect::<Vec<_>>());
}

#[test]
fn leaving_undoes_entering() {
    let mut screen = crate::stage::terminal(80, 24);
    screen.process(sequences::ENTER);
    screen.process(sequences::MOUSE_ON);
    assert!(screen.screen().alternate_screen() && screen.screen().bracketed_paste());
    screen.process(b"\x1b[?25l\x1b[1;7m");
    screen.process(sequences::LEAVE);
    assert!(!screen.screen().alternate_screen() && !screen.screen().bracketed_paste());
    assert!(!screen.screen().hide_cursor());
    assert_eq!(screen.screen().mouse_protocol_mode(), vt100::MouseProtocolMode::None);
}
