//! A relay with two people who know each other, made once and copied for each case: what makes a profile expensive is
//! done twice in all.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use subrosa_client::{
    Engine,
    api::{EventBody, Request, WaitFor},
    engine::EngineOptions,
    join::{JoinParams, join},
    net::QuicDial,
    profile::{Locked, ProfilePaths},
};
use subrosa_protocol::{JoinLink, RelayAddress, Username};
use subrosa_tests::{
    chaos::{ChaosProxy, Faults, Profile},
    relay::{RelayOptions, RelayProcess},
    world::FAST,
};
use zeroize::Zeroizing;

use crate::side::Side;

pub(crate) const NAMES: [&str; 2] = ["alice", "bob"];
const PASSPHRASE: &str = "a long enough passphrase";

/// The folder that is copied: `relay`, `alice` and `bob`, all of them closed.
pub(crate) struct Template {
    folder: tempfile::TempDir,
}

/// The copy of one case.
pub(crate) struct World {
    pub(crate) relay: RelayProcess,
    folder: tempfile::TempDir,
}

fn options() -> RelayOptions {
    let args = vec!["--http".into(), "127.0.0.1:0".into()];
    RelayOptions { config: FAST.into(), args, ..RelayOptions::default() }
}

fn paths(folder: &Path, name: &str) -> ProfilePaths {
    ProfilePaths::resolve(Some(&format!("{}/", folder.join(name).display()))).unwrap()
}

fn params(relay: RelayAddress, name: &str) -> JoinParams {
    JoinParams {
        link: JoinLink { relay, invite: None },
        name: Username::new(name).unwrap(),
        display_name: name.to_uppercase(),
        passphrase: Zeroizing::new(PASSPHRASE.into()),
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("subrosa-network-").tempdir().unwrap()
}

impl Template {
    pub(crate) async fn make() -> Self {
        let folder = temporary();
        let at = folder.path().join("relay");
        let mut relay = blocking(move || RelayProcess::start(&at, &options())).await;
        let address: RelayAddress = relay.address.parse().unwrap();
        let join = async |name: &'static str| {
            let joined = join(paths(folder.path(), name), params(address.clone(), name)).await.unwrap();
            Side::of(name, Engine::start(joined.store, EngineOptions::default()).unwrap()).await
        };
        let (alice, bob) = tokio::join!(join(NAMES[0]), join(NAMES[1]));
        alice.send("bob", "hello", WaitFor::Accepted).await;
        bob.until(|body| matches!(body, EventBody::ContactRequested { .. })).await;
        bob.ask(Request::ContactAccept { name: "alice".into() }).await;
        bob.send("alice", "hello", WaitFor::Delivered).await;
        alice.send("bob", "hello again", WaitFor::Delivered).await;
        alice.shutdown().await;
        bob.shutdown().await;
        let status = blocking(move || relay.terminate().0).await;
        assert!(status.success(), "the relay ended with {status}");
        Self { folder }
    }

    pub(crate) async fn copy(&self) -> World {
        let folder = temporary();
        let (from, to) = (self.folder.path().to_path_buf(), folder.path().to_path_buf());
        let relay = blocking(move || {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(from.join(".")).arg(&to);
            assert!(copy.status().unwrap().success());
            RelayProcess::start(&to.join("relay"), &options())
        });
        World { relay: relay.await, folder }
    }
}

/// Joins a new relay through a network with faults; how long that took.
pub(crate) async fn join_over(seed: u64, faults: Faults) -> Duration {
    let folder = temporary();
    let at = folder.path().join("relay");
    let relay = blocking(move || RelayProcess::start(&at, &options())).await;
    let proxy = ChaosProxy::start(seed, relay.quic.parse().unwrap(), Profile::both(faults)).await.unwrap();
    let mut address: RelayAddress = relay.address.parse().unwrap();
    (address.host, address.port) = ("127.0.0.1".into(), proxy.address().port());
    let params = params(address, "alice");
    let began = Instant::now();
    join(paths(folder.path(), "alice"), params).await.unwrap();
    began.elapsed()
}

impl World {
    /// Starts somebody's engine; it finds the relay at this port.
    pub(crate) async fn side(&self, name: &'static str, port: u16) -> Side {
        let locked = Locked::acquire(paths(self.folder.path(), name)).unwrap();
        let store = blocking(move || locked.open(PASSPHRASE.as_bytes())).await.unwrap();
        let mut at: RelayAddress = self.relay.address.parse().unwrap();
        (at.host, at.port) = ("127.0.0.1".into(), port);
        let dial = Some(Box::new(QuicDial::new(at)) as Box<_>);
        Side::of(name, Engine::start(store, EngineOptions { dial, ..EngineOptions::default() }).unwrap())
            .await
    }

    /// Starts the relay again at its old address.
    pub(crate) async fn restart(&mut self) {
        let options = RelayOptions { listen: self.relay.quic.clone(), ..options() };
        let data = self.relay.data.clone();
        self.relay = blocking(move || RelayProcess::start(&data, &options)).await;
    }

    /// One of the relay's counters.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let at = self.relay.http.clone().unwrap();
        let text = blocking(move || metrics(&at)).await;
        let line = text.lines().find(|line| line.starts_with(name) && line[name.len()..].starts_with(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))[name.len()..].trim().parse().unwrap()
    }
}

fn metrics(at: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

pub(crate) async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.unwrap()
}
