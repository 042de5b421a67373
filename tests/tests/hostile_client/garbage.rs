//! Bytes and frames that mean nothing, before and after authentication.

use std::sync::Arc;

use subrosa_protocol::{ErrorCode, RawFrame, frames::*};
use subrosa_tests::{
    raw_client::{Manners, Network, Probe, Session, session::refused},
    report::did,
};

use crate::fixture::{Dice, Relay, SLACK};

/// Every kind of frame that version 1 has, and some that it has not.
const KINDS: [u16; 24] = [
    0x0001, 0x0002, 0x0010, 0x0011, 0x0012, 0x0013, 0x0014, 0x0015, 0x0016, 0x0020, 0x0021, 0x0022, 0x0023,
    0x0024, 0x0025, 0x0030, 0x0031, 0x0032, 0x4010, 0x8000, 0x8001, 0x3fff, 0x7fff, 0xffff,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_random_bytes_and_frames_get_an_error_or_the_end() {
    let relay = Relay::start().await;
    let probe = Probe::start(&relay.world.relay).await;
    let people = Arc::new(relay.people(20).await);
    let mut dice = Dice::seeded();
    let networks = Network::several(relay.to, 6);
    let mut tasks = Vec::new();
    for number in 0..90usize {
        let (network, people) = (networks[number % networks.len()].clone(), Arc::clone(&people));
        let (stage, noise) = (number % 3, dice.bytes(3_000));
        let frames: Vec<RawFrame> = (0..40)
            .map(|id| {
                let len = dice.below(300);
                let kind = KINDS[dice.below(KINDS.len())];
                RawFrame { kind, flags: 0, id: id + 1, body: dice.bytes(len).into() }
            })
            .collect();
        tasks.push(tokio::spawn(async move {
            let mut session = network.open_with(Manners::default()).await.unwrap();
            if stage > 0 {
                session.hello().await;
            }
            if stage > 1 {
                session.authenticate(&people[number % people.len()]).await;
            }
            let answered = if stage > 0 { answered(&mut session, &frames).await } else { 0 };
            session.bytes(&noise).await;
            let _ = session.writer.finish();
            (answered, session.ending(SLACK * 3).await)
        }));
    }
    let (mut answers, mut told) = (0, 0);
    for task in tasks {
        let (answered, ending) = task.await.unwrap();
        let ending = ending.expect("a connection that sent garbage is neither told nor closed");
        answers += answered;
        told += usize::from(ending.error.is_some() || ending.reason.is_some());
    }
    did(&format!("garbage: 90 connections, {answers} random frames answered, {told} told why they ended"));
    assert!(answers > 1_000, "random frames are answered one by one");
    probe.finish("garbage").await;
}

/// Each frame gets an answer, and the connection goes on; 0 when it ended before the last.
async fn answered(session: &mut Session, frames: &[RawFrame]) -> usize {
    for frame in frames {
        session.write(frame).await;
    }
    let mut answered = 0;
    while answered < frames.len() {
        match session.heard().await {
            Some(FromRelay::Response(..)) => answered += 1,
            Some(_) => {}
            None => break,
        }
    }
    answered
}

#[tokio::test]
async fn r9_unknown_versions_wrong_states_and_trailing_bytes_are_typed() {
    let relay = Relay::start().await;
    let network = Network::new(relay.to);
    // A version that nobody speaks ends the connection with a word.
    let mut session = network.open_with(Manners::default()).await.unwrap();
    let hello = ClientFirst::Hello(ClientHello { min_version: 40, max_version: 41, features: 0 });
    session.write(&hello.to_raw(0).unwrap()).await;
    let ending = session.ending(SLACK).await.unwrap();
    assert_eq!((ending.error, ending.frames), (Some(ErrorCode::UnsupportedVersion), 1));
    // So does anything but a hello.
    let mut session = network.open_with(Manners::default()).await.unwrap();
    session.write(&Request::PrekeyStatus(Empty {}).to_raw(1).unwrap()).await;
    assert_eq!(session.ending(SLACK).await.unwrap().error, Some(ErrorCode::BadRequest));

    let mut session = network.hello().await;
    let who = relay.somebody().await;
    let start = PreAuthRequest::RegisterStart(who.register_start(None));
    let good = Request::PrekeyStatus(Empty {});
    for authenticated in [false, true] {
        let (right, wrong) = match authenticated {
            false => (start.to_raw(7).unwrap(), good.to_raw(8).unwrap()),
            true => (good.to_raw(7).unwrap(), start.to_raw(8).unwrap()),
        };
        if authenticated {
            session.authenticate(&who).await;
        }
        let trailing = RawFrame { body: [&right.body[..], &[0]].concat().into(), ..right };
        let strange = RawFrame { kind: 0x3abc, flags: 0, id: 9, body: vec![1, 2, 3].into() };
        for (frame, code) in [
            (trailing, ErrorCode::BadRequest),
            (wrong, ErrorCode::BadRequest),
            (strange, ErrorCode::UnknownFrame),
        ] {
            let answer = session.raw_answer(&frame).await;
            let FromRelay::Response(_, response) = FromRelay::from_raw(&answer).unwrap() else { panic!() };
            assert_eq!(refused(&response).code, code, "authenticated: {authenticated}, {frame:?}");
        }
    }
    session.fetch(0).await;
}
