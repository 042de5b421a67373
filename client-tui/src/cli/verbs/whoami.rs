//! `rosa whoami`: account, device, relay, key.

use subrosa_client::{Reply, Request};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format,
};

/// # Errors
/// When the profile cannot be opened.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let reply = context.call(&*handle, Request::AccountShow {}).await?;
    let account = reply_of!(reply, Reply::Account(account) => account)?;
    context.out.either(&account, || format::status::account(&account))
}
