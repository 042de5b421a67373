//! What a session and a message cost, beside vodozemac's Olm and beside the sum of the primitives they are made of.
//!
//! `cargo bench -p subrosa-bench --bench ratchet`; `SUBROSA_BENCH_ROUNDS` sets how often everything is measured (default
//! 101). Every round measures ours, theirs and the primitives one after the other in CPU time, so that a slower moment of
//! the machine hits all three; a ratio is the median of the rounds' ratios.
//!
//! Like with like: 1,024 bytes of plaintext, bytes out and bytes in, no base64, no store. What differs and is ours: a salt
//! of 16 random bytes a message (R20), PQXDH's ML-KEM-768 and fourth Diffie-Hellman. Olm computes one of its two
//! Diffie-Hellman a turn when it encrypts, ours both when it decrypts: only the whole turn compares.
//! Olm: AES-256-CBC and an HMAC of 8 bytes, 3DH. Ours: ChaCha20-Poly1305.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{convert::Infallible, hint::black_box};

use rand_core::{TryCryptoRng, TryRng};
use rustix::time::{ClockId, clock_gettime};
use subrosa_bench::report::{Row, Table};
use subrosa_crypto::{
    device::DeviceSecrets,
    prekeys::{PrekeySecret, generate_prekey},
    sealed,
    session::{LocalDevice, PeerDevice, PrekeySource, SessionRecord},
    verify::{bundle::PrekeyBundle, prekey::PrekeyKind},
};
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

const NOW: u64 = 1_760_000_000_000;
const TEXT: [u8; 1_024] = [7; 1_024];

fn main() {
    let rounds = std::env::var("SUBROSA_BENCH_ROUNDS").map_or(101, |rounds| rounds.parse().unwrap());
    let mut messages = Table::new("Messages of 1 KiB");
    let pairs: [(&str, usize, [Prepare; 3], bool); 4] = [
        ("encrypt", 64, [ours::encrypt, theirs::encrypt, primitives::encrypt], false),
        ("decrypt", 64, [ours::decrypt, theirs::decrypt, primitives::decrypt], false),
        ("encrypt and decrypt", 64, [ours::both, theirs::both, primitives::both], true),
        ("encrypt and decrypt with a DH step", 8, [ours::turn, theirs::turn, primitives::turn], false),
    ];
    for (what, batch, [ours, theirs, primitives], not_slower) in pairs {
        messages.row(compare(what, rounds, batch, ours, theirs, primitives).row(not_slower, Some(1.3)));
    }
    messages.note(
        "Olm computes the public half of its ratchet key anew for each message that it encrypts. It decrypts faster: AES has \
         instructions of its own, and ours checks whose session it is and derives the message's key with its salt. \
         \"Encrypt and decrypt\" is what a message costs without a DH step.",
    );
    let mut sessions = Table::new("Sessions");
    let open =
        compare("open from a bundle", rounds, 4, ours::initiate, theirs::initiate, primitives::initiate);
    sessions.row(open.row(false, Some(1.3)));
    let answer = compare(
        "take up with a first message",
        rounds,
        4,
        ours::respond,
        theirs::respond,
        primitives::respond,
    );
    sessions.row(answer.row(false, Some(1.3)));
    sessions.note("Olm's 3DH has no ML-KEM and one Diffie-Hellman less: its column is for orientation.");
    let mut ours_alone = Table::new("Ours alone");
    ours_alone.row(alone("seal an envelope of 1 KiB (HPKE)", rounds, 8, ours::seal, primitives::seal));
    ours_alone.row(alone("open it", rounds, 8, ours::open, primitives::open));
    ours_alone.row(limit("refuse a forged message (R18)", rounds, 16, ours::forged, 2_000_000.0, "2 ms"));
    ours_alone.row(limit(
        "a jump over 1,000 messages (R18)",
        rounds.min(21),
        1,
        ours::jump,
        50_000_000.0,
        "50 ms",
    ));
    ours_alone.row(limit("store and load a record", rounds, 32, ours::store_and_load, f64::MAX, ""));
    for table in [&messages, &sessions, &ours_alone] {
        table.print();
    }
    let (missed, goals) = [messages, sessions, ours_alone]
        .iter()
        .map(Table::score)
        .fold((0, 0), |sum, score| (sum.0 + score.0, sum.1 + score.1));
    println!("{missed} of {goals} goals not met; {rounds} rounds");
}

// --- measuring -------------------------------------------------------------------------------------------------------

