//! Relays that lie.

use openmls::prelude::OpenMlsProvider;

use super::liars::lie;
use super::world::{Entry, ROOM, World};
use crate::provider::Provider;
use crate::*;

/// Gives an entry to somebody by hand.
fn give(world: &mut World, who: usize, commit: &[u8], delta: &Delta) -> Verdict {
    let mut person = world.people[who].borrow_mut();
    let person = &mut *person;
    let room = person.room.as_mut().unwrap();
    room.receive_commit(&person.store, &mut world.rng, commit, delta, &world.lists, world.now).unwrap()
}

#[test]
fn a_replayed_commit_and_one_with_a_gap_before_it_are_refused() {
    let mut world = World::room_of(51, 3, Suite::Classic, Visibility::Private);
    let first = world.commit(0, Plan { renew: true, ..Plan::default() });
    let second = world.commit(0, Plan { renew: true, ..Plan::default() });
    assert_eq!(give(&mut world, 1, &second.commit, &second.delta), Verdict::Refuse(Refusal::Epoch(2)));
    world.agree();
    let before = world.people[1].borrow().store.contents();
    assert_eq!(give(&mut world, 1, &first.commit, &first.delta), Verdict::Refuse(Refusal::Epoch(1)));
    assert_eq!(world.people[1].borrow().store.contents(), before);
    assert!(!Refusal::Epoch(1).breaks_room());
}

#[test]
fn r29_two_halves_with_different_commits_find_out_by_their_heads() {
    let mut world = World::room_of(52, 4, Suite::Classic, Visibility::Private);
    let common = world.people[0].borrow().room().head();
    let one = world.make(0, Plan { renew: true, ..Plan::default() }).unwrap();
    let other = world.make(1, Plan { renew: true, ..Plan::default() }).unwrap();
    for (who, made) in [(0, &one), (2, &one), (1, &other), (3, &other)] {
        let made = made.clone();
        assert!(matches!(give(&mut world, who, &made.commit, &made.delta), Verdict::Accept(_)));
    }
    let heads: Vec<_> = world.people.iter().map(|person| person.borrow().room().head()).collect();
    let compare = |who: usize, head: &Head| world.people[who].borrow().room().compare(head);
    assert_eq!(compare(0, &heads[2]), HeadMatch::Same);
    assert_eq!(compare(1, &heads[3]), HeadMatch::Same);
    for (who, of) in [(0, 1), (2, 3), (3, 0)] {
        assert_eq!(compare(who, &heads[of]), HeadMatch::Forked);
    }
    // The epoch before was one, and its head is still known; later ones are compared when they are reached.
    assert_eq!(compare(3, &common), HeadMatch::Same);
    assert_eq!(compare(0, &Head { epoch: 9, ..common }), HeadMatch::Ahead);
    assert_eq!(compare(0, &Head { epoch: common.epoch, hash: [0; 32], ..common }), HeadMatch::Forked);
}

#[test]
fn a_replayed_welcome_is_refused() {
    let mut world = World::room_of(53, 2, Suite::Classic, Visibility::Private);
    let carol = world.person("carol", 1);
    let plan = world.plan_add(&[carol]);
    let made = world.commit(0, plan);
    let welcome = made.welcome.unwrap();
    assert!(matches!(world.join(carol, &welcome), Err(RoomError::Refused(Refusal::Replayed))));
    world.leave(carol);
    world.sync_all();
    world.commit(0, Plan::default());
    // The key package is used up.
    assert!(matches!(world.join(carol, &welcome), Err(RoomError::Refused(Refusal::NotForMe))));
    // With a last-resort key package it is the epoch that tells.
    let last = {
        let person = world.people[carol].borrow();
        let made =
            key_packages::make(&person.store, &mut world.rng, person.me(), Suite::Classic, true, world.now)
                .unwrap();
        assert!(made.last_resort);
        key_packages::check(&made.bytes, &person.id(), Suite::Classic, &world.lists, world.now).unwrap()
    };
    let made = world.commit(0, Plan { add: vec![last], ..Plan::default() });
    let welcome = made.welcome.unwrap();
    world.agree();
    world.leave(carol);
    world.sync_all();
    world.commit(0, Plan::default());
    assert!(matches!(world.join(carol, &welcome), Err(RoomError::Refused(Refusal::Replayed))));
}

