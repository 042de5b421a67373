//! JSON-RPC 2.0 as it is spoken on the socket.
//!
//! An error's `code` is the exit code of docs/SCRIPTING.md also where the specification reserves a number of its own: what
//! cannot be parsed, an unknown method and parameters that do not fit are code 2, kind `usage`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use subrosa_protocol::SafeText;

use super::{
    filter,
    limits::{BATCH, FILTER_PATTERNS},
};
use crate::{
    api::{ApiError, Event, Kind, Reply, Request, cut, echo},
    store::limits::{EVENTS_PAGE, HISTORY_PAGE, SEARCH_HITS},
};

/// The method by which a connection subscribes; it is of the connection, not of the engine.
pub const SUBSCRIBE: &str = "events.subscribe";
/// The notification that carries an event.
pub const EVENT: &str = "event";

/// Characters of why parameters do not fit: it may repeat them.
const REASON_CHARACTERS: usize = 200;
/// Characters of what could have stood there: all methods.
const EXPECTED_CHARACTERS: usize = 4_000;

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// One call.
    Call(Call),
    /// Several; the answer is one line too.
    Batch(Vec<Call>),
}

/// One call, understood or not.
#[derive(Debug, PartialEq)]
pub struct Call {
    /// A string, a whole number or null; `None` for a notification, which gets no answer.
    pub id: Option<Value>,
    /// What is asked for, or why that is not clear.
    pub what: Result<What, ApiError>,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A method of the engine.
    Request(Box<Request>),
    /// Events from now on, those that match.
    Subscribe {
        /// See [`super::filter`].
        filter: Vec<String>,
    },
}

#[derive(Debug, Default, Deserialize)]
struct SubscribeParams {
    #[serde(default)]
    filter: Vec<String>,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it, when not even a single call can be made out.
pub fn parse(line: &str) -> Result<Incoming, ApiError> {
    let value: Value = serde_json::from_str(line).map_err(|error| usage(format!("not JSON: {error}")))?;
    match value {
        Value::Object(object) => Ok(Incoming::Call(call(object))),
        Value::Array(calls) if calls.is_empty() => Err(usage("an empty batch")),
        Value::Array(calls) if calls.len() > BATCH => {
            Err(usage(format!("a batch of more than {BATCH} calls")))
        }
        Value::Array(calls) => Ok(Incoming::Batch(calls.into_iter().map(any_call).collect())),
        _ => Err(usage("not a JSON-RPC request: neither an object nor an array")),
    }
}

fn any_call(value: Value) -> Call {
    match value {
        Value::Object(object) => call(object),
        _ => Call { id: Some(Value::Null), what: Err(usage("not a JSON-RPC request: not an object")) },
    }
}

fn call(mut object: Map<String, Value>) -> Call {
    let id = object.remove("id");
    // A fraction would come back rounded, and as another id.
    let fraction = matches!(&id, Some(Value::Number(number)) if number.is_f64());
    if fraction || !matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_))) {
        let error = usage("the id is neither a string nor a whole number of 64 bits");
        return Call { id: Some(Value::Null), what: Err(error) };
    }
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Call { id: id.or(Some(Value::Null)), what: Err(usage("\"jsonrpc\" is not \"2.0\"")) };
    }
    Call { id, what: what(object) }
}

fn what(mut object: Map<String, Value>) -> Result<What, ApiError> {
    let Some(Value::String(method)) = object.remove("method") else {
        return Err(usage("\"method\" is missing"));
    };
    let params = match object.remove("params") {
        None | Some(Value::Null) => json!({}),
        Some(Value::Object(params)) => Value::Object(params),
        Some(_) => return Err(usage("\"params\" is not an object; parameters have names")),
    };
    if method == SUBSCRIBE {
        let params: SubscribeParams =
            serde_json::from_value(params).map_err(|error| usage(reason(&error)))?;
        if params.filter.len() > FILTER_PATTERNS {
            return Err(usage(format!("a filter has at most {FILTER_PATTERNS} patterns")));
        }
        filter::check(&params.filter)?;
        return Ok(What::Subscribe { filter: params.filter });
    }
    let request = serde_json::from_value(json!({ "method": method, "params": params }))
        .map_err(|error| not_understood(&method, &error))?;
    if let Request::EventsFetch { filter, .. } = &request {
        filter::check(filter)?;
    }
    bounded(&request)?;
    Ok(What::Request(Box::new(request)))
}

/// Pages have a longest length; who asks for more would take what is cut for all there is.
fn bounded(request: &Request) -> Result<(), ApiError> {
    let (asked, name, max) = match request {
        Request::ChatHistory { limit, .. } | Request::RoomHistory { limit, .. } => {
            (*limit, "limit", HISTORY_PAGE)
        }
        Request::MessageSearch { limit, .. } => (*limit, "limit", SEARCH_HITS),
        Request::EventsFetch { max, .. } => (*max, "max", EVENTS_PAGE),
        _ => return Ok(()),
    };
    if asked > max {
        return Err(usage(format!("\"{name}\" is {asked}, and a page has at most {max}")));
    }
    Ok(())
}

