//! The owner's side: accepts connections of the same user and answers them.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::UnixStream,
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    connection,
    limits::{CONNECTIONS, IN_FLIGHT},
    line::to_line,
    listener::Listener,
    rpc,
};
use crate::api::{ApiError, Handle, Kind};

/// How far the end of serving has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// No new connections and calls; what is under way is answered, and events flow on.
    Draining,
    /// What is written is written, then the connections close.
    Closing,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) handle: Arc<dyn Handle>,
    pub(super) calls: Arc<Semaphore>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// The service of a socket. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Serving {
    phase: watch::Sender<Phase>,
    calls: Arc<Semaphore>,
    task: JoinHandle<()>,
}

/// Serves the socket until it is told to end.
#[must_use]
pub fn serve(listener: Listener, handle: Arc<dyn Handle>) -> Serving {
    let (phase, watched) = watch::channel(Phase::Serving);
    let calls = Arc::new(Semaphore::new(ALL_CALLS));
    let shared = Arc::new(Shared { handle, calls: Arc::clone(&calls), phase: watched });
    Serving { phase, calls, task: tokio::spawn(accept(listener, shared)) }
}

const ALL_CALLS: usize = CONNECTIONS * IN_FLIGHT;

impl Serving {
    /// Removes the socket, takes no further calls, and waits (at most this long) until those under way are answered.
    /// Events still flow, so that subscribers see the end of the engine.
    pub async fn drain(&self, within: Duration) {
        self.phase.send_replace(Phase::Draining);
        let all = u32::try_from(ALL_CALLS).unwrap_or(u32::MAX);
        let _ = timeout(within, self.calls.acquire_many(all)).await;
    }

    /// Closes the connections after what is still to be written; after this long, without.
    pub async fn finish(mut self, within: Duration) {
        self.phase.send_replace(Phase::Closing);
        let _ = timeout(within, &mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: Listener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut phase = shared.phase.clone();
    loop {
        tokio::select! {
            () = reached(&mut phase, Phase::Draining) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.inner.accept() => match accepted {
                Ok((stream, _)) if !same_user(&stream) => {
                    tracing::warn!("a connection of another user was refused");
                }
                Ok((stream, _)) if connections.len() >= CONNECTIONS => {
                    tokio::spawn(timeout(Duration::from_secs(1), turn_away(stream)));
                }
                Ok((stream, _)) => {
                    connections.spawn(connection::run(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    // Too many open files, usually; what is open goes on, and a place gets free.
                    tracing::warn!("the socket cannot accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until the end has come at least that far.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, at_least: Phase) {
    let _ = phase.wait_for(|phase| *phase >= at_least).await;
}

/// `SO_PEERCRED`: the same user or nobody (R50).
fn same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| is_ours(peer.uid()))
}

pub(super) fn is_ours(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

async fn turn_away(mut stream: UnixStream) {
    let error = ApiError::new(Kind::RateLimited, format!("more than {CONNECTIONS} programs are attached"));
    let response = rpc::response(serde_json::Value::Null, Err(error.hint("end one of them")));
    if let Ok(line) = to_line(&response) {
        let _ = stream.write_all(format!("{line}\n").as_bytes()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r50_only_the_same_user_is_answered() {
        let ours = rustix::process::geteuid().as_raw();
        assert!(is_ours(ours));
        assert!(!is_ours(ours.wrapping_add(1)));
    }
}
