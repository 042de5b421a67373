//! A relay with 100,000 envelopes queued is killed while it writes, and is ready again within two seconds (issue's goal;
//! the number of envelopes is `SUBROSA_QUEUED`, 100000).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use subrosa_tests::{
    World,
    faults::{Side, setting},
    ledger::Ledger,
    relay::RelayOptions,
    report::did,
    world::FAST,
};

/// Envelopes that one mailbox may hold.
const MAILBOX: u64 = 10_000;

/// Puts envelopes into the mailboxes of accounts that nobody has: copies of bob's row and of one of his envelopes, so that
/// they are of the form that the relay itself writes.
fn fill(data: &Path, envelopes: u64) {
    let conn = Connection::open(data.join("rosad.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN",
    )
    .unwrap();
    let original: i64 = conn.query_row("SELECT body FROM envelopes LIMIT 1", [], |row| row.get(0)).unwrap();
    let last: i64 = conn.query_row("SELECT max(id) FROM bodies", [], |row| row.get(0)).unwrap();
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
    let sql = format!(
        "{numbers} INSERT INTO bodies (id, body) SELECT ?2 + i, body FROM n, bodies WHERE bodies.id = ?3"
    );
    conn.execute(&sql, (envelopes.cast_signed(), last, original)).unwrap();
    for mailbox in 0..envelopes.div_ceil(MAILBOX) {
        let first = mailbox * MAILBOX;
        let count = MAILBOX.min(envelopes - first).cast_signed();
        let sql = "INSERT INTO accounts (name, display_name, account_key, opaque_record, admin, list_version, highest_device)
                   SELECT 'queued' || ?1, '', account_key, opaque_record, 0, list_version, highest_device
                   FROM accounts WHERE name = 'bob'";
        conn.execute(sql, [mailbox.cast_signed()]).unwrap();
        let account = conn.last_insert_rowid();
        let sql = "INSERT INTO devices (account, device, signing_key, last_seen_day, next_seq, pending, pending_bytes)
                   SELECT ?1, 1, signing_key, last_seen_day, ?2 + 1, ?2, ?2 * size
                   FROM devices, (SELECT size FROM envelopes LIMIT 1) LIMIT 1";
        conn.execute(sql, [account, count]).unwrap();
        let device = conn.last_insert_rowid();
        // Ids are random: their index is written all over, as a real one is.
        let sql = format!(
            "{numbers} INSERT INTO envelopes (device, seq, id, accepted_at, size, body)
             SELECT ?2, i, randomblob(16), accepted_at, size, ?3 + i FROM n, envelopes WHERE body = ?4"
        );
        conn.execute(&sql, (count, device, last + first.cast_signed(), original)).unwrap();
        let sql = "INSERT INTO accepted (device, first, last, ids)
                   SELECT device, min(seq), max(seq), unhex(group_concat(hex(id) || printf('%016X', accepted_at), '' ORDER BY seq))
                   FROM envelopes WHERE device = ?1 GROUP BY seq / 64";
        conn.execute(sql, [device]).unwrap();
    }
    conn.execute_batch("COMMIT; PRAGMA journal_mode = WAL").unwrap();
}

#[test]
fn a_killed_relay_with_a_hundred_thousand_envelopes_is_ready_within_two_seconds() {
    let queued = setting("SUBROSA_QUEUED", 100_000);
    let mut world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    alice.run(&["send", "bob", "the envelope that is copied"]).ok();
    world.relay.terminate();
    let filling = Instant::now();
    fill(&world.relay.data, queued);
    let filling = filling.elapsed();
    world.restart_relay();
    let mut alice = Side::new(world.path(), alice, "bob");
    alice.start(400);
    let mut slowest = Duration::ZERO;
    for round in 1..=3 {
        // While it writes: alice's messages come all the time.
        let accepted = Ledger::read(&alice.ledger).accepted.len();
        let began = Instant::now();
        while Ledger::read(&alice.ledger).accepted.len() < accepted + 40 {
            assert!(began.elapsed() < Duration::from_secs(60), "round {round}: {}", alice.said());
            thread::sleep(Duration::from_millis(5));
        }
        world.relay.kill();
        let began = Instant::now();
        world.restart_relay();
        slowest = slowest.max(began.elapsed());
    }
    alice.kill();
    bob.run(&["recv"]).ok();
    let counted = Connection::open(world.relay.data.join("rosad.db")).unwrap();
    let waiting: i64 = counted.query_row("SELECT count(*) FROM envelopes", [], |row| row.get(0)).unwrap();
    assert!(waiting.cast_unsigned() >= queued, "{waiting}");
    did(&format!(
        "readiness: {queued} envelopes queued (written in {} s), killed 3 times while writing, ready after {} ms at most",
        filling.as_secs(),
        slowest.as_millis()
    ));
    assert!(slowest < Duration::from_secs(2), "ready after {slowest:?}");
}
