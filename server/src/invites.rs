//! Making invites: a secret that is shown once, of which the relay keeps a hash.

use subrosa_protocol::{InviteSecret, JoinLink, RelayAddress};

use crate::{
    core::Core,
    handlers::register::invite_hash,
    limits::{INVITE_TTL_MAX_S, INVITE_USES},
    random,
    store::{Invite, StoreError, Timestamp},
};

/// Why there is no invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Uses or lifetime are out of range.
    #[error("an invite has 1 to {INVITE_USES} uses and lives for 1 second to 365 days")]
    Range,
    /// The relay has no room on its disk.
    #[error("the relay has no room on its disk and accepts nothing new")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An invite that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeInvite {
    /// What to hand out.
    pub link: JoinLink,
    /// Registrations it allows.
    pub uses: u32,
    /// When it ends, milliseconds since 1970.
    pub expires_at: Timestamp,
}

/// Makes an invite that is durable when this returns.
pub(crate) async fn make(
    core: &Core,
    relay: RelayAddress,
    uses: u32,
    ttl_s: u64,
    admin: bool,
) -> Result<MadeInvite, InviteError> {
    if !(1..=INVITE_USES).contains(&uses) || !(1..=INVITE_TTL_MAX_S).contains(&ttl_s) {
        return Err(InviteError::Range);
    }
    if !core.accepts_writes() {
        return Err(InviteError::Full);
    }
    let secret = random::bytes();
    let created_at = core.now();
    let expires_at = created_at.saturating_add(ttl_s.saturating_mul(1000));
    let invite = Invite { hash: invite_hash(&secret), uses, created_at, expires_at, admin };
    if !core.store.create_invite(invite).await? {
        return Err(StoreError::Failed("128 random bits came twice".to_owned()).into());
    }
    Ok(MadeInvite { link: JoinLink { relay, invite: Some(InviteSecret(secret)) }, uses, expires_at })
}
