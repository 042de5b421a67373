//! The same program with a relay, as the owner of its profile: joining, sending and receiving by flags alone, the daemon.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use subrosa_server::{Config, Registration, Relay};
use tokio::runtime::Runtime;

use crate::run::{Outcome, finish, in_shell, rosa, run, signal};

struct World {
    relay: Option<Relay>,
    address: String,
    runtime: Runtime,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let config = Config {
            data: folder.path().join("relay"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            registration: Registration::Open,
            ..Config::default()
        };
        let relay = runtime.block_on(Relay::start(config)).unwrap();
        let address = relay.address().to_string();
        Self { relay: Some(relay), address, runtime, folder }
    }

    fn person(&self, name: &'static str) -> Person {
        let home = self.folder.path().join(name);
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("passphrase"), format!("the long passphrase of {name}\n")).unwrap();
        Person { name, home }
    }

    fn joined(&self, name: &'static str) -> Person {
        let person = self.person(name);
        person.join(&self.address, "words").code(0);
        person
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.take() {
            self.runtime.block_on(relay.shutdown());
        }
    }
}

struct Person {
    name: &'static str,
    home: PathBuf,
}

impl Person {
    fn file(&self, name: &str) -> String {
        self.home.join(name).to_str().unwrap().to_owned()
    }

    fn rosa(&self, args: &[&str]) -> Command {
        let mut command = rosa(&self.home, args);
        command.args(["--json", "--passphrase-file", &self.file("passphrase")]);
        command
    }

    fn run(&self, args: &[&str]) -> Outcome {
        run(&mut self.rosa(args))
    }

    fn join(&self, link: &str, words: &str) -> Outcome {
        self.run(&["join", link, "--name", self.name, "--recovery-file", &self.file(words)])
    }

    fn daemon(&self) -> (Child, Value) {
        let mut child = self.rosa(&["daemon"]).spawn().unwrap();
        let mut line = String::new();
        // The rest of standard output is not read: the daemon must not mind.
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str(&line) else {
            panic!("{line:?}: {:?}", finish(child, Instant::now()));
        };
        (child, ready)
    }
}

