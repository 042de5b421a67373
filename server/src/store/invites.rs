//! Who may register.

use super::Timestamp;

/// SHA-256 of an invite's secret: the secret itself is never stored.
pub type InviteHash = [u8; 32];

/// An invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invite {
    /// SHA-256 of the secret.
    pub hash: InviteHash,
    /// Registrations it still allows.
    pub uses: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Timestamp,
    /// Who registers with it is an operator of this relay.
    pub admin: bool,
}
