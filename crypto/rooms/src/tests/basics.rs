//! Each operation once.

use crate::*;

use super::world::{Entry, World};

#[test]
fn two_members_talk_in_both_suites() {
    for suite in Suite::ALL {
        let mut world = World::room_of(1, 2, suite, Visibility::Private);
        world.post(0, b"hello");
        world.post(1, b"hello yourself");
        world.agree();
        assert_eq!(world.texts(1), [b"hello".to_vec()]);
        assert_eq!(world.texts(0), [b"hello yourself".to_vec()]);
        assert_eq!(world.people[0].borrow().room().suite(), suite);
    }
}

#[test]
fn a_public_room_is_joined_from_outside() {
    let mut world = World::room_of(2, 2, Suite::Hybrid, Visibility::Public);
    let carol = world.person("carol", 1);
    let made = world.join_external(carol).unwrap();
    // Before the relay's word nothing can be posted.
    assert!(matches!(world.seal(carol, b"early"), Err(RoomError::Pending)));
    assert!(world.offer(&made));
    world.post(carol, b"hi");
    world.agree();
    assert_eq!(world.texts(0), [b"hi".to_vec()]);
    // One that loses is gone again, and may try anew.
    let dave = world.person("dave", 1);
    let late = world.join_external(dave).unwrap();
    world.commit(0, Plan { renew: true, ..Plan::default() });
    assert!(!world.offer(&late));
    {
        let mut person = world.people[dave].borrow_mut();
        let room = person.room.take().unwrap();
        assert!(room.clear_pending(&person.store, &mut world.rng, world.now).unwrap().is_none());
        assert!(person.store.contents().is_empty(), "nothing is left of a join that failed");
    }
    let made = world.join_external(dave).unwrap();
    assert!(world.offer(&made));
    world.agree();
}

#[test]
fn leaving_is_a_proposal_that_another_member_commits() {
    let mut world = World::room_of(3, 3, Suite::Classic, Visibility::Private);
    world.leave(2);
    world.sync_all();
    assert!(matches!(world.seal(0, b"no"), Err(RoomError::Leaving)));
    let made = world.commit(1, Plan::default());
    assert_eq!(made.leaves, 1);
    assert_eq!(made.changes, [Change::Left(RoomDevice::new("user2", 1))]);
    world.post(0, b"now");
    world.agree();
    assert_eq!(world.people[0].borrow().room().members().len(), 2);
}

/// Somebody makes a proposal to leave, which is not sent, and stays; who is leaving then.
fn stay(world: &mut World, who: usize) -> Vec<RoomDevice> {
    let mut person = world.people[who].borrow_mut();
    let person = &mut *person;
    let me =
        Me { account: &person.name, account_key: person.account_key, device: 1, secrets: &person.secrets };
    let room = person.room.as_mut().unwrap();
    let before = room.leaving().len();
    room.leave(&person.store, &mut world.rng, me, world.now).unwrap();
    assert_eq!(room.leaving().len(), before + 1);
    room.stay(&person.store, &mut world.rng, world.now).unwrap();
    room.leaving().into_iter().collect()
}

#[test]
fn who_stays_after_all_writes_on() {
    let mut world = World::room_of(33, 4, Suite::Classic, Visibility::Private);
    assert!(stay(&mut world, 1).is_empty());
    world.post(1, b"still here");
    world.leave(2);
    world.sync_all();
    // Somebody else's proposal is in the log: it holds.
    let leaver = RoomDevice::new("user2", 1);
    assert_eq!(stay(&mut world, 1), std::slice::from_ref(&leaver));
    let made = world.commit(1, Plan::default());
    assert_eq!(made.changes, [Change::Left(leaver)]);
    world.post(1, b"and here");
    world.agree();
    assert_eq!(world.texts(3), [b"still here".to_vec(), b"and here".to_vec()]);
}