#[test]
fn two_people_chat_by_flags_alone() {
    let world = World::new();
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let joined = alice.join(&world.address, "words").code(0);
    assert!(joined.json()["address"].as_str().unwrap().starts_with("alice@127.0.0.1:"));
    let words = std::fs::read_to_string(alice.file("words")).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    assert_eq!(std::fs::metadata(alice.file("words")).unwrap().mode() & 0o777, 0o600);
    assert!(!joined.stdout.contains(words.split_whitespace().next().unwrap()), "no words without being told");
    bob.join(&world.address, "words").code(0);

    let sent = alice.run(&["send", "bob", "hi!"]).code(0).json();
    let id = sent["results"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(sent["results"][0]["state"], "accepted");
    let events = bob.run(&["recv"]).code(0).lines();
    let received = events.iter().find(|event| event["event"] == "message.received").unwrap();
    assert_eq!(
        (received["data"]["text"].as_str(), received["data"]["id"].as_str()),
        (Some("hi!"), Some(id.as_str()))
    );
    assert!(events.iter().any(|event| event["event"] == "contact.requested"));
    assert!(bob.run(&["recv"]).code(0).lines().is_empty());
    assert_eq!(bob.run(&["accept", "alice"]).code(0).json()["contact"]["state"], "accepted");
    bob.run(&["send", "alice", "hello", "--reply", &id]).code(0);
    let answer = alice.run(&["recv", "--filter", "message.received"]).code(0).lines();
    assert_eq!(
        (answer[0]["data"]["text"].as_str(), answer[0]["data"]["reply_to"].as_str()),
        (Some("hello"), Some(id.as_str()))
    );

    let number = |one: &Person, other: &str| {
        one.run(&["verify", other]).code(0).json()["number"].as_str().unwrap().to_owned()
    };
    assert_eq!(number(&alice, "bob"), number(&bob, "alice"));
    alice.run(&["verify", "bob", "--confirm", &"1".repeat(60)]).code(6);
    alice.run(&["verify", "bob", "--confirm", &number(&alice, "bob")]).code(0);
    assert_eq!(alice.run(&["show", "bob"]).code(0).json()["messages"].as_array().unwrap().len(), 3);
    alice.run(&["check"]).code(0);
    alice.run(&["send", "nosuchone", "hi"]).code(7);
    alice.run(&["show", "carol"]).code(7);
    let nobody = alice.run(&["trust", "carol"]).code(7).error();
    assert!(!nobody["hint"].as_str().unwrap().contains("/add"), "{nobody}");
}

#[test]
fn what_can_go_wrong_with_joining_is_told_and_leaves_nothing() {
    let world = World::new();
    let alice = world.joined("alice");
    let words = std::fs::read(alice.file("words")).unwrap();
    let same = alice.join(&world.address, "words").code(5).error();
    assert!(same["message"].as_str().unwrap().contains("profile default exists already"), "{same}");
    assert_eq!(std::fs::read(alice.file("words")).unwrap(), words);
    let again = alice.join(&world.address, "other").code(5);
    assert!(!std::fs::exists(alice.file("other")).unwrap(), "{again:?}");

    let mallory = Person { name: "alice", home: world.person("mallory").home };
    std::fs::write(mallory.file("full"), "not words").unwrap();
    let full = mallory.join(&world.address, "full").code(5).error();
    assert!(full["hint"].as_str().unwrap().contains("does not exist yet"), "{full}");
    let taken = mallory.join(&world.address, "words").code(5);
    assert!(taken.error()["message"].as_str().unwrap().contains("taken"), "{taken:?}");
    assert!(!std::fs::exists(mallory.file("words")).unwrap());
    let (relay, _) = world.address.rsplit_once('/').unwrap();
    let wrong = format!("{relay}/{}", "a".repeat(52));
    assert_eq!(mallory.join(&wrong, "words").code(6).error()["kind"], "identity");
    mallory.join("rosa://127.0.0.1:1/", "words").code(4);
    let empty = mallory.file("empty");
    std::fs::write(&empty, "").unwrap();
    let outcome = run(&mut rosa(
        &mallory.home,
        &[
            "join",
            &world.address,
            "--name",
            "carol",
            "--recovery-file",
            &mallory.file("words"),
            "--passphrase-file",
            &empty,
        ],
    ));
    outcome.code(3);
    assert!(!std::fs::exists(mallory.file("words")).unwrap());
}

#[test]
fn the_passphrase_comes_from_where_it_is_said() {
    let world = World::new();
    let alice = world.joined("alice");
    let file = alice.file("passphrase");
    run(&mut in_shell(
        &alice.home,
        &format!("exec \"$0\" \"$@\" 3<{file}"),
        &["whoami", "--passphrase-fd", "3"],
    ))
    .code(0);
    run(&mut in_shell(
        &alice.home,
        &format!("cat {file} | \"$0\" \"$@\""),
        &["whoami", "--passphrase-fd", "0"],
    ))
    .code(0);
    run(&mut rosa(&alice.home, &["whoami", "--passphrase-command", &format!("cat {file}")])).code(0);
    let wrong =
        run(&mut rosa(&alice.home, &["whoami", "--json", "--passphrase-command", "echo wrong"])).code(3);
    assert!(wrong.error()["message"].as_str().unwrap().contains("passphrase"), "{wrong:?}");
}

#[test]
fn a_daemon_serves_until_it_is_told_to_end() {
    let world = World::new();
    let (alice, bob) = (world.joined("alice"), world.joined("bob"));
    let (daemon, ready) = alice.daemon();
    assert_eq!(ready["event"], "ready");
    assert_eq!(ready["pid"], daemon.id());
    let socket = PathBuf::from(ready["socket"].as_str().unwrap());
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    // No passphrase is needed, and one owner stays one owner.
    run(&mut rosa(&alice.home, &["send", "bob", "from the daemon"])).code(0);
    assert_eq!(run(&mut rosa(&alice.home, &["status", "--json"])).code(0).json()["pid"], daemon.id());
    alice.run(&["daemon"]).code(3);
    assert!(bob.run(&["recv"]).code(0).stdout.contains("from the daemon"));
    signal(&daemon, Signal::TERM);
    let outcome = finish(daemon, Instant::now()).code(0);
    assert!(outcome.took < Duration::from_secs(10), "{outcome:?}");
    assert!(!socket.exists());
    // The store was closed cleanly: nothing is left in the write-ahead log.
    let wal = alice.home.join(".local/share/rosa/default/store.db-wal");
    assert_eq!(std::fs::metadata(&wal).map(|found| found.len()).unwrap_or(0), 0);
    alice.run(&["whoami"]).code(0);
}

#[test]
fn a_verb_that_owns_the_profile_lets_others_in_and_flushes_at_a_signal() {
    let world = World::new();
    let (alice, bob) = (world.joined("alice"), world.joined("bob"));
    let mut follower = alice.rosa(&["recv", "--follow"]).spawn().unwrap();
    let mut stdout = BufReader::new(follower.stdout.take().unwrap());
    let began = Instant::now();
    let socket = alice.home.join(".local/share/rosa/default/rosa.sock");
    while !socket.exists() {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    run(&mut rosa(&alice.home, &["send", "bob", "while it follows"])).code(0);
    bob.run(&["recv"]).code(0);
    bob.run(&["send", "alice", "an answer"]).code(0);
    let mut line = String::new();
    while !line.contains("an answer") {
        line.clear();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended");
    }
    signal(&follower, Signal::INT);
    finish(follower, Instant::now()).code(130);
    assert!(!socket.exists());
    let shown = alice.run(&["show", "bob"]).code(0);
    assert!(shown.stdout.contains("an answer"));
}

/// The own list is fetched beside the mailbox.
fn devices_become(person: &Person, count: usize) {
    let began = Instant::now();
    loop {
        let devices = person.run(&["ls", "devices"]).code(0).json();
        if devices["devices"].as_array().unwrap().len() == count {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{devices}");
    }
}

#[test]
fn a_further_device_logs_in_and_logs_out() {
    let world = World::new();
    let alice = world.joined("alice");
    let args = |words: &str| {
        vec![
            "login".to_owned(),
            world.address.clone(),
            "--name".into(),
            "alice".into(),
            "--profile".into(),
            "second".into(),
            "--recovery-file".into(),
            alice.file(words),
        ]
    };
    let login = |words: &str| {
        let args = args(words);
        alice.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    std::fs::write(alice.file("wrong"), "abandon ".repeat(24)).unwrap();
    login("wrong").code(2);
    assert_eq!(login("words").code(0).json()["device"], 2);
    devices_become(&alice, 2);
    alice.run(&["logout", "--profile", "second"]).code(2);
    devices_become(&alice, 2);
    alice.run(&["logout", "--yes", "--profile", "second"]).code(0);
    devices_become(&alice, 1);
}

#[test]
fn verbs_run_beside_each_other_without_a_daemon() {
    let world = World::new();
    let (alice, bob) = (world.joined("alice"), world.joined("bob"));
    alice.run(&["send", "bob", "hi"]).code(0);
    bob.run(&["recv"]).code(0);
    bob.run(&["accept", "alice"]).code(0);
    alice.run(&["recv"]).code(0);
    let began = Instant::now();
    let sends: Vec<Child> =
        (0..8).map(|n| alice.rosa(&["send", "bob", &format!("beside {n}")]).spawn().unwrap()).collect();
    for send in sends {
        finish(send, began).code(0);
    }
    let received = bob.run(&["recv", "--filter", "message.received"]).code(0).stdout;
    for n in 0..8 {
        assert_eq!(received.matches(&format!("\"beside {n}\"")).count(), 1, "{n}: {received}");
    }
}

#[test]
fn an_owner_with_another_environment_is_found() {
    let world = World::new();
    let alice = world.joined("alice");
    let runtime_dir = alice.home.join("run");
    std::fs::create_dir(&runtime_dir).unwrap();
    let told = alice.home.join(".local/share/rosa/default/socket");
    for owner_has_it in [true, false] {
        let with = |command: &mut Command, has_it: bool| {
            if has_it {
                command.env("XDG_RUNTIME_DIR", &runtime_dir);
            }
        };
        let mut daemon = alice.rosa(&["daemon"]);
        with(&mut daemon, owner_has_it);
        let mut daemon = daemon.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(std::fs::read_to_string(&told).unwrap(), ready["socket"].as_str().unwrap());
        assert_eq!(std::fs::metadata(&told).unwrap().mode() & 0o777, 0o600);
        let mut status = rosa(&alice.home, &["status", "--json"]);
        with(&mut status, !owner_has_it);
        assert_eq!(run(&mut status).code(0).json()["pid"], daemon.id());
        signal(&daemon, Signal::TERM);
        finish(daemon, Instant::now()).code(0);
        assert!(!told.exists());
    }
}

#[test]
fn an_owner_that_hangs_is_named_in_time() {
    let world = World::new();
    let alice = world.joined("alice");
    let (daemon, _) = alice.daemon();
    let verb = |args: &[&str]| run(&mut rosa(&alice.home, &[&["--json"], args].concat()));
    verb(&["status"]).code(0);
    signal(&daemon, Signal::STOP);
    let named = format!("pid {}", daemon.id());
    let refused = |outcome: Outcome, limit: Duration| {
        let outcome = outcome.code(3);
        assert!(outcome.error()["message"].as_str().unwrap().contains(&named), "{outcome:?}");
        assert!(outcome.took < limit, "{outcome:?}");
        outcome
    };
    for args in [
        &["status", "--timeout", "2s"][..],
        &["recv", "--timeout", "2s"],
        &["recv", "--follow", "--timeout", "2s"],
        &["send", "bob", "hi", "--timeout", "2s"],
        &["check", "--timeout", "2s"],
        &["ls", "--timeout", "2s"],
    ] {
        refused(verb(args), Duration::from_secs(9));
    }
    let outcome = refused(verb(&["whoami"]), Duration::from_secs(30));
    assert!(outcome.took > Duration::from_secs(5), "it may only be slow: {outcome:?}");
    // It was not the end of it.
    signal(&daemon, Signal::CONT);
    verb(&["status"]).code(0);
    signal(&daemon, Signal::TERM);
    finish(daemon, Instant::now()).code(0);
}

#[test]
fn check_tells_a_profile_that_may_not_connect_from_a_relay_that_is_away() {
    let mut world = World::new();
    let (alice, bob) = (world.joined("alice"), world.joined("bob"));
    let profiles = alice.home.join(".local/share/rosa");
    let copy = |from: &str, to: &str| {
        let paths = [profiles.join(from), profiles.join(to)];
        assert!(Command::new("cp").arg("-a").args(&paths).status().unwrap().success());
    };
    let check = |profile: &str| alice.run(&["check", "--profile", profile]);
    let failed = |outcome: &Outcome| {
        let items = outcome.json()["items"].as_array().unwrap().clone();
        let failed = items.iter().filter(|item| item["ok"] == false);
        failed.map(|item| item["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let fine = check("default").code(0).json();
    assert!(fine["items"].as_array().unwrap().iter().any(|item| item["name"] == "disk"), "{fine}");

    copy("default", "older");
    alice.run(&["send", "bob", "after the copy was made"]).code(0);
    bob.run(&["recv"]).code(0);
    let older = check("older").code(3);
    assert_eq!(failed(&older), ["relay"]);
    assert!(older.error()["message"].as_str().unwrap().contains("old copy"), "{older:?}");

    let words = alice.file("words");
    let login =
        ["login", &world.address, "--name", "alice", "--profile", "second", "--recovery-file", &words];
    alice.run(&login).code(0);
    copy("second", "removed");
    alice.run(&["logout", "--yes", "--profile", "second"]).code(0);
    let removed = check("removed").code(3);
    assert_eq!(failed(&removed), ["relay"]);
    assert!(
        removed.error()["message"].as_str().unwrap().contains("does not know this device"),
        "{removed:?}"
    );

    check("default").code(0);
    world.runtime.block_on(world.relay.take().unwrap().shutdown());
    let away = check("default").code(4);
    assert_eq!(failed(&away), ["relay"]);
}