/// Prepares a batch; what it returns does the batch.
type Prepare = fn(usize) -> Box<dyn FnOnce()>;

/// Medians over the rounds, in ns, and the medians of the rounds' ratios.
struct Compared {
    what: &'static str,
    ours: f64,
    theirs: f64,
    primitives: f64,
    to_theirs: f64,
    to_primitives: f64,
}

fn time(prepare: Prepare, batch: usize) -> f64 {
    let run = prepare(batch);
    let started = cpu_time();
    run();
    (cpu_time() - started) / batch as f64
}

/// What this thread has computed so far, in ns: what others do on the machine does not count.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn compare(
    what: &'static str,
    rounds: usize,
    batch: usize,
    ours: Prepare,
    theirs: Prepare,
    primitives: Prepare,
) -> Compared {
    for prepare in [ours, theirs, primitives] {
        time(prepare, batch);
    }
    let measured: Vec<[f64; 3]> =
        (0..rounds).map(|_| [ours, theirs, primitives].map(|prepare| time(prepare, batch))).collect();
    let median_of = |value: fn(&[f64; 3]) -> f64| median(measured.iter().map(value).collect());
    Compared {
        what,
        ours: median_of(|round| round[0]),
        theirs: median_of(|round| round[1]),
        primitives: median_of(|round| round[2]),
        to_theirs: median_of(|round| round[0] / round[1]),
        to_primitives: median_of(|round| round[0] / round[2]),
    }
}

impl Compared {
    fn row(self, not_slower: bool, within: Option<f64>) -> Row {
        let theirs = format!("Olm {}, primitives {}", shown(self.theirs), shown(self.primitives));
        let yardstick = format!("{theirs} ({:.2} of them)", self.to_primitives);
        let mut row = Row::new(self.what, shown(self.ours)).beside(yardstick, self.to_theirs);
        if not_slower {
            row = row.goal("1.0 of Olm", self.to_theirs <= 1.0);
        }
        if let Some(within) = within {
            row = row.goal(&format!("{within:.1} of the primitives"), self.to_primitives <= within);
        }
        row
    }
}

fn alone(what: &'static str, rounds: usize, batch: usize, ours: Prepare, primitives: Prepare) -> Row {
    let Compared { ours, primitives, to_primitives, .. } =
        compare(what, rounds, batch, ours, primitives, primitives);
    Row::new(what, shown(ours)).beside(format!("primitives {}", shown(primitives)), to_primitives)
}

