//! The primitives that OpenMLS computes with: the ones this crate uses everywhere, instead of a second library of them.
//!
//! Two things come with that. Signatures are checked by the strict rules and all-zero Diffie-Hellman outputs are refused
//! (R11). And every random byte comes from one seed that the caller's generator gave to one operation, so that a
//! simulation replays from its number; that includes HPKE, which OpenMLS calls from several threads at once: its
//! randomness is derived from the seed and from what is sealed, not drawn in an order that threads decide.

use std::sync::{Mutex, PoisonError};

use chacha20::ChaCha20Rng;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use hpke::aead::ChaCha20Poly1305 as HpkeAead;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, setup_receiver};
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::random::OpenMlsRand;
use openmls_traits::types::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeAeadType, HpkeCiphertext, HpkeConfig,
    HpkeKdfType, HpkeKemType, HpkeKeyPair, KemOutput, SignatureScheme,
};
use rand_core::{CryptoRng, Rng, SeedableRng};
use sha2::{Digest, Sha256};
use shake::digest::{ExtendableOutput, Update, XofReader};
use subrosa_verify::keys::check_x25519;
use tls_codec::SecretVLBytes;
use zeroize::Zeroizing;

use super::suite::Suite;

/// Primitives and randomness of one operation.
pub struct Primitives {
    seed: Zeroizing<[u8; 32]>,
    rng: Mutex<ChaCha20Rng>,
}

/// Nothing of what it is asked can fail.
#[derive(Debug, thiserror::Error)]
pub enum NoRandomness {}

impl Primitives {
    /// Takes 64 bytes from `rng`.
    pub fn new(rng: &mut dyn CryptoRng) -> Self {
        let (mut seed, mut stream) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut *seed);
        rng.fill_bytes(&mut *stream);
        Self { seed, rng: Mutex::new(ChaCha20Rng::from_seed(*stream)) }
    }

    /// For checking what others made, which draws nothing.
    pub fn without_randomness() -> Self {
        Self { seed: Zeroizing::new([0; 32]), rng: Mutex::new(ChaCha20Rng::from_seed([0; 32])) }
    }

    /// Randomness of one encapsulation: of the seed and everything that is sealed. Two seals of this operation that draw
    /// the same are the same seal.
    fn encapsulation(&self, parts: &[&[u8]]) -> ChaCha20Rng {
        let mut hash = Sha256::new().chain_update(*self.seed);
        for part in parts {
            Digest::update(&mut hash, (part.len() as u64).to_le_bytes());
            Digest::update(&mut hash, part);
        }
        ChaCha20Rng::from_seed(hash.finalize().into())
    }
}

impl OpenMlsRand for Primitives {
    type Error = NoRandomness;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut out = [0; N];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        Ok(out)
    }

    fn random_vec(&self, len: usize) -> Result<Vec<u8>, NoRandomness> {
        let mut out = vec![0; len];
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut out);
        Ok(out)
    }
}

impl OpenMlsCrypto for Primitives {
    fn supports(&self, ciphersuite: Ciphersuite) -> Result<(), CryptoError> {
        Suite::from_mls(ciphersuite).map(drop).ok_or(CryptoError::UnsupportedCiphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        Suite::ALL.map(Suite::mls).to_vec()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        sha256_only(hash)?;
        let (prk, _) = Hkdf::<Sha256>::extract(Some(salt), ikm);
        Ok(prk.to_vec().into())
    }

    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes, CryptoError> {
        sha256_only(hash)?;
        let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| CryptoError::InvalidLength)?;
        Ok(Mac::chain_update(mac, message).finalize().into_bytes().to_vec().into())
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        len: usize,
    ) -> Result<SecretVLBytes, CryptoError> {
        sha256_only(hash)?;
        let mut out = vec![0; len];
        let hkdf = Hkdf::<Sha256>::from_prk(prk).map_err(|_| CryptoError::InvalidLength)?;
        hkdf.expand(info, &mut out).map_err(|_| CryptoError::HkdfOutputLengthInvalid)?;
        Ok(out.into())
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        sha256_only(hash)?;
        Ok(Sha256::digest(data).to_vec())
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let (cipher, nonce) = aead(alg, key, nonce)?;
        cipher.encrypt(&nonce.into(), Payload { msg: data, aad }).map_err(|_| CryptoError::CryptoLibraryError)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let (cipher, nonce) = aead(alg, key, nonce)?;
        cipher
            .decrypt(&nonce.into(), Payload { msg: sealed, aad })
            .map_err(|_| CryptoError::AeadDecryptionError)
    }

