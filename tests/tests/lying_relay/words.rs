//! Texts of a relay for people, through real `rosa` processes: no byte of them steers a terminal (R48). And what the
//! programs exit with when the relay lies.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use subrosa_protocol::{
    BoundedStr, ErrorCode,
    frames::{ErrorFrame, PreAuthRequest, Request, Response},
};
use subrosa_tests::{
    Outcome, Person,
    lying_relay::{Account, LyingRelay, Say, Someone, forge::Attacker, stale},
};
use tokio::runtime::Runtime;

/// A title, a cleared screen, colours, a C1 control, a bidirectional override, an invisible character, a tag, a bell.
pub(crate) const EVIL: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[31mred\u{9b}32m\u{202e}txt.exe\u{200b}\u{e0041}\u{7}\r\nnext\u{2066}";

/// One relay, one person who joined it with `rosa join`, and a friend of hers in this process.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) relay: Option<LyingRelay>,
    pub(crate) dora: Person,
    pub(crate) folder: tempfile::TempDir,
    _carl: Someone,
}

/// The stage, for one test after the other.
pub(crate) fn stage() -> MutexGuard<'static, Stage> {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (relay, carl) = runtime.block_on(async {
            let relay = LyingRelay::start();
            let carl = Someone::register(&relay, folder.path(), "carl").await;
            carl.until_synced().await;
            (relay, carl)
        });
        let dora = Person::new(folder.path(), "dora");
        dora.join(&relay.address().to_string()).ok();
        dora.run(&["send", "carl", "hello carl"]).ok();
        runtime.block_on(async {
            carl.until_text("dora", "hello carl").await;
            carl.send("dora", "hello dora").await;
        });
        dora.run(&["recv", "--timeout", "20s"]).ok();
        Mutex::new(Stage { runtime, relay: Some(relay), dora, folder, _carl: carl })
    });
    let stage = stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    stage.relay().be_honest();
    stage
}

impl Stage {
    pub(crate) fn relay(&self) -> &LyingRelay {
        self.relay.as_ref().unwrap()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Asserts that nothing in what was written could steer a terminal or hide something.
#[track_caller]
pub(crate) fn harmless(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        for c in text.chars().filter(|c| *c != '\n' && *c != '\t') {
            let steers = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}');
            assert!(!steers, "{c:?} in {text:?}");
        }
    }
    // In JSON they would stand escaped, and be unescaped by whoever reads it.
    let all = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
    assert!(!all.contains("\\u001b") && !all.contains("\\u009b") && !all.contains("\\u202e"), "{all}");
}

fn evil(code: ErrorCode) -> Response {
    Response::Error(ErrorFrame::new(code, EVIL))
}

/// `rosa` for people, and for programs.
fn both(dora: &Person, args: &[&str]) -> [Outcome; 2] {
    let file = dora.passphrase_file();
    let mut plain = args.to_vec();
    plain.extend(["--passphrase-file", file.to_str().unwrap()]);
    let outcomes = [dora.run_plain(&plain, None), dora.run(args)];
    outcomes.iter().for_each(harmless);
    outcomes
}

#[test]
fn r48_a_refusal_with_escapes_is_told_without_them() {
    let stage = stage();
    let _daemon = stage.dora.daemon();
    stage.relay().lie(|lies| {
        lies.refuses(|_, request| match request {
            Request::EnvelopeSend(_) => Some(evil(ErrorCode::Refused)),
            _ => None,
        });
    });
    for outcome in both(&stage.dora, &["send", "carl", "hello"]) {
        outcome.code(5).says("does not permit").says("owned");
    }
    stage.relay().be_honest();
    stage.dora.run(&["send", "carl", "and now it is permitted"]).ok();
}

#[test]
fn r48_a_refused_registration_with_escapes_is_told_without_them() {
    let stage = stage();
    stage.relay().lie(|lies| {
        lies.before(|_, id, request, response| {
            let refused = matches!(request, PreAuthRequest::RegisterStart(_));
            vec![Say::answer(id, &if refused { evil(ErrorCode::NameTaken) } else { response })]
        });
    });
    let erin = Person::new(stage.folder(), "erin");
    let outcome = erin.join(&stage.relay().address().to_string());
    harmless(&outcome);
    outcome.code(5).says("taken");
    assert!(!erin.profile().join("vault").exists(), "nothing half-made is left");
}

#[test]
fn r48_display_names_with_escapes_are_shown_without_them() {
    let stage = stage();
    let _daemon = stage.dora.daemon();
    let before = stage.relay().state(|state| {
        let carl = state.accounts.get_mut("carl").unwrap();
        std::mem::replace(&mut carl.display_name, EVIL.to_owned())
    });
    // A lookup of somebody new, and of one whose list is called old.
    stage.relay().lie(|lies| {
        lies.refuses(|_, request| match request {
            Request::EnvelopeSend(_) => Some(stale(1)),
            _ => None,
        });
        lies.answers(|_, _, _, response| match response {
            Response::DeviceLists(mut page) => {
                page.display_name = BoundedStr::truncated(EVIL);
                Response::DeviceLists(page)
            }
            response => response,
        });
    });
    let _ = both(&stage.dora, &["send", "carl", "what is your name?", "--timeout", "3s"]);
    stage.relay().be_honest();
    for args in [&["ls"][..], &["show", "carl"], &["status"], &["verify", "carl"]] {
        for outcome in both(&stage.dora, args) {
            outcome.ok();
        }
    }
    stage.relay().state(|state| state.accounts.get_mut("carl").unwrap().display_name = before);
}