fn limit(what: &'static str, rounds: usize, batch: usize, ours: Prepare, most: f64, goal: &str) -> Row {
    time(ours, batch);
    let took = median((0..rounds).map(|_| time(ours, batch)).collect());
    let row = Row::new(what, shown(took));
    if goal.is_empty() { row } else { row.goal(goal, took <= most) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(ns: f64) -> String {
    if ns < 10_000.0 { format!("{:.2} µs", ns / 1e3) } else { format!("{:.1} µs", ns / 1e3) }
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

// --- ours ------------------------------------------------------------------------------------------------------------

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
        let local = Self::local(&self.secrets);
        let decrypted = self.record.decrypt(&local, peer, message, &mut self.prekeys, NOW, &mut self.rng);
        black_box(decrypted.unwrap().plaintext.len());
    }
}

mod ours {
    use super::*;

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

    pub(super) fn encrypt(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, bob) = acquainted();
        let at_bob = bob.peer();
        Box::new(move || (0..batch).for_each(|_| drop(black_box(alice.encrypt(&at_bob)))))
    }

    pub(super) fn decrypt(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        // The first message of a chain has the DH step.
        let first = alice.encrypt(&at_bob);
        bob.decrypt(&at_alice, &first);
        let messages: Vec<_> = (0..batch).map(|_| alice.encrypt(&at_bob)).collect();
        Box::new(move || messages.iter().for_each(|message| bob.decrypt(&at_alice, message)))
    }

    pub(super) fn both(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let first = alice.encrypt(&at_bob);
        bob.decrypt(&at_alice, &first);
        Box::new(move || {
            for _ in 0..batch {
                let message = alice.encrypt(&at_bob);
                bob.decrypt(&at_alice, &message);
            }
        })
    }

    pub(super) fn turn(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        Box::new(move || {
            for turn in 0..batch {
                if turn % 2 == 0 {
                    let message = alice.encrypt(&at_bob);
                    bob.decrypt(&at_alice, &message);
                } else {
                    let message = bob.encrypt(&at_alice);
                    alice.decrypt(&at_bob, &message);
                }
            }
        })
    }

    pub(super) fn initiate(batch: usize) -> Box<dyn FnOnce()> {
        let ((mut alice, _), (bob, bundle)) = (Party::new(1), Party::new(2));
        let at_bob = bob.peer();
        Box::new(move || {
            for _ in 0..batch {
                alice.record = SessionRecord::new();
                alice.initiate(&at_bob, &bundle);
            }
        })
    }

    pub(super) fn respond(batch: usize) -> Box<dyn FnOnce()> {
        let ((mut alice, _), (mut bob, bundle)) = (Party::new(1), Party::new(2));
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        alice.initiate(&at_bob, &bundle);
        let message = alice.encrypt(&at_bob);
        Box::new(move || {
            for _ in 0..batch {
                bob.record = SessionRecord::new();
                bob.decrypt(&at_alice, &message);
            }
        })
    }

    pub(super) fn seal(batch: usize) -> Box<dyn FnOnce()> {
        let ((_, _), (bob, _)) = (Party::new(1), Party::new(2));
        let key = bob.secrets.entry(1, 0).sealing_key;
        let mut rng = BenchRng(3);
        Box::new(move || {
            for _ in 0..batch {
                black_box(sealed::seal(&key, "account", 1, "account", 1, &TEXT, &mut rng).unwrap());
            }
        })
    }

    pub(super) fn open(batch: usize) -> Box<dyn FnOnce()> {
        let (bob, _) = Party::new(2);
        let key = bob.secrets.entry(1, 0).sealing_key;
        let envelope = sealed::seal(&key, "account", 1, "account", 1, &TEXT, &mut BenchRng(3)).unwrap();
        Box::new(move || {
            for _ in 0..batch {
                black_box(sealed::open(&bob.secrets, "account", 1, &envelope).unwrap());
            }
        })
    }

    pub(super) fn forged(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let mut message = alice.encrypt(&at_bob);
        *message.last_mut().unwrap() ^= 1;
        Box::new(move || {
            for _ in 0..batch {
                let local = Party::local(&bob.secrets);
                let outcome =
                    bob.record.decrypt(&local, &at_alice, &message, &mut bob.prekeys, NOW, &mut bob.rng);
                assert!(outcome.is_err());
            }
        })
    }

    pub(super) fn jump(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let (at_alice, at_bob) = (alice.peer(), bob.peer());
        let message = (0..=1_000).map(|_| alice.encrypt(&at_bob)).last().unwrap();
        let records: Vec<_> =
            (0..batch).map(|_| SessionRecord::from_bytes(&bob.record.to_bytes()).unwrap()).collect();
        Box::new(move || {
            for record in records {
                bob.record = record;
                bob.decrypt(&at_alice, &message);
            }
        })
    }

    pub(super) fn store_and_load(batch: usize) -> Box<dyn FnOnce()> {
        let (alice, _) = acquainted();
        Box::new(move || {
            for _ in 0..batch {
                black_box(SessionRecord::from_bytes(&alice.record.to_bytes()).unwrap());
            }
        })
    }
}

// --- vodozemac's Olm -------------------------------------------------------------------------------------------------

mod theirs {
    use super::*;

    fn config() -> SessionConfig {
        SessionConfig::version_1()
    }

    fn outbound() -> (Account, Account, Session) {
        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_one_time_keys(1);
        let one_time_key = *bob.one_time_keys().values().next().unwrap();
        let session = alice.create_outbound_session(config(), bob.curve25519_key(), one_time_key).unwrap();
        (alice, bob, session)
    }

    fn acquainted() -> (Session, Session) {
        let (alice, mut bob, mut at_alice) = outbound();
        let OlmMessage::PreKey(first) = at_alice.encrypt(TEXT).unwrap() else { panic!() };
        let mut at_bob =
            bob.create_inbound_session(config(), alice.curve25519_key(), &first).unwrap().session;
        let answer = at_bob.encrypt(TEXT).unwrap();
        at_alice.decrypt(&answer).unwrap();
        (at_alice, at_bob)
    }

    fn send(session: &mut Session) -> (usize, Vec<u8>) {
        session.encrypt(TEXT).unwrap().to_parts()
    }

    fn receive(session: &mut Session, (kind, bytes): &(usize, Vec<u8>)) {
        let message = OlmMessage::from_parts(*kind, bytes).unwrap();
        black_box(session.decrypt(&message).unwrap().len());
    }