    /// Never: a leaf's signing key is its device's.
    fn signature_key_gen(&self, _: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if alg != SignatureScheme::ED25519 {
            return Err(CryptoError::UnsupportedSignatureScheme);
        }
        let key = key.try_into().map_err(|_| CryptoError::InvalidLength)?;
        let signature =
            ed25519_dalek::Signature::from_slice(signature).map_err(|_| CryptoError::InvalidLength)?;
        ed25519_dalek::VerifyingKey::from_bytes(key)
            .and_then(|key| key.verify_strict(data, &signature))
            .map_err(|_| CryptoError::InvalidSignature)
    }

    /// Never: signatures are made by the device's secrets, which are not handed out.
    fn sign(&self, _: SignatureScheme, _: &[u8], _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::UnsupportedSignatureScheme)
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        public: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<HpkeCiphertext, CryptoError> {
        let mut rng = self.encapsulation(&[public, info, aad, plaintext]);
        let (kem_output, ciphertext) = match kem(config)? {
            Suite::Classic => seal::<X25519HkdfSha256>(public, info, aad, plaintext, &mut rng),
            Suite::Hybrid => seal::<XWing>(public, info, aad, plaintext, &mut rng),
        }?;
        Ok(HpkeCiphertext { kem_output: kem_output.into(), ciphertext: ciphertext.into() })
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        secret: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let (enc, ciphertext) = (input.kem_output.as_slice(), input.ciphertext.as_slice());
        match kem(config)? {
            Suite::Classic => open::<X25519HkdfSha256>(enc, secret, info, aad, ciphertext),
            Suite::Hybrid => open::<XWing>(enc, secret, info, aad, ciphertext),
        }
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        public: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<(KemOutput, ExporterSecret), CryptoError> {
        let mut rng = self.encapsulation(&[public, info, context]);
        match kem(config)? {
            Suite::Classic => export_to::<X25519HkdfSha256>(public, info, context, len, &mut rng),
            Suite::Hybrid => export_to::<XWing>(public, info, context, len, &mut rng),
        }
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        secret: &[u8],
        info: &[u8],
        context: &[u8],
        len: usize,
    ) -> Result<ExporterSecret, CryptoError> {
        match kem(config)? {
            Suite::Classic => export_from::<X25519HkdfSha256>(enc, secret, info, context, len),
            Suite::Hybrid => export_from::<XWing>(enc, secret, info, context, len),
        }
    }

    /// RFC 9180, section 7.1.3, for X25519. For X-Wing the first 32 bytes of `SHAKE256(ikm)`, which is
    /// draft-connolly-cfrg-xwing-kem-06 and what OpenMLS's own primitives do; later drafts of HPKE put labels in.
    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair, CryptoError> {
        let (private, public) = match kem(config)? {
            Suite::Classic => {
                let (secret, public) = X25519HkdfSha256::derive_keypair(ikm);
                (Zeroizing::new(secret.to_bytes().to_vec()), public.to_bytes().to_vec())
            }
            Suite::Hybrid => {
                let mut seed = Zeroizing::new([0; 32]);
                let mut shake = shake::Shake256::default();
                shake.update(ikm);
                shake.finalize_xof().read(&mut *seed);
                let secret =
                    <XWing as Kem>::PrivateKey::from_bytes(&*seed).map_err(|_| CryptoError::InvalidLength)?;
                (Zeroizing::new(seed.to_vec()), XWing::sk_to_pk(&secret).to_bytes().to_vec())
            }
        };
        Ok(HpkeKeyPair { private: private.to_vec().into(), public })
    }
}

fn sha256_only(hash: HashType) -> Result<(), CryptoError> {
    if hash == HashType::Sha2_256 { Ok(()) } else { Err(CryptoError::UnsupportedHashAlgorithm) }
}

fn aead(alg: AeadType, key: &[u8], nonce: &[u8]) -> Result<(ChaCha20Poly1305, [u8; 12]), CryptoError> {
    if alg != AeadType::ChaCha20Poly1305 {
        return Err(CryptoError::UnsupportedAeadAlgorithm);
    }
    let cipher = ChaCha20Poly1305::new_from_slice(key).map_err(|_| CryptoError::InvalidLength)?;
    Ok((cipher, nonce.try_into().map_err(|_| CryptoError::InvalidLength)?))
}

fn kem(config: HpkeConfig) -> Result<Suite, CryptoError> {
    match config {
        HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::ChaCha20Poly1305) => {
            Ok(Suite::Classic)
        }
        HpkeConfig(HpkeKemType::XWingKemDraft6, HpkeKdfType::HkdfSha256, HpkeAeadType::ChaCha20Poly1305) => {
            Ok(Suite::Hybrid)
        }
        _ => Err(CryptoError::UnsupportedCiphersuite),
    }
}

