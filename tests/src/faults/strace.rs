//! A program under `strace`.
//!
//! The program stays our own child (`strace -D`), so that it is killed and waited for as without. `when=N` counts the
//! calls of each thread and each kind of call apart. A signal comes on entering the call: the call is not carried out.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crate::report::left_out;

/// Every call by which a store becomes durable.
pub const SYNCS: &str = "fsync,fdatasync";
/// Every call by which something leaves for the network.
pub const SENDS: &str = "sendmsg,sendmmsg,sendto";
/// Every call that changes what files hold, or makes it durable.
const CHANGES: &str = "openat,pwrite64,write,pwritev,writev,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat,\
                       renameat2,fallocate,sync_file_range";

/// Whether programs can be traced here.
pub fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| {
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "--seccomp-bpf", "-e", "trace=fsync", "-o", "/dev/null", "true"]);
        strace.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

/// Whether programs can be traced here; says what is left out when not.
pub fn works_for(what: &str) -> bool {
    let works = works();
    if !works {
        left_out(&format!("{what}: no strace, or it may not trace"));
    }
    works
}

/// The words before a program's own that inject a fault (without `--seccomp-bpf`, with which signals do not come), for instance `fsync,fdatasync` and `signal=KILL:when=7`.
pub fn inject(calls: &str, fault: &str) -> Vec<String> {
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e"];
    let mut words: Vec<String> = words.map(String::from).to_vec();
    words.extend([format!("trace={calls}"), "-e".into(), format!("inject={calls}:{fault}")]);
    words
}

/// The words before a program's own that make each sync take `delay_us` longer, as on a slow disk.
pub fn slow_syncs(delay_us: u32) -> Vec<String> {
    let words = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e"];
    let mut words: Vec<String> = words.map(String::from).to_vec();
    let inject = format!("inject={SYNCS}:delay_enter={delay_us}");
    words.extend([format!("trace={SYNCS}"), "-e".into(), inject]);
    words
}

/// The words before a program's own that write its changes of files to `trace`; and more injections.
///
/// Each sync takes `delay_us` longer, so that what is told before it ends is told visibly too early.
pub fn record(trace: &Path, delay_us: u32, more: &[String]) -> Vec<String> {
    let words =
        ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-ttt", "-T", "-y", "-xx", "-s", "2000000", "-A"];
    let mut words: Vec<String> = words.map(String::from).to_vec();
    words.extend(["-o".into(), trace.display().to_string(), "-e".into(), format!("trace={CHANGES}")]);
    if more.is_empty() && delay_us > 0 {
        words.extend(["-e".into(), format!("inject={SYNCS}:delay_enter={delay_us}")]);
    }
    for fault in more {
        words.extend(["-e".into(), format!("inject={fault}")]);
    }
    words
}

/// Waits until the tracer has written everything of the process `pid`, which has ended.
pub fn finished(trace: &Path, pid: u32) {
    let began = Instant::now();
    let (exited, killed) = (format!("{pid} "), "+++ ");
    loop {
        let tail = tail(trace);
        if tail.lines().any(|line| line.starts_with(&exited) && line.contains(killed)) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "strace does not finish: {tail}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn tail(trace: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = std::fs::File::open(trace) else { return String::new() };
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length.saturating_sub(65_536))).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
