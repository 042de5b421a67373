//! What a measurement stands on: programs, cores, a folder, a runtime, people with accounts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use subrosa_bench::{
    client::Client,
    machine,
    person::{Passphrase, Person},
    process::{Cpu, Process},
    tls,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::Common;

/// Registrations over one connection, which has its time for them.
const REGISTRATIONS: usize = 20;

pub(crate) struct Bed {
    programs: PathBuf,
    core: usize,
    parent: PathBuf,
    pub(crate) time: Duration,
}

/// A relay and the folder it is in.
pub(crate) struct Relay {
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
}

impl Bed {
    pub(crate) fn new(common: &Common) -> Self {
        let beside = || std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
        Self {
            programs: common.programs.clone().unwrap_or_else(beside),
            core: common.server_core.min(machine::cores() - 1),
            parent: common.dir.clone().unwrap_or_else(std::env::temp_dir),
            time: Duration::from_secs(common.seconds.max(1)),
        }
    }

    /// One thread, for the generator has one core.
    pub(crate) fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    pub(crate) fn relay(&self) -> Relay {
        let folder = self.folder();
        Relay { process: Process::rosad(&self.programs, folder.path(), Some(self.core)), folder }
    }

    pub(crate) fn echo(&self) -> Process {
        Process::echo(&self.programs, Some(self.core))
    }

    pub(crate) fn broadcast(&self) -> Process {
        Process::broadcast(&self.programs, Some(self.core))
    }

    pub(crate) fn folder(&self) -> TempDir {
        tempfile::Builder::new().prefix("subrosa-bench-").tempdir_in(&self.parent).unwrap()
    }

    pub(crate) fn server_core(&self) -> usize {
        self.core
    }

    /// The file system of the data.
    pub(crate) fn disk(&self) -> String {
        let path = self.parent.canonicalize().unwrap_or_else(|_| self.parent.clone());
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let best = mounts
            .lines()
            .filter_map(|line| {
                let mut fields = line.split(' ');
                let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
                path.starts_with(Path::new(at)).then(|| (at.len(), kind.to_owned()))
            })
            .max();
        best.map_or_else(|| "an unknown file system".into(), |(_, kind)| kind)
    }

    /// Waits for a second, then measures what a process uses while so much time passes.
    pub(crate) async fn measure<T>(
        &self,
        process: &Process,
        begin: impl FnOnce(),
        end: impl FnOnce() -> T,
    ) -> (T, Cpu, Duration) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = process.cpu();
        let began = std::time::Instant::now();
        begin();
        tokio::time::sleep(self.time).await;
        let result = end();
        (result, process.cpu().since(before), began.elapsed())
    }
}

impl Relay {
    /// Registers people with names that begin with `prefix`.
    pub(crate) async fn people(&self, prefix: &str, count: usize, passphrase: &Passphrase) -> Vec<Person> {
        let endpoint = tls::endpoint();
        let mut people = Vec::with_capacity(count);
        while people.len() < count {
            let mut client = Client::connect(&endpoint, self.process.quic).await;
            for _ in 0..REGISTRATIONS.min(count - people.len()) {
                let person = Person::new(&format!("{prefix}{}", people.len()));
                person.register(&mut client, passphrase).await;
                people.push(person);
            }
            client.connection.close(0u32.into(), b"");
        }
        people
    }
}
