//! Bounds in time against a relay that lies for hours: what tests over a real connection would have to wait for. The
//! manipulations themselves have their tests in `tests/tests/lying_relay`.

use subrosa_client::{
    api::{EventKind, MessageState, Trust},
    limits::ONE_TIME_SECRETS,
};
use subrosa_crypto::{account::AccountSecret, verify::prekey::PrekeyKind};

use crate::world::World;

const HOUR: u64 = 60 * 60 * 1000;

/// How often a client asked a kind of request so far.
fn asked(world: &World, handle: &str, kind: u16) -> usize {
    world.clients[handle].sent.iter().filter(|frame| frame.kind == kind).count()
}

#[test]
fn r28_a_list_that_is_called_old_for_hours_is_tried_less_and_less_often() {
    let mut world = World::friends(600);
    // A successor that bob's key did not sign: the relay calls alice's list old and shows her nothing that she may use.
    let (attacker, _) = AccountSecret::generate(&mut world.rng);
    let mut list = world.relay.newest("bob").unwrap();
    (list.version, list.prev_hash) = (2, list.hash());
    list.account_key = attacker.public();
    let truth = world.relay.lists["bob"].clone();
    world.relay.lists.get_mut("bob").unwrap().push(attacker.sign_device_list(&list).unwrap());
    let (sends, lookups) = (asked(&world, "alice", 0x0030), asked(&world, "alice", 0x0021));
    let id = world.send("alice", "bob", "to bob's own device");
    world.run_for(10 * HOUR);
    let (sends, lookups) = (asked(&world, "alice", 0x0030) - sends, asked(&world, "alice", 0x0021) - lookups);
    assert!((5..=80).contains(&sends), "{sends} tries in ten hours");
    assert!(lookups <= 2 * sends + 80, "{lookups} lookups");
    let line = world.history("alice", "bob").pop().unwrap();
    assert!(line.reason.unwrap().contains("devices changed"));
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Unverified);

    world.relay.lists.insert("bob".into(), truth);
    world.run_for(HOUR);
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "to bob's own device");
    assert_eq!(world.state("alice", &id), MessageState::Delivered);
}

#[test]
fn r36_a_relay_that_never_has_prekeys_gets_no_endless_supply() {
    let mut world = World::friends(601);
    for _ in 0..14 {
        let bob = world.relay.device("bob", 1);
        bob.one_time.clear();
        bob.kem.clear();
        // Within a minute there is no more than one refill, however often the connection ends.
        for _ in 0..3 {
            world.disconnect("bob");
            world.connect("bob");
            world.run_for(1_000);
        }
        world.run_for(70_000);
    }
    for kind in [PrekeyKind::OneTimeEc, PrekeyKind::OneTimeKem] {
        let kept = world.peek("bob", |tx| tx.prekey_counts(kind).unwrap().kept);
        assert!((ONE_TIME_SECRETS..ONE_TIME_SECRETS + 100).contains(&kept), "{kept} secrets of {kind:?}");
    }
    world.send("alice", "bob", "all the same");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "all the same");
}

#[test]
fn a_mailbox_that_counts_anew_loses_nothing() {
    let mut world = World::friends(602);
    for i in 0..5 {
        world.send("alice", "bob", &format!("{i}"));
    }
    world.settle();
    world.disconnect("bob");
    world.relay.device("bob", 1).last_seq = 0;
    world.send("alice", "bob", "under a number that was used");
    world.settle();
    assert_eq!(world.relay.device("bob", 1).mailbox.len(), 1);
    world.clients.get_mut("bob").unwrap().notices_expected = true;
    world.connect("bob");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "under a number that was used");
    assert_eq!(world.texts("bob", "alice").len(), 8);
    assert_eq!(world.told("bob", EventKind::ServerNotice).len(), 1);
    assert!(world.relay.device("bob", 1).mailbox.is_empty());
}
