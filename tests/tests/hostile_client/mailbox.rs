//! Flooding somebody's mailbox (R43, R44).

use std::{path::Path, sync::Arc, time::Duration};

use subrosa_protocol::{ErrorCode, frames::*};
use subrosa_tests::{
    raw_client::{
        Identity, Probe,
        gauge::{MIB, mib},
        session::{envelopes, refused},
    },
    report::did,
};

use crate::fixture::Relay;

/// What a flood of one mailbox came to.
#[derive(Default, Debug)]
struct Flood {
    accepted: usize,
    limited: usize,
    full: usize,
}

/// Everybody sends as fast as it is let, until nothing more is accepted.
async fn flood(relay: &Relay, senders: &Arc<Vec<Identity>>, victim: &Arc<Identity>, bytes: usize) -> Flood {
    let to = relay.to;
    let tasks: Vec<_> = (0..senders.len())
        .map(|number| {
            let (senders, victim) = (Arc::clone(senders), Arc::clone(victim));
            tokio::spawn(async move {
                let mut session = senders[number].session(to).await;
                let mut flood = Flood::default();
                // Frames of 72 KiB hold one large envelope; of small ones 24 each, 120 at once (R43).
                let (frames, each) = if bytes > 30_000 { (121u128, 1) } else { (6u128, 24) };
                for frame in 0..frames {
                    let first = (u128::try_from(number).unwrap() << 64) + frame * 1_000;
                    let ids: Vec<u128> = (0..each).map(|n| first + n).collect();
                    match session.ask(envelopes(&victim.name, 1, &ids, bytes)).await {
                        Response::EnvelopeAccepted(_) => flood.accepted += ids.len(),
                        other => match refused(&other) {
                            error if error.code == ErrorCode::MailboxFull => flood.full += 1,
                            error => {
                                assert_eq!(error.code, ErrorCode::RateLimited, "{error:?}");
                                assert!(error.retry_after_ms.is_some());
                                flood.limited += 1;
                            }
                        },
                    }
                }
                flood
            })
        })
        .collect();
    let mut sum = Flood::default();
    for task in tasks {
        let one = task.await.unwrap();
        sum.accepted += one.accepted;
        sum.limited += one.limited;
        sum.full += one.full;
    }
    sum
}

fn disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.metadata().map_or(0, |meta| meta.len())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_a_flooded_mailbox_is_full_and_others_do_not_notice() {
    let relay = Relay::alone("open", "").await;
    // 86 at 120 each are more than 10,000.
    let senders = Arc::new(relay.people(86).await);
    let victim = Arc::new(relay.somebody().await);
    let probe = Probe::start(&relay.world.relay).await;
    let sum = flood(&relay, &senders, &victim, 200).await;
    did(&format!(
        "mailbox: {sum:?} of 86 senders, the relay's files are {}",
        mib(disk(&relay.world.relay.data))
    ));
    assert!((9_977..=10_000).contains(&sum.accepted), "{sum:?}");
    assert!(sum.full > 0 && sum.limited > 0, "{sum:?}");
    assert!(disk(&relay.world.relay.data) < 64 * MIB);
    probe.finish("a mailbox flood of 10,000 small envelopes").await;

    // The victim reads everything in its order, gives it back, and can be written to again.
    let mut session = victim.session(relay.to).await;
    let (mut after, mut got) = (0, 0);
    loop {
        let page = session.fetch(after).await;
        for envelope in &*page.envelopes {
            assert_eq!(envelope.seq, after + 1);
            after = envelope.seq;
        }
        got += page.envelopes.len();
        if !page.more {
            break;
        }
    }
    assert_eq!(got, sum.accepted);
    let ack = Request::MailboxAck(MailboxAck { up_to: after, generation: 0 });
    assert!(matches!(session.ask(ack).await, Response::Done(_)));
    let friend = relay.somebody().await;
    let sent = friend.session(relay.to).await.ask(envelopes(&victim.name, 1, &[7], 200)).await;
    assert!(matches!(sent, Response::EnvelopeAccepted(_)), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r44_sixty_four_mib_are_the_most_also_with_the_largest_envelopes() {
    let relay = Relay::alone("open", "").await;
    let senders = Arc::new(relay.people(9).await);
    let victim = Arc::new(relay.somebody().await);
    let probe = Probe::start(&relay.world.relay).await;
    let sum = flood(&relay, &senders, &victim, 69 * 1024).await;
    let files = disk(&relay.world.relay.data);
    did(&format!("mailbox: {sum:?} of 9 senders with 69 KiB each, the relay's files are {}", mib(files)));
    assert_eq!(sum.accepted, 64 * 1024 / 69, "as many as 64 MiB hold");
    assert!(sum.full > 0, "{sum:?}");
    // The database and a log of it that is not yet folded in.
    assert!(files < 160 * MIB, "{}", mib(files));
    tokio::time::sleep(Duration::from_millis(10)).await;
    probe.finish("a mailbox flood of 64 MiB").await;
}
