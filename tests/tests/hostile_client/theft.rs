//! Being somebody else: stolen ids, replayed proofs, mailboxes of others.

use subrosa_protocol::{DeviceId, ErrorCode, frames::*};
use subrosa_tests::raw_client::{
    Network,
    session::{envelopes, refused},
};

use crate::fixture::{Relay, SLACK};

#[tokio::test]
async fn anothers_device_and_a_replayed_proof_get_the_same_bytes_as_nobody() {
    let relay = Relay::start().await;
    let (alice, mallory) = (relay.somebody().await, relay.somebody().await);
    let network = Network::new(relay.to);
    // A proof of Alice's, made for a connection of hers, which Mallory recorded.
    let hers = network.hello().await;
    let recorded = alice.authenticate(&hers.exporter, &hers.nonce);
    let mut session = network.hello().await;
    let (exporter, nonce) = (session.exporter, session.nonce);
    let own = mallory.authenticate(&exporter, &nonce);
    let claims = [
        recorded.clone(),
        // With the relay's nonce of that connection, as a relay in the middle would hand it on.
        alice.authenticate(&hers.exporter, &nonce),
        Authenticate { account: alice.name.clone(), ..own.clone() },
    ];
    let mut answers = Vec::new();
    for (number, claim) in claims.into_iter().enumerate() {
        let frame = PreAuthRequest::Authenticate(claim).to_raw(u32::try_from(number).unwrap() + 1).unwrap();
        answers.push(session.raw_answer(&frame).await.body);
    }
    // The third wrong proof ends the connection.
    assert_eq!(session.ending(SLACK).await.unwrap().reason, Some(CloseReason::Abuse));
    let mut session = network.hello().await;
    let own = mallory.authenticate(&session.exporter, &session.nonce);
    for claim in [
        Authenticate { device: DeviceId::new(2).unwrap(), ..own.clone() },
        Authenticate { account: subrosa_protocol::Username::new("nobody_at_all").unwrap(), ..own },
    ] {
        let frame = PreAuthRequest::Authenticate(claim).to_raw(9).unwrap();
        answers.push(session.raw_answer(&frame).await.body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // The connection that made the proof may use it, once it does.
    let mut hers = hers;
    assert!(matches!(hers.pre(PreAuthRequest::Authenticate(recorded)).await, Response::Authenticated(_)));
}

#[tokio::test]
async fn mailboxes_of_others_can_neither_be_read_nor_emptied() {
    let relay = Relay::start().await;
    let (alice, bob, mallory) = (relay.somebody().await, relay.somebody().await, relay.somebody().await);
    let mut sender = alice.session(relay.to).await;
    let sent = sender.ask(envelopes(&bob.name, 1, &[1, 2, 3], 1_200)).await;
    assert!(matches!(sent, Response::EnvelopeAccepted(_)), "{sent:?}");
    let mut session = mallory.session(relay.to).await;
    // A request names no mailbox: it is always the own one.
    assert!(session.fetch(0).await.envelopes.is_empty());
    for up_to in [1, 3, u64::MAX] {
        let ack = Request::MailboxAck(MailboxAck { up_to, generation: u64::MAX });
        assert!(matches!(session.ask(ack).await, Response::Done(_)));
    }
    // Nor can the list or the prekeys of another be replaced.
    let signed = bob.register_finish(&session.exporter, &session.nonce).device_list;
    let publish = Request::DeviceListPublish(DeviceListPublish { device_list: signed });
    assert_eq!(refused(&session.ask(publish).await).code, ErrorCode::InvalidSignature);
    let upload = Request::PrekeyUpload(PrekeyUpload {
        signed: None,
        last_resort: None,
        one_time: bob.ec(&[50, 51]),
        kem: bob.kem(&[50]),
    });
    assert_eq!(refused(&session.ask(upload).await).code, ErrorCode::InvalidSignature);
    let mut reader = bob.session(relay.to).await;
    let page = reader.fetch(0).await;
    assert_eq!(page.envelopes.iter().map(|envelope| envelope.seq).collect::<Vec<_>>(), [1, 2, 3]);
}
