//! The application in a real terminal, as people use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use subrosa_tests::{Person, Terminal, World};

fn open(person: &Person, columns: u16, lines: u16) -> Terminal {
    let terminal = Terminal::run(&person.command(&[]), columns, lines);
    // The lock screen stands before any key is derived.
    let screen = terminal.shows("assphrase");
    assert!(!screen.contains(&person.passphrase));
    terminal.types(&person.passphrase);
    let screen = terminal.screen();
    assert!(!screen.contains(&person.passphrase), "the passphrase is on the screen:\n{screen}");
    terminal.keys(&["Enter"]);
    // While the store opens, keys go nowhere.
    terminal.shows(&format!("{}@", person.name));
    terminal
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "no tmux")]
fn two_people_join_and_chat_in_two_terminals() {
    let world = World::open();
    let (alice, bob) = (world.somebody("alice"), world.somebody("bob"));
    let mut terminals = Vec::new();
    for person in [&alice, &bob] {
        let terminal = Terminal::run(&person.command(&["join", &world.relay.address]), 100, 34);
        terminal.shows("ame");
        terminal.types(&person.name);
        terminal.keys(&["Enter"]);
        terminal.shows("assphrase");
        terminal.types(&person.passphrase);
        terminal.keys(&["Enter"]);
        terminal.shows("gain");
        terminal.types(&person.passphrase);
        terminal.keys(&["Enter"]);
        // 24 recovery words, once, until somebody says that they are written down.
        let words = terminal.shows("yes");
        assert!(words.contains("recovery") && words.contains("24"), "{words}");
        terminal.keys(&["Enter"]);
        terminal.shows("24");
        terminal.types("yes");
        terminal.keys(&["Enter"]);
        terminal.shows(&format!("{}@", person.name));
        terminals.push(terminal);
    }
    let (a, b) = (&terminals[0], &terminals[1]);
    b.types("/msg alice");
    b.keys(&["Enter"]);
    b.shows("alice");
    b.types("hi!");
    b.keys(&["Enter"]);
    b.shows("hi!");
    a.shows("bob");
    a.types("/accept bob");
    a.keys(&["Enter"]);
    a.types("/msg bob");
    a.keys(&["Enter"]);
    a.shows("hi!");
    a.types("hello bob, I see you");
    a.keys(&["Enter"]);
    b.shows("hello bob, I see you");
    // Ctrl-C twice ends it, and gives the terminal back.
    a.keys(&["C-c"]);
    a.keys(&["C-c"]);
    a.shows("ended with 0");
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "no tmux")]
fn the_application_lives_through_resizing_pasting_and_wrong_commands() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let terminal = open(&alice, 100, 30);
    terminal.types("/msg bob");
    terminal.keys(&["Enter"]);
    terminal.types("/nonsense");
    terminal.keys(&["Enter"]);
    terminal.shows("nonsense");
    // A pasted text never runs a command.
    terminal.keys(&["C-c"]);
    terminal.pastes("/quit\n/quit\n");
    // Twice within two seconds would quit.
    std::thread::sleep(std::time::Duration::from_millis(2_300));
    assert!(!terminal.screen().contains("ended with"));
    terminal.keys(&["C-c"]);
    for (columns, lines) in [(30, 8), (140, 40), (60, 12), (30, 8)] {
        terminal.resize(columns, lines);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    // The smallest size still sends.
    terminal.types("small screen");
    terminal.keys(&["Enter"]);
    terminal.shows("small screen");
    assert!(!terminal.screen().contains("ended with"));
    let texts = bob.run(&["recv", "--filter", "message.received", "--timeout", "15s"]).texts();
    assert_eq!(texts.last().unwrap(), "small screen");
    assert!(!texts.iter().any(|text| text.contains("nonsense") || text.contains("quit")), "{texts:?}");
}

#[test]
#[cfg_attr(not(has_tmux), ignore = "no tmux")]
fn a_wrong_passphrase_stays_on_the_lock_screen() {
    let world = World::open();
    let alice = world.joined("alice");
    let terminal = Terminal::run(&alice.command(&[]), 80, 24);
    terminal.shows("assphrase");
    terminal.types("wrong");
    terminal.keys(&["Enter"]);
    terminal.shows("rong");
    // The next try has to wait a second.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    terminal.types(&alice.passphrase);
    terminal.keys(&["Enter"]);
    terminal.shows("alice@");
}
