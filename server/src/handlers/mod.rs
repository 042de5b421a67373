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
//! | [`key_packages`] | `KeyPackageUpload`, `KeyPackageClaim`, `KeyPackageStatus` |
//! | [`objects`] | `ObjectPut`, `ObjectGet` |
//! | [`rooms`] | everything that begins with `Room`; `RelayShow` |

pub(crate) mod authenticate;
pub(crate) mod directory;
pub(crate) mod key_packages;
pub(crate) mod login;
pub(crate) mod mailbox;
pub(crate) mod objects;
pub(crate) mod prekeys;
mod refusal;
pub(crate) mod register;
pub(crate) mod rooms;
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
    rooms::Held,
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
    /// Objects that the connection has put.
    pub(crate) held: Arc<Held>,
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
        Request::KeyPackageUpload(request) => Box::pin(key_packages::upload(cx, request)),
        Request::KeyPackageClaim(request) => Box::pin(key_packages::claim(cx, request)),
        Request::KeyPackageStatus(_) => Box::pin(key_packages::status(cx)),
        Request::RelayShow(_) => Box::pin(rooms::relay(cx)),
        Request::ObjectPut(request) => Box::pin(objects::put(cx, request)),
        Request::ObjectGet(request) => Box::pin(objects::get(cx, request)),
        Request::RoomCreate(request) => Box::pin(rooms::create(cx, request)),
        Request::RoomCommit(request) => Box::pin(rooms::commit(cx, request)),
        Request::RoomPost(request) => Box::pin(rooms::post(cx, request)),
        Request::RoomEphemeral(request) => Box::pin(rooms::ephemeral(cx, request)),
        Request::RoomAccept(request) => Box::pin(rooms::accept(cx, request)),
        Request::RoomLeave(request) => Box::pin(rooms::leave(cx, request)),
        Request::RoomReboot(request) => Box::pin(rooms::reboot(cx, request)),
        Request::RoomSync(request) => Box::pin(rooms::sync(cx, request)),
        Request::RoomCursor(request) => Box::pin(rooms::cursor(cx, request)),
        Request::RoomShow(request) => Box::pin(rooms::show(cx, request)),
        Request::RoomRoster(request) => Box::pin(rooms::roster(cx, request)),
        Request::RoomLists(request) => Box::pin(rooms::lists(cx, request)),
        Request::RoomDirectory(request) => Box::pin(rooms::directory(cx, request)),
        Request::RoomHeads(request) => Box::pin(rooms::heads(cx, request)),
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
