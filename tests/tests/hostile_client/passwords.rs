//! Guessing a passphrase, and keeping others from theirs (R41).

use std::time::{Duration, Instant};

use subrosa_protocol::{ErrorCode, Username, frames::*};
use subrosa_tests::{
    raw_client::{
        Identity, Network, Session,
        good::login,
        identity::{login_start, register_with_passphrase},
        session::refused,
    },
    report::did,
};

use crate::fixture::Relay;

async fn guess(session: &mut Session, name: &Username) -> Result<(), u64> {
    let (_, start) = login_start(name, b"a guess");
    match session.pre(start).await {
        Response::LoginChallenge(_) => Ok(()),
        other => {
            let error = refused(&other);
            assert_eq!(error.code, ErrorCode::RateLimited, "{error:?}");
            Err(error.retry_after_ms.expect("when to try again"))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r41_forty_networks_make_twenty_guesses_an_hour_and_lock_nobody_out() {
    let relay = Relay::start().await;
    let network = Network::new(relay.to);
    let mut alice = Identity::fresh();
    register_with_passphrase(&mut network.hello().await, &mut alice, b"the right one").await;
    let (mut challenged, mut limited, mut longest) = (0, 0, 0);
    for guesser in Network::several(relay.to, 40) {
        let mut session = guesser.hello().await;
        // The second guess of a network waits a second, the third two.
        for _ in 0..3 {
            match guess(&mut session, &alice.name).await {
                Ok(()) => challenged += 1,
                Err(after) => {
                    limited += 1;
                    longest = longest.max(after);
                }
            }
        }
    }
    did(&format!(
        "passwords: 120 guesses from 40 networks, {challenged} looked at, {limited} put off up to {longest} ms"
    ));
    assert_eq!(challenged, 20, "in an hour, from everywhere");
    assert!(longest <= 300_000, "never locked");
    // Her device does not notice.
    let began = Instant::now();
    login(&network, &alice).await;
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r41_who_tries_many_names_does_not_use_up_what_the_relay_remembers() {
    // Little memory, so that the flood need not be large: 480 names.
    let relay = Relay::with("open", "limiter_keys = 480").await;
    let guesser = Network::new(relay.to);
    let (mut challenged, mut limited) = (0, 0);
    let mut session = guesser.hello().await;
    for number in 0..900 {
        if guess(&mut session, &Username::new(format!("name_{number}")).unwrap()).await.is_ok() {
            challenged += 1;
        } else {
            limited += 1;
        }
    }
    did(&format!("passwords: 900 names from one network, {challenged} looked at, {limited} refused"));
    assert!((60..=75).contains(&challenged), "{challenged}");
    let mut honest = Network::new(relay.to).hello().await;
    assert_eq!(guess(&mut honest, &relay.somebody().await.name).await, Ok(()), "others can log in");
}
