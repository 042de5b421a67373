//! `rosa trust NAME`: a changed key is accepted, and what was held goes out by itself.

use serde_json::json;
use subrosa_client::{
    ApiError, Reply, Request,
    api::{Kind, Trust},
};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    flush, format, terminal,
};

/// Accepts a changed key.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose
    pub name: String,
    /// Only if this is the new safety number
    #[arg(long, value_name = "NUMBER")]
    pub number: Option<String>,
}

/// # Errors
/// Exit code 6 when the number given is not the new one.
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    if args.number.is_none() && terminal::is_there() && !context.out.json {
        let reply = context.call(&*handle, Request::ContactSafetyNumber { name: args.name.clone() }).await?;
        let info = reply_of!(reply, Reply::SafetyNumber(info) => info)?;
        if info.trust != Trust::Changed {
            let message = format!("nothing to accept: {} is {}", info.name, format::words::trust(info.trust));
            return Err(Failure::new(Kind::Refused, message));
        }
        terminal::say(&format!("{}\n\n", format::chat::safety_number(&info)));
        if !terminal::confirm(&format!("Accept the new key of {}?", info.name)).await? {
            let refused = ApiError::new(Kind::Identity, "not accepted; sending to them stays stopped");
            return Err(refused.hint("compare the number with them, for example on the phone").into());
        }
    }
    let request = Request::ContactTrust { name: args.name, number: args.number };
    let reply = context.call(&*handle, request).await?;
    let contact = reply_of!(reply, Reply::Contact { contact } => contact)?;
    flush::before_leaving(context, &*handle).await?;
    context
        .out
        .either(&json!({ "contact": contact }), || format::chat::contacts(std::slice::from_ref(&contact)))
}
