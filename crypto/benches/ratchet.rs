//! What a message costs beside the sum of the primitives it is made of.
//!
//! `cargo bench -p subrosa-crypto --bench ratchet`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::convert::Infallible;

use divan::Bencher;
use rand_core::{TryCryptoRng, TryRng};
use subrosa_crypto::device::DeviceSecrets;
use subrosa_crypto::prekeys::{PrekeySecret, generate_prekey};
use subrosa_crypto::session::{LocalDevice, PeerDevice, PrekeySource, SessionRecord};
use subrosa_crypto::verify::bundle::PrekeyBundle;
use subrosa_crypto::verify::prekey::PrekeyKind;

const NOW: u64 = 1_760_000_000_000;
const TEXT: [u8; 1_024] = [7; 1_024];

fn main() {
    divan::main();
}

/// Fast and worthless as randomness.
struct BenchRng(u64);

impl TryRng for BenchRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for BenchRng {}

struct Party {
    secrets: DeviceSecrets,
    record: SessionRecord,
    prekeys: Prekeys,
    rng: BenchRng,
}

#[derive(Clone)]
struct Prekeys([PrekeySecret; 3]);

impl PrekeySource for Prekeys {
    fn signed(&mut self, _: u32) -> Option<PrekeySecret> {
        Some(self.0[0].clone())
    }

    fn one_time(&mut self, _: u32) -> Option<PrekeySecret> {
        Some(self.0[1].clone())
    }

    fn kem(&mut self, _: u32, _: bool) -> Option<PrekeySecret> {
        Some(self.0[2].clone())
    }

    fn base_key_seen(&mut self, _: &str, _: u32, _: &[u8; 32]) -> bool {
        false
    }
}

impl Party {
    fn new(seed: u64) -> (Self, PrekeyBundle) {
        let mut rng = BenchRng(seed);
        let secrets = DeviceSecrets::generate(&mut rng);
        let kinds = [PrekeyKind::SignedEc, PrekeyKind::OneTimeEc, PrekeyKind::OneTimeKem];
        let made = kinds.map(|kind| generate_prekey(kind, 1, &secrets, "account", 1, NOW, &mut rng));
        let [signed, one_time, kem] = made.clone().map(|(_, prekey)| prekey);
        let prekeys = Prekeys(made.map(|(secret, _)| secret));
        let bundle = PrekeyBundle { signed, one_time: Some(one_time), kem };
        (Self { secrets, record: SessionRecord::new(), prekeys, rng }, bundle)
    }

    fn local(secrets: &DeviceSecrets) -> LocalDevice<'_> {
        LocalDevice { account: "account", account_key: [1; 32], device_id: 1, secrets }
    }

    fn peer(&self) -> PeerDevice<'static> {
        PeerDevice { account: "account", ..Self::local(&self.secrets).public() }
    }

    fn initiate(&mut self, peer: &PeerDevice<'_>, bundle: &PrekeyBundle) {
        self.record.initiate(&Self::local(&self.secrets), peer, bundle, NOW, &mut self.rng).unwrap();
    }

    fn encrypt(&mut self, peer: &PeerDevice<'_>) -> Vec<u8> {
        self.record.encrypt(&Self::local(&self.secrets), peer, &TEXT, NOW, &mut self.rng).unwrap()
    }

    fn decrypt(&mut self, peer: &PeerDevice<'_>, message: &[u8]) {
        self.record
            .decrypt(&Self::local(&self.secrets), peer, message, &mut self.prekeys, NOW, &mut self.rng)
            .unwrap();
    }

    /// The record as it would be loaded again.
    fn copy(&self) -> SessionRecord {
        SessionRecord::from_bytes(&self.record.to_bytes()).unwrap()
    }
}

/// Two parties who have heard from each other.
fn acquainted() -> (Party, Party) {
    let ((mut alice, _), (mut bob, bundle)) = (Party::new(1), Party::new(2));
    let (at_alice, at_bob) = (alice.peer(), bob.peer());
    alice.initiate(&at_bob, &bundle);
    let message = alice.encrypt(&at_bob);
    bob.decrypt(&at_alice, &message);
    let message = bob.encrypt(&at_alice);
    alice.decrypt(&at_bob, &message);
    (alice, bob)
}

mod session {
    use super::*;

    #[divan::bench]
    fn encrypt_1k(bencher: Bencher) {
        let (mut alice, bob) = acquainted();
        let at_bob = bob.peer();
        bencher.bench_local(|| alice.encrypt(&at_bob));
    }

    #[divan::bench]
    fn decrypt_1k(bencher: Bencher) {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        bencher
            .with_inputs(|| alice.encrypt(&at_bob))
            .bench_local_values(|message| bob.decrypt(&at_alice, &message));
    }

