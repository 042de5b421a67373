//! `rpc_json`: a line on the profile's socket, and a line of its owner.
//!
//! Input: one line, as a client would write it; the same bytes are then heard as the owner's answer.
//!
//! - Every call gets exactly one answer, a notification none; an answer is one line of JSON with `"jsonrpc":"2.0"`, the
//!   call's id (null where there was none to be made out), and either a result or an error with an exit code (R50).
//! - A batch is answered in its order, at most 64 calls.
//! - Nothing in a line steers a terminal; the answer is understood by an attached program.
//! - A method that was understood is written again as one that means the same.

use serde_json::Value;
use subrosa_client::{
    api::{ApiError, Reply},
    attach::{
        limits::BATCH,
        line::to_line,
        rpc::{self, Call, Incoming, Said, What},
    },
};
use subrosa_protocol::SafeText;

/// Nothing to prepare.
pub fn prepare() {}

/// One input.
pub fn run(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    if line.contains('\n') {
        return;
    }
    hear(line);
    let sent = serde_json::from_str::<Value>(line).ok();
    match rpc::parse(line) {
        Err(error) => {
            assert!(!matches!(sent, Some(Value::Object(_))), "an object is a call");
            let answer = answered(Value::Null, Err(error));
            assert_eq!(answer["id"], Value::Null);
        }
        Ok(Incoming::Call(call)) => check(call, sent.as_ref().unwrap()),
        Ok(Incoming::Batch(calls)) => {
            let sent = sent.as_ref().and_then(Value::as_array).unwrap();
            assert!(calls.len() == sent.len() && (1..=BATCH).contains(&calls.len()));
            for (call, sent) in calls.into_iter().zip(sent) {
                check(call, sent);
            }
        }
    }
}

/// What the owner's connection does with a call, with an engine that has done what was asked.
fn check(call: Call, sent: &Value) {
    let Call { id, what } = call;
    let asked = sent.as_object().and_then(|object| object.get("id"));
    match (&id, asked) {
        // Only a call that was understood may go without an answer.
        (None, asked) => assert!(asked.is_none() && sent.get("jsonrpc").is_some()),
        (Some(Value::Null), None | Some(Value::Null)) => {}
        (Some(Value::Null), Some(other)) => assert!(!other.is_string() && !other.is_i64() && !other.is_u64()),
        (Some(id), asked) => assert_eq!(Some(id), asked),
    }
    if let Ok(What::Request(request)) = &what {
        let again = to_line(&rpc::request(7, request).unwrap()).unwrap();
        let Ok(Incoming::Call(Call { id: Some(id), what: Ok(What::Request(same)) })) = rpc::parse(&again)
        else {
            panic!("{again}")
        };
        assert_eq!((id, &same), (Value::from(7), request));
    }
    let outcome = what.map(|_| Reply::Done {});
    let Some(id) = id else { return };
    let answer = answered(id.clone(), outcome);
    assert_eq!(answer["id"], id);
}

/// The answer as it is written, read again.
fn answered(id: Value, outcome: Result<Reply, ApiError>) -> Value {
    let line = to_line(&rpc::response(id.clone(), outcome.clone())).unwrap();
    assert!(!line.is_empty() && line.chars().all(|c| !SafeText::multi_line(&c.to_string()).is_empty()));
    assert!(!line.contains('\n'));
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["jsonrpc"], "2.0");
    assert!(answer.get("result").is_some() != answer.get("error").is_some());
    if let Some(error) = answer.get("error") {
        assert!(error["code"].is_u64() && error["message"].is_string() && error["data"]["kind"].is_string());
    }
    // A program of ours numbers its calls; other ids are not its own.
    if id.is_null() || id.is_u64() {
        match rpc::hear(&line).unwrap() {
            Said::Answer { id: heard, outcome: same } => assert_eq!((heard, same), (id.as_u64(), outcome)),
            other => panic!("{other:?}"),
        }
    }
    answer
}

/// Whatever the owner says is an answer, an event or nothing; text in it is harmless.
fn hear(line: &str) {
    match rpc::hear(line) {
        Ok(Said::Answer { outcome: Err(error), .. }) => {
            assert_eq!(SafeText::multi_line(&error.message), error.message);
        }
        Ok(Said::Event(event)) => {
            let again = to_line(&rpc::notification(&event)).unwrap();
            assert_eq!(rpc::hear(&again).unwrap(), Said::Event(event));
        }
        Ok(Said::Answer { .. } | Said::Unknown) | Err(_) => {}
    }
}
