//! Keys change, relays lie, people decide.

use subrosa_client::api::{
    ApiError, EventBody, EventKind, Kind, MessageKind, MessageState, Reply, Request, SafetyNumberInfo, Trust,
    WaitFor,
};
use subrosa_crypto::verify::device_list::DeviceList;

use crate::world::{World, name};

fn number(world: &mut World, handle: &str, other: &str) -> SafetyNumberInfo {
    match world.ask(handle, Request::ContactSafetyNumber { name: other.into() }).unwrap() {
        Reply::SafetyNumber(info) => info,
        other => panic!("{other:?}"),
    }
}

/// Bob's account is another one from now on: what a relay that puts somebody in his place does.
fn replace_bob(world: &mut World) {
    world.disconnect("bob");
    world.relay.lists.remove("bob");
    world.relay.devices.remove(&("bob".to_owned(), 1));
    let old = world.clients.remove("bob").unwrap();
    world.clients.insert("old bob".into(), old);
    world.client("old bob").place = ("nobody".into(), 1);
    let path = world.client("old bob").path.clone();
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    world.register("bob");
    world.connect("bob");
}

#[test]
fn numbers_are_the_same_on_both_sides_and_verification_is_remembered() {
    let mut world = World::friends(300);
    let (ours, theirs) = (number(&mut world, "alice", "bob"), number(&mut world, "bob", "alice"));
    assert_eq!(ours.number, theirs.number);
    assert_eq!(ours.number.split_whitespace().count(), 12);
    let wrong = Request::ContactVerify { name: "bob".into(), number: "00000".repeat(12) };
    assert_eq!(world.ask("alice", wrong).unwrap_err().kind, Kind::Identity);
    let right = Request::ContactVerify { name: "bob".into(), number: ours.number.replace(' ', "") };
    world.ask("alice", right).unwrap();
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Verified);
    world.send("bob", "alice", "verified now");
    world.settle();
    assert!(world.history("alice", "bob").last().unwrap().verified);
}

#[test]
fn r27_a_changed_key_holds_messages_until_it_is_trusted() {
    let mut world = World::friends(301);
    let before = number(&mut world, "alice", "bob").number;
    replace_bob(&mut world);
    // Bob's new device writes; nothing of it can be read, and the reason is found.
    world.send("bob", "alice", "it is me, bob");
    world.settle();
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Changed);
    assert_eq!(world.texts("alice", "bob").len(), 2, "nothing of an untrusted key is shown");
    assert!(world.notices("alice", "bob").contains(&MessageKind::IdentityChanged {}));
    let Some(EventBody::IdentityChanged { change }) = world.told("alice", EventKind::IdentityChanged).pop()
    else {
        panic!("not told")
    };
    assert_eq!(change.old_number.as_deref(), Some(before.as_str()));
    assert_ne!(change.new_number, change.old_number);

    let held = world.try_send("alice", "bob", "is it really you?", WaitFor::Accepted);
    assert_eq!((held.state, held.error.unwrap().kind), (MessageState::Held, Kind::Identity));
    assert_eq!(world.status("alice").held, 1);
    let log = world.relay.log.len();
    world.run_for(600_000);
    assert!(
        world.relay.log[log..].iter().all(|(place, _, _)| place.0 != "bob"),
        "nothing went to the new key"
    );

    let wrong = Request::ContactTrust { name: "bob".into(), number: Some(before) };
    let refused: ApiError = world.ask("alice", wrong).unwrap_err();
    assert_eq!(refused.kind, Kind::Identity);
    world.ask("alice", Request::ContactTrust { name: "bob".into(), number: change.new_number }).unwrap();
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "is it really you?");
    assert_eq!(
        world.texts("alice", "bob").last().unwrap(),
        "it is me, bob",
        "what was put aside is read now"
    );
    world.send("bob", "alice", "yes");
    world.settle();
    assert_eq!(world.texts("alice", "bob").last().unwrap(), "yes");
    assert_eq!(world.state("alice", &held.id.unwrap()), MessageState::Delivered);
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Unverified);
}

#[test]
fn r27_what_is_on_its_way_when_the_key_changes_is_held_too() {
    let mut world = World::friends(302);
    world.disconnect("alice");
    let id = world.send("alice", "bob", "sealed to the old key");
    replace_bob(&mut world);
    // The new chain is longer than the old one, so that the relay calls alice's list stale.
    world.login("bob", "bob2");
    world.connect("alice");
    world.settle();
    assert_eq!(world.state("alice", &id), MessageState::Held);
    world.ask("alice", Request::ContactTrust { name: "bob".into(), number: None }).unwrap();
    world.settle();
    assert_eq!(world.texts("bob", "alice"), ["sealed to the old key"]);
    assert_eq!(world.texts("bob2", "alice"), ["sealed to the old key"]);
}

#[test]
fn r29_a_relay_that_shows_two_lists_is_found_out_by_gossip() {
    let mut world = World::friends(303);
    // Bob signed two lists of version 2. Alice follows the one with a second device, bob's own device the other.
    let bob =
        subrosa_crypto::account::AccountSecret::from_bytes(&world.clients["bob"].account.to_bytes()[..])
            .unwrap();
    let first = world.relay.newest("bob").unwrap();
    let next = |next_device_id| {
        let list = DeviceList { version: 2, prev_hash: first.hash(), next_device_id, ..first.clone() };
        bob.sign_device_list(&list).unwrap()
    };
    let (for_alice, for_bob) = (next(8), next(9));
    world.relay.lists.get_mut("bob").unwrap().push(for_alice);
    world.send("alice", "bob", "fetches version 2");
    world.settle();
    *world.relay.lists.get_mut("bob").unwrap().last_mut().unwrap() = for_bob;
    world.disconnect("bob");
    world.connect("bob");
    world.settle();
    for i in 0..25 {
        world.send("bob", "alice", &format!("{i}"));
    }
    world.settle();
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Forked);
    assert!(world.notices("alice", "bob").contains(&MessageKind::ListForked {}));
    let evidence = world.peek("alice", |tx| tx.evidence(&name("bob")).unwrap());
    assert!(!evidence.is_empty());
    let held = world.try_send("alice", "bob", "stopped", WaitFor::Accepted);
    assert_eq!(held.error.unwrap().kind, Kind::Identity);
    world.ask("alice", Request::ContactTrust { name: "bob".into(), number: None }).unwrap();
    world.settle();
    assert_eq!(world.texts("bob", "alice").last().unwrap(), "stopped");
}

#[test]
fn r29_two_signed_lists_of_one_version_are_kept_as_evidence() {
    let mut world = World::friends(304);
    let bob =
        subrosa_crypto::account::AccountSecret::from_bytes(&world.clients["bob"].account.to_bytes()[..])
            .unwrap();
    let first = world.relay.newest("bob").unwrap();
    let chain = |next_device_id| {
        let one = DeviceList { next_device_id, ..first.clone() };
        let two = DeviceList { version: 2, prev_hash: one.hash(), ..one.clone() };
        vec![bob.sign_device_list(&one).unwrap(), bob.sign_device_list(&two).unwrap()]
    };
    world.relay.lists.insert("bob".into(), chain(50));
    world.send("alice", "bob", "on version 1");
    world.settle();
    assert_eq!(world.contact("alice", "bob").unwrap().trust, Trust::Forked);
    let evidence = world.peek("alice", |tx| tx.evidence(&name("bob")).unwrap());
    assert!(evidence[0].theirs.is_some());
}