    /// The first message of a new chain: two Diffie-Hellman computations and a new key pair.
    #[divan::bench]
    fn decrypt_1k_with_dh_step(bencher: Bencher) {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let message = alice.encrypt(&at_bob);
        let before = bob.copy();
        let bytes = before.to_bytes();
        bencher.with_inputs(|| SessionRecord::from_bytes(&bytes).unwrap()).bench_local_values(|record| {
            bob.record = record;
            bob.decrypt(&at_alice, &message);
        });
    }

    #[divan::bench]
    fn pqxdh_initiate(bencher: Bencher) {
        let ((mut alice, _), (bob, bundle)) = (Party::new(1), Party::new(2));
        let at_bob = bob.peer();
        bencher.with_inputs(SessionRecord::new).bench_local_values(|record| {
            alice.record = record;
            alice.initiate(&at_bob, &bundle);
        });
    }

    /// The initial message: agreement, session and first decryption.
    #[divan::bench]
    fn pqxdh_respond_and_decrypt_1k(bencher: Bencher) {
        let ((mut alice, _), (mut bob, bundle)) = (Party::new(1), Party::new(2));
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        alice.initiate(&at_bob, &bundle);
        let message = alice.encrypt(&at_bob);
        bencher.with_inputs(SessionRecord::new).bench_local_values(|record| {
            bob.record = record;
            bob.decrypt(&at_alice, &message);
        });
    }

    /// R18: at most 50 ms.
    #[divan::bench]
    fn jump_of_1000(bencher: Bencher) {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let message = (0..=1_000).map(|_| alice.encrypt(&at_bob)).last().unwrap();
        let bytes = bob.record.to_bytes();
        bencher.with_inputs(|| SessionRecord::from_bytes(&bytes).unwrap()).bench_local_values(|record| {
            bob.record = record;
            bob.decrypt(&at_alice, &message);
        });
    }

    /// R18: at most 2 ms, here for a message that names a session and is forged.
    #[divan::bench]
    fn forged(bencher: Bencher) {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let mut message = alice.encrypt(&at_bob);
        *message.last_mut().unwrap() ^= 1;
        bencher.bench_local(|| {
            let local = Party::local(&bob.secrets);
            bob.record.decrypt(&local, &at_alice, &message, &mut bob.prekeys, NOW, &mut bob.rng).is_err()
        });
    }

    #[divan::bench]
    fn store_and_load(bencher: Bencher) {
        let (alice, _) = acquainted();
        bencher.bench_local(|| alice.copy());
    }
}

/// What the figures above are made of.
mod primitives {
    use chacha20poly1305::ChaCha20Poly1305;
    use chacha20poly1305::aead::{Aead, KeyInit, Payload};
    use hmac::{Hmac, Mac};
    use ml_kem::DecapsulationKey768;
    use ml_kem::kem::{Decapsulate, Encapsulate};
    use sha2::Sha256;
    use subrosa_crypto::dh::SecretKey;

    use super::*;

    #[divan::bench]
    fn chacha20poly1305_1k() -> Vec<u8> {
        let cipher = ChaCha20Poly1305::new(&[7; 32].into());
        cipher.encrypt(&[1; 12].into(), Payload { msg: &TEXT, aad: &[0; 140] }).unwrap()
    }

    #[divan::bench]
    fn hmac_twice() -> [[u8; 32]; 2] {
        [1, 2].map(|byte| {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&[7; 32]).unwrap();
            mac.update(&[byte; 26]);
            mac.finalize().into_bytes().into()
        })
    }

    #[divan::bench]
    fn hkdf_64() -> [u8; 64] {
        let mut out = [0; 64];
        hkdf::Hkdf::<Sha256>::new(Some(&[1; 16]), &[7; 32]).expand(&[2; 26], &mut out).unwrap();
        out
    }

    #[divan::bench]
    fn x25519_public() -> [u8; 32] {
        SecretKey::from_bytes(&[7; 32]).public()
    }

    #[divan::bench]
    fn x25519_agree(bencher: Bencher) {
        let (secret, theirs) = (SecretKey::from_bytes(&[7; 32]), SecretKey::from_bytes(&[8; 32]).public());
        bencher.bench_local(|| secret.agree(&theirs).unwrap());
    }

    #[divan::bench]
    fn ml_kem_768_from_seed() -> DecapsulationKey768 {
        DecapsulationKey768::from_seed([7; 64].into())
    }

    #[divan::bench]
    fn ml_kem_768_encapsulate(bencher: Bencher) {
        let secret = DecapsulationKey768::from_seed([7; 64].into());
        let mut rng = BenchRng(3);
        bencher.bench_local(|| secret.encapsulation_key().encapsulate_with_rng(&mut rng));
    }

    #[divan::bench]
    fn ml_kem_768_decapsulate(bencher: Bencher) {
        let secret = DecapsulationKey768::from_seed([7; 64].into());
        let (ciphertext, _) = secret.encapsulation_key().encapsulate_with_rng(&mut BenchRng(3));
        bencher.bench_local(|| secret.decapsulate(&ciphertext));
    }
}
