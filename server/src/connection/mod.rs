//! One connection from its first byte to its last. States are types: `fresh::Fresh` becomes
//! `unauthenticated::Unauthenticated` becomes `authenticated::Authenticated`, each consuming the one before, and a
//! frame that a state does not allow has no name there.
//!
//! | module | what it does |
//! |---|---|
//! | `link` | what carries a connection |
//! | `channel` | bytes to frames and back |
//! | `breach` | a connection's own rate, and when it has been broken too often (R8) |
//! | `fresh` | hellos |
//! | `unauthenticated` | registration, login, and the proof of a device |
//! | `authenticated` | requests, answers and pushes |
//! | `running` | a request being carried out |
//! | `pushes` | the order of pushes |

mod authenticated;
mod breach;
mod channel;
mod fresh;
mod link;
mod pushes;
mod running;
mod unauthenticated;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use subrosa_protocol::{
    FrameError,
    frames::{CloseReason, Closing, Push},
};
use tokio::time::timeout;

pub use link::{Carrier, Link, Plain};

use crate::{core::Core, handlers::Refusal, listener::Admission, rate::RetryAfter};
use channel::Channel;

/// Time for the last frames of a connection to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// When a client for whose large frames there was no room may try again.
const CROWDED: Duration = Duration::from_secs(1);

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client has gone, or its transport failed.
    Gone,
    /// The relay ends it and says why.
    Closing(CloseReason),
    /// The stream cannot be read on; the client is told what is wrong.
    Unreadable(FrameError),
    /// The last answer has said everything.
    Answered,
    /// The relay has no room for what the connection wants to have buffered; the client is told to come again.
    Crowded,
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Unreadable(error)
    }
}

/// What every state of a connection has.
struct Wire<C: Carrier> {
    carrier: C,
    channel: Channel<C::Reader, C::Writer>,
    core: Arc<Core>,
    admission: Admission,
}

/// Serves a connection to its end. A panic in here ends this connection only, and is counted (R9).
pub(crate) async fn serve<C: Carrier>(link: Link<C>, admission: Admission, core: Arc<Core>) {
    core.metrics.connections_opened.inc();
    let metrics = Arc::clone(&core.metrics);
    if AssertUnwindSafe(run(link, admission, core)).catch_unwind().await.is_err() {
        metrics.panics.inc();
        tracing::error!("a connection ended by a panic; this is a bug of the relay");
    }
    metrics.connections_closed.inc();
}

async fn run<C: Carrier>(link: Link<C>, admission: Admission, core: Arc<Core>) {
    let (mut wire, end) = fresh::Fresh::new(link, admission, core).serve().await;
    let last_words = match end {
        End::Gone => return,
        End::Answered => None,
        End::Closing(reason) => Some(reason),
        End::Crowded => {
            wire.channel.respond(0, &Refusal::from(RetryAfter(CROWDED)).to_response());
            None
        }
        End::Unreadable(error) => {
            if let Some(refusal) = Refusal::of_frame(&error, false) {
                wire.channel.respond(0, &refusal.to_response());
            }
            None
        }
    };
    if let Some(reason) = last_words {
        tracing::debug!(?reason, "closing a connection");
        wire.channel.push(&Push::Closing(Closing { reason }));
    }
    if let Ok(Ok(())) = timeout(LAST_WORDS, wire.channel.drain()).await {
        let _ = timeout(LAST_WORDS, wire.carrier.finish(wire.channel.into_writer())).await;
    }
}
