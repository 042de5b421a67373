//! Before a verb that owns the profile leaves: what it caused goes out, instead of at the next start.

use std::time::Duration;

use subrosa_client::{
    Handle, Reply, Request,
    api::{ConnectionState, Status},
};
use tokio::time::{Instant, sleep};

use super::{
    context::{Context, reply_of},
    failure::Failure,
};

/// How long a verb stays for it.
const WITHIN: Duration = Duration::from_secs(10);

/// Waits until nothing is queued that could go out now, the relay is away, or ten seconds have passed. Whoever is attached
/// to an owner that goes on does not wait.
///
/// # Errors
/// When the engine fails.
pub async fn before_leaving(context: &Context, handle: &dyn Handle) -> Result<(), Failure> {
    if !context.owns().await {
        return Ok(());
    }
    let began = Instant::now();
    while began.elapsed() < WITHIN {
        let reply = context.call(handle, Request::StatusShow {}).await?;
        let status = reply_of!(reply, Reply::Status(status) => status)?;
        if is_done(&status) {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn is_done(status: &Status) -> bool {
    match status.connection {
        ConnectionState::Up { .. } => status.queued <= status.held,
        ConnectionState::Connecting {} => false,
        ConnectionState::Down { .. } | ConnectionState::Blocked { .. } => true,
    }
}
