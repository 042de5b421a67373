//! What a running relay looks after by itself: disk, clock, certificate files, expiry (R57, R44).

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    core::Core,
    limits::{CLOCK_JUMP_S, EXPIRE_S, SELF_CHECK_S},
    store::Timestamp,
    tls::Certificate,
};

/// Rounds of expiry in one run, at most; the rest waits for the next run.
const EXPIRE_ROUNDS: u32 = 1_000;
/// Looks at the certificate files: one in so many self-checks.
const RELOAD_EVERY: u32 = 12;

/// Free bytes for this user on the file system of `path`.
///
/// # Errors
/// What the system says.
pub(crate) fn disk_free(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Sets or clears the relay's refusal of new things.
pub(crate) fn check_disk(core: &Core, data: &Path) {
    let full = match disk_free(data) {
        Ok(free) => free < core.limits.disk_free_min,
        Err(error) => {
            tracing::warn!(%error, "cannot tell how much of the disk is free");
            return;
        }
    };
    if core.storage_full.swap(full, Ordering::Relaxed) != full {
        if full {
            core.metrics.storage_full.inc();
            tracing::error!(
                "the disk is nearly full: messages are delivered, nothing new is accepted; make room"
            );
        } else {
            tracing::info!("the disk has room again: everything is accepted");
        }
    }
}

/// Looks at disk, clock and certificate until the relay stops.
pub(crate) async fn watch(core: Arc<Core>, data: PathBuf, certificate: Arc<Certificate>) {
    let mut ticks = interval(Duration::from_secs(SELF_CHECK_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut steady, mut clock, mut round) = (Instant::now(), core.now(), 0u32);
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        check_disk(&core, &data);
        core.held.sweep(Instant::now());
        let (steady_now, clock_now) = (Instant::now(), core.now());
        if jumped(clock, clock_now, steady_now.duration_since(steady)) {
            tracing::warn!(
                "the system clock jumped by more than {CLOCK_JUMP_S} s: times of messages will show it"
            );
        }
        (steady, clock, round) = (steady_now, clock_now, round.wrapping_add(1));
        if round % RELOAD_EVERY == 0 {
            reload(&certificate);
        }
    }
}

/// Whether a clock went by more or less than the time that passed (R57).
fn jumped(before: Timestamp, after: Timestamp, passed: Duration) -> bool {
    let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    after.abs_diff(before.saturating_add(passed)) > CLOCK_JUMP_S * 1000
}

/// Reads the certificate again and logs what came of it.
pub(crate) fn reload(certificate: &Certificate) {
    let before = certificate.fingerprint();
    match certificate.reload() {
        Ok(false) => {}
        Ok(true) if certificate.fingerprint() == before => tracing::info!("the certificate was read again"),
        Ok(true) => {
            tracing::warn!(
                "the relay's key changed: clients that pin the old fingerprint will refuse to connect"
            );
        }
        Err(error) => {
            tracing::error!(%error, "the certificate could not be read again; the old one stays in use")
        }
    }
}

/// Deletes what is too old, until the relay stops.
pub(crate) async fn expire(core: Arc<Core>) {
    let mut ticks = interval(Duration::from_secs(EXPIRE_S));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for _ in 0..EXPIRE_ROUNDS {
            match core.store.expire(core.now()).await {
                Ok(expired) => {
                    core.metrics.envelopes_expired.inc_by(expired.envelopes);
                    if !expired.more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "expiry failed; it is tried again in {EXPIRE_S} s");
                    break;
                }
            }
        }
        for _ in 0..EXPIRE_ROUNDS {
            match core.store.expire_rooms(core.now()).await {
                Ok(expired) => {
                    core.metrics.room_entries_deleted.inc_by(expired.entries);
                    if !expired.more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "expiry of rooms failed; it is tried again in {EXPIRE_S} s");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r57_a_clock_that_jumps_more_than_five_minutes_is_noticed() {
        let (start, passed) = (1_000_000_000, Duration::from_secs(5));
        for (after, seen) in [
            (start + 5_000, false),
            (start + 304_000, false),
            (start + 306_000, true),
            (start - 294_000, false),
            (start - 296_000, true),
            (0, true),
            (u64::MAX, true),
        ] {
            assert_eq!(jumped(start, after, passed), seen, "{after}");
        }
    }

    #[test]
    fn free_space_is_known_and_a_path_that_is_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(disk_free(dir.path()).unwrap() > 0);
        assert!(disk_free(&dir.path().join("none")).is_err());
    }
}
