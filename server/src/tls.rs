//! TLS 1.3 only, ALPN `rosa/1`, no early data, hybrid post-quantum key exchange first (R1).
//!
//! The relay's key is made at the first start, and its address pins it: SHA-256 of the SubjectPublicKeyInfo. Operators
//! with a certificate of their own give `--cert` and `--key`; those files are read again on SIGHUP and when they change.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use sha2::{Digest, Sha256};
use subrosa_protocol::{Fingerprint, version::ALPN};
use zeroize::Zeroizing;

use crate::data_dir::{DataDir, DataDirError, TLS_CERT, TLS_KEY, read_private};

/// Why the relay has no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A file that was named does not exist.
    #[error("there is no file {0}: name the certificate with --cert and its key with --key")]
    Missing(PathBuf),
    /// A file is not what it should be.
    #[error("{path} is not usable: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The TLS library refused the configuration.
    #[error("TLS: {0}")]
    Library(String),
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, leaf first.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// The files of the self-made certificate; makes them at the first start.
    ///
    /// # Errors
    /// [`TlsError`] when they cannot be written.
    pub fn self_made(data: &DataDir) -> Result<Self, TlsError> {
        let files = Self { cert: data.file(TLS_CERT), key: data.file(TLS_KEY) };
        if data.read(TLS_KEY)?.is_none() {
            let library = |error: rcgen::Error| TlsError::Library(error.to_string());
            let key = rcgen::KeyPair::generate().map_err(library)?;
            let params = rcgen::CertificateParams::new(vec!["rosad".to_owned()]).map_err(library)?;
            let cert = params.self_signed(&key).map_err(library)?;
            data.write(TLS_CERT, cert.pem().as_bytes())?;
            data.write(TLS_KEY, key.serialize_pem().as_bytes())?;
        }
        Ok(files)
    }
}

/// The certificate that new handshakes get.
pub struct Certificate {
    files: CertificateFiles,
    current: RwLock<Current>,
    provider: Arc<CryptoProvider>,
}

#[derive(Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    /// What the files held, to notice a change.
    digest: [u8; 32],
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`] says which file and what is wrong with it.
    pub fn load(files: CertificateFiles) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = RwLock::new(read(&files, &provider)?);
        Ok(Arc::new(Self { files, current, provider }))
    }

    /// Reads the files again; handshakes from now on get what they hold. `true` when something changed. On an error the
    /// old certificate stays.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<bool, TlsError> {
        let next = read(&self.files, &self.provider)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.digest != next.digest;
        *current = next;
        Ok(changed)
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.current().fingerprint
    }

    /// The configuration of the listener.
    ///
    /// # Errors
    /// [`TlsError::Library`].
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Library(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        // No resumption: each connection proves the pinned key anew, and the relay keeps nothing between connections.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().key)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint())
    }
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Current, TlsError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |reason: String| TlsError::Unusable { path, reason }
    };
    let file = |path: &Path| read_private(path)?.ok_or_else(|| TlsError::Missing(path.to_owned()));
    let (cert_pem, key_pem) = (file(&files.cert)?, Zeroizing::new(file(&files.key)?));
    let chain = CertificateDer::pem_slice_iter(&cert_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&files.cert)(error.to_string()))?;
    let leaf = chain.first().ok_or_else(|| unusable(&files.cert)("it holds no certificate".to_owned()))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|_| unusable(&files.cert)("its first certificate cannot be read".to_owned()))?;
    let fingerprint = Fingerprint(Sha256::digest(parsed.public_key().raw).into());
    let key =
        PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| unusable(&files.key)(error.to_string()))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| unusable(&files.key)(error.to_string()))?;
    let key = CertifiedKey::new(chain, key);
    key.keys_match().map_err(|_| unusable(&files.key)("it is not the certificate's key".to_owned()))?;
    let digest =
        Sha256::new().chain_update(&cert_pem).chain_update([0]).chain_update(&key_pem).finalize().into();
    Ok(Current { key: Arc::new(key), fingerprint, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r1_tls_1_3_without_early_data_and_post_quantum_first() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let certificate = Certificate::load(CertificateFiles::self_made(&data).unwrap()).unwrap();
        let config = certificate.server_config().unwrap();
        assert_eq!(config.alpn_protocols, [b"rosa/1".to_vec()]);
        assert_eq!((config.max_early_data_size, config.send_tls13_tickets), (0, 0));
        let first = config.crypto_provider().kx_groups.first().unwrap().name();
        assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn the_key_stays_over_restarts_and_a_changed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let files = CertificateFiles::self_made(&data).unwrap();
        let certificate = Certificate::load(files.clone()).unwrap();
        let before = certificate.fingerprint();
        assert_eq!(CertificateFiles::self_made(&data).unwrap(), files);
        assert!(!certificate.reload().unwrap());

        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(certificate.reload(), Err(TlsError::Missing(_))));
        assert_eq!(certificate.fingerprint(), before);
        CertificateFiles::self_made(&data).unwrap();
        assert!(certificate.reload().unwrap());
        assert_ne!(certificate.fingerprint(), before);
    }

    #[test]
    fn a_key_of_another_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let files = CertificateFiles::self_made(&data).unwrap();
        data.write(TLS_KEY, rcgen::KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
        let error = Certificate::load(files).unwrap_err().to_string();
        assert!(error.contains(TLS_KEY) && error.contains("not the certificate's key"), "{error}");
    }
}
