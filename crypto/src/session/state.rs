use rand_core::CryptoRng;
use subrosa_verify::bundle::PrekeyBundle;
use subrosa_verify::labels;
use zeroize::Zeroizing;

use super::error::SessionError;
use super::message::{self, SESSION_ID_LEN, SessionMessage};
use crate::kdf;
use crate::pqxdh::{self, Agreement, InitialParams, LocalDevice, PeerDevice};
use crate::prekeys::PrekeySecret;
use crate::ratchet::{Incoming, Ratchet, RootKey};

/// One session: a key agreement and the ratchet that runs from it.
pub(super) struct Session {
    /// Who opened it.
    pub(super) role: Role,
    /// The hash of the two devices it belongs to.
    pub(super) parties: [u8; 32],
    /// How its messages name it; known to the two devices only.
    pub(super) id: [u8; SESSION_ID_LEN],
    /// The hash of PQXDH's associated data.
    pub(super) transcript: [u8; 32],
    /// The place of the session among all sessions of the two devices.
    pub(super) order: Order,
    /// When it last encrypted or decrypted, ms since the epoch.
    pub(super) used_at: u64,
    pub(super) ratchet: Ratchet,
}

pub(super) enum Role {
    /// We opened it. What the peer needs to follow stands before each message until the first reply.
    Initiator { unanswered: Option<Unanswered> },
    /// The peer opened it.
    Responder,
}

pub(super) struct Unanswered {
    pub(super) params: InitialParams,
    /// When the first of the peer's prekeys expires, ms since the epoch: from then on he may not be able to follow.
    pub(super) expires_at: u64,
}

/// The order of all sessions of two devices, the same at both: by time of creation, then by base key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) created_at: u64,
    pub(super) base_key: [u8; 32],
}

impl Session {
    pub(super) fn initiate(
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        bundle: &PrekeyBundle,
        created_at: u64,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, SessionError> {
        let initiated = pqxdh::initiate(local, peer, bundle, created_at, rng)?;
        let signed_prekey =
            bundle.signed.key.first_chunk().ok_or(SessionError::InvalidPrekey("signed prekey"))?;
        let (root, id, transcript) = start(&initiated.agreement);
        let one_time_expiry = bundle.one_time.as_ref().map_or(u64::MAX, |prekey| prekey.expires_at);
        let expires_at = bundle.signed.expires_at.min(bundle.kem.expires_at).min(one_time_expiry);
        let order = Order { created_at, base_key: initiated.params.base_key };
        let unanswered = Some(Unanswered { params: initiated.params, expires_at });
        let ratchet = Ratchet::initiator(root, signed_prekey, rng)?;
        let parties = pqxdh::parties_hash(&local.public(), peer);
        Ok(Self {
            role: Role::Initiator { unanswered },
            parties,
            id,
            transcript,
            order,
            used_at: now,
            ratchet,
        })
    }

    /// The session that `params` open, before its first message is decrypted.
    pub(super) fn respond(
        local: &LocalDevice<'_>,
        peer: &PeerDevice<'_>,
        params: &InitialParams,
        prekeys: &pqxdh::Responder<'_>,
        now: u64,
    ) -> Result<Self, SessionError> {
        let agreement = pqxdh::respond(local, peer, params, prekeys)?;
        let signed = PrekeySecret::ec(prekeys.signed).ok_or(SessionError::InvalidPrekey("signed prekey"))?;
        let (root, id, transcript) = start(&agreement);
        let order = Order { created_at: params.created_at, base_key: params.base_key };
        let parties = pqxdh::parties_hash(&local.public(), peer);
        let ratchet = Ratchet::responder(root, signed);
        Ok(Self { role: Role::Responder, parties, id, transcript, order, used_at: now, ratchet })
    }

    pub(super) fn encrypt(
        &mut self,
        plaintext: &[u8],
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SessionError> {
        let start = match self.unanswered() {
            Some(unanswered) if now >= unanswered.expires_at => return Err(SessionError::NoSession),
            Some(unanswered) => message::initial(&unanswered.params),
            None => message::known(&self.id),
        };
        let message = self.ratchet.encrypt(&self.transcript, start, plaintext, rng)?;
        self.used_at = now;
        Ok(message)
    }

    /// The plaintext; the session changes only when there is one.
    pub(super) fn decrypt(
        &mut self,
        message: &SessionMessage<'_>,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let incoming = Incoming {
            transcript: &self.transcript,
            before: message.before,
            header: &message.header,
            ciphertext: message.ciphertext,
        };
        let plaintext = self.ratchet.decrypt(&incoming, now, rng)?;
        if let Role::Initiator { unanswered } = &mut self.role {
            *unanswered = None;
        }
        self.used_at = now;
        Ok(plaintext)
    }

    pub(super) fn unanswered(&self) -> Option<&Unanswered> {
        match &self.role {
            Role::Initiator { unanswered } => unanswered.as_ref(),
            Role::Responder => None,
        }
    }

    /// Whether the peer opened this session with `base_key`.
    pub(super) fn was_opened_with(&self, base_key: &[u8; 32]) -> bool {
        matches!(self.role, Role::Responder) && self.order.base_key == *base_key
    }
}

/// Root key and name of a session: the first 48 bytes of HKDF-SHA-256 with PQXDH's transcript hash as salt and `SK` as
/// input.
fn start(agreement: &Agreement) -> (RootKey, [u8; SESSION_ID_LEN], [u8; 32]) {
    let transcript = agreement.associated.transcript();
    let (root, id) =
        kdf::hkdf_key_and::<SESSION_ID_LEN>(&transcript, agreement.secret.as_bytes(), labels::KDF_SESSION);
    (RootKey::new(root), *id, transcript)
}
