//! The one place where Ed25519 signatures are made; `subrosa_verify::keys` is where they are checked.

use ed25519_dalek::{Signer, SigningKey};
use subrosa_verify::keys::{Signature, signed_bytes};
use subrosa_verify::labels::Label;

/// Signs `label || 0x00 || message`.
pub(crate) fn sign(key: &SigningKey, label: Label, message: &[u8]) -> Signature {
    Signature(key.sign(&signed_bytes(label, message)).to_bytes())
}
