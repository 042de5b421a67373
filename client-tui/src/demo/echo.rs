//! An account that accepts everybody and answers with what it got: the smallest bot there is.

use std::sync::Arc;

use subrosa_client::{
    Handle, Request,
    api::{EventBody, SendMessage, StreamItem, WaitFor},
};

/// What it puts before what it was told.
pub const PREFIX: &str = "you said: ";

/// Answers until the engine ends.
pub async fn run(handle: Arc<dyn Handle>) {
    let Ok(mut events) = handle.subscribe().await else { return };
    loop {
        let request = match events.next().await {
            StreamItem::End => return,
            StreamItem::Gap { .. } => continue,
            StreamItem::Event(event) => match event.body {
                EventBody::ContactRequested { name } => Request::ContactAccept { name },
                EventBody::MessageReceived { message } => Request::MessageSend(SendMessage {
                    to: vec![message.from],
                    text: format!("{PREFIX}{}", message.text),
                    // The message's own id makes the answer safe to repeat.
                    key: Some(message.id.clone()),
                    reply_to: Some(message.id),
                    wait: WaitFor::Queued,
                    timeout_ms: None,
                }),
                _ => continue,
            },
        };
        if let Err(error) = handle.call(request).await {
            tracing::warn!("the echo: {error}");
        }
    }
}
