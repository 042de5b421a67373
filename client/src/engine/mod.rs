//! Runs a profile: the machine of [`crate::core`] on a thread of its own, the connection of [`crate::net`] beside it, and
//! front ends around them. One engine a profile; it owns the store until it is shut down.
//!
//! | file | what it does |
//! |---|---|
//! | `run` | the thread: inputs in, effects carried out |
//! | `subscribers` | events to whoever listens, a slow one gets a gap |
//! | `outside` | the clock and the randomness of the operating system |

mod outside;
mod run;
mod subscribers;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    api::{ApiError, Call, EventStream, Handle, Kind, Reply, Request, Subscribe},
    core::{Core, Facts},
    limits::{LINK_QUEUE, REQUEST_QUEUE},
    net::{self, Dial, QuicDial},
    store::Store,
};
use run::{Command, Runner};

/// How an engine is run.
pub struct EngineOptions {
    /// Whether to connect to the relay at all. Without it everything stored can be read, and what is sent stays queued.
    pub connect: bool,
    /// The program's version, for `status.show`.
    pub version: String,
    /// Another way to reach the relay than QUIC.
    pub dial: Option<Box<dyn Dial>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { connect: true, version: env!("CARGO_PKG_VERSION").to_owned(), dial: None }
    }
}

/// A running engine. Clones are the same one.
#[derive(Clone)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<bool>,
    address: Arc<str>,
}

impl Engine {
    /// Takes over a store and runs it. To be called inside a tokio runtime, which must live as long as the engine.
    ///
    /// # Errors
    /// `NotReady` when nobody has joined with this store, `Internal` when no thread can be started.
    pub fn start(store: Store, options: EngineOptions) -> Result<Self, ApiError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ApiError::internal("no runtime"))?;
        let profile = store.profile().map(|paths| paths.dir.display().to_string()).unwrap_or_default();
        let facts = Facts { profile, pid: std::process::id(), version: options.version.clone() };
        let core = Core::new(store, facts)?;
        let address = Arc::from(core.address());
        let (commands, command_queue) = mpsc::channel(REQUEST_QUEUE);
        let (link, link_commands) = mpsc::channel(LINK_QUEUE);
        let (link_events, events) = mpsc::channel(LINK_QUEUE);
        let connect = options.connect && core.may_connect();
        let task = connect.then(|| {
            let relay = core.relay().clone();
            match options.dial {
                Some(dial) => runtime.spawn(net::run(dial, link_commands, link_events)),
                None => runtime.spawn(net::run(QuicDial::new(relay), link_commands, link_events)),
            }
        });
        let (end, ended) = watch::channel(false);
        let runner = Runner::new(core, command_queue, link, events, task, options.version);
        let started = |error: std::io::Error| ApiError::internal(format!("no thread: {error}"));
        let thread = std::thread::Builder::new()
            .name("rosa-engine".into())
            .spawn(move || runtime.block_on(runner.run()))
            .map_err(started)?;
        // The engine has ended when its thread is gone, thread-local state of the store's libraries with it: a process that
        // exits earlier would clean up beneath it.
        std::thread::Builder::new()
            .name("rosa-engine-end".into())
            .spawn(move || {
                let _ = thread.join();
                // Nobody may be listening any more.
                let _ = end.send(true);
            })
            .map_err(started)?;
        Ok(Self { commands, ended, address })
    }

    /// `alice@relay.example`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the engine: writes what is waiting, closes connection and store. Returns when the profile is free.
    pub async fn shutdown(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
        self.ended().await;
    }

    /// Ends the engine like [`Engine::shutdown`], but lets it first tell what can be told within three seconds: receipts
    /// that are due, acknowledgements, envelopes that wait. For programs that only look in.
    pub async fn finish(&self) {
        let _ = self.commands.send(Command::Finish).await;
        self.ended().await;
    }

    /// Returns when the engine has ended, by [`Engine::shutdown`] or because a front end asked for it.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error says that the thread is gone: that is an end too.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

fn gone() -> ApiError {
    ApiError::new(Kind::NotReady, "the engine has ended")
}

impl Handle for Engine {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(async move {
            let (answer, reply) = oneshot::channel::<Result<Reply, ApiError>>();
            self.commands.send(Command::Call { request, answer }).await.map_err(|_| gone())?;
            reply.await.map_err(|_| gone())?
        })
    }

    fn subscribe(&self) -> Subscribe<'_> {
        Box::pin(async move {
            let (answer, stream) = oneshot::channel::<Result<EventStream, ApiError>>();
            self.commands.send(Command::Subscribe { answer }).await.map_err(|_| gone())?;
            stream.await.map_err(|_| gone())?
        })
    }
}
