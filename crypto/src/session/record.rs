use std::collections::VecDeque;

use rand_core::CryptoRng;
use subrosa_verify::bundle::PrekeyBundle;
use subrosa_verify::prekey::PrekeyKind;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::message::{SESSION_ID_LEN, SessionMessage, SessionName};
use super::prekey_source::PrekeySource;
use super::state::{Order, Session};
use crate::pqxdh::{self, InitialParams, LocalDevice, PeerDevice, parties_hash};
use crate::ratchet::limits::{ARCHIVED_SESSION_LIFETIME_MS, MAX_ARCHIVED_SESSIONS, MAX_PLAINTEXT};

/// All sessions with one device of a peer: at most one active, in which is sent, and at most 10 archived, in which
/// messages still arrive.
///
/// Every method that fails leaves the record as it was, to the byte (R16). The caller stores the record after each
/// success, in one transaction with what it got.
#[derive(Default)]
pub struct SessionRecord {
    pub(super) active: Option<Session>,
    /// Newest archived first.
    pub(super) archived: VecDeque<Session>,
}

/// A decrypted message and what the caller commits with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Decrypted {
    /// As it was given to `encrypt`.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The one-time X25519 prekey that this message used up: delete its secret.
    pub consumed_one_time: Option<u32>,
    /// The one-time ML-KEM-768 prekey that this message used up: delete its secret.
    pub consumed_kem: Option<u32>,
    /// Whether this message opened a session.
    pub new_session: bool,
    /// The base key of the session it opened: keep it for 60 days for [`PrekeySource::base_key_seen`].
    pub base_key: Option<[u8; 32]>,
}

impl SessionRecord {
    /// No session yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is a session to send in.
    pub fn has_active(&self) -> bool {
        self.active.is_some()
    }

