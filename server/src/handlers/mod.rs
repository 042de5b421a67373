//! What the relay does for each request: a file a concern. A handler takes a decoded request and answers with a response
//! or a [`Refusal`]; it knows nothing of streams.
//!
//! | module | requests |
//! |---|---|
//! | [`register`] | `RegisterStart`, `StagePrekeys`, `RegisterFinish` |
//! | [`login`] | `LoginStart`, `LoginFinish`, `DeviceAdd` |
//! | [`authenticate`] | `Authenticate`, `Reauthenticate` |
//! | [`directory`] | `DeviceListFetch`, `DeviceListPublish` |
//! | [`prekeys`] | `PrekeyClaim`, `PrekeyUpload`, `PrekeyStatus` |
//! | [`mailbox`] | `EnvelopeSend`, `MailboxFetch`, `MailboxAck` |

pub(crate) mod authenticate;
pub(crate) mod directory;
pub(crate) mod login;
pub(crate) mod mailbox;
pub(crate) mod prekeys;
mod refusal;
pub(crate) mod register;
mod verified;

use std::{pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use subrosa_protocol::{
    DeviceId, Username,
    frames::{Push, Request, Response},
};

pub(crate) use refusal::Refusal;

use crate::{
    core::Core,
    listener::Network,
    store::{self, StoreError},
};

/// What a handler gives back.
pub(crate) type Answered = Result<Response, Refusal>;
/// A request being carried out.
pub(crate) type Handling = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// Who asks, once the device has authenticated.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: Username,
    pub(crate) device: DeviceId,
    pub(crate) network: Network,
}

/// What a handler works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) core: Arc<Core>,
    pub(crate) caller: Arc<Caller>,
}

/// Carries out a request of an authenticated device. Polling the result once puts its write, if any, in its place: two
/// requests polled once in turn are stored in that order. `Reauthenticate` belongs to the connection's own state and is
/// handled there.
pub(crate) fn handle(cx: Context, request: Request) -> Handling {
    match request {
        Request::Reauthenticate(_) => Box::pin(async { Err(Refusal::bad_request("no proof was asked for")) }),
        Request::DeviceListFetch(request) => Box::pin(directory::fetch(cx, request)),
        Request::DeviceListPublish(request) => Box::pin(directory::publish(cx, request)),
        Request::PrekeyClaim(request) => Box::pin(prekeys::claim(cx, request)),
        Request::PrekeyUpload(request) => Box::pin(prekeys::upload(cx, request)),
        Request::PrekeyStatus(_) => Box::pin(prekeys::status(cx)),
        Request::EnvelopeSend(request) => Box::pin(mailbox::send(cx, request)),
        Request::MailboxFetch(request) => Box::pin(mailbox::fetch(cx, request)),
        Request::MailboxAck(request) => Box::pin(mailbox::ack(cx, request)),
    }
}

impl Core {
    /// Waits for the store and notes when it can no longer be trusted.
    pub(crate) async fn stored<T>(&self, answer: store::Answer<T>) -> Result<T, Refusal> {
        answer.await.map_err(|error| {
            match &error {
                StoreError::Broken(_) => {
                    tracing::error!(%error, "the relay must stop");
                    self.broken.cancel();
                }
                StoreError::Failed(_) | StoreError::Corrupt(_) => tracing::error!(%error, "the store failed"),
                StoreError::Full | StoreError::Overloaded | StoreError::Closed => {}
            }
            error.into()
        })
    }
}

/// A push in wire form, to be shared by several connections; `None` when it fits no frame.
pub(crate) fn wire(push: &Push) -> Option<Bytes> {
    let mut out = BytesMut::new();
    push.write_to(0, &mut out).ok()?;
    Some(out.freeze())
}
