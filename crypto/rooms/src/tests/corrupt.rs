//! What cannot be read changes nothing (R16).

use rand_core::Rng;

use super::world::{Entry, ROOM, World};
use super::{did, size};
use crate::*;

/// A commit, a proposal and messages, each corrupted in one place or cut, given in every slot: no stored byte changes,
/// and the genuine ones are read afterwards as if nothing had happened.
#[test]
fn r16_what_cannot_be_read_changes_no_stored_byte() {
    let mut world = World::room_of(11, 4, Suite::Hybrid, Visibility::Private);
    let plan = Plan { renew: true, ..Plan::default() };
    let message = world.seal(2, b"a message").unwrap().bytes;
    let commit = world.make(1, plan).unwrap();
    let leave = {
        let mut person = world.people[3].borrow_mut();
        let person = &mut *person;
        let me = Me {
            account: &person.name,
            account_key: person.account_key,
            device: 1,
            secrets: &person.secrets,
        };
        person.room.as_mut().unwrap().leave(&person.store, &mut world.rng, me, world.now).unwrap()
    };
    let tries = size("SUBROSA_ROOM_CORRUPTIONS", 1_000);
    {
        let mut person = world.people[0].borrow_mut();
        let person = &mut *person;
        let room = person.room.as_mut().unwrap();
        let before = person.store.contents();
        for nth in 0..tries {
            let mut bytes = [&message, &commit.commit, &leave][nth % 3].clone();
            let at = world.rng.next_u32() as usize % bytes.len();
            match nth % 5 {
                0 => bytes.truncate(at),
                _ => bytes[at] ^= 1 << (world.rng.next_u32() % 8),
            }
            let verdict = room.receive_commit(
                &person.store,
                &mut world.rng,
                &bytes,
                &commit.delta,
                &world.lists,
                world.now,
            );
            assert!(matches!(verdict.unwrap(), Verdict::Refuse(_)), "{nth}");
            room.receive_leave(&person.store, &mut world.rng, &bytes, world.now).unwrap().unwrap_err();
            room.open(&person.store, &mut world.rng, &bytes, &world.lists, world.now).unwrap().unwrap_err();
            assert_eq!(person.store.contents(), before, "{nth}");
        }
    }
    did(&format!("{tries} corrupted commits, proposals and messages changed no stored byte"));
    world.log.push(Entry::Message(message));
    assert!(world.offer(&commit));
    world.agree();
    assert_eq!(world.texts(0), [b"a message".to_vec()]);
}

/// A welcome that does not fit leaves the key package where it was.
#[test]
fn r16_a_corrupted_welcome_uses_up_no_key_package() {
    let mut world = World::room_of(12, 2, Suite::Classic, Visibility::Private);
    let carol = world.person("carol", 1);
    let plan = world.plan_add(&[carol]);
    let made = world.make(0, plan).unwrap();
    assert!(world.offer(&made));
    let welcome = made.welcome.clone().unwrap();
    let before = world.people[carol].borrow().store.contents();
    for _ in 0..size("SUBROSA_ROOM_CORRUPTIONS", 1_000) / 10 {
        let mut bad = welcome.clone();
        let at = world.rng.next_u32() as usize % bad.len();
        bad[at] ^= 1 << (world.rng.next_u32() % 8);
        assert!(matches!(world.join(carol, &bad), Err(RoomError::Refused(_))));
        assert_eq!(world.people[carol].borrow().store.contents(), before);
    }
    world.join(carol, &welcome).unwrap();
    world.agree();
}

