//! `rosa send TO... TEXT`: one result a recipient; the exit code never says more than the results do.

use std::io::Read;

use serde_json::json;
use subrosa_client::{
    ApiError, Reply, Request,
    api::{Kind, SendMessage, SendResult, WaitFor},
};
use subrosa_protocol::limits::TEXT_BYTES;

use crate::cli::{
    context::{Context, reply_of},
    duration::millis,
    failure::Failure,
    format, terminal,
};

/// How far a message must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// Durable in this profile
    Queued,
    /// Durable on the relay
    Accepted,
    /// Stored by a device of the recipient
    Delivered,
    /// Shown to the recipient
    Read,
}

impl From<Wait> for WaitFor {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Queued => Self::Queued,
            Wait::Accepted => Self::Accepted,
            Wait::Delivered => Self::Delivered,
            Wait::Read => Self::Read,
        }
    }
}

/// Sends a text.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples: rosa send bob 'the build is green'\n          make 2>&1 | tail -20 | rosa send bob carol -"
)]
pub struct Args {
    /// Recipients (name or name@relay), then the text; - reads the text from standard input
    #[arg(value_names = ["TO...", "TEXT|-"], num_args = 2.., required = true)]
    pub words: Vec<String>,
    /// Answer this message
    #[arg(long, value_name = "ID")]
    pub reply: Option<String>,
    /// How far it must have come
    #[arg(long, value_enum, default_value = "accepted", value_name = "STATE")]
    pub wait: Wait,
    /// An idempotency key: sending again with the same key sends nothing twice
    #[arg(long, value_name = "K")]
    pub key: Option<String>,
}

/// # Errors
/// See [`verdict`].
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let (text, to) = args.words.split_last().ok_or_else(no_text)?;
    if to.is_empty() {
        return Err(no_text());
    }
    // The text is read before anything is opened, so that a slow writer holds no profile.
    let text = if text == "-" { from_stdin().await? } else { text.clone() };
    let request = SendMessage {
        to: each_once(to),
        text: check(text)?,
        reply_to: args.reply,
        key: Some(args.key.unwrap_or_else(own_key)),
        wait: args.wait.into(),
        timeout_ms: context.global.timeout.map(millis),
    };
    let handle = context.open().await?;
    let reply = context.call(&*handle, Request::MessageSend(request)).await?;
    let results = reply_of!(reply, Reply::Sent { results } => results)?;
    context.out.either(&json!({ "results": results }), || format::chat::sent(&results))?;
    Ok(verdict(&results)?)
}

/// Recipients, each in its first place.
fn each_once(to: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::with_capacity(to.len());
    for name in to {
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    once
}

/// A key of this run alone: should the owner of the profile end meanwhile, the next one is asked and nothing goes out twice.
fn own_key() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("rosa-send {} {}", std::process::id(), now.as_nanos())
}

fn no_text() -> Failure {
    Failure::usage(
        "there is no text to send",
        "rosa send bob 'hi', or rosa send bob - to read it from standard input",
    )
}

/// What is longer is refused before it is read to its end.
async fn from_stdin() -> Result<String, Failure> {
    let read = terminal::blocking(|| {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(TEXT_BYTES as u64 + 2).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = read.await?.map_err(|error| Failure::new(Kind::Usage, format!("standard input: {error}")))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        // Cut in the middle of a character: too long, and not wrong.
        if error.as_bytes().len() > TEXT_BYTES {
            too_long()
        } else {
            Failure::new(Kind::Usage, "standard input is not UTF-8")
        }
    })?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn check(text: String) -> Result<String, Failure> {
    if text.len() > TEXT_BYTES {
        return Err(too_long());
    }
    if text.trim().is_empty() { Err(no_text()) } else { Ok(text) }
}

fn too_long() -> Failure {
    Failure::usage(format!("the text is longer than {TEXT_BYTES} bytes"), "send it in parts")
}

/// The exit code of a send: 0 when everybody has it, the kind of the refusal when nobody has and all for one reason, else 8.
///
/// # Errors
/// Everything but "everybody has it".
pub fn verdict(results: &[SendResult]) -> Result<(), ApiError> {
    let errors: Vec<&ApiError> = results.iter().filter_map(|result| result.error.as_ref()).collect();
    let Some(first) = errors.first() else { return Ok(()) };
    if errors.len() == results.len() && errors.iter().all(|error| error.kind == first.kind) {
        let mut error = (*first).clone();
        if error.id.is_none() && results.len() == 1 {
            error.id = results.iter().find_map(|result| result.id.clone());
        }
        error.retry_after_ms = errors.iter().filter_map(|error| error.retry_after_ms).max();
        return Err(error);
    }
    let mut error = ApiError::new(
        Kind::Partial,
        format!("{} of {} recipients were not reached", errors.len(), results.len()),
    )
    .hint("the results say whom and why; with --key it can be run again");
    error.retry_after_ms = errors.iter().filter_map(|error| error.retry_after_ms).max();
    Err(error)
}

#[cfg(test)]
mod tests {
    use subrosa_client::api::MessageState;

    use super::*;

    fn result(error: Option<Kind>) -> SendResult {
        let error = error.map(|kind| ApiError::new(kind, "why"));
        SendResult { to: "bob".into(), id: Some("01".into()), state: MessageState::Queued, error }
    }

    #[test]
    fn the_exit_code_says_what_the_results_say() {
        let code = |errors: &[Option<Kind>]| {
            let results: Vec<_> = errors.iter().map(|error| result(*error)).collect();
            verdict(&results).map_or_else(|error| error.kind.exit_code(), |()| 0)
        };
        assert_eq!(code(&[None, None]), 0);
        assert_eq!(code(&[Some(Kind::NotFound)]), 7);
        assert_eq!(code(&[Some(Kind::Timeout), Some(Kind::Timeout)]), 9);
        assert_eq!(code(&[None, Some(Kind::NotFound)]), 8);
        assert_eq!(code(&[Some(Kind::Timeout), Some(Kind::NotFound)]), 8);
        assert_eq!(verdict(&[result(Some(Kind::Timeout))]).unwrap_err().id.as_deref(), Some("01"));
    }

    #[test]
    fn the_longest_wait_is_told() {
        let mut limited = result(Some(Kind::RateLimited));
        limited.error.as_mut().unwrap().retry_after_ms = Some(700);
        assert_eq!(verdict(&[limited.clone()]).unwrap_err().retry_after_ms, Some(700));
        assert_eq!(verdict(&[limited, result(None)]).unwrap_err().retry_after_ms, Some(700));
    }

    #[test]
    fn recipients_are_written_to_once() {
        let names = ["bob", "carol", "bob", "dave", "carol"].map(String::from);
        assert_eq!(each_once(&names), ["bob", "carol", "dave"]);
    }

    #[test]
    fn texts_are_bounded() {
        assert!(check("x".repeat(TEXT_BYTES)).is_ok());
        assert_eq!(check("x".repeat(TEXT_BYTES + 1)).unwrap_err().exit_code(), 2);
        assert_eq!(check(" \n".into()).unwrap_err().exit_code(), 2);
    }
}