#[test]
fn whose_last_device_goes_has_no_role_afterwards() {
    let mut world = World::room_of(31, 4, Suite::Classic, Visibility::Public);
    for (who, role) in [("user1", Role::Owner), ("user2", Role::Moderator)] {
        let plan = world.people[0].borrow().room().plan_policy(|p| p.set_role(who, role));
        world.commit(0, plan);
        world.sync_all();
    }
    let second = world.person("user2", 2);
    let plan = world.plan_add(&[second]);
    world.commit(0, plan);
    world.sync_all();
    // A member takes out the first owner, who left: it needs no right to take the role with it.
    world.leave(0);
    world.sync_all();
    let made = world.commit(3, Plan::default());
    assert!(made.changes.contains(&Change::Role("user0".into(), Role::Member)), "{:?}", made.changes);
    world.sync_all();
    // A moderator's device leaves, and another one stays.
    world.leave(second);
    world.sync_all();
    world.commit(3, Plan::default());
    world.sync_all();
    let policy = world.people[1].borrow().room().policy().clone();
    assert_eq!((policy.role("user0"), policy.role("user2")), (Role::Member, Role::Moderator));
    // The last owner cannot lose the role.
    world.leave(1);
    world.sync_all();
    world.commit(3, Plan::default());
    world.agree();
    assert_eq!(world.people[3].borrow().room().policy().role("user1"), Role::Owner);
}

#[test]
fn roles_topics_bans_and_mutes() {
    let mut world = World::room_of(4, 4, Suite::Classic, Visibility::Private);
    let plan = |world: &World, who: usize, change: fn(&mut Policy)| {
        world.people[who].borrow().room().plan_policy(change)
    };
    let promote = plan(&world, 0, |p| p.set_role("user1", Role::Moderator));
    let made = world.commit(0, promote);
    assert_eq!(made.changes, [Change::Role("user1".into(), Role::Moderator)]);
    world.sync_all();
    let topic = plan(&world, 1, |p| p.topic = "Cats".into());
    world.commit(1, topic);
    world.sync_all();
    let mute = plan(&world, 1, |p| p.muted = ["user3".to_owned()].into());
    world.commit(1, mute);
    world.agree();
    assert!(matches!(world.seal(3, b"mmh"), Err(RoomError::Refused(Refusal::Muted))));
    let ban = world.people[1].borrow().room().plan_ban("user3");
    let made = world.commit(1, ban);
    assert!(made.changes.contains(&Change::Banned("user3".into())));
    assert!(made.delta.banned.contains("user3"));
    world.agree();
    assert!(world.people[3].borrow().room.is_none());
    // Nobody adds somebody banned.
    let again = world.plan_add(&[3]);
    assert!(matches!(world.make(0, again), Err(RoomError::Refused(Refusal::NoRight(Act::Ban)))));
}

#[test]
fn a_second_device_follows_its_accounts_list() {
    let mut world = World::room_of(5, 3, Suite::Classic, Visibility::Private);
    let second = world.person("user2", 2);
    // Somebody without the right to invite adds it: the account is a member.
    let plan = world.plan_add(&[second]);
    world.commit(1, plan);
    world.post(second, b"from my other device");
    world.agree();
    // It is taken off the list: anybody removes the leaf.
    world.lists.0.remove(&RoomDevice::new("user2", 2));
    let dropped = world.people[1].borrow().room().dropped_members(&world.lists);
    assert_eq!(dropped, [RoomDevice::new("user2", 2)]);
    let made = world.commit(1, Plan { remove: dropped.into_iter().collect(), ..Plan::default() });
    assert_eq!(made.changes, [Change::Dropped(RoomDevice::new("user2", 2))]);
    world.agree();
    // The account's other device renews its leaf for that (R34).
    assert_eq!(world.people[2].borrow().room().update_due(world.now), Some(UpdateReason::Joined));
    world.commit(2, Plan { renew: true, ..Plan::default() });
    assert_eq!(world.people[2].borrow().room().update_due(world.now), None);
}

#[test]
fn r34_a_device_renews_its_leaf_after_another_of_its_account_was_removed() {
    let mut world = World::room_of(6, 2, Suite::Classic, Visibility::Private);
    let second = world.person("user1", 2);
    let plan = world.plan_add(&[second]);
    world.commit(0, plan);
    world.sync_all();
    world.commit(1, Plan { renew: true, ..Plan::default() });
    assert_eq!(world.people[1].borrow().room().update_due(world.now), None);
    world.lists.0.remove(&RoomDevice::new("user1", 2));
    world.commit(0, Plan { remove: [RoomDevice::new("user1", 2)].into(), ..Plan::default() });
    world.agree();
    assert_eq!(world.people[1].borrow().room().update_due(world.now), Some(UpdateReason::DeviceRemoved));
}

