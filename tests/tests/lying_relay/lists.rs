//! Device lists and account keys: what the account key did not sign is never used, what contradicts itself stops sending.

use subrosa_client::api::{
    EventBody, EventKind, Kind, MessageKind, MessageState, Reply, Request as Ask, SafetyNumberInfo, Trust,
};
use subrosa_protocol::frames::{DeviceListChanged, EnvelopeAccepted, Push, Request, Response};
use subrosa_tests::lying_relay::{
    Account, Scene, Someone, State,
    forge::{Attacker, successor},
    now, stale,
};
use subrosa_verify::device_list::{DeviceList, SignedDeviceList};

use crate::{goes_on, talk};

/// The relay shows this chain of bob's instead of its own; the true one.
fn show(scene: &Scene, chain: Vec<SignedDeviceList>) -> Vec<SignedDeviceList> {
    scene.relay.state(|state| std::mem::replace(&mut state.accounts.get_mut("bob").unwrap().lists, chain))
}

fn newest(scene: &Scene) -> DeviceList {
    scene.relay.state(|state| state.newest("bob")).unwrap()
}

fn chain(scene: &Scene) -> Vec<SignedDeviceList> {
    scene.relay.state(|state| state.accounts["bob"].lists.clone())
}

/// alice's list of bob is called old, whatever she has: she looks at the whole chain.
fn call_it_old(scene: &Scene) {
    scene.relay.lie(|lies| {
        lies.refuses(|from, request| match request {
            Request::EnvelopeSend(send) if from.0 == "alice" && send.to.as_str() == "bob" => Some(stale(1)),
            _ => None,
        });
    });
}

/// alice writes to bob: it waits, nothing goes to a device that is not bob's, and arrives once the relay is honest.
async fn refused(scene: &Scene, lists: Vec<SignedDeviceList>) {
    let mut shown = chain(scene);
    shown.extend(lists);
    let truth = show(scene, shown);
    let sent = scene.alice.try_send("bob", "to bob's own device").await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Queued, Kind::Timeout));
    scene.relay.until("she looked", |state| state.asked("DeviceListFetch") > 0).await;
    let contact = scene.alice.contact("bob").await.unwrap();
    assert_eq!((contact.devices, contact.trust), (vec![1], Trust::Unverified));
    assert!(scene.alice.notices("bob").await.is_empty(), "no device was added");
    let strange = |state: &mut State| state.log.iter().any(|(_, to, _)| to.0 == "bob" && to.1 != 1);
    assert!(!scene.relay.state(strange), "nothing went to the added device");

    show(scene, truth);
    scene.alice.reconnect().await;
    scene.bob.until_text("alice", "to bob's own device").await;
    goes_on(scene).await;
}

