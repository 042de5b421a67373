//! As much as the wire holds: requests, connections, first packets, datagrams that mean nothing.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use subrosa_protocol::{ErrorCode, frames::*};
use subrosa_tests::{
    raw_client::{
        Manners, Network, Probe,
        gauge::{MIB, mib},
    },
    report::did,
};

use crate::fixture::{Dice, Relay, SLACK, flood, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_flood_of_requests_is_told_to_wait_and_then_closed() {
    let relay = Relay::start().await;
    let probe = Probe::start(&relay.world.relay).await;
    let session = relay.somebody().await.session(relay.to).await;
    let began = Instant::now();
    let (mut reader, mut writer) = (session.reader, session.writer);
    let flooding = tokio::spawn(async move {
        let mut sent = 0u64;
        let mut batch = bytes::BytesMut::new();
        for id in 0..100 {
            Request::PrekeyStatus(Empty {}).to_raw(id).unwrap().write_to(&mut batch).unwrap();
        }
        while writer.write_all(&batch).await.is_ok() {
            sent += 100;
        }
        sent
    });
    let (mut input, decoder) = (bytes::BytesMut::new(), subrosa_protocol::FrameDecoder::authenticated());
    let (mut served, mut limited, mut reason) = (0u64, 0u64, None);
    while let Ok(Some(chunk)) =
        tokio::time::timeout(SLACK * 4, reader.read_chunk(65_536, true)).await.unwrap()
    {
        input.extend_from_slice(&chunk.bytes);
        while let Some(frame) = decoder.next_frame(&mut input).unwrap() {
            match FromRelay::from_raw(&frame).unwrap() {
                FromRelay::Response(_, Response::Error(error)) => {
                    assert_eq!(error.code, ErrorCode::RateLimited);
                    assert!((1..=10_000).contains(&error.retry_after_ms.unwrap()));
                    limited += 1;
                }
                FromRelay::Response(..) => served += 1,
                FromRelay::Push(Push::Closing(closing)) => reason = Some(closing.reason),
                _ => {}
            }
        }
    }
    session.connection.close(0u32.into(), b"");
    let sent = flooding.await.unwrap();
    let seconds = began.elapsed().as_secs_f64();
    did(&format!(
        "requests: {sent} written in {seconds:.1} s, {served} served, {limited} told to wait, then {reason:?}"
    ));
    assert_eq!(reason, Some(CloseReason::Abuse));
    assert!(served >= 1_000 && limited >= 3, "a thousand at once are allowed");
    assert!(served as f64 <= 1_000.0 + 200.0 * (seconds + 1.0), "more served than the rate allows");
    probe.finish("a flood of requests").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_a_flood_of_connections_is_refused_and_a_good_client_logs_in() {
    let relay = Relay::alone("open", "").await;
    let probe = Probe::start(&relay.world.relay).await;
    let (before, cpu) = (relay.gauge.resident(), relay.gauge.cpu());
    let (taken, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let tasks: Vec<_> = Network::several(relay.to, 32)
        .into_iter()
        .map(|network| {
            let (taken, refused) = (Arc::clone(&taken), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut held = Vec::new();
                // So long, and until it was a flood for this machine.
                while began.elapsed() < flood()
                    || (refused.load(Ordering::SeqCst) < 1_000 && began.elapsed() < SLACK * 4)
                {
                    match network.connect().await {
                        Ok(connection) => {
                            taken.fetch_add(1, Ordering::SeqCst);
                            held.push(connection);
                        }
                        Err(_) => {
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
                held
            })
        })
        .collect();
    let mut held = Vec::new();
    for task in tasks {
        held.extend(task.await.unwrap());
    }
    let (taken, refused) = (taken.load(Ordering::SeqCst), refused.load(Ordering::SeqCst));
    let growth = relay.gauge.resident().saturating_sub(before);
    did(&format!(
        "connections: {taken} taken and {refused} refused in {:?} from 32 networks, memory grew by {}, {:.1} s of the relay's processor time",
        began.elapsed(),
        mib(growth),
        relay.gauge.cpu() - cpu
    ));
    // Sixteen unauthenticated ones of a network at once; each is there for ten seconds.
    let turns = began.elapsed().as_secs() / 10 + 1;
    assert!(taken <= 32 * 16 * turns, "{taken} in {turns} turns");
    assert!(refused >= 1_000, "{refused} refused");
    assert!(growth < 128 * MIB);
    assert!(relay.gauge.count("rosad_connections_refused_total{kind=\"too_many_unauthenticated\"}") > 0);
    probe.finish("a flood of connections").await;
}

/// First packets of handshakes, as a client sends them: each of a connection of its own.
async fn first_packets(count: usize) -> Vec<Vec<Vec<u8>>> {
    let sink = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = sink.local_addr().unwrap();
    let network = Network::new(to);
    let mut packets = Vec::with_capacity(count);
    let mut buffer = [0; 2_048];
    for _ in 0..count {
        let connecting = network.connecting(Manners::default());
        let mut first = Vec::new();
        // A ClientHello with a post-quantum key share fills two datagrams.
        while first.len() < 2 {
            let received = tokio::time::timeout(Duration::from_secs(5), sink.recv(&mut buffer));
            let len = received.await.unwrap().unwrap();
            first.push(buffer[..len].to_vec());
        }
        drop(connecting);
        packets.push(first);
        while tokio::time::timeout(Duration::from_millis(1), sink.recv(&mut buffer)).await.is_ok() {}
    }
    packets
}

/// A socket of an address that nobody else here has.
fn socket(number: usize) -> UdpSocket {
    let (a, b) = (number / 250 % 250, number % 250);
    let socket = UdpSocket::bind(format!("127.77.{a}.{}:0", b + 1)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_half_handshakes_from_many_addresses_meet_a_retry_and_a_good_client_logs_in() {
    let relay = Relay::alone("open", "").await;
    let packets = first_packets(400).await;
    let probe = Probe::start(&relay.world.relay).await;
    let before = relay.gauge.resident();
    // The first datagram only: each is a handshake that goes no further.
    let sockets: Vec<_> = (0..packets.len()).map(socket).collect();
    let end = Instant::now() + flood();
    let (mut sent, mut retries, mut answers) = (0u64, 0u64, 0u64);
    let mut buffer = [0; 2_048];
    while Instant::now() < end {
        for (socket, first) in sockets.iter().zip(&packets) {
            sent += u64::from(socket.send_to(&first[0], relay.to).is_ok());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        for socket in &sockets {
            while let Ok(len @ 1..) = socket.recv(&mut buffer) {
                answers += 1;
                // A long header of type Retry (RFC 9000, section 17.2.5).
                retries += u64::from(len > 5 && buffer[0] & 0xb0 == 0xb0);
            }
        }
    }
    let growth = relay.gauge.resident().saturating_sub(before);
    did(&format!(
        "first packets: {sent} sent from 400 addresses, {answers} answers, {retries} of them a Retry, memory grew by {}",
        mib(growth)
    ));
    assert!(retries > 100, "above 128 handshakes an address must prove itself: {retries}");
    assert!(growth < 64 * MIB, "{}", mib(growth));
    probe.finish("a flood of first packets").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_that_mean_nothing_at_line_rate_do_not_stop_the_relay() {
    let relay = Relay::alone("open", "").await;
    let probe = Probe::start(&relay.world.relay).await;
    let (before, cpu) = (relay.gauge.resident(), relay.gauge.cpu());
    let (stop, sent, bytes) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut dice = Dice::seeded();
    let threads: Vec<_> = (0..2usize)
        .map(|number| {
            let (stop, sent, bytes, to) =
                (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&bytes), relay.to);
            let sockets: Vec<_> = (0..8).map(|n| socket(number * 8 + n)).collect();
            let noise: Vec<Vec<u8>> = (0..64)
                .map(|kind| {
                    let len = if kind % 2 == 0 { 1_200 + dice.below(200) } else { 1 + dice.below(1_300) };
                    let mut datagram = dice.bytes(len);
                    match kind % 4 {
                        // A long header of a version that nobody knows: asks for version negotiation.
                        0 if len > 5 => datagram[..5].copy_from_slice(&[0xc3, 0xba, 0xba, 0xba, 0xba]),
                        // A version negotiation packet.
                        1 if len > 5 => datagram[..5].copy_from_slice(&[0x80, 0, 0, 0, 0]),
                        // A first packet of version 1 with garbage in it.
                        2 if len > 6 => datagram[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
                        // A short header of a connection that is not there.
                        3 => datagram[0] = 0x40 | (datagram[0] & 0x3f),
                        _ => {}
                    }
                    datagram
                })
                .collect();
            std::thread::spawn(move || {
                let (mut count, mut buffer) = (0usize, [0; 2_048]);
                while !stop.load(Ordering::Relaxed) {
                    let (socket, datagram) = (&sockets[count % 8], &noise[count % noise.len()]);
                    match socket.send_to(datagram, to) {
                        Ok(len) => {
                            sent.fetch_add(1, Ordering::Relaxed);
                            bytes.fetch_add(u64::try_from(len).unwrap(), Ordering::Relaxed);
                        }
                        Err(_) => std::thread::yield_now(),
                    }
                    count += 1;
                    while count % 16 == 0 && socket.recv(&mut buffer).is_ok() {}
                }
            })
        })
        .collect();
    tokio::time::sleep(flood()).await;
    stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    let growth = relay.gauge.resident().saturating_sub(before);
    did(&format!(
        "datagrams: {} of {} in {:?}, memory grew by {}, {:.1} s of the relay's processor time",
        sent.load(Ordering::SeqCst),
        mib(bytes.load(Ordering::SeqCst)),
        flood(),
        mib(growth),
        relay.gauge.cpu() - cpu
    ));
    assert!(growth < 64 * MIB, "{}", mib(growth));
    until("nothing is held", SLACK * 2, || relay.gauge.resident() < before + 32 * MIB).await;
    probe.finish("a flood of datagrams").await;
}
