//! Memory, time and counters of a relay process.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::relay::RelayProcess;

/// Bytes of a MiB.
pub const MIB: u64 = 1024 * 1024;

/// Looks at one relay process, whose configuration serves `/metrics`.
#[derive(Debug, Clone)]
pub struct Gauge {
    pid: u32,
    http: SocketAddr,
}

impl Gauge {
    /// Of a relay.
    pub fn of(relay: &RelayProcess) -> Self {
        let http = relay.http.as_deref().expect("the relay's configuration serves /metrics");
        Self { pid: relay.pid(), http: http.parse().unwrap() }
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the relay runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Processor time it took so far, in seconds.
    pub fn cpu(&self) -> f64 {
        Self::seconds_of(self.pid)
    }

    /// Processor time a process took so far, in seconds.
    pub fn seconds_of(pid: u32) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u32 = [11, 12].map(|index: usize| fields[index].parse::<u32>().unwrap()).iter().sum();
        f64::from(ticks) / 100.0
    }

    /// Everything it counts.
    pub fn metrics(&self) -> String {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(10)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// One counter, `name` or `name{kind="..."}`; 0 when nothing was counted.
    pub fn count(&self, name: &str) -> u64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// No connection of the relay ended by a panic (R9).
    #[track_caller]
    pub fn no_panics(&self) {
        let text = self.metrics();
        assert!(text.contains("rosad_panics_total 0"), "a connection of the relay panicked:\n{text}");
    }
}

/// Bytes as MiB, for people.
pub fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB)
}
