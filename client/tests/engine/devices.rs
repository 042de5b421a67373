//! Several devices of one account.

use subrosa_client::api::{ConnectionState, Direction, EventKind, MessageKind, MessageState, Reply, Request};
use subrosa_crypto::verify::device_list::DeviceList;

use crate::world::World;

#[test]
fn a_second_device_gets_copies_and_messages() {
    let mut world = World::friends(200);
    world.login("alice", "alice2");
    world.settle();
    assert_eq!(world.told("alice", EventKind::DeviceLinked).len(), 1);
    world.send("alice", "bob", "from the first");
    world.settle();
    world.send("bob", "alice", "to both");
    world.settle();
    let id = world.send("alice2", "bob", "from the second");
    world.settle();
    assert_eq!(world.texts("bob", "alice")[2..], ["from the first", "to both", "from the second"]);
    assert_eq!(world.texts("alice", "bob")[2..], ["from the first", "to both", "from the second"]);
    assert_eq!(world.texts("alice2", "bob"), ["from the first", "to both", "from the second"]);
    let copy = &world.history("alice2", "bob")[0];
    assert_eq!((copy.direction, copy.device), (Direction::Out, 1));
    assert_eq!(world.state("alice2", &id), MessageState::Delivered);
    assert_eq!(
        world.state("alice", &id),
        MessageState::Delivered,
        "receipts go to all of the writer's devices"
    );
    assert!(world.notices("bob", "alice").contains(&MessageKind::DeviceAdded { device: 2 }));
    assert_eq!(world.contact("alice2", "bob").unwrap().state, subrosa_client::api::ContactState::Accepted);
}

#[test]
fn r28_a_stale_device_list_is_renewed_and_the_new_device_is_not_left_out() {
    let mut world = World::friends(201);
    world.disconnect("alice");
    world.send("alice", "bob", "sealed for one device");
    world.login("bob", "bob2");
    world.settle();
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "sealed for one device");
    assert_eq!(world.texts("bob2", "alice"), ["sealed for one device"]);
    assert!(world.notices("alice", "bob").contains(&MessageKind::DeviceAdded { device: 2 }));
}

#[test]
fn a_removed_device_is_told_and_gets_nothing_more() {
    let mut world = World::friends(202);
    world.login("bob", "bob2");
    world.settle();
    world.send("alice", "bob", "to both");
    world.settle();
    world.ask("bob", Request::DeviceRemove { device: 2 }).unwrap();
    world.settle();
    let ConnectionState::Blocked { error } = world.status("bob2").connection else { panic!("not blocked") };
    assert!(error.message.contains("removed"));
    world.send("alice", "bob", "to the one that is left");
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "to the one that is left");
    assert_eq!(world.texts("bob2", "alice"), ["to both"]);
    assert!(world.notices("alice", "bob").contains(&MessageKind::DeviceRemoved { device: 2 }));
    assert_eq!(world.contact("alice", "bob").unwrap().devices, [1]);
}

#[test]
fn logging_out_removes_keys_and_keeps_messages() {
    let mut world = World::friends(203);
    world.ask("alice", Request::AccountLogout { force: false }).unwrap();
    assert!(world.relay.newest("alice").unwrap().devices.is_empty());
    assert_eq!(world.texts("alice", "bob").len(), 2);
    world.peek("alice", |tx| {
        assert!(tx.identity().unwrap().unwrap().keys.is_none());
        assert!(tx.session(&crate::world::name("bob"), crate::world::device(1)).unwrap().is_none());
    });
    let waiting = world.send("bob", "alice", "anybody?");
    world.settle();
    assert_eq!(world.state("bob", &waiting), MessageState::Queued, "kept until alice has a device again");
    world.login("alice", "alice2");
    world.run_for(3_600_000);
    world.send("bob", "alice", "again");
    world.settle();
    assert_eq!(world.texts("alice2", "bob"), ["anybody?", "again"]);
}

