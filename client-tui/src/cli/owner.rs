//! This process owns the profile: it runs the engine, and serves the socket so that others can attach meanwhile (R24).

use std::{sync::Arc, time::Duration};

use subrosa_client::{
    ApiError, Engine, Handle, Reply, Request,
    api::{Call, Kind, Subscribe},
    attach::{self, Serving},
    engine::EngineOptions,
    profile::ProfilePaths,
    store::Store,
};
use tokio::sync::Notify;

use super::socket_file;

/// How long calls of attached programs may still take when their owner ends.
const DRAIN: Duration = Duration::from_secs(3);
/// How long attached programs may take to read the last words.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The profile while it is open here.
pub struct Owner {
    engine: Engine,
    role: Role,
    paths: ProfilePaths,
    serving: Option<Serving>,
    ended: Arc<Notify>,
}

/// Whether an attached program may end this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs until it is told to end.
    Daemon,
    /// Ends by itself: a verb, or the application.
    Passing,
}

impl Owner {
    /// Starts the engine and serves the socket. A verb goes on without a socket when there can be none; a daemon does not.
    ///
    /// # Errors
    /// When the engine does not start, or a daemon cannot serve.
    pub async fn start(store: Store, paths: &ProfilePaths, role: Role) -> Result<Self, ApiError> {
        let engine = Engine::start(store, EngineOptions::default())?;
        let ended = Arc::new(Notify::new());
        let guarded = Guarded { engine: engine.clone(), ended: Arc::clone(&ended), role };
        let serving = match attach::bind(&paths.socket) {
            Ok(listener) => {
                if let Err(error) = socket_file::write(paths) {
                    tracing::warn!("only who has the same XDG_RUNTIME_DIR can attach: {error}");
                }
                Some(attach::serve(listener, Arc::new(guarded)))
            }
            Err(error) if role == Role::Daemon => {
                engine.shutdown().await;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!("others cannot attach to this profile: {error}");
                None
            }
        };
        Ok(Self { engine, role, paths: paths.clone(), serving, ended })
    }

    /// What this process itself calls.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Handle> {
        Arc::new(self.engine.clone())
    }

    /// Notified when an attached program ends the daemon.
    #[must_use]
    pub fn ended(&self) -> Arc<Notify> {
        Arc::clone(&self.ended)
    }

    /// Answers what is under way, flushes and closes the store, and lets attached programs see the end.
    pub async fn close(self) {
        if let Some(serving) = &self.serving {
            socket_file::remove(&self.paths);
            serving.drain(DRAIN).await;
        }
        match self.role {
            // Somebody starts it again; what is due waits in the store.
            Role::Daemon => self.engine.shutdown().await,
            // Who knows when it runs again: receipts that are due go out first.
            Role::Passing => self.engine.finish().await,
        }
        if let Some(serving) = self.serving {
            serving.finish(LAST_WORDS).await;
        }
    }
}

/// What attached programs call.
struct Guarded {
    engine: Engine,
    ended: Arc<Notify>,
    role: Role,
}

impl Handle for Guarded {
    fn call(&self, request: Request) -> Call<'_> {
        if request != (Request::SystemShutdown {}) {
            return self.engine.call(request);
        }
        let answer = match self.role {
            Role::Daemon => {
                self.ended.notify_one();
                Ok(Reply::Done {})
            }
            Role::Passing => {
                let pid = std::process::id();
                Err(ApiError::new(
                    Kind::Refused,
                    format!("the owner of the profile (pid {pid}) is no daemon"),
                )
                .hint("quit the application there, or wait until the verb has ended"))
            }
        };
        Box::pin(std::future::ready(answer))
    }

    fn subscribe(&self) -> Subscribe<'_> {
        self.engine.subscribe()
    }
}
