//! Dialling a relay over QUIC.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    crypto::rustls::QuicClientConfig,
};
use subrosa_protocol::{
    RelayAddress,
    version::{ALPN, EXPORTER_LABEL},
};

use super::{NetError, Wire, tls::Tls};
use crate::limits::{DIAL_TIMEOUT, IDLE_TIMEOUT, KEEP_ALIVE};

/// Connects to a relay, exchanges hellos, and returns the stream of frames. The addresses of the host are tried one
/// after the other.
///
/// # Errors
/// [`NetError`], of the last address tried.
pub async fn dial(relay: &RelayAddress) -> Result<Wire<RecvStream, SendStream>, NetError> {
    let at = relay.authority();
    let found = tokio::net::lookup_host((relay.host.as_str(), relay.port)).await;
    let addresses: Vec<SocketAddr> =
        found.map_err(|error| NetError::Resolve { host: relay.host.clone(), error })?.collect();
    let mut last = NetError::Unreachable { at: at.clone(), why: "the host has no address".into() };
    for address in addresses {
        match tokio::time::timeout(DIAL_TIMEOUT, dial_one(relay, &at, address)).await {
            Ok(Ok(wire)) => return Ok(wire),
            Ok(Err(error)) if error.is_final() => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => last = NetError::Unreachable { at: at.clone(), why: "no answer".into() },
        }
    }
    Err(last)
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
        Failed::Connection(error) => NetError::Unreachable { at: at.to_owned(), why: error.to_string() },
    })?;
    let lost = |error: ConnectionError| NetError::Unreachable { at: at.to_owned(), why: error.to_string() };
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, &[])
        .map_err(|_| NetError::Local("no exporter value".into()))?;
    let (send, receive) = connection.open_bi().await.map_err(lost)?;
    let round_trip = move || u32::try_from(connection.rtt().as_millis()).unwrap_or(u32::MAX);
    Wire::open(receive, send, exporter, Box::new(round_trip)).await
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
