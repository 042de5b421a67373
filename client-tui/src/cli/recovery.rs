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
use crate::app::model::Size;

/// Bytes of a file with recovery words, at most.
const FILE_BYTES: u64 = 4096;
/// Columns of words, at most.
const MOST_COLUMNS: usize = 4;
/// Cells of a column where there is room: a number, a word of at most eight letters, and space.
const COLUMN: usize = 15;
const TITLE: &str = "Your 24 recovery words";
const SAID: &str = "Write your 24 recovery words on paper. They are shown once. With them and the passphrase you log in on \
                    another device; without them the account ends with this one. Whoever has them is you.";
const CONFIRM: &str = "Written down? Type yes: ";

/// Where new recovery words go.
#[derive(Debug)]
pub enum Sink {
    /// Shown at the terminal until somebody says that they are written down.
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

/// The pages that show the words in numbered columns, read downwards, each at most a line less high than the terminal:
/// below stands what to press. All that is to be said comes before the words, so that they are what is seen last.
#[must_use]
fn pages(words: &str, size: Size) -> Vec<Zeroizing<String>> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let rows = usize::from(size.height).saturating_sub(1).max(2);
    let said = terminal::wrapped(SAID, size.width);
    let whole = grid(&words, 1, words.len(), size.width);
    // All of it at once, where there is room.
    if said.lines().count() + 3 + whole.lines().count() <= rows {
        return vec![Zeroizing::new(format!("{TITLE}\n\n{said}\n\n{}", whole.as_str()))];
    }
    let said: Vec<&str> = said.lines().collect();
    let mut pages: Vec<Zeroizing<String>> =
        said.chunks(rows).map(|lines| Zeroizing::new(format!("{}\n", lines.join("\n")))).collect();
    let (columns, _, _) = columns(size.width);
    // The line of the title may be needed for the prompt, where that takes two.
    let at_once = columns * rows.saturating_sub(1).clamp(1, words.len().max(1));
    for (page, chunk) in words.chunks(at_once).enumerate() {
        let first = page * at_once + 1;
        let title = format!("Words {first} to {} of {}", first + chunk.len() - 1, words.len());
        let grid = grid(chunk, first, at_once, size.width);
        pages.push(Zeroizing::new(format!("{title}\n{}", grid.as_str())));
    }
    pages
}

/// How many columns of words fit, the cells before each, and the cells of each.
fn columns(width: u16) -> (usize, usize, usize) {
    let (indent, column) =
        if usize::from(width) > MOST_COLUMNS * (COLUMN + 2) { (2, COLUMN) } else { (1, 12) };
    ((usize::from(width) / (indent + column)).clamp(1, MOST_COLUMNS), indent, column)
}

/// Words in numbered columns, the first with the number `first`; rows as if there were `full` of them.
fn grid(words: &[&str], first: usize, full: usize, width: u16) -> Zeroizing<String> {
    let (columns, indent, column) = columns(width);
    let rows = full.div_ceil(columns).min(words.len());
    let mut text = Zeroizing::new(String::with_capacity(1024));
    for row in 0..rows {
        for (index, word) in words.iter().enumerate().skip(row).step_by(rows) {
            let cell = Zeroizing::new(format!("{:>2} {word}", first + index));
            text.push_str(&format!("{:indent$}{:<column$}", "", cell.as_str()));
        }
        let end = text.trim_end().len();
        text.truncate(end);
        text.push('\n');
    }
    text
}

/// Shows the words, on a screen of their own that leaves nothing to scroll back to, until `yes` is typed. What was typed
/// before they were shown is forgotten: it cannot have been about them.
///
/// # Errors
/// When the terminal ends first.
pub async fn show(words: &str) -> Result<(), Failure> {
    let screen = Screen::enter();
    loop {
        let size = terminal::size();
        let pages = pages(words, size);
        let mut left = pages.len();
        for page in &pages {
            left -= 1;
            terminal::forget_typed();
            screen.clear();
            terminal::say(page);
            if left == 0 {
                if terminal::ask(CONFIRM).await?.trim().eq_ignore_ascii_case("yes") {
                    return Ok(());
                }
            } else {
                terminal::ask("Enter for more ").await?;
            }
            // Pages of another size are other pages; what is no yes shows the words again.
            if terminal::size() != size {
                break;
            }
        }
    }
}

struct Screen {
    alternate: bool,
}

impl Screen {
    fn enter() -> Self {
        let alternate = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if alternate {
            let _ = execute!(io::stderr(), EnterAlternateScreen);
        }
        Self { alternate }
    }

    fn clear(&self) {
        if self.alternate {
            let _ = execute!(io::stderr(), Clear(ClearType::All), MoveTo(0, 0));
        } else {
            terminal::say("\n");
        }
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
        (1..=24).map(|number| format!("wordno{number:02}")).collect::<Vec<_>>().join(" ")
    }

    fn shown(width: u16, height: u16) -> Vec<Zeroizing<String>> {
        pages(&words(), Size { width, height })
    }

    #[test]
    fn the_words_are_numbered_downwards_on_one_page_where_it_is_large_enough() {
        let pages = shown(80, 24);
        assert_eq!(pages.len(), 1);
        insta::assert_snapshot!(pages[0].as_str(), @r"
        Your 24 recovery words

        Write your 24 recovery words on paper. They are shown once. With them and the
        passphrase you log in on another device; without them the account ends with
        this one. Whoever has them is you.

           1 wordno01       7 wordno07      13 wordno13      19 wordno19
           2 wordno02       8 wordno08      14 wordno14      20 wordno20
           3 wordno03       9 wordno09      15 wordno15      21 wordno21
           4 wordno04      10 wordno10      16 wordno16      22 wordno22
           5 wordno05      11 wordno11      17 wordno17      23 wordno23
           6 wordno06      12 wordno12      18 wordno18      24 wordno24
        ");
    }

    #[test]
    fn the_smallest_terminal_shows_all_words_page_by_page() {
        let pages: Vec<String> = shown(30, 8).iter().map(|page| page.to_string()).collect();
        insta::assert_snapshot!(pages.join("--\n"), @r"
        Write your 24 recovery words
        on paper. They are shown
        once. With them and the
        passphrase you log in on
        another device; without them
        the account ends with this
        one. Whoever has them is you.
        --
        Words 1 to 12 of 24
          1 wordno01   7 wordno07
          2 wordno02   8 wordno08
          3 wordno03   9 wordno09
          4 wordno04  10 wordno10
          5 wordno05  11 wordno11
          6 wordno06  12 wordno12
        --
        Words 13 to 24 of 24
         13 wordno13  19 wordno19
         14 wordno14  20 wordno20
         15 wordno15  21 wordno21
         16 wordno16  22 wordno22
         17 wordno17  23 wordno23
         18 wordno18  24 wordno24
        ");
    }

    #[test]
    fn every_size_shows_every_word_and_nothing_scrolls_away() {
        for (width, height) in (30..120).flat_map(|width| (8..40).map(move |height| (width, height))) {
            let pages = shown(width, height);
            let mut seen = Vec::new();
            for page in &pages {
                // Below stands the prompt.
                assert!(page.lines().count() < usize::from(height), "{width}x{height}: {}", page.as_str());
                assert!(page.lines().all(|line| line.len() < usize::from(width)), "{width}x{height}");
                seen.extend(
                    page.split_whitespace().filter(|part| part.starts_with("word")).map(str::to_owned),
                );
            }
            for word in words().split_whitespace() {
                assert!(seen.iter().any(|seen| seen == word), "{width}x{height}: {word}");
            }
        }
        assert!(CONFIRM.len() < 30);
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
