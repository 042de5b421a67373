//! Sending, receiving, and a backlog: two engines, each in a process of its own, on a real relay in a third.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{child::Measured, size, table::Table, usage::Usage, yardstick::Yardstick};

/// Bytes of a text; with its header it is padded to 1,024 (R46).
const TEXT: u64 = 120;
/// Fewer than what a sender may have unacknowledged (R19).
const BACKLOG_AT_ONCE: u64 = 480;

pub(crate) fn run(yardstick: &Yardstick, talk: bool, backlog: bool) {
    let dir = tempfile::tempdir().unwrap();
    let relay = Measured::relay(dir.path());
    let mut alice = Measured::person("alice", &relay.ready, dir.path());
    let mut bob = Measured::person("bob", &relay.ready, dir.path());
    // A request, its acceptance, and sessions both ways.
    alice.tell("send bob 1 20 1 accepted");
    bob.tell("shown 1");
    bob.tell("send alice 1 20 1 accepted");
    alice.tell("shown 1");
    if talk {
        talking(yardstick, &mut alice, &mut bob);
    }
    if backlog {
        fetching(yardstick, &mut alice, &mut bob, dir.path());
    }
}

fn talking(yardstick: &Yardstick, alice: &mut Measured, bob: &mut Measured) {
    let columns = [
        "engine, real padded messages",
        "msg/s",
        "p50 ms",
        "p99 ms",
        "CPU ms/1,000",
        "x ratchet",
        "x sum",
        "waits/msg",
        "KiB to disk/msg",
    ];
    let mut table = Table::new(
        "Two engines, encrypted stores on disk, a relay (text of 120 B, padded to 1,024)",
        &columns,
    );
    let (single, many) = (size("SUBROSA_CLIENT_SINGLE", 500), size("SUBROSA_CLIENT_MESSAGES", 10_000));
    for (what, count, flight) in
        [("one at a time", single, 1), ("16 at a time", many, 16), ("128 at a time", many, 128)]
    {
        let (before, before_bob) = (alice.usage(), bob.usage());
        bob.begin(&format!("shown {count}"));
        let begun = Instant::now();
        let sent = alice.tell(&format!("send bob {count} {TEXT} {flight} accepted"));
        let shown = bob.end();
        let took = begun.elapsed();
        // Receipts are on their way for up to two seconds.
        std::thread::sleep(Duration::from_millis(2_500));
        let (used, used_bob) = (alice.usage().since(before), bob.usage().since(before_bob));
        let sending = row(
            &format!("{what}: sent (asked to accepted)"),
            count,
            Duration::from_micros(sent[0]),
            (sent[1], sent[2]),
            used,
        );
        table.row(&with_ratios(sending, used, count, yardstick.encrypt_ns, yardstick.send_sum_ns));
        let receiving = row(
            &format!("{what}: received (asked to displayed)"),
            count,
            took,
            (shown[0], shown[1]),
            used_bob,
        );
        table.row(&with_ratios(receiving, used_bob, count, yardstick.decrypt_ns, yardstick.receive_sum_ns));
    }
    table.print();
}

/// Cells of one measurement, ratios to be added.
fn row(what: &str, count: u64, took: Duration, (p50, p99): (u64, u64), used: Usage) -> Vec<String> {
    let ms = |us: u64| format!("{:.1}", us as f64 / 1e3);
    vec![
        what.to_owned(),
        format!("{:.0}", count as f64 / took.as_secs_f64()),
        ms(p50),
        ms(p99),
        format!("{:.0}", used.ms_per_thousand(count)),
    ]
}

fn with_ratios(mut row: Vec<String>, used: Usage, count: u64, ratchet_ns: f64, sum_ns: f64) -> Vec<String> {
    let each = used.cpu_ns as f64 / count as f64;
    row.push(format!("{:.1}", each / ratchet_ns));
    row.push(format!("{:.2}", each / sum_ns));
    row.push(format!("{:.2}", used.waits as f64 / count as f64));
    row.push(format!("{:.1}", used.written as f64 / 1024.0 / count as f64));
    row
}

/// So many messages wait in the mailbox of somebody who was away.
fn fetching(yardstick: &Yardstick, alice: &mut Measured, bob: &mut Measured, _: &Path) {
    let count = size("SUBROSA_CLIENT_BACKLOG", 10_000);
    bob.tell("sync");
    bob.tell("stop");
    let mut left = count;
    while left > 0 {
        let now = left.min(BACKLOG_AT_ONCE);
        alice.tell(&format!("send bob {now} {TEXT} 128 accepted"));
        left -= now;
        if left > 0 {
            alice.tell("stop");
            alice.tell("forgive bob");
        }
    }
    bob.tell("start");
    let (before, begun) = (bob.usage(), Instant::now());
    let shown = bob.tell(&format!("shown {count}"));
    let took = begun.elapsed();
    let used = bob.usage().since(before);
    let title = format!("A backlog of {count} messages, fetched from the mailbox");
    let columns = ["", "msg/s", "", "", "CPU ms/1,000", "x ratchet", "x sum", "waits/msg", "KiB to disk/msg"];
    let mut table = Table::new(&title, &columns);
    let mut cells = row("synchronised (connected to displayed)", count, took, (shown[0], shown[1]), used);
    (cells[2], cells[3]) = (String::new(), String::new());
    table.row(&with_ratios(cells, used, count, yardstick.decrypt_ns, yardstick.receive_sum_ns));
    table.print();
}