#[test]
fn r48_a_connection_closed_with_escapes_is_told_without_them() {
    let stage = stage();
    stage.relay().lie(|lies| lies.at_hello(|_| vec![Say::Close(7, EVIL.as_bytes().to_vec())]));
    for outcome in both(&stage.dora, &["send", "carl", "through a closed door", "--timeout", "3s"]) {
        assert!(matches!(outcome.code, Some(4 | 9)), "{outcome:?}");
    }
    stage.relay().be_honest();
    stage.dora.run(&["send", "carl", "and an open one"]).ok();
}

#[test]
fn r27_a_replaced_key_has_its_exit_code() {
    let stage = stage();
    let forged = Attacker::default().first_list("carl");
    let truth = stage.relay().state(|state| {
        let carl: &mut Account = state.accounts.get_mut("carl").unwrap();
        std::mem::replace(&mut carl.lists, vec![forged])
    });
    stage.relay().lie(|lies| {
        lies.refuses(|_, request| match request {
            Request::EnvelopeSend(_) => Some(stale(1)),
            _ => None,
        });
    });
    stage.dora.run(&["send", "carl", "only for the true carl", "--timeout", "20s"]).code(6).says("trust");
    stage.relay().state(|state| state.accounts.get_mut("carl").unwrap().lists = truth);
    stage.relay().be_honest();
    // Found by itself with one of the next connections; what was held goes out then.
    let again = (0..20).any(|_| {
        stage.dora.run(&["recv"]).ok();
        stage.dora.run(&["send", "carl", "it is you again", "--timeout", "30s"]).code == Some(0)
    });
    assert!(again, "carl's own key is not found again");
}

#[test]
fn r6_half_a_hello_does_not_hang_a_program() {
    let stage = stage();
    stage.relay().lie(|lies| lies.at_hello(|_| vec![Say::Bytes(vec![48, 0, 0, 0, 2])]));
    let outcome = stage.dora.run(&["send", "carl", "hello?", "--timeout", "3s"]);
    assert!(matches!(outcome.code, Some(4 | 9)), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(20), "{:?}", outcome.took);
}

#[test]
fn r3_lengths_of_4_gib_and_floods_grow_no_memory() {
    let stage = stage();
    let daemon = stage.dora.daemon();
    let pid = daemon.pid();
    let runtime = &stage.runtime;
    let connected = |state: &mut subrosa_tests::lying_relay::State| state.say(&("dora".into(), 1), &[]) > 0;
    runtime.block_on(stage.relay().until("the daemon is connected", connected));
    let before = (memory(pid, "VmRSS"), memory(pid, "VmPeak"));
    let watched = Watched::of(pid);
    for length in [u32::MAX, 1 << 31, 100_000_000, 73_729] {
        let hellos = stage.relay().state(|state| state.hellos);
        let said = stage
            .relay()
            .state(|state| state.say(&("dora".into(), 1), &[Say::Bytes(length.to_le_bytes().to_vec())]));
        assert!(said > 0);
        runtime.block_on(stage.relay().until("it came back", |state| state.hellos > hellos));
        runtime.block_on(stage.relay().until("it is connected", connected));
    }
    // What may be skipped is: 36 MB of it.
    let junk: Vec<_> = (0..500).map(|_| Say::raw(0x7123, 1, 0, &[0; 72_000])).collect();
    stage.relay().state(|state| state.say(&("dora".into(), 1), &junk));
    let status = stage.dora.run(&["status"]).ok();
    harmless(&status);
    stage.dora.run(&["send", "carl", "after the flood"]).ok();
    // What is in memory, looked at all the time; and what was ever asked of the system, which a claim believed would show.
    let resident = watched.most().saturating_sub(before.0);
    let asked = memory(pid, "VmPeak") - before.1;
    println!(
        "4 claims of up to 4 GiB and 36 MB to skip: {resident} KiB more in memory, {asked} KiB more asked for"
    );
    assert!(resident < 24 * 1024 && asked < 48 * 1024, "{resident} KiB, {asked} KiB");
    assert!(daemon.terminate().success());
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The most that a process has in memory while it is watched. Its own record of that is of no use: it began with an Argon2id.
struct Watched {
    ended: Arc<AtomicBool>,
    watcher: JoinHandle<u64>,
}

impl Watched {
    fn of(pid: u32) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let watcher = std::thread::spawn(move || {
            let mut most = 0;
            while !end.load(Ordering::Relaxed) {
                most = most.max(memory(pid, "VmRSS"));
                std::thread::sleep(Duration::from_millis(1));
            }
            most
        });
        Self { ended, watcher }
    }

    fn most(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.watcher.join().unwrap()
    }
}
