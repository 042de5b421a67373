use ml_kem::EncapsulationKey768;
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport};
use rand_core::CryptoRng;
use subrosa_verify::bundle::PrekeyBundle;
use subrosa_verify::labels;
use subrosa_verify::prekey::{Prekey, PrekeyKind};
use zeroize::Zeroizing;

use super::associated_data::{AgreedKeys, AssociatedData, Roles};
use super::initial::InitialParams;
use super::party::{LocalDevice, PeerDevice};
use crate::dh::{DhOutput, NonContributory, SecretKey};
use crate::kdf::{self, Key32};
use crate::prekeys::PrekeySecret;

/// Why two devices do not agree on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PqxdhError {
    /// A public key of the other side is of low order or not canonical (R11).
    #[error(transparent)]
    NonContributory(#[from] NonContributory),
    /// A prekey is missing, of another kind, or no valid key of its kind: there is no fallback (R12).
    #[error("there is no valid {0}")]
    Key(&'static str),
}

/// The shared secret `SK`, 32 bytes, erased on drop.
pub struct SharedSecret(pub(crate) Key32);

impl SharedSecret {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// What both sides hold in the end.
pub struct Agreement {
    /// `SK`.
    pub secret: SharedSecret,
    /// `AD`.
    pub associated: AssociatedData,
}

/// What the initiator holds in the end.
pub struct Initiated {
    /// The same as at the responder.
    pub agreement: Agreement,
    /// What the responder needs to get there.
    pub params: InitialParams,
}

/// The secrets of the prekeys that an initial message names.
pub struct Responder<'a> {
    /// Of the signed X25519 prekey.
    pub signed: &'a PrekeySecret,
    /// Of the one-time X25519 prekey, exactly when one was used.
    pub one_time: Option<&'a PrekeySecret>,
    /// Of the ML-KEM-768 prekey.
    pub kem: &'a PrekeySecret,
}

/// The initiator's side (PQXDH, section 3.3). `bundle` has been verified by the caller ([`PrekeyBundle::verify`]);
/// `created_at` goes into [`InitialParams::created_at`].
pub fn initiate(
    local: &LocalDevice<'_>,
    peer: &PeerDevice<'_>,
    bundle: &PrekeyBundle,
    created_at: u64,
    rng: &mut impl CryptoRng,
) -> Result<Initiated, PqxdhError> {
    let signed = ec_key(&bundle.signed, PrekeyKind::SignedEc, "signed prekey")?;
    let one_time = match &bundle.one_time {
        Some(prekey) => Some(ec_key(prekey, PrekeyKind::OneTimeEc, "one-time prekey")?),
        None => None,
    };
    if !bundle.kem.kind.is_kem() {
        return Err(PqxdhError::Key("KEM prekey"));
    }
    let encapsulation = kem_key(&bundle.kem.key).ok_or(PqxdhError::Key("KEM prekey"))?;

    let ephemeral = SecretKey::generate(rng);
    let identity = local.secrets.identity();
    let dh1 = identity.agree(signed)?;
    let dh2 = ephemeral.agree(&peer.identity_key)?;
    let dh3 = ephemeral.agree(signed)?;
    let dh4 = one_time.map(|one_time| ephemeral.agree(one_time)).transpose()?;
    let (ciphertext, kem_secret) = encapsulation.encapsulate_with_rng(rng);
    let kem_secret = Zeroizing::new(kem_secret);

    let params = InitialParams {
        base_key: ephemeral.public(),
        created_at,
        signed_prekey_id: bundle.signed.key_id,
        one_time_id: bundle.one_time.as_ref().map(|prekey| prekey.key_id),
        kem_id: bundle.kem.key_id,
        kem_last_resort: bundle.kem.kind == PrekeyKind::LastResortKem,
        kem_ciphertext: Box::new(ciphertext.into()),
    };
    let roles = Roles { initiator: local.public(), responder: *peer };
    let keys = AgreedKeys { signed, one_time, kem: &bundle.kem.key };
    let associated = AssociatedData::new(&roles, &params, &keys);
    let secret = shared_secret([&dh1, &dh2, &dh3], dh4.as_ref(), &kem_secret);
    Ok(Initiated { agreement: Agreement { secret, associated }, params })
}

/// The responder's side (PQXDH, section 3.4). A wrong key or ciphertext is not noticed here but by the first message,
/// which then does not authenticate.
pub fn respond(
    local: &LocalDevice<'_>,
    peer: &PeerDevice<'_>,
    params: &InitialParams,
    prekeys: &Responder<'_>,
) -> Result<Agreement, PqxdhError> {
    let signed =
        secret(prekeys.signed, PrekeyKind::SignedEc, params.signed_prekey_id).and_then(PrekeySecret::ec);
    let signed = signed.ok_or(PqxdhError::Key("signed prekey"))?;
    let one_time = match (prekeys.one_time, params.one_time_id) {
        (None, None) => None,
        (Some(prekey), Some(id)) => {
            let one_time = secret(prekey, PrekeyKind::OneTimeEc, id).and_then(PrekeySecret::ec);
            Some(one_time.ok_or(PqxdhError::Key("one-time prekey"))?)
        }
        _ => return Err(PqxdhError::Key("one-time prekey")),
    };
    let kem = secret(prekeys.kem, params.kem_kind(), params.kem_id).and_then(PrekeySecret::kem);
    let kem = kem.ok_or(PqxdhError::Key("KEM prekey"))?;

    let dh1 = signed.agree(&peer.identity_key)?;
    let dh2 = local.secrets.identity().agree(&params.base_key)?;
    let dh3 = signed.agree(&params.base_key)?;
    let dh4 = one_time.as_ref().map(|one_time| one_time.agree(&params.base_key)).transpose()?;
    let kem_secret = Zeroizing::new(kem.decapsulate(params.kem_ciphertext.as_ref().into()));

    let roles = Roles { initiator: *peer, responder: local.public() };
    let one_time = one_time.map(|one_time| one_time.public());
    let kem_key = kem.encapsulation_key().to_bytes();
    let keys = AgreedKeys { signed: &signed.public(), one_time: one_time.as_ref(), kem: &kem_key };
    let associated = AssociatedData::new(&roles, params, &keys);
    let secret = shared_secret([&dh1, &dh2, &dh3], dh4.as_ref(), &kem_secret);
    Ok(Agreement { secret, associated })
}

/// `KDF(DH1 || DH2 || DH3 [|| DH4] || SS)`: HKDF-SHA-256 with 32 zero bytes as salt and 32 bytes 0xff before the
/// input, so that it is never the encoding of a key (PQXDH, section 2.2).
fn shared_secret(dh: [&DhOutput; 3], dh4: Option<&DhOutput>, kem_secret: &[u8]) -> SharedSecret {
    let mut input = Zeroizing::new(Vec::with_capacity(6 * 32));
    input.extend_from_slice(&[0xff; 32]);
    for output in dh.into_iter().chain(dh4) {
        input.extend_from_slice(output.as_bytes());
    }
    input.extend_from_slice(kem_secret);
    SharedSecret(kdf::hkdf_key(&[0; 32], &input, labels::KDF_PQXDH))
}

fn secret(prekey: &PrekeySecret, kind: PrekeyKind, id: u32) -> Option<&PrekeySecret> {
    (prekey.kind == kind && prekey.key_id == id).then_some(prekey)
}

fn ec_key<'a>(prekey: &'a Prekey, kind: PrekeyKind, name: &'static str) -> Result<&'a [u8; 32], PqxdhError> {
    prekey
        .key
        .first_chunk()
        .filter(|_| prekey.kind == kind && prekey.key.len() == 32)
        .ok_or(PqxdhError::Key(name))
}

fn kem_key(bytes: &[u8]) -> Option<EncapsulationKey768> {
    EncapsulationKey768::new(bytes.try_into().ok()?).ok()
}