    pub(super) fn encrypt(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, _) = acquainted();
        // The first message of a chain has the DH step.
        send(&mut alice);
        Box::new(move || (0..batch).for_each(|_| drop(black_box(send(&mut alice)))))
    }

    pub(super) fn decrypt(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let first = send(&mut alice);
        receive(&mut bob, &first);
        let messages: Vec<_> = (0..batch).map(|_| send(&mut alice)).collect();
        Box::new(move || messages.iter().for_each(|message| receive(&mut bob, message)))
    }

    pub(super) fn both(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        let first = send(&mut alice);
        receive(&mut bob, &first);
        Box::new(move || {
            for _ in 0..batch {
                let message = send(&mut alice);
                receive(&mut bob, &message);
            }
        })
    }

    pub(super) fn turn(batch: usize) -> Box<dyn FnOnce()> {
        let (mut alice, mut bob) = acquainted();
        Box::new(move || {
            for turn in 0..batch {
                let (from, to) = if turn % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
                let message = send(from);
                receive(to, &message);
            }
        })
    }

    pub(super) fn initiate(batch: usize) -> Box<dyn FnOnce()> {
        let (alice, bob, _) = outbound();
        let one_time_key = *bob.one_time_keys().values().next().unwrap();
        Box::new(move || {
            for _ in 0..batch {
                let session = alice.create_outbound_session(config(), bob.curve25519_key(), one_time_key);
                black_box(session.unwrap());
            }
        })
    }

    pub(super) fn respond(batch: usize) -> Box<dyn FnOnce()> {
        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_one_time_keys(batch);
        let keys: Vec<_> = bob.one_time_keys().values().copied().collect();
        let messages: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let mut session = alice.create_outbound_session(config(), bob.curve25519_key(), key).unwrap();
                let OlmMessage::PreKey(first) = session.encrypt(TEXT).unwrap() else { panic!() };
                first
            })
            .collect();
        let sender = alice.curve25519_key();
        Box::new(move || {
            for message in &messages {
                black_box(bob.create_inbound_session(config(), sender, message).unwrap().plaintext.len());
            }
        })
    }
}

// --- the primitives ----------------------------------------------------------------------------------------------------

/// What ours is made of, called as often and with inputs as long, on buffers that are there.
mod primitives {
    use chacha20poly1305::{
        ChaCha20Poly1305,
        aead::{Aead, KeyInit, Payload},
    };
    use hmac::{Hmac, Mac};
    use ml_kem::{
        DecapsulationKey768, EncapsulationKey768,
        kem::{Decapsulate, Encapsulate, KeyExport},
    };
    use sha2::{Digest, Sha256};
    use subrosa_crypto::dh::SecretKey;

    use super::*;

    /// Label, transcript and everything before the ciphertext.
    const ASSOCIATED: [u8; 140] = [3; 140];

