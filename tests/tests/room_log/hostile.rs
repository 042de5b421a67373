//! Members and strangers who mean harm: each gets a typed refusal, the room goes on, and the relay neither grows nor panics.

use std::time::{Duration, Instant};

use subrosa_protocol::{BoundedBytes, DeviceId, ErrorCode, RawFrame, RoomId, Username, frames::*};
use subrosa_tests::{
    World,
    faults::setting,
    raw_client::{Gauge, Identity, Session, gauge::mib, identity::random, session::refused},
    relay::RelayOptions,
    report::did,
    world::FAST,
};

use super::fixture::*;

const METRICS: &str = "http = \"127.0.0.1:0\"\n";

fn fast() -> World {
    World::with(RelayOptions { config: format!("{METRICS}{FAST}"), ..RelayOptions::default() })
}

/// A public room of somebody.
async fn public(session: &mut Session, room: RoomId, slug: &str) -> Response {
    let hash = put(session, b"group info").await;
    session.ask(Request::RoomCreate(create(room, Some(listing(slug)), Some(hash)))).await
}

fn places_of(hay: &[u8], needle: &[u8]) -> usize {
    let mut found = hay.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let (place, _) = found.next().expect("the bytes to be changed are there");
    assert!(found.next().is_none());
    place
}

/// A request with bytes in the place of others.
fn altered(session: &mut Session, request: &Request, from: &[u8], into: &[u8]) -> RawFrame {
    let mut raw = request.to_raw(session.id()).unwrap();
    let place = places_of(&raw.body, from);
    let body = [&raw.body[..place], into, &raw.body[place + from.len()..]].concat();
    raw.body = body.into();
    raw
}

