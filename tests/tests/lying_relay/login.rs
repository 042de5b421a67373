//! The relay's own key, and OPAQUE: who is not the pinned relay gets no byte of a credential, and who lies about a login
//! learns nothing and adds nothing.

use subrosa_client::{
    api::{ApiError, Kind},
    join::{LoginParams, login},
    profile::ProfilePaths,
};
use subrosa_crypto::{account::AccountSecret, opaque_client::RegistrationFlow};
use subrosa_protocol::{
    BoundedBytes, RelayAddress, Username,
    frames::{LoginChallenge, LoginGranted, PreAuthRequest, Response},
};
use subrosa_tests::lying_relay::{
    Account, LyingRelay, RelayKey, Say, Scene, State, forge::Attacker, rng, wire,
};
use subrosa_verify::{device_list::DeviceList, opaque::RelayOpaque};
use zeroize::Zeroizing;

use crate::{talk, words::harmless, words::stage};

const PASSPHRASE: &str = "a long enough passphrase";

/// A relay that knows alice, and her recovery words.
fn with_alice() -> (LyingRelay, String) {
    let relay = LyingRelay::start();
    let (account, words) = AccountSecret::generate(&mut rng());
    let list = DeviceList {
        account: "alice".into(),
        account_key: account.public(),
        version: 1,
        prev_hash: [0; 32],
        next_device_id: 2,
        devices: vec![],
    };
    let signed = account.sign_device_list(&list).unwrap();
    relay.state(|state| {
        let (flow, request) = RegistrationFlow::start(PASSPHRASE.as_bytes(), &mut rng()).unwrap();
        let response = state.opaque().registration_response("alice", &request).unwrap();
        let record = flow.finish("alice", &response, &mut rng()).unwrap();
        let alice = Account { lists: vec![signed], display_name: String::new(), record: Some(record) };
        state.accounts.insert("alice".into(), alice);
    });
    (relay, words.to_string())
}