    fn chain_step() {
        for byte in [1, 2] {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&[7; 32]).unwrap();
            mac.update(black_box(&[byte; 26]));
            black_box(mac.finalize().into_bytes());
        }
    }

    fn hkdf(salt: &[u8], len: usize) {
        let mut out = [0; 64];
        hkdf::Hkdf::<Sha256>::new(Some(black_box(salt)), &[7; 32]).expand(&[2; 26], &mut out[..len]).unwrap();
        black_box(out);
    }

    fn aead_seal() -> Vec<u8> {
        let cipher = ChaCha20Poly1305::new(&[7; 32].into());
        cipher.encrypt(&[1; 12].into(), Payload { msg: black_box(&TEXT), aad: &ASSOCIATED }).unwrap()
    }

    fn aead_open(sealed: &[u8]) {
        let cipher = ChaCha20Poly1305::new(&[7; 32].into());
        let opened = cipher.decrypt(&[1; 12].into(), Payload { msg: black_box(sealed), aad: &ASSOCIATED });
        black_box(opened.unwrap());
    }

    fn key_pair() -> [u8; 32] {
        black_box(SecretKey::from_bytes(black_box(&[7; 32])).public())
    }

    fn agree(secret: &SecretKey, public: &[u8; 32]) {
        black_box(black_box(secret).agree(black_box(public)).unwrap().as_bytes());
    }

    pub(super) fn encrypt(batch: usize) -> Box<dyn FnOnce()> {
        Box::new(move || {
            for _ in 0..batch {
                chain_step();
                hkdf(&[1; 16], 44);
                black_box(aead_seal());
            }
        })
    }

    pub(super) fn decrypt(batch: usize) -> Box<dyn FnOnce()> {
        let sealed = aead_seal();
        Box::new(move || {
            for _ in 0..batch {
                chain_step();
                hkdf(&[1; 16], 44);
                aead_open(&sealed);
            }
        })
    }

    pub(super) fn both(batch: usize) -> Box<dyn FnOnce()> {
        let sealed = aead_seal();
        Box::new(move || {
            for _ in 0..batch {
                for _ in 0..2 {
                    chain_step();
                    hkdf(&[1; 16], 44);
                }
                black_box(aead_seal());
                aead_open(&sealed);
            }
        })
    }

    pub(super) fn turn(batch: usize) -> Box<dyn FnOnce()> {
        let (secret, public, sealed) = (SecretKey::from_bytes(&[7; 32]), key_pair(), aead_seal());
        Box::new(move || {
            for _ in 0..batch {
                key_pair();
                for _ in 0..2 {
                    agree(&secret, &public);
                    hkdf(&[1; 32], 64);
                    chain_step();
                    hkdf(&[1; 16], 44);
                }
                black_box(aead_seal());
                aead_open(&sealed);
            }
        })
    }

    /// Two key pairs, five Diffie-Hellman, one encapsulation to a key in bytes, the hashes of what was agreed on.
    pub(super) fn initiate(batch: usize) -> Box<dyn FnOnce()> {
        let (secret, public) = (SecretKey::from_bytes(&[7; 32]), key_pair());
        let kem = DecapsulationKey768::from_seed([7; 64].into()).encapsulation_key().to_bytes();
        let mut rng = BenchRng(3);
        Box::new(move || {
            for _ in 0..batch {
                key_pair();
                key_pair();
                (0..5).for_each(|_| agree(&secret, &public));
                let key = EncapsulationKey768::new(&kem).unwrap();
                black_box(key.encapsulate_with_rng(&mut rng));
                agreed(&kem);
                hkdf(&[1; 32], 64);
            }
        })
    }

    /// The same from the other side, with the keys of the stored prekeys, and a first message with its DH step.
    pub(super) fn respond(batch: usize) -> Box<dyn FnOnce()> {
        let (secret, public, sealed) = (SecretKey::from_bytes(&[7; 32]), key_pair(), aead_seal());
        let kem = DecapsulationKey768::from_seed([7; 64].into());
        let (ciphertext, _) = kem.encapsulation_key().encapsulate_with_rng(&mut BenchRng(3));
        let public_kem = kem.encapsulation_key().to_bytes();
        Box::new(move || {
            for _ in 0..batch {
                // Signed and one-time prekey, and the new ratchet key.
                for _ in 0..3 {
                    key_pair();
                }
                (0..6).for_each(|_| agree(&secret, &public));
                let kem = DecapsulationKey768::from_seed(black_box([7; 64]).into());
                black_box(kem.decapsulate(&ciphertext));
                agreed(&public_kem);
                (0..3).for_each(|_| hkdf(&[1; 32], 64));
                chain_step();
                hkdf(&[1; 16], 44);
                aead_open(&sealed);
            }
        })
    }

    /// The hashes of KEM key, ciphertext and associated data, and the secret.
    fn agreed(kem: &[u8]) {
        black_box(Sha256::digest(black_box(kem)));
        black_box(Sha256::digest(black_box(&[1; 1_088])));
        black_box(Sha256::digest(black_box(&[1; 1_630])));
        hkdf(&[0; 32], 32);
        hkdf(&[1; 32], 48);
    }

    /// HPKE base mode: a key pair, one Diffie-Hellman, and its key schedule of some 7 HKDF calls.
    pub(super) fn seal(batch: usize) -> Box<dyn FnOnce()> {
        let (secret, public) = (SecretKey::from_bytes(&[7; 32]), key_pair());
        Box::new(move || {
            for _ in 0..batch {
                key_pair();
                agree(&secret, &public);
                (0..4).for_each(|_| hkdf(&[1; 32], 32));
                black_box(aead_seal());
            }
        })
    }

    pub(super) fn open(batch: usize) -> Box<dyn FnOnce()> {
        let (secret, public, sealed) = (SecretKey::from_bytes(&[7; 32]), key_pair(), aead_seal());
        Box::new(move || {
            for _ in 0..batch {
                // The recipient's public key is part of HPKE's context.
                key_pair();
                agree(&secret, &public);
                (0..4).for_each(|_| hkdf(&[1; 32], 32));
                aead_open(&sealed);
            }
        })
    }
}
