//! How a verb fails: what happened, why, and what to do next.

use std::io;

use serde_json::json;
use subrosa_client::{ApiError, api::Kind, attach::line::to_line};

/// Why a verb did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something to tell.
    Error(Box<ApiError>),
    /// Whoever reads standard output has closed it (`| head -1`): there is nobody to tell anything.
    Closed,
    /// Ended by this signal.
    Signal(i32),
}

impl Failure {
    /// An error that nobody below the command line knows.
    #[must_use]
    pub fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        ApiError::new(kind, message).into()
    }

    /// A command that makes no sense.
    #[must_use]
    pub fn usage(message: impl AsRef<str>, hint: impl AsRef<str>) -> Self {
        ApiError::new(Kind::Usage, message).hint(hint).into()
    }

    /// The exit code: of [`Kind`], 128 and the signal, or 0 when the reader had enough.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Error(error) => error.kind.exit_code(),
            Self::Closed => 0,
            Self::Signal(number) => u8::try_from(number + 128).unwrap_or(1),
        }
    }

    /// What is written to standard error, if anything.
    #[must_use]
    pub fn text(&self, json: bool) -> Option<String> {
        let Self::Error(error) = self else { return None };
        Some(if json { object(error) } else { lines(error) })
    }
}

fn object(error: &ApiError) -> String {
    let value = json!({ "error": {
        "code": error.kind.exit_code(),
        "kind": error.kind,
        "message": error.message,
        "hint": error.hint,
        "retry_after_ms": error.retry_after_ms,
        "id": error.id,
    }});
    to_line(&value).unwrap_or_default()
}

fn lines(error: &ApiError) -> String {
    let mut text = format!("error: {}", error.message);
    if let Some(id) = &error.id {
        text.push_str(&format!("\n  id: {id}"));
    }
    if let Some(ms) = error.retry_after_ms {
        text.push_str(&format!(
            "\n  try again in: {:.1} s",
            std::time::Duration::from_millis(ms).as_secs_f64()
        ));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("\n  hint: {hint}"));
    }
    text
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(Box::new(error))
    }
}

/// For writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::new(Kind::Internal, format!("standard output cannot be written: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_why_and_what_next() {
        let mut error = ApiError::new(Kind::RateLimited, "too many requests\u{1b}[31m").hint("wait");
        (error.retry_after_ms, error.id) = (Some(1_500), Some("01J".into()));
        let failure = Failure::from(error);
        assert_eq!(failure.exit_code(), 10);
        assert_eq!(
            failure.text(false).unwrap(),
            "error: too many requests[31m\n  id: 01J\n  try again in: 1.5 s\n  hint: wait"
        );
        assert_eq!(
            failure.text(true).unwrap(),
            r#"{"error":{"code":10,"hint":"wait","id":"01J","kind":"rate_limited","message":"too many requests[31m","retry_after_ms":1500}}"#
        );
    }

    #[test]
    fn a_closed_reader_is_no_error_and_a_full_disk_is() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.exit_code(), closed.text(false)), (0, None));
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit_code(), 1);
        assert_eq!(Failure::Signal(2).exit_code(), 130);
        assert_eq!(Failure::Signal(15).exit_code(), 143);
    }
}