/// A public key or encapsulation whose X25519 part, the last 32 bytes, is one that an honest device makes (R11).
fn strong(bytes: &[u8]) -> Result<&[u8], CryptoError> {
    let part = bytes.last_chunk::<32>().ok_or(CryptoError::InvalidLength)?;
    check_x25519(part).map(|()| bytes).map_err(|_| CryptoError::InvalidPublicKey)
}

fn seal<K: Kem>(
    public: &[u8],
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    let public = K::PublicKey::from_bytes(strong(public)?).map_err(|_| CryptoError::InvalidPublicKey)?;
    let sealed = hpke::single_shot_seal_with_rng::<HpkeAead, HkdfSha256, K>(
        &OpModeS::Base,
        &public,
        info,
        plaintext,
        aad,
        rng,
    );
    let (enc, ciphertext) = sealed.map_err(|_| CryptoError::HpkeEncryptionError)?;
    Ok((enc.to_bytes().to_vec(), ciphertext))
}

fn open<K: Kem>(
    enc: &[u8],
    secret: &[u8],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let enc = K::EncappedKey::from_bytes(strong(enc)?).map_err(|_| CryptoError::HpkeDecryptionError)?;
    let secret = K::PrivateKey::from_bytes(secret).map_err(|_| CryptoError::InvalidLength)?;
    hpke::single_shot_open::<HpkeAead, HkdfSha256, K>(&OpModeR::Base, &secret, &enc, info, ciphertext, aad)
        .map_err(|_| CryptoError::HpkeDecryptionError)
}

fn export_to<K: Kem>(
    public: &[u8],
    info: &[u8],
    context: &[u8],
    len: usize,
    rng: &mut impl CryptoRng,
) -> Result<(KemOutput, ExporterSecret), CryptoError> {
    let public = K::PublicKey::from_bytes(strong(public)?).map_err(|_| CryptoError::InvalidPublicKey)?;
    let (enc, sender) =
        hpke::setup_sender_with_rng::<HpkeAead, HkdfSha256, K>(&OpModeS::Base, &public, info, rng)
            .map_err(|_| CryptoError::SenderSetupError)?;
    let mut secret = vec![0; len];
    sender.export(context, &mut secret).map_err(|_| CryptoError::ExporterError)?;
    Ok((enc.to_bytes().to_vec(), secret.into()))
}

fn export_from<K: Kem>(
    enc: &[u8],
    secret: &[u8],
    info: &[u8],
    context: &[u8],
    len: usize,
) -> Result<ExporterSecret, CryptoError> {
    let enc = K::EncappedKey::from_bytes(strong(enc)?).map_err(|_| CryptoError::ReceiverSetupError)?;
    let secret = K::PrivateKey::from_bytes(secret).map_err(|_| CryptoError::InvalidLength)?;
    let receiver = setup_receiver::<HpkeAead, HkdfSha256, K>(&OpModeR::Base, &secret, &enc, info)
        .map_err(|_| CryptoError::ReceiverSetupError)?;
    let mut out = vec![0; len];
    receiver.export(context, &mut out).map_err(|_| CryptoError::ExporterError)?;
    Ok(out.into())
}
