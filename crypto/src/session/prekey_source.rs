use crate::prekeys::PrekeySecret;

/// Where the responder's prekey secrets and the base keys of past sessions are. Implemented by the store; every method
/// only looks, nothing is deleted or recorded before the message has authenticated.
pub trait PrekeySource {
    /// The secret of a signed X25519 prekey.
    fn signed(&mut self, id: u32) -> Option<PrekeySecret>;

    /// The secret of a one-time X25519 prekey.
    fn one_time(&mut self, id: u32) -> Option<PrekeySecret>;

    /// The secret of an ML-KEM-768 prekey, of the last-resort or of the one-time kind; each kind counts for itself.
    fn kem(&mut self, id: u32, last_resort: bool) -> Option<PrekeySecret>;

    /// Whether a session of this peer device with this base key was ever opened here. The caller records
    /// [`Decrypted::base_key`](super::Decrypted::base_key) for 60 days, in the transaction that stores the record (R15).
    fn base_key_seen(&mut self, peer_account: &str, peer_device: u32, base_key: &[u8; 32]) -> bool;
}
