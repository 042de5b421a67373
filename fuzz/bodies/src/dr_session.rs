//! `dr_session`: two parties, any schedule of sends, deliveries and faults, then quiet.
//!
//! Input: a seed of 8 bytes, then events of one byte (the low bits say what, the high bit at whom) and what they need.
//!
//! - A message is displayed as it was written, at most once, whatever is repeated, altered, reflected or restored (I1, I2).
//! - In order and without lost state, every delivery succeeds.
//! - Whatever fails changes no byte of the record (R16); what is stored is read again as it was.
//! - No (key, nonce) pair repeats (I4, when built with the ledger).
//! - When the faults end, both heal, and then send in the same session.

use std::collections::{HashSet, VecDeque};

use subrosa_crypto::session::{SessionError, SessionRecord};

use crate::{
    party::{NOW, Party, devices},
    script::Script,
};

const MAX_EVENTS: usize = 80;
/// Sessions in one input: opening one is the dearest event.
const MAX_SESSIONS: u32 = 14;
/// More sessions than this may have lost an archived one that messages still come for.
const ORDERLY_SESSIONS: u32 = 8;
/// Rounds of one message each way in which both must have healed.
const ROUNDS: usize = 8;
const HOUR_MS: u64 = 3_600_000;
/// No prekey expires within this time.
const LONGEST: u64 = 29 * 24 * HOUR_MS;

/// Makes the devices.
pub fn prepare() {
    devices();
}

/// One input.
pub fn run(data: &[u8]) {
    #[cfg(feature = "ledger")]
    subrosa_crypto::ratchet::ledger::clear();
    let mut script = Script::new(data);
    let mut world = World::new(script.u64());
    for _ in 0..MAX_EVENTS {
        let Some(event) = script.next_byte() else { break };
        world.event(event, &mut script);
    }
    world.quiesce();
    #[cfg(feature = "ledger")]
    assert_eq!(subrosa_crypto::ratchet::ledger::repeats(), 0, "I4: a (key, nonce) pair was used twice");
}

struct World {
    parties: [Party; 2],
    /// What is on its way to each.
    wires: [VecDeque<Flying>; 2],
    /// What each was shown.
    displayed: [HashSet<u32>; 2],
    next_message: u32,
    now: u64,
    /// No message was overtaken and no state lost, so that every delivery must succeed.
    orderly: bool,
}

#[derive(Clone)]
struct Flying {
    number: u32,
    bytes: Vec<u8>,
}

impl World {
    fn new(seed: u64) -> Self {
        let [alice, bob] = devices();
        Self {
            parties: [Party::new(alice, seed), Party::new(bob, !seed)],
            wires: [VecDeque::new(), VecDeque::new()],
            displayed: [HashSet::new(), HashSet::new()],
            next_message: 0,
            now: NOW,
            orderly: true,
        }
    }

    fn event(&mut self, event: u8, script: &mut Script<'_>) {
        let at = usize::from(event >> 7);
        match event & 0x7f {
            0..24 => self.send(at),
            24..64 => {
                if let Some(flying) = self.wires[at].pop_front() {
                    self.deliver(at, &flying);
                }
            }
            64..72 => {
                let waiting = self.wires[at].len();
                if waiting > 0 {
                    let which = script.below(waiting);
                    self.orderly &= which == 0;
                    let flying = self.wires[at].remove(which).unwrap();
                    self.deliver(at, &flying);
                }
            }
            72..78 => drop(self.wires[at].pop_front()),
            78..86 => {
                // Doubled by the relay: now, and again whenever it comes.
                if let Some(flying) = self.wires[at].front().cloned() {
                    self.deliver(at, &flying);
                }
            }
            86..94 => self.deliver_altered(at, script),
            94..98 => self.store_and_load(at),
            98..102 if self.sessions() < MAX_SESSIONS => self.parties[at].record.archive_active(),
            98..102 => {}
            102..106 => {
                self.now = (self.now + u64::from(script.byte()) * HOUR_MS).min(NOW + LONGEST);
                for party in &mut self.parties {
                    party.record.expire(self.now);
                }
            }
            106..108 if self.sessions() < MAX_SESSIONS => {
                self.orderly = false;
                self.parties[at].record = SessionRecord::new();
            }
            108..112 => self.restore(at, script),
            112..116 => {
                // Back to who sent it.
                if let Some(flying) = self.wires[at].front().cloned() {
                    let peer = self.parties[at].device;
                    assert!(
                        self.parties[1 - at].receive(peer, &flying.bytes, self.now).is_err(),
                        "reflected"
                    );
                }
            }
            116..120 => {
                let garbage = script.take(80);
                let peer = self.parties[1 - at].device;
                assert!(self.parties[at].receive(peer, garbage, self.now).is_err(), "garbage");
            }
            _ => self.open(at),
        }
    }

    fn send(&mut self, from: usize) {
        self.next_message += 1;
        let number = self.next_message;
        let bytes = self.encrypt(from, number);
        self.wires[1 - from].push_back(Flying { number, bytes });
    }

