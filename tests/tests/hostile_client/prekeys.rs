//! Draining a device's one-time prekeys (R36, R37).

use subrosa_protocol::{BoundedVec, DeviceId, ErrorCode, Username, frames::*};
use subrosa_tests::{
    raw_client::{
        Identity, Session,
        session::{envelopes, refused},
    },
    report::did,
};

use crate::fixture::Relay;

/// How a claim of one bundle of device 1 ended.
#[derive(Debug, PartialEq)]
enum Claimed {
    /// With one-time prekeys of both kinds.
    OneTime,
    /// With what is handed out when there is no other.
    LastResort,
    /// Too many claims.
    Limited,
}

async fn claim(session: &mut Session, name: &Username, last_resort: Option<&KemPrekeyBytes>) -> Claimed {
    let devices = BoundedVec::new(vec![DeviceId::new(1).unwrap()]).ok().unwrap();
    let claim = Request::PrekeyClaim(PrekeyClaim { account: name.clone(), devices });
    match session.ask(claim).await {
        Response::PrekeyBundles(bundles) => {
            let [bundle] = &*bundles.bundles else { panic!("{bundles:?}") };
            let resort = last_resort.is_none_or(|resort| bundle.kem == *resort);
            assert_eq!(bundle.one_time.is_none(), resort, "one kind is gone before the other");
            if resort { Claimed::LastResort } else { Claimed::OneTime }
        }
        other => {
            let error = refused(&other);
            assert_eq!(error.code, ErrorCode::RateLimited, "{error:?}");
            assert!(error.retry_after_ms.is_some_and(|after| after > 0));
            Claimed::Limited
        }
    }
}

/// Somebody with a hundred one-time prekeys of each kind, and the last-resort prekey that the relay has of them.
async fn victim(relay: &Relay) -> (Identity, KemPrekeyBytes) {
    let mut victim = Identity::fresh();
    victim.one_time = 100;
    let mut session = subrosa_tests::raw_client::Network::new(relay.to).hello().await;
    for frame in {
        let started = session.pre(PreAuthRequest::RegisterStart(victim.register_start(None))).await;
        assert!(matches!(started, Response::RegisterChallenge(_)));
        victim.stage()
    } {
        assert!(matches!(session.pre(PreAuthRequest::StagePrekeys(frame)).await, Response::Done(_)));
    }
    let finish = victim.register_finish(&session.exporter, &session.nonce);
    let last_resort = finish.prekeys.last_resort;
    assert!(matches!(session.pre(PreAuthRequest::RegisterFinish(finish)).await, Response::Done(_)));
    (victim, last_resort)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r37_strangers_drain_thirty_an_hour_and_contacts_are_served() {
    let relay = Relay::start().await;
    let (victim, last_resort) = victim(&relay).await;
    let contact = relay.somebody().await;
    // Whom the victim writes to is a contact.
    let mut own = victim.session(relay.to).await;
    assert!(matches!(own.ask(envelopes(&contact.name, 1, &[1], 100)).await, Response::EnvelopeAccepted(_)));
    let (mut taken, mut limited) = (0, 0);
    for stranger in relay.people(8).await {
        let mut session = stranger.session(relay.to).await;
        for _ in 0..8 {
            match claim(&mut session, &victim.name, Some(&last_resort)).await {
                Claimed::OneTime => taken += 1,
                Claimed::Limited => limited += 1,
                Claimed::LastResort => panic!("the reserve was touched after {taken}"),
            }
        }
    }
    did(&format!("prekeys: 8 strangers claimed {taken} of 100 and were refused {limited} times"));
    assert_eq!(taken, 30, "for all strangers together, in an hour");
    let mut session = contact.session(relay.to).await;
    for _ in 0..6 {
        assert_eq!(claim(&mut session, &victim.name, Some(&last_resort)).await, Claimed::OneTime);
    }
    assert_eq!(claim(&mut session, &victim.name, Some(&last_resort)).await, Claimed::Limited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r37_twenty_are_kept_for_contacts_whatever_strangers_may_take() {
    // More than the default from strangers, to come as far as the reserve.
    let relay = Relay::with(
        "open",
        "prekey_claims_per_device = { burst = 1000, refill = 1000, period_ms = 3600000 }",
    )
    .await;
    let (victim, last_resort) = victim(&relay).await;
    let contacts = relay.people(4).await;
    let mut own = victim.session(relay.to).await;
    for contact in &contacts {
        let sent = own.ask(envelopes(&contact.name, 1, &[1], 100)).await;
        assert!(matches!(sent, Response::EnvelopeAccepted(_)));
    }
    let (mut taken, mut resorts) = (0, 0);
    for stranger in relay.people(16).await {
        let mut session = stranger.session(relay.to).await;
        for _ in 0..6 {
            match claim(&mut session, &victim.name, Some(&last_resort)).await {
                Claimed::OneTime => taken += 1,
                Claimed::LastResort => resorts += 1,
                Claimed::Limited => panic!("six at once are allowed"),
            }
        }
    }
    let mut served = 0;
    for contact in &contacts {
        let mut session = contact.session(relay.to).await;
        for _ in 0..6 {
            served +=
                usize::from(claim(&mut session, &victim.name, Some(&last_resort)).await == Claimed::OneTime);
        }
    }
    did(&format!(
        "prekeys: strangers took {taken} of 100, then {resorts} last resorts; contacts took {served}"
    ));
    assert_eq!((taken, resorts, served), (80, 16, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r37_a_full_limiter_refuses_whom_it_does_not_know() {
    // A limiter that remembers 320 pairs of asker and device, where 480 come.
    let limits =
        "limiter_keys = 320\nprekey_claims_per_device = { burst = 1000, refill = 1000, period_ms = 3600000 }";
    let relay = Relay::with("open", limits).await;
    let (askers, owners) = (relay.people(48).await, relay.people(10).await);
    let (mut served, mut limited) = (0, 0);
    for asker in askers {
        let mut session = asker.session(relay.to).await;
        for owner in &owners {
            match claim(&mut session, &owner.name, None).await {
                Claimed::Limited => limited += 1,
                Claimed::LastResort => served += 1,
                Claimed::OneTime => panic!("there is none"),
            }
        }
    }
    did(&format!("prekeys: 480 pairs at a limiter for 320, {served} served and {limited} refused"));
    assert!((250..=320).contains(&served), "{served}");
    assert_eq!(served + limited, 480);
}
