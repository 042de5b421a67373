//! (h) Posts to everybody in a room who is online, each stored once and durable before its answer, beside raw quinn that sends
//! the same bytes to as many connections and keeps nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::Args;
use subrosa_bench::{
    client::{Client, rng},
    echo::EchoClient,
    person::{Passphrase, Person},
    process::{Cpu, Process},
    report::{Row, Table},
    tls,
};
use subrosa_protocol::{BoundedBytes, BoundedVec, DeviceId, EntryId, EnvelopeId, RoomId, frames::*};
use tokio::task::JoinSet;

use crate::bed::{Bed, Relay};

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Members of the rooms besides the one who posts
    #[arg(long, value_delimiter = ',', default_values_t = [100, 999])]
    members: Vec<usize>,
    /// Bytes of an entry: a padded short message
    #[arg(long, default_value_t = 1300)]
    size: usize,
    /// Posts under way
    #[arg(long, default_value_t = 2)]
    window: u64,
    /// Rooms for the memory of many, at most 100, with as many members each as the first size
    #[arg(long, default_value_t = 80)]
    rooms: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { members: vec![100, 999], size: 1300, window: 2, rooms: 80 }
    }
}

/// Milliseconds of CPU for 1,000 deliveries.
const GOAL_MS: f64 = 3.0;
/// Times raw quinn.
const GOAL_TIMES: f64 = 2.0;

/// Deliveries while it was measured, what they cost, and for how long.
type Figures = (u64, Cpu, Duration);

pub(crate) fn run(bed: &Bed, options: &Options) -> Table {
    let mut table = Table::new(format!("(h) {} B posted to everybody in a room", options.size));
    for members in options.members.iter().copied() {
        let relay = bed.relay();
        let (idle, warm, (count, cpu, time)) = Bed::runtime().block_on(posts(bed, &relay, members, options));
        relay.process.terminate();
        let yardstick = bed.broadcast();
        let (raw_count, raw_cpu, _) = Bed::runtime().block_on(broadcast(bed, &yardstick, members, options));
        drop(yardstick);
        let (ours, raw) = (cpu.per_thousand(count), raw_cpu.per_thousand(raw_count));
        table.row(Row::new(
            format!("{members} members: deliveries a second"),
            format!("{:.0}/s", count as f64 / time.as_secs_f64()),
        ));
        table.row(
            Row::new(format!("{members} members: server CPU for 1,000 deliveries"), format!("{ours:.2} ms"))
                .beside(format!("raw quinn {raw:.2} ms"), ours / raw)
                .goal(&format!("<= {GOAL_MS:.0} ms"), ours <= GOAL_MS)
                .goal(&format!("<= {GOAL_TIMES:.0} times"), ours / raw <= GOAL_TIMES),
        );
        table.row(Row::new(
            format!("{members} members: memory of the relay when the room is first written to"),
            format!(
                "{} KiB more, {:.0} B a member",
                warm - idle,
                (warm - idle) as f64 * 1024.0 / members as f64
            ),
        ));
    }
    if options.rooms > 1
        && let Some(members) = options.members.first().copied()
    {
        let relay = bed.relay();
        let kib = Bed::runtime().block_on(memory(&relay, members, options.rooms));
        relay.process.terminate();
        table.row(Row::new(
            format!(
                "memory of the relay for a room of {members} members that is written to, of {}",
                options.rooms
            ),
            format!("{kib:.1} KiB, {:.0} B a member", kib * 1024.0 / members as f64),
        ));
    }
    table
}

