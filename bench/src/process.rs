//! A measured program: started on a core of its own, its CPU time and memory read from /proc.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::machine;

/// Every rate and count is lifted (R8): what is measured is the relay, not its limits.
const LIMITS: &str = "[limits]\nlift_rates = true\nunauthenticated_per_network = 1000000\n\
    connections_per_device = 1000000\nconnections_per_account = 1000000\nconnections = 1000000\n\
    mailbox_envelopes = 100000000\nmailbox_bytes = 100000000000\nhandshakes_before_retry = 1000000\n";

/// A running program under measurement. Dropping it kills it.
pub struct Process {
    child: Child,
    /// Its QUIC address.
    pub quic: SocketAddr,
    /// The line of JSON it said when it was ready.
    pub ready: Value,
}

/// CPU time of a process, all threads together, those that ended included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// In user space.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
    /// Times a thread stopped to wait, threads that live.
    pub waits: u64,
}

impl Cpu {
    /// Both together.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// Milliseconds for 1,000 of `count`.
    #[must_use]
    pub fn per_thousand(self, count: u64) -> f64 {
        self.total().as_secs_f64() * 1e6 / count.max(1) as f64
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            waits: self.waits.saturating_sub(before.waits),
        }
    }
}

impl Process {
    /// `rosad up` on a new data directory below `dir`, every limit lifted, on `core`.
    pub fn rosad(programs: &Path, dir: &Path, core: Option<usize>) -> Self {
        let config = dir.join("bench.toml");
        std::fs::write(&config, LIMITS).unwrap();
        let mut command = Command::new(program(programs, "rosad"));
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--registration", "open", "--config"]);
        command.arg(&config).arg("--data").arg(dir.join("data"));
        Self::start(command, core)
    }

    /// The yardstick's server, on `core`.
    pub fn echo(programs: &Path, core: Option<usize>) -> Self {
        Self::start(Command::new(program(programs, "echo")), core)
    }

    /// The yardstick of a fan-out, on `core`.
    pub fn broadcast(programs: &Path, core: Option<usize>) -> Self {
        let mut command = Command::new(program(programs, "echo"));
        command.arg("--broadcast");
        Self::start(command, core)
    }

    fn start(mut command: Command, core: Option<usize>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A child has the cores of the thread that starts it.
        let mut child = thread::spawn(move || {
            if let Some(core) = core {
                machine::pin(core);
            }
            command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"))
        })
        .join()
        .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let quic = ready["quic"].as_str().unwrap().parse().unwrap();
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, quic, ready }
    }

    /// CPU time so far. The system counts in ticks of 10 ms: measure over seconds.
    pub fn cpu(&self) -> Cpu {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name of the program is in parentheses and may hold anything; utime and stime are the 12th and 13th after.
        let fields: Vec<u64> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let tick = Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        let time = |ticks: u64| tick * u32::try_from(ticks).unwrap();
        Cpu { user: time(fields[11]), system: time(fields[12]), waits: self.waits() }
    }

    fn waits(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let of = |task: PathBuf| {
            let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        };
        tasks.flatten().filter_map(|task| of(task.path())).sum()
    }

    /// Resident memory that is this process's alone or its share of what is shared, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and waits for that; for profilers that write at the end.
    pub fn terminate(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built; scripts/bench builds it", path.display());
    path
}
