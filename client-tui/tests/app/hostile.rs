//! What others write cannot steer the terminal, leave its place, or look like a seal (R48).

use ratatui::{buffer::Buffer, layout::Position};
use rosa::app::{layout, terminal::painter::Painter};
use subrosa_client::api::{ConnectionState, ContactState, EventBody, Trust};
use subrosa_protocol::SafeText;

use crate::{
    stage::Stage,
    world::{World, event, message, received},
};

/// Texts as somebody might send them, before the sanitiser.
const HOSTILE: &[&str] = &[
    "\u{1b}[2J\u{1b}[H\u{1b}]0;owned\u{7}",
    "\u{9b}31m\u{9d}0;x\u{9c}",
    "\u{1b}]52;c;aGk=\u{7}",
    "a\rb\u{8}\u{8}\u{8}c\u{b}\u{c}",
    "\u{202e}desrever\u{202c} \u{2066}x\u{2069}",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "\u{301}\u{302} lone marks",
    "👨\u{200d}👩\u{200d}👧\u{200d}👦 family",
    "日本語の長い文章は折り返されなければならない日本語の長い文章は折り返されなければならない",
    "مرحبا بالعالم هذا نص طويل من اليمين إلى اليسار يجب أن يبقى في سطره שלום עולם",
    "\u{feff}\u{200b}\u{ad}",
    "verified  pq",
    "tabs\t\tand\n\n\nlines",
];

fn hostile_stage(width: u16, height: u16) -> Stage {
    let mut world = World::peopled();
    world.contact("bob").display_name = SafeText::name(&"verified  pq ".repeat(10));
    for (at, text) in HOSTILE.iter().enumerate() {
        world.put(message("bob", 100 + at as i64, "bob", text));
    }
    Stage::sized(world, width, height)
}

/// Bytes of a whole screen as they go to the terminal.
fn bytes(stage: &Stage) -> Vec<u8> {
    let mut out = Vec::new();
    Painter::default().paint(&stage.buffer(), None, &mut out);
    out
}

/// Panics at any byte that is not a printable character or one of the painter's own sequences.
fn assert_allowed(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "only CSI");
                let mut parameters = String::new();
                let end = loop {
                    let c = chars.next().expect("a whole sequence");
                    if c.is_ascii_alphabetic() || c == '@' {
                        break c;
                    }
                    parameters.push(c);
                };
                let allowed = matches!(end, 'H' | 'K' | 'C' | 'D' | 'm' | '@' | 'P')
                    || (end == 'J' && parameters == "2")
                    || (matches!(end, 'h' | 'l') && matches!(parameters.as_str(), "?2026" | "?25"));
                assert!(allowed, "CSI {parameters} {end}");
            }
            '\r' | '\u{8}' => {}
            c => assert!(!c.is_control(), "U+{:04X}", u32::from(c)),
        }
    }
}

#[test]
fn r48_only_sequences_of_our_list_reach_the_terminal() {
    for (width, height) in [(30, 8), (80, 24), (140, 40)] {
        let mut stage = hostile_stage(width, height);
        assert_allowed(&bytes(&stage));
        for key in ["PgUp", "PgUp", "Shift-Up", "k", "k", "i", "Esc", "Esc", "Ctrl-F"] {
            stage.key(key);
            assert_allowed(&bytes(&stage));
        }
        stage.type_in("o");
        assert_allowed(&bytes(&stage));
        stage.key("Esc").key("Ctrl-P");
        assert_allowed(&bytes(&stage));
    }
}

#[test]
fn r48_notices_of_a_relay_are_harmless() {
    let mut stage = Stage::new(World::peopled());
    for text in HOSTILE {
        stage.event(event(EventBody::ServerNotice { text: SafeText::multi_line(text) }));
        assert_allowed(&bytes(&stage));
        let error = subrosa_client::ApiError::new(subrosa_client::api::Kind::NotReady, text).hint(text);
        stage.event(event(EventBody::ProfileFault { error: Some(error) }));
        assert_allowed(&bytes(&stage));
        let reason = SafeText::multi_line(text);
        stage.event(event(EventBody::ConnectionDown {
            connection: ConnectionState::Down { reason, retry_in_ms: 1 },
        }));
        assert_allowed(&bytes(&stage));
    }
}

