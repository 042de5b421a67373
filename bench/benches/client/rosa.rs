//! The application in a pseudo-terminal: how soon it shows itself, what it costs when it does nothing, and how soon a key
//! is answered.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    num::NonZero,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use subrosa_client::{
    api::{ContactState, Direction, MessageKind, MessageState, time::Timestamp},
    profile::{Locked, ProfilePaths},
    store::{NewMessage, Store},
};
use subrosa_protocol::{MessageId, RelayAddress, SafeText, Username};

use crate::{
    child::{Measured, PASSPHRASE},
    hostile::{Flood, Victim},
    size,
    table::Table,
    usage::{Usage, memory_kib, threads},
};

const COLUMNS: u16 = 100;
const LINES: u16 = 30;
/// The last line of the long history.
const NEWEST: &str = "the newest line";
/// A text that a measured person sends.
const FIRST: &str = "word after word";
/// Keys whose answer is timed.
const KEYS: usize = 300;
/// How long anything on the screen is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run() {
    let dir = tempfile::tempdir().unwrap();
    let relay = Measured::relay(dir.path());
    let (mut alice, mut bob) = (
        Measured::person("alice", &relay.ready, dir.path()),
        Measured::person("bob", &relay.ready, dir.path()),
    );
    alice.tell("send bob 1 20 1 accepted");
    bob.tell("shown 1");
    bob.tell("send alice 1 20 1 accepted");
    alice.tell("shown 1");
    drop(alice);
    drop(bob);
    let history = size("SUBROSA_CLIENT_HISTORY", 10_000);
    let (profile, empty) = (dir.path().join("alice"), dir.path().join("bob"));
    let victim = fill(&profile, history);
    let passphrase = dir.path().join("passphrase");
    std::fs::write(&passphrase, PASSPHRASE).unwrap();

    let columns = ["The application (100 x 30)", &format!("{history} messages"), "2 messages"];
    let mut table = Table::new("The application in a pseudo-terminal", &columns);
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (column, (profile, newest)) in [(&profile, NEWEST), (&empty, FIRST)].into_iter().enumerate() {
        for (at, (what, value)) in session(profile, &passphrase, newest).into_iter().enumerate() {
            if column == 0 {
                cells.push(vec![what.to_owned()]);
            }
            cells[at].push(value);
        }
    }
    cells.iter().for_each(|row| table.row(row));
    table.print();
    under_attack(&relay.ready.parse().unwrap(), victim, &profile, &passphrase);
}

/// One start of the program.
fn session(profile: &Path, passphrase: &Path, newest: &str) -> Vec<(&'static str, String)> {
    // Without a passphrase it shows the lock screen, and nothing else is done before.
    let mut locked = Terminal::start(profile, None);
    let first_bytes = locked.wait_for_bytes();
    let first_frame = locked.wait_for("passphrase");
    let (locked_rss, _) = memory_kib(locked.pid());
    drop(locked);

    let mut rosa = Terminal::start(profile, Some(passphrase));
    let shown = rosa.wait_for(newest);
    rosa.settle(Duration::from_secs(4));
    let (rss, pss) = memory_kib(rosa.pid());
    let (before, seconds) = (rosa.usage(), size("SUBROSA_CLIENT_IDLE_S", 30));
    let bytes = rosa.settle(Duration::from_secs(seconds));
    let idle = rosa.usage().since(before);
    let typing = rosa.type_keys();
    // To the oldest message, page by page, as far as a hundred pages go.
    let before = rosa.usage();
    for _ in 0..100 {
        rosa.write(b"\x1b[5~");
        rosa.settle(Duration::from_millis(20));
    }
    rosa.settle(Duration::from_millis(500));
    let scrolling = rosa.usage().since(before);
    let (rss_scrolled, pss_scrolled) = memory_kib(rosa.pid());
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    vec![
        ("exec to first byte, ms", ms(first_bytes)),
        ("exec to the lock screen, ms", ms(first_frame)),
        ("exec to the newest messages, passphrase from a file (its stretching in it), ms", ms(shown)),
        ("resident, locked, MiB", mib(locked_rss)),
        ("resident, chat open, MiB", mib(rss)),
        ("share of it (PSS), MiB", mib(pss)),
        ("resident after 100 pages of scrolling, MiB", mib(rss_scrolled)),
        ("share of it (PSS), MiB", mib(pss_scrolled)),
        ("threads", threads(rosa.pid()).to_string()),
        ("idle: CPU, ms a minute", format!("{:.1}", idle.cpu_ns as f64 / 1e6 * 60.0 / seconds as f64)),
        ("idle: wake-ups a minute", format!("{:.0}", idle.waits as f64 * 60.0 / seconds as f64)),
        ("idle: bytes to the terminal a minute", format!("{:.0}", bytes as f64 * 60.0 / seconds as f64)),
        (
            "idle: KiB to disk a minute",
            format!("{:.1}", idle.written as f64 / 1024.0 * 60.0 / seconds as f64),
        ),
        ("key to changed screen, p50, ms", ms(typing.0)),
        ("key to changed screen, p99, ms", ms(typing.1)),
        ("a page of scrolling: CPU, ms", format!("{:.2}", scrolling.cpu_ns as f64 / 1e6 / 100.0)),
    ]
}

