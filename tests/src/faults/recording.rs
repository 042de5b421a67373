//! What `strace` wrote down, as changes of the files in one folder.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// A change of a file, or of a folder's names. Calls are ordered by the lines of the recording, since clocks are set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The line on which the call was entered.
    pub began: u64,
    /// The line on which it returned.
    pub ended: u64,
    /// When it returned, in microseconds since 1970.
    pub time: u64,
    /// What it did.
    pub change: Change,
}

/// What a system call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file was made, unless it was there; `cut`: and emptied.
    Open {
        /// Its name.
        path: PathBuf,
        /// Whether it was emptied.
        cut: bool,
    },
    /// Bytes were written; `at` is `None` for "behind the last ones".
    Write {
        /// Where to.
        path: PathBuf,
        /// The first byte's place.
        at: Option<u64>,
        /// What.
        data: Vec<u8>,
        /// Whether it happened: the process may have died in the midst of the call.
        sure: bool,
    },
    /// The file got this length.
    Length {
        /// Which.
        path: PathBuf,
        /// Bytes.
        bytes: u64,
    },
    /// A file's data, or a folder's names, are on the disk.
    Sync {
        /// Which.
        path: PathBuf,
    },
    /// A sync that failed: the system calls what was to be synced clean, and it never gets to the disk.
    SyncFailed {
        /// Which.
        path: PathBuf,
    },
    /// A name went away.
    Unlink {
        /// Which.
        path: PathBuf,
    },
    /// A name changed.
    Rename {
        /// From.
        from: PathBuf,
        /// To.
        to: PathBuf,
    },
}

/// The changes of one run of a program.
pub struct Recording;

impl Recording {
    /// The changes of files below `folder` in the order in which they were complete.
    ///
    /// # Panics
    /// When a line is not understood that may have changed a file: nothing is skipped silently.
    pub fn read(trace: &Path, folder: &Path) -> Vec<Event> {
        let mut lines = BufReader::new(std::fs::File::open(trace).unwrap());
        let mut begun: HashMap<String, (u64, u64, String)> = HashMap::new();
        let (mut events, mut line, mut number) = (Vec::new(), String::new(), 0);
        while lines.read_line(&mut line).unwrap() > 0 {
            number += 1;
            let (pid, rest) = line.trim_end().split_once(' ').unwrap();
            let (time, call) = rest.trim_start().split_once(' ').unwrap();
            let time = micros(time);
            if let Some(head) = call.strip_suffix(" <unfinished ...>") {
                begun.insert(pid.to_owned(), (number, time, head.to_owned()));
            } else if call.starts_with("<... ") {
                if let Some((began, time, head)) = begun.remove(pid) {
                    let tail = call.split_once(" resumed>").unwrap().1;
                    events.extend(event(&format!("{head}{tail}"), (began, number), time, folder));
                }
            } else if !call.starts_with("+++") && !call.starts_with("---") {
                events.extend(event(call, (number, number), time, folder));
            }
            line.clear();
        }
        events
    }
}

/// What one whole call changed below `folder`.
fn event(call: &str, (began, ended): (u64, u64), entered: u64, folder: &Path) -> Option<Event> {
    let (name, rest) = call.split_once('(')?;
    let (args, result) =
        rest.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {}", &call[..call.len().min(200)]));
    let args = args.trim_end().strip_suffix(')').unwrap_or(args);
    // The process died in the call. Of a write it is not known whether it was carried out; anything else was not.
    let sure = !result.starts_with('?');
    if !sure && !matches!(name, "pwrite64" | "write") {
        return None;
    }
    let took = result
        .rsplit_once('<')
        .filter(|_| sure)
        .and_then(|(_, took)| took.strip_suffix('>'))
        .map_or(0, micros);
    let time = entered + took;
    let failed = result.starts_with('-');
    let ours = |path: PathBuf| is_data(&path, folder).then_some(path);
    let change = match name {
        "fsync" | "fdatasync" => {
            let path = descriptor(args);
            let path = if path == folder { path } else { ours(path)? };
            if failed { Change::SyncFailed { path } } else { Change::Sync { path } }
        }
        _ if failed => return None,
        "openat" => {
            let path = ours(folder.join(unhexed(quoted(args)?)))?;
            if !args.contains("O_CREAT") && !args.contains("O_TRUNC") {
                return None;
            }
            Change::Open { path, cut: args.contains("O_TRUNC") }
        }
        "pwrite64" | "write" => {
            let path = ours(descriptor(args))?;
            let mut data = bytes(quoted(args)?);
            if sure {
                let done: usize = number(result);
                assert!(done <= data.len(), "strace cut a write short");
                data.truncate(done);
            }
            let at = (name == "pwrite64").then(|| number(args.rsplit_once(", ").unwrap().1));
            Change::Write { path, at, data, sure }
        }
        "ftruncate" => {
            Change::Length { path: ours(descriptor(args))?, bytes: number(args.rsplit_once(", ").unwrap().1) }
        }
        "unlink" | "unlinkat" => Change::Unlink { path: ours(folder.join(unhexed(quoted(args)?)))? },
        "rename" | "renameat" | "renameat2" => {
            let mut names = args.split('"').skip(1).step_by(2).map(|name| folder.join(unhexed(name)));
            let (from, to) = (names.next()?, names.next()?);
            Change::Rename { from: ours(from)?, to: ours(to)? }
        }
        _ if ours(descriptor(args)).is_none() => return None,
        other => panic!("a change that is not understood: {other}"),
    };
    Some(Event { began, ended, time, change })
}

