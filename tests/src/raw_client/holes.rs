//! Packets whose contents never arrive although they are acknowledged: between quinn and the encryption of a packet, its
//! payload is turned into a PING. The sender is told that its data arrived and goes on; the receiver has a hole in the
//! stream that nobody will ever fill, and keeps what comes behind it for as long as it likes.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use quinn::{
    ConnectError, ConnectionId, Side,
    crypto::{
        ClientConfig, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
        rustls::QuicClientConfig,
    },
};
use quinn_proto::{TransportError, transport_parameters::TransportParameters};

/// The frame type of a PING; what follows is PADDING, which is zero.
const PING: u8 = 0x01;

/// Decides which packets of its connections are spoilt.
#[derive(Clone, Default)]
pub struct Holes {
    open: Arc<AtomicBool>,
    spoilt: Arc<AtomicU64>,
}

impl Holes {
    /// Packets sent from now on arrive empty, or whole again.
    pub fn set(&self, open: bool) {
        self.open.store(open, Ordering::SeqCst);
    }

    /// Packets spoilt so far.
    pub fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::SeqCst)
    }

    fn spoil(&self, payload: &mut [u8]) {
        if self.open.load(Ordering::SeqCst) {
            payload.fill(0);
            if let Some(first) = payload.first_mut() {
                *first = PING;
            }
            self.spoilt.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A client's TLS that spoils packets, and may change its ClientHello.
pub(super) struct Spoiling {
    inner: Arc<QuicClientConfig>,
    holes: Holes,
    client_hello: Option<fn(&mut [u8])>,
}

impl Spoiling {
    pub(super) fn new(
        inner: QuicClientConfig,
        holes: Option<Holes>,
        client_hello: Option<fn(&mut [u8])>,
    ) -> Self {
        Self { inner: Arc::new(inner), holes: holes.unwrap_or_default(), client_hello }
    }
}

impl ClientConfig for Spoiling {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.inner).start_session(version, server_name, params)?;
        let (holes, client_hello) = (self.holes.clone(), self.client_hello);
        Ok(Box::new(SpoiltSession { inner, holes, client_hello, keys: 0 }))
    }
}

/// A TLS session whose keys for application data spoil packets.
struct SpoiltSession {
    inner: Box<dyn Session>,
    holes: Holes,
    client_hello: Option<fn(&mut [u8])>,
    /// Sets of keys handed out: the first is the handshake's.
    keys: u32,
}

impl Session for SpoiltSession {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }
    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }
    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }
    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }
    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }
    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }
    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let keys = self.inner.write_handshake(buf);
        if let Some(change) = self.client_hello.take() {
            change(buf);
        }
        let mut keys = keys?;
        self.keys += 1;
        if self.keys == 2 {
            keys.packet.local = Box::new(SpoilingKey { inner: keys.packet.local, holes: self.holes.clone() });
        }
        Some(keys)
    }
    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let KeyPair { local, remote } = self.inner.next_1rtt_keys()?;
        Some(KeyPair { local: Box::new(SpoilingKey { inner: local, holes: self.holes.clone() }), remote })
    }
    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }
    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct SpoilingKey {
    inner: Box<dyn PacketKey>,
    holes: Holes,
}

impl PacketKey for SpoilingKey {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let end = buf.len() - self.inner.tag_len();
        self.holes.spoil(&mut buf[header_len..end]);
        self.inner.encrypt(packet, buf, header_len);
    }
    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut bytes::BytesMut) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)
    }
    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }
    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }
    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}
