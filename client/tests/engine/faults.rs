//! What this profile itself cannot do is told as its own, and that it is over.

use subrosa_client::{
    Request,
    api::{ConnectionState, EventBody, Kind, Reply},
    core::{Core, Effect, Input},
    store::DiskFault,
};
use subrosa_protocol::{
    BoundedVec,
    frames::{Authenticated, FromRelay, PrekeyCounts, Request as Frame, Response, RoomHeadsPage},
};

use crate::{
    grouping::alone,
    relay::{EXPORTER, NONCE},
    rng::SeededRng,
};

/// A connection that the relay takes, which knows of no room, and everything that follows from it.
fn connect(core: &mut Core, now: u64, rng: &mut SeededRng) -> Vec<Effect> {
    core.handle(Input::Connecting, now, rng);
    let up = Input::Up { exporter: EXPORTER, nonce: NONCE, round_trip_ms: 20 };
    let id = match core.handle(up, now, rng).as_slice() {
        [Effect::Send(frame)] => frame.id,
        other => panic!("{other:?}"),
    };
    let authenticated = Authenticated {
        generation: 0,
        list_version: 1,
        next_seq: 1,
        prekeys: PrekeyCounts { one_time: 100, kem: 100 },
        proof_lifetime_s: 900,
        relay_time: now,
    };
    let answer = FromRelay::Response(id, Response::Authenticated(authenticated));
    let mut effects = core.handle(Input::Frame(answer), now, rng);
    let heads = effects.iter().find_map(|effect| match effect {
        Effect::Send(frame) if matches!(Frame::from_raw(frame), Ok(Frame::RoomHeads(_))) => Some(frame.id),
        _ => None,
    });
    if let Some(id) = heads {
        let page = Response::RoomHeadsPage(RoomHeadsPage { rooms: BoundedVec::default(), more: false });
        effects.extend(core.handle(Input::Frame(FromRelay::Response(id, page)), now, rng));
    }
    effects
}

fn bodies(effects: &[Effect]) -> Vec<EventBody> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Event(event) => Some(event.body.clone()),
            _ => None,
        })
        .collect()
}

fn answer(core: &mut Core, request: Request, now: u64, rng: &mut SeededRng) -> Reply {
    match core.handle(Input::Request { token: 9, request }, now, rng).pop() {
        Some(Effect::Reply { token: 9, result }) => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_own_full_disk_is_not_blamed_on_the_relay() {
    let (mut core, disk) = alone();
    let mut rng = SeededRng::new(310);
    core.handle(Input::Wake, 1_000, &mut rng);
    let wait = Request::SyncWait { timeout_ms: 60_000 };
    assert!(core.handle(Input::Request { token: 1, request: wait }, 1_000, &mut rng).is_empty());
    disk.fail_after(0, DiskFault::Full);
    let effects = connect(&mut core, 2_000, &mut rng);
    assert_eq!(disk.struck(), 1);
    let full = |body: &EventBody| matches!(body, EventBody::ProfileFault { error: Some(e) } if e.message.contains("full"));
    assert!(bodies(&effects).iter().any(full), "{effects:?}");
    assert!(
        !bodies(&effects).iter().any(|body| matches!(body, EventBody::ServerNotice { .. })),
        "{effects:?}"
    );
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Drop)));

    // The connection names the profile, and whoever waited for the relay is told what it was.
    let reason = "the connection was given up".to_owned();
    let effects = core.handle(Input::Down { reason, retry_in_ms: 1_000 }, 3_000, &mut rng);
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Reply { token: 1, result } => Some(result.clone().unwrap_err()),
        _ => None,
    });
    assert_eq!(told.expect("an answer").kind, Kind::NotReady);
    let Reply::Status(status) = answer(&mut core, Request::StatusShow {}, 3_000, &mut rng) else { panic!() };
    let ConnectionState::Down { reason, .. } = &status.connection else { panic!("{status:?}") };
    assert!(reason.contains("this profile, not the relay: the disk is full"), "{reason}");
    let failed = |reply: Reply| {
        let Reply::Check(report) = reply else { panic!("{reply:?}") };
        let failed = report.items.into_iter().filter(|item| !item.ok);
        failed.map(|item| item.name).collect::<Vec<_>>()
    };
    assert_eq!(failed(answer(&mut core, Request::ProfileCheck {}, 3_000, &mut rng)), ["profile", "relay"]);

    // A small change that finds room says nothing about the next message.
    let draft = Request::ChatDraft { chat: "bob".into(), text: "small".into() };
    answer(&mut core, draft, 3_500, &mut rng);
    assert_eq!(failed(answer(&mut core, Request::ProfileCheck {}, 3_500, &mut rng)), ["profile", "relay"]);

    // There is room again: that is told once, when everything that came could be kept.
    let effects = connect(&mut core, 4_000, &mut rng);
    let over = |body: &&EventBody| matches!(body, EventBody::ProfileFault { error: None });
    assert_eq!(bodies(&effects).iter().filter(over).count(), 1, "{effects:?}");
    assert_eq!(failed(answer(&mut core, Request::ProfileCheck {}, 4_000, &mut rng)), [""; 0]);
    let effects = core.handle(Input::Wake, 5_000, &mut rng);
    assert_eq!(bodies(&effects).iter().filter(over).count(), 0);
    // A relay that is away later is told as that.
    let reason = "the relay does not answer".to_owned();
    core.handle(Input::Down { reason, retry_in_ms: 1_000 }, 6_000, &mut rng);
    let Reply::Status(status) = answer(&mut core, Request::StatusShow {}, 6_000, &mut rng) else { panic!() };
    let ConnectionState::Down { reason, .. } = &status.connection else { panic!("{status:?}") };
    assert_eq!(reason.as_str(), "the relay does not answer");
}