async fn number(of: &Someone, with: &str) -> SafetyNumberInfo {
    match of.ask(Ask::ContactSafetyNumber { name: with.into() }).await.unwrap() {
        Reply::SafetyNumber(info) => info,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_device_that_the_account_key_did_not_sign_is_not_added() {
    let scene = Scene::friends().await;
    let forged = Attacker::default().with_own_device(&newest(&scene));
    refused(&scene, vec![forged]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_device_signed_by_another_account_is_not_added() {
    let scene = Scene::friends().await;
    let forged = Attacker::default().taken_over(&newest(&scene));
    refused(&scene, vec![forged]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_gap_between_versions_is_not_followed() {
    let scene = Scene::friends().await;
    let bob = scene.bob.identity().await.keys.unwrap().account;
    let second = successor(&newest(&scene));
    let third = bob.sign_device_list(&successor(&second)).unwrap();
    refused(&scene, vec![third]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_another_persons_list_is_not_bobs() {
    let scene = Scene::friends().await;
    let carols = scene.relay.state(|state| state.accounts["carol"].lists.clone());
    let truth = show(&scene, carols);
    call_it_old(&scene);
    let sent = scene.alice.try_send("bob", "to bob").await;
    assert_eq!(sent.state, MessageState::Queued);
    assert_eq!(scene.alice.contact("bob").await.unwrap().trust, Trust::Unverified);
    show(&scene, truth);
    goes_on(&scene).await;
    scene.bob.until_text("alice", "to bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_list_that_was_rolled_back_is_not_believed() {
    let scene = Scene::friends().await;
    let second = scene.bob.another_device(&scene.relay).await;
    scene.alice.send("bob", "to both").await;
    second.until_text("alice", "to both").await;
    assert_eq!(scene.alice.contact("bob").await.unwrap().devices, [1, 2]);

    let truth = chain(&scene);
    show(&scene, truth[..1].to_vec());
    let sent = scene.alice.try_send("bob", "not to one alone").await;
    assert_eq!(sent.state, MessageState::Queued);
    assert_eq!(scene.alice.contact("bob").await.unwrap().devices, [1, 2], "the newer list stays");
    show(&scene, truth);
    scene.alice.reconnect().await;
    scene.bob.until_text("alice", "not to one alone").await;
    second.until_text("alice", "not to one alone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r27_a_replaced_account_key_stops_sending_until_it_is_the_old_one_again() {
    let scene = Scene::friends().await;
    let before = number(&scene.alice, "bob").await.number;
    let truth = show(&scene, vec![Attacker::default().first_list("bob")]);
    call_it_old(&scene);
    let id = scene.alice.queue("bob", "for the true bob").await;
    let told = scene.alice.until_heard(EventKind::IdentityChanged, |_| true).await;
    let EventBody::IdentityChanged { change } = told else { panic!() };
    assert_eq!(change.old_number.as_deref(), Some(before.as_str()));
    assert_ne!(change.new_number, change.old_number);
    assert!(scene.alice.notices("bob").await.contains(&MessageKind::IdentityChanged {}));
    scene.alice.until_state(&id, MessageState::Held).await;
    let sent = scene.alice.try_send("bob", "and this").await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Held, Kind::Identity));

    // The relay shows bob's own key again: that is found by itself, and what was held goes out.
    show(&scene, truth);
    scene.relay.be_honest();
    scene.alice.reconnect().await;
    scene.bob.until_text("alice", "for the true bob").await;
    scene.bob.until_text("alice", "and this").await;
    assert_eq!(scene.alice.contact("bob").await.unwrap().trust, Trust::Unverified);
    assert_eq!(number(&scene.alice, "bob").await.number, before);
    talk(&scene.alice, &scene.bob).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r27_a_key_that_was_put_in_place_before_the_first_word_is_found_by_comparing_numbers() {
    let scene = Scene::friends().await;
    let attacker = Attacker::default();
    let forged = Account { lists: vec![attacker.first_list("bob")], ..Account::default() };
    scene.relay.lie(|lies| {
        lies.answers(move |_, from, request, response| match request {
            Request::DeviceListFetch(fetch) if from.0 == "carol" && fetch.account.as_str() == "bob" => {
                forged.after(fetch.since)
            }
            _ => response,
        });
    });
    scene.carol.ask(Ask::ContactAdd { name: "bob".into() }).await.unwrap();
    let shown_to_carol = number(&scene.carol, "bob").await.number;
    scene.bob.ask(Ask::ContactAdd { name: "carol".into() }).await.unwrap();
    let shown_to_bob = number(&scene.bob, "carol").await.number;
    assert_ne!(shown_to_carol, shown_to_bob);
    let compared = Ask::ContactVerify { name: "bob".into(), number: shown_to_bob };
    assert_eq!(scene.carol.ask(compared).await.unwrap_err().kind, Kind::Identity);
    assert_ne!(scene.carol.contact("bob").await.unwrap().trust, Trust::Verified);
}

/// Two successors of bob's list, both signed by his account key: what his own key's thief can make with the relay.
async fn two_successors(scene: &Scene) -> [SignedDeviceList; 2] {
    let bob = scene.bob.identity().await.keys.unwrap().account;
    let known = newest(scene);
    [8, 9].map(|next_device_id| {
        bob.sign_device_list(&DeviceList { next_device_id, ..successor(&known) }).unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r29_two_lists_for_two_people_are_found_by_gossip() {
    let scene = Scene::friends().await;
    let [for_alice, for_bob] = two_successors(&scene).await;
    let mut shown = chain(&scene);
    shown.push(for_alice);
    show(&scene, shown);
    scene.alice.send("bob", "on the first branch").await;
    scene.relay.state(|state| {
        *state.accounts.get_mut("bob").unwrap().lists.last_mut().unwrap() = for_bob;
    });
    scene.bob.reconnect().await;
    scene.bob.until_synced().await;
    for i in 0..20 {
        scene.bob.queue("alice", &format!("{i}")).await;
    }
    scene.alice.until_contact("bob", |contact| contact.trust == Trust::Forked).await;
    scene.alice.until_heard(EventKind::IdentityChanged, |_| true).await;
    assert!(scene.alice.notices("bob").await.contains(&MessageKind::ListForked {}));
    assert!(!scene.alice.peek(|tx| tx.evidence(&"bob".parse().unwrap()).unwrap()).await.is_empty());
    let held = scene.alice.try_send("bob", "stopped").await;
    assert_eq!((held.state, held.error.unwrap().kind), (MessageState::Held, Kind::Identity));

    scene.alice.ask(Ask::ContactTrust { name: "bob".into(), number: None }).await.unwrap();
    scene.bob.until_text("alice", "stopped").await;
    for i in 0..20 {
        scene.alice.until_text("bob", &format!("{i}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r29_two_lists_for_two_devices_of_one_person_are_found_by_gossip() {
    let scene = Scene::friends().await;
    let second = scene.bob.another_device(&scene.relay).await;
    second.until_synced().await;
    scene.bob.until_heard(EventKind::DeviceLinked, |_| true).await;
    let [for_first, for_second] = two_successors(&scene).await;
    scene.relay.state(|state| state.accounts.get_mut("bob").unwrap().lists.push(for_first.clone()));
    scene.relay.lie(|lies| {
        lies.answers(move |state, from, request, response| match request {
            Request::DeviceListFetch(fetch) if fetch.account.as_str() == "bob" => {
                let mut account = state.accounts["bob"].clone();
                if *from == ("bob".into(), 2) {
                    *account.lists.last_mut().unwrap() = for_second.clone();
                }
                account.after(fetch.since)
            }
            _ => response,
        });
    });
    let push = |version| Push::DeviceListChanged(DeviceListChanged { version });
    scene.relay.state(|state| {
        state.push(&("bob".into(), 1), push(3));
        state.push(&("bob".into(), 2), push(3));
    });
    scene.relay.until("both looked", |state| state.asked("DeviceListFetch") >= 2).await;
    // What the first device writes is copied to the second one, with the head of the list it sees.
    for i in 0..22 {
        scene.bob.queue("alice", &format!("{i}")).await;
    }
    let why = second.until_blocked().await;
    assert_eq!(why.kind, Kind::Identity, "{why}");
    assert!(!second.peek(|tx| tx.evidence(&"bob".parse().unwrap()).unwrap()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r29_a_newer_list_that_the_relay_hides_is_found_by_gossip() {
    let scene = Scene::friends().await;
    let hidden = chain(&scene);
    scene.relay.lie(|lies| {
        lies.answers(move |state, from, request, response| match (request, response) {
            (Request::DeviceListFetch(fetch), _) if from.0 == "alice" && fetch.account.as_str() == "bob" => {
                Account { lists: hidden.clone(), ..Account::default() }.after(fetch.since)
            }
            // alice's old list is taken for good, and bob's first device gets what she sends.
            (Request::EnvelopeSend(send), Response::StaleDeviceList(_)) if from.0 == "alice" => {
                for envelope in send.envelopes.iter() {
                    state.put(&("bob".into(), send.device.get()), envelope.clone());
                }
                Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at: now() })
            }
            (_, response) => response,
        });
    });
    let second = scene.bob.another_device(&scene.relay).await;
    second.until_synced().await;
    scene.bob.until_heard(EventKind::DeviceLinked, |_| true).await;
    scene.alice.send("bob", "the second device gets nothing").await;
    for i in 0..20 {
        scene.bob.queue("alice", &format!("{i}")).await;
    }
    scene.alice.until_contact("bob", |contact| contact.trust == Trust::Forked).await;
    assert!(scene.alice.notices("bob").await.contains(&MessageKind::ListForked {}));
    let held = scene.alice.try_send("bob", "to all of bob's devices").await;
    assert_eq!((held.state, held.error.unwrap().kind), (MessageState::Held, Kind::Identity));

    scene.relay.be_honest();
    scene.alice.ask(Ask::ContactTrust { name: "bob".into(), number: None }).await.unwrap();
    second.until_text("alice", "to all of bob's devices").await;
    scene.bob.until_text("alice", "to all of bob's devices").await;
    assert_eq!(scene.alice.contact("bob").await.unwrap().devices, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_lists_without_end_are_not_read_for_ever() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.answers(|_, _, _, response| match response {
            Response::DeviceLists(mut page) => {
                page.more = true;
                Response::DeviceLists(page)
            }
            other => other,
        });
    });
    // The chain comes again and again, or an empty page does: both say that there is more.
    let asked = |scene: &Scene| scene.relay.state(|state| state.asked("DeviceListFetch"));
    let sent = scene.carol.try_send("bob", "whenever").await;
    assert!(asked(&scene) <= 6, "{} lookups in less than a second", asked(&scene));
    goes_on(&scene).await;
    scene.carol.reconnect().await;
    scene.carol.until_state(&sent.id.unwrap(), MessageState::Accepted).await;
    scene.bob.until_text("carol", "whenever").await;
}

/// alice's own device is shown this after its list, and told that there is something new.
async fn own_lists(scene: &Scene, lists: Vec<SignedDeviceList>, from_the_first: bool) {
    scene.relay.lie(|lies| {
        lies.answers(move |state, _, request, response| match request {
            Request::DeviceListFetch(fetch) if fetch.account.as_str() == "alice" => {
                let known = if from_the_first { Vec::new() } else { state.accounts["alice"].lists.clone() };
                let lists = known.into_iter().chain(lists.clone()).collect();
                Account { lists, ..Account::default() }.after(fetch.since)
            }
            _ => response,
        });
    });
    scene.relay.state(|state| {
        let push = Push::DeviceListChanged(DeviceListChanged { version: 2 });
        state.push(&("alice".into(), 1), push);
    });
    scene.relay.until("she looked", |state| state.asked("DeviceListFetch") >= 2).await;
}

async fn own_devices(scene: &Scene) -> usize {
    match scene.alice.ask(Ask::DeviceList {}).await.unwrap() {
        Reply::Devices { devices } => devices.len(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_device_added_to_the_own_list_is_refused() {
    let scene = Scene::friends().await;
    let known = scene.relay.state(|state| state.newest("alice")).unwrap();
    own_lists(&scene, vec![Attacker::default().with_own_device(&known)], false).await;
    assert_eq!(own_devices(&scene).await, 1, "the relay's device is none of hers");
    scene.bob.send("alice", "for alice alone").await;
    scene.alice.until_text("bob", "for alice alone").await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r27_another_key_in_the_place_of_the_own_one_blocks_and_is_shown() {
    let scene = Scene::friends().await;
    let attacker = Attacker::default();
    let first = attacker.first_list("alice");
    let second = attacker.account.sign_device_list(&successor(&first.verify("alice").unwrap())).unwrap();
    own_lists(&scene, vec![first, second], true).await;
    let why = scene.alice.until_blocked().await;
    assert_eq!(why.kind, Kind::Identity, "{why}");
    scene.alice.until_heard(EventKind::ConnectionDown, |_| true).await;
    assert_eq!(own_devices(&scene).await, 1);
    goes_on(&scene).await;
}