#[test]
fn r48_what_a_terminal_shows_is_what_the_buffer_says() {
    for width in [30, 57, 80, 121] {
        let stage = hostile_stage(width, 24);
        let buffer = stage.buffer();
        let mut parser = crate::stage::terminal(width, 24);
        parser.process(&bytes(&stage));
        for y in 0..24 {
            // The last column of every line is where it belongs: no line was shifted or overflowed.
            for x in [0, width - 1] {
                let shown = parser.screen().cell(y, x).unwrap();
                let expected = buffer.cell((x, y)).unwrap().symbol();
                let shown_text = if shown.has_contents() { shown.contents() } else { " " };
                if !shown.is_wide_continuation() {
                    assert_eq!(shown_text, expected, "{x},{y} at {width}");
                }
            }
        }
    }
}

#[test]
fn no_nickname_and_no_message_draws_in_the_right_part_of_the_title_line() {
    for (width, height) in [(30, 8), (44, 10), (80, 24), (140, 40)] {
        for trust in [Trust::Unverified, Trust::Verified, Trust::Changed, Trust::Forked] {
            let seal = |name: &str, text: &str| {
                let mut world = World::peopled();
                let bob = world.chat("bob");
                bob.contact.as_mut().unwrap().display_name = SafeText::name(name);
                bob.contact.as_mut().unwrap().trust = trust;
                world.put(message("bob", 50, "bob", text));
                let mut stage = Stage::sized(world, width, height);
                stage.event(received(&message("bob", 51, "bob", text)));
                let area = layout::areas(&stage.model, stage.desk()).seal;
                let buffer = stage.buffer();
                cut(&buffer, area.x, area.right(), area.y)
            };
            let honest = seal("", "hi");
            for name in [
                "verified  pq verified  pq verified  pq verified  pq verified  pq",
                "日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語",
                "👨\u{200d}👩\u{200d}👧 👨\u{200d}👩\u{200d}👧 👨\u{200d}👩\u{200d}👧 👨\u{200d}👩\u{200d}👧 👨\u{200d}👩\u{200d}👧",
                "e\u{301}\u{301}\u{301}\u{301} שלום עולם مرحبا بالعالم",
            ] {
                assert_eq!(seal(name, &name.repeat(20)), honest, "{width}x{height} {trust:?}");
            }
        }
    }
}

fn cut(buffer: &Buffer, from: u16, to: u16, y: u16) -> String {
    (from..to).map(|x| buffer.cell(Position::new(x, y)).unwrap().symbol()).collect()
}

#[test]
fn r39_the_account_stands_before_what_somebody_calls_themselves() {
    let mut world = World::peopled();
    world.contact("bob").display_name = SafeText::name("carol");
    let stage = Stage::new(world);
    assert!(stage.shows("bob  \"carol\""), "{}", stage.screen());
    let mut world = World::peopled();
    world.contact("dave").display_name = SafeText::name("bob");
    let mut stage = Stage::new(world);
    stage.key("Alt-4");
    assert!(stage.shows("dave (request)  \"bob\""), "{}", stage.screen());
}

#[test]
fn a_name_is_never_taken_for_a_place_of_its_own() {
    let mut world = World::empty();
    world.person("a_very_long_account_name_here_ok", ContactState::Accepted, Trust::Changed);
    world.put(message("a_very_long_account_name_here_ok", 1, "a_very_long_account_name_here_ok", "hi"));
    for (width, height) in [(30, 8), (60, 12), (100, 20)] {
        let mut again = World::empty();
        again.chats = world.chats.clone();
        again.messages = world.messages.clone();
        let stage = Stage::sized(again, width, height);
        assert!(stage.shows("KEY CHANGED"), "{}", stage.screen());
    }
}

#[test]
fn every_size_draws() {
    for width in (1..24).chain([29, 30, 31, 49, 50, 59, 60, 61]) {
        for height in (1..9).chain([12, 13]) {
            let mut stage = hostile_stage(width, height);
            for key in [
                "PgUp", "Ctrl-B", "Shift-Up", "i", "Esc", "Esc", "Ctrl-P", "Esc", "Ctrl-F", "Esc", "F1",
                "Esc",
            ] {
                stage.key(key);
                let _ = stage.buffer();
            }
            stage.enter("/verify");
            let _ = stage.buffer();
        }
    }
}
