//! Many inputs in one commit: nothing is told before it, and what is wrong with one leaves the others alone.

use subrosa_client::{
    api::{EventBody, EventKind, Kind, MessageState, Reply, WaitFor},
    core::{Core, Effect, Facts, Input},
    store::{Disk, DiskFault, Store},
};
use subrosa_protocol::{
    BoundedBytes, EnvelopeId,
    frames::{FromRelay, MailboxEnvelope, Push},
};

use crate::world::{World, name};

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("number {number}")).collect()
}

#[test]
fn r21_many_texts_are_queued_and_sent_in_one_commit() {
    let mut world = World::friends(300);
    let before = world.peek("alice", |tx| tx.generation().unwrap());
    let texts = texts(30);
    let tokens = world.send_together("alice", "bob", &texts, WaitFor::Queued);
    for token in tokens {
        let Some(Ok(Reply::Sent { results })) = world.answer("alice", token) else { panic!("not answered") };
        assert_eq!((results[0].state, &results[0].error), (MessageState::Queued, &None));
    }
    assert_eq!(
        world.peek("alice", |tx| tx.generation().unwrap()),
        before + 1,
        "one commit of ratchet state (R23)"
    );
    world.grouped = true;
    world.settle();
    let shown: Vec<_> = world.texts("bob", "alice").split_off(2);
    assert_eq!(shown, texts, "all of them, once, in order");
    let delivered =
        world.history("alice", "bob").iter().filter(|line| line.state == MessageState::Delivered).count();
    assert!(delivered >= 30, "{delivered}");
}

#[test]
fn r21_what_fails_of_one_leaves_the_others_alone() {
    let mut world = World::friends(301);
    let mut wanted = texts(5);
    // Refused: too long.
    wanted.insert(2, "x".repeat(40_000));
    let tokens = world.send_together("alice", "bob", &wanted, WaitFor::Accepted);
    world.settle();
    let failed: Vec<bool> =
        tokens.into_iter().map(|token| world.answer("alice", token).expect("an answer").is_err()).collect();
    assert_eq!(failed, [false, false, true, false, false, false]);
    assert_eq!(world.texts("bob", "alice").split_off(2), texts(5));
}

#[test]
fn r16_a_bad_envelope_among_others_spoils_none() {
    let mut world = World::friends(302);
    world.send_together("alice", "bob", &texts(6), WaitFor::Queued);
    // Everything is at the relay; bob has not looked yet.
    while world.clients["alice"].waiting() > 0 {
        world.step_of("alice");
    }
    let mut inputs = world.client("bob").take_waiting();
    assert!(inputs.len() >= 6, "{}", inputs.len());
    let at = inputs.len() / 2;
    for input in &mut inputs[at..=at] {
        let Input::Frame(FromRelay::Push(Push::Deliver(envelope))) = input else { panic!("{input:?}") };
        let sealed = BoundedBytes::new(vec![7; 1_200]).unwrap();
        *envelope = MailboxEnvelope { id: EnvelopeId::from_bytes([9; 16]), sealed, ..envelope.clone() };
    }
    world.feed_all("bob", inputs);
    let shown = world.texts("bob", "alice").split_off(2);
    assert_eq!(shown.len(), 5, "{shown:?}");
    assert_eq!(world.status("bob").discarded, 1);
    assert_eq!(world.told("bob", EventKind::MessageReceived).len(), 5);
}

/// A machine over a store in memory whose disk fails when it is told to: it has an account and nobody to talk to.
pub fn alone() -> (Core, Disk) {
    let mut world = World::friends(303);
    let identity = world.peek("alice", |tx| tx.identity().unwrap().unwrap());
    let list = world.peek("alice", |tx| tx.device_list(&name("alice")).unwrap().unwrap());
    let disk = Disk::default();
    let mut store = Store::in_memory_on(disk.clone(), None).unwrap();
    store
        .transaction(|tx| {
            tx.put_device_list(&name("alice"), &list.signed, 1)?;
            tx.put_identity(&identity)
        })
        .unwrap();
    (Core::new(store, Facts::default()).unwrap(), disk)
}

fn send(token: u64) -> Input {
    let message = subrosa_client::api::SendMessage {
        to: vec!["bob".into()],
        text: format!("text {token}"),
        reply_to: None,
        key: Some(format!("key {token}")),
        wait: WaitFor::Queued,
        timeout_ms: None,
    };
    Input::Request { token, request: subrosa_client::Request::MessageSend(message) }
}

#[test]
fn r21_when_the_commit_fails_nothing_is_told_and_everybody_gets_an_answer() {
    for fault in [DiskFault::Full, DiskFault::Broken] {
        let (mut core, disk) = alone();
        let mut rng = crate::rng::SeededRng::new(1);
        core.handle(Input::Wake, 1_000, &mut rng);
        disk.fail_after(0, fault);
        let effects = core.handle_all((1..=5).map(send), 2_000, &mut rng);
        assert_eq!(disk.struck(), 1);
        let mut answered = Vec::new();
        for effect in effects {
            match effect {
                Effect::Reply { token, result } => {
                    assert!(matches!(result.unwrap_err().kind, Kind::NotReady | Kind::Internal));
                    answered.push(token);
                }
                Effect::Event(event) => {
                    assert!(matches!(event.body, EventBody::ProfileFault { error: Some(_) }), "{event:?}")
                }
                other => panic!("{other:?}"),
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, [1, 2, 3, 4, 5]);
        assert_eq!(core.store().read(|tx| tx.event_range()).unwrap(), (0, 0), "{fault:?}");
        // Once the disk works again so does the machine, and a text sent again under its key is there once.
        let effects = core.handle_all((1..=5).chain(1..=5).map(send), 3_000, &mut rng);
        let over = |effect: &&Effect| matches!(effect, Effect::Event(event) if matches!(event.body, EventBody::ProfileFault { error: None }));
        assert_eq!(effects.iter().filter(over).count(), 1, "it is told that it is over");
        let queued = |effect: &&Effect| matches!(effect, Effect::Event(event) if event.body.kind() == EventKind::MessageQueued);
        assert_eq!(effects.iter().filter(queued).count(), 5);
        let lines = core.store().read(|tx| tx.history(&name("bob").into(), None, None, 100)).unwrap();
        assert_eq!(lines.messages.len(), 5);
    }
}
