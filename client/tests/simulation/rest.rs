//! The kind end of a world: nothing fails any more, everybody is there, and time passes until nothing moves. Then the
//! ledger is held against every store.

use std::collections::{BTreeMap, HashMap};

use subrosa_client::{
    api::{EventBody, Message, MessageKind, MessageState, Request},
    store::{Store, StoreError},
};

use crate::{
    device::{Device, Fate},
    events,
    ledger::{Outcome, may_miss, number},
    template::name,
    world::World,
};

const HOUR_MS: u64 = 3_600_000;
/// The longest wait of a machine before it tries again, and a little.
const PATIENCE_MS: u64 = 11 * 60_000;
/// Steps after which something turns in circles.
const STEPS_MAX: usize = 20_000;
/// Rounds of talking and waiting in which everything that was lost must be mended.
const ROUNDS: usize = 8;

/// The texts of a device, by number: their line, in the order of its history.
type Shown = HashMap<usize, Message>;

/// A text's place where it is displayed and where it was written, and its number.
type Ordered = (i64, i64, usize);

impl World {
    pub fn come_to_rest(&mut self) {
        self.trace.line(|| "from here on the world is kind".to_owned());
        (self.relay.refuse_sends, self.relay.refuse_lookups) = (None, None);
        for at in 0..self.devices.len() {
            let device = &mut self.devices[at];
            device.net.cut_off = false;
            device.net.stalled_until = 0;
            device.disk.heal();
            device.cut = None;
            device.wall = 0;
            // A running program's clock would only run on.
            if device.running != 0 && device.is_running() {
                self.crash(at);
            }
            if self.devices[at].net.lost_push {
                self.go_down(at, "lossy");
            }
        }
        self.be_quiet();
        if self.sort.strangers {
            for at in self.active() {
                for account in 0..self.accounts.len() {
                    let name = self.accounts[account].name.clone();
                    self.ask(at, Request::ContactAccept { name });
                }
            }
            self.be_quiet();
        }
        let mut outcome = self.hold_against_ledger();
        for _ in 0..ROUNDS {
            let may_mend = self.sort.lossy || self.devices.iter().any(may_miss);
            if outcome.is_ok() || !may_mend {
                break;
            }
            self.counts.rounds += 1;
            self.trace.line(|| format!("a round of mending, since {outcome:?}"));
            self.talk_and_wait();
            outcome = self.hold_against_ledger();
        }
        if let Err(why) = outcome {
            panic!("{why}");
        }
        if let Err(why) = crate::rooms::hold(self) {
            panic!("{why}");
        }
        self.check_stores();
    }

