//! Dialling a relay over QUIC.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    crypto::rustls::QuicClientConfig,
};
use subrosa_protocol::{
    RelayAddress,
    version::{ALPN, EXPORTER_LABEL},
};

use super::{Carrier, NetError, Signs, Wire, tls::Tls};
use crate::limits::{
    ASSUMED_ROUND_TRIP, DIAL_TIMEOUT, IDLE_TIMEOUT, KEEP_ALIVE, RECEIVE_WINDOW, RESOLVE_AGAIN_TIMEOUT,
    RESOLVE_TIMEOUT,
};

/// Connects to a relay, exchanges hellos, and returns the stream of frames. The addresses of the host are tried one
/// after the other.
///
/// # Errors
/// [`NetError`], of the last address tried.
pub async fn dial(relay: &RelayAddress) -> Result<Wire<RecvStream, SendStream>, NetError> {
    dial_again(relay, &mut Vec::new()).await
}

/// Like [`dial`], and remembers in `known` which addresses there were, the one that answered first: a network that comes
/// back is not waited for twice, once for names and once for the relay.
///
/// # Errors
/// [`NetError`], of the last address tried.
pub(super) async fn dial_again(
    relay: &RelayAddress,
    known: &mut Vec<SocketAddr>,
) -> Result<Wire<RecvStream, SendStream>, NetError> {
    let at = relay.authority();
    let addresses = resolve(relay, known).await?;
    let mut last = NetError::Unreachable { at: at.clone(), why: "the host has no address".into() };
    for address in &addresses {
        match tokio::time::timeout(DIAL_TIMEOUT, dial_one(relay, &at, *address)).await {
            Ok(Ok(wire)) => {
                *known = first(*address, addresses);
                return Ok(wire);
            }
            Ok(Err(error)) if error.is_final() => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => last = NetError::Silent { at: at.clone() },
        }
    }
    Err(last)
}

/// The host's addresses; those that are known when there is no answer for a while.
async fn resolve(relay: &RelayAddress, known: &[SocketAddr]) -> Result<Vec<SocketAddr>, NetError> {
    let limit = if known.is_empty() { RESOLVE_TIMEOUT } else { RESOLVE_AGAIN_TIMEOUT };
    let lookup = tokio::net::lookup_host((relay.host.as_str(), relay.port));
    let found = match tokio::time::timeout(limit, lookup).await {
        Ok(found) => found.map(Iterator::collect),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    match (found, known) {
        (Ok(found), [best, ..]) => Ok(first(*best, found)),
        (Ok(found), []) => Ok(found),
        (Err(error), []) => Err(NetError::Resolve { host: relay.host.clone(), error }),
        (Err(_), known) => Ok(known.to_vec()),
    }
}

/// With this address in front, where it is one of them.
fn first(best: SocketAddr, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_key(|address| *address != best);
    addresses
}

async fn dial_one(
    relay: &RelayAddress,
    at: &str,
    address: SocketAddr,
) -> Result<Wire<RecvStream, SendStream>, NetError> {
    let tls = Tls::new(relay.fingerprint)?;
    let wrong_key = tls.wrong_key();
    let connection = connect(relay, address, tls).await.map_err(|error| match error {
        Failed::Local(why) => NetError::Local(why),
        Failed::Connection(_) if wrong_key.load(Ordering::Acquire) => {
            NetError::WrongKey { at: at.to_owned() }
        }
        Failed::Connection(ConnectionError::TransportError(error))
            if relay.fingerprint.is_none() && error.to_string().contains("certificate") =>
        {
            NetError::Untrusted { at: at.to_owned() }
        }
        Failed::Connection(ConnectionError::TimedOut) => NetError::Silent { at: at.to_owned() },
        Failed::Connection(error) => NetError::Unreachable { at: at.to_owned(), why: error.to_string() },
    })?;
    let lost = |error: ConnectionError| NetError::Unreachable { at: at.to_owned(), why: error.to_string() };
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
        .map_err(|_| NetError::Local("no exporter value".into()))?;
    let (send, receive) = connection.open_bi().await.map_err(lost)?;
    Wire::open(receive, send, exporter, Box::new(Quic { connection, nudges: AtomicU32::new(0) })).await
}

/// A QUIC connection.
struct Quic {
    connection: Connection,
    nudges: AtomicU32,
}

impl Carrier for Quic {
    fn signs(&self) -> Signs {
        let stats = self.connection.stats();
        let frames = stats.frame_tx;
        Signs {
            round_trip: stats.path.rtt,
            // One of these is in every packet of ours that matters, and in every repetition.
            sent: frames.stream + frames.ping + frames.immediate_ack + frames.max_data,
            heard: stats.udp_rx.datagrams,
        }
    }

    fn nudge(&self) {
        // quinn sends no ping on demand, but it tells of a window that has grown, if only by a byte.
        let nudges = self.nudges.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        self.connection.set_receive_window(RECEIVE_WINDOW.saturating_add(nudges).into());
    }
}

enum Failed {
    Local(String),
    Connection(ConnectionError),
}

async fn connect(relay: &RelayAddress, address: SocketAddr, tls: Tls) -> Result<Connection, Failed> {
    let local = |why: String| Failed::Local(why);
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    debug_assert!(tls.config.alpn_protocols.iter().any(|name| name == ALPN));
    let crypto = QuicClientConfig::try_from(tls.config).map_err(|error| local(error.to_string()))?;
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    transport.receive_window(RECEIVE_WINDOW.into());
    transport.initial_rtt(ASSUMED_ROUND_TRIP);
    // A relay opens no streams and sends no datagrams in version 1.
    transport.max_concurrent_bidi_streams(0u8.into());
    transport.max_concurrent_uni_streams(0u8.into());
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client(any).map_err(|error| local(error.to_string()))?;
    let connecting =
        endpoint.connect_with(config, address, &relay.host).map_err(|error| local(error.to_string()))?;
    connecting.await.map_err(Failed::Connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_answered_is_tried_first() {
        let at = |last: u8| SocketAddr::from(([192, 0, 2, last], 4433));
        assert_eq!(first(at(3), vec![at(1), at(2), at(3)]), [at(3), at(1), at(2)]);
        assert_eq!(first(at(9), vec![at(1), at(2)]), [at(1), at(2)]);
    }

    #[tokio::test]
    async fn what_is_known_is_taken_when_names_are_not_found() {
        let relay = |host: &str| RelayAddress { host: host.into(), port: 4433, fingerprint: None };
        let known = [SocketAddr::from(([192, 0, 2, 1], 4433))];
        assert_eq!(resolve(&relay("nobody.invalid"), &known).await.unwrap(), known);
        let nothing = resolve(&relay("nobody.invalid"), &[]).await;
        assert!(matches!(nothing, Err(NetError::Resolve { .. })), "{nothing:?}");
        let found = resolve(&relay("192.0.2.7"), &known).await.unwrap();
        assert_eq!(found, [SocketAddr::from(([192, 0, 2, 7], 4433))]);
    }
}