fn under_attack(relay: &RelayAddress, victim: Victim, profile: &Path, passphrase: &Path) {
    let rate = size("SUBROSA_CLIENT_HOSTILE", 1_000);
    let mut rosa = Terminal::start(profile, Some(passphrase));
    rosa.wait_for(NEWEST);
    rosa.settle(Duration::from_secs(2));
    let before = rosa.usage();
    let begun = Instant::now();
    let flood = Flood::start(relay, victim, rate);
    while flood.sent() < rate {
        rosa.settle(Duration::from_millis(20));
    }
    let (p50, p99) = rosa.type_keys();
    let sent = flood.sent();
    let took = begun.elapsed();
    drop(flood);
    rosa.settle(Duration::from_secs(1));
    let used = rosa.usage().since(before);
    let mut table =
        Table::new(&format!("{rate} hostile envelopes a second (R18: a key under 50 ms)"), &["", "", "goal"]);
    table.row(&["envelopes taken by the relay".into(), sent.to_string(), String::new()]);
    table.row(&["a second".into(), format!("{:.0}", sent as f64 / took.as_secs_f64()), rate.to_string()]);
    table.row(&[
        "CPU of the application, ms/1,000".into(),
        format!("{:.0}", used.ms_per_thousand(sent)),
        "2000".into(),
    ]);
    table.row(&["key to changed screen, p50, ms".into(), ms(p50), "50".into()]);
    table.row(&["key to changed screen, p99, ms".into(), ms(p99), "50".into()]);
    table.print();
}

fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

/// Puts a history into a profile whose program does not run.
fn fill(profile: &Path, count: u64) -> Victim {
    let paths = ProfilePaths::resolve(Some(profile.to_str().unwrap())).unwrap();
    let mut store: Store = Locked::acquire(paths).unwrap().open(PASSPHRASE.as_bytes()).unwrap();
    let bob = Username::new("bob").unwrap();
    let victim = store
        .transaction(|tx| {
            let me = tx.identity()?.unwrap();
            let list = tx.device_list(&me.account)?.unwrap();
            // A chat with something unread opens there, not at the newest line.
            tx.mark_read(&(&bob).into(), i64::MAX)?;
            for number in 0..count {
                let out = number % 3 == 0;
                let text = if number + 1 == count {
                    NEWEST.to_owned()
                } else {
                    format!("number {number}: {}", "some words of a line ".repeat(1 + (number % 9) as usize))
                };
                let mut id = [0; 16];
                id[..8].copy_from_slice(&number.to_le_bytes());
                tx.insert_message(&NewMessage {
                    id: MessageId::from_bytes(id),
                    chat: (&bob).into(),
                    direction: if out { Direction::Out } else { Direction::In },
                    from: if out { me.account.clone() } else { bob.clone() },
                    device: 1,
                    kind: MessageKind::Text { text: SafeText::multi_line(&text) },
                    reply_to: None,
                    sent_at: Timestamp(1_760_000_000_000 + number * 60_000),
                    stored_at: Timestamp(1_760_000_000_000 + number * 60_000),
                    state: if out { MessageState::Delivered } else { MessageState::Read },
                    reason: None,
                    verified: false,
                    key: None,
                    mention: false,
                })?;
            }
            assert_eq!(tx.contact(&bob)?.unwrap().state, ContactState::Accepted);
            let sealing_key = list.list.devices[0].sealing_key;
            Ok::<_, subrosa_client::store::StoreError>(Victim {
                name: me.account,
                sealing_key,
                list_version: list.list.version,
                friend: bob,
            })
        })
        .unwrap();
    store.close().unwrap();
    victim
}

