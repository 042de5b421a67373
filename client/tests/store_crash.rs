//! A process that works on a store is killed at arbitrary moments; afterwards each of its transactions has happened as a
//! whole or not at all, and those it was told of have happened (R21).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use subrosa_client::{
    api::{Direction, EventBody, MessageEvent, MessageKind, MessageState, time::Timestamp},
    store::{NewMessage, NewOutbox, Result, Sent, Store, StoreError, Tx},
};
use subrosa_protocol::{DeviceId, EnvelopeId, MessageId, SafeText, Username};

const KEY: [u8; 32] = [0x42; 32];
/// When the process is killed, in ms after its first transaction; on one store, one after the other.
const KILLS: [u64; 16] = [0, 1, 2, 3, 5, 8, 13, 21, 34, 40, 55, 7, 4, 60, 140, 250];

fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

fn one() -> DeviceId {
    DeviceId::new(1).unwrap()
}

fn id(kind: u8, number: u64) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn line(number: u64, direction: Direction) -> NewMessage {
    let own = direction == Direction::Out;
    NewMessage {
        id: MessageId::from_bytes(id(u8::from(own), number)),
        chat: name("bob").into(),
        direction,
        from: name(if own { "alice" } else { "bob" }),
        device: 1,
        kind: MessageKind::Text {
            text: SafeText::multi_line(&format!("text {number} {}", "pad ".repeat(200))),
        },
        reply_to: None,
        sent_at: Timestamp(number),
        stored_at: Timestamp(number),
        state: if own { MessageState::Queued } else { MessageState::Received },
        reason: None,
        verified: false,
        key: None,
        mention: false,
    }
}

fn event(tx: &Tx<'_>, line: &NewMessage, order: i64) -> Result<()> {
    let message = MessageEvent {
        mention: false,
        id: line.id.to_string(),
        chat: "bob".into(),
        from: line.from.to_string(),
        device: 1,
        text: SafeText::default(),
        reply_to: None,
        expires_at: None,
        verified: false,
        replay: false,
        files: Vec::new(),
        sent_at: line.sent_at,
        order,
    };
    let body = match line.direction {
        Direction::Out => EventBody::MessageQueued { message },
        _ => EventBody::MessageReceived { message },
    };
    tx.append_event("alice@relay", line.stored_at, body).map(drop)
}

/// What sending does to the store: line, event, chain, plaintext, session and sealed envelope.
fn send(tx: &Tx<'_>) -> Result<()> {
    let bob = name("bob");
    let number = tx.advance_outgoing(&bob, one(), &[1; 32])?;
    let new = line(number, Direction::Out);
    let stored = tx.insert_message(&new)?.expect("a fresh id");
    event(tx, &new, stored.order)?;
    let plaintext = number.to_le_bytes().to_vec().into();
    tx.put_sent(&bob, one(), &Sent { counter: number, message: new.id, plaintext }, number)?;
    tx.push_outbox(&NewOutbox {
        account: &bob,
        device: one(),
        envelope: EnvelopeId::from_bytes(id(9, number)),
        sealed: &[number as u8; 1_300],
        message: new.id,
        counter: number,
        queued_at: number,
    })?;
    tx.put_session(&bob, one(), &number.to_le_bytes(), number)
}

/// What receiving does: dedupe, line, event, chain, session, cursor.
fn receive(tx: &Tx<'_>) -> Result<()> {
    let (bob, two) = (name("bob"), DeviceId::new(2).unwrap());
    let number = tx.mailbox_cursor()? + 1;
    assert!(tx.see_envelope(EnvelopeId::from_bytes(id(8, number)), number)?);
    let new = line(number, Direction::In);
    let stored = tx.insert_message(&new)?.expect("a fresh id");
    event(tx, &new, stored.order)?;
    tx.record_incoming(&bob, two, number, &[2; 32])?;
    tx.set_mailbox_cursor(number)?;
    tx.put_session(&bob, two, &number.to_le_bytes(), number)
}

/// The relay accepted the first envelope.
fn accepted(tx: &Tx<'_>) -> Result<()> {
    let bob = name("bob");
    if let Some(first) = tx.outbox_head(&bob, one(), 1, usize::MAX)?.pop() {
        let message = tx.message_from(&name("alice"), first.message)?.expect("its line");
        tx.advance_message(message.order, MessageState::Accepted)?;
        tx.remove_outbox(&[first.id])?;
    }
    Ok(())
}

fn number(record: Option<zeroize::Zeroizing<Vec<u8>>>) -> u64 {
    record.map_or(0, |bytes| u64::from_le_bytes(bytes.as_slice().try_into().unwrap()))
}

