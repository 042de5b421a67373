//! The QUIC endpoint: windows and streams of R5, times of R6, Retry when many handshakes are under way.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt, crypto::rustls::QuicServerConfig,
};
use socket2::{Domain, Protocol, Socket, Type};
use subrosa_protocol::version::EXPORTER_LABEL;
use tokio::time::{Instant, timeout};

use super::{
    Admission, Network,
    flow::{Flow, Reader, Writer},
};
use crate::{
    connection::{self, Carrier, Link},
    core::Core,
    limits::{
        ASSUMED_ROUND_TRIP_MS, BIDI_STREAMS, BIDI_STREAMS_UNAUTHENTICATED, DATAGRAM_BUFFER,
        INCOMING_BUFFER_TOTAL, Limits, MAX_INCOMING, SOCKET_BUFFER, STREAM_RECEIVE_WINDOW, UNI_STREAMS,
        WINDOW_FIRST,
    },
    metrics::Metrics,
};

/// Application error code of an ordinary end.
const DONE: VarInt = VarInt::from_u32(0);
/// Application error code for streams that this version has no use for.
const NO_SUCH_STREAM: VarInt = VarInt::from_u32(1);

/// The listening endpoint.
pub(crate) struct QuicListener {
    endpoint: Endpoint,
}

/// Binds the UDP socket: both address families when `address` is `[::]`.
///
/// # Errors
/// What the system says; the caller names the address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // The kernel may give less; that costs speed, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl QuicListener {
    /// Makes an endpoint of a bound socket.
    ///
    /// # Errors
    /// What the system or the TLS library says.
    pub(crate) fn new(
        socket: std::net::UdpSocket,
        tls: rustls::ServerConfig,
        limits: &Limits,
    ) -> io::Result<Self> {
        let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config
            .transport_config(Arc::new(transport(limits)?))
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
        let endpoint =
            Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Accepts connections until the relay stops.
    pub(crate) async fn accept(&self, core: Arc<Core>) {
        let pending = Arc::new(AtomicUsize::new(0));
        loop {
            let incoming = tokio::select! {
                () = core.stopping.cancelled() => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            greet(incoming, &core, &pending);
        }
        // New handshakes are refused; what is established goes on until it is told to end.
        self.endpoint.set_server_config(None);
    }

    /// Ends what is left and waits until the last packets are out, at most `limit`.
    pub(crate) async fn close(&self, limit: Duration) {
        self.endpoint.close(DONE, b"");
        let _ = timeout(limit, self.endpoint.wait_idle()).await;
    }
}

fn transport(limits: &Limits) -> io::Result<TransportConfig> {
    let idle = IdleTimeout::try_from(Duration::from_secs(limits.idle_timeout_s)).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .receive_window(WINDOW_FIRST.into())
        .stream_receive_window(STREAM_RECEIVE_WINDOW.into())
        .send_window(WINDOW_FIRST.into())
        .max_concurrent_bidi_streams(BIDI_STREAMS_UNAUTHENTICATED.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .initial_rtt(Duration::from_millis(ASSUMED_ROUND_TRIP_MS))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(Duration::from_secs(limits.keep_alive_s)));
    Ok(transport)
}

/// Decides about a handshake without waiting for anything.
fn greet(incoming: Incoming, core: &Arc<Core>, pending: &Arc<AtomicUsize>) {
    let proved = incoming.remote_address_validated();
    if !proved && pending.load(Ordering::Relaxed) >= core.limits.handshakes_before_retry {
        let _ = incoming.retry();
        return;
    }
    let network = Network::from(incoming.remote_address().ip());
    match core.gate.admit(network, proved, Instant::now()) {
        Ok(admission) => {
            let (core, pending) = (Arc::clone(core), Arc::clone(pending));
            tokio::spawn(handshake(incoming, network, admission, core, Pending::new(pending)));
        }
        // Whoever cannot be who it says it is uses up nothing of the network it names.
        Err(_) if !proved => {
            let _ = incoming.retry();
        }
        Err(turned) => {
            Metrics::count(&core.metrics.connections_refused, turned.name());
            incoming.refuse();
        }
    }
}

async fn handshake(
    incoming: Incoming,
    network: Network,
    admission: Admission,
    core: Arc<Core>,
    pending: Pending,
) {
    let opened = tokio::select! {
        () = core.stopping.cancelled() => return,
        // On the heap: a handshake's state is not part of the connection's task afterwards.
        opened = Box::pin(open(incoming, &core.limits, pending)) => opened,
    };
    let Some((connection, writer, reader)) = opened else {
        core.metrics.handshakes_failed.inc();
        return;
    };
    let mut exporter = [0; 32];
    if connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").is_err() {
        core.metrics.handshakes_failed.inc();
        return;
    }
    let flow = Flow::new(connection.clone(), core.windows.share());
    let (reader, writer) = (Reader::new(reader, Arc::clone(&flow)), Writer::new(writer, Arc::clone(&flow)));
    let link =
        Link { carrier: Quic { connection: connection.clone(), flow }, reader, writer, exporter, network };
    tokio::select! {
        () = connection::serve(link, admission, core) => {}
        () = turn_away_streams(&connection) => {}
    }
    connection.close(DONE, b"");
}

/// A handshake and the session stream that the client opens, each in its time.
async fn open(
    incoming: Incoming,
    limits: &Limits,
    pending: Pending,
) -> Option<(Connection, SendStream, RecvStream)> {
    let established = async { incoming.accept()?.await };
    let connection =
        timeout(Duration::from_secs(limits.handshake_timeout_s), established).await.ok()?.ok()?;
    drop(pending);
    let stream = timeout(Duration::from_secs(limits.unauthenticated_timeout_s), connection.accept_bi()).await;
    let (writer, reader) = stream.ok()?.ok()?;
    Some((connection, writer, reader))
}

/// Version 1 has one stream. Further ones are turned away at once, so that they hold no memory. Pends while the
/// connection lives; the session stream notices its end.
async fn turn_away_streams(connection: &Connection) {
    loop {
        let mut reader = tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((mut writer, reader)) => {
                    let _ = writer.reset(NO_SUCH_STREAM);
                    reader
                }
                Err(_) => break,
            },
            stream = connection.accept_uni() => match stream {
                Ok(reader) => reader,
                Err(_) => break,
            },
        };
        let _ = reader.stop(NO_SUCH_STREAM);
    }
    std::future::pending().await
}

/// A handshake under way.
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A session stream on a QUIC connection.
struct Quic {
    connection: Connection,
    flow: Arc<Flow>,
}

impl Carrier for Quic {
    type Reader = Reader;
    type Writer = Writer;

    fn raise_limits(&self) {
        self.flow.authenticated();
        self.connection.set_max_concurrent_bi_streams(BIDI_STREAMS.into());
        self.connection.set_max_concurrent_uni_streams(UNI_STREAMS.into());
    }

    async fn finish(&self, writer: Writer) {
        // Until everything is acknowledged, or the client is not interested.
        let _ = writer.into_stream().stopped().await;
        self.connection.close(DONE, b"");
    }
}
