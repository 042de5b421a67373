//! Blindness of a relay for rooms, with real programs: after everything that is done in a private room, its name, topic,
//! roles, texts and signs are in none of the relay's files, rows and logs, in no form.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use subrosa_tests::{Person, World, relay::RelayOptions, report::did, scan, world::FAST};

const PATIENCE: Duration = Duration::from_secs(60);

/// Every value of every row of every table.
fn rows(database: &Path) -> Vec<(String, Vec<u8>)> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut values = Vec::new();
    for table in tables {
        let mut all = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns: Vec<String> = all.column_names().iter().map(|name| format!("{table}.{name}")).collect();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (index, column) in columns.iter().enumerate() {
                match row.get_ref(index).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                        values.push((column.clone(), bytes.to_vec()))
                    }
                    _ => {}
                }
            }
        }
    }
    values
}

/// Runs a verb until it succeeds: what it needs may still be on its way.
fn at_last(who: &Person, args: &[&str]) {
    let began = Instant::now();
    loop {
        let outcome = who.run(args);
        if outcome.code == Some(0) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{args:?}: {outcome:?}");
    }
}

/// Waits for an event and returns its data. Events before it are acknowledged.
fn event(who: &Person, event: &str) -> serde_json::Value {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let heard = who.run(&["recv", "--filter", event, "--max", "1", "--timeout", "10s"]);
        if heard.code == Some(0) {
            return heard.lines()[0]["data"].clone();
        }
    }
    panic!("{} never hears {event}", who.name);
}

#[test]
fn a_private_room_is_nowhere_at_the_relay_by_name_topic_role_or_text() {
    // At its most talkative, because logs must be blind too.
    let args = ["--log-level", "trace"].map(str::to_owned).to_vec();
    let world = World::with(RelayOptions { config: FAST.into(), args, ..RelayOptions::default() });
    let (alice, bob) = (world.joined("alice"), world.joined("bob"));
    let (_daemon, reading) = (alice.daemon(), bob.daemon());
    let private = [
        "Xylophone Committee",
        "quokka-topic-of-the-room",
        "Zeppelin Committee",
        "marmalade-second-topic",
        "narwhal-first-text",
        "axolotl-second-text",
        "pangolin-changed-text",
    ];
    // A public room beside it, which the search must find.
    alice.run(&["room", "create", "Kookaburra Lounge", "--public", "--topic", "capybara-public-topic"]).ok();
    alice.run(&["room", "create", private[0], "--topic", private[1]]).ok();
    let label = "#xylophone-committee";
    at_last(&alice, &["room", "invite", label, "bob"]);
    let invited = event(&bob, "room.invited");
    at_last(&bob, &["room", "join", invited["chat"].as_str().unwrap()]);
    let began = Instant::now();
    while !alice.run(&["room", "members", label]).ok().stdout.contains("bob") {
        assert!(began.elapsed() < PATIENCE, "bob does not come in");
    }
    alice.run(&["send", label, private[4]]).ok();
    assert_eq!(event(&bob, "message.received")["text"], private[4]);
    at_last(&alice, &["room", "role", label, "bob", "moderator"]);
    at_last(&alice, &["room", "rename", label, private[2]]);
    at_last(&alice, &["room", "topic", label, private[3]]);
    at_last(&bob, &["room", "show", label]);
    // Bob goes away: what comes now stays in the log.
    drop(reading);
    let sent = alice.run(&["send", label, private[5]]).ok();
    let id = sent.lines()[0]["results"][0]["id"].as_str().unwrap().to_owned();
    alice.run(&["room", "edit", &id, private[6]]).ok();

    let data = &world.relay.data;
    let began = Instant::now();
    let all = loop {
        let all = rows(&data.join("rosad.db"));
        if all.iter().filter(|(column, _)| column == "room_entries.id").count() >= 2 {
            break all;
        }
        assert!(began.elapsed() < PATIENCE, "nothing of the room is in the relay's log");
        std::thread::sleep(Duration::from_millis(50));
    };
    let log = world.relay.log();
    let found = |text: &str| {
        let forms = scan::forms(text.as_bytes());
        let rows = all.iter().filter(|(_, value)| forms.iter().any(|form| scan::contains(value, form)));
        rows.map(|(column, _)| column.as_str()).collect::<Vec<_>>()
    };
    assert!(found("Kookaburra Lounge").contains(&"room_listings.name"), "the search sees what is there");
    assert!(!scan::hits(data, b"Kookaburra Lounge").is_empty());
    // A public room's policy stands in the GroupInfo by which strangers join it.
    assert!(
        found("capybara-public-topic").contains(&"room_bodies.body"),
        "the search sees inside of objects"
    );
    let words = ["moderator", "owners", "xylophone-committee"];
    for secret in private.into_iter().chain(words) {
        assert_eq!(found(secret), Vec::<&str>::new(), "{secret}");
        assert!(scan::hits(data, secret.as_bytes()).is_empty(), "{secret} is in the relay's files");
        assert!(!log.contains(secret), "{secret} is in the relay's log");
    }
    did(&format!("{} values of all tables, all files and the log searched for a private room", all.len()));
}
