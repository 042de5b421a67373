//! Disks that fail, are full, or may not be written: by system calls that `strace` makes fail, and on small file systems.
//! Nobody is told that something is kept which is not; the errors say what happened; afterwards everything goes on.
//!
//! Long version: `SUBROSA_FAULTS` single faults for each program (9), `SUBROSA_FAULTS_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use subrosa_tests::{
    Person, RelayProcess, World,
    faults::{
        Dice, Side, SmallDisk, setting,
        side::{judge_both, quiesce},
        stores,
        strace::{SYNCS, inject, works_for},
    },
    ledger::Ledger,
    person::Daemon,
    relay::RelayOptions,
    report::did,
    world::FAST,
};

/// What a store may be told by its system calls. SQLite tries again after the last one by itself.
const FAULTS: [(&str, &str); 5] =
    [(SYNCS, "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), (SYNCS, "ENOSPC"), ("pwrite64", "EINTR")];

/// The seed decides which call fails.
fn fault(number: u64, dice: &mut Dice) -> (Vec<String>, String) {
    let (calls, error) = FAULTS[usize::try_from(number).unwrap() % FAULTS.len()];
    let when = if calls == SYNCS { 3 + dice.below(12) } else { 20 + dice.below(200) };
    (inject(calls, &format!("error={error}:when={when}")), format!("{error} at {calls} {when}"))
}

#[test]
fn r21_r56_single_faults_of_the_disk_lose_nothing_and_double_nothing() {
    if !works_for("single faults of the disk") {
        return;
    }
    let faults = setting("SUBROSA_FAULTS", 9);
    let seed = setting("SUBROSA_FAULTS_SEED", std::process::id().into());
    println!("disk faults: {faults} each, seed {seed}");
    let mut dice = Dice::new(seed);
    let mut world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let mut sides = [Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice")];
    let mut limits = [faults * 100, 0];
    let (mut stopped, mut failed) = (0, 0);

    // The relay's disk fails once. It stops when it cannot know what the disk holds, and goes on when it can.
    sides[0].start(limits[0]);
    sides[1].start(limits[1]);
    for number in 0..faults {
        let (under, what) = fault(number, &mut dice);
        world.relay.kill();
        world.restart_relay_as(RelayOptions { under, config: FAST.into(), ..RelayOptions::default() });
        let began = Instant::now();
        let accepted = Ledger::read(&sides[0].ledger).accepted.len();
        while began.elapsed() < Duration::from_secs(60) {
            if let Some(status) = world.relay.ended() {
                assert_eq!(status.code(), Some(1), "{what}: {}", world.relay.log());
                assert!(
                    world.relay.log().contains("the disk failed to keep a write"),
                    "{}",
                    world.relay.log()
                );
                stopped += 1;
                break;
            }
            if Ledger::read(&sides[0].ledger).accepted.len() > accepted + 60 || sides[0].is_done(limits[0]) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        if world.relay.ended().is_some() {
            world.restart_relay();
        }
    }
    world.relay.kill();
    world.restart_relay();
    quiesce(&mut sides, limits, &format!("seed {seed}"));

    // A client's disk fails once. What it could not keep it says it did not send.
    for number in 0..faults {
        let who = usize::try_from(number % 2).unwrap();
        let (under, what) = fault(number, &mut dice);
        sides[who].kill();
        limits[who] += 60;
        let limit = limits[who];
        sides[who].start_under(limit, &under);
        let began = Instant::now();
        while !sides[who].is_done(limit) {
            if let Some(status) = sides[who].ended() {
                assert_eq!(status.code(), Some(101), "{what}: {}", sides[who].said());
                failed += 1;
                sides[who].start(limit);
            }
            assert!(began.elapsed() < Duration::from_secs(90), "{what}: {}", sides[who].said());
            thread::sleep(Duration::from_millis(10));
        }
    }
    quiesce(&mut sides, limits, &format!("seed {seed}"));
    thread::sleep(Duration::from_secs(2));
    for side in &mut sides {
        side.kill();
        let view = stores::client(&side.folder(), &side.key, &side.peer).unwrap();
        assert!(view.wrong.is_empty(), "{:?}", view.wrong);
    }
    let judged = judge_both(&sides);
    assert!(stopped >= faults / 5, "the relay's disk failed {faults} times and it stopped {stopped} times");
    did(&format!(
        "disk faults: {faults} for the relay, which stopped {stopped} times; {faults} for clients, of which {failed} were \
         refused a message; seed {seed}{judged}"
    ));
}

/// `GET /ready` of a relay.
fn ready(relay: &RelayProcess) -> String {
    let mut stream = TcpStream::connect(relay.http.as_ref().unwrap()).unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn becomes(relay: &RelayProcess, what: &str) {
    let began = Instant::now();
    while !ready(relay).contains(what) {
        assert!(began.elapsed() < Duration::from_secs(60), "never {what}: {}", ready(relay));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn r57_a_relay_with_a_full_disk_delivers_refuses_and_goes_on_by_itself() {
    let Some(disk) = SmallDisk::new(24, "a relay with a full disk") else { return };
    let people = tempfile::tempdir().unwrap();
    // Eight of 24 MiB must be free, as 256 MiB must on a real one.
    let options = RelayOptions {
        config: format!("{FAST}disk_free_min = 8388608\n"),
        args: vec!["--http".into(), "127.0.0.1:0".into()],
        ..RelayOptions::default()
    };
    let relay = RelayProcess::start(&disk.path().join("relay"), &options);
    let (alice, bob) = (Person::new(people.path(), "alice"), Person::new(people.path(), "bob"));
    alice.join(&relay.address).ok();
    bob.join(&relay.address).ok();
    alice.run(&["send", "bob", "hello"]).ok();
    bob.run(&["recv", "--timeout", "20s"]).ok();
    bob.run(&["accept", "alice"]).ok();
    alice.run(&["recv"]).ok();
    alice.run(&["send", "bob", "while there was room"]).ok();

    // Nearly full: what waits is delivered, nothing new is accepted, and the sender is told why.
    disk.fill(4 << 20);
    becomes(&relay, "storage_full");
    let refused = alice.run(&["send", "bob", "without room", "--key", "k1", "--timeout", "3s"]);
    refused.code(9).says("stays queued");
    alice.run(&["show", "bob"]).ok().says("no room");
    assert_eq!(bob.run(&["recv", "--timeout", "20s"]).ok().texts(), ["while there was room"]);
    let late = Person::new(people.path(), "carol");
    let late = late.join(&relay.address);
    assert_ne!(late.code, Some(0), "{late:?}");
    late.says("no room");

    // Quite full: whoever comes is still served, and told what was there before.
    disk.fill(0);
    let refused = alice.run(&["send", "bob", "without any room", "--key", "k2", "--timeout", "3s"]);
    refused.code(9).says("stays queued");
    bob.run(&["recv"]);

    // Room again: the same process goes on, and what was refused goes out by itself.
    disk.make_room();
    becomes(&relay, "\"ready\"");
    alice.run(&["send", "bob", "with room again", "--wait", "accepted", "--timeout", "50s"]).ok();
    let texts = bob.run(&["recv", "--timeout", "20s"]).ok().texts();
    assert_eq!(texts, ["without room", "without any room", "with room again"]);
    let log = relay.log();
    assert!(log.contains("nothing new is accepted; make room") && log.contains("has room again"), "{log}");
    did("full disk of a relay: 2 sends and a registration refused, everything delivered, went on by itself");
}

#[test]
fn a_client_with_a_full_disk_says_so_keeps_its_history_and_goes_on() {
    let Some(disk) = SmallDisk::new(16, "a client with a full disk") else { return };
    let world = World::open();
    let bob = world.joined("bob");
    let alice = Person::new(&disk.path(), "alice");
    // Joining a full disk leaves nothing half-made behind.
    disk.fill(0);
    let full = alice.join(&world.relay.address);
    assert_ne!(full.code, Some(0), "{full:?}");
    full.says("space");
    disk.make_room();
    std::fs::write(alice.passphrase_file(), &alice.passphrase).unwrap();
    alice.join(&world.relay.address).ok();
    alice.run(&["send", "bob", "hello"]).ok();
    bob.run(&["recv", "--timeout", "20s"]).ok();
    bob.run(&["accept", "alice"]).ok();
    alice.run(&["recv"]).ok();
    alice.run(&["send", "bob", "with room"]).ok();

    disk.fill(0);
    let full = alice.run(&["send", "bob", "without room", "--key", "k1"]);
    assert!(matches!(full.code, Some(1 | 3)), "{full:?}");
    full.says("full");
    disk.make_room();
    alice.run(&["send", "bob", "without room", "--key", "k1"]).ok();
    let received = bob.run(&["recv", "--timeout", "20s"]).ok().texts();
    assert_eq!(received, ["with room", "without room"]);
    let shown = alice.run(&["show", "bob"]).ok();
    for text in ["hello", "with room", "without room"] {
        assert_eq!(shown.stdout.matches(&format!("\"{text}\"")).count(), 1, "{text}: {}", shown.stdout);
    }
    alice.run(&["check"]).ok();
    full_beneath_a_daemon(&disk, &alice, &bob);
    if works_for("sends of a client whose disk fails to sync") {
        sends_whose_sync_fails(&alice, &bob);
    }
    did("full disk of a client: a join and a send refused, history whole, went on after room was made");
}

/// The disk fills while a daemon has the profile: that is told as the profile's fault, and it is told when it is over.
fn full_beneath_a_daemon(disk: &SmallDisk, alice: &Person, bob: &Person) {
    let daemons = [alice.daemon(), bob.daemon()];
    let mut socket = UnixStream::connect(alice.home.join("run/rosa/default.sock")).unwrap();
    let filter =
        r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"filter":["profile.fault"]}}"#;
    socket.write_all(format!("{filter}\n").as_bytes()).unwrap();
    let (tell, told) = mpsc::channel::<serde_json::Value>();
    thread::spawn(move || {
        for line in BufReader::new(socket).lines().map_while(Result::ok) {
            let error = serde_json::from_str::<serde_json::Value>(&line).unwrap();
            if error["method"] == "event" && tell.send(error["params"]["data"]["error"].clone()).is_err() {
                return;
            }
        }
    });
    disk.fill(0);
    // More than there is left in what the store has taken already.
    let mut sent = 0;
    let fault = loop {
        sent += 1;
        assert!(sent < 400, "the disk is not full");
        bob.run(&["send", "alice", &format!("{sent} {}", "x".repeat(30_000))]).ok();
        if let Ok(error) = told.recv_timeout(Duration::from_millis(100)) {
            break error;
        }
    };
    assert!(fault["message"].as_str().unwrap().contains("full"), "{fault}");
    let check = alice.run(&["check"]).code(3).says("disk");
    assert!(!check.stderr.contains("the relay does not answer"), "{check:?}");
    disk.make_room();
    while !told.recv_timeout(Duration::from_secs(60)).expect("it is never over").is_null() {}
    assert_eq!(alice.run(&["recv", "--timeout", "20s"]).ok().texts().len(), sent);
    alice.run(&["check"]).ok();
    did(&format!(
        "full disk beneath a daemon: {sent} texts on their way, told as the profile's fault, all came"
    ));
    daemons.into_iter().for_each(Daemon::kill);
}

/// A sync fails while somebody sends: they are told, or it went out all the same. Sent again with its key it is there once.
fn sends_whose_sync_fails(alice: &Person, bob: &Person) {
    let (mut texts, mut told) = (Vec::new(), 0);
    for when in 1..=5 {
        let text = format!("sync {when} fails");
        let file = alice.passphrase_file();
        let send =
            ["send", "bob", &text, "--key", &text, "--json", "--passphrase-file", file.to_str().unwrap()];
        let rosa = alice.command(&send);
        let under = inject(SYNCS, &format!("error=EIO:when={when}"));
        let mut command = Command::new(&under[0]);
        command.args(&under[1..]).arg(rosa.get_program()).args(rosa.get_args()).env_clear();
        command.envs(rosa.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {}
            Some(1 | 3 | 4 | 9) => {
                assert!(said.contains("disk") || said.contains("stays queued"), "sync {when}: {said}");
                assert!(!said.contains("panicked"), "{said}");
                told += 1;
            }
            other => panic!("sync {when}: {other:?}, {said}"),
        }
        alice.run(&["send", "bob", &text, "--key", &text]).ok();
        texts.push(text);
    }
    assert!(told > 0, "no failed sync was told");
    assert_eq!(bob.run(&["recv", "--timeout", "20s"]).ok().texts(), texts);
    alice.run(&["check"]).ok();
    did(&format!("failed syncs of a sending client: 5, of which {told} were told, each text received once"));
}

#[test]
fn a_disk_that_may_not_be_written_or_is_full_at_the_start_is_told() {
    let Some(disk) = SmallDisk::new(16, "starting on a full and on a read-only disk") else { return };
    let data = disk.path().join("relay");
    let options =
        RelayOptions { config: "[limits]\ndisk_free_min = 65536\n".into(), ..RelayOptions::default() };
    let starts = || RelayProcess::try_start(&data, &options);
    let refused = |what: &str| {
        let (status, log) = starts().err().unwrap_or_else(|| panic!("it started"));
        assert_eq!(status.code(), Some(3), "{log}");
        assert!(log.to_lowercase().contains(what) && !log.contains("panicked"), "{log}");
    };
    // The configuration stands beside the data, so it is there before there is no room.
    std::fs::write(data.with_extension("toml"), &options.config).unwrap();
    disk.fill(0);
    refused("space");
    disk.make_room();
    let mut relay = starts().map_err(|(status, log)| format!("{status}: {log}")).unwrap();
    let alice = Person::new(&disk.path(), "alice");
    alice.join(&relay.address).ok();
    // Ended in order: nobody has a file open.
    assert!(relay.terminate().0.success());
    disk.read_only(true);
    let read_only = RelayOptions { config: String::new(), ..options.clone() };
    let (status, log) = RelayProcess::try_start(&data, &read_only).err().unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.to_lowercase().contains("read-only") && !log.contains("panicked"), "{log}");
    alice.run(&["whoami"]).code(3).says("read-only");
    alice.run(&["send", "bob", "hi"]).code(3).says("read-only");
    disk.read_only(false);
    let relay = starts().map_err(|(status, log)| format!("{status}: {log}")).unwrap();
    assert!(!relay.address.is_empty());
    alice.run(&["whoami"]).ok();
    did("starts: refused on a full and on a read-only disk with a reason, fine afterwards");
}