/// Whether a file holds what must last: not the index of the log, which is memory, nor locks and sockets.
pub fn is_data(path: &Path, folder: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.parent() == Some(folder)
        && !name.ends_with("-shm")
        && !name.ends_with("lock")
        && !name.ends_with(".sock")
        && !name.ends_with(".ledger")
}

/// The file behind a descriptor: `12<\x2f…>`.
fn descriptor(args: &str) -> PathBuf {
    let name = args.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    name.map_or_else(PathBuf::new, |(name, _)| unhexed(name).into())
}

fn quoted(args: &str) -> Option<&str> {
    let (_, rest) = args.split_once('"')?;
    Some(rest.split_once('"')?.0)
}

fn unhexed(text: &str) -> String {
    String::from_utf8(bytes(text)).unwrap()
}

/// `\x2f\x00…` as bytes.
fn bytes(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => panic!("not hexadecimal: {}", &text[..text.len().min(80)]),
    };
    text.as_bytes().chunks(4).map(|code| digit(code[2]) * 16 + digit(code[3])).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    digits.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// `1795258685.715931` as microseconds.
fn micros(text: &str) -> u64 {
    let (seconds, fraction) = text.split_once('.').unwrap();
    seconds.parse::<u64>().unwrap() * 1_000_000 + fraction.parse::<u64>().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_strace_are_read_also_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let text = [
            format!(
                "7 1.000001 openat(AT_FDCWD<{0}>, \"{1}\", O_RDWR|O_CREAT, 0600) = 3<{1}> <0.000002>",
                hex("/"),
                hex("/d/a-wal")
            ),
            format!(
                "7 1.000010 pwrite64(3<{}>, \"\\x01\\x02\\xff\", 3, 32 <unfinished ...>",
                hex("/d/a-wal")
            ),
            format!(
                "8 1.000011 fsync(9<{}>) = -1 EIO (Input/output error) (INJECTED) <0.000004>",
                hex("/d/a")
            ),
            "7 1.000020 <... pwrite64 resumed>) = 2 <0.000010>".into(),
            format!("7 1.000030 fdatasync(4<{}>) = 0 (DELAYED) <0.000500>", hex("/d")),
            format!("7 1.000040 fsync(5<{}>) = ? <unavailable>", hex("/d/a-shm")),
            format!("8 1.000041 pwrite64(5<{}>, \"\\x07\", 1, 9 <unfinished ...>) = ?", hex("/d/a")),
            "7 1.000050 +++ killed by SIGKILL +++".into(),
        ];
        std::fs::write(&trace, text.join("\n") + "\n").unwrap();
        let changes: Vec<_> =
            Recording::read(&trace, Path::new("/d")).into_iter().map(|e| (e.time, e.change)).collect();
        let path = |name: &str| Path::new("/d").join(name);
        assert_eq!(
            changes,
            [
                (1_000_003, Change::Open { path: path("a-wal"), cut: false }),
                (1_000_015, Change::SyncFailed { path: path("a") }),
                (
                    1_000_020,
                    Change::Write { path: path("a-wal"), at: Some(32), data: vec![1, 2], sure: true }
                ),
                (1_000_530, Change::Sync { path: "/d".into() }),
                (1_000_041, Change::Write { path: path("a"), at: Some(9), data: vec![7], sure: false }),
            ]
        );
    }
}
