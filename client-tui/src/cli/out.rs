//! Standard output: data and nothing else. Every line passes here, and nothing that steers a terminal does (R48).

use std::io::{self, Write};

use serde::Serialize;
use subrosa_client::attach::line::to_line;
use subrosa_protocol::SafeText;

use super::failure::Failure;

/// Where a verb writes its results.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    /// Whether results are JSON.
    pub json: bool,
}

impl Out {
    /// Lines for people.
    ///
    /// # Errors
    /// [`Failure::Closed`] when nobody reads any more.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        self.write(SafeText::multi_line(text).as_str())
    }

    /// One JSON value.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.write(&to_line(value).map_err(io::Error::other)?)
    }

    /// The one or the other.
    ///
    /// # Errors
    /// As [`Out::text`].
    pub fn either(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.json(value) } else { self.text(&text()) }
    }

    /// One write a result, so that results of several processes in one pipe do not mix.
    fn write(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(format!("{text}\n").as_bytes())?;
        Ok(stdout.flush()?)
    }
}

/// A line for people beside the data.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", SafeText::multi_line(text));
}