    /// Opens a session from a bundle that the caller verified and makes it the active one; the one before is archived.
    /// `now` in ms since the epoch.
    pub fn initiate(
        &mut self,
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        bundle: &PrekeyBundle,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SessionError> {
        let after_all = self.sessions().map(|session| session.order.created_at.saturating_add(1)).max();
        let created_at = now.max(after_all.unwrap_or(0));
        let session = Session::initiate(local, peer, bundle, created_at, now, rng)?;
        self.activate(session);
        Ok(())
    }

    /// Encrypts at most 65,536 bytes in the active session. The caller commits record and message before it sends
    /// the message, and repeats the same bytes when it must (R21).
    pub fn encrypt(
        &mut self,
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        plaintext: &[u8],
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SessionError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SessionError::TooLong);
        }
        let parties = parties_hash(&local.public(), peer);
        let active = self.active.as_mut().filter(|session| session.parties == parties);
        active.ok_or(SessionError::NoSession)?.encrypt(plaintext, now, rng)
    }

    /// Decrypts a message of the session that it names, or opens the session that it carries.
    ///
    /// Which session is active afterwards:
    /// - A session that is new to this device becomes active, always: whoever opened it can read what is sent in it.
    /// - An archived session becomes active when it comes later in the order than the active one: then its sender has
    ///   it, and may not take up ours. A message of an earlier session never brings that one back.
    /// - After [`SessionRecord::archive_active`] only a new session becomes active.
    ///
    /// The order is by time of creation, then by base key, the same at both sides. Two devices that send in different
    /// sessions therefore send in the same one as soon as one of them hears from the other in the later one.
    pub fn decrypt(
        &mut self,
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        message: &[u8],
        prekeys: &mut dyn PrekeySource,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Decrypted, SessionError> {
        let message = SessionMessage::parse(message)?;
        let parties = parties_hash(&local.public(), peer);
        match &message.session {
            SessionName::Known(id) => self.decrypt_known(
                |session| session.id == *id && session.parties == parties,
                &message,
                now,
                rng,
            ),
            SessionName::Initial(params) => {
                let opened = |session: &Session| {
                    session.was_opened_with(&params.base_key) && session.parties == parties
                };
                if self.sessions().any(opened) {
                    self.decrypt_known(opened, &message, now, rng)
                } else {
                    self.decrypt_new(local, peer, params, &message, prekeys, now, rng)
                }
            }
        }
    }

    /// Archives the active session, so that the next message needs a new one: the session no longer works.
    pub fn archive_active(&mut self) {
        if let Some(session) = self.active.take() {
            self.archive(session);
        }
    }

    /// Drops what is too old at `now` (ms since the epoch): skipped keys after 30 days, archived sessions 60 days after
    /// their last use; and archives an active session that was never answered and whose prekeys have expired.
    pub fn expire(&mut self, now: u64) {
        let stale =
            |session: &Session| session.unanswered().is_some_and(|unanswered| now >= unanswered.expires_at);
        if self.active.as_ref().is_some_and(stale) {
            self.archive_active();
        }
        self.archived.retain(|session| now.saturating_sub(session.used_at) <= ARCHIVED_SESSION_LIFETIME_MS);
        for session in self.active.iter_mut().chain(&mut self.archived) {
            session.ratchet.expire(now);
        }
    }

    fn decrypt_known(
        &mut self,
        is_named: impl Fn(&Session) -> bool,
        message: &SessionMessage<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Decrypted, SessionError> {
        let session = self.sessions_mut().find(|session| is_named(session)).ok_or(SessionError::NoSession)?;
        let plaintext = session.decrypt(message, now, rng)?;
        let order = session.order;
        self.promote(order);
        Ok(Decrypted {
            plaintext,
            consumed_one_time: None,
            consumed_kem: None,
            new_session: false,
            base_key: None,
        })
    }

    #[allow(clippy::too_many_arguments, reason = "the second half of decrypt")]
    fn decrypt_new(
        &mut self,
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        params: &InitialParams,
        message: &SessionMessage<'_>,
        prekeys: &mut dyn PrekeySource,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Decrypted, SessionError> {
        if prekeys.base_key_seen(peer.account, peer.device_id, &params.base_key) {
            return Err(SessionError::Replay);
        }
        let unknown = |kind, id| SessionError::UnknownPrekey { kind, id };
        let id = params.signed_prekey_id;
        let signed = prekeys.signed(id).ok_or(unknown(PrekeyKind::SignedEc, id))?;
        let one_time = match params.one_time_id {
            Some(id) => Some(prekeys.one_time(id).ok_or(unknown(PrekeyKind::OneTimeEc, id))?),
            None => None,
        };
        let id = params.kem_id;
        let kem = prekeys.kem(id, params.kem_last_resort).ok_or(unknown(params.kem_kind(), id))?;
        let secrets = pqxdh::Responder { signed: &signed, one_time: one_time.as_ref(), kem: &kem };
        let mut session = Session::respond(local, peer, params, &secrets, now)?;
        let plaintext = session.decrypt(message, now, rng)?;
        self.activate(session);
        Ok(Decrypted {
            plaintext,
            consumed_one_time: params.one_time_id,
            consumed_kem: (!params.kem_last_resort).then_some(params.kem_id),
            new_session: true,
            base_key: Some(params.base_key),
        })
    }

    /// Makes the archived session of this order the active one when it comes later than the active one.
    fn promote(&mut self, order: Order) {
        if self.active.as_ref().is_none_or(|active| active.order >= order) {
            return;
        }
        let at = self.archived.iter().position(|session| session.order == order);
        if let Some(session) = at.and_then(|at| self.archived.remove(at)) {
            self.activate(session);
        }
    }

    fn activate(&mut self, session: Session) {
        if let Some(before) = self.active.replace(session) {
            self.archive(before);
        }
    }

    fn archive(&mut self, session: Session) {
        self.archived.push_front(session);
        self.archived.truncate(MAX_ARCHIVED_SESSIONS);
    }

    fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.active.iter().chain(&self.archived)
    }

    fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.active.iter_mut().chain(&mut self.archived)
    }

    /// The names of all sessions, the active one first; equal at both sides for sessions that both hold.
    pub(super) fn ids(&self) -> impl Iterator<Item = &[u8; SESSION_ID_LEN]> {
        self.sessions().map(|session| &session.id)
    }
}