#[test]
fn a_forged_or_foreign_welcome_is_refused() {
    let mut world = World::room_of(54, 2, Suite::Classic, Visibility::Private);
    let carol = world.person("carol", 1);
    // Somebody who is in no list makes a group of the same name and invites.
    let mut forger = World::new(99, Suite::Classic);
    let ghost = forger.person("user0", 1);
    forger.create(ghost, Visibility::Private);
    let invitee = world.invitee(carol);
    forger.lists = world.lists.clone();
    let own = forger.people[ghost].borrow().secrets.verifying_key().0;
    forger.lists.0.insert(RoomDevice::new("user0", 1), (own, [0; 32]));
    let made = forger.make(ghost, Plan { add: vec![invitee], ..Plan::default() }).unwrap();
    let before = world.people[carol].borrow().store.contents();
    let denied = world.join(carol, made.welcome.as_ref().unwrap());
    assert!(matches!(denied, Err(RoomError::Refused(Refusal::Leaf(_)))));
    assert_eq!(world.people[carol].borrow().store.contents(), before);
    // A genuine welcome under another room's id, generation, or for somebody else.
    let plan = world.plan_add(&[carol]);
    let made = world.commit(0, Plan { ..plan });
    let welcome = made.welcome.unwrap();
    let dave = world.person("dave", 1);
    assert!(matches!(world.join(dave, &welcome), Err(RoomError::Refused(Refusal::NotForMe))));
    let person = world.people[dave].borrow();
    let elsewhere =
        Room::join(&person.store, &mut world.rng, person.me(), &welcome, [1; 16], 0, &world.lists);
    assert!(elsewhere.is_err());
}

#[test]
fn a_forged_group_info_is_refused() {
    let mut world = World::room_of(55, 3, Suite::Classic, Visibility::Public);
    let carol = world.person("carol", 1);
    let good = world.group_info.clone().unwrap();
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        world.group_info = Some(bad);
        assert!(matches!(world.join_external(carol), Err(RoomError::Refused(_))), "{at}");
        assert!(world.people[carol].borrow().store.contents().is_empty());
    }
    // A whole room of ghosts: of one that claims to be an owner, and of one that nobody knows.
    for name in ["user0", "nobody"] {
        let mut forger = World::new(98, Suite::Classic);
        let ghost = forger.person(name, 1);
        forger.create(ghost, Visibility::Public);
        world.group_info = forger.group_info;
        assert!(matches!(world.join_external(carol), Err(RoomError::Refused(Refusal::Leaf(_)))), "{name}");
    }
    world.group_info = Some(good);
    let made = world.join_external(carol).unwrap();
    assert!(world.offer(&made));
    world.agree();
}

#[test]
fn r30_nobody_joins_a_private_room_from_outside() {
    let mut world = World::room_of(56, 3, Suite::Classic, Visibility::Private);
    // A member gives the group info away, and the joiner pretends that the room is public.
    let info = {
        let person = world.people[2].borrow();
        let provider = Provider::new(&person.store, &mut world.rng);
        let info = person.room().group.export_group_info(provider.crypto(), &person.me(), true);
        info.unwrap().to_bytes().unwrap()
    };
    assert!(matches!(
        world.people[2].borrow().room().group_info(
            &world.people[2].borrow().store,
            &mut world.rng,
            world.people[2].borrow().me()
        ),
        Err(RoomError::Refused(Refusal::External))
    ));
    let mallory = world.person("mallory", 1);
    world.group_info = Some(info.clone());
    assert!(matches!(world.join_external(mallory), Err(RoomError::Refused(Refusal::External))));
    // The joiner's client does not care.
    let (commit, delta) = outside(&mut world, mallory, &info);
    for who in 0..3 {
        assert_eq!(give(&mut world, who, &commit, &delta), Verdict::Refuse(Refusal::External));
    }
    world.post(0, b"among us");
    world.agree();
}

/// An external commit that no rule was asked about.
fn outside(world: &mut World, who: usize, info: &[u8]) -> (Vec<u8>, Delta) {
    use openmls::group::MlsGroup;
    use openmls::prelude::{LeafNodeParameters, MlsMessageBodyIn};
    let person = world.people[who].borrow();
    let provider = Provider::new(&person.store, &mut world.rng);
    let MlsMessageBodyIn::GroupInfo(info) = join::parse(info).unwrap() else { panic!() };
    let delta = Delta { added: [person.id()].into(), ..Delta::default() };
    let leaf = LeafNodeParameters::builder().with_capabilities(config::capabilities()).build();
    let (_, bundle) = MlsGroup::external_commit_builder()
        .with_config(config::join())
        .with_aad(delta.hash(&ROOM, 0, info.epoch().as_u64()).to_vec())
        .build_group(&provider, info, person.me().credential())
        .unwrap()
        .leaf_node_parameters(leaf)
        .load_psks(provider.storage())
        .unwrap()
        .build(provider.rand(), provider.crypto(), &person.me(), |_| true)
        .unwrap()
        .finalize(&provider)
        .unwrap();
    (bundle.into_commit().to_bytes().unwrap(), delta)
}