/// What the store holds, when all of it fits together: envelopes sent and received.
fn agreeing(store: &Store) -> Result<(u64, u64), String> {
    let bob = name("bob");
    let read = store.read(|tx| {
        let sent = tx.outgoing_chain(&bob, one())?.counter;
        let two = DeviceId::new(2).unwrap();
        let received = tx.incoming_chain(&bob, two)?;
        let waiting = tx.outbox_messages(&bob)?;
        let (mut out, mut queued, mut came) = (0u64, Vec::new(), 0u64);
        let mut after = 0;
        loop {
            let page = tx.history(&bob.clone().into(), None, Some(after), 500)?;
            for message in &page.messages {
                match message.direction {
                    Direction::Out => out += 1,
                    _ => came += 1,
                }
                if message.state == MessageState::Queued {
                    queued.push(message.id.clone());
                }
                after = message.order;
            }
            if !page.more_after {
                break;
            }
        }
        let (first_event, last_event) = tx.event_range()?;
        let waiting: Vec<String> = waiting.iter().map(ToString::to_string).collect();
        let remembered = tx.sent_between(&bob, one(), 0, u64::MAX)?;
        let facts = [
            ("session and chain, sending", number(tx.session(&bob, one())?) == sent),
            ("session and chain, receiving", number(tx.session(&bob, two)?) == received.highest),
            ("a line for each envelope sent", out == sent),
            ("a line for each envelope received", came == received.highest),
            ("nothing missing", received.missing == 0),
            ("queued lines are those in the outbox", queued == waiting),
            ("what was sent is remembered", remembered.last().map_or(0, |s| s.counter) == sent),
            ("the cursor is at the last envelope", tx.mailbox_cursor()? == received.highest),
            ("the generation rose with each", tx.generation()? == sent + received.highest),
            (
                "an event for each line",
                last_event == sent + received.highest && first_event == last_event.min(1),
            ),
        ];
        let wrong: Vec<&str> = facts.iter().filter(|(_, holds)| !holds).map(|(fact, _)| *fact).collect();
        Ok::<_, StoreError>(if wrong.is_empty() {
            Ok((sent, received.highest))
        } else {
            Err(wrong.join(", "))
        })
    });
    let bad: Vec<String> =
        store.check().iter().filter(|i| !i.ok && i.name != "permissions").map(|i| i.name.clone()).collect();
    if !bad.is_empty() {
        return Err(bad.join(", "));
    }
    read.map_err(|error| error.to_string())?
}

/// Not a test: the process that is killed. After each commit it says how many envelopes it sent and received.
#[test]
#[ignore = "a role for other tests"]
fn child() {
    let Some(path) = std::env::var_os("CHILD_STORE") else { return };
    let mut store = Store::open_at(Path::new(&path), &KEY).unwrap();
    let mut out = std::io::stdout();
    for round in 0u64.. {
        let done = store.transaction(|tx| match round % 5 {
            0 | 2 => send(tx),
            1 => receive(tx),
            3 => accepted(tx),
            // One that fails on its way.
            _ => send(tx).and(receive(tx)).and(Err(StoreError::Missing("anything"))),
        });
        assert_eq!(done.is_ok(), round % 5 != 4);
        let told = store.read(|tx| {
            let sent = tx.outgoing_chain(&name("bob"), one())?.counter;
            Ok::<_, StoreError>((sent, tx.mailbox_cursor()?))
        });
        let (sent, received) = told.unwrap();
        writeln!(out, "\ncommitted {sent} {received}").unwrap();
        out.flush().unwrap();
        if round % 50 == 49 {
            let passing = store.transaction(|tx| {
                let line = tx.insert_message(&line(u64::MAX - round, Direction::In))?.expect("a fresh id");
                tx.delete_message(line.order)
            });
            assert!(passing.is_ok());
            store.scrub().unwrap();
        }
    }
}

#[test]
fn r21_transactions_happen_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let mut before = (0, 0);
    for after in KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env("CHILD_STORE", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let commit = |line: String| -> Option<(u64, u64)> {
            let (sent, received) = line.strip_prefix("committed ")?.split_once(' ')?;
            Some((sent.parse().ok()?, received.parse().ok()?))
        };
        let first = lines.by_ref().find_map(commit).expect("a first transaction");
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = lines.filter_map(commit).last().unwrap_or(first);

        let store = Store::open_at(&path, &KEY).unwrap();
        let found = agreeing(&store).unwrap_or_else(|wrong| panic!("killed after {after} ms: {wrong}"));
        assert!(found.0 >= told.0 && found.1 >= told.1, "{found:?} is behind what was told, {told:?}");
        assert!(
            found.0 + found.1 <= told.0 + told.1 + 1,
            "{found:?} is more than one transaction ahead of {told:?}"
        );
        assert!(found.0 > before.0, "each process got on");
        before = found;
    }
}

#[test]
fn the_check_of_the_crash_test_sees_a_torn_transaction() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open_at(&directory.path().join("store.db"), &KEY).unwrap();
    for _ in 0..3 {
        store.transaction(|tx| send(tx).and(receive(tx))).map_err(|e: StoreError| e).unwrap();
    }
    // One transaction raises the generation once: here two that belong together were one.
    assert_eq!(agreeing(&store).unwrap_err(), "the generation rose with each");
    let tears: [fn(&Tx<'_>) -> Result<()>; 4] = [
        |tx| tx.advance_outgoing(&name("bob"), one(), &[0; 32]).map(drop),
        |tx| tx.remove_outbox(&[1]),
        |tx| tx.set_mailbox_cursor(99).map(drop),
        |tx| tx.delete_message(2).map(drop),
    ];
    for (number, tear) in tears.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open_at(&directory.path().join("store.db"), &KEY).unwrap();
        for _ in 0..3 {
            store.transaction(send).unwrap();
            store.transaction(receive).unwrap();
        }
        assert_eq!(agreeing(&store), Ok((3, 3)));
        store.transaction(tear).unwrap();
        assert!(agreeing(&store).is_err(), "tear {number} was not seen");
    }
}