/// KiB of the relay that each further room takes which is written to, while all its members are online.
async fn memory(relay: &Relay, members: usize, rooms: usize) -> f64 {
    let passphrase = Passphrase::new();
    let people = relay.people("member", members, &passphrase).await;
    let owner = relay.people("owner", 1, &passphrase).await.remove(0);
    let endpoint = tls::endpoint();
    let (mut posting, _) = Client::of(&endpoint, relay.process.quic, &owner).await;
    let ids: Vec<RoomId> = (0..rooms).map(|_| RoomId::from_bytes(id())).collect();
    for room in ids.iter().copied() {
        fill(&mut posting, room, &people).await;
    }
    let mut tasks = JoinSet::new();
    for person in people {
        let (mut client, _) = Client::of(&endpoint, relay.process.quic, &person).await;
        for room in ids.iter().copied() {
            let accept = Request::RoomAccept(RoomAccept { room, state_generation: 0 });
            assert!(matches!(client.ask(&accept).await, Response::Done(_)));
        }
        tasks.spawn(async move {
            let Client { mut reader, connection: _held, writer: _open, .. } = client;
            loop {
                reader.next().await;
            }
        });
    }
    let mut after_some = 0;
    // The first ones fill what is filled once.
    let some = rooms / 5;
    for (number, room) in ids.into_iter().enumerate() {
        if number == some {
            tokio::time::sleep(Duration::from_secs(1)).await;
            after_some = relay.process.memory_kib();
        }
        let answer = posting.ask(&post(room, epoch_of(members), 8)).await;
        assert!(matches!(answer, Response::RoomAccepted(_)), "{answer:?}");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    relay.process.memory_kib().saturating_sub(after_some) as f64 / (rooms - some) as f64
}

fn id() -> [u8; 16] {
    use rand_core::Rng as _;
    let mut id = [0; 16];
    rng().fill_bytes(&mut id);
    id
}

const ROOM: RoomId = RoomId::from_bytes([7; 16]);

/// A message of so many bytes.
fn post(room: RoomId, epoch: u64, size: usize) -> Request {
    Request::RoomPost(RoomPost {
        room,
        id: EntryId::from_bytes(id()),
        kind: EntryKind::Application,
        generation: 0,
        epoch,
        bytes: BoundedBytes::new(vec![0x5a; size]).unwrap(),
        state_generation: 0,
    })
}

/// The epoch of a room that was filled.
fn epoch_of(members: usize) -> u64 {
    members.div_ceil(AT_ONCE) as u64
}

/// Members that one commit adds.
const AT_ONCE: usize = 24;

async fn posts(bed: &Bed, relay: &Relay, members: usize, options: &Options) -> (u64, u64, Figures) {
    let passphrase = Passphrase::new();
    let people = relay.people("member", members, &passphrase).await;
    let owner = relay.people("owner", 1, &passphrase).await.remove(0);
    let endpoint = tls::endpoint();
    let (mut posting, _) = Client::of(&endpoint, relay.process.quic, &owner).await;
    fill(&mut posting, ROOM, &people).await;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for person in people {
        let (mut client, _) = Client::of(&endpoint, relay.process.quic, &person).await;
        let accept = Request::RoomAccept(RoomAccept { room: ROOM, state_generation: 0 });
        assert!(matches!(client.ask(&accept).await, Response::Done(_)));
        let delivered = Arc::clone(&delivered);
        tasks.spawn(async move {
            let Client { mut reader, connection: _held, writer: _open, .. } = client;
            loop {
                if let FromRelay::Push(Push::RoomDeliver(_)) = reader.next().await {
                    delivered.fetch_add(1, Relaxed);
                }
            }
        });
    }
    let epoch = epoch_of(members);
    let idle = relay.process.memory_kib();
    assert!(matches!(posting.ask(&post(ROOM, epoch, 8)).await, Response::RoomAccepted(_)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let warm = relay.process.memory_kib();
    let (seen, size, window) = (Arc::clone(&delivered), options.size, options.window);
    let members = members as u64;
    let before = delivered.load(Relaxed);
    tasks.spawn(async move {
        let Client { mut writer, mut reader, connection: _held, .. } = posting;
        let (mut sent, mut answered) = (0u64, 0u64);
        loop {
            // A post leaves when one before it was accepted and has reached everybody.
            while sent < answered + window && (seen.load(Relaxed) - before) / members + window > sent {
                writer.send(&post(ROOM, epoch, size)).await;
                sent += 1;
            }
            if answered < sent {
                if let FromRelay::Response(_, response) = reader.next().await {
                    assert!(matches!(response, Response::RoomAccepted(_)), "{response:?}");
                    answered += 1;
                }
            } else {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut start = 0;
    let (end, cpu, time) =
        bed.measure(&relay.process, || start = delivered.load(Relaxed), || delivered.load(Relaxed)).await;
    (idle, warm, (end - start, cpu, time))
}

/// A private room of everybody.
async fn fill(client: &mut Client, room: RoomId, people: &[Person]) {
    // Any point of the curve will do: this is its base point.
    let mut key = [0x66; 32];
    key[0] = 0x58;
    let create =
        RoomCreate { room, owner_key: key.into(), listing: None, group_info: None, state_generation: 0 };
    assert!(matches!(client.ask(&Request::RoomCreate(create)).await, Response::Done(_)));
    for (epoch, some) in people.chunks(AT_ONCE).enumerate() {
        let device = DeviceId::new(1).unwrap();
        let hash = ObjectHash(sha256(&epoch.to_le_bytes()));
        let welcome = ObjectPut {
            object: ObjectRef { hash, size: 8 },
            offset: 0,
            piece: BoundedBytes::new(epoch.to_le_bytes()).unwrap(),
        };
        assert!(matches!(client.ask(&Request::ObjectPut(welcome)).await, Response::Done(_)));
        let added: Vec<_> =
            some.iter().map(|person| RoomDevice { account: person.name.clone(), device }).collect();
        let invitations: Vec<_> = some
            .iter()
            .map(|person| Invitation {
                account: person.name.clone(),
                device,
                id: EnvelopeId::from_bytes(id()),
                sealed: BoundedBytes::new(vec![1; 64]).unwrap(),
            })
            .collect();
        let commit = RoomCommit {
            room,
            id: EntryId::from_bytes(id()),
            generation: 0,
            epoch: epoch as u64,
            after: 0,
            commit: CommitBody::Inline(BoundedBytes::new(vec![1; 300]).unwrap()),
            delta: RoomDelta { added: BoundedVec::new(added).ok().unwrap(), ..RoomDelta::default() },
            group_info: None,
            welcome: Some(hash),
            invitations: Invitations::Inline(BoundedVec::new(invitations).ok().unwrap()),
            state_generation: 0,
        };
        let answer = client.ask(&Request::RoomCommit(commit)).await;
        assert!(matches!(answer, Response::RoomAccepted(_)), "{answer:?}");
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

/// As many connections, as many bytes, by raw quinn.
async fn broadcast(bed: &Bed, server: &Process, members: usize, options: &Options) -> Figures {
    let to: SocketAddr = server.quic;
    let endpoint = tls::endpoint();
    let delivered = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..members {
        let mut client = EchoClient::connect(&endpoint, to).await;
        let delivered = Arc::clone(&delivered);
        tasks.spawn(async move {
            loop {
                client.next().await;
                delivered.fetch_add(1, Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A push has a header and the entry's numbers besides its bytes.
    let (size, window, members) = (options.size + 64, options.window, members as u64);
    let mut sender = EchoClient::connect(&endpoint, to).await;
    let seen = Arc::clone(&delivered);
    tasks.spawn(async move {
        let (frame, mut sent) = (vec![0x5a; size], 0u64);
        loop {
            if seen.load(Relaxed) / members + window > sent {
                sender.send(&frame).await;
                sent += 1;
            } else {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut start = 0;
    let (end, cpu, time) =
        bed.measure(server, || start = delivered.load(Relaxed), || delivered.load(Relaxed)).await;
    (end - start, cpu, time)
}
