//! The same with OpenMLS alone.

use openmls::prelude::Ciphersuite;
use subrosa_rooms::{Suite, limits};

use crate::{Round, alone::Alone, timed};

/// Two members who compute; the others are leaves.
pub(crate) struct Theirs {
    alice: Alone,
    bob: Alone,
    suite: Ciphersuite,
    guests: usize,
}

impl Theirs {
    pub(crate) fn new(size: usize, suite: Suite) -> Self {
        let suite = suite.mls();
        let mut alice = Alone::new("user0");
        let mut bob = Alone::new("user1");
        alice.create(suite);
        let (_, welcome) = alice.commit(vec![bob.package(suite)], None, false);
        bob.join(&welcome.unwrap());
        let others: Vec<_> = (2..size).map(|nth| Alone::new(&format!("user{nth}")).package(suite)).collect();
        for add in others.chunks(limits::PROPOSALS_MAX) {
            let (commit, _) = alice.commit(add.to_vec(), None, false);
            bob.read(&commit);
        }
        Self { alice, bob, suite, guests: size }
    }

    pub(crate) fn round(&mut self) -> Round {
        let Self { alice, bob, suite, guests } = self;
        let Round { mut took, mut bytes } = Round::default();
        // What 600 bytes become with their header and padding.
        let sealed = timed(&mut took[0], || alice.seal(&[7; 1_024]));
        timed(&mut took[1], || bob.read(&sealed));
        let name = format!("user{guests}");
        *guests += 1;
        let mut guest = Alone::new(&name);
        let package = guest.package(*suite);
        let (commit, welcome) = timed(&mut took[2], || alice.commit(vec![package], None, false));
        timed(&mut took[3], || bob.read(&commit));
        let welcome = welcome.unwrap();
        (bytes[0], bytes[1], bytes[2]) = (sealed.len(), commit.len(), welcome.len());
        timed(&mut took[4], || guest.join(&welcome));
        let (commit, _) = timed(&mut took[5], || alice.commit(Vec::new(), None, true));
        timed(&mut took[6], || bob.read(&commit));
        let (commit, _) = timed(&mut took[7], || alice.commit(Vec::new(), Some(name.as_bytes()), false));
        timed(&mut took[8], || bob.read(&commit));
        bytes[3] = commit.len();
        // From outside, as into a public room.
        let info = alice.group_info();
        let mut guest = Alone::new(&name);
        let (commit, info) = timed(&mut took[9], || guest.join_from_outside(&info));
        timed(&mut took[10], || bob.read(&commit));
        alice.read(&commit);
        (bytes[4], bytes[5]) = (commit.len(), info.len());
        let (commit, _) = alice.commit(Vec::new(), Some(name.as_bytes()), false);
        bob.read(&commit);
        Round { took, bytes }
    }
}
