//! A large room once: it fits its bounds.

use super::world::World;
use super::{did, size};
use crate::*;

#[test]
fn r30_a_large_room_fits_its_bounds() {
    let members = size("SUBROSA_ROOM_MEMBERS", 100).min(limits::LEAVES_MAX);
    let mut world = World::new(21, Suite::Classic);
    for nth in 0..members {
        world.person(&format!("user{nth}"), 1);
    }
    world.create(0, Visibility::Public);
    let others: Vec<_> = (1..members).collect();
    // Only the first, the second and the last are asked anything: the others join when they look.
    let mut last = None;
    for some in others.chunks(limits::PROPOSALS_MAX) {
        let plan = world.plan_add(some);
        let made = world.make(0, plan).unwrap();
        assert!(world.offer(&made));
        world.sync(0);
        if let Some(1) = some.first() {
            world.join(1, made.welcome.as_ref().unwrap()).unwrap();
        }
        world.sync(1);
        last = made.welcome;
    }
    world.join(members - 1, last.as_ref().unwrap()).unwrap();
    let info = world.group_info.as_ref().unwrap().len();
    assert!(info <= limits::OBJECT_MAX && last.unwrap().len() <= limits::OBJECT_MAX);
    let renewed = world.commit(members - 1, Plan { renew: true, ..Plan::default() });
    assert!(renewed.commit.len() <= limits::OBJECT_MAX);
    let before = world.people[1].borrow().store.written();
    world.post(0, b"hello");
    world.sync(1);
    let written = world.people[1].borrow().store.written() - before;
    world.agree_among(&[0, 1, members - 1]);
    did(&format!(
        "{members} members: group info {info} B, path from an unpopulated tree {} B, {written} B stored for one message and the commit before it",
        renewed.commit.len()
    ));
    if members == limits::LEAVES_MAX {
        let extra = world.person("extra", 1);
        let plan = world.plan_add(&[extra]);
        assert!(matches!(world.make(0, plan), Err(RoomError::Refused(Refusal::Full))));
    }
}

/// What one message writes, with three past epochs kept: only what it changed.
#[test]
fn a_message_writes_little_whatever_the_size() {
    for members in [10, size("SUBROSA_ROOM_MEMBERS", 100)] {
        let mut world =
            World::room_of(22, members.min(limits::LEAVES_MAX), Suite::Classic, Visibility::Private);
        for _ in 0..4 {
            world.commit(0, Plan { renew: true, ..Plan::default() });
        }
        world.sync(1);
        world.post(0, b"warm");
        world.sync(1);
        let (sent, received) =
            (world.people[0].borrow().store.written(), world.people[1].borrow().store.written());
        for _ in 0..20 {
            world.post(0, b"one more");
        }
        world.sync(1);
        let sent = (world.people[0].borrow().store.written() - sent) / 20;
        let received = (world.people[1].borrow().store.written() - received) / 20;
        did(&format!("{members} members: {sent} B written to send one message, {received} B to receive one"));
        assert!(sent < 16 * 1024 && received < 16 * 1024, "{sent} {received}");
    }
}