async fn answer_to(session: &mut Session, raw: RawFrame) -> Response {
    let answer = session.raw_answer(&raw).await;
    match FromRelay::from_raw(&answer).unwrap() {
        FromRelay::Response(_, response) => response,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r39_slugs_that_are_none_are_refused_and_one_that_is_taken_is_given_once() {
    let world = fast();
    let gauge = Gauge::of(&world.relay);
    let people = people(&world, 50).await;
    let mut sessions = Vec::new();
    for who in &people {
        sessions.push(who.session(to(&world)).await);
    }
    // What is no slug comes through no decoder.
    let first = &mut sessions[0];
    let request = Request::RoomCreate(create(ROOM, Some(listing("rust-lang")), Some(hash_of(b"?"))));
    let with = |text: &[u8]| [&[u8::try_from(text.len()).unwrap()], text].concat();
    let long = "x".repeat(33);
    let bad: [&[u8]; 12] = [
        b"Rust-lang",
        b"rust_lang",
        b"-rustlang",
        b"rust lang",
        b"rust.lang",
        b"r",
        b"",
        b"rust\nlang",
        b"r\xff\xfe",
        "ru\u{455}t".as_bytes(),
        "\u{200b}rust".as_bytes(),
        long.as_bytes(),
    ];
    for slug in bad {
        let raw = altered(first, &request, &with(b"rust-lang"), &with(slug));
        let answer = answer_to(first, raw).await;
        assert_eq!(code(answer), ErrorCode::BadRequest, "{:?}", String::from_utf8_lossy(slug));
    }
    // Names and descriptions that a terminal would obey, or nobody could tell apart.
    for name in ["a\u{1b}[2Jb", "a\u{202e}b", "a\nb", "", " ", "a\u{0}b"] {
        let hash = put(first, b"group info").await;
        let listing =
            Listing { name: subrosa_protocol::BoundedStr::new(name).unwrap(), ..listing("rust-lang") };
        let answer = first.ask(Request::RoomCreate(create(ROOM, Some(listing), Some(hash)))).await;
        assert_eq!(code(answer), ErrorCode::BadRequest, "{name:?}");
    }
    // Fifty at once want the same one.
    let mut asked = Vec::new();
    for (number, session) in sessions.iter_mut().enumerate() {
        let hash = put(session, b"group info").await;
        let room = RoomId::from_bytes([u8::try_from(number).unwrap(); 16]);
        asked.push(
            session.send(Request::RoomCreate(create(room, Some(listing("general")), Some(hash)))).await,
        );
    }
    let (mut made, mut taken) = (Vec::new(), 0);
    for (number, (session, id)) in sessions.iter_mut().zip(asked).enumerate() {
        match session.answer(id).await {
            Response::Done(_) => made.push(number),
            other => {
                assert_eq!(code(other), ErrorCode::SlugTaken);
                taken += 1;
            }
        }
    }
    assert_eq!((made.len(), taken), (1, 49));
    // Those that look like it are not to be had either, and one room has one slug.
    for slug in ["genera1", "generai", "gen-eral", "g-e-n-e-r-a-l"] {
        assert_eq!(
            code(public(&mut sessions[1], RoomId::from_bytes([200; 16]), slug).await),
            ErrorCode::SlugTaken
        );
    }
    let search = RoomDirectory { prefix: Default::default(), after: None };
    let Response::RoomDirectoryPage(page) = sessions[7].ask(Request::RoomDirectory(search)).await else {
        panic!()
    };
    assert_eq!(page.rooms.iter().map(|room| room.listing.slug.as_str()).collect::<Vec<_>>(), ["general"]);
    gauge.no_panics();
    did("50 people wanted one slug at once: one has it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_of_hostile_sizes_are_refused_whole_and_cost_nothing() {
    let world = fast();
    let gauge = Gauge::of(&world.relay);
    let people = people(&world, 3).await;
    let mut one = people[0].session(to(&world)).await;
    let mut other = people[1].session(to(&world)).await;
    room_of_two(&mut one, &mut other, &people[1]).await;
    let before = gauge.resident();
    let nobody = |number: usize| RoomDevice {
        account: Username::new(format!("nobody{number:04}")).unwrap(),
        device: DeviceId::new(1).unwrap(),
    };
    let hundred = |from: usize| list((from..from + 100).map(nobody).collect());
    let accounts = |from: usize| list((from..from + 100).map(|number| nobody(number).account).collect());
    let delta = |change: fn(&mut RoomDelta, RoomDevice), whom: RoomDevice| {
        let mut commit = commit(ROOM, 1);
        change(&mut commit.delta, whom);
        Request::RoomCommit(commit)
    };

    // One more than a list holds; a list that says it has 2^64 elements; one that is cut off.
    let full = Request::RoomCommit(RoomCommit {
        delta: RoomDelta { removed: hundred(0), ..RoomDelta::default() },
        ..commit(ROOM, 1)
    });
    let element = |number: usize| [&[10], nobody(number).account.as_str().as_bytes(), &[1]].concat();
    let counted = |count: &[u8]| [count, &element(0)].concat();
    for count in [
        &[101][..],
        &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xfc, 0xff, 0xff, 0xff, 0x7f],
        &[99],
    ] {
        let mut into = counted(count);
        if count == [101] {
            into.extend_from_slice(&element(100));
        }
        let raw = altered(&mut one, &full, &counted(&[100]), &into);
        assert_eq!(code(answer_to(&mut one, raw).await), ErrorCode::BadRequest, "{count:?}");
    }
    // Whom nobody knows: told by name, nothing accepted.
    let unknown =
        RoomCommit { delta: RoomDelta { added: hundred(0), ..RoomDelta::default() }, ..commit(ROOM, 1) };
    let Response::RoomUnreachable(missing) = one.ask(Request::RoomCommit(unknown)).await else { panic!() };
    assert_eq!((missing.missing.len(), missing.full.len()), (100, 0));
    // Twice the same; somebody who is in the room; a Welcome for nobody; invitations for others.
    for twice in [
        delta(|delta, who| delta.removed = list(vec![who.clone(), who]), device(&people[1])),
        delta(|delta, who| delta.added = list(vec![who.clone(), who]), device(&people[2])),
        delta(|delta, who| delta.added = list(vec![who]), device(&people[1])),
        delta(|delta, who| delta.added = list(vec![who]), device(&people[2])),
        Request::RoomCommit(RoomCommit {
            invitations: adding(ROOM, 1, &people[2], b"").invitations,
            ..commit(ROOM, 1)
        }),
    ] {
        assert_eq!(code(one.ask(twice.clone()).await), ErrorCode::BadRequest, "{twice:?}");
    }
    put(&mut one, b"a welcome").await;
    let alone = RoomCommit { welcome: Some(hash_of(b"a welcome")), ..commit(ROOM, 1) };
    assert_eq!(code(one.ask(Request::RoomCommit(alone)).await), ErrorCode::BadRequest);
    put(&mut one, b"a welcome").await;
    let mut wrong = adding(ROOM, 1, &people[2], b"a welcome");
    wrong.invitations = adding(ROOM, 1, &people[0], b"").invitations;
    assert_eq!(code(one.ask(Request::RoomCommit(wrong)).await), ErrorCode::BadRequest);
    // An object that was never put, and invitations that are none.
    let never = RoomCommit { commit: CommitBody::Object(hash_of(b"never")), ..commit(ROOM, 1) };
    assert_eq!(code(one.ask(Request::RoomCommit(never)).await), ErrorCode::NoSuchObject);
    let garbage = put(&mut one, &random::<500>()).await;
    let garbage = RoomCommit { invitations: Invitations::Object(garbage), ..commit(ROOM, 1) };
    assert_eq!(code(one.ask(Request::RoomCommit(garbage)).await), ErrorCode::BadRequest);
    // Bans fill up, and no further.
    let (mut epoch, mut banned) = (1, 0);
    loop {
        let delta = RoomDelta { banned: accounts(banned), ..RoomDelta::default() };
        match one.ask(Request::RoomCommit(RoomCommit { delta, ..commit(ROOM, epoch) })).await {
            Response::RoomAccepted(_) => (epoch, banned) = (epoch + 1, banned + 100),
            other => break assert_eq!(code(other), ErrorCode::RoomFull),
        }
    }
    assert_eq!(banned, 1000);
    // Nothing of all that was accepted but the bans, and the room goes on.
    let (entries, now) = log(&mut other, ROOM).await;
    assert_eq!((now, entries.len()), (epoch, 10));
    seq(other.ask(Request::RoomPost(post(ROOM, epoch, b"still here"))).await);
    let grown = gauge.resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{}", mib(grown));
    gauge.no_panics();
}

/// A frame of everything that may be asked of a room.
fn requests(room: RoomId, who: &Identity, epoch: u64) -> Vec<Request> {
    vec![
        Request::RoomPost(post(room, epoch, b"hello")),
        Request::RoomCommit(commit(room, epoch)),
        Request::RoomCommit(removing(room, epoch, who)),
        Request::RoomSync(RoomSync { room, after: 0, max: 48 }),
        Request::RoomCursor(RoomCursor { room, up_to: 1, state_generation: 0 }),
        Request::RoomEphemeral(RoomEphemeral { room, bytes: BoundedBytes::new(b"typing").unwrap() }),
        Request::RoomLeave(RoomLeave { room, account: true, proposal: None, state_generation: 0 }),
        Request::RoomAccept(RoomAccept { room, state_generation: 0 }),
        Request::ObjectGet(ObjectGet { room, hash: hash_of(b"the first welcome"), offset: 0 }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_removed_and_banned_people_write_and_read_nothing() {
    let world = fast();
    let gauge = Gauge::of(&world.relay);
    let people = people(&world, 4).await;
    let mut sessions = Vec::new();
    for who in &people {
        sessions.push(who.session(to(&world)).await);
    }
    let [one, other, stranger, invited] = &mut sessions[..] else { panic!() };
    room_of_two(one, other, &people[1]).await;
    seq(one.ask(Request::RoomPost(post(ROOM, 1, b"a secret entry"))).await);
    for request in requests(ROOM, &people[1], 1) {
        let name = request.name();
        assert_eq!(code(stranger.ask(request).await), ErrorCode::UnknownRoom, "{name}");
    }
    // Invited, and not joined: it writes nothing.
    put(one, b"second").await;
    seq(one.ask(Request::RoomCommit(adding(ROOM, 1, &people[3], b"second"))).await);
    for request in [
        Request::RoomPost(post(ROOM, 2, b"hello")),
        Request::RoomCommit(removing(ROOM, 2, &people[0])),
        Request::RoomEphemeral(RoomEphemeral { room: ROOM, bytes: BoundedBytes::new(b"typing").unwrap() }),
    ] {
        let name = request.name();
        let refused = code(invited.ask(request).await);
        assert!(matches!(refused, ErrorCode::NotAMember | ErrorCode::UnknownRoom), "{name}: {refused:?}");
    }
    assert_eq!(log(invited, ROOM).await.0.len(), 0, "nothing from before");
    // Removed: it reads up to its removal, and writes nothing.
    seq(one.ask(Request::RoomCommit(removing(ROOM, 2, &people[1]))).await);
    seq(one.ask(Request::RoomPost(post(ROOM, 3, b"without him"))).await);
    let (entries, _) = log(other, ROOM).await;
    assert_eq!(entries.last().unwrap().seq, 4);
    for request in [Request::RoomPost(post(ROOM, 3, b"still")), Request::RoomCommit(commit(ROOM, 3))] {
        assert_eq!(code(other.ask(request).await), ErrorCode::NotAMember);
    }
    // A public room, whose banned guest has tried everything.
    let open = RoomId::from_bytes([9; 16]);
    done(public(one, open, "open").await);
    let join = |who: &Identity, hash: ObjectHash, epoch| {
        let delta = RoomDelta { added: list(vec![device(who)]), ..RoomDelta::default() };
        Request::RoomCommit(RoomCommit { delta, group_info: Some(hash), ..commit(open, epoch) })
    };
    // From outside one adds oneself, and nobody else.
    let hash = put(stranger, b"group info 1").await;
    let refused = code(stranger.ask(join(&people[1], hash, 0)).await);
    assert_eq!(refused, ErrorCode::NotAMember);
    let hash = put(stranger, b"group info 1").await;
    seq(stranger.ask(join(&people[2], hash, 0)).await);
    let hash = put(one, b"group info 2").await;
    let ban = RoomDelta {
        removed: list(vec![device(&people[2])]),
        banned: list(vec![people[2].name.clone()]),
        ..RoomDelta::default()
    };
    seq(one
        .ask(Request::RoomCommit(RoomCommit { delta: ban, group_info: Some(hash), ..commit(open, 1) }))
        .await);
    let hash = put(stranger, b"group info 3").await;
    assert_eq!(code(stranger.ask(join(&people[2], hash, 2)).await), ErrorCode::Banned);
    assert_eq!(code(stranger.ask(Request::RoomPost(post(open, 2, b"hello"))).await), ErrorCode::Banned);
    let roster = Request::RoomRoster(RoomRoster { room: open, after: None });
    assert_eq!(code(stranger.ask(roster).await), ErrorCode::Banned);
    let get = Request::ObjectGet(ObjectGet { room: open, hash: hash_of(b"group info 2"), offset: 0 });
    assert_eq!(code(stranger.ask(get).await), ErrorCode::NoSuchObject);
    // Nor does anybody add an account that is banned.
    let (hash, _) = (put(one, b"group info 4").await, put(one, b"w").await);
    let back = RoomCommit { group_info: Some(hash), ..adding(open, 2, &people[2], b"w") };
    assert_eq!(code(one.ask(Request::RoomCommit(back)).await), ErrorCode::Banned);
    gauge.no_panics();
}

/// With the limits as they are: one member floods, the others do not notice, and the log has no more than the rate allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r43_a_member_who_floods_is_held_to_its_rate() {
    let world = World::with(RelayOptions { config: METRICS.into(), ..RelayOptions::default() });
    let gauge = Gauge::of(&world.relay);
    let people = people(&world, 2).await;
    let mut one = people[0].session(to(&world)).await;
    let mut other = people[1].session(to(&world)).await;
    room_of_two(&mut one, &mut other, &people[1]).await;
    let before = gauge.resident();
    let lasts = Duration::from_secs(setting("SUBROSA_ROOM_FLOOD_SECONDS", 2));
    let (began, mut accepted, mut refused_count) = (Instant::now(), 0u64, 0u64);
    let mut slowest = Duration::ZERO;
    let mut flooding = Some(one);
    while let Some(mut one) = flooding.take() {
        let mut asked = Vec::new();
        for _ in 0..16 {
            asked.push(one.send(Request::RoomPost(post(ROOM, 1, &[7; 8192]))).await);
        }
        let mut closed = false;
        while !asked.is_empty() {
            match one.heard().await {
                Some(FromRelay::Response(id, answer)) if asked.contains(&id) => {
                    asked.retain(|one| *one != id);
                    match answer {
                        Response::RoomAccepted(_) => accepted += 1,
                        other => {
                            assert_eq!(refused(&other).code, ErrorCode::RateLimited);
                            assert!(refused(&other).retry_after_ms.is_some());
                            refused_count += 1;
                        }
                    }
                }
                Some(_) => {}
                None => {
                    closed = true;
                    break;
                }
            }
        }
        let asked = Instant::now();
        // The other one's own posts are within its rate.
        if refused_count < 80 {
            seq(other.ask(Request::RoomPost(post(ROOM, 1, b"good"))).await);
            slowest = slowest.max(asked.elapsed());
        }
        if began.elapsed() < lasts {
            // Who is thrown out comes again.
            flooding = Some(if closed { people[0].session(to(&world)).await } else { one });
        }
    }
    let most = 120 + 10 * (began.elapsed().as_secs() + 2);
    assert!(accepted <= most, "{accepted} of at most {most}");
    assert!(refused_count > 0);
    let grown = gauge.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{}", mib(grown));
    gauge.no_panics();
    did(&format!(
        "a member flooded a room for {:?}: {accepted} accepted, {refused_count} refused; another's slowest post {slowest:?}",
        began.elapsed()
    ));
}
