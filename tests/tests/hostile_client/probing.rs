//! Finding out who exists, by content and by time (R38, R40).

use std::time::{Duration, Instant};

use subrosa_protocol::{BoundedVec, DeviceId, RawFrame, Username, frames::*};
use subrosa_tests::{
    raw_client::{
        Identity, Network, Session,
        good::median,
        identity::{login_start, random, register_with_passphrase},
        session::envelopes,
    },
    report::did,
};

use crate::fixture::{Relay, size};

/// Rates are lifted: they would end the probing long before it tells anything.
const LIFTED: &str = "lift_rates = true";

/// Rounds of a comparison. A machine that others use as well adds noise, which is another one in each round; a difference
/// that the relay makes is there in all of them.
const ROUNDS: usize = 5;

fn tries() -> usize {
    size("SUBROSA_HOSTILE_TRIES", 200)
}

fn unknown(number: usize) -> Username {
    let name = match number % 3 {
        0 => format!("nobody_{number}"),
        // Beside an existing one in every index.
        1 => format!("somebody0_{number}"),
        _ => format!("a_name_as_long_as_can_be_{number:07}"),
    };
    Username::new(name).unwrap()
}

async fn timed(session: &mut Session, frame: &RawFrame) -> (RawFrame, Duration) {
    let began = Instant::now();
    let answer = session.raw_answer(frame).await;
    (answer, began.elapsed())
}

/// Compares the medians of several kinds of samples, in at most five rounds, until one of them holds.
async fn compare(
    what: &str,
    kinds: &[&str],
    mut round: impl AsyncFnMut() -> Vec<Vec<Duration>>,
    holds: impl Fn(Duration, f64) -> bool,
) {
    for number in 1..=ROUNDS {
        let mut samples = round().await;
        let medians: Vec<_> = samples.iter_mut().map(|samples| median(samples)).collect();
        let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
        let ratio = most.as_secs_f64() / least.as_secs_f64();
        let each: Vec<_> =
            kinds.iter().zip(&medians).map(|(kind, median)| format!("{kind} {median:?}")).collect();
        let (tries, percent) = (samples[0].len(), (ratio - 1.0) * 100.0);
        let each = each.join(", ");
        did(&format!("{what}: round {number}, medians of {tries} tries each: {each}, apart {percent:.1} %"));
        if holds(*most - *least, ratio) {
            return;
        }
    }
    panic!("{what}: the times differ in each of {ROUNDS} rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r38_unknown_names_get_the_same_bytes_in_the_same_time_whatever_is_asked() {
    let relay = Relay::alone("open", LIFTED).await;
    let mut session = relay.somebody().await.session(relay.to).await;
    let mut first: Option<RawFrame> = None;
    let round = async || {
        let mut samples = vec![Vec::new(); 3];
        for number in 0..tries() * 3 {
            let device = DeviceId::new(1).unwrap();
            for (kind, times) in samples.iter_mut().enumerate() {
                let name = unknown(number * 3 + kind);
                let request = match number % 3 {
                    0 => Request::DeviceListFetch(DeviceListFetch { account: name, since: 0 }),
                    1 => {
                        let devices = BoundedVec::new(vec![device]).ok().unwrap();
                        Request::PrekeyClaim(PrekeyClaim { account: name, devices })
                    }
                    _ => envelopes(&name, 1, &[u128::from_le_bytes(random())], 64),
                };
                let (answer, took) = timed(&mut session, &request.to_raw(7).unwrap()).await;
                assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()), "{request:?}");
                if number % 3 == 0 {
                    times.push(took);
                }
            }
        }
        samples
    };
    let kinds = ["a name far from others", "one beside an existing", "a long one"];
    compare("probing names", &kinds, round, |apart, _| apart < Duration::from_millis(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r38_authentication_does_not_tell_who_exists_by_time_either() {
    let relay = Relay::alone("open", LIFTED).await;
    let known = relay.somebody().await;
    let networks = Network::several(relay.to, 8);
    let mut first: Option<RawFrame> = None;
    let round = async || {
        let mut samples = vec![Vec::new(); 2];
        for number in 0..tries() {
            let mut session = networks[number % networks.len()].hello().await;
            let wrong = known.authenticate(&[7; 32], &session.nonce);
            let nobody = Authenticate { account: unknown(number), ..wrong.clone() };
            let mut claims = [(0, wrong), (1, nobody)];
            if number % 2 == 1 {
                claims.reverse();
            }
            for (kind, claim) in claims {
                let frame = PreAuthRequest::Authenticate(claim).to_raw(7).unwrap();
                let (answer, took) = timed(&mut session, &frame).await;
                assert_eq!(&answer, first.get_or_insert_with(|| answer.clone()));
                samples[kind].push(took);
            }
            session.connection.close(0u32.into(), b"");
        }
        samples
    };
    let kinds = ["a wrong proof", "nobody"];
    compare("probing by authentication", &kinds, round, |apart, _| apart < Duration::from_millis(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_logins_do_not_tell_who_exists_by_bytes_or_time() {
    let relay = Relay::alone("open", LIFTED).await;
    let mut alice = Identity::fresh();
    let network = Network::new(relay.to);
    register_with_passphrase(&mut network.hello().await, &mut alice, b"the right one").await;
    let mut session = network.hello().await;
    let mut shapes = std::collections::BTreeSet::new();
    let round = async || {
        let mut samples = vec![Vec::new(); 2];
        for number in 0..tries() {
            if number % 100 == 99 {
                session.connection.close(0u32.into(), b"");
                session = network.hello().await;
            }
            let nobody = unknown(number);
            let mut kinds = [(0, &alice.name), (1, &nobody)];
            if number % 2 == 1 {
                kinds.reverse();
            }
            for (kind, name) in kinds {
                let (_, start) = login_start(name, b"a wrong one");
                let (challenge, began) = timed(&mut session, &start.to_raw(7).unwrap()).await;
                // A wrong KE3: the client of a wrong passphrase cannot make a right one.
                let opaque = subrosa_protocol::BoundedBytes::new(vec![9; 64]).unwrap();
                let finish = PreAuthRequest::LoginFinish(LoginFinish { opaque, renew: None });
                let (answer, ended) = timed(&mut session, &finish.to_raw(7).unwrap()).await;
                shapes.insert((challenge.kind, challenge.body.len(), answer.body.to_vec()));
                samples[kind].push(began + ended);
            }
        }
        samples
    };
    compare("probing by login", &["a wrong passphrase", "nobody"], round, |_, ratio| ratio < 1.05).await;
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}
