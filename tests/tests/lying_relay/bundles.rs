//! Prekey bundles that are not what the device left: refused, and nothing is encrypted to them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use subrosa_client::api::{EventKind, Kind, MessageKind, MessageState};
use subrosa_crypto::prekeys::generate_prekey;
use subrosa_protocol::{
    BoundedVec, DeviceId,
    frames::{DeviceBundle, PrekeyBundles, Request, Response},
};
use subrosa_tests::lying_relay::{
    Scene, Someone, State,
    forge::{self, Attacker},
    now, rng,
};
use subrosa_verify::prekey::PrekeyKind;

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Every bundle is another one.
fn swap(scene: &Scene, mut lie: impl FnMut(&mut State, DeviceBundle) -> DeviceBundle + Send + 'static) {
    scene.relay.lie(|lies| {
        lies.answers(move |state, _, request, response| match (request, response) {
            (Request::PrekeyClaim(_), Response::PrekeyBundles(all)) => {
                let swapped = all.bundles.into_inner().into_iter().map(|bundle| lie(state, bundle));
                Response::PrekeyBundles(PrekeyBundles {
                    bundles: BoundedVec::new(swapped.collect()).unwrap(),
                })
            }
            (_, response) => response,
        });
    });
}

/// carol writes to bob for the first time: nothing goes out while the relay lies, she is told, and it arrives afterwards.
async fn refused(scene: &Scene) {
    let sent = scene.carol.try_send("bob", "for bob alone").await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Queued, Kind::Timeout));
    let id = sent.id.unwrap();
    let why = scene.carol.line(&id).await.reason.expect("it is said why the message waits");
    assert!(why.contains("keys"), "{why}");
    assert!(scene.relay.sent_to("carol", "bob").is_empty(), "nothing may be encrypted to it");
    // Hers, and where bob has two devices, those that they make of each other.
    let claims = scene.relay.state(|state| state.asked("PrekeyClaim"));
    assert!((1..=4).contains(&claims), "{claims} claims in less than a second");

    scene.relay.be_honest();
    scene.carol.reconnect().await;
    scene.carol.until_state(&id, MessageState::Accepted).await;
    assert_eq!(scene.carol.line(&id).await.reason, None);
    scene.bob.until_text("carol", "for bob alone").await;
    assert_eq!(scene.bob.texts("carol").await, ["for bob alone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_another_persons_bundle_is_refused() {
    let scene = Scene::friends().await;
    swap(&scene, |state, bundle| {
        let alices = state.claim("alice", DeviceId::new(1).unwrap()).unwrap();
        DeviceBundle { device: bundle.device, ..alices }
    });
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_bundle_signed_by_the_relay_is_refused() {
    let scene = Scene::friends().await;
    let attacker = Attacker::default();
    swap(&scene, move |_, bundle| attacker.bundle("bob", bundle.device));
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_one_key_of_the_relays_among_true_ones_is_refused() {
    let scene = Scene::friends().await;
    let (attacker, mut turn) = (Attacker::default(), 0);
    swap(&scene, move |_, bundle| {
        let forged = attacker.bundle("bob", bundle.device);
        turn += 1;
        match turn % 3 {
            0 => DeviceBundle { signed: forged.signed, ..bundle },
            1 => DeviceBundle { one_time: forged.one_time, ..bundle },
            _ => DeviceBundle { kem: forged.kem, ..bundle },
        }
    });
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_bundle_without_a_kem_key_is_refused() {
    let scene = Scene::friends().await;
    let mut turn = 0;
    swap(&scene, move |_, bundle| {
        turn += 1;
        let mut kem = bundle.kem.into_array();
        match turn % 3 {
            // Nothing; an X25519 key in its place; a key whose coefficients are out of range.
            0 => kem = [0; 1269],
            1 => kem[..117].copy_from_slice(&bundle.signed[..]),
            _ => kem[21..100].fill(0xff),
        }
        DeviceBundle { kem: forge::kem(kem.to_vec()), ..bundle }
    });
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r36_an_expired_bundle_is_refused() {
    let scene = Scene::friends().await;
    let bob = scene.bob.identity().await.keys.unwrap().device;
    swap(&scene, move |_, bundle| forge::bundle(&bob, "bob", bundle.device, now() - 31 * DAY));
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r36_a_bundle_from_the_future_is_refused() {
    let scene = Scene::friends().await;
    let bob = scene.bob.identity().await.keys.unwrap().device;
    swap(&scene, move |_, bundle| forge::bundle(&bob, "bob", bundle.device, now() + 2 * DAY));
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_a_bundle_of_another_device_is_refused() {
    let scene = Scene::friends().await;
    let second = scene.bob.another_device(&scene.relay).await;
    second.until_synced().await;
    swap(&scene, |state, bundle| {
        let other = DeviceId::new(if bundle.device.get() == 1 { 2 } else { 1 }).unwrap();
        DeviceBundle { device: bundle.device, ..state.claim("bob", other).unwrap() }
    });
    refused(&scene).await;
    second.until_text("carol", "for bob alone").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bundle_at_all_is_asked_for_again_and_shown() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.answers(|_, _, request, response| match request {
            Request::PrekeyClaim(_) => {
                Response::PrekeyBundles(PrekeyBundles { bundles: BoundedVec::default() })
            }
            _ => response,
        });
    });
    refused(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r36_a_replaced_signed_prekey_serves_for_its_30_days_and_no_longer() {
    let Scene { relay, bob, carol, alice, folder } = Scene::friends().await;
    let dora = Someone::register(&relay, folder.path(), "dora").await;
    dora.until_synced().await;
    let device = bob.identity().await.keys.unwrap().device;
    let (old, kem) = relay.state(|state| {
        let bob = state.device("bob", 1);
        (bob.signed.unwrap(), bob.last_resort.unwrap())
    });
    // bob makes a new one; the relay goes on handing out the old one, and keeps back the one-time prekeys.
    let bob = bob
        .restart(&relay, |tx| {
            let id = tx.take_prekey_ids(1).unwrap();
            let (secret, public) =
                generate_prekey(PrekeyKind::SignedEc, id, &device, "bob", 1, now(), &mut rng());
            tx.put_prekey(&secret, &public).unwrap();
        })
        .await;
    relay.until("bob's new prekey is there", |state| state.device("bob", 1).signed != Some(old)).await;
    let scene = Scene { relay, bob, carol, alice, folder };
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    swap(&scene, move |_, bundle| {
        assert_ne!(bundle.signed, old, "the honest answer has the new key");
        counted.fetch_add(1, Ordering::SeqCst);
        DeviceBundle { signed: old, one_time: None, kem, ..bundle }
    });
    // For 30 days it is as good as the new one: bob has its secret still. The relay cannot read what it carries.
    scene.carol.send("bob", "under the old key").await;
    scene.bob.until_text("carol", "under the old key").await;
    assert!(given.load(Ordering::SeqCst) > 0, "carol used what the relay gave her");
    let carried = scene.relay.sent_to("carol", "bob");
    assert!(!carried.is_empty());
    assert!(!format!("{carried:?}").contains("under the old key"));
    // Afterwards the conversation goes on under keys that no relay chose.
    scene.relay.be_honest();
    scene.bob.send("carol", "yes?").await;
    scene.carol.until_text("bob", "yes?").await;

    // After its 30 days it is refused, although everything else of the bundle is bob's and new.
    let given = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&given);
    swap(&scene, move |_, bundle| {
        counted.fetch_add(1, Ordering::SeqCst);
        let expired = forge::bundle(&device, "bob", bundle.device, now() - 31 * DAY);
        DeviceBundle { signed: expired.signed, ..bundle }
    });
    let sent = dora.try_send("bob", "not under that one").await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Queued, Kind::Timeout));
    assert!(given.load(Ordering::SeqCst) > 0, "dora was given the expired key");
    let why = dora.line(&sent.id.unwrap()).await.reason.expect("it is said why the message waits");
    assert!(why.contains("keys"), "{why}");
    assert!(scene.relay.sent_to("dora", "bob").is_empty(), "nothing may be encrypted to it");
    scene.relay.be_honest();
    dora.reconnect().await;
    scene.bob.until_text("dora", "not under that one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r15_one_prekey_given_to_two_senders_is_used_by_one_of_them() {
    let scene = Scene::friends().await;
    let dora = Someone::register(&scene.relay, scene.folder.path(), "dora").await;
    dora.until_synced().await;
    let mut given = None;
    swap(&scene, move |_, bundle| given.get_or_insert(bundle).clone());
    scene.carol.send("bob", "first").await;
    scene.bob.until_text("carol", "first").await;
    let second = dora.send("bob", "second").await;
    // Whoever comes second cannot be read: bob is told, dora never sees it delivered.
    scene.bob.until_heard(EventKind::MessageUndecryptable, |_| true).await;
    assert_eq!(dora.line(&second).await.state, MessageState::Accepted);
    assert!(scene.bob.texts("dora").await.is_empty());
    assert_eq!(scene.bob.texts("carol").await, ["first"]);

    scene.relay.be_honest();
    scene.bob.send("dora", "I could not read you").await;
    dora.until_text("bob", "I could not read you").await;
    dora.send("bob", "again, then").await;
    scene.bob.until_text("dora", "again, then").await;
    let missing = |kind: &MessageKind| matches!(kind, MessageKind::Missing { .. });
    let shown = scene.bob.notices("dora").await.iter().any(missing);
    assert!(shown || scene.bob.texts("dora").await.contains(&"second".to_owned()), "the gap is shown");
}