    fn encrypt(&mut self, from: usize, number: u32) -> Vec<u8> {
        let text = text(number);
        let [alice, bob] = &mut self.parties;
        let (sender, peer) = if from == 0 { (alice, bob) } else { (bob, alice) };
        let bytes = sender.send(peer, &text, self.now);
        self.judge_order();
        bytes
    }

    /// Another session although there is one.
    fn open(&mut self, at: usize) {
        if self.sessions() >= MAX_SESSIONS {
            return;
        }
        let [alice, bob] = &mut self.parties;
        let (one, other) = if at == 0 { (alice, bob) } else { (bob, alice) };
        one.initiate(other, self.now);
        self.judge_order();
    }

    fn judge_order(&mut self) {
        self.orderly &= self.sessions() <= ORDERLY_SESSIONS;
    }

    fn sessions(&self) -> u32 {
        self.parties.iter().map(|party| party.next_bundle - 1).sum()
    }

    fn deliver(&mut self, at: usize, flying: &Flying) {
        let peer = self.parties[1 - at].device;
        let repeated = self.displayed[at].contains(&flying.number);
        match self.parties[at].receive(peer, &flying.bytes, self.now) {
            Ok(decrypted) => {
                assert!(!repeated, "I2: message {} is displayed twice", flying.number);
                assert_eq!(*decrypted.plaintext, text(flying.number), "I1: displayed as it was written");
                self.displayed[at].insert(flying.number);
            }
            Err(error) => {
                assert!(repeated || !self.orderly, "message {}: {error}", flying.number);
                let known = matches!(
                    error,
                    SessionError::Duplicate
                        | SessionError::NoSession
                        | SessionError::Replay
                        | SessionError::UnknownPrekey { .. }
                        | SessionError::Corrupt
                );
                assert!(known, "an honest message fails by {error}");
            }
        }
    }

    fn deliver_altered(&mut self, at: usize, script: &mut Script<'_>) {
        let Some(flying) = self.wires[at].front() else { return };
        let mut bytes = flying.bytes.clone();
        match script.byte() {
            0..=200 => {
                let place = script.below(bytes.len());
                bytes[place] ^= script.byte().max(1);
            }
            201..=225 => bytes.truncate(script.below(bytes.len())),
            _ => bytes.extend_from_slice(&[script.byte(); 3]),
        }
        let peer = self.parties[1 - at].device;
        let received = self.parties[at].receive(peer, &bytes, self.now);
        assert!(received.is_err(), "an altered message is displayed");
    }

    fn store_and_load(&mut self, at: usize) {
        let record = &mut self.parties[at].record;
        let bytes = record.to_bytes();
        *record = SessionRecord::from_bytes(&bytes).unwrap();
        assert_eq!(record.to_bytes(), bytes);
    }

    /// A copy is taken, something is sent, and the copy is put back: what a restored profile does. The next send uses the
    /// same message key again, under another salt (R20).
    fn restore(&mut self, at: usize, script: &mut Script<'_>) {
        if !self.parties[at].record.has_active() {
            return;
        }
        let copy = self.parties[at].record.to_bytes();
        for _ in 0..script.below(3) + 1 {
            self.send(at);
        }
        self.orderly = false;
        self.parties[at].record = SessionRecord::from_bytes(&copy).unwrap();
    }

    fn quiesce(&mut self) {
        self.wires = [VecDeque::new(), VecDeque::new()];
        let mut healed = 0;
        for _ in 0..ROUNDS {
            let [a, b] = [self.exchange(0), self.exchange(1)];
            healed = if a && b { healed + 1 } else { 0 };
        }
        assert!(healed >= 2, "they did not heal");
        let messages = [0, 1].map(|from| {
            self.next_message += 1;
            Flying { number: self.next_message, bytes: self.encrypt(from, self.next_message) }
        });
        let [a, b] = messages.each_ref().map(|flying| &flying.bytes[..18]);
        assert_eq!(a, b, "both send in the same session");
        assert_eq!(a[0], 2, "which both know");
        self.orderly = true;
        for (from, flying) in messages.iter().enumerate() {
            self.deliver(1 - from, flying);
        }
    }

    /// One message; when it cannot be read, its reader heals.
    fn exchange(&mut self, from: usize) -> bool {
        self.send(from);
        let flying = self.wires[1 - from].pop_front().unwrap();
        let shown = self.displayed[1 - from].len();
        self.orderly = false;
        self.deliver(1 - from, &flying);
        let read = self.displayed[1 - from].len() > shown;
        if !read {
            self.parties[1 - from].record.archive_active();
        }
        read
    }
}

/// What message `number` says: its number and, for some, more.
fn text(number: u32) -> Vec<u8> {
    let mut text = number.to_le_bytes().to_vec();
    text.resize(4 + (number as usize % 7) * 50, number as u8);
    text
}
