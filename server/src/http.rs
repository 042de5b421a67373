//! `/health`, `/ready` and `/metrics`, for whoever watches over the relay. Loopback only, unless the configuration says
//! otherwise: the numbers tell how much is written.
//!
//! A connection is there for one request and lives [`HTTP_LIFETIME`] at most, whatever it does; where all places are
//! taken, the oldest gives way. So nobody shuts out the watchers with requests that do not end.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::rfc3339,
    core::Core,
    limits::{HTTP_CONNECTIONS, HTTP_LIFETIME},
};

/// Serves until the relay stops.
pub(crate) async fn serve(listener: TcpListener, core: Arc<Core>) {
    let stopping = core.stopping.clone();
    let routes = Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .layer(map_response(last))
        .with_state(core);
    let limited = Limited::new(listener, HTTP_CONNECTIONS, HTTP_LIFETIME);
    let served =
        axum::serve(limited, routes).with_graceful_shutdown(async move { stopping.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

async fn health(State(core): State<Arc<Core>>) -> Response {
    Json(json!({ "status": "ok", "timestamp": rfc3339(core.now()) })).into_response()
}

async fn ready(State(core): State<Arc<Core>>) -> Response {
    let reason = if core.stopping.is_cancelled() {
        Some("stopping")
    } else if core.broken.is_cancelled() {
        Some("broken")
    } else if !core.accepts_writes() {
        Some("storage_full")
    } else {
        None
    };
    match reason {
        None => Json(json!({ "status": "ready" })).into_response(),
        Some(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not_ready", "reason": reason })))
                .into_response()
        }
    }
}

async fn metrics(State(core): State<Arc<Core>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], core.metrics.encode()).into_response()
}

/// Every answer is the last of its connection: one that waits for a next request only takes a place.
async fn last(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A listener with so many connections at once, of which each lives so long at most.
struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// Of those that are open, the oldest first. Some may have ended by themselves.
    open: VecDeque<CancellationToken>,
    lifetime: Duration,
}

impl Limited {
    fn new(listener: TcpListener, places: usize, lifetime: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)), open: VecDeque::new(), lifetime }
    }

    /// A place for one more; the oldest connection gives way when there is none.
    async fn place(&mut self) -> OwnedSemaphorePermit {
        // A connection ends its own token when it goes.
        self.open.retain(|connection| !connection.is_cancelled());
        if self.places.available_permits() == 0
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.cancel();
        }
        match Arc::clone(&self.places).acquire_owned().await {
            Ok(place) => place,
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Listener for Limited {
    type Io = Held;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Held, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    let place = self.place().await;
                    let gone = CancellationToken::new();
                    self.open.push_back(gone.clone());
                    return (Held::new(stream, place, gone, self.lifetime), address);
                }
                // Out of file descriptors, or the peer has gone already.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection and its place. When its time is over or another takes its place, it neither reads nor writes any more.
struct Held {
    stream: TcpStream,
    /// Gives the place back.
    _place: OwnedSemaphorePermit,
    gone: CancellationToken,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Held {
    fn new(
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        gone: CancellationToken,
        lifetime: Duration,
    ) -> Self {
        let told = gone.clone();
        let end = Box::pin(async move {
            let _ = tokio::time::timeout(lifetime, told.cancelled()).await;
            told.cancel();
        });
        Self { stream, _place: place, gone, end }
    }

    /// An error once it is over; otherwise wakes when it is.
    fn over(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.gone.is_cancelled() || self.end.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.over(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.over(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.over(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn limited(places: usize, lifetime: Duration) -> (Limited, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Limited::new(listener, places, lifetime), address)
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn the_oldest_gives_way_when_all_places_are_taken() {
        let (mut limited, address) = limited(2, LONG).await;
        let mut dialled = Vec::new();
        let mut held = VecDeque::new();
        for _ in 0..2 {
            dialled.push(TcpStream::connect(address).await.unwrap());
            held.push_back(limited.accept().await.0);
        }
        dialled.push(TcpStream::connect(address).await.unwrap());
        let mut oldest = held.pop_front().unwrap();
        let oldest = tokio::spawn(async move { oldest.read_u8().await.unwrap_err().kind() });
        let mut third = limited.accept().await.0;
        assert_eq!(oldest.await.unwrap(), io::ErrorKind::TimedOut);
        // The others are as they were.
        for (dialled, held) in dialled[1..].iter_mut().zip([&mut held[0], &mut third]) {
            dialled.write_all(b"x").await.unwrap();
            assert_eq!(held.read_u8().await.unwrap(), b'x');
        }
    }

    #[tokio::test]
    async fn one_that_ended_by_itself_leaves_its_place() {
        let (mut limited, address) = limited(2, LONG).await;
        let mut dialled = TcpStream::connect(address).await.unwrap();
        let mut first = limited.accept().await.0;
        for _ in 0..5 {
            let _other = TcpStream::connect(address).await.unwrap();
            drop(limited.accept().await.0);
        }
        dialled.write_all(b"x").await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'x');
        assert!(limited.open.len() <= 2);
    }

    #[tokio::test]
    async fn nothing_that_it_reads_makes_a_connection_live_longer() {
        let (mut limited, address) = limited(2, Duration::from_millis(300)).await;
        let mut dialled = TcpStream::connect(address).await.unwrap();
        let mut held = limited.accept().await.0;
        let dripping = tokio::spawn(async move {
            while dialled.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let ended = async {
            loop {
                if let Err(error) = held.read_u8().await {
                    break error.kind();
                }
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
        assert_eq!(ended, io::ErrorKind::TimedOut);
        assert_eq!(held.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        dripping.abort();
    }
}
