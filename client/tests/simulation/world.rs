//! Machines, a relay, one clock, one source of chance. What goes into a machine and what comes out goes through here.

use std::{fmt, rc::Rc};

use subrosa_client::{
    api::{self, EventBody, Reply},
    core::{Core, Effect, Facts, Input},
    store::{DiskFault, Store},
};
use subrosa_crypto::{account::AccountSecret, ratchet::ledger as keys};
use subrosa_protocol::{
    RawFrame,
    frames::{PreAuthRequest, Request},
};

use crate::{
    device::{Device, Fate, Life},
    dice::Dice,
    events,
    ledger::{Ledger, Outcome},
    relay::Relay,
    template::Templates,
};

pub struct Account {
    pub name: String,
    pub secret: AccountSecret,
}

/// What sort of world a seed makes.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// Sessions vanish and the relay loses envelopes: gaps may come, and must be shown and mended. In all other worlds
    /// nothing may ever be missing.
    pub lossy: bool,
    /// Nobody knows anybody.
    pub strangers: bool,
    /// The relay tells how few prekeys are left, so that they are refilled.
    pub refills: bool,
    /// Days pass.
    pub long: bool,
    /// All are in a room.
    pub rooms: bool,
}

pub struct World {
    pub sort: Sort,
    pub relay: Relay,
    pub accounts: Vec<Account>,
    pub devices: Vec<Device>,
    pub now: u64,
    /// Decides what happens.
    pub dice: Dice,
    /// What the machines draw.
    pub rng: Dice,
    pub ledger: Ledger,
    pub rooms: crate::rooms::Ledger,
    pub counts: Counts,
    pub trace: Trace,
    pub event: u32,
    /// Hours that passed in leaps.
    pub leapt: u64,
    /// A store in which there is nothing yet, for new devices.
    pub empty: Rc<Store>,
}

impl World {
    pub fn new(templates: &Templates, seed: u64, trace: bool) -> Self {
        let sort = Sort {
            lossy: seed % 4 == 3,
            strangers: seed % 8 == 6,
            refills: seed % 32 == 13,
            long: seed % 5 == 2,
            rooms: seed.is_multiple_of(4),
        };
        let mut world = templates.begin(sort.strangers, sort.rooms, seed);
        world.sort = sort;
        world.relay.pretended = if sort.refills { 0 } else { 200 };
        world.trace.on = trace;
        for at in 0..world.devices.len() {
            world.restart(at);
        }
        world
    }

    pub fn one_event(&mut self) {
        self.event += 1;
        self.counts.events += 1;
        self.now += self.dice.below(20);
        if self.sort.rooms {
            if self.dice.once_in(16) && crate::rooms::happen(self) {
                self.counts.room_doings += 1;
                return;
            }
            if self.event.is_multiple_of(16) {
                crate::rooms::check_head(self);
            }
        }
        events::happen(self);
    }

    // --- a machine's life ----------------------------------------------------------------------------------

    /// The program ends between two inputs; the store is what it is.
    pub fn crash(&mut self, at: usize) {
        let restart_at = self.now + self.dice.below(60_000);
        let device = &mut self.devices[at];
        if let Life::Running(core) = std::mem::replace(&mut device.life, Life::Changing) {
            device.life = Life::Stopped(Box::new(core.into_store()));
        }
        device.disk.heal();
        device.cut = None;
        device.restart_at = restart_at;
        // Who asked does not know what became of it.
        device.asks.clear();
        self.lose_connection(at);
        self.counts.crashes += 1;
        self.trace.line(|| format!("{} crashed", self.devices[at].name()));
    }

    pub fn restart(&mut self, at: usize) {
        let now = self.now;
        let device = &mut self.devices[at];
        let Life::Stopped(store) = std::mem::replace(&mut device.life, Life::Changing) else {
            panic!("a program that runs cannot be started")
        };
        let core = Core::new(*store, Facts::default()).unwrap();
        device.running = device.wall;
        device.net.blocked = !core.may_connect();
        if device.net.blocked && device.fate == Fate::Active {
            // It noticed, and ended before it could say so.
            device.fate = Fate::Quarantined;
            self.counts.quarantines += 1;
        }
        device.net.dial_at = now;
        device.life = Life::Running(Box::new(core));
        self.ledger.check_acknowledged(device);
        self.counts.restarts += 1;
        self.trace.line(|| format!("{} starts", self.devices[at].name()));
        self.feed(at, Input::Wake);
    }

    pub fn feed(&mut self, at: usize, input: Input) {
        self.feed_all(at, vec![input]);
    }

