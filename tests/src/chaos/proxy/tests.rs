//! The proxy with real sockets: what it says it does is what arrives.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::timeout;

use super::*;
use crate::chaos::Faults;

const SOON: Duration = Duration::from_secs(10);

/// A client and a relay with a proxy between them.
struct Line {
    relay: UdpSocket,
    client: UdpSocket,
    proxy: ChaosProxy,
}

impl Line {
    async fn new(seed: u64, profile: Profile) -> Self {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let proxy = ChaosProxy::start(seed, relay.local_addr().unwrap(), profile).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(proxy.address()).await.unwrap();
        Self { relay, client, proxy }
    }

    /// Sends datagrams of these numbers to the relay, a few at a time so that no socket's buffer overflows.
    async fn send(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.client.send(&datagram(number)).await.unwrap();
            if number % 20 == 19 {
                self.settled(u64::from(number) + 1).await;
            }
        }
    }

    /// Until the proxy has looked at so many datagrams for the relay.
    async fn settled(&self, came: u64) {
        let looked = async {
            while self.proxy.stats().up.came < came {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, looked).await.unwrap();
    }

    /// The numbers that arrive at the relay, in order, until nothing comes for a while; contents are checked.
    async fn arrived(&self) -> Vec<u32> {
        let (mut numbers, mut buffer) = (Vec::new(), [0; 2_000]);
        while let Ok(received) = timeout(Duration::from_millis(300), self.relay.recv(&mut buffer)).await {
            let bytes = &buffer[..received.unwrap()];
            let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(bytes, datagram(number), "changed on the way");
            numbers.push(number);
        }
        numbers
    }
}

/// A datagram whose length and bytes depend on its number.
fn datagram(number: u32) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((0..number % 1_200).map(|n| (n.wrapping_mul(31).wrapping_add(number)) as u8));
    bytes
}

async fn through(seed: u64, faults: Faults, count: u32) -> (Vec<u32>, Stats) {
    let line = Line::new(seed, Profile::both(faults)).await;
    let (arrived, ()) = tokio::join!(line.arrived(), line.send(0..count));
    (arrived, line.proxy.stats())
}

#[tokio::test]
async fn without_faults_everything_passes_unchanged_both_ways() {
    let (arrived, stats) = through(1, Faults::default(), 600).await;
    assert_eq!(arrived, (0..600).collect::<Vec<_>>());
    assert_eq!((stats.up.came, stats.up.left, stats.flows), (600, 600, 1));

    let line = Line::new(1, Profile::default()).await;
    line.send(0..1).await;
    let mut buffer = [0; 2_000];
    let (_, seen) = line.relay.recv_from(&mut buffer).await.unwrap();
    for number in 0..100 {
        line.relay.send_to(&datagram(number), seen).await.unwrap();
        let count = timeout(SOON, line.client.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..count], datagram(number));
    }
    assert_eq!(line.proxy.stats().down.left, 100);
}

#[tokio::test]
async fn exactly_what_the_seed_says_is_lost_and_doubled() {
    let faults = Faults { loss: 0.3, duplicate: 0.2, ..Faults::default() };
    let (arrived, stats) = through(11, faults, 1_000).await;
    let dice = crate::chaos::Dice::new(11, Direction::Up);
    let mut expected = BTreeMap::new();
    for number in 0..1_000u32 {
        let fate = dice.fate(number.into(), &faults);
        if !fate.lost {
            expected.insert(number, 1 + u32::from(fate.again_after.is_some()));
        }
    }
    let mut times = BTreeMap::new();
    for number in &arrived {
        *times.entry(*number).or_insert(0u32) += 1;
    }
    assert_eq!(times, expected);
    assert_eq!(stats.up.lost, 1_000 - expected.len() as u64);
    assert_eq!(stats.up.left, arrived.len() as u64);
    assert!(stats.up.doubled > 100, "{stats}");
    // The same seed loses the same ones, another one does not.
    let set = |arrived: Vec<u32>| arrived.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(
        set(through(11, faults, 200).await.0),
        set(arrived).into_iter().filter(|n| *n < 200).collect()
    );
}

