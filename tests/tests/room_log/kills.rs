//! `kill -9` of the relay while a room is written to: what was answered is there, at its place; what was stored and not
//! answered is answered as the first time when it is sent again; a commit is there with its invitation, its Welcome and its
//! roster, or not at all.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use subrosa_protocol::{EntryId, EnvelopeId, frames::*};
use subrosa_tests::{
    World,
    faults::{
        Dice, setting,
        strace::{SYNCS, inject, works_for},
    },
    raw_client::{Identity, Session},
    relay::RelayOptions,
    report::did,
    world::FAST,
};
use tokio::time::sleep;

use super::fixture::*;

/// How long a relay may take to come to its last system call.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was asked, and what came of it.
#[derive(Debug, Clone)]
struct Asked {
    request: Request,
    /// The Welcome that belongs to it.
    welcome: Option<Vec<u8>>,
    /// The place that was answered.
    seq: Option<u64>,
    /// It was refused: it may never be there.
    passed: bool,
}

impl Asked {
    fn new(request: Request) -> Self {
        Self { request, welcome: None, seq: None, passed: false }
    }

    fn id(&self) -> EntryId {
        match &self.request {
            Request::RoomPost(post) => post.id,
            Request::RoomCommit(commit) => commit.id,
            other => panic!("{}", other.name()),
        }
    }

    fn heard(&mut self, answer: &Response) {
        match answer {
            Response::RoomAccepted(accepted) => self.seq = Some(accepted.seq),
            Response::EpochPassed(_) => self.passed = true,
            other => panic!("{other:?}"),
        }
    }

    fn invitation(&self) -> Option<EnvelopeId> {
        let Request::RoomCommit(commit) = &self.request else { return None };
        let Invitations::Inline(all) = &commit.invitations else { return None };
        all.first().map(|one| one.id)
    }
}

/// Everything that was ever asked; tasks add to it while the relay lives.
type Ledger = Arc<Mutex<Vec<Asked>>>;

fn answered(ledger: &Ledger) -> usize {
    ledger.lock().unwrap().iter().filter(|asked| asked.seq.is_some()).count()
}

/// Sends what stands in the ledger from `from` on and hears its answers.
async fn send_all(session: &mut Session, ledger: &Ledger, requests: Vec<Asked>) {
    let mut under_way = Vec::new();
    for asked in requests {
        if let Some(welcome) = &asked.welcome {
            put(session, welcome).await;
        }
        let request = asked.request.clone();
        let place = {
            let mut all = ledger.lock().unwrap();
            all.push(asked);
            all.len() - 1
        };
        under_way.push((session.send(request).await, place));
    }
    for (id, place) in under_way {
        let answer = session.answer(id).await;
        ledger.lock().unwrap()[place].heard(&answer);
    }
}

/// Commits by turns adding and removing somebody, and writes in between, until it is aborted.
async fn commits(
    mut session: Session,
    ledger: Ledger,
    epoch: Arc<AtomicU64>,
    other: Arc<Identity>,
    mut is_in: bool,
) {
    loop {
        let now = epoch.load(Ordering::Relaxed);
        let posts = (0..2).map(|_| Asked::new(Request::RoomPost(post(ROOM, now, b"by the one who commits"))));
        send_all(&mut session, &ledger, posts.collect()).await;
        let asked = if is_in {
            Asked::new(Request::RoomCommit(removing(ROOM, now, &other)))
        } else {
            let welcome = format!("welcome into epoch {now}").into_bytes();
            let request = Request::RoomCommit(adding(ROOM, now, &other, &welcome));
            Asked { welcome: Some(welcome), ..Asked::new(request) }
        };
        send_all(&mut session, &ledger, vec![asked]).await;
        is_in = !is_in;
        epoch.store(now + 1, Ordering::Relaxed);
    }
}

/// Writes, four under way, until it is aborted.
async fn writes(mut session: Session, ledger: Ledger, epoch: Arc<AtomicU64>) {
    loop {
        let now = epoch.load(Ordering::Relaxed);
        let posts = (0..4).map(|_| Asked::new(Request::RoomPost(post(ROOM, now, &[0x5a; 1200]))));
        send_all(&mut session, &ledger, posts.collect()).await;
    }
}

/// What the relay has after a kill. Answers how much of it was stored and not answered, and whether the third one is in.
async fn look(
    session: &mut Session,
    third: &mut Session,
    ledger: &Ledger,
    name: &Identity,
) -> (u64, u64, bool) {
    let (entries, epoch) = log(session, ROOM).await;
    assert!(entries.iter().map(|entry| entry.seq).eq(1..=entries.len() as u64), "a gap");
    let places: HashMap<EntryId, u64> = entries.iter().map(|entry| (entry.id, entry.seq)).collect();
    assert_eq!(places.len(), entries.len(), "an entry is there twice");
    assert_eq!(epoch, entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count() as u64);
    let invitations = mailbox(third).await;
    let all = ledger.lock().unwrap().clone();
    // The first commit is the fixture's.
    let known: HashSet<EntryId> = all.iter().map(Asked::id).collect();
    assert!(entries[1..].iter().all(|entry| known.contains(&entry.id)), "nobody sent that");
    let (mut hits, mut last) = (0, None);
    for asked in &all {
        let place = places.get(&asked.id()).copied();
        match (asked.seq, place) {
            (Some(seq), place) => assert_eq!(place, Some(seq), "answered and not there: {asked:?}"),
            (None, Some(_)) if asked.passed => panic!("refused and there: {asked:?}"),
            (None, Some(_)) => hits += 1,
            (None, None) => {}
        }
        if let Some(id) = asked.invitation() {
            let there = invitations.iter().filter(|one| **one == id).count();
            assert_eq!(there, usize::from(place.is_some()), "a part of a commit: {asked:?}");
        }
        if let (Some(place), Request::RoomCommit(commit)) = (place, &asked.request) {
            last = last.max(Some((place, commit.welcome)));
        }
    }
    let roster = session.ask(Request::RoomRoster(RoomRoster { room: ROOM, after: None })).await;
    let Response::RoomRosterPage(roster) = roster else { panic!("{roster:?}") };
    let is_in = roster.devices.iter().any(|one| one.device == device(name));
    let welcome = last.and_then(|(_, welcome)| welcome);
    assert_eq!(is_in, welcome.is_some(), "the roster is not the last commit's");
    if let Some(hash) = welcome {
        let got = third.ask(Request::ObjectGet(ObjectGet { room: ROOM, hash, offset: 0 })).await;
        assert!(matches!(got, Response::ObjectPiece(_)), "{got:?}");
    }
    (hits, epoch, is_in)
}

