//! The relay's TLS side: a self-made certificate, TLS 1.3 only, ALPN `rosa/1`, no tickets (docs/PROTOCOL.md, 1.1).

use std::sync::Arc;

use quinn::{ServerConfig, TransportConfig, crypto::rustls::QuicServerConfig};
use rcgen::PublicKeyData;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use sha2::{Digest, Sha256};
use subrosa_protocol::{Fingerprint, version::ALPN};

/// A relay's key with its certificate.
#[derive(Clone)]
pub struct RelayKey {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fingerprint: Fingerprint,
}

impl RelayKey {
    /// A new one.
    pub fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let fingerprint = Fingerprint(Sha256::digest(made.signing_key.subject_public_key_info()).into());
        Self { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der(), fingerprint }
    }

    /// The configuration of a listener with this key.
    pub(super) fn server_config(&self) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(8u8.into()).max_concurrent_uni_streams(4u8.into());
        transport.keep_alive_interval(Some(std::time::Duration::from_secs(20)));
        config.transport_config(Arc::new(transport));
        config
    }
}