    /// Gives inputs that came at once to a machine and carries out its effects; or ends the program on the way.
    pub fn feed_all(&mut self, at: usize, inputs: Vec<Input>) {
        let device = &mut self.devices[at];
        let now = device.clock(self.now);
        let Life::Running(core) = &mut device.life else { return };
        let before = device.disk.struck();
        let inputs_count = inputs.len();
        self.counts.inputs += inputs_count as u64;
        self.counts.together += u64::from(inputs_count > 1);
        let texts = inputs.iter().filter(|input| matches!(input, Input::Request { .. })).count();
        self.counts.texts_together += u64::from(texts > 1);
        self.counts.mixed += u64::from(texts > 0 && texts < inputs_count);
        let effects = core.handle_all(inputs, now, &mut self.rng);
        let struck = device.disk.struck() > before;
        let full = device.disk.is_full();
        if struck {
            let together = inputs_count > 1;
            self.counts.disk_struck(device.disk_fault, together);
        }
        if keys::repeats() > 0 {
            panic!("I4: a (key, nonce) pair was used twice");
        }
        if device.disk.is_gone() {
            self.counts.crashes_inside += 1;
            return self.crash(at);
        }
        let cut = device.cut.take();
        let mut dropped = false;
        for (number, effect) in effects.into_iter().enumerate() {
            if cut == Some(number) {
                self.counts.crashes_inside += 1;
                return self.crash(at);
            }
            dropped |= matches!(effect, Effect::Drop);
            self.carry_out(at, effect, struck || full);
        }
        if cut.is_some() {
            self.counts.crashes_inside += 1;
            return self.crash(at);
        }
        if dropped {
            self.go_down(at, "given up");
        }
    }

    /// `may_fail`: the disk gave reason to.
    fn carry_out(&mut self, at: usize, effect: Effect, may_fail: bool) {
        let device = &mut self.devices[at];
        match effect {
            Effect::Send(frame) => {
                let proof = PreAuthRequest::from_raw(&frame)
                    .is_ok_and(|r| matches!(r, PreAuthRequest::Authenticate(_)));
                if device.must_be_quarantined && device.net.authenticated && !proof {
                    panic!("R23: {} is an old copy and talks to the relay", device.name());
                }
                if tells_generation(&frame)
                    && let Some(copy) = &device.old_copy
                {
                    let names: Vec<_> = self.accounts.iter().map(|account| account.name.clone()).collect();
                    if device.ratchets(&names) != copy.ratchets {
                        device.newer_requests.insert(frame.id);
                    }
                }
                if !proof
                    && self.sort.rooms
                    && let Ok(request) = Request::from_raw(&frame)
                {
                    crate::rooms::check_sent(self, at, &request);
                }
                if !proof {
                    self.ledger.check_sent(&self.devices[at], &frame, self.event);
                }
                let net = &mut self.devices[at].net;
                if net.up {
                    net.to_relay.push_back(frame);
                }
            }
            Effect::Drop => self.lose_connection(at),
            Effect::Block => {
                device.net.blocked = true;
                self.lose_connection(at);
                self.blocked(at);
            }
            Effect::Reconnect => {
                device.net.blocked = false;
                device.net.dial_at = self.now;
                self.lose_connection(at);
            }
            Effect::Reply { token, result } => {
                self.trace.line(|| format!("{} answers {token}: {result:?}", self.devices[at].name()));
                let Some(text) = self.devices[at].asks.remove(&token) else { return };
                let queued = match result {
                    Ok(Reply::Sent { results }) => results.first().is_some_and(|result| result.id.is_some()),
                    Ok(_) | Err(_) => false,
                };
                self.ledger.answered(text, if queued { Outcome::Queued } else { Outcome::Refused });
            }
            Effect::Event(event) => {
                self.trace.line(|| format!("{} tells {:?}", self.devices[at].name(), event.body));
                if is_complaint(&event.body) {
                    if !may_fail {
                        panic!(
                            "step: a step of {} failed by itself: {:?}",
                            self.devices[at].name(),
                            event.body
                        );
                    }
                    self.counts.failed += 1;
                }
                self.ledger.told(&mut self.devices[at], &event.body, self.sort.lossy, &mut self.counts);
            }
            Effect::Shutdown => {}
        }
    }

    /// A device that blocks itself is an old copy, or was removed.
    fn blocked(&mut self, at: usize) {
        let device = &mut self.devices[at];
        let removed = !self.relay.devices.contains_key(&device.place);
        let refused = device.core().is_some_and(|core| !core.may_connect());
        device.fate = match device.fate {
            Fate::Active if removed => Fate::Removed,
            Fate::Active if refused => {
                self.counts.quarantines += 1;
                Fate::Quarantined
            }
            Fate::Active => panic!("step: {} blocked itself for no reason", device.name()),
            other => other,
        };
    }

    // --- front ends ----------------------------------------------------------------------------------------

    /// A request whose answer does not matter.
    pub fn ask(&mut self, at: usize, request: api::Request) {
        self.devices[at].token += 1;
        let token = self.devices[at].token;
        self.feed(at, Input::Request { token, request });
    }

    /// The devices of an account that its newest list has, by their places in `devices`.
    pub fn listed(&self, account: usize) -> Vec<usize> {
        let name = &self.accounts[account].name;
        let of_account = self.devices.iter().enumerate().filter(|(_, device)| device.account == account);
        of_account
            .filter(|(_, device)| self.relay.devices.contains_key(&(name.clone(), device.place.1)))
            .map(|(at, _)| at)
            .collect()
    }

    pub fn names(&self) -> Vec<String> {
        self.accounts.iter().map(|account| account.name.clone()).collect()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|at| self.devices[*at].is_running()).collect()
    }
}

