//! Random schedules of two devices over a network that drops, delays, reorders and doubles, with clocks that differ.
//! I4 (no (key, nonce) twice) and "no plaintext twice" are asserted throughout.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::ratchet::ledger;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Alice (true) or bob sends.
    Send(bool),
    /// One of the first four messages under way to alice (true) or bob arrives.
    Arrive(bool, usize),
    /// It arrives and stays under way.
    ArriveTwice(bool, usize),
    Drop(bool),
    /// The session of alice (true) or bob is given up.
    GiveUp(bool),
    /// Hours pass.
    Pass(u64),
    /// Alice or bob copies the profile, or goes back to the copy.
    Copy(bool),
    GoBack(bool),
}

fn event(with_copies: bool) -> impl Strategy<Value = Event> {
    let copies = if with_copies { 1 } else { 0 };
    prop_oneof![
        12 => any::<bool>().prop_map(Event::Send),
        12 => (any::<bool>(), 0..4usize).prop_map(|(to, at)| Event::Arrive(to, at)),
        2 => (any::<bool>(), 0..4usize).prop_map(|(to, at)| Event::ArriveTwice(to, at)),
        2 => any::<bool>().prop_map(Event::Drop),
        1 => any::<bool>().prop_map(Event::GiveUp),
        2 => (0..20u64).prop_map(Event::Pass),
        copies => any::<bool>().prop_map(Event::Copy),
        copies => any::<bool>().prop_map(Event::GoBack),
    ]
}

struct UnderWay {
    bytes: Vec<u8>,
    text: Vec<u8>,
    /// How many later ones overtook it.
    overtaken: usize,
}

struct Side {
    party: Party,
    /// Under way to this side.
    inbox: Vec<UnderWay>,
    displayed: HashSet<Vec<u8>>,
    copy: Option<Copied>,
}

/// The profile and what it had displayed.
type Copied = ((Vec<u8>, Store), HashSet<Vec<u8>>);

struct World {
    sides: [Side; 2],
    sent: u64,
    given_up: usize,
    /// How many have passed; less than the 30 days that prekeys and skipped keys live.
    hours: u64,
    /// Whether a profile went back to a copy: then messages may be lost, and must heal.
    went_back: bool,
}

impl World {
    fn new(seed: u64, skew: u64) -> Self {
        let side = |name, seed| Side {
            party: Party::new(name, seed),
            inbox: Vec::new(),
            displayed: HashSet::new(),
            copy: None,
        };
        let mut sides = [side("alice", 2 * seed + 10), side("bob", 2 * seed + 11)];
        sides[0].party.now += skew;
        Self { sides, sent: 0, given_up: 0, hours: 0, went_back: false }
    }

    fn both(&mut self, first: bool) -> (&mut Side, &mut Side) {
        let [alice, bob] = &mut self.sides;
        if first { (alice, bob) } else { (bob, alice) }
    }

    fn send(&mut self, from: bool) {
        self.sent += 1;
        let text = self.sent.to_le_bytes().to_vec();
        let (from, to) = self.both(from);
        let bytes = match from.party.try_send(&to.party, &text) {
            Ok(bytes) => bytes,
            Err(_) => {
                from.party.record.archive_active();
                from.party.send(&mut to.party, &text)
            }
        };
        to.inbox.push(UnderWay { bytes, text, overtaken: 0 });
    }

    /// Five chains are remembered, so what four others overtook must arrive next.
    fn choose(inbox: &[UnderWay], at: usize) -> Option<usize> {
        let at = at.min(inbox.len().checked_sub(1)?);
        Some(inbox.iter().position(|message| message.overtaken >= 4).unwrap_or(at))
    }

