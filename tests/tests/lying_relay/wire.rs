//! The stream itself: lengths, kinds, flags, bytes too many and too few, and bytes that come slowly.

use std::time::{Duration, Instant};

use subrosa_client::api::{EventBody, EventKind};
use subrosa_protocol::frames::{Empty, MailboxEnvelope, Push, Response};
use subrosa_tests::lying_relay::{Say, Scene, now, random};

use crate::goes_on;

const BOB: (&str, u32) = ("bob", 1);

/// After this the connection is given up, with a reason; nothing else happens, and the next one works.
async fn ends_it(what: &str, said: &[Say], reason: &str) {
    let scene = Scene::friends().await;
    ends(&scene, what, said, reason).await;
    goes_on(&scene).await;
}

async fn ends(scene: &Scene, what: &str, said: &[Say], reason: &str) {
    let before = scene.bob.heard(EventKind::ConnectionDown).len();
    let began = Instant::now();
    scene.relay.say(BOB, said);
    loop {
        let down = scene.bob.heard(EventKind::ConnectionDown);
        if let Some(EventBody::ConnectionDown { connection }) = down.get(before) {
            let told = format!("{connection:?}");
            assert!(told.contains(reason), "{what}: {told}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: never ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{what}: ended after {} ms", began.elapsed().as_millis());
    scene.bob.until_synced().await;
}

/// The beginning of a frame that claims so many bytes.
fn claim(length: u32, then: &[u8]) -> Say {
    Say::Bytes([&length.to_le_bytes()[..], then].concat())
}

fn bytes(say: Say) -> Vec<u8> {
    match say {
        Say::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_frame_of_4_gib_ends_the_connection_at_once() {
    ends_it("4 GiB", &[claim(u32::MAX, &[])], "exceeds the limit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_frame_just_beyond_the_limit_ends_the_connection() {
    ends_it("72 KiB and a byte", &[claim(73_729, &[0; 64])], "exceeds the limit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_a_frame_shorter_than_its_header_ends_the_connection() {
    ends_it("3 bytes", &[claim(3, &[1, 2, 3])], "shorter").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_undefined_flags_end_the_connection() {
    ends_it("flags", &[Say::raw(0x8001, 0x82, 1, &[])], "flags").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_an_unknown_kind_ends_the_connection_unless_it_is_optional() {
    let scene = Scene::friends().await;
    let optional: Vec<_> = (0..200).map(|i| Say::raw(0x7000 + i, 1, 0, &[7; 300])).collect();
    scene.relay.say(BOB, &optional);
    scene.alice.send("bob", "after what may be skipped").await;
    scene.bob.until_text("alice", "after what may be skipped").await;
    assert!(scene.bob.heard(EventKind::ConnectionDown).is_empty());
    ends(&scene, "an unknown kind", &[Say::raw(0x7000, 0, 0, &[])], "not known").await;
    ends(&scene, "a client's frame", &[Say::raw(0x0030, 0, 0, &[])], "not known").await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_bytes_after_a_body_and_bodies_that_are_none_end_the_connection() {
    let scene = Scene::friends().await;
    let envelope = MailboxEnvelope {
        seq: 1,
        id: subrosa_protocol::EnvelopeId::from_bytes(random()),
        accepted_at: now(),
        sealed: subrosa_protocol::BoundedBytes::new(vec![1; 200]).unwrap(),
    };
    let whole = Push::Deliver(envelope).to_raw(0).unwrap();
    let body = whole.body.to_vec();
    let longer = [&body[..], &[0]].concat();
    let cut = &body[..body.len() - 1];
    // The number 1 in three bytes instead of one; a length of 4 GiB inside.
    let padded = [&[251, 1, 0][..], &body[1..]].concat();
    let huge = [&body[..body.len() - 202], &[252, 0xff, 0xff, 0xff, 0xff][..]].concat();
    for (what, body) in
        [("longer", &longer[..]), ("cut", cut), ("not canonical", &padded[..]), ("a huge length", &huge[..])]
    {
        ends(&scene, what, &[Say::raw(whole.kind, whole.flags, 0, body)], "protocol").await;
    }
    ends(&scene, "Done with a body", &[Say::raw(0x8001, 0, 9, &[1])], "protocol").await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_half_a_frame_and_silence_end_the_connection_within_ten_seconds() {
    let scene = Scene::friends().await;
    let began = Instant::now();
    // Nothing is under way that anybody waits for an answer to.
    ends(&scene, "half a frame", &[claim(400, &[0x10, 0x40, 1])], "in time").await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_a_frame_that_comes_a_byte_at_a_time_ends_the_connection_within_ten_seconds() {
    let scene = Scene::friends().await;
    let whole = bytes(Say::raw(0x7011, 1, 0, &[0; 500]));
    let began = Instant::now();
    ends(&scene, "slowly", &[Say::Slowly(whole, Duration::from_millis(100))], "in time").await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_pieces_are_put_together() {
    let scene = Scene::friends().await;
    scene.relay.lie(|lies| {
        lies.requests(|_, _, id, _, response| {
            vec![Say::Slowly(bytes(Say::answer(id, &response)), Duration::from_micros(200))]
        });
    });
    scene.alice.send("bob", "in pieces").await;
    scene.bob.until_text("alice", "in pieces").await;
    goes_on(&scene).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_stream_and_a_hello_that_is_none_are_tried_again() {
    let scene = Scene::friends().await;
    let mut turn = 0;
    scene.relay.lie(|lies| {
        lies.at_hello(move |hello| {
            turn += 1;
            match turn {
                1 => vec![Say::Bytes(random::<64>().to_vec())],
                2 => vec![claim(u32::MAX, &[])],
                3 => vec![Say::answer(0, &Response::Done(Empty {}))],
                4 => vec![Say::Close(3, b"\x1b]0;title\x07".to_vec())],
                _ => vec![Say::hello(hello)],
            }
        });
    });
    scene.bob.reconnect().await;
    scene.bob.until_synced().await;
    let downs = scene.bob.heard(EventKind::ConnectionDown);
    assert!(downs.len() >= 4, "each is shown: {downs:?}");
    assert!(!format!("{downs:?}").contains('\u{1b}') && !format!("{downs:?}").contains("\\u{1b}"));
    goes_on(&scene).await;
}