/// Whether the relay learns the state generation with it.
fn tells_generation(frame: &RawFrame) -> bool {
    matches!(Request::from_raw(frame), Ok(Request::EnvelopeSend(_) | Request::MailboxAck(_)))
}

/// What happened, in words.
#[derive(Default)]
pub struct Trace {
    pub on: bool,
    pub print: bool,
    lines: Vec<String>,
}

impl Trace {
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if self.print {
            println!("{}", line());
        } else if self.on {
            self.lines.push(line());
        }
    }

    pub fn last(&self, count: usize) -> &[String] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }
}

macro_rules! counts {
    ($($name:ident: $text:literal,)+) => {
        /// What was done.
        #[derive(Debug, Clone, Default)]
        pub struct Counts {
            $(pub $name: u64,)+
            /// How often each thing of `events` happened.
            pub happened: [u64; events::KINDS],
        }

        impl Counts {
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
                for (sum, more) in self.happened.iter_mut().zip(other.happened) {
                    *sum += more;
                }
            }
        }

        impl fmt::Display for Counts {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((self.$name, $text)),+];
                let words: Vec<_> = all.iter().map(|(count, text)| format!("{count} {text}")).collect();
                writeln!(f, "did: simulation: {}", words.join(", "))?;
                let kinds = events::kinds().zip(self.happened);
                let words: Vec<_> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
                write!(f, "did: simulation: events by kind: {}", words.join(", "))
            }
        }
    };
}

counts! {
    seeds: "seeds",
    events: "events",
    inputs: "inputs to machines",
    together: "times several of them in one commit",
    texts_together: "of them with several texts",
    mixed: "of them with texts and frames",
    asked: "texts asked",
    queued: "queued",
    refused: "refused",
    unknown: "with an answer lost in a crash",
    accepted: "accepted by the relay",
    displayed: "displayed",
    required: "displays required at the end and found",
    excused: "not required",
    gaps: "gaps shown",
    undecryptable: "undecryptable told",
    crashes: "crashes",
    crashes_inside: "of them inside a step",
    restarts: "starts",
    disk_full: "commits without room",
    disk_broken: "commits that failed",
    disk_gone: "ends before a commit",
    disk_gone_after: "ends after a commit",
    together_struck: "of these four to several inputs in one commit",
    disk_tight: "disks filled",
    failed: "steps that failed for any of these",
    relay_crashes: "relay crashes",
    breaks: "connections broken",
    frames_lost: "frames lost",
    frames_doubled: "frames doubled",
    pushes_swapped: "pushes reordered",
    refusals: "refusals by the relay",
    clock_jumps: "clock jumps",
    leaps: "leaps of days",
    copies: "stores copied",
    restores: "old copies restored",
    quarantines: "quarantines",
    added: "devices added",
    removed: "devices removed",
    sessions_lost: "sessions lost",
    envelopes_lost: "envelopes lost by the relay",
    envelopes_doubled: "envelopes doubled",
    exhausted: "prekeys exhausted",
    rounds: "rounds of mending",
    room_doings: "things done in rooms",
    room_entries: "entries of rooms",
    room_commits: "changes of rooms accepted",
    room_lost: "changes of rooms that came too late",
    room_texts: "texts of rooms found where they belong",
}

impl Counts {
    /// A disk fault struck a step; `together`: one of several inputs.
    fn disk_struck(&mut self, fault: DiskFault, together: bool) {
        *match fault {
            DiskFault::Full => &mut self.disk_full,
            DiskFault::Broken => &mut self.disk_broken,
            DiskFault::Gone => &mut self.disk_gone,
            DiskFault::GoneAfterCommit => &mut self.disk_gone_after,
        } += 1;
        self.together_struck += u64::from(together);
    }

    /// Whether every fault struck and every kind of thing happened, in a run that is long enough.
    pub fn is_lively(&self) -> bool {
        if self.events < 50_000 {
            return true;
        }
        let all = [
            self.queued,
            self.unknown,
            self.accepted,
            self.required,
            self.gaps,
            self.undecryptable,
            self.together,
            self.texts_together,
            self.mixed,
            self.crashes_inside,
            self.disk_full,
            self.disk_broken,
            self.disk_gone,
            self.disk_gone_after,
            self.together_struck,
            self.disk_tight,
            self.failed,
            self.relay_crashes,
            self.frames_lost,
            self.frames_doubled,
            self.pushes_swapped,
            self.refusals,
            self.clock_jumps,
            self.leaps,
            self.restores,
            self.quarantines,
            self.added,
            self.removed,
            self.sessions_lost,
            self.envelopes_lost,
            self.envelopes_doubled,
            self.exhausted,
            self.room_commits,
            self.room_lost,
            self.room_texts,
        ];
        all.iter().all(|count| *count > 0)
    }
}

/// Whether a step failed, or the relay did what no relay does.
const fn is_complaint(body: &EventBody) -> bool {
    matches!(body, EventBody::ServerNotice { .. } | EventBody::ProfileFault { error: Some(_) })
}