    fn arrive(&mut self, to: bool, at: usize, twice: bool) {
        let went_back = self.went_back;
        let (to, from) = self.both(to);
        let Some(at) = Self::choose(&to.inbox, at) else { return };
        for message in &mut to.inbox[..at] {
            message.overtaken += 1;
        }
        let message = &to.inbox[at];
        let before = to.party.record.to_bytes();
        match to.party.receive(&from.party, &message.bytes) {
            Ok(decrypted) => {
                assert_eq!(decrypted.plaintext.as_slice(), message.text);
                assert!(to.displayed.insert(message.text.clone()), "no plaintext twice");
            }
            Err(error) => {
                assert_eq!(to.party.record.to_bytes(), before, "R16");
                if to.displayed.contains(&message.text) {
                    assert!(matches!(error, SessionError::Duplicate | SessionError::Replay), "{error}");
                } else {
                    assert!(went_back, "a message was lost: {error}");
                    if error != SessionError::Duplicate {
                        to.party.record.archive_active();
                    }
                }
            }
        }
        if !twice {
            to.inbox.remove(at);
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Send(from) => self.send(from),
            Event::Arrive(to, at) => self.arrive(to, at, false),
            Event::ArriveTwice(to, at) => self.arrive(to, at, true),
            Event::Drop(to) => {
                let (to, _) = self.both(to);
                to.inbox.pop();
            }
            Event::GiveUp(who) if self.given_up < 8 => {
                self.given_up += 1;
                self.both(who).0.party.record.archive_active();
            }
            Event::GiveUp(_) => {}
            Event::Pass(hours) if self.hours + hours < 20 * 24 => {
                self.hours += hours;
                for side in &mut self.sides {
                    side.party.now += hours * 3_600_000;
                }
            }
            Event::Pass(_) => {}
            Event::Copy(who) => {
                let (side, _) = self.both(who);
                side.copy = Some((side.party.snapshot(), side.displayed.clone()));
            }
            Event::GoBack(who) => {
                let (side, _) = self.both(who);
                if let Some((profile, displayed)) = side.copy.clone() {
                    side.party.restore(profile);
                    side.displayed = displayed;
                    self.went_back = true;
                }
            }
        }
    }

    /// All that is under way arrives, then the two talk in turn until a whole round is understood.
    fn quiesce(&mut self) {
        for to in [true, false] {
            while !self.both(to).0.inbox.is_empty() {
                self.arrive(to, 0, false);
            }
        }
        let rounds = if self.went_back { 6 } else { 2 };
        for _ in 0..rounds {
            for from in [true, false] {
                self.send(from);
                self.arrive(!from, 0, false);
            }
        }
        let [alice, bob] = &self.sides;
        assert!(alice.party.active_id().is_some());
        assert_eq!(alice.party.active_id(), bob.party.active_id(), "both settled on one session");
        for from in [true, false] {
            self.send(from);
            let text = self.sent.to_le_bytes().to_vec();
            self.arrive(!from, 0, false);
            assert!(self.both(!from).0.displayed.contains(&text), "and understand each other");
        }
    }
}

fn run(seed: u64, skew: u64, events: &[Event]) {
    ledger::clear();
    let mut world = World::new(seed, skew);
    for event in events {
        world.play(*event);
    }
    world.quiesce();
    assert!(ledger::uses() > 0);
    assert_eq!(ledger::repeats(), 0, "I4: no (key, nonce) twice");
}

/// 64 schedules each, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever the network does, each message that arrives is read exactly once, and both end in one session.
    #[test]
    fn i2_every_message_is_read_once_and_both_settle(
        seed in 0..1_000u64,
        skew in 0..2 * DAY_MS,
        events in prop::collection::vec(event(false), 0..120),
    ) {
        run(seed, skew, &events);
    }

    /// With profiles that go back to old copies, nothing is read twice, no key is used twice, and it heals.
    #[test]
    fn r20_i4_old_copies_repeat_no_key_and_heal(
        seed in 0..1_000u64,
        skew in 0..2 * DAY_MS,
        events in prop::collection::vec(event(true), 0..120),
    ) {
        run(seed, skew, &events);
    }
}