#[test]
fn r31_the_loser_of_a_race_follows_the_winner_and_tries_again() {
    let mut world = World::room_of(7, 4, Suite::Classic, Visibility::Private);
    let plans: Vec<_> = (0..4).map(|_| Plan { renew: true, ..Plan::default() }).collect();
    let made: Vec<_> =
        plans.into_iter().enumerate().map(|(who, plan)| world.make(who, plan).unwrap()).collect();
    assert!(world.offer(&made[2]));
    assert!([0, 1, 3].iter().all(|who| !world.offer(&made[*who])));
    world.agree();
    assert!(world.people.iter().all(|person| person.borrow().room().pending().is_none()));
    for who in [0, 1, 3] {
        world.commit(who, Plan { renew: true, ..Plan::default() });
    }
    world.agree();
    assert_eq!(world.epoch, 5);
    // Keys of the paths of past epochs are gone.
    for person in &world.people {
        assert_eq!(person.borrow().store.keys(store::Part::EpochKeys, b"").unwrap().len(), 1);
    }
    let myself = Plan { remove: [RoomDevice::new("user1", 1)].into(), ..Plan::default() };
    assert!(matches!(world.make(1, myself), Err(RoomError::Refused(Refusal::NoRight(Act::Kick)))));
    let twice = world.plan_add(&[2]);
    assert!(matches!(world.make(0, twice), Err(RoomError::Refused(Refusal::Credential))));
}

#[test]
fn r31_an_owner_reboots_a_broken_room() {
    for visibility in [Visibility::Private, Visibility::Public] {
        let mut world = World::room_of(8, 4, Suite::Classic, visibility);
        world.post(3, b"before");
        world.agree();
        let invitees: Vec<_> = (1..4).map(|who| world.invitee(who)).collect();
        let (reboot, signature, hash, welcome) = {
            let mut person = world.people[0].borrow_mut();
            let room = person.room.take().unwrap();
            let (room, made) = room
                .reboot(
                    &person.store,
                    &mut world.rng,
                    person.me(),
                    &world.owner_key,
                    invitees,
                    &world.lists,
                    world.now,
                )
                .unwrap();
            assert_eq!(made.group_info.is_some(), visibility == Visibility::Public);
            person.room = Some(room);
            (made.reboot, made.signature, made.hash, made.welcome.unwrap())
        };
        assert!(matches!(world.seal(0, b"early"), Err(RoomError::Pending)));
        {
            let mut person = world.people[0].borrow_mut();
            let person = &mut *person;
            person
                .room
                .as_mut()
                .unwrap()
                .merge_pending(&person.store, &mut world.rng, &hash, world.now)
                .unwrap();
        }
        world.generation = 1;
        world.epoch = 1;
        for who in 1..4 {
            let mut person = world.people[who].borrow_mut();
            let room = person.room.take().unwrap();
            let joined = room
                .follow_reboot(
                    &person.store,
                    &mut world.rng,
                    person.me(),
                    &reboot,
                    &signature,
                    &welcome,
                    &world.lists,
                )
                .unwrap();
            assert_eq!(joined.inviter, RoomDevice::new("user0", 1));
            person.room = Some(joined.room);
        }
        world.post(3, b"after");
        world.agree();
        assert_eq!(world.texts(1).last().unwrap(), b"after");
        assert!(world.people.iter().all(|person| person.borrow().refused.is_empty()));
        // The chain of a sender goes on over the reboot.
        let sealed = world.seal(3, b"x").unwrap();
        assert_eq!(sealed.place.counter, 3);
    }
}

#[test]
fn a_message_sealed_again_keeps_its_place() {
    let mut world = World::room_of(9, 3, Suite::Classic, Visibility::Private);
    let first = world.seal(1, b"slow").unwrap();
    let id = [9; 16];
    let (again, next) = {
        for _ in 0..2 {
            world.commit(0, Plan { renew: true, ..Plan::default() });
        }
        world.sync(1);
        let mut person = world.people[1].borrow_mut();
        let person = &mut *person;
        let me = Me {
            account: &person.name,
            account_key: person.account_key,
            device: 1,
            secrets: &person.secrets,
        };
        let room = person.room.as_mut().unwrap();
        let again = room
            .seal(&person.store, &mut world.rng, me, id, Slot::Again(first.place), b"slow", world.now)
            .unwrap();
        let next =
            room.seal(&person.store, &mut world.rng, me, [1; 16], Slot::Next, b"next", world.now).unwrap();
        (again, next)
    };
    assert_eq!(again.place, first.place);
    assert_eq!(next.place.prev_hash, first.hash);
    assert_eq!(next.place.counter, 2);
    world.log.push(Entry::Message(again.bytes));
    world.log.push(Entry::Message(next.bytes));
    world.agree();
    assert_eq!(world.texts(0), [b"slow".to_vec(), b"next".to_vec()]);
}
