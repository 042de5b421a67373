//! Kills exactly between two steps: when a ratchet step is committed and nothing was sent; when a message was decrypted and
//! not acknowledged; when the relay committed and did not answer. The program dies on entering the sync of a commit: all
//! of the transaction is in the file then, and nothing was told. The stores prove that the point was hit.
//!
//! Long version: `SUBROSA_KILLS` that hit each point (12), `SUBROSA_KILLS_SEED`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use subrosa_tests::{
    World,
    faults::{
        Dice, Side, setting,
        side::{judge_both, quiesce},
        stores,
        strace::{SENDS, SYNCS, inject, works_for},
    },
    ledger::Ledger,
    programs::program,
    relay::RelayOptions,
    report::did,
    world::FAST,
};

/// How long a program may take to reach its last system call.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many kills may be made for each that must hit its point: some come between other steps.
const TRIES: u64 = 3;

/// More messages than are sent before a kill: several go into one commit, so that no number would do for so many commits.
const PLENTY: u64 = 1_000_000;

/// Two people who write to each other, and how far they may go.
struct Pair {
    world: World,
    sides: [Side; 2],
    dice: Dice,
}

impl Pair {
    /// The fault that ends a program at one of its next `commits` after the first ones, or at one of the sends that follow
    /// them.
    fn kill(&mut self, first: u64, commits: u64) -> Vec<String> {
        let (calls, when) = match self.dice.below(4) {
            0 => (SENDS, 4 + self.dice.below(6)),
            _ => (SYNCS, first + self.dice.below(commits)),
        };
        inject(calls, &format!("signal=KILL:when={when}"))
    }

    /// Starts one of them, with so many more messages to send.
    fn starts(&mut self, who: usize, more: u64, under: &[String]) {
        let limit = self.asked(who) + more;
        self.sides[who].start_under(limit, under);
    }

    fn asked(&self, who: usize) -> u64 {
        Ledger::read(&self.sides[who].ledger).asked.len() as u64
    }

    /// Runs one of them until it dies by the fault.
    fn dies(&mut self, who: usize, more: u64, under: &[String]) {
        self.starts(who, more, under);
        let ended = self.sides[who].wait(PATIENCE);
        let side = &self.sides[who];
        let status = ended.unwrap_or_else(|| {
            let entries = Ledger::read(&side.ledger);
            let (asked, accepted) = (entries.asked.len(), entries.accepted.len());
            let name = &side.person.name;
            panic!("{name} was not killed by {under:?}: {asked} asked, {accepted} accepted, {}", side.said())
        });
        assert_eq!(status.code(), None, "{} ended by itself: {}", side.person.name, side.said());
    }

    fn client(&self, who: usize) -> stores::ClientView {
        let side = &self.sides[who];
        let view = stores::client(&side.folder(), &side.key, &side.peer).unwrap();
        assert!(view.wrong.is_empty(), "{}: {:?}", side.person.name, view.wrong);
        view
    }

    fn mailbox(&self, who: usize) -> stores::MailboxView {
        let view = stores::relay(&self.world.relay.data, &self.sides[who].person.name).unwrap();
        assert!(view.wrong.is_empty(), "{:?}", view.wrong);
        view
    }

    /// Alice dies with an envelope in her outbox that the relay has not got.
    fn committed_and_not_sent(&mut self) -> bool {
        let under = self.kill(4, 20);
        self.dies(0, PLENTY, &under);
        let outbox = self.client(0).outbox;
        let accepted = self.mailbox(1).accepted;
        outbox.iter().any(|envelope| !accepted.contains(envelope))
    }

    /// Bob dies having read what the relay still holds for him.
    fn decrypted_and_not_acknowledged(&mut self) -> bool {
        let under = self.kill(4, 5);
        self.dies(1, 0, &under);
        let cursor = self.client(1).cursor;
        self.mailbox(1).waiting.keys().any(|place| *place <= cursor)
    }

    /// The relay dies having stored what its sender was not told of.
    fn stored_and_not_answered(&mut self) -> bool {
        // Its first syncs fold the last life's journal in and empty the log, before it is ready.
        let under = self.kill(9, 12);
        self.world.restart_relay_as(RelayOptions { under, config: FAST.into(), ..RelayOptions::default() });
        let began = Instant::now();
        while self.world.relay.ended().is_none() {
            assert!(began.elapsed() < PATIENCE, "the relay was not killed: {}", self.world.relay.log());
            thread::sleep(Duration::from_millis(1));
        }
        self.unanswered(0) || self.unanswered(1)
    }

    /// Whether somebody waits for an answer about an envelope that the relay has. It cannot come while they are looked at.
    fn unanswered(&self, who: usize) -> bool {
        let side = &self.sides[who];
        side.freeze(true);
        let outbox =
            stores::client(&side.folder(), &side.key, &side.peer).map(|view| view.outbox).unwrap_or_default();
        side.freeze(false);
        let accepted = self.mailbox(1 - who).accepted;
        outbox.iter().any(|envelope| accepted.contains(envelope))
    }

    /// `rosad check` is content with the data of a relay that was killed.
    fn relay_checks_out(&self) {
        let config = self.world.path().join("check.toml");
        std::fs::write(&config, format!("listen = \"{}\"", self.world.relay.quic)).unwrap();
        let mut check = Command::new(program("rosad"));
        check
            .args(["check", "--backed-up", "--data"])
            .arg(&self.world.relay.data)
            .arg("--config")
            .arg(config);
        let output = check.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Kills until so many hit their point.
fn until_hit(what: &str, wanted: u64, mut kill: impl FnMut() -> bool) {
    let (mut hits, mut tries) = (0, 0);
    while hits < wanted {
        assert!(tries < wanted * TRIES, "{what}: only {hits} of {tries} kills hit the point");
        tries += 1;
        hits += u64::from(kill());
    }
    did(&format!("kills, {what}: {hits} hit the point, of {tries}"));
}

#[test]
fn r21_r56_kills_between_commit_and_what_follows_lose_nothing_and_double_nothing() {
    if !works_for("kills at exact points") {
        return;
    }
    let kills = setting("SUBROSA_KILLS", 12);
    let seed = setting("SUBROSA_KILLS_SEED", std::process::id().into());
    println!("kill points: {kills} each, seed {seed}");
    let world = World::with(RelayOptions { config: FAST.into(), ..RelayOptions::default() });
    let (alice, bob) = world.friends("alice", "bob");
    let sides = [Side::new(world.path(), alice, "bob"), Side::new(world.path(), bob, "alice")];
    let mut pair = Pair { world, sides, dice: Dice::new(seed) };

    pair.sides[1].start(100);
    until_hit("ratchet committed and not sent", kills, || pair.committed_and_not_sent());

    pair.sides[1].kill();
    pair.starts(0, PLENTY, &[]);
    until_hit("decrypted and not acknowledged", kills, || pair.decrypted_and_not_acknowledged());

    pair.starts(1, PLENTY, &[]);
    pair.world.relay.kill();
    until_hit("relay committed and not acknowledged", kills, || pair.stored_and_not_answered());
    pair.relay_checks_out();

    pair.world.restart_relay();
    pair.sides.iter_mut().for_each(Side::kill);
    let limits = [pair.asked(0), pair.asked(1)];
    pair.starts(0, 0, &[]);
    pair.starts(1, 0, &[]);
    quiesce(&mut pair.sides, limits, &format!("seed {seed}"));
    thread::sleep(Duration::from_secs(2));
    for side in &mut pair.sides {
        side.kill();
    }
    did(&format!("kills at three points, seed {seed}{}", judge_both(&pair.sides)));
}
