//! The 24 recovery words: shown once, written to a file, or read back. Never to something that is not a terminal, unless
//! that was asked for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crossterm::{
    cursor::MoveTo,
    execute,
    terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen},
};
use subrosa_client::{ApiError, api::Kind};
use zeroize::Zeroizing;

use super::{failure::Failure, terminal};

/// Bytes of a file with recovery words, at most.
const FILE_BYTES: u64 = 4096;
const ROWS: usize = 6;
/// Cells of a column: a number, a word of at most eight letters, and the space between.
const COLUMN: usize = 15;

/// Where new recovery words go.
#[derive(Debug)]
pub enum Sink {
    /// Shown at the terminal until Enter is pressed.
    Terminal,
    /// Into this file.
    File(Box<Kept>),
    /// Into the result, because `--recovery-file -` said so.
    Output,
}

/// A file that was made and is removed again if nothing is written to it.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    written: bool,
}

impl Sink {
    /// Makes the place before anything is registered, so that no words are ever lost for want of one.
    ///
    /// # Errors
    /// [`Kind::Usage`] without a terminal and a file, [`Kind::Refused`] when the file exists or cannot be made.
    pub fn prepare(file: Option<&Path>) -> Result<Self, Failure> {
        match file {
            Some(path) if path == Path::new("-") => Ok(Self::Output),
            Some(path) => Ok(Self::File(Box::new(Kept::create(path)?))),
            None if terminal::is_there() => Ok(Self::Terminal),
            None => Err(Failure::usage(
                "the recovery words need a place: there is no terminal to show them on",
                "give --recovery-file FILE; it is made with mode 0600 and must not exist (- prints them with the result)",
            )),
        }
    }
}

impl Kept {
    fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    "choose a file that does not exist yet; nothing is overwritten"
                }
                _ => "choose a file that can be made",
            };
            Failure::from(ApiError::new(Kind::Refused, format!("{}: {error}", path.display())).hint(hint))
        };
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = match created {
            // Left by an attempt that was killed: empty, ours, and closed to others.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match reuse(path) {
                Some(file) => file,
                None => return Err(failed(error)),
            },
            other => other.map_err(failed)?,
        };
        Ok(Self { path: path.to_path_buf(), file, written: false })
    }

    /// Writes the words, durably.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, words: &str) -> io::Result<()> {
        let line = Zeroizing::new(format!("{words}\n"));
        self.file.write_all(line.as_bytes())?;
        self.written = true;
        self.file.sync_all()?;
        match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => File::open(parent)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn reuse(path: &Path) -> Option<File> {
    let found = fs::symlink_metadata(path).ok()?;
    let ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if !found.is_file() || !ours || found.len() > 0 {
        return None;
    }
    let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).ok()?;
    OpenOptions::new().write(true).custom_flags(nofollow).open(path).ok()
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.written {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The words in numbered columns, read downwards.
#[must_use]
pub fn grid(words: &str) -> Zeroizing<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut text = Zeroizing::new(String::with_capacity(512));
    for row in 0..ROWS.min(words.len()) {
        for (index, word) in words.iter().enumerate().skip(row).step_by(ROWS) {
            let cell = Zeroizing::new(format!("{:>2} {word}", index + 1));
            text.push_str(&format!("  {:<COLUMN$}", cell.as_str()));
        }
        let end = text.trim_end().len();
        text.truncate(end);
        text.push('\n');
    }
    text
}

/// Shows the words until Enter is pressed, on a screen of their own that leaves nothing to scroll back to.
///
/// # Errors
/// When the terminal ends first.
pub async fn show(words: &str) -> Result<(), Failure> {
    let _screen = Screen::enter();
    terminal::say("Your 24 recovery words\n\n");
    terminal::say(&grid(words));
    terminal::say(
        "\nWrite them down, on paper. They are shown this once. With them and the passphrase you log in on\n\
         another device; without them the account ends with this one. Whoever has them can be you.\n\n",
    );
    terminal::ask("Press Enter when they are written down. ").await.map(drop)
}

