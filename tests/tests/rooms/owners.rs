//! R31: an owner who was made one later has the owner key, and renews a room that nobody can follow any more.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use subrosa_protocol::{BoundedBytes, BoundedVec, DeviceId, EntryId, RoomId, Slug, frames::*};
use subrosa_tests::{
    World,
    raw_client::{Identity, Session, identity::random},
    report,
};

use super::scene::Scene;

/// Within which a room is usable again while an owner is there.
const USABLE_AGAIN: Duration = Duration::from_secs(60);

/// The room, its generation and epoch.
async fn info(session: &mut Session, slug: &str) -> (RoomId, u32, u64) {
    let show = Request::RoomShow(RoomShow { room: RoomName::Slug(Slug::new(slug).unwrap()) });
    match session.ask(show).await {
        Response::RoomInfo(info) => (info.room, info.generation, info.epoch),
        other => panic!("{other:?}"),
    }
}

/// A stranger joins a public room with a commit that is none. The relay cannot judge it. The room's generation then.
async fn brick(world: &World, slug: &str) -> u32 {
    let to = world.relay.quic.parse().unwrap();
    let mallory = Identity::fresh().registered(to).await;
    let mut session = mallory.session(to).await;
    let bytes = random::<300>();
    let hash = ObjectHash(Sha256::digest(bytes).into());
    let put = ObjectPut {
        object: ObjectRef { hash, size: 300 },
        offset: 0,
        piece: BoundedBytes::new(bytes).unwrap(),
    };
    assert!(matches!(session.ask(Request::ObjectPut(put)).await, Response::Done(_)));
    loop {
        let (room, generation, epoch) = info(&mut session, slug).await;
        let added = RoomDevice { account: mallory.name.clone(), device: DeviceId::new(1).unwrap() };
        let commit = RoomCommit {
            room,
            id: EntryId::from_bytes(random()),
            generation,
            epoch,
            after: 0,
            commit: CommitBody::Inline(BoundedBytes::new(random::<400>()).unwrap()),
            delta: RoomDelta { added: BoundedVec::new(vec![added]).ok().unwrap(), ..RoomDelta::default() },
            group_info: Some(hash),
            welcome: None,
            invitations: Invitations::default(),
            state_generation: 0,
        };
        match session.ask(Request::RoomCommit(commit)).await {
            Response::RoomAccepted(_) => return generation,
            // Somebody changed the room just now.
            Response::EpochPassed(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn generation(world: &World, slug: &str) -> u32 {
    let to = world.relay.quic.parse().unwrap();
    let somebody = Identity::fresh().registered(to).await;
    info(&mut somebody.session(to).await, slug).await.1
}

#[test]
fn r31_a_new_owner_alone_makes_a_bricked_room_usable_again_within_a_minute() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut scene = Scene::of(&["alice", "bob", "carol"]);
    scene.room("alice", &["create", "Rust", "--public", "--slug", "rust"]).ok();
    for name in ["bob", "carol"] {
        scene.room(name, &["join", "rust"]).ok();
    }
    scene.sees("alice", "#rust", &[("alice", "owner"), ("bob", "member"), ("carol", "member")]);
    scene.room("carol", &["renew", "#rust"]).code(5).says("no right");
    scene.room("alice", &["role", "#rust", "bob", "owner"]).ok();
    // The key comes from alice's device to bob's. Until then, and to others for ever, the answer is no.
    scene.at_last(0, || {
        let outcome = scene.room("bob", &["renew", "#rust"]);
        assert!(matches!(outcome.code, Some(0 | 5)), "{outcome:?}");
        outcome
    });
    for name in ["alice", "carol"] {
        assert_eq!(scene.event(name, "room.rekeyed")["chat"], "#rust");
    }
    assert_eq!(runtime.block_on(generation(&scene.world, "rust")), 1);
    scene.says("carol", "#rust", "renewed by a new owner");
    for name in ["alice", "bob"] {
        assert_eq!(scene.hears(name)["text"], "renewed by a new owner");
    }

    // The one who made the room is away, and a stranger bricks it.
    let alice = scene.goes("alice");
    let before = runtime.block_on(brick(&scene.world, "rust"));
    let began = Instant::now();
    for name in ["bob", "carol"] {
        let refused = scene.event(name, "room.refused");
        assert_eq!(refused["chat"], "#rust");
    }
    // What is written meanwhile is not lost: it goes out in the epoch before, or waits.
    let sent = scene.who("carol").run(&["send", "#rust", "meanwhile", "--wait", "queued"]).ok();
    assert_eq!(sent.lines()[0]["results"][0]["state"], "queued");
    for name in ["bob", "carol"] {
        assert_eq!(scene.event(name, "room.rekeyed")["chat"], "#rust");
    }
    scene.until("bob has what was written meanwhile", || {
        scene.history("bob", "#rust").last().is_some_and(|text| text == "meanwhile")
    });
    let took = began.elapsed();
    assert!(took < USABLE_AGAIN, "usable again after {took:?}");
    assert_eq!(runtime.block_on(generation(&scene.world, "rust")), before + 1);
    let members = [("alice", "owner"), ("bob", "owner"), ("carol", "member")];
    scene.sees("bob", "#rust", &members);
    scene.room("bob", &["topic", "#rust", "after the stranger"]).ok();

    // Who was away follows.
    scene.returns(alice);
    scene.sees("alice", "#rust", &members);
    scene.until("alice has what was written meanwhile", || {
        scene.history("alice", "#rust").last().is_some_and(|text| text == "meanwhile")
    });
    scene.says("alice", "#rust", "back again");
    for name in ["bob", "carol"] {
        scene.until("it is there", || {
            scene.history(name, "#rust").last().is_some_and(|text| text == "back again")
        });
    }
    for name in ["alice", "bob", "carol"] {
        let texts = scene.history(name, "#rust");
        assert_eq!(texts, ["renewed by a new owner", "meanwhile", "back again"], "{name}");
    }
    report::did(&format!(
        "rooms: renewed by an owner made later; bricked by a stranger and usable again in {:.1} s by that owner alone",
        took.as_secs_f64()
    ));
}
