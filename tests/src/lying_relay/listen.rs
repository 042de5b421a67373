//! The QUIC endpoint, and what a test holds of the relay.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use quinn::Endpoint;
use subrosa_protocol::{EnvelopeId, RelayAddress, frames::OutgoingEnvelope};

use super::{Lies, PATIENCE, Place, RelayKey, Say, State, connection, random, state::Account, state::Device};

/// A running relay. Dropping it ends it.
pub struct LyingRelay {
    endpoint: Endpoint,
    state: Arc<Mutex<State>>,
    /// Its TLS key.
    pub key: RelayKey,
    task: tokio::task::JoinHandle<()>,
}

impl LyingRelay {
    /// A relay that knows nobody.
    pub fn start() -> Self {
        Self::start_with(RelayKey::generate(), (Ipv4Addr::LOCALHOST, 0).into(), State::default())
    }

    /// A relay with this key at this address that knows what it is given.
    pub fn start_with(key: RelayKey, at: SocketAddr, state: State) -> Self {
        let began = Instant::now();
        let endpoint = loop {
            match Endpoint::server(key.server_config(), at) {
                Ok(endpoint) => break endpoint,
                // The one before may hold the port for a moment.
                Err(error) if began.elapsed() > Duration::from_secs(10) => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let state = Arc::new(Mutex::new(state));
        let (accepting, shared) = (endpoint.clone(), Arc::clone(&state));
        let task = tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(connection::serve(incoming, Arc::clone(&shared)));
            }
        });
        Self { endpoint, state, key, task }
    }

    /// Where it listens.
    pub fn at(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    /// Its address, with the fingerprint.
    pub fn address(&self) -> RelayAddress {
        let at = self.at();
        let fingerprint = Some(self.key.fingerprint);
        RelayAddress { host: at.ip().to_string(), port: at.port(), fingerprint }
    }

    /// Looks at, or changes, what it knows.
    pub fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap())
    }

    /// Lets it lie.
    pub fn lie(&self, set: impl FnOnce(&mut Lies)) {
        self.state(|state| set(&mut state.lies));
    }

    /// From now on it tells the truth.
    pub fn be_honest(&self) {
        self.state(|state| state.lies = Lies::default());
    }

    /// Waits until it knows something.
    pub async fn until(&self, what: &str, mut is_so: impl FnMut(&mut State) -> bool) {
        let began = Instant::now();
        while !self.state(&mut is_so) {
            assert!(began.elapsed() < PATIENCE, "it never came to be: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a device has acknowledged everything in its mailbox.
    pub async fn until_dealt_with(&self, account: &str, device: u32) {
        let place = (account.to_owned(), device);
        self.until(&format!("{account}'s mailbox is empty"), |state| {
            state.devices.get(&place).is_some_and(|device| device.mailbox.is_empty())
        })
        .await;
    }

    /// Puts ciphertext of anybody's making into a mailbox, under an id of its own, and waits until it was dealt with.
    pub async fn inject(&self, account: &str, device: u32, sealed: &[u8]) {
        self.state(|state| state.put(&(account.to_owned(), device), envelope(sealed)));
        self.until_dealt_with(account, device).await;
    }

    /// Says something on all connections of a device.
    pub fn say(&self, to: (&str, u32), say: &[Say]) {
        let said = self.state(|state| state.say(&(to.0.to_owned(), to.1), say));
        assert!(said > 0, "{to:?} is not connected");
    }

    /// What it sent on to a device so far, in order.
    pub fn sent_to(&self, from: &str, to: &str) -> Vec<OutgoingEnvelope> {
        self.state(|state| {
            let wanted = |(a, b, _): &&(Place, Place, OutgoingEnvelope)| a.0 == from && b.0 == to;
            state.log.iter().filter(wanted).map(|(_, _, envelope)| envelope.clone()).collect()
        })
    }

    /// Ends all connections, as if it were started anew.
    pub async fn hang_up(&self) {
        let say = Say::Close(0, Vec::new());
        self.state(|state| state.connected.values().for_each(|(_, out)| drop(out.send(say.clone()))));
        self.until("all connections are gone", |state| state.connected.is_empty()).await;
    }

    /// Ends it; what it knew.
    pub async fn stop(self) -> (SocketAddr, State) {
        let at = self.at();
        self.endpoint.close(0u8.into(), b"");
        self.task.abort();
        self.endpoint.wait_idle().await;
        let state = std::mem::take(&mut *self.state.lock().unwrap());
        (at, State { connected: BTreeMap::new(), ..state })
    }

    /// What it knows about people, without connections and lies.
    pub fn snapshot(&self) -> (BTreeMap<String, Account>, BTreeMap<Place, Device>) {
        self.state(|state| (state.accounts.clone(), state.devices.clone()))
    }
}

impl Drop for LyingRelay {
    fn drop(&mut self) {
        self.endpoint.close(0u8.into(), b"");
        self.task.abort();
    }
}

/// An envelope with an id of its own.
pub(super) fn envelope(sealed: &[u8]) -> OutgoingEnvelope {
    let sealed = subrosa_protocol::BoundedBytes::new(sealed).unwrap();
    OutgoingEnvelope { id: EnvelopeId::from_bytes(random()), sealed }
}
