//! Blindness: after real traffic, nothing that the relay must not know is in its files, its rows or its logs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};
use subrosa_tests::{World, programs::program, relay::RelayOptions, scan};

/// Every value of every row of every table.
fn rows(database: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut values = Vec::new();
    for table in tables {
        let mut all = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns: Vec<String> = all.column_names().iter().map(|name| format!("{table}.{name}")).collect();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for (index, column) in columns.iter().enumerate() {
                let bytes = match row.get_ref(index).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                    ValueRef::Integer(number) => number.to_string().into_bytes(),
                    _ => continue,
                };
                values.push((column.clone(), bytes));
            }
        }
    }
    values
}

/// Whether a column belongs to the mailboxes.
fn is_mail(column: &str) -> bool {
    ["envelopes.", "bodies.", "accepted."].iter().any(|table| column.starts_with(table))
}

#[test]
fn the_relay_knows_neither_text_nor_passphrase_nor_sender() {
    // At its most talkative, because logs must be blind too.
    let world = World::with(RelayOptions {
        args: ["--log-level", "trace"].map(str::to_owned).to_vec(),
        ..RelayOptions::default()
    });
    let (alice, bob) = world.friends("alice_the_sender", "bob");
    let carol = world.joined("carol_uninvolved");
    drop(carol);
    let secrets =
        ["xylophone-secret-plaintext-one", "quokka-secret-plaintext-two", "zeppelin-secret-plaintext-three"];
    // Some are fetched and acknowledged, some stay in the mailbox.
    alice.run(&["send", "bob", secrets[0]]).ok();
    bob.run(&["recv"]).ok();
    bob.run(&["send", "alice_the_sender", secrets[1]]).ok();
    alice.run(&["send", "bob", secrets[2]]).ok();

    let data = &world.relay.data;
    // What was accepted stands in the journal for two seconds, then in the tables.
    let mut journal = Vec::new();
    for _ in 0..30 {
        journal = fs::read(data.join("rosad.db.mailbox-journal")).unwrap();
        if journal[4096..].iter().any(|byte| *byte != 0) {
            break;
        }
        alice.run(&["send", "bob", secrets[2]]).ok();
    }
    journal.truncate(journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    assert!(journal.windows(4).any(|window| window == b"bat1"), "nothing was in the journal");
    let everything = || -> Vec<_> {
        scan::files(data)
            .iter()
            .filter(|path| fs::read(path).unwrap().starts_with(b"SQLite format 3\0"))
            .flat_map(|path| rows(path))
            .collect()
    };
    let mut all_rows = everything();
    let began = Instant::now();
    while !all_rows.iter().any(|(column, value)| is_mail(column) && value.len() > 1024) {
        assert!(began.elapsed() < Duration::from_secs(30), "no envelope came into the tables");
        thread::sleep(Duration::from_millis(100));
        all_rows = everything();
    }
    let log = world.relay.log();
    assert!(!log.is_empty(), "the log was not captured");
    assert!(all_rows.len() > 50, "the rows were not read");

    let words = fs::read_to_string(alice.recovery_file()).unwrap();
    let words = words.trim();
    for secret in secrets.iter().copied().chain([alice.passphrase.as_str(), bob.passphrase.as_str(), words]) {
        assert!(scan::hits(data, secret.as_bytes()).is_empty(), "{secret} is in the relay's files");
        assert!(!log.contains(secret), "{secret} is in the relay's log");
        for form in scan::forms(secret.as_bytes()) {
            assert!(!scan::contains(&journal, &form), "{secret} is in the journal");
        }
        for (column, value) in &all_rows {
            for form in scan::forms(secret.as_bytes()) {
                assert!(!scan::contains(value, &form), "{secret} is in {column}");
            }
        }
    }

    // The envelope that waits for bob: nothing of its sender in its row. What could name her: account name, account
    // key, device keys; all of them are in the directory's tables, so they are taken from there.
    let named: Vec<_> = all_rows
        .iter()
        .filter(|(column, value)| {
            !is_mail(column) && value.len() >= 32 && scan::contains(value, b"alice_the_sender")
        })
        .map(|(_, value)| value.clone())
        .collect();
    assert!(!named.is_empty(), "alice's device list is in the directory");
    let mut needles: Vec<Vec<u8>> = vec![b"alice_the_sender".to_vec()];
    for list in &named {
        // Every 32-byte window of the list that is a key is covered by its 16-byte windows.
        needles
            .extend(list.windows(16).step_by(4).map(<[u8]>::to_vec).filter(|w| w.iter().any(|b| *b > 0x7f)));
    }
    let waiting: Vec<_> = all_rows.iter().filter(|(column, _)| is_mail(column)).collect();
    assert!(waiting.iter().any(|(_, value)| value.len() > 1024), "an envelope waits for bob");
    for (column, value) in waiting {
        for needle in &needles {
            assert!(!scan::contains(value, needle), "something of the sender is in {column}");
        }
    }
    // The same for the mailbox journal, where the last envelopes stand whole.
    for needle in &needles {
        assert!(!scan::contains(&journal, needle), "something of the sender is in the journal");
    }
    // At debug levels a log may name accounts; it may never tie a sender to an envelope. At the default level no name
    // appears at all (next test).
}

#[test]
fn r55_the_default_log_names_nobody() {
    let world = World::open();
    let (alice, bob) = world.friends("alice_in_the_log", "bob_in_the_log");
    alice.run(&["send", "bob_in_the_log", "hello there"]).ok();
    bob.run(&["recv"]).ok();
    let log = world.relay.log();
    for secret in ["alice_in_the_log", "bob_in_the_log", "hello there"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
    let metrics = http_get(world.relay.http.as_deref(), "/metrics");
    if let Some(metrics) = metrics {
        assert!(!metrics.contains("alice_in_the_log"));
    }
}

fn http_get(address: Option<&str>, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address?).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    Some(text)
}

#[test]
fn the_relay_binary_contains_no_decryption_path() {
    let binary = fs::read(program("rosad")).unwrap();
    let client = fs::read(program("rosa")).unwrap();
    for symbol in ["subrosa_crypto", "ratchet"] {
        assert!(
            scan::contains(&client, symbol.as_bytes()),
            "the check sees nothing: {symbol} is not even in rosa"
        );
        assert!(!scan::contains(&binary, symbol.as_bytes()), "{symbol} is in rosad");
    }
}

#[test]
fn the_client_keeps_nothing_in_clear() {
    let world = World::open();
    let (alice, bob) = world.friends("alice", "bob");
    let secret = "marmalade-secret-on-disk";
    let daemon = bob.daemon();
    alice.run(&["send", "bob", secret, "--wait", "delivered"]).ok();
    for person in [&alice, &bob] {
        let hits = scan::hits(&person.home.join("data"), secret.as_bytes());
        assert!(hits.is_empty(), "{hits:?}");
        let hits = scan::hits(&person.home.join("data"), person.passphrase.as_bytes());
        assert!(hits.is_empty(), "{hits:?}");
    }
    assert!(!daemon.log().contains(secret));
    // The searched files are the right ones.
    assert!(fs::metadata(bob.profile().join("store.db")).unwrap().len() > 4096);
    let strings = Command::new("file").arg(bob.profile().join("store.db")).output();
    if let Ok(output) = strings {
        assert!(!String::from_utf8_lossy(&output.stdout).contains("SQLite"), "the store is a plain database");
    }
}
