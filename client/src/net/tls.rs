//! Which relays are believed (R1): the one whose public key the address names, or, without a fingerprint, one whose
//! certificate the system's roots vouch for. TLS 1.3 only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use sha2::{Digest, Sha256};
use subrosa_protocol::{Fingerprint, version::ALPN};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::NetError;

/// The TLS side of one attempt to connect.
pub(super) struct Tls {
    pub(super) config: ClientConfig,
    wrong_key: Arc<AtomicBool>,
}

impl Tls {
    /// For a relay of this address' fingerprint.
    pub(super) fn new(fingerprint: Option<Fingerprint>) -> Result<Self, NetError> {
        let local = |error: Error| NetError::Local(error.to_string());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let wrong_key = Arc::new(AtomicBool::new(false));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(local)?;
        let mut config = match fingerprint {
            Some(fingerprint) => {
                let pinned = Pinned { fingerprint, provider, wrong_key: Arc::clone(&wrong_key) };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth()
            }
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config, wrong_key })
    }

    /// A way to ask, after the handshake failed, whether it failed for the relay's key.
    pub(super) fn wrong_key(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.wrong_key)
    }
}

/// Accepts the one public key; names, dates and issuers of the certificate do not matter.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
    wrong_key: Arc<AtomicBool>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if fingerprint_of(end_entity) == Some(self.fingerprint) {
            Ok(ServerCertVerified::assertion())
        } else {
            self.wrong_key.store(true, Ordering::Release);
            Err(Error::General("the relay's key is not the pinned one".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// SHA-256 of the certificate's SubjectPublicKeyInfo.
fn fingerprint_of(certificate: &CertificateDer<'_>) -> Option<Fingerprint> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Fingerprint(Sha256::digest(parsed.public_key().raw).into()))
}
