//! This device's KeyPackages on the relay: refilled, renewed, uploaded only once their secrets are stored (R21, R35).

use std::collections::BTreeMap;

use subrosa_protocol::frames::{Empty, KeyPackageCounts, Request, Response};
use subrosa_rooms::{Suite, key_packages};

use super::{
    super::{Core, Fault, Turn},
    RoomAsked,
    mls::fault,
};
use crate::{
    key_packages::upload,
    limits::{REFILL_EVERY_MS, UPKEEP_EVERY_MS},
};

/// What the relay has of a suite.
#[derive(Debug, Clone, Copy)]
struct Count {
    left: u32,
    last_resort: bool,
    used: bool,
}

/// KeyPackages on their way.
#[derive(Debug, Default)]
pub(in crate::core) struct Uploads {
    /// What the relay has, as it said last.
    counts: Option<BTreeMap<u16, Count>>,
    asking: bool,
    /// When to look next.
    look_at: u64,
}

impl Uploads {
    pub(super) fn on_down(&mut self) {
        *self = Self::default();
    }

    /// The relay tells what is left.
    pub(super) fn told(&mut self, counts: &KeyPackageCounts) {
        let counts = counts.suites.iter().map(|count| {
            let found =
                Count { left: count.left, last_resort: count.last_resort, used: count.last_resort_used };
            (count.suite, found)
        });
        self.counts = Some(counts.collect());
        self.look_at = 0;
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        (!self.asking).then_some(self.look_at)
    }
}

impl Core {
    pub(super) fn pump_key_packages(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.rooms.uploads.asking || self.rooms.uploads.look_at > turn.now {
            return Ok(());
        }
        let Some(counts) = self.rooms.uploads.counts.clone() else {
            self.rooms.uploads.asking = true;
            let asked = RoomAsked::Upload { suite: 0 };
            return self.ask_room(turn, asked, &Request::KeyPackageStatus(Empty {}));
        };
        for suite in Suite::ALL {
            let none = Count { left: 0, last_resort: false, used: false };
            let count = counts.get(&suite.code()).copied().unwrap_or(none);
            let refill = key_packages::refill(usize::try_from(count.left).unwrap_or(usize::MAX));
            let last_resort = !count.last_resort || count.used;
            if refill == 0 && !last_resort {
                continue;
            }
            let upload = self.transact(turn, |w| {
                let (leaf, tx) = (w.leaf()?, w.tx);
                upload(tx, &mut w.rng, leaf, suite, (refill, last_resort), w.now).map_err(fault)
            })?;
            self.rooms.uploads.asking = true;
            let asked = RoomAsked::Upload { suite: suite.code() };
            return self.ask_room(turn, asked, &Request::KeyPackageUpload(upload));
        }
        self.rooms.uploads.look_at = turn.now.saturating_add(UPKEEP_EVERY_MS);
        Ok(())
    }

    pub(super) fn on_packages_uploaded(
        &mut self,
        turn: &mut Turn<'_>,
        suite: u16,
        response: &Response,
    ) -> Result<(), Fault> {
        self.rooms.uploads.asking = false;
        match response {
            Response::KeyPackageCounts(counts) => {
                let before = self.rooms.uploads.counts.clone();
                self.rooms.uploads.told(counts);
                let left = |counts: &Option<BTreeMap<u16, Count>>| {
                    counts.as_ref().and_then(|counts| counts.get(&suite)).map_or(0, |count| count.left)
                };
                // A relay that takes none is not given one after the other.
                if suite != 0 && left(&self.rooms.uploads.counts) <= left(&before) {
                    self.rooms.uploads.look_at = turn.now.saturating_add(REFILL_EVERY_MS);
                }
            }
            _ => {
                tracing::warn!("the relay did not take KeyPackages");
                self.rooms.uploads.look_at = turn.now.saturating_add(REFILL_EVERY_MS);
            }
        }
        Ok(())
    }
}
