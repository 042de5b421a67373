//! Refusals, with the exit code a program ends with.

use serde::{Deserialize, Serialize};

use subrosa_protocol::{ErrorCode, SafeText};

/// What went wrong; the number is the exit code of the one-shot verbs and the `code` of a JSON-RPC error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A fault of this program. Exit code 1.
    Internal,
    /// The command or its arguments make no sense. Exit code 2.
    Usage,
    /// No profile, a wrong passphrase, a profile that somebody else owns, a locked one. Exit code 3.
    NotReady,
    /// The relay does not answer; trying again helps. Exit code 4.
    Unreachable,
    /// The relay or the engine refused. Exit code 5.
    Refused,
    /// A key changed, or a relay's key is not the pinned one. Exit code 6.
    Identity,
    /// No such account, chat or message. Exit code 7.
    NotFound,
    /// Some recipients got it and some did not. Exit code 8.
    Partial,
    /// Time ran out; what was queued stays queued. Exit code 9.
    Timeout,
    /// Too much at once. Exit code 10.
    RateLimited,
}

impl Kind {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotReady => 3,
            Self::Unreachable => 4,
            Self::Refused => 5,
            Self::Identity => 6,
            Self::NotFound => 7,
            Self::Partial => 8,
            Self::Timeout => 9,
            Self::RateLimited => 10,
        }
    }
}

/// A refusal: what happened, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What programs act on.
    pub kind: Kind,
    /// One line for people: what happened and why.
    pub message: SafeText,
    /// One line for people: what to do next.
    pub hint: Option<SafeText>,
    /// When to try again, in milliseconds, where that is known.
    pub retry_after_ms: Option<u64>,
    /// The message that stays queued, where there is one.
    pub id: Option<String>,
}

impl ApiError {
    /// An error with a line for people.
    #[must_use]
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: SafeText::single_line(message.as_ref()),
            hint: None,
            retry_after_ms: None,
            id: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(SafeText::single_line(hint.as_ref()));
        self
    }

    /// A fault of this program; `what` names the part that failed and holds no content.
    #[must_use]
    pub fn internal(what: impl AsRef<str>) -> Self {
        Self::new(Kind::Internal, format!("internal error: {}", what.as_ref()))
    }
}

/// Characters of what somebody typed that an error repeats.
const ECHO_CHARACTERS: usize = 64;

/// What somebody typed, as an error repeats it: harmless, on one line, and its beginning only where it is long.
#[must_use]
pub fn echo(text: &str) -> String {
    cut(text, ECHO_CHARACTERS)
}

/// A text's beginning on one line, marked where it was cut.
#[must_use]
pub(crate) fn cut(text: &str, characters: usize) -> String {
    // What is left out is not looked at: a line of the socket may be long.
    let start: String = text.trim().chars().take(characters + 1).collect();
    let start = SafeText::single_line(&start);
    match start.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", start.get(..at).unwrap_or_default()),
        None => start.as_str().to_owned(),
    }
}

/// How a relay's refusal is told to a front end.
#[must_use]
pub const fn kind_of(code: ErrorCode) -> Kind {
    match code {
        ErrorCode::RateLimited | ErrorCode::TooManyConnections => Kind::RateLimited,
        ErrorCode::NotFound | ErrorCode::UnknownRoom | ErrorCode::NoSuchObject => Kind::NotFound,
        ErrorCode::Internal | ErrorCode::ShuttingDown | ErrorCode::StorageFull => Kind::Unreachable,
        ErrorCode::LoginFailed | ErrorCode::AuthenticationFailed | ErrorCode::LoginRequired => Kind::NotReady,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_repeated_in_part_only() {
        assert_eq!(echo(" #ops\u{1b}[31m "), "#ops[31m");
        assert_eq!(echo(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(echo(&"é".repeat(100_000)), format!("{}…", "é".repeat(64)));
    }
}
