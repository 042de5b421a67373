//! `rosa search QUERY`: all messages, newest first.

use subrosa_client::{Reply, Request};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format::{self, time::Clock},
};

/// Searches all messages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words; all must occur
    #[arg(required = true)]
    pub query: Vec<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// # Errors
/// When the profile cannot be opened. Nothing found is no error.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let request = Request::MessageSearch { query: args.query.join(" "), limit: args.limit };
    let reply = context.call(&*handle, request).await?;
    let hits = reply_of!(reply, Reply::Hits { hits } => hits)?;
    let clock = Clock::here();
    context.out.either(&serde_json::json!({ "hits": hits }), || {
        hits.iter().map(|hit| format::chat::hit(&hit.message, &clock)).collect::<Vec<_>>().join("\n")
    })
}