async fn mailbox(session: &mut Session) -> Vec<EnvelopeId> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let page = session.fetch(after).await;
        ids.extend(page.envelopes.iter().map(|envelope| envelope.id));
        match page.envelopes.last() {
            Some(last) if page.more => after = last.seq,
            _ => return ids,
        }
    }
}

/// What had no answer is sent again, and has one now.
async fn again(one: &mut Session, other: &mut Session, ledger: &Ledger, places: &HashMap<EntryId, u64>) {
    let waiting: Vec<usize> = {
        let all = ledger.lock().unwrap();
        (0..all.len()).filter(|at| all[*at].seq.is_none() && !all[*at].passed).collect()
    };
    for at in waiting {
        let asked = ledger.lock().unwrap()[at].clone();
        // Either may send it: the relay does not know whose it was.
        let session = if at % 2 == 0 { &mut *one } else { &mut *other };
        if let Some(welcome) = &asked.welcome {
            put(session, welcome).await;
        }
        let answer = session.ask(asked.request.clone()).await;
        if let Some(place) = places.get(&asked.id()) {
            assert_eq!(seq(answer.clone()), *place, "another place than the first time");
        }
        ledger.lock().unwrap()[at].heard(&answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_kills_between_an_entry_stored_and_its_answer_lose_nothing_and_double_nothing() {
    let kills = setting("SUBROSA_ROOM_KILLS", 8);
    let seed = setting("SUBROSA_ROOM_KILLS_SEED", std::process::id().into());
    println!("{kills} kills, seed {seed}");
    let mut dice = Dice::new(seed);
    let traced = works_for("kills of the relay within a commit of a room");
    let plain = || RelayOptions { config: FAST.into(), ..RelayOptions::default() };
    let mut world = World::with(plain());
    let people = people(&world, 3).await;
    let [alice, bob, carol] = <[Identity; 3]>::try_from(people).ok().unwrap();
    let carol = Arc::new(carol);
    let (mut one, mut other) = (alice.session(to(&world)).await, bob.session(to(&world)).await);
    room_of_two(&mut one, &mut other, &bob).await;
    let ledger = Ledger::default();
    let (mut now, mut is_in, mut hits, mut exact) = (1, false, 0, 0);
    for round in 0..kills {
        let under = traced && round % 2 == 0;
        if under {
            world.relay.kill();
            let kill = inject(SYNCS, &format!("signal=KILL:when={}", 9 + dice.below(25)));
            world.restart_relay_as(RelayOptions { under: kill, ..plain() });
        }
        let epoch = Arc::new(AtomicU64::new(now));
        let (one, other) = (alice.session(to(&world)).await, bob.session(to(&world)).await);
        let first =
            tokio::spawn(commits(one, Arc::clone(&ledger), Arc::clone(&epoch), Arc::clone(&carol), is_in));
        let second = tokio::spawn(writes(other, Arc::clone(&ledger), epoch));
        let (began, enough) = (Instant::now(), answered(&ledger) + 1 + dice.below(60) as usize);
        while if under { world.relay.ended().is_none() } else { answered(&ledger) < enough } {
            assert!(began.elapsed() < PATIENCE, "no end, seed {seed}: {}", world.relay.log());
            assert!(!first.is_finished() && !second.is_finished(), "a client gave up, seed {seed}");
            sleep(Duration::from_millis(1)).await;
        }
        world.relay.kill();
        first.abort();
        second.abort();
        let _ = (first.await, second.await);

        world.restart_relay_as(plain());
        let (mut one, mut other) = (alice.session(to(&world)).await, bob.session(to(&world)).await);
        let mut third = carol.session(to(&world)).await;
        let (hit, ..) = look(&mut one, &mut third, &ledger, &carol).await;
        hits += hit;
        exact += u64::from(under && hit > 0);
        let places = log(&mut one, ROOM).await.0.iter().map(|entry| (entry.id, entry.seq)).collect();
        again(&mut one, &mut other, &ledger, &places).await;
        let (left, epoch, there) = look(&mut one, &mut third, &ledger, &carol).await;
        assert_eq!(left, 0, "everything was answered");
        (now, is_in) = (epoch, there);
    }
    assert!(!traced || exact > 0, "no kill came between an entry stored and its answer, seed {seed}");
    let all = ledger.lock().unwrap();
    did(&format!(
        "kills of a relay with rooms: {kills}, {hits} entries stored and not answered (kills that hit it exactly: {exact}), \
         {} answered, {} commits with an invitation, seed {seed}",
        all.iter().filter(|asked| asked.seq.is_some()).count(),
        all.iter().filter(|asked| asked.invitation().is_some()).count(),
    ));
}
