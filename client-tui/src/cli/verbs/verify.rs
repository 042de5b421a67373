//! `rosa verify NAME`: the number two people compare. At a terminal it asks whether it is the same; a script says so with
//! `--confirm NUMBER`, which holds only if that is the number.

use serde_json::json;
use subrosa_client::{Handle, Reply, Request, api::Trust};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    flush, format, terminal,
};

/// Shows, compares and confirms a safety number.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// With whom
    pub name: String,
    /// Mark them as verified, if this is the number (60 digits; spaces do not matter)
    #[arg(long, value_name = "NUMBER")]
    pub confirm: Option<String>,
}

/// # Errors
/// Exit code 6 when the number given is not the one.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    if let Some(number) = args.confirm {
        return confirm(context, &*handle, args.name, number).await;
    }
    let reply = context.call(&*handle, Request::ContactSafetyNumber { name: args.name.clone() }).await?;
    let info = reply_of!(reply, Reply::SafetyNumber(info) => info)?;
    context.out.either(&info, || format::chat::safety_number(&info))?;
    if context.out.json || info.trust == Trust::Verified || !terminal::is_there() {
        return Ok(());
    }
    let question = format!("\nDoes {} read the same number to you?", info.name);
    if !terminal::confirm(&question).await? {
        context.note("nothing was changed");
        return Ok(());
    }
    confirm(context, &*handle, args.name, info.number).await
}

async fn confirm(
    context: &Context,
    handle: &dyn Handle,
    name: String,
    number: String,
) -> Result<(), Failure> {
    let reply = context.call(handle, Request::ContactVerify { name, number }).await?;
    let contact = reply_of!(reply, Reply::Contact { contact } => contact)?;
    flush::before_leaving(context, handle).await?;
    context
        .out
        .either(&json!({ "contact": contact }), || format::chat::contacts(std::slice::from_ref(&contact)))
}