fn usage(message: impl AsRef<str>) -> ApiError {
    ApiError::new(Kind::Usage, message).hint("docs/SCRIPTING.md lists the methods and their parameters")
}

/// Why a call is not understood: there is no such method, or its parameters do not fit.
fn not_understood(method: &str, error: &serde_json::Error) -> ApiError {
    let why = reason(error);
    match why.strip_prefix("unknown variant").filter(|_| error.to_string().contains(&format!("`{method}`"))) {
        Some(rest) => usage(format!("unknown method{rest}")),
        None => usage(format!("{}: {why}", echo(method))),
    }
}

/// Why something is not understood. What stood there is repeated in part only.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once("`, expected") {
        Some((unknown, expected)) => {
            format!("{}`, expected {}", cut(unknown, REASON_CHARACTERS), cut(expected, EXPECTED_CHARACTERS))
        }
        None => cut(&text, REASON_CHARACTERS),
    }
}

/// The response to a call.
#[must_use]
pub fn response(id: Value, outcome: Result<Reply, ApiError>) -> Value {
    match outcome
        .and_then(|reply| serde_json::to_value(reply).map_err(|_| ApiError::internal("a reply without JSON")))
    {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error_object(&error) }),
    }
}

fn error_object(error: &ApiError) -> Value {
    json!({
        "code": error.kind.exit_code(),
        "message": error.message,
        "data": {
            "kind": error.kind,
            "hint": error.hint,
            "retry_after_ms": error.retry_after_ms,
            "id": error.id,
        },
    })
}

/// The notification of an event.
#[must_use]
pub fn notification(event: &Event) -> Value {
    json!({ "jsonrpc": "2.0", "method": EVENT, "params": event })
}

/// A call as an attached program writes it.
///
/// # Errors
/// [`Kind::Internal`] when the request has no JSON form.
pub fn request(id: u64, request: &Request) -> Result<Value, ApiError> {
    let mut value =
        serde_json::to_value(request).map_err(|_| ApiError::internal("a request without JSON"))?;
    if let Value::Object(object) = &mut value {
        object.insert("jsonrpc".into(), "2.0".into());
        object.insert("id".into(), id.into());
    }
    Ok(value)
}

/// The call that subscribes.
#[must_use]
pub fn subscribe(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": SUBSCRIBE, "params": {} })
}

/// A call of no method, which every owner refuses at once, whatever its engine does: to hear whether it is there.
#[must_use]
pub fn nothing(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "" })
}

/// What the owner says to an attached program.
#[derive(Debug, PartialEq)]
// It lives from where it is made to where it is used: boxing it would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub enum Said {
    /// The answer to a call.
    Answer {
        /// Which call; `None` when the owner could not make out one.
        id: Option<u64>,
        /// The answer.
        outcome: Result<Reply, ApiError>,
    },
    /// An event.
    Event(Box<Event>),
    /// Something of a newer owner; ignored.
    Unknown,
}

#[derive(Deserialize)]
struct Spoken {
    #[serde(default)]
    id: Option<u64>,
    method: Option<String>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<SpokenError>,
}

#[derive(Deserialize)]
struct SpokenError {
    message: SafeText,
    data: SpokenData,
}

#[derive(Serialize, Deserialize)]
struct SpokenData {
    kind: Kind,
    hint: Option<SafeText>,
    retry_after_ms: Option<u64>,
    id: Option<String>,
}

/// Reads a line of the owner.
///
/// # Errors
/// [`Kind::Internal`] when it is not one.
pub fn hear(line: &str) -> Result<Said, ApiError> {
    let broken =
        |_| ApiError::internal("the owner of the profile answers what this program does not understand");
    let spoken: Spoken = serde_json::from_str(line).map_err(broken)?;
    if spoken.method.as_deref() == Some(EVENT) {
        let event = spoken.params.and_then(|params| serde_json::from_value(params).ok());
        return Ok(event.map_or(Said::Unknown, |event| Said::Event(Box::new(event))));
    }
    let outcome = match (spoken.result, spoken.error) {
        (_, Some(SpokenError { message, data })) => Err(ApiError {
            kind: data.kind,
            message,
            hint: data.hint,
            retry_after_ms: data.retry_after_ms,
            id: data.id,
        }),
        (Some(result), None) => reply(result),
        (None, None) => return Ok(Said::Unknown),
    };
    Ok(Said::Answer { id: spoken.id, outcome })
}