#[test]
fn after_a_sync_the_own_devices_are_known() {
    let mut world = World::friends(207);
    world.disconnect("alice");
    world.login("alice", "alice2");
    world.settle();
    world.connect("alice");
    let token = world.ask_later("alice", Request::SyncWait { timeout_ms: 10_000 });
    while world.answer("alice", token).is_none() {
        assert!(world.step(), "never answered");
    }
    let Ok(Reply::Devices { devices }) = world.ask("alice", Request::DeviceList {}) else { panic!() };
    assert_eq!(devices.iter().map(|device| device.device).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_new_device_learns_who_is_accepted() {
    let mut world = World::friends(206);
    world.login("alice", "alice2");
    world.settle();
    let id = world.send("alice2", "bob", &"longer than a request may be ".repeat(40));
    world.settle();
    assert_eq!(world.state("alice2", &id), MessageState::Delivered);
    // Without an older device to tell it, the first receipt does.
    world.disconnect("alice");
    world.disconnect("alice2");
    world.login("alice", "alice3");
    let first = world.send("alice3", "bob", "short");
    world.settle();
    let second = world.send("alice3", "bob", "and then more");
    world.settle();
    for id in [first, second] {
        assert_eq!(world.state("alice3", &id), MessageState::Delivered);
    }
}

#[test]
fn a_device_that_never_saw_a_request_learns_that_it_was_answered() {
    let mut world = World::with(208, &["alice", "bob"]);
    world.send("alice", "bob", "may I?");
    world.settle();
    world.login("bob", "bob2");
    world.settle();
    // Nothing of alice can tell it: she is not there.
    world.disconnect("alice");
    world.send("bob", "alice", "yes");
    world.settle();
    let id = world.send("bob2", "alice", "from the second");
    world.settle();
    assert_eq!(world.state("bob2", &id), MessageState::Accepted, "not held as a further request");
    world.connect("alice");
    world.settle();
    assert_eq!(world.texts("alice", "bob"), ["may I?", "yes", "from the second"]);
}

#[test]
fn accepting_on_one_device_counts_on_the_other() {
    let mut world = World::with(204, &["alice", "bob"]);
    world.login("bob", "bob2");
    world.settle();
    world.send("alice", "bob", "may I?");
    world.settle();
    assert_eq!(world.texts("bob2", "alice"), ["may I?"]);
    world.ask("bob", Request::ContactAccept { name: "alice".into() }).unwrap();
    world.settle();
    for i in 0..5 {
        world.send("alice", "bob", &format!("{i} {}", "x".repeat(2_000)));
    }
    world.settle();
    assert_eq!(world.texts("bob", "alice").len(), 6);
    assert_eq!(world.texts("bob2", "alice").len(), 6);
}

#[test]
fn r28_a_list_that_does_not_follow_is_not_used() {
    let mut world = World::friends(205);
    // The relay invents a successor that names another predecessor: properly signed lists only come from the account key,
    // so it has to use one that bob signed for something else.
    let bob =
        subrosa_crypto::account::AccountSecret::from_bytes(&world.clients["bob"].account.to_bytes()[..])
            .unwrap();
    let known = world.relay.newest("bob").unwrap();
    let wrong = DeviceList { version: known.version + 1, prev_hash: [1; 32], ..known };
    let signed = bob.sign_device_list(&wrong).unwrap();
    world.relay.lists.get_mut("bob").unwrap().push(signed);
    world.send("alice", "bob", "to whom?");
    world.settle();
    let version =
        world.peek("alice", |tx| tx.device_list(&crate::world::name("bob")).unwrap().unwrap().list.version);
    assert_eq!(version, 1);
    assert_eq!(world.texts("bob", "alice").len(), 2);
}

#[test]
fn a_receipt_that_comes_before_the_own_copy_is_not_lost() {
    let mut world = World::friends(208);
    let read_all = |world: &mut World| {
        let order = world.history("bob", "alice").last().unwrap().order;
        world.ask("bob", Request::ChatRead { chat: "alice".into(), up_to: order }).unwrap();
        world.settle();
    };
    read_all(&mut world);
    world.login("alice", "alice2");
    world.settle();
    world.send("bob", "alice", "so that bob knows both devices");
    world.settle();
    for read in [false, true] {
        world.disconnect("alice2");
        let id = world.send("alice", "bob", "from the first");
        world.settle();
        if read {
            read_all(&mut world);
        }
        // The relay stored the copy for the second device last: the first one was away before it could send it.
        let mailbox = &mut world.relay.device("alice", 2).mailbox;
        assert_eq!(mailbox.len(), if read { 3 } else { 2 }, "a copy and its receipts");
        let seqs: Vec<u64> = mailbox.iter().map(|envelope| envelope.seq).collect();
        mailbox.rotate_left(1);
        for (envelope, seq) in mailbox.iter_mut().zip(seqs) {
            envelope.seq = seq;
        }
        world.client("alice2").events.clear();
        world.connect("alice2");
        world.settle();
        let expected = if read { MessageState::Read } else { MessageState::Delivered };
        assert_eq!(world.state("alice", &id), expected);
        assert_eq!(world.state("alice2", &id), expected);
        let bodies = world.clients["alice2"].events.iter().map(|event| serde_json::to_value(event).unwrap());
        let told: Vec<String> = bodies
            .filter(|event| event["data"]["id"] == id.as_str())
            .map(|event| event["event"].as_str().unwrap().to_owned())
            .collect();
        let all = ["message.queued", "message.delivered", "message.read"];
        assert_eq!(told, if read { &all[..] } else { &all[..2] });
        world.peek("alice2", |tx| assert_eq!(tx.early_receipts().unwrap(), 0, "applied, not kept"));
    }
}

#[test]
fn a_receipt_whose_copy_never_comes_is_forgotten() {
    let mut world = World::friends(209);
    world.login("alice", "alice2");
    world.settle();
    world.send("bob", "alice", "so that bob knows both devices");
    world.settle();
    world.disconnect("alice2");
    world.send("alice", "bob", "the copy is lost for ever");
    world.settle();
    world.relay.device("alice", 2).mailbox.remove(0);
    world.connect("alice2");
    world.settle();
    let kept = |world: &mut World| world.peek("alice2", |tx| tx.early_receipts().unwrap());
    assert_eq!(kept(&mut world), 1);
    world.run_for(29 * 24 * 3_600_000);
    assert_eq!(kept(&mut world), 1);
    world.run_for(2 * 24 * 3_600_000);
    assert_eq!(kept(&mut world), 0);
}