struct Screen {
    alternate: bool,
}

impl Screen {
    fn enter() -> Self {
        let alternate = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if alternate {
            let _ = execute!(io::stderr(), EnterAlternateScreen, Clear(ClearType::All), MoveTo(0, 0));
        }
        Self { alternate }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.alternate {
            let _ = execute!(io::stderr(), Clear(ClearType::All), LeaveAlternateScreen);
        }
    }
}

/// Reads recovery words: from a file, from standard input for `-`, or by asking.
///
/// # Errors
/// [`Kind::Usage`] when there is neither a file nor a terminal.
pub async fn read(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let text = match file {
        Some(path) => from_file(path.to_path_buf()).await?,
        None if terminal::is_there() => terminal::ask_secret("The 24 recovery words (not shown): ").await?,
        None => {
            return Err(Failure::usage(
                "the recovery words are needed, and there is no terminal to ask for them",
                "give --recovery-file FILE (- reads standard input)",
            ));
        }
    };
    // Numbers may have been copied with the words.
    let words: Vec<&str> = text
        .split_whitespace()
        .map(|word| word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.'))
        .filter(|word| !word.is_empty())
        .collect();
    Ok(Zeroizing::new(words.join(" ").to_lowercase()))
}

async fn from_file(path: PathBuf) -> Result<Zeroizing<String>, Failure> {
    let shown = path.display().to_string();
    let read = move || {
        let mut text = Zeroizing::new(String::with_capacity(512));
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                terminal::say("The 24 recovery words: ");
                return io::stdin().read_line(&mut text).map(|_| text);
            }
            return io::stdin().lock().take(FILE_BYTES).read_to_string(&mut text).map(|_| text);
        }
        File::open(path)?.take(FILE_BYTES).read_to_string(&mut text).map(|_| text)
    };
    terminal::blocking(read).await?.map_err(|error| {
        ApiError::new(Kind::Usage, format!("{shown}: {error}"))
            .hint("it has the 24 words in their order")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn words() -> String {
        (1..=24).map(|number| format!("word{number}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_grid_is_numbered_downwards() {
        insta::assert_snapshot!(grid(&words()).as_str(), @r"
        1 word1          7 word7         13 word13        19 word19
        2 word2          8 word8         14 word14        20 word20
        3 word3          9 word9         15 word15        21 word21
        4 word4         10 word10        16 word16        22 word22
        5 word5         11 word11        17 word17        23 word23
        6 word6         12 word12        18 word18        24 word24
        ");
    }

    #[test]
    fn a_file_is_private_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("words");
        let mut kept = Kept::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        kept.write(&words()).unwrap();
        drop(kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", words()));
        assert_eq!(Kept::create(&path).unwrap_err().exit_code(), 5);
        assert_eq!(Kept::create(&home.path().join("no/such")).unwrap_err().exit_code(), 5);
    }

    #[test]
    fn an_attempt_that_failed_leaves_no_file_and_one_that_was_killed_is_taken_up() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("words");
        drop(Kept::create(&path).unwrap());
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        assert_eq!(Kept::create(&path).unwrap_err().exit_code(), 5);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Kept::create(&path).is_ok());
        let target = home.path().join("target");
        fs::write(&target, "").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&target, home.path().join("link")).unwrap();
        assert_eq!(Kept::create(&home.path().join("link")).unwrap_err().exit_code(), 5);
    }

    #[tokio::test]
    async fn words_are_read_as_they_may_have_been_noted() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("words");
        fs::write(&path, " 1. Abandon\n2 ability\t 3 able\n").unwrap();
        assert_eq!(read(Some(&path)).await.unwrap().as_str(), "abandon ability able");
        assert_eq!(read(Some(Path::new("/no/such"))).await.unwrap_err().exit_code(), 2);
    }
}
