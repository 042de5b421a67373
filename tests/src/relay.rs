//! One `rosad` process.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::programs::program;

/// A running relay. Dropping it kills it.
pub struct RelayProcess {
    child: Child,
    /// Its data directory.
    pub data: PathBuf,
    /// `rosa://…` with the fingerprint.
    pub address: String,
    /// A link with an invite, at the first start.
    pub invite: Option<String>,
    /// `ip:port` of the QUIC listener.
    pub quic: String,
    /// `ip:port` of the HTTP listener.
    pub http: Option<String>,
    log: Arc<Mutex<String>>,
}

/// How to start a relay.
#[derive(Clone)]
pub struct RelayOptions {
    /// `open`, `invite` or `closed`.
    pub registration: &'static str,
    /// Address to listen on.
    pub listen: String,
    /// More of the configuration file.
    pub config: String,
    /// More arguments.
    pub args: Vec<String>,
    /// A program to start it under, with its arguments: a tracer that leaves it our own child.
    pub under: Vec<String>,
    /// Which of this workspace's programs it is.
    pub program: &'static str,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            registration: "open",
            listen: "127.0.0.1:0".into(),
            config: String::new(),
            args: Vec::new(),
            under: Vec::new(),
            program: "rosad",
        }
    }
}

impl RelayProcess {
    /// Starts a relay and waits until it is ready.
    pub fn start(data: &Path, options: &RelayOptions) -> Self {
        Self::try_start(data, options)
            .unwrap_or_else(|(status, log)| panic!("rosad ended with {status}: {log}"))
    }

    /// Starts a relay; tells how it ended when it does not become ready.
    pub fn try_start(data: &Path, options: &RelayOptions) -> Result<Self, (ExitStatus, String)> {
        let mut words: Vec<PathBuf> = options.under.iter().map(PathBuf::from).collect();
        words.push(program(options.program));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args([
            "up",
            "--json",
            "--registration",
            options.registration,
            "--listen",
            &options.listen,
        ]);
        command.arg("--data").arg(data).args(&options.args);
        if !options.config.is_empty() {
            let config = data.with_extension("toml");
            std::fs::write(&config, &options.config).unwrap();
            command.arg("--config").arg(config);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let drain = drain(child.stderr.take().unwrap(), Arc::clone(&log));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str::<Value>(&line).unwrap_or_default();
        if ready["event"] != "ready" {
            let status = child.wait().unwrap();
            drain.join().unwrap();
            let log = format!("{line}{}", log.lock().unwrap());
            return Err((status, log));
        }
        let text = |name: &str| ready[name].as_str().map(str::to_owned);
        thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(Self {
            child,
            data: data.to_path_buf(),
            address: text("address").unwrap(),
            invite: text("invite"),
            quic: text("quic").unwrap(),
            http: text("http"),
            log,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it as if the machine hung.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end, and tells how and how fast it did.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.signal(Signal::TERM);
        (self.child.wait().unwrap(), began.elapsed())
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, if it did by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects what a process writes, so that it never blocks on a full pipe.
pub(crate) fn drain(
    mut from: impl Read + Send + 'static,
    into: Arc<Mutex<String>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
    })
}