/// A program in a pseudo-terminal, and an emulator that shows what is on its screen.
struct Terminal {
    child: Child,
    master: File,
    output: Receiver<(Instant, Vec<u8>)>,
    screen: vt100::Parser,
    begun: Instant,
}

impl Terminal {
    fn start(profile: &Path, passphrase: Option<&Path>) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: LINES, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = || OpenOptions::new().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        // `setsid -c` makes it the controlling terminal and becomes the program.
        let mut command = Command::new("setsid");
        command.arg("-c").arg(program()).args(["--profile", profile.to_str().unwrap()]);
        if let Some(file) = passphrase {
            command.arg("--passphrase-file").arg(file);
        }
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8").env("XDG_CONFIG_HOME", profile);
        command.stdin(slave()).stdout(slave()).stderr(slave());
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let one = |number| NonZero::new(number).unwrap();
        let screen = vt100::Parser::new(one(LINES), one(COLUMNS), 0);
        let (sender, output) = channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
        });
        Self { child, master, output, screen, begun }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }

    fn write(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).unwrap();
    }

    /// Since its start, until the first byte.
    fn wait_for_bytes(&mut self) -> Duration {
        let (at, bytes) = self.output.recv_timeout(PATIENCE).unwrap();
        self.screen.process(&bytes);
        at - self.begun
    }

    /// Since its start, until the screen shows a text.
    fn wait_for(&mut self, text: &str) -> Duration {
        let mut at = Instant::now();
        let until = at + PATIENCE;
        while !self.screen.screen().contents().contains(text) {
            let Ok((then, bytes)) = self.output.recv_timeout(until.saturating_duration_since(Instant::now()))
            else {
                panic!("{text:?} does not appear:\n{}", self.screen.screen().contents());
            };
            self.screen.process(&bytes);
            at = then;
        }
        at - self.begun
    }

    /// Takes in what comes for so long. How many bytes came.
    fn settle(&mut self, time: Duration) -> usize {
        let until = Instant::now() + time;
        let mut count = 0;
        loop {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((_, bytes)) => {
                    count += bytes.len();
                    self.screen.process(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => return count,
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended"),
            }
        }
    }

    /// The 50th and the 99th percentile of the time from a key to the screen that shows it.
    fn type_keys(&mut self) -> (Duration, Duration) {
        let mut times = Vec::with_capacity(KEYS);
        for at in 0..KEYS {
            // A word of its own for each key: what is on the screen already is not taken for it.
            let key = b'a' + (at % 26) as u8;
            let cursor = self.screen.screen().cursor_position();
            let pressed = Instant::now();
            self.write(&[key]);
            let mut shown = pressed;
            while self.screen.screen().cursor_position() == cursor {
                let (then, bytes) = self.output.recv_timeout(PATIENCE).expect("a key is not shown");
                self.screen.process(&bytes);
                shown = then;
            }
            times.push(shown - pressed);
            // As somebody types who types fast.
            self.settle(Duration::from_millis(20));
            if at % 40 == 39 {
                // Ctrl-U: the line is empty again.
                self.write(b"\x15");
                self.settle(Duration::from_millis(100));
            }
        }
        times.sort_unstable();
        (times[KEYS / 2], times[KEYS * 99 / 100])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside this bench, or where `SUBROSA_PROGRAMS` says.
fn program() -> PathBuf {
    let folder = std::env::var_os("SUBROSA_PROGRAMS").map(PathBuf::from);
    let beside = || std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let path = folder.unwrap_or_else(beside).join("rosa");
    assert!(path.exists(), "{} is not built: cargo build --release -p rosa", path.display());
    path
}
