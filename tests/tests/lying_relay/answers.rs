//! Answers of the wrong kind, answers to nothing, refusals without a reason, and lies about the device itself.

use std::{
    collections::BTreeMap,
    mem::discriminant,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_bytes::ByteArray;
use subrosa_client::api::{ConnectionState, EventBody, EventKind, Kind, MessageKind, MessageState, WaitFor};
use subrosa_protocol::{
    BoundedVec, ErrorCode,
    frames::{
        CloseReason, Closing, DeviceLists, Empty, EnvelopeAccepted, ErrorFrame, MailboxPage, PrekeyBundles,
        PrekeyCounts, Push, ReauthChallenge, RelayHello, Request, Response,
    },
};
use subrosa_tests::{
    lying_relay::{Say, Scene, Someone, error, stale},
    report::did,
};

use crate::{goes_on, with_before};

/// One answer of every kind that there is.
fn every_answer() -> Vec<Response> {
    vec![
        Response::Done(Empty {}),
        Response::PrekeyCounts(PrekeyCounts { one_time: 7, kem: 7 }),
        Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at: 1 }),
        Response::MailboxPage(MailboxPage { envelopes: BoundedVec::default(), more: false }),
        Response::PrekeyBundles(PrekeyBundles { bundles: BoundedVec::default() }),
        Response::DeviceLists(DeviceLists {
            lists: BoundedVec::default(),
            more: false,
            display_name: subrosa_protocol::BoundedStr::truncated(""),
        }),
        stale(1),
        error(ErrorCode::Internal),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_wrong_kind_is_shown_and_believed_by_nobody() {
    let scene = Scene::friends().await;
    let mut turn = 0;
    scene.relay.lie(|lies| {
        lies.answers(move |_, from, request, response| match request {
            Request::EnvelopeSend(_) if from.0 == "alice" => {
                turn += 1;
                match turn {
                    1 => Response::Done(Empty {}),
                    2 => Response::PrekeyCounts(PrekeyCounts { one_time: 1, kem: 1 }),
                    _ => response,
                }
            }
            _ => response,
        });
    });
    let id = scene.alice.queue("bob", "answered wrongly").await;
    let told = scene.alice.until_heard(EventKind::ServerNotice, |_| true).await;
    let EventBody::ServerNotice { text } = told else { panic!() };
    assert!(
        text.contains("relay") && !text.contains("internal error"),
        "the relay's fault, and not ours: {text}"
    );
    scene.alice.reconnect().await;
    scene.alice.reconnect().await;
    scene.alice.until_state(&id, MessageState::Delivered).await;
    assert_eq!(scene.bob.texts("alice").await, with_before(&["answered wrongly"]));
    goes_on(&scene).await;
}

/// What engines ask by themselves. What a person has them ask, `DeviceListPublish`, is below.
const ASKED: [&str; 7] = [
    "DeviceListFetch",
    "PrekeyClaim",
    "PrekeyUpload",
    "EnvelopeSend",
    "MailboxFetch",
    "MailboxAck",
    "Reauthenticate",
];

/// The wrong answers that requests got: how many of those to give, by request.
#[derive(Default)]
struct Given(BTreeMap<&'static str, usize>);

impl Given {
    /// The next wrong answer for a request, or the true one when it got them all.
    fn next(&mut self, request: &Request, truth: Response) -> Response {
        let given = self.0.entry(request.name()).or_default();
        let is_wrong = |answer: &Response| discriminant(answer) != discriminant(&truth);
        let wrong = every_answer().into_iter().filter(is_wrong).nth(*given);
        match wrong {
            Some(wrong) => {
                *given += 1;
                wrong
            }
            None => truth,
        }
    }

    /// Of every request, at least one answer less than there are, because one may be of the right kind.
    fn is_all(&self) -> bool {
        ASKED.iter().all(|name| self.0.get(name).is_some_and(|given| *given + 1 >= every_answer().len()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_survives_every_wrong_answer() {
    let mut scene = Scene::friends().await;
    let given = Arc::new(Mutex::new(Given::default()));
    let giving = Arc::clone(&given);
    scene.relay.lie(|lies| {
        lies.requests(move |_, _, id, request, truth| {
            vec![Say::answer(id, &giving.lock().unwrap().next(request, truth))]
        });
        // So that there is something to upload.
        lies.before(|_, id, _, truth| {
            let answer = match truth {
                Response::Authenticated(mut state) => {
                    state.prekeys = PrekeyCounts { one_time: 0, kem: 0 };
                    Response::Authenticated(state)
                }
                other => other,
            };
            vec![Say::answer(id, &answer)]
        });
    });
    let began = Instant::now();
    let (mut first, mut texts, mut given_up) = (Vec::<String>::new(), Vec::new(), 0);
    while !given.lock().unwrap().is_all() {
        assert!(began.elapsed() < Duration::from_secs(300), "not asked: {:?}", given.lock().unwrap().0);
        // carol asks for bob's devices and keys until she has them; a text that is given up says why.
        match first.last() {
            Some(id) if scene.carol.line(id).await.state != MessageState::Failed => {}
            last => {
                if let Some(id) = last {
                    assert!(scene.carol.line(id).await.reason.is_some(), "given up, and said why");
                    given_up += 1;
                }
                first.push(scene.carol.queue("bob", &format!("from carol, {}", first.len())).await);
            }
        }
        if texts.len() < 20 {
            texts.push(scene.alice.queue("bob", &format!("text {}", texts.len())).await);
        }
        for someone in [&scene.alice, &scene.bob, &scene.carol] {
            someone.reconnect().await;
        }
        // Each wants the proof that alice is still there; it may be lost with her connection.
        let challenge = ReauthChallenge { nonce: ByteArray::new([7; 32]), within_s: 30 };
        scene.relay.state(|state| {
            state.say(&("alice".to_owned(), 1), &[Say::push(&Push::ReauthChallenge(challenge))])
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        // A refused upload is tried again after a minute, or by an engine that was started anew.
        if given.lock().unwrap().0.get("PrekeyUpload").is_none_or(|given| *given + 1 < every_answer().len()) {
            scene.bob = scene.bob.restart(&scene.relay, |_| {}).await;
        }
    }
    let all: usize = given.lock().unwrap().0.values().sum();
    did(&format!(
        "lying relay: {all} wrong answers to {} kinds of requests, {given_up} texts given up",
        ASKED.len()
    ));
    goes_on(&scene).await;
    scene.carol.reconnect().await;
    // What the relay said was accepted was dropped by nobody: it carried everything out. Each text is there once.
    for (from, ids) in [(&scene.alice, &texts), (&scene.carol, &first)] {
        for id in ids {
            arrives_or_is_given_up(from, id, &scene.bob).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_list_whose_publication_is_answered_wrongly_stays_as_it_is() {
    let scene = Scene::friends().await;
    let second = another_device(&scene).await;
    scene.bob.reconnect().await;
    scene.bob.until_synced().await;
    let devices = |scene: &Scene| scene.relay.state(|state| state.newest("bob").unwrap().devices.len());
    let remove = || subrosa_client::api::Request::DeviceRemove { device: 2 };
    for wrong in every_answer().into_iter().filter(|answer| !matches!(answer, Response::Done(_))) {
        let said = format!("{wrong:?}");
        scene.relay.lie(|lies| {
            lies.refuses(move |_, request| {
                matches!(request, Request::DeviceListPublish(_)).then(|| wrong.clone())
            });
        });
        let refused = scene.bob.ask(remove()).await;
        assert!(refused.is_err(), "{said} was taken for a yes: {refused:?}");
        scene.relay.be_honest();
        scene.bob.reconnect().await;
        scene.bob.until_synced().await;
        assert_eq!(devices(&scene), 2, "{said}");
    }
    scene.alice.send("bob", "to both of you").await;
    second.until_text("alice", "to both of you").await;
    scene.bob.ask(remove()).await.unwrap();
    assert_eq!(devices(&scene), 1);
    goes_on(&scene).await;
}

/// A text is there once, or its sender is told why not.
async fn arrives_or_is_given_up(from: &Someone, id: &str, to: &Someone) {
    let began = Instant::now();
    loop {
        let line = from.line(id).await;
        let MessageKind::Text { text } = &line.kind else { panic!("{line:?}") };
        if line.state == MessageState::Failed {
            assert!(line.reason.is_some(), "given up, and said why");
            return;
        }
        match to.texts(&from.name).await.iter().filter(|there| there.as_str() == &**text).count() {
            0 => {
                assert!(began.elapsed() < Duration::from_secs(120), "never came, nor was given up: {line:?}")
            }
            times => return assert_eq!(times, 1, "{text:?} came {times} times"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_requests_that_were_never_made_change_nothing() {
    let scene = Scene::friends().await;
    let status = scene.bob.status().await;
    let said: Vec<_> = (0..300u32)
        .flat_map(|id| every_answer().into_iter().map(move |answer| Say::answer(id * 7_919 + 1_000, &answer)))
        .collect();
    scene.relay.say(("bob", 1), &said);
    scene.alice.send("bob", "after all that").await;
    scene.bob.until_text("alice", "after all that").await;
    assert!(scene.bob.heard(EventKind::ConnectionDown).is_empty(), "nothing of it is an error");
    assert_eq!(scene.bob.status().await.discarded, status.discarded);
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_given_twice_count_once() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.requests(|_, _, id, _, response| vec![Say::answer(id, &response), Say::answer(id, &response)]);
    });
    let id = scene.alice.send("bob", "answered twice").await;
    scene.alice.until_state(&id, MessageState::Delivered).await;
    assert_eq!(scene.alice.heard(EventKind::MessageAccepted).len(), 1);
    assert_eq!(scene.bob.texts("alice").await, with_before(&["answered twice"]));
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_called_old_for_ever_is_waited_for_and_shown() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.refuses(|from, request| match request {
            Request::EnvelopeSend(_) if from.0 == "alice" => Some(stale(u64::MAX)),
            _ => None,
        });
    });
    let wait = Duration::from_millis(4_500);
    let sent = scene.alice.send_within("bob", "whenever it may be", WaitFor::Accepted, wait).await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Queued, Kind::Timeout));
    // After 0, 1 and 3 seconds.
    let tries = scene.relay.state(|state| state.asked("EnvelopeSend"));
    assert!(tries <= 4, "{tries} tries in 4.5 seconds");
    let why = scene.alice.line(&sent.id.unwrap()).await.reason.expect("it is said why the message waits");
    assert!(why.contains("devices"), "{why}");
    goes_on(&scene).await;
    scene.bob.until_text("alice", "whenever it may be").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_every_kind_are_shown_and_lose_no_text_silently() {
    let scene = Scene::friends().await;
    let codes: Vec<_> = ErrorCode::ALL.iter().copied().chain([ErrorCode::Other(60_000)]).collect();
    let (mut turn, answers) = (0, codes.clone());
    scene.relay.lie(|lies| {
        lies.refuses(move |from, request| match request {
            Request::EnvelopeSend(_) if from.0 == "alice" => {
                turn += 1;
                let mut frame = ErrorFrame::new(answers[(turn - 1) % answers.len()], "no");
                frame.retry_after_ms = Some(u64::MAX);
                Some(Response::Error(frame))
            }
            _ => None,
        });
    });
    let mut ids = Vec::new();
    for i in 0..codes.len() {
        ids.push(scene.alice.queue("bob", &format!("text {i}")).await);
        let asked = i + 1;
        scene.relay.until("it was tried", |state| state.asked("EnvelopeSend") >= asked).await;
        scene.alice.reconnect().await;
    }
    scene.relay.be_honest();
    scene.alice.reconnect().await;
    let (mut failed, mut came) = (0, 0);
    for (i, id) in ids.iter().enumerate() {
        let shown = |state| !matches!(state, MessageState::Queued | MessageState::Held);
        let (mut line, began) = (scene.alice.line(id).await, Instant::now());
        while !shown(line.state) {
            assert!(began.elapsed() < Duration::from_secs(120), "neither sent nor given up: {line:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            line = scene.alice.line(id).await;
        }
        if line.state == MessageState::Failed {
            assert!(line.reason.is_some(), "given up, and said why");
            failed += 1;
        } else {
            scene.bob.until_text("alice", &format!("text {i}")).await;
            came += 1;
        }
    }
    println!("{failed} of {} refused texts were given up and shown so, {came} came", ids.len());
    assert!(came > 0);
    goes_on(&scene).await;
}

/// bob is told that his connection ends.
fn closing(scene: &Scene, reason: CloseReason) {
    scene.relay.say(("bob", 1), &[Say::push(&Push::Closing(Closing { reason }))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_goodbye_is_followed_by_another_connection() {
    let scene = Scene::friends().await;
    for reason in
        [CloseReason::ShuttingDown, CloseReason::ProofExpired, CloseReason::Abuse, CloseReason::Idle]
    {
        let before = scene.relay.state(|state| state.hellos);
        closing(&scene, reason);
        scene.relay.say(("bob", 1), &[Say::Close(0, Vec::new())]);
        scene.relay.until("bob is back", |state| state.hellos > before).await;
        scene.bob.until_synced().await;
    }
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_falsely_called_removed_says_who_says_so_and_comes_back_when_asked() {
    let scene = Scene::friends().await;
    closing(&scene, CloseReason::Revoked);
    let why = scene.bob.until_blocked().await;
    assert!(why.message.contains("the relay says"), "{why}");
    scene.bob.until_heard(EventKind::ConnectionDown, |_| true).await;
    // The keys are where they were: nothing is given up on the relay's word.
    assert!(scene.bob.identity().await.keys.is_some());
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_falsely_called_replaced_or_unknown_comes_back_when_asked() {
    let scene = Scene::friends().await;
    closing(&scene, CloseReason::Replaced);
    assert_eq!(scene.bob.until_blocked().await.kind, Kind::NotReady);
    goes_on(&scene).await;
    for code in [ErrorCode::AuthenticationFailed, ErrorCode::LoginRequired] {
        scene.relay.lie(|lies| lies.before(move |_, id, _, _| vec![Say::answer(id, &error(code))]));
        scene.bob.reconnect().await;
        assert_eq!(scene.bob.until_blocked().await.kind, Kind::NotReady);
        scene.relay.be_honest();
        scene.bob.reconnect().await;
        scene.bob.until_synced().await;
    }
    let alice = &scene.alice;
    alice.send("bob", "still you").await;
    scene.bob.until_text("alice", "still you").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_a_false_generation_only_denies_service_and_says_so() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.before(|_, id, _, response| {
            let response = match response {
                Response::Authenticated(mut state) => {
                    state.generation = u64::MAX;
                    Response::Authenticated(state)
                }
                other => other,
            };
            vec![Say::answer(id, &response)]
        });
    });
    scene.bob.reconnect().await;
    let why = scene.bob.until_blocked().await;
    assert!(why.message.contains("old copy"), "{why}");
    // What is stored can be read; nothing is sent or read with the old keys any more.
    assert_eq!(scene.bob.texts("alice").await, with_before(&[]));
    let send = subrosa_client::api::SendMessage {
        to: vec!["alice".into()],
        text: "not any more".into(),
        reply_to: None,
        key: None,
        wait: WaitFor::Queued,
        timeout_ms: None,
    };
    let refused = scene.bob.ask(subrosa_client::api::Request::MessageSend(send)).await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotReady);
    scene.relay.be_honest();
    // A new device of the same account goes on.
    let second = another_device(&scene).await;
    scene.alice.send("bob", "to the new device").await;
    second.until_text("alice", "to the new device").await;
}

async fn another_device(scene: &Scene) -> Someone {
    let second = scene.bob.another_device(&scene.relay).await;
    second.until_synced().await;
    second
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r23_a_generation_that_went_back_changes_nothing() {
    let scene = Scene::friends().await;
    scene.relay.state(|state| state.device("bob", 1).generation = 0);
    scene.bob.reconnect().await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r36_prekeys_that_are_always_none_make_no_endless_supply() {
    let scene = Scene::friends().await;
    let none = PrekeyCounts { one_time: 0, kem: 0 };
    scene.relay.lie(|lies| {
        lies.answers(move |_, _, _, response| match response {
            Response::PrekeyCounts(_) => Response::PrekeyCounts(none),
            other => other,
        });
        lies.before(move |_, id, _, response| {
            let response = match response {
                Response::Authenticated(mut state) => {
                    state.prekeys = none;
                    Response::Authenticated(state)
                }
                other => other,
            };
            vec![Say::answer(id, &response)]
        });
    });
    for _ in 0..5 {
        let before = scene.relay.state(|state| state.hellos);
        scene.bob.reconnect().await;
        scene.relay.until("bob is back", |state| state.hellos > before).await;
        scene.bob.until_synced().await;
    }
    scene.relay.until("a refill is there", |state| state.device("bob", 1).one_time.len() > 100).await;
    let (ec, kem) = scene.relay.state(|state| {
        let bob = state.device("bob", 1);
        (bob.one_time.len(), bob.kem.len())
    });
    println!("{ec} and {kem} prekeys after five connections without any");
    assert!(ec <= 30 + 100 && kem <= 30 + 100, "more than one refill: {ec} and {kem}");
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_a_hello_of_another_version_blocks_and_says_so() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| lies.at_hello(|hello| vec![Say::hello(RelayHello { version: 9, ..hello })]));
    scene.bob.reconnect().await;
    let why = scene.bob.until_blocked().await;
    assert!(why.message.contains("version"), "{why}");
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_said_before_and_features_of_no_version_change_nothing() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.at_hello(|hello| vec![Say::hello(RelayHello { features: u64::MAX, ..hello })]);
    });
    scene.bob.reconnect().await;
    scene.bob.until_synced().await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_told_as_a_timeout_and_ends() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| lies.instead(|_, _, _| Some(Vec::new())));
    let sent = scene.alice.try_send("bob", "is anybody there?").await;
    assert_eq!((sent.state, sent.error.unwrap().kind), (MessageState::Queued, Kind::Timeout));
    let up = |state: &ConnectionState| matches!(state, ConnectionState::Up { .. });
    assert!(up(&scene.alice.status().await.connection));
    goes_on(&scene).await;
    assert_eq!(scene.bob.texts("alice").await[2], "is anybody there?");
}
