//! Clients that take their time, at the relay's own times (R6).

use std::time::Duration;

use subrosa_protocol::frames::{CloseReason, MailboxFetch, Request, Response};
use subrosa_tests::{
    raw_client::{Holes, Manners, Network, Probe, session::envelopes},
    report::did,
};
use tokio::time::Instant;

use crate::fixture::{Relay, SLACK};

/// Half-read frames and connections without a proof (R6).
const TEN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r6_half_frames_drips_and_silence_end_after_ten_seconds() {
    let relay = Relay::start().await;
    let probe = Probe::start(&relay.world.relay).await;
    let who = relay.somebody().await;
    let network = Network::new(relay.to);
    let began = Instant::now();
    let drip = |mut session: subrosa_tests::raw_client::Session, first: Vec<u8>| async move {
        let began = Instant::now();
        session.bytes(&first).await;
        // One byte a second does not begin the frame's time anew.
        while began.elapsed() < TEN + SLACK * 2 && session.connection.close_reason().is_none() {
            session.bytes(&[0]).await;
            let ended = session.ending(Duration::from_secs(1)).await;
            if let Some(ending) = ended {
                return (ending.reason, began.elapsed());
            }
        }
        (None, began.elapsed())
    };
    let silent = network.connect().await.unwrap();
    let no_hello = network.open_with(Manners::default()).await.unwrap();
    let hello = network.hello().await;
    let mut mute = network.hello().await;
    let mut device = network.hello().await;
    device.authenticate(&who).await;
    let large = 60_000u32.to_le_bytes().to_vec();
    let (a, b, c, d, e) = tokio::join!(
        drip(no_hello, vec![20]),
        drip(hello, 8_000u32.to_le_bytes().to_vec()),
        drip(device, large),
        mute.ending(TEN + SLACK * 2),
        tokio::time::timeout(TEN + SLACK * 2, silent.closed()),
    );
    for (what, (reason, after)) in [("before the hello", a), ("after the hello", b), ("authenticated", c)] {
        assert_eq!(reason, Some(CloseReason::Idle), "a dripping frame {what}");
        assert!(after >= TEN - Duration::from_secs(1) && after < TEN + SLACK, "{what}: {after:?}");
    }
    assert_eq!(d.expect("who says nothing after the hello is closed").reason, Some(CloseReason::Idle));
    assert!(e.is_ok(), "who opens no stream is closed");
    did(&format!(
        "slow: five kinds of slow clients were ended within {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    probe.finish("slow clients").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_take_its_answers_is_ended_and_its_mailbox_stays() {
    let relay = Relay::start().await;
    let probe = Probe::start(&relay.world.relay).await;
    let who = relay.somebody().await;
    let manners = Manners::default().with(|transport| {
        transport.stream_receive_window(1_024u32.into());
    });
    let mut session = Network::new(relay.to).open_with(manners).await.unwrap();
    session.hello().await;
    session.authenticate(&who).await;
    for number in 0..4u128 {
        session.send(envelopes(&who.name, 1, &[number], 60_000)).await;
    }
    for _ in 0..100 {
        session.send(Request::MailboxFetch(MailboxFetch { after: 0, max: 48 })).await;
    }
    // The packet that says so may be lost on a busy machine: then a keep-alive is answered by a reset.
    let closed = tokio::time::timeout(TEN + SLACK * 4, session.connection.closed()).await;
    assert!(closed.is_ok(), "a client that reads nothing is closed");
    assert_eq!(who.session(relay.to).await.fetch(0).await.envelopes.len(), 1, "one of 60 kB fits a page");
    probe.finish("a client that reads nothing").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_windows_begin_narrow_and_are_earned_by_what_arrives() {
    let relay = Relay::start().await;
    let who = relay.somebody().await;
    let mut taken = Vec::new();
    for earned in [false, true] {
        let holes = Holes::default();
        let mut session =
            Network::new(relay.to).open_with(Manners::default().spoilt_by(&holes)).await.unwrap();
        session.hello().await;
        session.authenticate(&who).await;
        if earned {
            for number in 0..20u128 {
                let sent = session.ask(envelopes(&who.name, 1, &[number], 60_000)).await;
                assert!(matches!(sent, Response::EnvelopeAccepted(_)), "{sent:?}");
            }
        }
        session.skip_byte(&holes).await;
        // What a client may send behind a hole is the window.
        taken.push(session.bytes_within(&vec![0; 1024 * 1024], Duration::from_secs(2)).await / 1024);
    }
    did(&format!("windows: {} KiB at first, {} KiB after 1 MiB moved", taken[0], taken[1]));
    assert!(taken[0] <= 16, "{taken:?}");
    assert!((200..=256).contains(&taken[1]), "a stream's window (R5): {taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_thousands_of_streams_are_turned_away_and_the_session_goes_on() {
    let relay = Relay::start().await;
    let who = relay.somebody().await;
    let mut session = who.session(relay.to).await;
    let before = relay.gauge.resident();
    let mut turned_away = 0;
    for _ in 0..2_000 {
        let mut stream = session.connection.open_uni().await.unwrap();
        let _ = stream.write_all(&[0x5a; 200]).await;
        // Dropped without an end: a stream that the relay does not stop would stay open.
        if stream.stopped().await.is_ok_and(|code| code.is_some_and(|code| code == 1u32.into())) {
            turned_away += 1;
        }
    }
    let growth = relay.gauge.resident().saturating_sub(before);
    did(&format!("streams: 2000 opened, {turned_away} turned away, memory grew by {} KiB", growth / 1024));
    assert_eq!(turned_away, 2_000);
    assert!(growth < 8 * 1024 * 1024, "{growth}");
    session.fetch(0).await;
}
