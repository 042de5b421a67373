//! Somebody was away while a room was written to: all of it is fetched from the relay's log, decrypted, stored and shown,
//! beside OpenMLS alone, which decrypts as many messages in memory.

use std::time::{Duration, Instant};

use subrosa_rooms::Suite;

use crate::{
    alone::Alone,
    child::Measured,
    size,
    table::Table,
    usage::{Usage, this_thread_ns},
};

/// Bytes of a text; with its header it is padded to 1,024 (R46).
const TEXT: u64 = 120;
/// Posts that are asked for at once.
const FLIGHT: u64 = 128;

pub(crate) fn run() {
    let count = size("SUBROSA_CLIENT_MISSED", 10_000);
    let (alone_ns, alone_wall) = alone(usize::try_from(count).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let relay = Measured::relay(dir.path());
    let mut alice = Measured::person("alice", &relay.ready, dir.path());
    let mut bob = Measured::person("bob", &relay.ready, dir.path());
    alice.tell("room create ops");
    bob.tell("room join ops");
    alice.tell(&format!("send #ops 1 {TEXT} 1 accepted"));
    bob.tell("shown 1");
    bob.tell("stop");
    let (used, used_relay) = (alice.usage(), relay.usage());
    let sent = alice.tell(&format!("send #ops {count} {TEXT} {FLIGHT} accepted"));
    let (used, used_relay) = (alice.usage().since(used), relay.usage().since(used_relay));
    let columns = [
        "",
        "entries/s",
        "CPU ms/1,000",
        "relay's CPU ms/1,000",
        "OpenMLS in memory",
        "x its CPU",
        "x its time",
    ];
    let mut table = Table::new(&format!("{count} entries of a room that somebody missed"), &columns);
    table.row(&row("posted, one after the other", count, Duration::from_micros(sent[0]), used, used_relay));
    let (used, used_relay) = (bob.usage(), relay.usage());
    bob.tell("start");
    let begun = Instant::now();
    bob.tell(&format!("shown {count}"));
    let took = begun.elapsed();
    let (used, used_relay) = (bob.usage().since(used), relay.usage().since(used_relay));
    let mut cells = row("recovered (connected to displayed)", count, took, used, used_relay);
    cells[4] = format!("{:.0}/s", count as f64 / alone_wall.as_secs_f64());
    cells[5] = format!("{:.2}", used.cpu_ns as f64 / count as f64 / alone_ns);
    cells[6] = format!("{:.2}", took.as_secs_f64() / alone_wall.as_secs_f64());
    table.row(&cells);
    table.print();
}

fn row(what: &str, count: u64, took: Duration, used: Usage, relay: Usage) -> Vec<String> {
    vec![
        what.to_owned(),
        format!("{:.0}", count as f64 / took.as_secs_f64()),
        format!("{:.0}", used.ms_per_thousand(count)),
        format!("{:.0}", relay.ms_per_thousand(count)),
        String::new(),
        String::new(),
        String::new(),
    ]
}

/// CPU time of one message that OpenMLS decrypts, in ns, and how long all of them take.
fn alone(count: usize) -> (f64, Duration) {
    let (mut alice, mut bob) = (Alone::new("alice"), Alone::new("bob"));
    let suite = Suite::ALL[0].mls();
    alice.create(suite);
    let (_, welcome) = alice.commit(vec![bob.package(suite)], None, false);
    bob.join(&welcome.unwrap());
    let messages: Vec<_> = (0..count).map(|_| alice.seal(&[7; 1_024])).collect();
    let (cpu, begun) = (this_thread_ns(), Instant::now());
    for message in &messages {
        bob.read(message);
    }
    ((this_thread_ns() - cpu) as f64 / count as f64, begun.elapsed())
}
