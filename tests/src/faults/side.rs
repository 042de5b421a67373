//! A client that keeps a ledger and is made to be killed: `ledger-client` on one profile, opened with the store's own key,
//! so that a start costs no passphrase.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use subrosa_crypto::vault::Vault;

use crate::{
    Person,
    ledger::{Ledger, judge},
    programs::program,
};

/// One person's client, running or not.
pub struct Side {
    /// Whose.
    pub person: Person,
    /// To whom it sends.
    pub peer: String,
    /// Its ledger.
    pub ledger: PathBuf,
    /// The key of its store.
    pub key: [u8; 32],
    /// Sync at checkpoints only: what a control run does to lose data.
    pub weak: bool,
    child: Option<Child>,
    errors: PathBuf,
}

impl Side {
    /// The client of somebody who has joined.
    pub fn new(folder: &Path, person: Person, peer: &str) -> Self {
        let ledger = folder.join(format!("{}.ledger", person.name));
        let errors = folder.join(format!("{}.errors", person.name));
        let vault = Vault::from_bytes(&std::fs::read(person.profile().join("vault")).unwrap()).unwrap();
        let key = *vault.open(person.passphrase.as_bytes()).unwrap().as_bytes();
        Self { person, peer: peer.into(), ledger, key, weak: false, child: None, errors }
    }

    /// The folder of its store.
    pub fn folder(&self) -> PathBuf {
        self.person.profile()
    }

    fn command(&self, mode: &str, under: &[String]) -> Command {
        let mut words: Vec<PathBuf> = under.iter().map(PathBuf::from).collect();
        words.push(program("ledger-client"));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(mode)
            .arg(self.folder().join("store.db"))
            .arg(hex(&self.key))
            .arg(&self.peer);
        command.env("SUBROSA_WEAK_STORE", if self.weak { "1" } else { "" }).stdin(Stdio::null());
        command
    }

    /// Starts it: it sends until its ledger has the numbers up to `limit`, and receives until it is killed.
    pub fn start(&mut self, limit: u64) {
        self.start_under(limit, &[]);
    }

    /// The same under another program, named with its arguments.
    pub fn start_under(&mut self, limit: u64, under: &[String]) {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&self.errors).unwrap();
        let mut command = self.command("run", under);
        command.arg(&self.ledger).arg(limit.to_string()).stdout(Stdio::null()).stderr(errors);
        self.child = Some(command.spawn().unwrap());
    }

    /// Its process id while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Kills it; it must have been alive.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{} ended by itself with {status}: {}", self.person.name, self.said());
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
        if status.is_some() {
            self.child = None;
        }
        status
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// Stops it (`true`) or lets it go on.
    pub fn freeze(&self, stop: bool) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, if stop { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    /// What it wrote to standard error, in all of its lives.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// What its profile shows, once its mailbox is empty.
    pub fn dump(&self) -> Value {
        let output = self.command("dump", &[]).stderr(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Whether everything up to `limit` was asked and accepted.
    pub fn is_done(&self, limit: u64) -> bool {
        let entries = Ledger::read(&self.ledger);
        entries.asked.len() as u64 >= limit && entries.accepted.len() >= entries.asked.len()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until both have sent everything and all of it is accepted; both must be running.
pub fn quiesce(sides: &mut [Side; 2], limits: [u64; 2], why: &str) {
    let began = Instant::now();
    // Long versions send thousands.
    let patience = Duration::from_secs(180 + limits.iter().sum::<u64>() / 25);
    while !sides.iter().zip(limits).all(|(side, limit)| side.is_done(limit)) {
        for side in &mut *sides {
            let ended = side.ended();
            assert!(ended.is_none(), "{} ended by itself: {}", side.person.name, side.said());
        }
        assert!(
            began.elapsed() < patience,
            "{why}: not quiet after {patience:?}: {:#?}",
            sides.each_ref().map(|side| {
                let entries = Ledger::read(&side.ledger);
                (entries.asked.len(), entries.accepted.len(), side.said())
            })
        );
        thread::sleep(Duration::from_millis(50));
    }
}

/// Judges two that wrote to each other by I1 to I3 and by their own checks; both are not running. Tells the numbers.
pub fn judge_both(sides: &[Side; 2]) -> String {
    let mut told = String::new();
    for (side, other) in [(0, 1), (1, 0)] {
        let dump = sides[side].dump();
        let numbers = |name: &str| -> Vec<u64> {
            dump[name].as_array().unwrap().iter().filter_map(Value::as_u64).collect()
        };
        let entries = Ledger::read(&sides[other].ledger);
        let who = &sides[other].person.name;
        let displayed = numbers("displayed");
        let (asked, accepted) = (entries.asked.len(), entries.accepted.len());
        write!(told, "; {who}: {asked} asked, {accepted} accepted, {} displayed", displayed.len()).unwrap();
        judge(who, &entries, &displayed, dump["missing"].as_u64().unwrap());
        judge(&format!("{who} (events)"), &entries, &numbers("told"), 0);
        assert_eq!(dump["unreadable"], 0, "{dump}");
        assert_eq!(dump["queued"], 0, "{dump}");
        assert_eq!(dump["check"], true, "{}", dump["checked"]);
    }
    told
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
