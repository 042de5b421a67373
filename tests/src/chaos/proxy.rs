//! The sockets of the proxy.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Direction, Profile, Stats, lane::Lane, waiting::Waiting};

/// Client addresses at once; the one that was quiet for longest makes room for a new one.
pub const FLOWS: usize = 1_024;
/// Datagrams from the relay that wait to be looked at.
const INBOX: usize = 4_096;
/// The largest datagram.
const LARGEST: usize = 65_535;

/// A running proxy. Dropping it ends it.
pub struct ChaosProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    pump: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    profile: Mutex<Profile>,
    stats: Mutex<Stats>,
}

enum Command {
    /// The profile is another one.
    Changed,
    /// Every client gets a new address.
    Rebind(oneshot::Sender<usize>),
}

impl ChaosProxy {
    /// Starts a proxy to `upstream` on a free port of the same machine's loopback.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub async fn start(seed: u64, upstream: SocketAddr, profile: Profile) -> io::Result<Self> {
        let listen = if upstream.is_ipv4() {
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        } else {
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0))
        };
        Self::listen(listen, seed, upstream, profile).await
    }

    /// Starts a proxy to `upstream` at an address.
    ///
    /// # Errors
    /// What the system says about the socket.
    pub async fn listen(
        listen: SocketAddr,
        seed: u64,
        upstream: SocketAddr,
        profile: Profile,
    ) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(listen).await?);
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared { profile: Mutex::new(profile), stats: Mutex::default() });
        let (commands, obeyed) = mpsc::unbounded_channel();
        let (to_inbox, inbox) = mpsc::channel(INBOX);
        let pump = Pump {
            socket,
            upstream,
            shared: Arc::clone(&shared),
            up: Lane::new(seed, Direction::Up),
            down: Lane::new(seed, Direction::Down),
            waiting: Waiting::new(),
            flows: HashMap::new(),
            to_inbox,
            rebind_at: None,
            sockets: 0,
        };
        let pump = tokio::spawn(pump.run(obeyed, inbox));
        Ok(Self { address, shared, commands, pump })
    }

    /// Where clients find it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Other faults, from the next datagram on. What is on its way arrives as it was to.
    pub fn set(&self, profile: Profile) {
        *lock(&self.shared.profile) = profile;
        let _ = self.commands.send(Command::Changed);
    }

    /// The faults of now.
    pub fn profile(&self) -> Profile {
        *lock(&self.shared.profile)
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        *lock(&self.shared.stats)
    }

    /// Gives every client a new address, as a router does that forgot it: what the relay sends to the old one is lost. Where
    /// the relay is on this machine the IP address is another one too, as in another network. Returns for how many.
    pub async fn rebind(&self) -> usize {
        let (answer, moved) = oneshot::channel();
        let _ = self.commands.send(Command::Rebind(answer));
        moved.await.unwrap_or(0)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// A client as the proxy knows it.
struct Flow {
    /// What the relay sees as the client's address.
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
    last: Instant,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A datagram on its way.
struct Datagram {
    direction: Direction,
    client: SocketAddr,
    number: u64,
    bytes: Arc<[u8]>,
}

struct Pump {
    socket: Arc<UdpSocket>,
    upstream: SocketAddr,
    shared: Arc<Shared>,
    up: Lane,
    down: Lane,
    waiting: Waiting<Datagram>,
    flows: HashMap<SocketAddr, Flow>,
    to_inbox: mpsc::Sender<(SocketAddr, Arc<[u8]>)>,
    rebind_at: Option<Instant>,
    /// Sockets made so far; it starts over after 256.
    sockets: u8,
}

impl Pump {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut inbox: mpsc::Receiver<(SocketAddr, Arc<[u8]>)>,
    ) {
        let mut buffer = vec![0; LARGEST];
        let socket = Arc::clone(&self.socket);
        self.look_at_profile();
        loop {
            let due = self.waiting.next_at().into_iter().chain(self.rebind_at).min();
            // Without anything due, the time does not matter.
            let wake = due.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                () = sleep_until(wake), if due.is_some() => {}
                received = socket.recv_from(&mut buffer) => {
                    // Errors tell of datagrams that could not be delivered: so they are lost.
                    if let Ok((count, client)) = received {
                        self.client_sent(client, &buffer[..count]).await;
                    }
                }
                Some((client, bytes)) = inbox.recv() => self.came(Direction::Down, client, bytes).await,
                command = commands.recv() => match command {
                    Some(Command::Changed) => self.look_at_profile(),
                    Some(Command::Rebind(answer)) => {
                        let moved = self.rebind().await;
                        let _ = answer.send(moved);
                    }
                    None => return,
                },
            }
            self.send_due().await;
            let (up, down) = (self.up.counts, self.down.counts);
            let mut stats = lock(&self.shared.stats);
            (stats.up, stats.down) = (up, down);
        }
    }

    fn look_at_profile(&mut self) {
        let every = lock(&self.shared.profile).rebind_every;
        self.rebind_at = every.map(|every| Instant::now() + every);
    }

    async fn client_sent(&mut self, client: SocketAddr, bytes: &[u8]) {
        match self.flows.get_mut(&client) {
            Some(flow) => flow.last = Instant::now(),
            None => {
                if self.flows.len() >= FLOWS {
                    let quietest = self.flows.iter().min_by_key(|(_, flow)| flow.last).map(|(at, _)| *at);
                    quietest.and_then(|at| self.flows.remove(&at));
                }
                let Ok(flow) = self.flow(client).await else { return };
                self.flows.insert(client, flow);
                lock(&self.shared.stats).flows += 1;
            }
        }
        self.came(Direction::Up, client, bytes.into()).await;
    }

    /// A new socket towards the relay for a client. To a relay on this machine each has an IP address of its own.
    async fn flow(&mut self, client: SocketAddr) -> io::Result<Flow> {
        self.sockets = self.sockets.wrapping_add(1);
        let any: SocketAddr = match self.upstream.ip() {
            IpAddr::V4(relay) if relay.is_loopback() => (Ipv4Addr::new(127, 0, 1, self.sockets), 0).into(),
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = Arc::new(UdpSocket::bind(any).await?);
        socket.connect(self.upstream).await?;
        let reader = tokio::spawn(read(Arc::clone(&socket), client, self.to_inbox.clone()));
        Ok(Flow { socket, reader, last: Instant::now() })
    }

    async fn came(&mut self, direction: Direction, client: SocketAddr, bytes: Arc<[u8]>) {
        let now = Instant::now();
        let faults = *lock(&self.shared.profile).faults(direction);
        let plan = self.lane(direction).came(now, bytes.len(), &faults);
        let number = plan.number;
        for at in [plan.first, plan.second].into_iter().flatten() {
            let datagram = Datagram { direction, client, number, bytes: Arc::clone(&bytes) };
            // What is due waits behind what has been due for longer.
            if at <= now && self.waiting.next_at().is_none_or(|due| due > now) {
                self.send(datagram).await;
            } else if self.waiting.push(at, bytes.len(), datagram) {
                self.lane(direction).waits();
            } else {
                self.lane(direction).overflowed();
            }
        }
    }

    async fn send_due(&mut self) {
        let now = Instant::now();
        if self.rebind_at.is_some_and(|at| at <= now) {
            self.rebind().await;
            self.look_at_profile();
        }
        while let Some(datagram) = self.waiting.pop_due(now) {
            self.send(datagram).await;
        }
    }

    async fn send(&mut self, datagram: Datagram) {
        let Datagram { direction, client, number, bytes } = datagram;
        let sent = match direction {
            Direction::Up => match self.flows.get(&client) {
                // The first error may be about an earlier datagram that nobody took.
                Some(flow) => match flow.socket.send(&bytes).await {
                    Ok(_) => true,
                    Err(_) => flow.socket.send(&bytes).await.is_ok(),
                },
                None => false,
            },
            Direction::Down => self.socket.send_to(&bytes, client).await.is_ok(),
        };
        match sent {
            true => self.lane(direction).left(number, bytes.len()),
            false => self.lane(direction).overflowed(),
        }
    }

    async fn rebind(&mut self) -> usize {
        let clients: Vec<SocketAddr> = self.flows.keys().copied().collect();
        let mut moved = 0;
        for client in clients {
            if let (Ok(mut fresh), Some(flow)) = (self.flow(client).await, self.flows.get_mut(&client)) {
                fresh.last = flow.last;
                *flow = fresh;
                moved += 1;
            }
        }
        lock(&self.shared.stats).rebinds += moved as u64;
        moved
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// Hands on what the relay sends to a client.
async fn read(socket: Arc<UdpSocket>, client: SocketAddr, inbox: mpsc::Sender<(SocketAddr, Arc<[u8]>)>) {
    let mut buffer = vec![0; LARGEST];
    loop {
        // An error says that nobody took an earlier datagram: the relay is away.
        let Ok(count) = socket.recv(&mut buffer).await else { continue };
        if inbox.send((client, buffer[..count].into())).await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
