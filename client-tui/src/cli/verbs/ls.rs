//! `rosa ls chats|contacts|rooms|devices|requests`.

use serde_json::json;
use subrosa_client::{
    Handle, Reply, Request,
    api::{Chat, ContactState},
};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format::{self, time::Clock},
};

/// How long the relay may take to tell what is new.
const SYNC_MS: u64 = 5_000;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum What {
    /// Chats, most recent first
    #[default]
    Chats,
    /// Everybody this profile knows
    Contacts,
    /// Rooms this profile knows
    Rooms,
    /// This account's devices
    Devices,
    /// Strangers who wrote and wait for an answer
    Requests,
}

/// Lists.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What
    #[arg(value_enum, default_value_t)]
    pub what: What,
}

/// # Errors
/// When the profile cannot be opened.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let clock = Clock::here();
    match args.what {
        What::Chats => {
            let chats = chats(context, &*handle).await?;
            context.out.either(&json!({ "chats": chats }), || format::chat::chats(&chats, &clock))
        }
        What::Contacts => {
            let reply = context.call(&*handle, Request::ContactList {}).await?;
            let contacts = reply_of!(reply, Reply::Contacts { contacts } => contacts)?;
            context.out.either(&json!({ "contacts": contacts }), || format::chat::contacts(&contacts))
        }
        What::Rooms => {
            let rooms: Vec<_> =
                chats(context, &*handle).await?.into_iter().filter_map(|chat| chat.room).collect();
            context.out.either(&json!({ "rooms": rooms }), || format::room::known(&rooms))
        }
        What::Devices => {
            // The list may have changed while nobody here listened. Without the relay, what was known last is shown.
            if context.owns().await {
                let _ = context.call(&*handle, Request::SyncWait { timeout_ms: SYNC_MS }).await;
            }
            let reply = context.call(&*handle, Request::DeviceList {}).await?;
            let devices = reply_of!(reply, Reply::Devices { devices } => devices)?;
            context.out.either(&json!({ "devices": devices }), || format::chat::devices(&devices, &clock))
        }
        What::Requests => {
            let mut requests = chats(context, &*handle).await?;
            requests.retain(|chat| {
                chat.contact.as_ref().is_some_and(|who| who.state == ContactState::RequestReceived)
            });
            context.out.either(&json!({ "requests": requests }), || format::chat::requests(&requests, &clock))
        }
    }
}

async fn chats(context: &Context, handle: &dyn Handle) -> Result<Vec<Chat>, Failure> {
    let reply = context.call(handle, Request::ChatList {}).await?;
    reply_of!(reply, Reply::Chats { chats } => chats)
}
