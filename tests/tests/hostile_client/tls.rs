//! Below the frames: other protocol names, old versions of TLS, early data.

use quinn::ConnectionError;
use subrosa_tests::raw_client::{Manners, Network};

use crate::fixture::Relay;

/// The alert `no_application_protocol`, as QUIC carries it.
const NO_PROTOCOL: u64 = 0x100 + 120;
/// The alert `protocol_version`.
const VERSION: u64 = 0x100 + 70;

fn refused_with(ended: Result<quinn::Connection, ConnectionError>) -> u64 {
    match ended {
        Err(ConnectionError::ConnectionClosed(close)) => close.error_code.into(),
        other => panic!("expected the relay to refuse, got {other:?}"),
    }
}

/// Offers TLS 1.2 alone: the extension `supported_versions` with one version in it.
fn only_tls_1_2(hello: &mut [u8]) {
    let offer = [0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04];
    let at = hello.windows(offer.len()).position(|bytes| bytes == offer).expect("a ClientHello of TLS 1.3");
    hello[at + offer.len() - 1] = 0x03;
}

#[tokio::test]
async fn r1_other_protocols_old_tls_and_early_data_do_not_pass() {
    let relay = Relay::start().await;
    let network = Network::new(relay.to);
    for alpn in [vec![], vec![b"h3".to_vec()], vec![b"rosa/2".to_vec(), b"rosa".to_vec()]] {
        let offered = network.connect_with(Manners { alpn: alpn.clone(), ..Manners::default() }).await;
        assert_eq!(refused_with(offered), NO_PROTOCOL, "{alpn:?}");
    }
    let old = Manners { client_hello: Some(only_tls_1_2), ..Manners::default() };
    assert_eq!(refused_with(network.connect_with(old).await), VERSION);

    // The relay gives no ticket, so there is nothing to send early data with, also after a whole session.
    let early = || Manners { early_data: true, ..Manners::default() };
    let mut session = network.open_with(early()).await.unwrap();
    session.hello().await;
    session.authenticate(&relay.somebody().await).await;
    session.fetch(0).await;
    assert!(network.connecting(early()).into_0rtt().is_err(), "early data could be sent");
    assert!(relay.gauge.count("rosad_handshakes_failed_total") >= 4);
}
