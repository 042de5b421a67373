//! Keeping secrets in memory inside the process (R26).

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core dumps and, on Linux, that other processes of this user look into this one. Call it first in `main`.
///
/// # Errors
/// When the system refuses; a program that holds secrets should not go on then.
pub fn harden_process() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r26_no_core_dumps_and_no_attaching() {
        harden_process().unwrap();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
