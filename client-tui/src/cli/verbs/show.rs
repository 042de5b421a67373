//! `rosa show ID` is one message; `rosa show NAME` is the end of a chat.

use subrosa_client::{ApiError, Handle, Reply, Request, api::Kind};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format::{self, time::Clock},
};

/// Shows a message, or the end of a chat.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A message's id, or a chat
    #[arg(value_name = "ID|CHAT")]
    pub what: String,
    /// Of a chat: how many messages
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub last: u32,
    /// Of a chat: mark as read what is shown, and tell its sender
    #[arg(long)]
    pub read: bool,
}

/// # Errors
/// When there is no such message or chat.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let clock = Clock::here();
    if is_id(&args.what) {
        let reply = context.call(&*handle, Request::MessageShow { id: args.what }).await?;
        let (message, delivered_to, read_by) = reply_of!(
            reply,
            Reply::Message { message, delivered_to, read_by } => (message, delivered_to, read_by)
        )?;
        let mut told = serde_json::json!({ "message": message });
        if let Some(told) = told.as_object_mut().filter(|_| !delivered_to.is_empty()) {
            told.insert("delivered_to".to_owned(), serde_json::json!(delivered_to));
            told.insert("read_by".to_owned(), serde_json::json!(read_by));
        }
        return context
            .out
            .either(&told, || format::chat::details(&message, &delivered_to, &read_by, &clock));
    }
    let chat = args.what;
    let request = Request::ChatHistory { chat: chat.clone(), before: None, after: None, limit: args.last };
    let reply = context.call(&*handle, request).await?;
    let page = reply_of!(reply, Reply::History(page) => page)?;
    if page.messages.is_empty() {
        known(context, &*handle, &chat).await?;
    }
    context.out.either(&page, || {
        page.messages.iter().map(|one| format::chat::message(one, &clock)).collect::<Vec<_>>().join("\n")
    })?;
    if args.read
        && let Some(last) = page.messages.last()
    {
        context.call(&*handle, Request::ChatRead { chat, up_to: last.order }).await?;
        crate::cli::flush::before_leaving(context, &*handle).await?;
    }
    Ok(())
}

/// Nothing was written: in a chat that is there, or with somebody nobody here knows?
async fn known(context: &Context, handle: &dyn Handle, chat: &str) -> Result<(), Failure> {
    let reply = context.call(handle, Request::ChatList {}).await?;
    let chats = reply_of!(reply, Reply::Chats { chats } => chats)?;
    let name = chat.split_once('@').map_or(chat, |(name, _)| name);
    if chats.iter().any(|one| one.chat == chat || one.chat == name) {
        return Ok(());
    }
    let error = ApiError::new(Kind::NotFound, format!("there is no chat with {chat}"));
    Err(error.hint("`rosa ls` lists the chats; `rosa send NAME TEXT` begins one").into())
}

/// Ids are written in capitals, names in small letters; an id that is none is for the engine to refuse.
fn is_id(what: &str) -> bool {
    what.contains(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_are_told_apart() {
        assert!(is_id("01ARZ3NDEKTSV4RRFFQ69G5FAC"));
        assert!(!is_id("bob") && !is_id("bob@r.example") && !is_id("a2345678901234567890123456"));
    }
}
