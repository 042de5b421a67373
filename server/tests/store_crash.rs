//! The store under `kill -9` and under a failing disk (R56): what was answered is there, and nothing is there twice.
//!
//! The test binary starts itself again as the process that is killed (the ignored test `child`).
//! `SUBROSA_CRASH_ROUNDS=1000` kills a thousand times instead of about a hundred.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env,
    hash::{BuildHasher, Hasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_bytes::ByteArray;
use subrosa_protocol::{
    BoundedBytes, BoundedStr, DeviceId, EnvelopeId, Username,
    frames::{OutgoingEnvelope, SignedList},
};
use subrosa_server::store::{
    Appended, Claim, Delivery, ListVersion, NewDevice, NewPrekey, NewPrekeys, PrekeyRefill, Registered,
    Registration, Sender, SqliteStore, Store, StoreError, sqlite::SqliteOptions,
};
use tempfile::TempDir;

const DIR: &str = "SUBROSA_STORE_CRASH_DIR";
const TASK: &str = "SUBROSA_STORE_CRASH_TASK";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_what_was_answered_survives_kill_9() {
    let rounds: Option<u64> = env::var("SUBROSA_CRASH_ROUNDS").ok().map(|rounds| rounds.parse().unwrap());
    let (dir, path) = prepared().await;
    let mut past = Past::default();
    let start = Instant::now();
    let mut killed = 0;
    while rounds.map_or(killed < 120 && start.elapsed() < Duration::from_secs(25), |rounds| killed < rounds) {
        let mut child = spawn(Command::new(env::current_exe().unwrap()), dir.path(), "run");
        let lines = lines_until_killed(&mut child, random_below(40_000));
        past.check(&path, &lines).await;
        killed += 1;
    }
    eprintln!(
        "{killed} kills, {} envelopes answered, {} prekeys handed out",
        past.answered,
        past.handed_out.len()
    );
    assert!(killed >= 10, "only {killed} rounds in the time");
    assert!(past.answered > killed && !past.handed_out.is_empty());
}

/// The kernel refuses to let the files grow, in the midst of a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_a_write_that_fails_is_not_answered_and_ends_all_writing() {
    let (dir, path) = prepared().await;
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 3000; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let lines = output(spawn(shell, dir.path(), "fail"));
    check_failure(&path, &lines).await;
}

/// The disk reports an error when it is told to keep what was written. Left out where strace cannot run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_a_sync_that_fails_is_not_answered_and_ends_all_writing() {
    if !strace_works() {
        return;
    }
    let (dir, path) = prepared().await;
    let mut strace = Command::new("strace");
    let inject = "inject=fsync,fdatasync:error=EIO:when=40+";
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", inject]);
    strace.arg(env::current_exe().unwrap());
    let lines = output(spawn(strace, dir.path(), "fail"));
    check_failure(&path, &lines).await;
}

/// Between two answers the disk was told to keep what was written. Left out where strace cannot run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_each_answer_comes_after_a_sync() {
    if !strace_works() {
        return;
    }
    let (dir, _path) = prepared().await;
    let trace = dir.path().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync,write", "-o"]).arg(&trace);
    strace.arg(env::current_exe().unwrap());
    let lines = output(spawn(strace, dir.path(), "twenty"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("ack ")).count(), 20, "{lines:?}");
    let (mut synced, mut answers) = (false, 0);
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        if line.contains("sync(") && line.ends_with("= 0")
            || line.contains("sync resumed>") && line.ends_with("= 0")
        {
            synced = true;
        } else if line.contains("write(1, \"ack ") {
            assert!(synced, "an answer without a sync before it: {line}");
            (synced, answers) = (false, answers + 1);
        }
    }
    assert_eq!(answers, 20);
}

/// What all rounds have shown so far.
#[derive(Default)]
struct Past {
    /// Every place that was ever answered, and whose it is.
    places: HashMap<u64, u128>,
    /// Everything up to this place was deleted between rounds.
    gone: u64,
    handed_out: HashSet<u32>,
    answered: u64,
    next_prekey: u32,
}

