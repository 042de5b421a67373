//! A temporary folder with a relay and profiles in it.

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
};

use crate::{
    ledger::micros,
    person::Person,
    relay::{RelayOptions, RelayProcess},
};

/// Everything of one test. Dropping it ends the relay and removes the folder.
pub struct World {
    /// The relay.
    pub relay: RelayProcess,
    options: RelayOptions,
    folder: tempfile::TempDir,
}

/// Limits lifted for tests that send much; the rates themselves have tests of their own.
pub const FAST: &str = "[limits]\nlift_rates = true\n";

/// A UDP port that stays free while a relay is not running: none of those that the system gives to sockets of clients.
fn port_to_keep() -> u16 {
    let mut port = 20_000 + u16::try_from(micros() % 12_000).unwrap();
    while UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        port = 20_000 + (port - 20_000 + 1) % 12_000;
    }
    port
}

impl World {
    /// A relay with open registration.
    pub fn open() -> Self {
        Self::with(RelayOptions::default())
    }

    /// A relay as asked.
    pub fn with(mut options: RelayOptions) -> Self {
        if options.listen.ends_with(":0") {
            options.listen = format!("127.0.0.1:{}", port_to_keep());
        }
        let folder = tempfile::Builder::new().prefix("subrosa-").tempdir().unwrap();
        let relay = RelayProcess::start(&folder.path().join("relay"), &options);
        Self { relay, options, folder }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the relay again on its old port, after it was ended.
    pub fn restart_relay(&mut self) {
        self.restart_relay_as(self.options.clone());
    }

    /// The same with other options; the port is the old one.
    pub fn restart_relay_as(&mut self, options: RelayOptions) {
        let options = RelayOptions { listen: self.relay.quic.clone(), ..options };
        let data: PathBuf = self.relay.data.clone();
        self.relay = RelayProcess::start(&data, &options);
    }

    /// Somebody with an empty home folder.
    pub fn somebody(&self, name: &str) -> Person {
        Person::new(self.path(), name)
    }

    /// Somebody who has joined this world's relay.
    pub fn joined(&self, name: &str) -> Person {
        let person = self.somebody(name);
        person.join(&self.relay.address).ok();
        person
    }

    /// Two people who have accepted each other.
    pub fn friends(&self, one: &str, other: &str) -> (Person, Person) {
        let (one, other) = (self.joined(one), self.joined(other));
        one.run(&["send", &other.name, "hello"]).ok();
        other.run(&["recv", "--timeout", "10s"]).ok();
        other.run(&["accept", &one.name]).ok();
        one.run(&["recv"]).ok();
        other.run(&["recv"]).ok();
        (one, other)
    }
}
