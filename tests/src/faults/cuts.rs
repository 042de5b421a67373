//! Power fails at moments of a recorded run: what a program finds on the disk then.

use std::path::Path;

use super::{Dice, Disk, Recording};
use crate::report::did;

/// What a run's cuts showed.
#[derive(Debug, Default)]
pub struct Shown {
    /// How many.
    pub cuts: u64,
    /// Changes that had not been synced when power failed, in all.
    pub unsynced: usize,
    /// What was promised before the cuts, in all.
    pub promised: usize,
    /// What was promised and is gone, or stores that do not open or are damaged: a line each.
    pub lost: Vec<String>,
}

impl Shown {
    /// Prints it.
    pub fn tell(&self, what: &str) {
        did(&format!(
            "power cuts, {what}: {} cuts with {} changes unsynced; of {} promises {} were broken",
            self.cuts,
            self.unsynced,
            self.promised,
            self.lost.len()
        ));
    }

    /// Prints it.
    ///
    /// # Panics
    /// When something was lost, or nothing was tried.
    pub fn assert_nothing_lost(&self, what: &str) {
        self.tell(what);
        assert!(self.promised as u64 > self.cuts && self.unsynced > 0, "{self:?}");
        assert!(self.lost.is_empty(), "{what}: {:#?}", self.lost);
    }

    /// Prints it. A test whose control loses nothing is blind.
    ///
    /// # Panics
    /// When nothing was lost.
    pub fn assert_lost(&self, what: &str) {
        self.tell(what);
        assert!(!self.lost.is_empty(), "the control run lost nothing: {self:?}");
    }
}

/// Makes the disk as it could be after each of `cuts` cuts, and lets `look` see it with the time of the cut and whether the
/// cut is one to look at thoroughly.
///
/// # Panics
/// When the recording is not complete.
pub fn cut(
    before: Disk,
    trace: &Path,
    folder: &Path,
    seed: u64,
    cuts: u64,
    mut look: impl FnMut(&Path, u64, &mut Shown, bool),
) -> Shown {
    let events = Recording::read(trace, folder);
    let mut disk = before;
    let mut dice = Dice::new(seed);
    let cuts = cuts.min(events.len() as u64);
    let mut at: Vec<usize> =
        (0..cuts).map(|_| usize::try_from(dice.below(events.len() as u64)).unwrap()).collect();
    at.sort_unstable();
    let mut shown = Shown::default();
    for (number, event) in events.iter().enumerate() {
        disk.apply(event);
        while at.first() == Some(&number) {
            at.remove(0);
            let target = tempfile::tempdir().unwrap();
            shown.cuts += 1;
            shown.unsynced += disk.cut(target.path(), &mut dice);
            let thorough = shown.cuts % 16 == 1;
            look(target.path(), event.time, &mut shown, thorough);
        }
    }
    disk.assert_is(folder);
    shown
}
