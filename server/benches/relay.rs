//! What a relay costs and does, over real QUIC against a real `rosad`: memory of idle connections, accepted envelopes a
//! second, and the time from a send to its push. Every rate limit is lifted (R8).
//!
//! `cargo bench -p subrosa-server --bench relay -- [CONNECTIONS] [SECONDS]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    Client, Person,
    client::{BoundedFrom, IntoBounded},
    quic,
};
use serde_json::Value;
use subrosa_protocol::{EnvelopeId, JoinLink, frames::*};

const LIMITS: &str = "[limits]\nlift_rates = true\nunauthenticated_per_network = 100000\n\
    connections_per_device = 100000\nconnections_per_account = 100000\nconnections = 100000\n\
    mailbox_envelopes = 100000000\nmailbox_bytes = 100000000000\nhandshakes_before_retry = 100000\n";

struct Rosad {
    child: Child,
    link: JoinLink,
    quic: std::net::SocketAddr,
}

impl Rosad {
    fn up(dir: &std::path::Path) -> Self {
        let config = dir.join("bench.toml");
        std::fs::write(&config, LIMITS).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rosad"))
            .args(["up", "--json", "--listen", "127.0.0.1:0", "--registration", "open", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(dir.join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { child, link: text("address").parse().unwrap(), quic: text("quic").parse().unwrap() }
    }

    async fn client(&self) -> Client {
        let options = quic::Options {
            alpn: b"rosa/1".to_vec(),
            fingerprint: self.link.relay.fingerprint,
            provider: rustls::crypto::aws_lc_rs::default_provider(),
        };
        let (endpoint, connection) = quic::connect(self.quic, options).await.unwrap();
        let (writer, reader) = connection.open_bi().await.unwrap();
        let mut client = Client::new(reader, writer, quic::exporter(&connection));
        client.held = Some(Box::new((endpoint, connection)));
        client.hello().await;
        client
    }

    async fn person(&self, name: &str) -> Person {
        let person = Person::new(name);
        let answer = self.client().await.register(&person, None).await;
        assert!(matches!(answer, Response::Done(_)), "{answer:?}");
        person
    }

    /// Resident memory in KiB.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Rosad {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(to: &Person, number: u64, size: usize) -> Request {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    id[8..].copy_from_slice(&common::random::<8>());
    let envelope =
        OutgoingEnvelope { id: EnvelopeId::from_bytes(id), sealed: vec![7; size].try_into_bounded() };
    Request::EnvelopeSend(EnvelopeSend {
        to: to.name.clone(),
        device: common::person::Device::id(1),
        list_version: 1,
        generation: 1,
        envelopes: BoundedFrom::bounded(vec![envelope]),
    })
}

#[tokio::main]
async fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let connections = numbers.first().copied().unwrap_or(500);
    let seconds = numbers.get(1).copied().unwrap_or(3);
    let dir = tempfile::tempdir().unwrap();
    let relay = Arc::new(Rosad::up(dir.path()));
    println!("every rate limit is lifted");
    latency(&relay).await;
    throughput(&relay, Duration::from_secs(seconds)).await;
    idle(&relay, connections).await;
}

/// From a send to its push, one at a time, while nothing else happens.
async fn latency(relay: &Rosad) {
    let (alice, bob) = (relay.person("alice").await, relay.person("bobby").await);
    let (mut a, mut b) = (relay.client().await, relay.client().await);
    a.authenticate(&alice, 1).await;
    b.authenticate(&bob, 1).await;
    let mut times = Vec::new();
    for number in 0..300 {
        let began = Instant::now();
        let id = a.send(send(&bob, number, 1500)).await;
        assert!(matches!(b.push().await, Push::Deliver(_)));
        times.push(began.elapsed());
        a.answer(id).await;
    }
    times.sort();
    println!("send to push, idle relay: median {:?}, 99 of 100 within {:?}", times[150], times[297]);
}

/// Eight pairs, each sender with 16 sends under way.
async fn throughput(relay: &Arc<Rosad>, time: Duration) {
    let mut pairs = Vec::new();
    for pair in 0..8 {
        let relay = Arc::clone(relay);
        pairs.push(tokio::spawn(async move {
            let sender = relay.person(&format!("sender{pair}")).await;
            let receiver = relay.person(&format!("receiver{pair}")).await;
            let (mut s, mut r) = (relay.client().await, relay.client().await);
            s.authenticate(&sender, 1).await;
            r.authenticate(&receiver, 1).await;
            let receiving = tokio::spawn(async move {
                let mut highest = 0;
                while let Ok(Some(heard)) = tokio::time::timeout(Duration::from_secs(2), r.heard()).await {
                    if let FromRelay::Push(Push::Deliver(envelope)) = heard {
                        highest = envelope.seq;
                        if highest % 32 == 0 {
                            r.send(Request::MailboxAck(MailboxAck { up_to: highest, generation: 1 })).await;
                        }
                    }
                }
                highest
            });
            let began = Instant::now();
            let (mut sent, mut answered) = (0u64, 0u64);
            while began.elapsed() < time {
                while sent < answered + 16 {
                    s.send(send(&receiver, sent, 1500)).await;
                    sent += 1;
                }
                if let FromRelay::Response(_, response) = s.heard().await.unwrap() {
                    assert!(matches!(response, Response::EnvelopeAccepted(_)), "{response:?}");
                    answered += 1;
                }
            }
            drop(receiving);
            answered
        }));
    }
    let mut total = 0;
    for pair in pairs {
        total += pair.await.unwrap();
    }
    println!("accepted and pushed, 8 pairs: {} envelopes of 1,500 bytes a second", total / time.as_secs());
}

/// Memory of connections that are authenticated and silent.
async fn idle(relay: &Rosad, connections: u64) {
    let carol = relay.person("carol").await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut client = relay.client().await;
        client.authenticate(&carol, 1).await;
        held.push(client);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = relay.resident();
    for _ in 0..connections {
        let mut client = relay.client().await;
        client.authenticate(&carol, 1).await;
        held.push(client);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = relay.resident();
    println!(
        "idle connections: {connections} take {} KiB, {:.1} KiB each ({before} -> {after} KiB resident)",
        after.saturating_sub(before),
        after.saturating_sub(before) as f64 / connections as f64,
    );
}