/// [`Reply`] is told apart by its fields, and an empty object matches anything: what is not empty must not become that.
fn reply(value: Value) -> Result<Reply, ApiError> {
    let empty = value.as_object().is_some_and(Map::is_empty);
    match serde_json::from_value(value) {
        Ok(Reply::Done {}) if !empty => {}
        Ok(reply) => return Ok(reply),
        Err(_) => {}
    }
    Err(ApiError::internal("the owner of the profile is another version of this program")
        .hint("end it and start it anew: `rosa daemon`, or the application"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read() {
        let line = r#"{"jsonrpc":"2.0","id":"x","method":"message.show","params":{"id":"A"}}"#;
        let what = Ok(What::Request(Box::new(Request::MessageShow { id: "A".into() })));
        assert_eq!(parse(line).unwrap(), Incoming::Call(Call { id: Some("x".into()), what }));
        let line = r#"{"jsonrpc":"2.0","method":"events.subscribe"}"#;
        let what = Ok(What::Subscribe { filter: Vec::new() });
        assert_eq!(parse(line).unwrap(), Incoming::Call(Call { id: None, what }));
    }

    #[test]
    fn what_is_not_a_call_says_why() {
        let says = |line: &str| match parse(line) {
            Err(error) => error,
            Ok(Incoming::Call(call)) => call.what.unwrap_err(),
            Ok(Incoming::Batch(_)) => panic!("{line}"),
        };
        for (line, word) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("7", "neither an object nor an array"),
            ("[]", "empty batch"),
            (r#"{"id":1,"method":"x"}"#, "jsonrpc"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, "neither a string nor a whole number"),
            (r#"{"jsonrpc":"2.0","id":-1.5e300,"method":"x"}"#, "neither a string nor a whole number"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "method"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, "unknown method `no.such`, expected one of `"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"message.show","params":[1]}"#, "not an object"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"message.show"}"#, "missing field"),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"filter":["x.*"]}}"#,
                "no event",
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"events.fetch","params":{"since":0,"max":1,"filter":["message.recieved"]}}"#,
                "no event",
            ),
        ] {
            let error = says(line);
            assert_eq!(error.kind, Kind::Usage, "{line}");
            assert!(error.message.contains(word), "{line}: {error}");
        }
        // What was sent is repeated in part only.
        let long = "x".repeat(100_000);
        for line in [
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{long}"}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"events.ack","params":{{"seq":"{long}"}}}}"#),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"room.role","params":{{"room":"a","name":"b","role":"{long}"}}}}"#
            ),
        ] {
            let error = says(&line);
            assert!(error.message.len() < 2_000, "{}", error.message.len());
        }
        assert!(parse(&format!("[{}]", vec!["1"; BATCH + 1].join(","))).is_err());
        assert!(parse(&format!("[{}]", vec!["1"; BATCH].join(","))).is_ok());
    }

    #[test]
    fn what_is_expected_stands_apart_from_the_word_before_it() {
        let line =
            r#"{"jsonrpc":"2.0","id":1,"method":"room.role","params":{"room":"a","name":"b","role":"king"}}"#;
        let Incoming::Call(Call { what: Err(error), .. }) = parse(line).unwrap() else { panic!() };
        assert!(error.message.contains("`king`, expected one of `member`"), "{error}");
    }

    #[test]
    fn pages_have_a_longest_length() {
        for (method, params, max) in [
            ("room.history", r#""room":"ops","limit""#, 500),
            ("chat.history", r#""chat":"bob","limit""#, 500),
            ("message.search", r#""query":"x","limit""#, 1_000),
            ("events.fetch", r#""since":0,"max""#, 1_000),
        ] {
            let asked = |n: u32| {
                let line =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}:{n}}}}}"#);
                let Incoming::Call(call) = parse(&line).unwrap() else { panic!() };
                call.what
            };
            assert!(asked(max).is_ok(), "{method}");
            for more in [max + 1, 100_000, u32::MAX] {
                let error = asked(more).unwrap_err();
                assert_eq!(error.kind, Kind::Usage);
                assert!(error.message.contains(&format!("at most {max}")), "{error}");
            }
        }
    }

    #[test]
    fn errors_come_back_as_they_were() {
        let mut error = ApiError::new(Kind::RateLimited, "slow down").hint("wait");
        (error.retry_after_ms, error.id) = (Some(250), Some("01".into()));
        let value = response(7.into(), Err(error.clone()));
        assert_eq!(value["error"]["code"], 10);
        assert_eq!(hear(&value.to_string()).unwrap(), Said::Answer { id: Some(7), outcome: Err(error) });
    }

    #[test]
    fn an_unknown_reply_is_not_taken_for_done() {
        let said = hear(r#"{"jsonrpc":"2.0","id":1,"result":{"chats":7}}"#).unwrap();
        let Said::Answer { outcome, .. } = said else { panic!() };
        assert_eq!(outcome.unwrap_err().kind, Kind::Internal);
        let said = hear(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        assert_eq!(said, Said::Answer { id: Some(1), outcome: Ok(Reply::Done {}) });
        assert_eq!(
            hear(r#"{"jsonrpc":"2.0","method":"event","params":{"event":"new.thing"}}"#).unwrap(),
            Said::Unknown
        );
    }
}
