//! Random worlds: joins, leaves, kicks, bans, roles, posts, updates, late and lost messages, races.

use std::collections::BTreeMap;

use rand_core::Rng;

use super::world::{Entry, World};
use super::{did, size};
use crate::*;

/// What each person may and must read: from its joining to its going.
struct Book {
    world: World,
    /// Texts posted while somebody was in: (who, text) with the log's place.
    posted: Vec<(usize, Vec<u8>, Vec<usize>)>,
    names: usize,
    counts: BTreeMap<&'static str, usize>,
}

impl Book {
    fn inside(&self) -> Vec<usize> {
        (0..self.world.people.len()).filter(|who| self.world.people[*who].borrow().room.is_some()).collect()
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        from[self.world.rng.next_u32() as usize % from.len()]
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// One step; what the rules do not allow is tried as well, and refused at its maker.
    fn step(&mut self) {
        self.world.now += u64::from(self.world.rng.next_u32() % 60_000);
        self.world.sync_all();
        let inside = self.inside();
        let actor = self.pick(&inside);
        let target = self.pick(&inside);
        let name = self.world.people[target].borrow().name.clone();
        let leavers = self.world.people[actor].borrow().room().has_leavers();
        let plan = match self.world.rng.next_u32() % 16 {
            _ if leavers => Plan::default(),
            0..=2 => {
                let account = if self.world.rng.next_u32().is_multiple_of(4) {
                    name.clone()
                } else {
                    format!("user{}", self.names)
                };
                let device = 1 + self.world.lists.0.keys().filter(|d| d.account == account).count() as u32;
                self.names += 1;
                let who = self.world.person(&account, device);
                self.world.plan_add(&[who])
            }
            3 if inside.len() > 3 => self.world.people[actor].borrow().room().plan_kick(&name),
            4 if inside.len() > 3 => self.world.people[actor].borrow().room().plan_ban(&name),
            5 => self.world.people[actor].borrow().room().plan_policy(|p| p.set_role(&name, Role::Moderator)),
            6 => self.world.people[actor].borrow().room().plan_policy(|p| p.topic.push('x')),
            7 => Plan { renew: true, ..Plan::default() },
            8 if inside.len() > 3 && target != 0 => return self.leave(target),
            9 => return self.race(&inside),
            _ => return self.post(&inside, actor),
        };
        self.attempt(actor, plan);
    }

    /// Commits the leaves that nobody has committed yet.
    fn settle(&mut self) {
        self.world.sync_all();
        let inside = self.inside();
        if self.world.people[inside[0]].borrow().room().has_leavers() {
            self.attempt(inside[0], Plan::default());
        }
        self.world.agree();
    }

    fn attempt(&mut self, actor: usize, plan: Plan) {
        match self.world.make(actor, plan) {
            Ok(made) => {
                assert!(self.world.offer(&made));
                self.world.sync(actor);
                self.world.welcome(&made);
                self.count("commits");
            }
            Err(RoomError::Refused(_)) => self.count("refused at their maker"),
            Err(error) => panic!("{error}"),
        }
    }

    fn leave(&mut self, who: usize) {
        self.world.leave(who);
        self.count("leaves");
    }

    /// Several commit at once: one wins, the others follow.
    fn race(&mut self, inside: &[usize]) {
        let made: Vec<_> = inside
            .iter()
            .take(5)
            .map(|who| self.world.make(*who, Plan { renew: true, ..Plan::default() }).unwrap())
            .collect();
        let winner = self.world.rng.next_u32() as usize % made.len();
        let won = self.world.offer(&made[winner]);
        assert!(won);
        assert!(made.iter().enumerate().all(|(nth, made)| nth == winner || !self.world.offer(made)));
        self.count("races");
    }

    /// Some messages of one sender, of which some come late and some never.
    fn post(&mut self, inside: &[usize], actor: usize) {
        let mut batch = Vec::new();
        for _ in 0..1 + self.world.rng.next_u32() % 6 {
            let text = format!("{} of {actor}", self.posted.len()).into_bytes();
            match self.world.seal(actor, &text) {
                Ok(sealed) => batch.push((text, sealed.bytes)),
                Err(error) => panic!("{error}"),
            }
        }
        if batch.len() > 2 {
            let at = self.world.rng.next_u32() as usize % (batch.len() - 1);
            batch.swap(at, at + 1);
            let lost = self.world.rng.next_u32() as usize % batch.len();
            batch.remove(lost);
        }
        let readers: Vec<_> = inside.iter().copied().filter(|who| *who != actor).collect();
        for (text, bytes) in batch {
            self.world.log.push(Entry::Message(bytes));
            self.posted.push((actor, text, readers.clone()));
        }
        self.count("posts");
    }
}

fn live(seed: u64, start: usize, steps: usize, suite: Suite) {
    let mut book = Book {
        world: World::room_of(seed, start, suite, Visibility::Private),
        posted: Vec::new(),
        names: start,
        counts: BTreeMap::new(),
    };
    for step in 0..steps {
        book.step();
        if step % 10 == 9 {
            book.settle();
        }
    }
    book.settle();
    // Everybody read exactly what was posted while it was in, in order, and nothing was refused.
    for who in 0..book.world.people.len() {
        let expected: Vec<_> = book
            .posted
            .iter()
            .filter(|(_, _, readers)| readers.contains(&who))
            .map(|(_, text, _)| text.clone())
            .collect();
        assert_eq!(book.world.texts(who), expected, "seed {seed}: person {who}");
        assert_eq!(book.world.refusals(who), [], "seed {seed}: person {who}");
    }
    did(&format!("seed {seed}: {} people, {:?}", book.world.people.len(), book.counts));
}

#[test]
fn random_worlds_of_few_agree() {
    for seed in 0..size("SUBROSA_ROOM_SEEDS", 3) as u64 {
        live(100 + seed, 10, size("SUBROSA_ROOM_STEPS", 60), Suite::Classic);
    }
}

#[test]
fn a_random_world_of_many_agrees() {
    live(7, size("SUBROSA_ROOM_MEMBERS", 100).min(300), size("SUBROSA_ROOM_STEPS", 60) / 4, Suite::Classic);
}
