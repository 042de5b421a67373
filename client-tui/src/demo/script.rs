//! A conversation without a terminal, and the proof that it was one: every line is looked up in both stores, and in its
//! writer's it must say that the other side has it.

use std::time::Duration;

use serde_json::json;
use subrosa_client::{
    ApiError, Engine, Handle, Reply, Request,
    api::{
        ConnectionState, Direction, EventBody, EventStream, Kind, Message, MessageKind, MessageState,
        SendMessage, StreamItem, WaitFor,
    },
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    echo::PREFIX,
    world::{ALICE, ECHO, World},
};
use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format::time::Clock,
};

const LINES: [&str; 5] = [
    "hello, is anybody there?",
    "can the relay read this?",
    "it keeps envelopes, and does not even see who wrote them",
    "several lines\nare one message",
    "gr\u{fc}\u{df} dich \u{2014} \u{1f339}",
];
/// How long anything may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Holds the conversation and proves it.
///
/// # Errors
/// When a line did not go the whole way.
pub async fn run(context: &Context, world: &World) -> Result<(), Failure> {
    let began = Instant::now();
    let mut events = world.alice.subscribe().await?;
    let mut said = Vec::new();
    for text in LINES {
        let id = say(&world.alice, text).await?;
        print(context, &line(&world.alice, &id).await?)?;
        let answer = answer(&mut events, &id).await?;
        print(context, &line(&world.alice, &answer).await?)?;
        said.push(Said { id, text: text.to_owned(), from: &world.alice, to: &world.echo });
        said.push(Said { id: answer, text: format!("{PREFIX}{text}"), from: &world.echo, to: &world.alice });
    }
    for engine in [&world.alice, &world.echo] {
        prove_quic(engine).await?;
    }
    for said in &said {
        said.prove().await?;
    }
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let value = json!({ "event": "done", "messages": said.len(), "delivered": said.len(), "transport": "quic", "ms": ms });
    context.out.either(&value, || {
        format!(
            "\n{} of {} messages delivered: each was encrypted, went over QUIC to the relay and on, was decrypted, and\n\
             stands in both stores. It took {:.1} s. `rosa demo` in a terminal opens the application.",
            said.len(),
            said.len(),
            Duration::from_millis(ms).as_secs_f64()
        )
    })
}

/// Sends a line to the echo and returns its id once the relay has it.
///
/// # Errors
/// When it is refused.
pub async fn say(engine: &Engine, text: &str) -> Result<String, Failure> {
    let send = SendMessage {
        to: vec![ECHO.to_owned()],
        text: text.to_owned(),
        reply_to: None,
        key: None,
        wait: WaitFor::Accepted,
        timeout_ms: None,
    };
    let results =
        reply_of!(engine.call(Request::MessageSend(send)).await?, Reply::Sent { results } => results)?;
    let result = results.into_iter().next().ok_or_else(|| failed("a send without a result"))?;
    match (result.error, result.id) {
        (Some(error), _) => Err(error.into()),
        (None, Some(id)) => Ok(id),
        (None, None) => Err(failed("a message without an id")),
    }
}

/// The id of the answer to a message.
async fn answer(events: &mut EventStream, to: &str) -> Result<String, Failure> {
    let wait = async {
        loop {
            match events.next().await {
                StreamItem::Event(event) => match event.body {
                    EventBody::MessageReceived { message } if message.reply_to.as_deref() == Some(to) => {
                        return Ok(message.id);
                    }
                    _ => {}
                },
                StreamItem::Gap { .. } => {}
                StreamItem::End => return Err(failed("the engine ended")),
            }
        }
    };
    timeout(WITHIN, wait).await.unwrap_or_else(|_| Err(failed("the echo does not answer")))
}

async fn line(engine: &Engine, id: &str) -> Result<Message, Failure> {
    let reply = engine.call(Request::MessageShow { id: id.to_owned() }).await?;
    reply_of!(reply, Reply::Message { message, .. } => message)
}

fn text_of(message: &Message) -> &str {
    match &message.kind {
        MessageKind::Text { text } => text,
        _ => "",
    }
}

fn print(context: &Context, message: &Message) -> Result<(), Failure> {
    let to = if message.from == ALICE { ECHO } else { ALICE };
    let text = text_of(message);
    let value = json!({ "event": "line", "id": message.id, "from": message.from, "to": to, "text": text });
    context.out.either(&value, || {
        let time = Clock::here().short(message.stored_at);
        format!("{time} {:<6} {}", message.from, text.replace('\n', "\n             "))
    })
}

/// A line, and whose it is.
struct Said<'a> {
    id: String,
    text: String,
    from: &'a Engine,
    to: &'a Engine,
}

impl Said<'_> {
    /// Both stores have the same text under the same id, and the writer's knows that it arrived.
    async fn prove(&self) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let written = line(self.from, &self.id).await?;
            let arrived = matches!(written.state, MessageState::Delivered | MessageState::Read);
            if arrived {
                let received = line(self.to, &self.id).await?;
                let same = text_of(&written) == self.text && text_of(&received) == self.text;
                let ways = (written.direction, received.direction) == (Direction::Out, Direction::In);
                return if same && ways { Ok(()) } else { Err(failed("the two stores differ")) };
            }
            if began.elapsed() > WITHIN {
                return Err(failed(&format!("message {} was never delivered", self.id)));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn prove_quic(engine: &Engine) -> Result<(), Failure> {
    let status = reply_of!(engine.call(Request::StatusShow {}).await?, Reply::Status(status) => status)?;
    match status.connection {
        ConnectionState::Up { transport, .. } if transport == "quic" => Ok(()),
        _ => Err(failed("an account is not connected over QUIC")),
    }
}

fn failed(what: &str) -> Failure {
    ApiError::new(Kind::Internal, format!("the demonstration failed: {what}"))
        .hint("ROSA_LOG=debug rosa demo says more; please report it")
        .into()
}
