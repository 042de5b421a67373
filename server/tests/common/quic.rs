//! A real QUIC client that pins the relay's key, as `rosa` does.

use std::{net::SocketAddr, sync::Arc};

use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use subrosa_protocol::{Fingerprint, version::EXPORTER_LABEL};
use subrosa_server::Relay;

use super::Client;

/// What the client is willing to do.
pub struct Options {
    pub alpn: Vec<u8>,
    pub fingerprint: Option<Fingerprint>,
    pub provider: CryptoProvider,
}

impl Options {
    pub fn of(relay: &Relay) -> Self {
        Self {
            alpn: b"rosa/1".to_vec(),
            fingerprint: relay.address().fingerprint,
            provider: aws_lc_rs::default_provider(),
        }
    }
}

/// Connects, without a stream.
pub async fn connect(
    to: SocketAddr,
    options: Options,
) -> Result<(quinn::Endpoint, quinn::Connection), String> {
    let provider = Arc::new(options.provider);
    let verifier = Pinned { fingerprint: options.fingerprint, provider: Arc::clone(&provider) };
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![options.alpn];
    tls.enable_early_data = true;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(to, "relay").unwrap().await.map_err(|error| error.to_string())?;
    Ok((endpoint, connection))
}

pub fn exporter(connection: &quinn::Connection) -> [u8; 32] {
    let mut exporter = [0; 32];
    connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").unwrap();
    exporter
}

/// A client on a session stream, before hellos.
pub async fn raw(relay: &Relay) -> (Client, quinn::Connection) {
    let (endpoint, connection) = connect(relay.quic_addr(), Options::of(relay)).await.unwrap();
    let (writer, reader) = connection.open_bi().await.unwrap();
    let mut client = Client::new(reader, writer, exporter(&connection));
    client.held = Some(Box::new(endpoint));
    (client, connection)
}

pub async fn client(relay: &Relay) -> (Client, quinn::Connection) {
    let (mut client, connection) = raw(relay).await;
    client.hello().await;
    (client, connection)
}

#[derive(Debug)]
struct Pinned {
    fingerprint: Option<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (_, cert) = x509_parser::parse_x509_certificate(end_entity).unwrap();
        let seen = Fingerprint(Sha256::digest(cert.public_key().raw).into());
        if Some(seen) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another key than the pinned one".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
