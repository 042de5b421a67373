//! Running `rosa`, with a limit, and nothing of the tester's environment.

use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const ROSA: &str = env!("CARGO_BIN_EXE_rosa");
const LIMIT: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str::<Value>(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))["error"]
            .clone()
    }

    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The program with a home of its own; standard input is `/dev/null`.
pub(crate) fn rosa(home: &Path, args: &[&str]) -> Command {
    prepare(Command::new(ROSA), home, args)
}

/// The same below a shell, for what only a shell can set up; `"$0" "$@"` is the program with its arguments.
pub(crate) fn in_shell(home: &Path, script: &str, args: &[&str]) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, ROSA]);
    prepare(command, home, args)
}

fn prepare(mut command: Command, home: &Path, args: &[&str]) -> Command {
    command.args(args).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
    // Guessing a passphrase has tests of its own: here it takes seconds of each join, and one of each start.
    command.env("TMPDIR", std::env::temp_dir()).env("SUBROSA_TEST_LEAST_WORK", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    finish(command.spawn().unwrap(), Instant::now())
}

/// Runs with something on standard input.
pub(crate) fn run_with(command: &mut Command, input: &[u8]) -> Outcome {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child, began)
}

/// Waits for the end of something that was started.
pub(crate) fn finish(mut child: Child, began: Instant) -> Outcome {
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8(bytes).unwrap()
        })
    };
    let stdout = child.stdout.take().map(|out| read(Box::new(out)));
    let stderr = child.stderr.take().map(|err| read(Box::new(err)));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let took = began.elapsed();
    let text =
        |thread: Option<thread::JoinHandle<String>>| thread.map(|t| t.join().unwrap()).unwrap_or_default();
    Outcome { code: status.code(), stdout: text(stdout), stderr: text(stderr), took }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}