/// Logs in, on a profile that must not be there afterwards.
async fn refused(relay: &LyingRelay, words: &str) -> ApiError {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let params = LoginParams {
        relay: relay.address(),
        name: Username::new("alice").unwrap(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
        words: Zeroizing::new(words.to_owned()),
    };
    let paths = ProfilePaths::resolve(Some(profile.to_str().unwrap())).unwrap();
    let error = login(paths, params).await.err().expect("it must not succeed");
    assert!(!profile.join("vault").exists(), "nothing is made on a lying relay's word");
    assert_eq!(relay.state(|state| state.asked("DeviceAdd") + state.asked("StagePrekeys")), 0);
    error
}

/// Answers before authentication are something else.
fn early(
    relay: &LyingRelay,
    mut lie: impl FnMut(&mut State, &PreAuthRequest, Response) -> Response + Send + 'static,
) {
    relay.lie(|lies| {
        lies.before(move |state, id, request, response| {
            vec![Say::answer(id, &lie(state, request, response))]
        });
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_another_opaque_server_is_a_wrong_passphrase_and_gets_no_proof() {
    let (relay, words) = with_alice();
    // The operator's keys were changed, or somebody else's relay answers: the envelope of the passphrase does not open.
    let other = RelayOpaque::generate(&mut rng());
    early(&relay, move |state, request, response| match request {
        PreAuthRequest::LoginStart(start) => {
            let record = state.accounts["alice"].record.clone();
            let (_, ke2) =
                other.login_start("alice", record.as_deref(), &start.opaque, &[0; 32], &mut rng()).unwrap();
            Response::LoginChallenge(LoginChallenge { opaque: BoundedBytes::new(ke2).unwrap() })
        }
        _ => response,
    });
    let error = refused(&relay, &words).await;
    assert_eq!((error.kind, error.message.contains("passphrase")), (Kind::NotReady, true), "{error}");
    assert_eq!(relay.state(|state| state.asked("LoginFinish")), 0, "no KE3 leaves the client");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_a_login_bound_to_another_connection_is_refused() {
    let (relay, words) = with_alice();
    // A relay in between that passes a login on to another one: the connections differ.
    early(&relay, move |state, request, response| match request {
        PreAuthRequest::LoginStart(start) => {
            let record = state.accounts["alice"].record.clone();
            let opaque = state.opaque();
            let (_, ke2) =
                opaque.login_start("alice", record.as_deref(), &start.opaque, &[9; 32], &mut rng()).unwrap();
            Response::LoginChallenge(LoginChallenge { opaque: BoundedBytes::new(ke2).unwrap() })
        }
        _ => response,
    });
    assert_eq!(refused(&relay, &words).await.kind, Kind::NotReady);
    assert_eq!(relay.state(|state| state.asked("LoginFinish")), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_opaque_messages_that_are_none_are_refused_before_any_work() {
    let (relay, words) = with_alice();
    let mut turn = 0;
    early(&relay, move |_, request, response| match (request, response) {
        (PreAuthRequest::LoginStart(_), Response::LoginChallenge(challenge)) => {
            turn += 1;
            let mut ke2 = challenge.opaque.into_inner();
            match turn {
                1 => ke2.clear(),
                2 => drop(ke2.pop()),
                3 => ke2.extend([0; 100]),
                4 => ke2.fill(0xff),
                _ => ke2.fill(0),
            }
            Response::LoginChallenge(LoginChallenge { opaque: BoundedBytes::new(ke2).unwrap() })
        }
        (_, response) => response,
    });
    for _ in 0..5 {
        let error = refused(&relay, &words).await;
        assert!(error.message.contains("protocol"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_a_login_that_is_granted_with_a_forged_list_adds_nothing() {
    let (relay, words) = with_alice();
    let attacker = Attacker::default();
    let known = relay.state(|state| state.newest("alice")).unwrap();
    let forged = [attacker.with_own_device(&known), attacker.first_list("alice")];
    let mut turn = 0;
    early(&relay, move |_, request, response| match request {
        PreAuthRequest::LoginFinish(_) => {
            turn += 1;
            let device_list = wire(&forged[(turn - 1) % 2]);
            Response::LoginGranted(LoginGranted { device_list })
        }
        _ => response,
    });
    for _ in 0..2 {
        assert_eq!(refused(&relay, &words).await.kind, Kind::Identity);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_another_key_at_the_relays_address_blocks_and_gets_no_byte() {
    let Scene { relay, alice, bob, carol, folder } = Scene::friends().await;
    let key = relay.key.clone();
    let (at, state) = relay.stop().await;
    let other = LyingRelay::start_with(RelayKey::generate(), at, State::default());
    for someone in [&alice, &bob] {
        someone.reconnect().await;
        let why = someone.until_blocked().await;
        assert_eq!((why.kind, why.message.contains("another key")), (Kind::Identity, true), "{why}");
    }
    assert_eq!(other.state(|state| (state.hellos, state.asked.len())), (0, 0), "not even a hello");
    other.stop().await;
    let relay = LyingRelay::start_with(key, at, state);
    for someone in [&alice, &bob] {
        someone.reconnect().await;
    }
    talk(&alice, &bob).await;
    drop((relay, carol, folder));
}

#[test]
fn r1_a_program_that_meets_another_key_has_its_exit_code() {
    let mut stage = stage();
    let key = stage.relay().key.clone();
    let relay = stage.relay.take().unwrap();
    let (other, state) = stage.runtime.block_on(async {
        let (at, state) = relay.stop().await;
        (LyingRelay::start_with(RelayKey::generate(), at, State::default()), state)
    });
    let outcome = stage.dora.run(&["send", "carl", "to the pinned relay alone", "--timeout", "20s"]);
    let joined = subrosa_tests::Person::new(stage.folder(), "frank")
        .join(&RelayAddress { fingerprint: Some(key.fingerprint), ..other.address() }.to_string());
    let got = other.state(|state| (state.hellos, state.asked.len()));
    let relay = stage.runtime.block_on(async {
        let (at, _) = other.stop().await;
        LyingRelay::start_with(key, at, state)
    });
    stage.relay = Some(relay);
    for outcome in [outcome, joined] {
        harmless(&outcome);
        outcome.code(6).says("another key");
    }
    assert_eq!(got, (0, 0), "not even a hello");
    stage.dora.run(&["send", "carl", "it is the pinned one again", "--timeout", "30s"]).ok();
}