#[test]
fn r30_members_and_banned_accounts_do_not_join_from_outside() {
    let mut world = World::room_of(57, 3, Suite::Classic, Visibility::Public);
    let mallory = world.person("mallory", 1);
    let second = world.person("user2", 2);
    let ban = world.people[0].borrow().room().plan_ban("mallory");
    world.commit(0, ban);
    world.agree_among(&[0, 1, 2]);
    for who in [mallory, second] {
        match world.join_external(who) {
            Err(RoomError::Refused(Refusal::External)) => assert_eq!(who, mallory),
            Err(RoomError::Member) => assert_eq!(who, second),
            other => panic!("{:?}", other.map(|made| made.delta)),
        }
        let info = world.group_info.clone().unwrap();
        let (commit, delta) = outside(&mut world, who, &info);
        for who in 0..3 {
            assert_eq!(give(&mut world, who, &commit, &delta), Verdict::Refuse(Refusal::External));
        }
    }
    world.agree_among(&[0, 1, 2]);
}

#[test]
fn who_was_removed_reads_nothing_after_and_says_nothing_after() {
    let mut world = World::room_of(58, 3, Suite::Classic, Visibility::Private);
    let late = world.seal(2, b"after my time").unwrap().bytes;
    let kick = world.people[0].borrow().room().plan_kick("user2");
    world.commit(0, kick);
    let secret = {
        world.post(0, b"without user2");
        world.log.last().cloned().unwrap()
    };
    world.agree();
    assert!(world.people[2].borrow().room.is_none());
    assert!(!world.people[2].borrow().read.iter().any(|(_, text)| text == b"without user2"));
    // Whatever is left in its store opens nothing of it.
    assert!(Room::load(&world.people[2].borrow().store, ROOM).unwrap().is_none());
    let left = world.people[2].borrow().store.contents();
    let harmless = [store::Part::Left, store::Part::KeyPackageNote];
    assert!(
        left.iter().all(|(part, ..)| harmless.contains(part)),
        "no key is left behind: {:?}",
        left.iter().map(|(part, ..)| part).collect::<Vec<_>>()
    );
    let Entry::Message(secret) = secret else { panic!() };
    assert!(!secret.windows(7).any(|part| part == b"without"));
    // A relay that lets it post, or holds back what it sealed before, finds nobody who listens.
    world.log.push(Entry::Message(late));
    world.sync_all();
    assert_eq!(world.refusals(0), [Refusal::NotMember]);
    assert_eq!(world.refusals(1), [Refusal::NotMember]);
}

#[test]
fn r30_messages_of_three_past_epochs_are_read_for_a_day() {
    for (epochs, hours, read) in [(3, 23, true), (4, 1, false), (1, 25, false)] {
        let mut world = World::room_of(59, 2, Suite::Classic, Visibility::Private);
        let late = world.seal(1, b"late").unwrap().bytes;
        for _ in 0..epochs {
            world.commit(0, Plan { renew: true, ..Plan::default() });
        }
        world.now += hours * 60 * 60 * 1000;
        world.log.push(Entry::Message(late));
        world.sync_all();
        assert_eq!(!world.texts(0).is_empty(), read, "{epochs} epochs, {hours} h");
        assert_eq!(world.refusals(0).is_empty(), read);
    }
}

#[test]
fn r30_order_within_a_hundred_and_gaps_below_a_thousand() {
    let mut world = World::room_of(60, 2, Suite::Classic, Visibility::Private);
    let mut sealed: Vec<_> =
        (0..200u32).map(|nth| world.seal(1, &nth.to_le_bytes()).unwrap().bytes).collect();
    // The last first; then those of the hundred before it, and not the ones older than that.
    let newest = sealed.pop().unwrap();
    world.log.push(Entry::Message(newest));
    for bytes in sealed.into_iter().rev() {
        world.log.push(Entry::Message(bytes));
    }
    world.sync(0);
    let (read, refused) = (world.texts(0).len(), world.refusals(0).len());
    assert_eq!(read + refused, 200);
    assert!((100..=102).contains(&read), "{read}");
    assert!(world.refusals(0).iter().all(|refusal| *refusal == Refusal::Unreadable));
    for (skipped, fits) in [(990, true), (1_010, false)] {
        for _ in 0..skipped {
            world.seal(1, b"never comes").unwrap();
        }
        let bytes = world.seal(1, b"far").unwrap().bytes;
        world.log.push(Entry::Message(bytes));
        let before = world.texts(0).len();
        world.sync(0);
        assert_eq!(world.texts(0).len() > before, fits, "{skipped} skipped");
    }
}

