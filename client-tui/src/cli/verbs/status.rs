//! `rosa status`: connection, queues, prekeys, and who owns the profile. Exit code 0 also while the relay is away.

use std::time::Duration;

use subrosa_client::{
    Handle, Reply, Request,
    api::{ConnectionState, Status},
};
use tokio::time::{Instant, sleep};

use crate::cli::{
    context::{Context, reply_of},
    failure::Failure,
    format,
};

/// How long a connection that is just being made is waited for.
const SETTLE: Duration = Duration::from_secs(3);

/// # Errors
/// When the profile cannot be opened.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let handle = context.open().await?;
    let status = settled(context, &*handle, SETTLE).await?;
    context.out.either(&status, || format::status::status(&status))
}

/// The status, once the connection is no longer being made.
///
/// # Errors
/// Those of the call.
pub async fn settled(context: &Context, handle: &dyn Handle, within: Duration) -> Result<Status, Failure> {
    let began = Instant::now();
    loop {
        let reply = context.call(handle, Request::StatusShow {}).await?;
        let status = reply_of!(reply, Reply::Status(status) => *status)?;
        if !matches!(status.connection, ConnectionState::Connecting {}) || began.elapsed() > within {
            return Ok(status);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
