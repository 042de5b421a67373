//! Many at once who want the same thing that there is only once.

use std::sync::Arc;

use subrosa_protocol::{ErrorCode, JoinLink, Username, frames::Response};
use subrosa_tests::{
    raw_client::{Identity, Network},
    report::did,
};
use tokio::sync::Barrier;

use crate::fixture::Relay;

/// How many want it.
const RACERS: usize = 50;

/// Registers them all at the same moment; how many got it, and why the others did not.
async fn race(relay: &Relay, racers: Vec<Identity>, invite: Option<[u8; 16]>) -> (usize, Vec<ErrorCode>) {
    let barrier = Arc::new(Barrier::new(racers.len()));
    let to = relay.to;
    let tasks: Vec<_> = racers
        .into_iter()
        .map(|who| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                let mut session = Network::new(to).hello().await;
                barrier.wait().await;
                let answer = session.register(&who, invite).await;
                (who, answer)
            })
        })
        .collect();
    let (mut winners, mut refusals) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            (who, Response::Done(_)) => winners.push(who),
            (_, Response::Error(error)) => refusals.push(error.code),
            (_, other) => panic!("{other:?}"),
        }
    }
    for winner in &winners {
        winner.session(relay.to).await;
    }
    (winners.len(), refusals)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_registrations_of_one_name_at_once_have_one_winner() {
    let relay = Relay::start().await;
    let name = Username::new("wanted").unwrap();
    let racers = (0..RACERS).map(|_| Identity::new(name.as_str())).collect();
    let (won, refusals) = race(&relay, racers, None).await;
    did(&format!("races: {RACERS} registrations of one name, {won} won"));
    assert_eq!((won, refusals.len()), (1, RACERS - 1));
    assert!(refusals.iter().all(|code| *code == ErrorCode::NameTaken), "{refusals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r42_fifty_uses_of_one_invite_at_once_have_one_winner() {
    let relay = Relay::with("invite", "").await;
    let link = relay.world.relay.invite.clone().expect("the first start prints an invite");
    let link: JoinLink = link.parse().unwrap();
    let racers = (0..RACERS).map(|_| Identity::fresh()).collect();
    let (won, refusals) = race(&relay, racers, Some(link.invite.expect("an invite").0)).await;
    did(&format!("races: {RACERS} uses of one invite, {won} won"));
    assert_eq!((won, refusals.len()), (1, RACERS - 1));
    assert!(refusals.iter().all(|code| *code == ErrorCode::InviteInvalid), "{refusals:?}");
}