#[test]
fn r35_key_packages_are_checked() {
    let mut world = World::room_of(61, 2, Suite::Classic, Visibility::Private);
    let carol = world.person("carol", 1);
    let make = |world: &mut World, suite| {
        let person = world.people[carol].borrow();
        key_packages::make(&person.store, &mut world.rng, person.me(), suite, false, world.now).unwrap()
    };
    let made = make(&mut world, Suite::Hybrid);
    let id = RoomDevice::new("carol", 1);
    let check = |bytes: &[u8], id: &RoomDevice, suite, lists: &dyn Fn(&RoomDevice) -> Listed, now| {
        key_packages::check(bytes, id, suite, &|device: &RoomDevice| lists(device), now)
            .map(|invitee| invitee.device)
    };
    let lists = |device: &RoomDevice| world.lists.look(device);
    let now = world.now;
    assert_eq!(check(&made.bytes, &id, Suite::Hybrid, &lists, now), Ok(id.clone()));
    let refused = |refusal| Err(key_packages::CheckError::Refused(refusal));
    assert_eq!(check(&made.bytes, &id, Suite::Classic, &lists, now), refused(Refusal::NotForMe));
    assert_eq!(
        check(&made.bytes, &RoomDevice::new("dave", 1), Suite::Hybrid, &lists, now),
        refused(Refusal::NotForMe)
    );
    assert_eq!(check(&made.bytes, &id, Suite::Hybrid, &lists, made.not_after), refused(Refusal::Expired));
    let early = now - 3 * limits::CLOCK_SKEW_MS;
    assert_eq!(check(&made.bytes, &id, Suite::Hybrid, &lists, early), refused(Refusal::Expired));
    assert_eq!(
        check(&made.bytes, &id, Suite::Hybrid, &|_| Listed::Absent, now),
        refused(Refusal::Leaf(id.clone()))
    );
    assert_eq!(
        check(&made.bytes, &id, Suite::Hybrid, &|_| Listed::Unknown, now),
        Err(key_packages::CheckError::NeedList("carol".into()))
    );
    for at in (0..made.bytes.len()).step_by(97) {
        let mut bad = made.bytes.clone();
        bad[at] ^= 1;
        assert!(check(&bad, &id, Suite::Hybrid, &lists, now).is_err());
    }
    assert_eq!([key_packages::refill(25), key_packages::refill(8), key_packages::refill(7)], [0, 0, 18]);
    // Private keys go a month after the end, not before.
    let store = &world.people[carol].borrow().store;
    let end = made.not_after + limits::KEY_PACKAGE_GRACE_MS;
    assert_eq!(key_packages::expire(store, end - 1).unwrap(), 0);
    assert_eq!(key_packages::expire(store, end).unwrap(), 1);
    assert!(store.contents().is_empty());
}

#[test]
fn r31_a_new_owner_key_is_signed_by_the_old_one() {
    let mut world = World::room_of(62, 3, Suite::Classic, Visibility::Private);
    let new = OwnerKey::generate(&mut world.rng);
    let key = new.public();
    let (generation, epoch) = (0, world.epoch);
    let signed = world.owner_key.hand_over(&ROOM, generation, epoch, &new);
    let forged = OwnerKey::generate(&mut world.rng).hand_over(&ROOM, generation, epoch, &new);
    let plan = |world: &World, signed: Option<NewOwnerKey>| {
        let plan = world.people[0].borrow().room().plan_policy(|p| p.owner_key = key);
        Plan { owner_key: signed, ..plan }
    };
    let unsigned = plan(&world, None);
    assert!(matches!(world.make(0, unsigned), Err(RoomError::Refused(Refusal::Delta))));
    let wrong = plan(&world, Some(forged.clone()));
    assert!(matches!(world.make(0, wrong), Err(RoomError::Refused(Refusal::NoRight(Act::OwnerKey)))));
    // An owner's client that does not care.
    let mut policy = world.people[0].borrow().room().policy().clone();
    policy.owner_key = key;
    let extensions = config::extensions(&policy).unwrap();
    let delta = Delta { owner_key: Some(forged), ..Delta::default() };
    let commit = lie(&mut world, 0, &delta, |b| b.propose_group_context_extensions(extensions).unwrap());
    assert_eq!(give(&mut world, 1, &commit, &delta), Verdict::Refuse(Refusal::NoRight(Act::OwnerKey)));
    let right = plan(&world, Some(signed));
    let made = world.commit(0, right);
    assert_eq!(made.changes, [Change::OwnerKey]);
    world.agree();
}
