//! `rosa accept NAME`: a stranger becomes a contact.

use serde_json::json;
use subrosa_client::{Reply, Request};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    flush, format,
};

/// Accepts a request.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who
    pub name: String,
}

/// # Errors
/// When there is no such request.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let reply = context.call(&*handle, Request::ContactAccept { name: args.name }).await?;
    let contact = reply_of!(reply, Reply::Contact { contact } => contact)?;
    flush::before_leaving(context, &*handle).await?;
    context
        .out
        .either(&json!({ "contact": contact }), || format::chat::contacts(std::slice::from_ref(&contact)))
}