#[tokio::test]
async fn reordering_really_happens_and_is_counted() {
    let faults = Faults { delay: Duration::from_millis(40), reorder: 0.25, ..Faults::default() };
    let line = Line::new(5, Profile::both(faults)).await;
    let slowly = async {
        for number in 0..300 {
            line.client.send(&datagram(number)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (arrived, ()) = tokio::join!(line.arrived(), slowly);
    assert_eq!(arrived.iter().copied().collect::<BTreeSet<_>>(), (0..300).collect());
    let mut highest = 0;
    let mut overtaken = 0;
    for number in &arrived {
        overtaken += u64::from(*number < highest);
        highest = highest.max(*number);
    }
    let stats = line.proxy.stats();
    assert_eq!(overtaken, stats.up.reordered);
    assert!((40..=110).contains(&overtaken), "{stats}");
    assert_eq!(stats.up.delayed, 300);
}

#[tokio::test]
async fn delay_and_jitter_take_their_time() {
    let (delay, jitter) = (Duration::from_millis(60), Duration::from_millis(60));
    let line = Line::new(2, Profile::both(Faults { delay, jitter, ..Faults::default() })).await;
    let mut buffer = [0; 2_000];
    let mut took = Vec::new();
    for number in 0..12 {
        let began = Instant::now();
        line.client.send(&datagram(number)).await.unwrap();
        timeout(SOON, line.relay.recv(&mut buffer)).await.unwrap().unwrap();
        took.push(began.elapsed());
    }
    assert!(took.iter().all(|time| *time >= delay), "{took:?}");
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*most - *least > jitter / 3, "{took:?}");
}

#[tokio::test]
async fn a_limited_rate_is_kept_and_its_queue_is_bounded() {
    // 100 datagrams of 1,000 bytes at 1 Mbit/s are 0.8 s; 64 KiB of them wait at most.
    let faults = Faults { rate: Some(1_000_000), ..Faults::default() };
    let line = Line::new(3, Profile::both(faults)).await;
    let began = Instant::now();
    for sent in 1..=100 {
        line.client.send(&datagram(996)).await.unwrap();
        if sent % 20 == 0 {
            line.settled(sent).await;
        }
    }
    let mut arrived = 0u64;
    let mut last = began;
    let mut buffer = [0; 2_000];
    while timeout(Duration::from_millis(300), line.relay.recv(&mut buffer)).await.is_ok() {
        arrived += 1;
        last = Instant::now();
    }
    let stats = line.proxy.stats();
    assert_eq!(arrived + stats.up.overflowed, 100, "{stats}");
    assert!(stats.up.overflowed >= 20, "{stats}");
    let least = Duration::from_millis(8).mul_f64(arrived as f64 - 1.0);
    assert!(last - began >= least, "{:?} for {arrived}", last - began);
}

#[tokio::test]
async fn a_blackhole_of_one_direction_ends_when_it_is_told_to() {
    let line = Line::new(4, Profile { up: Faults::dead(), ..Profile::default() }).await;
    line.send(0..10).await;
    assert_eq!(line.arrived().await, Vec::<u32>::new());
    assert_eq!(line.proxy.stats().up.swallowed, 10);
    line.proxy.set(Profile { down: Faults::dead(), ..Profile::default() });
    assert!(line.proxy.profile().down.blackhole);
    line.client.send(&datagram(10)).await.unwrap();
    let mut buffer = [0; 2_000];
    let (_, seen) = timeout(SOON, line.relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    line.relay.send_to(b"back", seen).await.unwrap();
    assert!(timeout(Duration::from_millis(200), line.client.recv(&mut buffer)).await.is_err());
    assert_eq!(line.proxy.stats().down.swallowed, 1);
}

#[tokio::test]
async fn an_address_change_is_seen_by_the_relay_and_not_by_the_client() {
    let line = Line::new(6, Profile::default()).await;
    let mut buffer = [0; 2_000];
    let mut seen = BTreeSet::new();
    for number in 0..5 {
        line.client.send(&datagram(number)).await.unwrap();
        let (_, from) = timeout(SOON, line.relay.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert!(seen.insert(from.ip()), "{from} was used before");
        line.relay.send_to(b"back", from).await.unwrap();
        let count = timeout(SOON, line.client.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..count], b"back");
        assert_eq!(line.proxy.rebind().await, 1);
        // The old address is forgotten.
        line.relay.send_to(b"late", from).await.unwrap();
    }
    assert!(timeout(Duration::from_millis(100), line.client.recv(&mut buffer)).await.is_err());
    assert_eq!((line.proxy.stats().rebinds, line.proxy.stats().flows), (5, 1));

    line.proxy.set(Profile { rebind_every: Some(Duration::from_millis(20)), ..Profile::default() });
    let by_itself = async {
        while line.proxy.stats().rebinds < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, by_itself).await.unwrap();
}

#[tokio::test]
async fn each_client_has_its_own_address_and_a_relay_may_be_away() {
    let line = Line::new(7, Profile::default()).await;
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    other.connect(line.proxy.address()).await.unwrap();
    let mut buffer = [0; 2_000];
    line.client.send(b"one").await.unwrap();
    let (_, first) = timeout(SOON, line.relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    other.send(b"two").await.unwrap();
    let (_, second) = timeout(SOON, line.relay.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_ne!(first, second);
    line.relay.send_to(b"for two", second).await.unwrap();
    let count = timeout(SOON, other.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..count], b"for two");

    // Away and back at the same address: datagrams pass again.
    let address = line.relay.local_addr().unwrap();
    let Line { relay, client, proxy } = line;
    drop(relay);
    for _ in 0..5 {
        client.send(b"anybody?").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let relay = UdpSocket::bind(address).await.unwrap();
    client.send(b"back").await.unwrap();
    let count = timeout(SOON, relay.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..count], b"back");
    assert_eq!(proxy.stats().flows, 2);
}
