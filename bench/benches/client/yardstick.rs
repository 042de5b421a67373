//! What a message must cost: the ratchet alone, and the sum of ratchet, sealed envelope and one transaction of an encrypted
//! database that is synchronised to disk.

use std::{convert::Infallible, path::Path, time::Instant};

use rand_core::{TryCryptoRng, TryRng};
use rusqlite::Connection;
use subrosa_crypto::{
    device::DeviceSecrets,
    prekeys::{PrekeySecret, generate_prekey},
    sealed,
    session::{LocalDevice, PeerDevice, PrekeySource, SessionRecord},
    verify::{bundle::PrekeyBundle, prekey::PrekeyKind},
};

use crate::{table::Table, usage::this_thread_ns};

const NOW: u64 = 1_760_000_000_000;
/// The padded length of a short message (R46).
const PADDED: [u8; 1_024] = [7; 1_024];
const ROUNDS: usize = 20_000;
const TRANSACTIONS: usize = 2_000;

/// CPU time of one message in ns.
pub(crate) struct Yardstick {
    pub(crate) encrypt_ns: f64,
    pub(crate) decrypt_ns: f64,
    seal_ns: f64,
    open_ns: f64,
    transaction_ns: f64,
    transactions_per_second: f64,
    /// Encrypting, sealing and one transaction.
    pub(crate) send_sum_ns: f64,
    /// Opening, decrypting and one transaction.
    pub(crate) receive_sum_ns: f64,
}

impl Yardstick {
    pub(crate) fn print(&self) {
        let mut table =
            Table::new("Yardsticks, one thread, CPU time (1,024 B padded)", &["", "ms/1,000", "1/s"]);
        for (what, ns) in [
            ("the ratchet alone: encrypt", self.encrypt_ns),
            ("the ratchet alone: decrypt", self.decrypt_ns),
            ("sealed envelope: seal", self.seal_ns),
            ("sealed envelope: open", self.open_ns),
            ("one SQLCipher transaction, one row, WAL, synchronous=FULL", self.transaction_ns),
            ("sum of sending: encrypt, seal, transaction", self.send_sum_ns),
            ("sum of receiving: open, decrypt, transaction", self.receive_sum_ns),
        ] {
            table.row(&[what.to_owned(), format!("{:.1}", ns / 1e3), format!("{:.0}", 1e9 / ns)]);
        }
        table.print();
        println!("\nSuch transactions a second by the clock: {:.0}", self.transactions_per_second);
    }
}

pub(crate) fn measure() -> Yardstick {
    let (mut alice, mut bob) = acquainted();
    let (at_alice, at_bob) = (alice.peer(), bob.peer());
    let mut messages = Vec::with_capacity(ROUNDS);
    let encrypt_ns = each(ROUNDS, |_| messages.push(alice.encrypt(&at_bob)));
    let decrypt_ns = each(ROUNDS, |at| bob.decrypt(&at_alice, &messages[at]));
    let entry = bob.secrets.entry(1, NOW);
    let mut envelopes = Vec::with_capacity(ROUNDS);
    let seal_ns = each(ROUNDS, |at| {
        let sealed =
            sealed::seal(&entry.sealing_key, "account", 1, "account", 1, &messages[at], &mut alice.rng);
        envelopes.push(sealed.unwrap());
    });
    let open_ns = each(ROUNDS, |at| drop(sealed::open(&bob.secrets, "account", 1, &envelopes[at]).unwrap()));
    let dir = tempfile::tempdir().unwrap();
    let connection = database(&dir.path().join("one.db"));
    let begun = Instant::now();
    let transaction_ns = each(TRANSACTIONS, |at| {
        let mut insert = connection.prepare_cached("INSERT INTO rows (envelope) VALUES (?1)").unwrap();
        insert.execute([&envelopes[at]]).unwrap();
    });
    let transactions_per_second = TRANSACTIONS as f64 / begun.elapsed().as_secs_f64();
    Yardstick {
        encrypt_ns,
        decrypt_ns,
        seal_ns,
        open_ns,
        transaction_ns,
        transactions_per_second,
        send_sum_ns: encrypt_ns + seal_ns + transaction_ns,
        receive_sum_ns: open_ns + decrypt_ns + transaction_ns,
    }
}

fn each(rounds: usize, mut work: impl FnMut(usize)) -> f64 {
    let before = this_thread_ns();
    for at in 0..rounds {
        work(at);
    }
    (this_thread_ns() - before) as f64 / rounds as f64
}

/// With the settings of a profile's store (R26).
fn database(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let key = "07".repeat(32);
    connection.execute_batch(&format!("PRAGMA key = \"x'{key}'\";")).unwrap();
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("secure_delete", "ON")] {
        connection.pragma_update(None, name, value).unwrap();
    }
    let cipher: String = connection.pragma_query_value(None, "cipher_version", |row| row.get(0)).unwrap();
    assert!(!cipher.is_empty(), "not encrypted");
    connection.execute_batch("CREATE TABLE rows (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL)").unwrap();
    connection
}

/// Fast and worthless as randomness.
struct BenchRng(u64);

impl TryRng for BenchRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.try_next_u64()? >> 32) as u32)
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

    fn encrypt(&mut self, peer: &PeerDevice<'_>) -> Vec<u8> {
        self.record.encrypt(&Self::local(&self.secrets), peer, &PADDED, NOW, &mut self.rng).unwrap()
    }

    fn decrypt(&mut self, peer: &PeerDevice<'_>, message: &[u8]) {
        let local = Self::local(&self.secrets);
        self.record.decrypt(&local, peer, message, &mut self.prekeys, NOW, &mut self.rng).unwrap();
    }
}

/// Two parties who have heard from each other.
fn acquainted() -> (Party, Party) {
    let ((mut alice, _), (mut bob, bundle)) = (Party::new(1), Party::new(2));
    let (at_alice, at_bob) = (alice.peer(), bob.peer());
    alice.record.initiate(&Party::local(&alice.secrets), &at_bob, &bundle, NOW, &mut alice.rng).unwrap();
    let message = alice.encrypt(&at_bob);
    bob.decrypt(&at_alice, &message);
    let message = bob.encrypt(&at_alice);
    alice.decrypt(&at_bob, &message);
    (alice, bob)
}
