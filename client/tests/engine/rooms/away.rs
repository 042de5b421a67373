//! Devices that were away for days: keys of past epochs live for a day, and nothing is lost for that.

use crate::{rooms::id_of, world::World};
use subrosa_client::{Request, api::EventKind};

const DAYS_MS: u64 = 3 * 24 * 3_600_000;

#[test]
fn r30_a_message_that_was_encrypted_days_ago_is_encrypted_again() {
    let mut world = World::with_rooms(720, &["alice", "bob"]);
    world.gather(&["alice", "bob"]);
    // Bob's message is encrypted and never arrives; then he is away while the room changes.
    world.client("bob").crash_in = Some(0);
    world.client("bob").connected = false;
    let text = "written before";
    world.send_later("bob", "#ops", text, subrosa_client::api::WaitFor::Queued);
    world.client("bob").crash_in = None;
    world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "new".into() }).unwrap();
    world.settle();
    world.now += DAYS_MS;
    world.settle();
    if world.client("bob").core.is_none() {
        world.restart("bob");
    }
    world.send("bob", "#ops", "written after");
    world.run_for(120_000);
    assert_eq!(world.texts("alice", "#ops"), [text, "written after"]);
    assert!(world.told("alice", EventKind::MessageMissing).is_empty());
}

#[test]
fn r30_who_was_away_between_a_change_and_what_was_written_before_it_reads_both() {
    let mut world = World::with_rooms(721, &["alice", "bob", "carol"]);
    let room = id_of(&world.gather(&["alice", "bob", "carol"]));
    // Carol's message comes into the log after a change that she had not seen.
    world.relay.silent = true;
    world.room("alice", Request::RoomTopic { room: "#ops".into(), topic: "new".into() }).unwrap();
    let change = world.relay.rooms.rooms[&room].log.len() as u64;
    world.send("carol", "#ops", "in the epoch before");
    world.relay.silent = false;
    let log = &world.relay.rooms.rooms[&room].log;
    let last = log.last().unwrap();
    assert!(last.seq == change + 1 && last.epoch < world.relay.rooms.rooms[&room].epoch, "{last:?}");
    // Bob reads the change, and is away before he reads the message.
    world.relay.rooms.rooms.get_mut(&room).unwrap().holes.insert(change + 1);
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    assert_eq!(world.shown("bob", "#ops").topic.as_str(), "new");
    world.disconnect("bob");
    world.relay.rooms.rooms.get_mut(&room).unwrap().holes.clear();
    world.now += DAYS_MS;
    world.connect("bob");
    world.run_for(120_000);
    assert_eq!(world.texts("bob", "#ops"), ["in the epoch before"]);
    assert!(world.told("bob", EventKind::MessageMissing).is_empty());
}
