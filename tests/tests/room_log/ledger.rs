//! What was asked of a relay about a room and what it answered, whoever writes there, and the judge: what was answered is
//! there, at its place, once; a commit is there with its invitation, its Welcome and its roster, or not at all.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use subrosa_protocol::{EntryId, EnvelopeId, ErrorCode, frames::*};
use subrosa_tests::{
    World,
    ledger::micros,
    raw_client::{Identity, Session},
};
use tokio::task::JoinHandle;

use super::fixture::*;

/// What was asked, and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: Request,
    /// The Welcome that belongs to it.
    pub(super) welcome: Option<Vec<u8>>,
    /// The place that was answered.
    pub(super) seq: Option<u64>,
    /// When that was heard, in microseconds since 1970.
    pub(super) heard_at: u64,
    /// It was refused: it may never be there.
    pub(super) passed: bool,
}

impl Asked {
    fn new(request: Request) -> Self {
        Self { request, welcome: None, seq: None, heard_at: 0, passed: false }
    }

    pub(super) fn id(&self) -> EntryId {
        match &self.request {
            Request::RoomPost(post) => post.id,
            Request::RoomCommit(commit) => commit.id,
            other => panic!("{}", other.name()),
        }
    }

    fn heard(&mut self, answer: &Response) {
        match answer {
            Response::RoomAccepted(accepted) => (self.seq, self.heard_at) = (Some(accepted.seq), micros()),
            Response::EpochPassed(_) => self.passed = true,
            // A disk that fails: whether it is there is seen later.
            Response::Error(error) if matches!(error.code, ErrorCode::Internal | ErrorCode::StorageFull) => {}
            other => panic!("{other:?}"),
        }
    }

    /// What stands in the log.
    pub(super) fn body(&self) -> EntryBody {
        match &self.request {
            Request::RoomPost(post) => EntryBody::Inline(post.bytes.clone()),
            Request::RoomCommit(RoomCommit { commit: CommitBody::Inline(bytes), .. }) => {
                EntryBody::Inline(bytes.clone())
            }
            other => panic!("{}", other.name()),
        }
    }

    pub(super) fn welcome_hash(&self) -> Option<ObjectHash> {
        match &self.request {
            Request::RoomCommit(commit) => commit.welcome,
            _ => None,
        }
    }

    pub(super) fn invitation(&self) -> Option<EnvelopeId> {
        let Request::RoomCommit(commit) = &self.request else { return None };
        let Invitations::Inline(all) = &commit.invitations else { return None };
        all.first().map(|one| one.id)
    }
}

/// Everything that was ever asked; tasks add to it while the relay lives.
pub(super) type Ledger = Arc<Mutex<Vec<Asked>>>;

/// Three people: two of a room, who write and commit, and one whom the commits add and remove by turns.
pub(super) struct Scene {
    alice: Identity,
    bob: Identity,
    pub(super) carol: Arc<Identity>,
    pub(super) ledger: Ledger,
    /// The room's epoch.
    now: u64,
    /// Whether the third one is in.
    is_in: bool,
}

/// People at work, until they are stopped.
pub(super) struct AtWork([JoinHandle<()>; 2]);

impl Scene {
    /// A room of two.
    pub(super) async fn new(world: &World) -> Self {
        let [alice, bob, carol] = <[Identity; 3]>::try_from(people(world, 3).await).ok().unwrap();
        let (mut one, mut other) = (alice.session(to(world)).await, bob.session(to(world)).await);
        room_of_two(&mut one, &mut other, &bob).await;
        Self { alice, bob, carol: Arc::new(carol), ledger: Ledger::default(), now: 1, is_in: false }
    }

    /// Somebody who may read the log.
    pub(super) fn reader(&self) -> &Identity {
        &self.alice
    }

    /// Both write, one of them commits.
    pub(super) async fn work(&self, world: &World) -> AtWork {
        let epoch = Arc::new(AtomicU64::new(self.now));
        let (one, other) = (self.alice.session(to(world)).await, self.bob.session(to(world)).await);
        let (ledger, carol) = (Arc::clone(&self.ledger), Arc::clone(&self.carol));
        let first = tokio::spawn(commits(one, Arc::clone(&ledger), Arc::clone(&epoch), carol, self.is_in));
        AtWork([first, tokio::spawn(writes(other, ledger, epoch))])
    }

    /// What was answered so far.
    pub(super) fn answered(&self) -> usize {
        self.ledger.lock().unwrap().iter().filter(|asked| asked.seq.is_some()).count()
    }

    /// Looks at what the relay has, sends again what had no answer, and looks once more. Answers how much was stored and
    /// not answered.
    pub(super) async fn settle(&mut self, world: &World) -> u64 {
        let (mut one, mut other) = (self.alice.session(to(world)).await, self.bob.session(to(world)).await);
        let mut third = self.carol.session(to(world)).await;
        let (hits, ..) = look(&mut one, &mut third, &self.ledger, &self.carol).await;
        let places = log(&mut one, ROOM).await.0.iter().map(|entry| (entry.id, entry.seq)).collect();
        again(&mut one, &mut other, &self.ledger, &places).await;
        let (left, epoch, there) = look(&mut one, &mut third, &self.ledger, &self.carol).await;
        assert_eq!(left, 0, "everything was answered");
        (self.now, self.is_in) = (epoch, there);
        hits
    }

    /// For reports: how many entries were answered, and how many commits with an invitation were asked.
    pub(super) fn told(&self) -> String {
        let all = self.ledger.lock().unwrap();
        let invitations = all.iter().filter(|asked| asked.invitation().is_some()).count();
        let answered = all.iter().filter(|asked| asked.seq.is_some()).count();
        format!("{answered} answered, {invitations} commits with an invitation")
    }
}

impl AtWork {
    pub(super) fn goes_on(&self) -> bool {
        !self.0.iter().any(JoinHandle::is_finished)
    }

    pub(super) async fn stop(self) {
        for task in self.0 {
            task.abort();
            let _ = task.await;
        }
    }
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
        let place = ledger.lock().unwrap().len();
        send_all(&mut session, &ledger, vec![asked]).await;
        if ledger.lock().unwrap()[place].seq.is_none() {
            // Refused by a disk that fails, or by an epoch that has passed: the one who looks sorts it out.
            return std::future::pending().await;
        }
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
