//! A source address, and connections from it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, crypto::rustls::QuicClientConfig,
};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Holes, Session, holes::Spoiling};

/// How a connection behaves below the frames.
pub struct Manners {
    /// The protocol names offered; none at all when empty.
    pub alpn: Vec<Vec<u8>>,
    /// Windows, timers and padding.
    pub transport: TransportConfig,
    /// Spoils packets.
    pub holes: Option<Holes>,
    /// Changes the ClientHello on its way out.
    pub client_hello: Option<fn(&mut [u8])>,
    /// Offers early data and keeps tickets.
    pub early_data: bool,
}

impl Default for Manners {
    /// As docs/PROTOCOL.md has it.
    fn default() -> Self {
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(10)));
        Self { alpn: vec![b"rosa/1".to_vec()], transport, holes: None, client_hello: None, early_data: false }
    }
}

impl Manners {
    /// With other windows, timers or padding.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut TransportConfig)) -> Self {
        change(&mut self.transport);
        self
    }

    /// With packets spoilt by `holes`.
    #[must_use]
    pub fn spoilt_by(self, holes: &Holes) -> Self {
        Self { holes: Some(holes.clone()), ..self }
    }

    fn into_config(self) -> ClientConfig {
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        tls.alpn_protocols = self.alpn;
        tls.enable_early_data = self.early_data;
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        let mut config = match (self.holes, self.client_hello) {
            (None, None) => ClientConfig::new(Arc::new(crypto)),
            (holes, change) => ClientConfig::new(Arc::new(Spoiling::new(crypto, holes, change))),
        };
        config.transport_config(Arc::new(self.transport));
        config
    }
}

/// One source address. Relays see each as a network of its own (R7).
#[derive(Clone)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// Its socket.
    pub endpoint: Endpoint,
    to: SocketAddr,
}

impl Network {
    /// An address of 127.0.0.0/8 that nobody in this process had before.
    pub fn new(to: SocketAddr) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from(0x7f01_0002 + (number / 250) * 256 + number % 250);
        let endpoint = Endpoint::client(SocketAddr::from((address, 0))).unwrap();
        Self { address: address.into(), endpoint, to }
    }

    /// So many of them.
    pub fn several(to: SocketAddr, count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::new(to)).collect()
    }

    /// A QUIC connection without a stream.
    pub async fn connect_with(&self, manners: Manners) -> Result<Connection, ConnectionError> {
        self.connecting(manners).await
    }

    /// A QUIC connection on its way.
    pub fn connecting(&self, manners: Manners) -> quinn::Connecting {
        self.endpoint.connect_with(manners.into_config(), self.to, "relay").unwrap()
    }

    /// A QUIC connection without a stream.
    pub async fn connect(&self) -> Result<Connection, ConnectionError> {
        self.connect_with(Manners::default()).await
    }

    /// A session stream before the hellos.
    pub async fn open_with(&self, manners: Manners) -> Result<Session, ConnectionError> {
        Session::open(self.connect_with(manners).await?).await
    }

    /// A session that has said hello.
    pub async fn hello(&self) -> Session {
        let mut session = self.open_with(Manners::default()).await.expect("the relay takes a connection");
        session.hello().await;
        session
    }
}

/// Believes whoever answers: whom the relay is, is not what these tests are about.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has no TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
