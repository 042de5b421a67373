//! One profile, and `rosa` run on it.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{programs::program, relay::drain};

/// Somebody with a home folder, a passphrase and, once joined, a profile.
pub struct Person {
    /// Account name.
    pub name: String,
    /// Home folder.
    pub home: PathBuf,
    /// Passphrase.
    pub passphrase: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Asserts an exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that the error says something, and is no backtrace.
    #[track_caller]
    pub fn says(self, what: &str) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.to_lowercase().contains(&what.to_lowercase()), "no {what:?} in {all}");
        assert!(!all.contains("panicked") && !all.contains("stack backtrace"), "{all}");
        self
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The texts of received messages among the JSON lines.
    #[track_caller]
    pub fn texts(&self) -> Vec<String> {
        self.lines()
            .iter()
            .filter(|event| event["event"] == "message.received")
            .map(|event| event["data"]["text"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Person {
    /// Somebody below a world's folder.
    pub fn new(world: &Path, name: &str) -> Self {
        Self::on_device(world, name, "home")
    }

    /// The same person on another machine.
    pub fn on_device(world: &Path, name: &str, device: &str) -> Self {
        let home = world.join(format!("{name}-{device}"));
        std::fs::create_dir_all(home.join("run")).unwrap();
        let person = Self {
            name: name.to_owned(),
            home,
            passphrase: format!("{name} has a correct horse battery staple"),
        };
        std::fs::write(person.passphrase_file(), &person.passphrase).unwrap();
        person
    }

    /// A file with the passphrase.
    pub fn passphrase_file(&self) -> PathBuf {
        self.home.join("passphrase")
    }

    /// Where the recovery words were written.
    pub fn recovery_file(&self) -> PathBuf {
        self.home.join("words")
    }

    /// The profile's folder.
    pub fn profile(&self) -> PathBuf {
        self.home.join("data/rosa/default")
    }

    /// `rosa` with this person's environment and nothing else of ours.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("rosa"));
        command.args(args).env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin");
        command.env("XDG_DATA_HOME", self.home.join("data")).env("XDG_CONFIG_HOME", self.home.join("config"));
        command.env("XDG_RUNTIME_DIR", self.home.join("run"));
        // Guessing a passphrase has tests of its own: here it takes seconds of each join, and one of each start.
        command.env("SUBROSA_TEST_LEAST_WORK", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a verb with the passphrase and `--json`; ends it after a minute.
    pub fn run(&self, args: &[&str]) -> Outcome {
        let file = self.passphrase_file();
        let mut all = args.to_vec();
        all.extend(["--json", "--passphrase-file", file.to_str().unwrap()]);
        self.run_plain(&all, None)
    }

    /// Runs exactly these arguments, with something on standard input or nothing; ends it after a minute.
    pub fn run_plain(&self, args: &[&str], input: Option<&str>) -> Outcome {
        let mut command = self.command(args);
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        }
        let (out, err) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        let readers = [
            drain(child.stdout.take().unwrap(), Arc::clone(&out)),
            drain(child.stderr.take().unwrap(), Arc::clone(&err)),
        ];
        let status = wait(&mut child, Duration::from_secs(60), args);
        for reader in readers {
            reader.join().unwrap();
        }
        let (stdout, stderr) = (out.lock().unwrap().clone(), err.lock().unwrap().clone());
        Outcome { code: status.code(), stdout, stderr, took: began.elapsed() }
    }

    /// Joins a relay without a terminal.
    pub fn join(&self, link: &str) -> Outcome {
        let words = self.recovery_file();
        self.run(&["join", link, "--name", &self.name, "--recovery-file", words.to_str().unwrap()])
    }

    /// Starts the owner of the profile without a screen and waits until it serves.
    pub fn daemon(&self) -> Daemon {
        let file = self.passphrase_file();
        let mut command = self.command(&["daemon", "--json", "--passphrase-file", file.to_str().unwrap()]);
        let mut child = command.spawn().unwrap();
        let (out, err) = (Arc::new(Mutex::new(String::new())), Arc::new(Mutex::new(String::new())));
        drain(child.stdout.take().unwrap(), Arc::clone(&out));
        drain(child.stderr.take().unwrap(), Arc::clone(&err));
        let began = Instant::now();
        while !out.lock().unwrap().contains('\n') {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("daemon ended with {status}: {}", err.lock().unwrap());
            }
            assert!(began.elapsed() < Duration::from_secs(30), "daemon does not get ready");
            thread::sleep(Duration::from_millis(5));
        }
        Daemon { child, err }
    }
}

/// A running `rosa daemon`. Dropping it kills it.
pub struct Daemon {
    child: Child,
    err: Arc<Mutex<String>>,
}

impl Daemon {
    /// Ends it at once.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and tells how it did.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        wait(&mut self.child, Duration::from_secs(15), &["daemon"])
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.err.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child, limit: Duration, what: &[&str]) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what:?} hangs");
        }
        thread::sleep(Duration::from_millis(3));
    }
}
