//! Faults of the machine: failing system calls, full disks, lost power.
