//! Asking somebody. Only where there is a terminal: standard input and standard error are one.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr};
use subrosa_client::api::Kind;
use subrosa_protocol::SafeText;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::app::{model::Size, text::wrap::wrap};

/// Whether there is somebody to ask.
#[must_use]
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The terminal's settings, put back at the end: a signal may come while a passphrase is typed without echo.
#[derive(Debug)]
pub struct Saved(Option<Termios>);

impl Saved {
    /// Keeps them, where there is a terminal.
    #[must_use]
    pub fn now() -> Self {
        Self(if is_there() { tcgetattr(io::stdin()).ok() } else { None })
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        if let Some(saved) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// Asks for a line.
///
/// # Errors
/// [`Kind::Usage`] when the terminal ends instead.
pub async fn ask(prompt: &str) -> Result<String, Failure> {
    say(prompt);
    let line = blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|count| (count > 0).then_some(line))
    })
    .await?;
    let line = line.map_err(|error| Failure::new(Kind::Usage, format!("nothing to read: {error}")))?;
    line.map(|line| line.trim_end_matches(['\n', '\r']).to_owned()).ok_or_else(ended)
}

/// Asks for a line that is not shown.
///
/// # Errors
/// [`Kind::Usage`] when the terminal ends instead.
pub async fn ask_secret(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let prompt = wrapped(prompt, size().width);
    match blocking(move || rpassword::prompt_password(prompt)).await? {
        Ok(secret) => Ok(Zeroizing::new(secret)),
        // The signal is on its way and ends the program.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => std::future::pending().await,
        Err(_) => Err(ended()),
    }
}

/// Asks a question; anything but yes is no.
///
/// # Errors
/// [`Kind::Usage`] when the terminal ends instead.
pub async fn confirm(question: &str) -> Result<bool, Failure> {
    let answer = ask(&format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Shows something without ending the line, broken between words where the terminal ends.
pub fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let text = Zeroizing::new(wrapped(SafeText::multi_line(text).as_str(), size().width));
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// The terminal's size; 80x24 where it does not tell.
#[must_use]
pub fn size() -> Size {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size { width: size.ws_col, height: size.ws_row },
        _ => Size { width: 80, height: 24 },
    }
}

/// Forgets what was typed and not read yet: it was no answer to what is shown next.
pub fn forget_typed() {
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
}

/// A text in lines of at most `width` cells, the last column left free.
#[must_use]
pub fn wrapped(text: &str, width: u16) -> String {
    let room = usize::from(width.saturating_sub(1)).max(1);
    wrap(text, room, room).join("\n")
}

/// Runs what blocks where it holds nobody up.
///
/// # Errors
/// [`Kind::Internal`] when it panics.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Failure::new(Kind::Internal, "a task of this program failed"))
}

fn ended() -> Failure {
    Failure::new(Kind::Usage, "the terminal ended before there was an answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_breaks_between_words_and_a_prompt_keeps_its_space() {
        let text = "The passphrase opens this profile and, with the recovery words, further devices.\n";
        for width in [30, 80] {
            let lines = wrapped(text, width);
            assert!(lines.lines().all(|line| line.len() < usize::from(width)), "{lines}");
            assert!(lines.ends_with('\n'));
            assert_eq!(
                lines.split_whitespace().collect::<Vec<_>>(),
                text.split_whitespace().collect::<Vec<_>>()
            );
        }
        assert_eq!(wrapped("Name: ", 30), "Name: ");
    }
}