impl Past {
    /// Opens what the killed process left and holds its answers against it.
    async fn check(&mut self, path: &Path, lines: &[String]) {
        let store = SqliteStore::open(path, SqliteOptions::default()).unwrap();
        store.check_integrity().await.unwrap();
        let there = mailbox(&store).await;
        let mut deleting = 0;
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["ack", seq, id] => {
                    let (seq, id): (u64, u128) = (seq.parse().unwrap(), id.parse().unwrap());
                    assert_eq!(self.places.insert(seq, id), None, "place {seq} was given twice");
                    self.answered += 1;
                }
                ["claim", number] => {
                    let number = number.parse().unwrap();
                    assert!(self.handed_out.insert(number), "prekey {number} was handed out twice");
                }
                ["deleting", up_to] => deleting = deleting.max(up_to.parse().unwrap()),
                ["deleted", up_to] => {
                    let up_to: u64 = up_to.parse().unwrap();
                    assert!(there.range(..=up_to).next().is_none(), "{up_to} was deleted and is back");
                }
                _ => {}
            }
        }
        for (seq, id) in &self.places {
            match there.get(seq) {
                Some(found) => assert_eq!(found, id, "at place {seq}"),
                None => assert!(*seq <= deleting.max(self.gone), "place {seq} was answered and is lost"),
            }
        }
        let state = store.device(&name("bob"), device()).await.unwrap().unwrap();
        let first = there.keys().next().copied().unwrap_or(state.next_seq);
        assert!(there.keys().copied().eq(first..state.next_seq), "a gap");
        assert_eq!(there.values().collect::<HashSet<_>>().len(), there.len(), "an envelope is there twice");
        // Prekeys that were handed out are not there any more.
        let numbers = claim(&store, 2).await;
        for number in numbers {
            assert!(self.handed_out.insert(number), "prekey {number} was handed out and is back");
        }
        self.make_room(&store, state.next_seq - 1).await;
        store.close().await.unwrap();
    }

    async fn make_room(&mut self, store: &SqliteStore, up_to: u64) {
        store.ack_mailbox(&name("bob"), device(), up_to, 0).await.unwrap();
        self.gone = up_to;
        let left = store.prekey_counts(&name("bob"), device()).await.unwrap().unwrap();
        if left.one_time < 60 {
            self.next_prekey += 1000;
            let refill = PrekeyRefill {
                account: name("bob"),
                device: device(),
                signed: None,
                last_resort: None,
                one_time: (0..100).map(|number| prekey(self.next_prekey + number)).collect(),
                kem: vec![],
            };
            store.upload_prekeys(refill).await.unwrap();
        }
    }
}

/// After a failing write or sync: what was answered is there, the failure was told, nothing was answered after it.
async fn check_failure(path: &Path, lines: &[String]) {
    let failed = lines.iter().position(|line| line.starts_with("error")).expect("a failure");
    assert!(lines[failed].starts_with("error Broken"), "{}", lines[failed]);
    let after: Vec<&String> = lines[failed..].iter().filter(|line| line.starts_with("ack")).collect();
    assert!(after.is_empty(), "{after:?}");
    assert!(lines[failed..].iter().filter(|line| line.starts_with("error Broken")).count() >= 4);
    let before = lines[..failed].iter().filter(|line| line.starts_with("ack ")).count();
    assert!(before >= 10, "{before} answers before the failure");
    Past::default().check(path, lines).await;
}

// --- the process that is killed ---------------------------------------------------------------------------------

#[test]
#[ignore = "the process that the other tests start and kill"]
fn child() {
    let path = PathBuf::from(env::var(DIR).expect("started by another test")).join("relay.db");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The test harness has begun a line.
    say("");
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap());
        match env::var(TASK).unwrap().as_str() {
            "run" => run(store).await,
            "fail" => until_it_fails(&store).await,
            _ => {
                for id in 0..20 {
                    append(&store, vec![envelope(id, 1300)]).await.unwrap();
                }
            }
        }
    });
}

