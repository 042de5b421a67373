//! Where a passphrase comes from when nobody is asked. It is the first line of what is read, without its line end; an open
//! pipe is read no further than that.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    process::{Command, Stdio},
};

use subrosa_client::{ApiError, api::Kind};
use zeroize::Zeroizing;

use super::argv;

/// Bytes of a passphrase, at most.
pub const PASSPHRASE_BYTES: usize = 1024;

/// Where a passphrase is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An inherited file descriptor. It is opened anew through `/dev/fd`, so it must be a pipe or a file.
    Fd(u32),
    /// A file.
    File(PathBuf),
    /// The standard output of a command, run without a shell and without standard input; see [`argv`].
    Command(String),
}

impl Source {
    /// Reads the passphrase. Blocks: a command may ask somebody.
    ///
    /// # Errors
    /// [`Kind::Usage`] when the source makes no sense, [`Kind::NotReady`] when it gives nothing usable.
    pub fn read(&self) -> Result<Zeroizing<String>, ApiError> {
        let passphrase = match self {
            Self::Fd(0) => first_line(io::stdin().lock()),
            Self::Fd(number) => File::open(format!("/dev/fd/{number}")).and_then(first_line),
            Self::File(path) => File::open(path).and_then(first_line),
            Self::Command(line) => return run(line),
        };
        usable(passphrase.map_err(|error| self.failed(&error))?).map_err(|what| self.failed(&what))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> ApiError {
        let from = match self {
            Self::Fd(number) => format!("file descriptor {number}"),
            Self::File(path) => path.display().to_string(),
            Self::Command(_) => "the command".to_owned(),
        };
        ApiError::new(Kind::NotReady, format!("no passphrase from {from}: {why}"))
            .hint("it is the first line, at most 1024 bytes of UTF-8")
    }
}

fn run(line: &str) -> Result<Zeroizing<String>, ApiError> {
    let words = argv::split(line)
        .map_err(|error| ApiError::new(Kind::Usage, format!("--passphrase-command: {error}")))?;
    let (program, args) = words.split_first().ok_or_else(|| ApiError::internal("an empty command"))?;
    let failed = |why: String| ApiError::new(Kind::NotReady, format!("no passphrase from {program}: {why}"));
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let passphrase = match child.stdout.take() {
        Some(stdout) => first_line(stdout),
        None => Err(io::Error::other("no output")),
    };
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    let passphrase = passphrase.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    usable(passphrase).map_err(|what| failed(what.to_owned()))
}

fn usable(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, &'static str> {
    let text = std::str::from_utf8(&bytes).map_err(|_| "not UTF-8")?;
    if text.is_empty() { Err("it is empty") } else { Ok(Zeroizing::new(text.to_owned())) }
}

/// Reads byte by byte, so that nothing behind the line is taken from a pipe that is used for more.
fn first_line(mut from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES + 1));
    let mut byte = Zeroizing::new([0; 1]);
    while from.read(&mut *byte)? == 1 {
        match byte.first() {
            Some(b'\n') | None => break,
            Some(_) if line.len() > PASSPHRASE_BYTES => return Err(io::Error::other("it is too long")),
            Some(byte) => line.push(*byte),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    if line.len() > PASSPHRASE_BYTES { Err(io::Error::other("it is too long")) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::fd::AsRawFd};

    use super::*;

    fn file(content: &[u8]) -> (tempfile::NamedTempFile, Source) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let source = Source::File(file.path().to_path_buf());
        (file, source)
    }

    #[test]
    fn the_first_line_is_the_passphrase() {
        for (content, passphrase) in [
            (&b"one two\n"[..], "one two"),
            (b"one two", "one two"),
            (b"one\r\nmore\n", "one"),
            (b" kept \n", " kept "),
            ("gr\u{fc}n\n".as_bytes(), "gr\u{fc}n"),
        ] {
            let (_kept, source) = file(content);
            assert_eq!(source.read().unwrap().as_str(), passphrase);
        }
    }

    #[test]
    fn what_is_no_passphrase_is_refused() {
        let long = vec![b'x'; PASSPHRASE_BYTES + 1];
        for content in [&b""[..], b"\nsecond", b"\xff\n", &long] {
            let (_kept, source) = file(content);
            assert_eq!(source.read().unwrap_err().kind, Kind::NotReady);
        }
        let (_kept, source) = file(long.get(1..).unwrap());
        assert_eq!(source.read().unwrap().len(), PASSPHRASE_BYTES);
        assert_eq!(Source::File("/no/such".into()).read().unwrap_err().kind, Kind::NotReady);
        assert_eq!(Source::Fd(999).read().unwrap_err().kind, Kind::NotReady);
    }

    #[test]
    fn a_pipe_that_stays_open_is_read_to_its_first_line_only() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"secret\nrest").unwrap();
        let fd = u32::try_from(reader.as_raw_fd()).unwrap();
        assert_eq!(Source::Fd(fd).read().unwrap().as_str(), "secret");
        let mut rest = [0; 4];
        let mut reader = reader;
        reader.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"rest");
    }

    #[test]
    fn a_command_is_run_without_a_shell() {
        let source = |line: &str| Source::Command(line.into());
        assert_eq!(source("printf '%s\\n' 'a $HOME;b'").read().unwrap().as_str(), "a $HOME;b");
        assert_eq!(source("false").read().unwrap_err().kind, Kind::NotReady);
        assert_eq!(source("/no/such/program").read().unwrap_err().kind, Kind::NotReady);
        assert_eq!(source("'").read().unwrap_err().kind, Kind::Usage);
        assert_eq!(source("cat").read().unwrap_err().kind, Kind::NotReady);
    }
}