/// A commit that was refused for its rules, or for want of a list, changes nothing either, and can be given again.
#[test]
fn r16_a_commit_that_waits_for_lists_changes_nothing() {
    let mut world = World::room_of(13, 3, Suite::Classic, Visibility::Private);
    let dave = world.person("dave", 1);
    let plan = world.plan_add(&[dave]);
    let made = world.make(0, plan).unwrap();
    assert!(world.offer(&made));
    let mut person = world.people[1].borrow_mut();
    let person = &mut *person;
    let before = person.store.contents();
    let mut unknown = world.lists.clone();
    unknown.1.insert("dave".into());
    let room = person.room.as_mut().unwrap();
    let verdict = room
        .receive_commit(&person.store, &mut world.rng, &made.commit, &made.delta, &unknown, world.now)
        .unwrap();
    assert_eq!(verdict, Verdict::NeedLists(["dave".to_owned()].into()));
    assert_eq!(person.store.contents(), before);
    let verdict = room
        .receive_commit(&person.store, &mut world.rng, &made.commit, &made.delta, &world.lists, world.now)
        .unwrap();
    let Verdict::Accept(merged) = verdict else { panic!("{verdict:?}") };
    assert_eq!(merged.changes, [Change::Added(RoomDevice::new("dave", 1))]);
}

/// A transaction that the caller undoes takes what memory has of the room with it.
#[test]
fn r22_a_room_in_memory_never_runs_ahead_of_the_store() {
    let mut world = World::room_of(14, 2, Suite::Classic, Visibility::Private);
    let message = world.seal(0, b"once").unwrap().bytes;
    let mut person = world.people[1].borrow_mut();
    let person = &mut *person;
    let undone = person.store.clone();
    let room = person.room.as_mut().unwrap();
    room.open(&undone, &mut world.rng, &message, &world.lists, world.now).unwrap().unwrap();
    // `undone` was not kept: the room is read from the store again, where the message has not come yet.
    let opened =
        room.open(&person.store, &mut world.rng, &message, &world.lists, world.now).unwrap().unwrap();
    assert_eq!(opened.content, b"once");
    // Now it has: a second time it cannot be read.
    let again = room.open(&person.store, &mut world.rng, &message, &world.lists, world.now).unwrap();
    assert_eq!(again, Err(Refusal::Unreadable));
}

/// The own pending commit lives through a restart, and is merged or cleared, once.
#[test]
fn r32_a_pending_commit_is_merged_or_cleared_after_a_restart_never_both() {
    for accepted in [true, false] {
        let mut world = World::room_of(15, 3, Suite::Classic, Visibility::Private);
        let made = world.make(0, Plan { renew: true, ..Plan::default() }).unwrap();
        assert!(matches!(world.make(0, Plan::default()), Err(RoomError::Pending)));
        let head = world.people[0].borrow().room().head();
        {
            let mut person = world.people[0].borrow_mut();
            let person = &mut *person;
            let mut room = Room::load(&person.store, ROOM).unwrap().unwrap();
            assert_eq!(room.pending().unwrap().hash, made.hash);
            assert_eq!(room.head(), head);
            if accepted {
                let other = room.merge_pending(&person.store, &mut world.rng, &[0; 32], world.now);
                assert!(matches!(other, Err(RoomError::NoPending)));
                room.merge_pending(&person.store, &mut world.rng, &made.hash, world.now).unwrap();
                let twice = room.merge_pending(&person.store, &mut world.rng, &made.hash, world.now);
                assert!(matches!(twice, Err(RoomError::NoPending)));
            } else {
                room = room.clear_pending(&person.store, &mut world.rng, world.now).unwrap().unwrap();
                assert_eq!(room.head(), head);
                let after = room.merge_pending(&person.store, &mut world.rng, &made.hash, world.now);
                assert!(matches!(after, Err(RoomError::NoPending)));
            }
            person.room = Some(Room::load(&person.store, ROOM).unwrap().unwrap());
            assert!(person.room().pending().is_none());
            assert!(matches!(
                Room::load(&person.store, ROOM).unwrap().unwrap().clear_pending(
                    &person.store,
                    &mut world.rng,
                    world.now
                ),
                Err(RoomError::NoPending)
            ));
        }
        if accepted {
            assert!(world.offer(&made));
            world.people[0].borrow_mut().cursor += 1;
        }
        world.post(0, b"on we go");
        world.agree();
        assert_eq!(world.texts(1), [b"on we go".to_vec()]);
    }
}
