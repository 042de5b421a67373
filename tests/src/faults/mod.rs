//! Faults of the machine: kills at chosen moments, failing system calls, full disks, lost power.
//!
//! | module | what it holds |
//! |---|---|
//! | [`dice`] | choices that a seed repeats, and settings from the environment |
//! | [`strace`] | a program under `strace`: killed at a system call, lied to, or recorded |
//! | [`recording`] | what `strace` wrote down, as writes and syncs of files |
//! | [`disk`] | a disk that keeps what was synced, and of the rest whatever a seed says |
//! | [`cuts`] | power failing at moments of a recorded run |
//! | [`small_disk`] | a small file system of its own, to fill up or to make read-only |
//! | [`side`] | a client that keeps a ledger and is made to be killed |
//! | [`stores`] | looking into the stores that a killed program left |

pub mod cuts;
pub mod dice;
pub mod disk;
pub mod recording;
pub mod side;
pub mod small_disk;
pub mod stores;
pub mod strace;

pub use cuts::{Shown, cut};
pub use dice::{Dice, setting};
pub use disk::Disk;
pub use recording::{Event, Recording};
pub use side::Side;
pub use small_disk::SmallDisk;
