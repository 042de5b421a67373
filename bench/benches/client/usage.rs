//! CPU time, memory and writes of a process, from /proc.

use std::{fs, path::Path};

/// What a process used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// CPU time of its threads that live, in ns.
    pub(crate) cpu_ns: u64,
    /// Times one of them stopped to wait.
    pub(crate) waits: u64,
    /// Bytes handed to the disk.
    pub(crate) written: u64,
}

impl Usage {
    /// Of a process, by its id.
    pub(crate) fn of(pid: u32) -> Self {
        let mut usage =
            Self { written: number(&format!("/proc/{pid}/io"), "write_bytes:"), ..Self::default() };
        for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            let path = |file: &str| task.path().join(file).display().to_string();
            let schedule = fs::read_to_string(path("schedstat")).unwrap_or_default();
            usage.cpu_ns += schedule.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
            usage.waits += number(&path("status"), "voluntary_ctxt_switches:");
        }
        usage
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            waits: self.waits.saturating_sub(before.waits),
            written: self.written.saturating_sub(before.written),
        }
    }

    /// Milliseconds of CPU time for 1,000 of `count`.
    pub(crate) fn ms_per_thousand(self, count: u64) -> f64 {
        self.cpu_ns as f64 / 1e3 / count as f64
    }
}

/// CPU time of the calling thread so far, in ns.
pub(crate) fn this_thread_ns() -> u64 {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedule.split(' ').next().unwrap().parse().unwrap()
}

/// Resident memory and this process's share of it (PSS), in KiB.
pub(crate) fn memory_kib(pid: u32) -> (u64, u64) {
    let rollup = format!("/proc/{pid}/smaps_rollup");
    (number(&rollup, "Rss:"), number(&rollup, "Pss:"))
}

/// Threads of a process.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).map_or(0, Iterator::count)
}

fn number(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