    fn active(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|at| self.devices[*at].fate == Fate::Active).collect()
    }

    /// Until nothing moves, nothing waits, and nothing is due soon.
    fn be_quiet(&mut self) {
        let deadline = self.now + 2 * PATIENCE_MS;
        let mut steps = 0;
        loop {
            let soon = self.now + 4_000;
            while self.progress() || self.pass_time(soon) {
                steps += 1;
                if steps > STEPS_MAX {
                    let next = self.due().map(|(_, at)| self.devices[at].name());
                    panic!("rest: it turns in circles, next {next:?}");
                }
            }
            let Some(waits) = self.what_waits() else { return };
            if !self.pass_time(deadline) {
                panic!("rest: {waits}");
            }
        }
    }

    /// What a machine has not done yet, or the relay not handed over.
    fn what_waits(&self) -> Option<String> {
        self.active().into_iter().find_map(|at| {
            let device = &self.devices[at];
            let Some(core) = device.core() else { return Some(format!("{} does not run", device.name())) };
            if !device.net.authenticated {
                return Some(format!("{} is not connected", device.name()));
            }
            let count = core.store().read(|tx| {
                Ok::<_, StoreError>((tx.outbox_count()?, tx.pending_count()?, tx.deferred_count()?))
            });
            if let Some(waits) = crate::rooms::what_waits(self, at) {
                return Some(waits);
            }
            let (outbox, pending, deferred) = count.unwrap();
            let mailbox = self.relay.devices.get(&device.place).map_or(0, |device| device.mailbox.len());
            // Requests of strangers wait for people.
            let held = if self.sort.strangers { self.held(at) } else { 0 };
            (outbox + deferred + (pending - held) + mailbox as u64 > 0).then(|| {
                format!(
                    "{} has {outbox} envelopes to send, {pending} contents to encrypt, {deferred} put aside, {mailbox} in \
                     its mailbox",
                    device.name()
                )
            })
        })
    }

    fn held(&self, at: usize) -> u64 {
        let store = self.devices[at].store();
        let count = |account: &String| {
            let held = subrosa_client::store::HeldFor::Request;
            store.read(|tx| tx.held_count(&name(account), held)).unwrap()
        };
        self.accounts.iter().map(|account| count(&account.name)).sum()
    }

    /// Whoever is there writes to everybody, which shows what is missing; then hours pass, after which it is asked for.
    fn talk_and_wait(&mut self) {
        for at in self.active() {
            for to in 0..self.accounts.len() {
                if self.devices[at].account != to {
                    self.event += 1;
                    events::write(self, at, to);
                }
            }
        }
        self.be_quiet();
        self.now += 6 * HOUR_MS + 600_000;
        self.be_quiet();
    }

    // --- the ledger ----------------------------------------------------------------------------------------

    fn hold_against_ledger(&mut self) -> Result<(), String> {
        let shown: Vec<Shown> =
            (0..self.devices.len()).map(|at| self.texts_of(at)).collect::<Result<_, _>>()?;
        let (mut required, mut excused) = (0, 0);
        for (number, text) in self.ledger.texts.iter().enumerate() {
            let sender = &self.devices[text.from];
            let line = shown[text.from].get(&number);
            let queued = match text.outcome {
                Outcome::Queued => true,
                Outcome::Unknown => line.is_some(),
                Outcome::Refused => {
                    let by = shown.iter().position(|shown| shown.contains_key(&number));
                    if let Some(by) = by {
                        return Err(format!(
                            "I1: {} displays t{number}, which was refused",
                            self.devices[by].name()
                        ));
                    }
                    continue;
                }
            };
            if !queued || text.lost || sender.fate != Fate::Active {
                excused += 1;
                continue;
            }
            let Some(line) = line else {
                return Err(format!("I1: {} has no t{number}, which it had queued", sender.name()));
            };
            if line.state == MessageState::Held && self.request_was_lost(sender.account) {
                excused += 1;
                continue;
            }
            if !matches!(line.state, MessageState::Accepted | MessageState::Delivered | MessageState::Read) {
                return Err(format!("I1: t{number} of {} is still {:?}", sender.name(), line.state));
            }
            for (at, device) in self.devices.iter().enumerate() {
                let entitled = device.account == text.to || text.known.contains(&at);
                if at == text.from
                    || !entitled
                    || device.fate != Fate::Active
                    || device.since >= text.asked_at
                {
                    continue;
                }
                if !shown[at].contains_key(&number) {
                    return Err(format!(
                        "I1: {} does not display t{number} of {}, which was accepted",
                        device.name(),
                        sender.name()
                    ));
                }
                required += 1;
            }
        }
        self.in_order(&shown)?;
        self.counts.required += required;
        self.counts.excused += excused;
        for text in &self.ledger.texts {
            match text.outcome {
                Outcome::Queued => self.counts.queued += 1,
                Outcome::Refused => self.counts.refused += 1,
                Outcome::Unknown => self.counts.unknown += 1,
            }
        }
        for device in &self.devices {
            if device.must_be_quarantined && device.fate == Fate::Active {
                return Err(format!("R23: {} is an old copy and was never found out", device.name()));
            }
        }
        Ok(())
    }

    /// Whether a request to a stranger, of which the other own devices have a copy, may have gone with its device.
    fn request_was_lost(&self, account: usize) -> bool {
        let gone = |device: &Device| device.account == account && device.fate != Fate::Active;
        self.sort.strangers && self.devices.iter().any(gone)
    }

    fn texts_of(&self, at: usize) -> Result<Shown, String> {
        let device = &self.devices[at];
        let mut shown = Shown::new();
        for account in &self.accounts {
            if account.name == device.place.0 {
                continue;
            }
            let mut after = Some(0);
            while let Some(place) = after {
                let page = device
                    .store()
                    .read(|tx| tx.history(&name(&account.name).into(), None, Some(place), 500))
                    .unwrap();
                after = page.messages.last().map(|line| line.order).filter(|_| page.more_after);
                for line in page.messages {
                    let MessageKind::Text { text } = &line.kind else { continue };
                    let Some(number) = number(text) else { continue };
                    if shown.insert(number, line).is_some() {
                        return Err(format!("I2: {} has t{number} twice", device.name()));
                    }
                }
            }
        }
        match device.shown.iter().find(|number| !shown.contains_key(number)) {
            Some(number) => Err(format!("I2: {} displayed t{number} and does not have it", device.name())),
            None => Ok(shown),
        }
    }

    /// I3: what one device wrote into a chat is displayed in its order; what is not was told missing before it came.
    fn in_order(&self, shown: &[Shown]) -> Result<(), String> {
        for (at, device) in self.devices.iter().enumerate() {
            let mut of_sender: BTreeMap<(usize, &str), Vec<Ordered>> = BTreeMap::new();
            for (number, line) in &shown[at] {
                let from = self.ledger.texts[*number].from;
                if let Some(written) = shown[from].get(number).filter(|_| from != at) {
                    let texts = of_sender.entry((from, &line.chat)).or_default();
                    texts.push((line.order, written.order, *number));
                }
            }
            for ((from, _), mut texts) in of_sender {
                texts.sort_unstable();
                let mut highest = 0;
                for (order, written, number) in texts {
                    if written < highest && !self.was_missing(device.store(), from, order) {
                        let sender = self.devices[from].name();
                        return Err(format!(
                            "I3: {} displays t{number} of {sender} out of order",
                            device.name()
                        ));
                    }
                    highest = highest.max(written);
                }
            }
        }
        Ok(())
    }

    /// Whether something of a device was told missing before the line at a place was displayed.
    fn was_missing(&self, store: &Store, from: usize, order: i64) -> bool {
        let place = &self.devices[from].place;
        let names = ["message.missing", "message.received", "message.queued"].map(str::to_owned);
        let page = store.read(|tx| tx.events(Some(0), 1_000, &names)).unwrap();
        let mut missing = false;
        for event in page.events {
            match event.body {
                EventBody::MessageMissing { from, device, count, .. }
                    if from == place.0 && device == place.1 =>
                {
                    missing |= count > 0;
                }
                EventBody::MessageReceived { message } | EventBody::MessageQueued { message }
                    if message.order == order =>
                {
                    return missing;
                }
                _ => {}
            }
        }
        false
    }

    /// Every store passes its own check. A whole check takes as long as a hundred events: of each world one store.
    fn check_stores(&mut self) {
        let at = self.dice.index(self.devices.len());
        let device = &self.devices[at];
        for item in device.store().check() {
            assert!(item.ok, "store: {}: {}: {}", device.name(), item.name, item.detail.as_str());
        }
    }
}