/// Sends, repeats, claims and acknowledges until it is killed.
async fn run(store: Arc<SqliteStore>) {
    let salt = u128::from(RandomState::new().build_hasher().finish()) << 64;
    let seen = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u128 {
        let (store, seen) = (Arc::clone(&store), Arc::clone(&seen));
        tasks.spawn(async move {
            for number in (0..).step_by(3) {
                let id = salt + (task << 32) + number;
                let batch: Vec<_> =
                    (0..1 + number % 3).map(|n| envelope(id + n, 100 + 700 * n as usize)).collect();
                let again = batch.clone();
                let (first, second) = tokio::join!(append(&store, batch), append(&store, again));
                seen.fetch_max(first.unwrap().max(second.unwrap()), Ordering::Relaxed);
            }
        });
    }
    let claiming = Arc::clone(&store);
    tasks.spawn(async move {
        loop {
            for number in claim(&claiming, 1).await {
                say(&format!("claim {number}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(7)).await;
            let up_to = seen.load(Ordering::Relaxed).saturating_sub(20);
            say(&format!("deleting {up_to}"));
            store.ack_mailbox(&name("bob"), device(), up_to, 0).await.unwrap();
            say(&format!("deleted {up_to}"));
        }
    });
    tasks.join_all().await;
}

async fn until_it_fails(store: &SqliteStore) {
    let mut failures = 0;
    for id in 0..2000 {
        if let Err(error) = append(store, vec![envelope(id, 16_000)]).await {
            say(&format!("error {error:?}"));
            failures += 1;
            if failures == 5 {
                return;
            }
        }
    }
}

/// Appends and tells the places; answers the last one.
async fn append(store: &SqliteStore, envelopes: Vec<OutgoingEnvelope>) -> Result<u64, StoreError> {
    let delivery = Delivery {
        to: name("bob"),
        device: device(),
        list_version: 1,
        envelopes,
        sender: Sender { account: name("alice"), device: device(), generation: 0 },
        now: 1,
    };
    match store.append_envelopes(delivery).await? {
        Appended::Accepted { fresh, .. } => {
            for envelope in &fresh {
                say(&format!("ack {} {}", envelope.seq, u128::from_le_bytes(*envelope.id.as_bytes())));
            }
            Ok(fresh.last().map_or(0, |envelope| envelope.seq))
        }
        refused => panic!("{refused:?}"),
    }
}

/// Claims `times` bundles; the numbers of the one-time prekeys among them.
async fn claim(store: &SqliteStore, times: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    for _ in 0..times {
        let claim = Claim { account: name("bob"), devices: vec![device()], leave: 0 };
        let bundle = store.claim_bundles(claim).await.unwrap().unwrap().remove(0).bundle;
        numbers.extend(bundle.one_time.map(|prekey| u32::from_le_bytes(prekey[..4].try_into().unwrap())));
    }
    numbers
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

// --- around it --------------------------------------------------------------------------------------------------

/// A store with alice, who sends, and bob, who receives.
async fn prepared() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("relay.db");
    let store = SqliteStore::open(&path, SqliteOptions::default()).unwrap();
    for account in ["alice", "bob"] {
        let signed =
            SignedList { bytes: BoundedBytes::new("list").unwrap(), signature: ByteArray::new([0; 64]) };
        let prekeys = NewPrekeys {
            signed: prekey(1),
            last_resort: NewPrekey { key_id: 1, bytes: ByteArray::new([0; 1269]) },
            one_time: (1..=100).map(prekey).collect(),
            kem: vec![],
        };
        let registration = Registration {
            account: name(account),
            display_name: BoundedStr::new(account).unwrap(),
            account_key: [0; 32],
            opaque_record: vec![],
            list: ListVersion { version: 1, devices: vec![device()], signed },
            device: NewDevice { device: device(), signing_key: [0; 32], prekeys },
            invite: None,
            now: 1,
        };
        assert_eq!(store.register(registration).await.unwrap(), Registered::Done);
    }
    store.close().await.unwrap();
    (dir, path)
}

/// Starts this program again as the child.
fn spawn(mut command: Command, dir: &Path, task: &str) -> Child {
    command.args(["child", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir).env(TASK, task).env("RUST_BACKTRACE", "0");
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the child so many microseconds after its first answer. Its whole lines.
fn lines_until_killed(child: &mut Child, micros: u64) -> Vec<String> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    let read = |out: &mut BufReader<_>, lines: &mut Vec<String>| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let whole = line.ends_with('\n');
        lines.extend(whole.then(|| line.trim_end().to_owned()));
        whole
    };
    while read(&mut out, &mut lines) && !lines.last().unwrap().starts_with("ack") {}
    assert!(lines.last().is_some_and(|line| line.starts_with("ack")), "the child ended early: {lines:?}");
    let reading = std::thread::spawn(move || {
        while read(&mut out, &mut lines) {}
        lines
    });
    std::thread::sleep(Duration::from_micros(micros));
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}

/// All that a child says until it ends by itself.
fn output(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn strace_works() -> bool {
    let run = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let works = run.is_ok_and(|status| status.success());
    if !works {
        // Past libtest's capture, so that it is counted.
        let told =
            std::io::stderr().write_all(b"\nleft out: failing syncs of the relay's store: no strace\n");
        told.unwrap();
    }
    works
}

async fn mailbox(store: &SqliteStore) -> BTreeMap<u64, u128> {
    let page = store.fetch_mailbox(&name("bob"), device(), 0, 20_000, usize::MAX).await.unwrap().unwrap();
    page.envelopes.iter().map(|e| (e.seq, u128::from_le_bytes(*e.id.as_bytes()))).collect()
}

fn random_below(bound: u64) -> u64 {
    RandomState::new().build_hasher().finish() % bound
}

fn name(text: &str) -> Username {
    Username::new(text).unwrap()
}

fn device() -> DeviceId {
    DeviceId::new(1).unwrap()
}

fn prekey(number: u32) -> NewPrekey<ByteArray<117>> {
    let mut bytes = [0; 117];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    NewPrekey { key_id: number, bytes: ByteArray::new(bytes) }
}

fn envelope(id: u128, size: usize) -> OutgoingEnvelope {
    OutgoingEnvelope {
        id: EnvelopeId::from_bytes(id.to_le_bytes()),
        sealed: BoundedBytes::new(vec![7; size]).unwrap(),
    }
}
