//! A disk that keeps what was synced, and of the rest whatever a seed says.
//!
//! A file has what is on the disk and, in order, the changes since its last sync. A folder has the names on the disk and
//! the changes of names since its last sync, of which a first part may have got there (file systems keep them in order).
//! After a sync that failed the changes before it are lost for good, although whoever reads the file goes on seeing
//! them: that is what Linux does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    Dice, Event,
    recording::{Change, is_data},
};

/// What a disk writes as a whole.
const SECTOR: u64 = 512;

/// The files of one folder.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    folder: PathBuf,
    files: Vec<File>,
    /// Names as programs see them.
    seen: BTreeMap<PathBuf, usize>,
    /// Names on the disk.
    kept: BTreeMap<PathBuf, usize>,
    /// Changes of names since the folder's last sync.
    names: Vec<Name>,
}

#[derive(Debug, Clone, Default)]
struct File {
    seen: Vec<u8>,
    kept: Vec<u8>,
    /// Changes since the last sync, and the lines on which they were complete.
    pending: Vec<(u64, Data)>,
    /// Where `write` goes on.
    position: u64,
    /// Places of writes in whose midst the process died: whoever reads the file sees the old or the new.
    unsure: Vec<std::ops::Range<usize>>,
}

#[derive(Debug, Clone)]
enum Data {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Clone)]
enum Name {
    Add(PathBuf, usize),
    Remove(PathBuf),
}

impl Disk {
    /// The files that are in the folder now, all on the disk.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self { folder: folder.to_owned(), ..Self::default() };
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && is_data(&path, folder) {
                let bytes = std::fs::read(&path).unwrap();
                disk.seen.insert(path, disk.files.len());
                disk.files.push(File { seen: bytes.clone(), kept: bytes, ..File::default() });
            }
        }
        disk.kept = disk.seen.clone();
        disk
    }

    /// One change happens.
    pub fn apply(&mut self, event: &Event) {
        match &event.change {
            Change::Open { path, cut } => {
                let file = self.file(path);
                self.files[file].position = 0;
                if *cut {
                    self.files[file].change(event.ended, Data::Length(0));
                }
            }
            Change::Write { path, at, data, sure } => {
                let file = self.file(path);
                let at = at.unwrap_or(self.files[file].position);
                self.files[file].position = at + data.len() as u64;
                if !sure {
                    let from = usize::try_from(at).unwrap();
                    self.files[file].unsure.push(from..from + data.len());
                }
                self.files[file].change(event.ended, Data::Write(at, data.clone()));
            }
            Change::Length { path, bytes } => {
                let file = self.file(path);
                self.files[file].change(event.ended, Data::Length(*bytes));
            }
            Change::Sync { path } if *path == self.folder => {
                for name in std::mem::take(&mut self.names) {
                    name.apply(&mut self.kept);
                }
            }
            Change::Sync { path } => {
                let file = self.file(path);
                self.files[file].sync(event.began, true);
            }
            Change::SyncFailed { path } if *path == self.folder => {}
            Change::SyncFailed { path } => {
                let file = self.file(path);
                self.files[file].sync(event.began, false);
            }
            Change::Unlink { path } => self.rename(Name::Remove(path.clone())),
            Change::Rename { from, to } => {
                let file = self.file(from);
                self.rename(Name::Add(to.clone(), file));
                self.rename(Name::Remove(from.clone()));
            }
        }
    }

    fn file(&mut self, path: &Path) -> usize {
        if let Some(file) = self.seen.get(path) {
            return *file;
        }
        self.files.push(File::default());
        self.rename(Name::Add(path.to_owned(), self.files.len() - 1));
        self.files.len() - 1
    }

    fn rename(&mut self, name: Name) {
        name.clone().apply(&mut self.seen);
        self.names.push(name);
    }

    /// Whether the files are what programs saw at the end of the recording: the proof that nothing was missed.
    ///
    /// # Panics
    /// When they are not.
    pub fn assert_is(&self, folder: &Path) {
        let now = Self::of(folder);
        let names = |disk: &Self| disk.seen.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(&now), "the recording is not complete");
        for (path, file) in &self.seen {
            let real = &now.files[now.seen[path]].seen;
            let seen = &self.files[*file].seen;
            let unsure = &self.files[*file].unsure;
            let known = |place: &usize| !unsure.iter().any(|range| range.contains(place));
            let longest = 0..seen.len().max(real.len());
            let differs = if seen == real {
                None
            } else {
                longest.into_iter().filter(known).find(|n| seen.get(*n) != real.get(*n))
            };
            assert!(
                differs.is_none(),
                "the recording of {} is not complete: {} bytes, really {}, differs at {differs:?}",
                path.display(),
                seen.len(),
                real.len()
            );
        }
    }

    /// Writes into `target` what the disk holds when power fails now. Tells how many changes were pending.
    pub fn cut(&self, target: &Path, dice: &mut Dice) -> usize {
        let mut names = self.kept.clone();
        let survive = usize::try_from(dice.below(self.names.len() as u64 + 1)).unwrap();
        for name in &self.names[..survive] {
            name.clone().apply(&mut names);
        }
        let mut pending = self.names.len();
        for (path, file) in names {
            let file = &self.files[file];
            pending += file.pending.len();
            std::fs::write(target.join(path.file_name().unwrap()), file.cut(dice)).unwrap();
        }
        pending
    }
}

impl File {
    fn change(&mut self, at: u64, data: Data) {
        data.apply(&mut self.seen);
        self.pending.push((at, data));
    }

    /// What was complete before the sync began is on the disk now; or lost, when it failed.
    fn sync(&mut self, began: u64, kept: bool) {
        for (at, data) in std::mem::take(&mut self.pending) {
            if at > began {
                self.pending.push((at, data));
            } else if kept {
                data.apply(&mut self.kept);
            }
        }
    }

    /// What is on the disk when power fails: of the pending changes none, all, the first ones, any, or any sectors.
    fn cut(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.kept.clone();
        let how = dice.below(5);
        let first = dice.below(self.pending.len() as u64 + 1);
        for (number, (_, data)) in self.pending.iter().enumerate() {
            match (how, data) {
                (0, _) => {}
                (1, data) => data.apply(&mut bytes),
                (2, data) if (number as u64) < first => data.apply(&mut bytes),
                (3, data) if dice.coin() => data.apply(&mut bytes),
                (4, Data::Write(at, written)) => {
                    for (from, sector) in sectors(*at, written) {
                        if dice.coin() {
                            Data::Write(from, sector.to_vec()).apply(&mut bytes);
                        }
                    }
                }
                (4, data) if dice.coin() => data.apply(&mut bytes),
                _ => {}
            }
        }
        bytes
    }
}

/// A write in the pieces that a disk writes as a whole.
fn sectors(at: u64, mut data: &[u8]) -> Vec<(u64, &[u8])> {
    let (mut from, mut pieces) = (at, Vec::new());
    while !data.is_empty() {
        let room = usize::try_from(SECTOR - from % SECTOR).unwrap().min(data.len());
        let (piece, rest) = data.split_at(room);
        pieces.push((from, piece));
        from += room as u64;
        data = rest;
    }
    pieces
}

impl Data {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let at = usize::try_from(*at).unwrap();
                if bytes.len() < at + data.len() {
                    bytes.resize(at + data.len(), 0);
                }
                bytes[at..at + data.len()].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        }
    }
}

impl Name {
    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Add(path, file) => names.insert(path, file),
            Self::Remove(path) => names.remove(&path),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, change: Change) -> Event {
        Event { began: time, ended: time, time, change }
    }

    /// Everything that the folder may hold after a power cut, over many seeds.
    fn cuts(disk: &Disk) -> Vec<BTreeMap<String, Vec<u8>>> {
        let seeds = 0..200;
        let cut = |seed| {
            let target = tempfile::tempdir().unwrap();
            disk.cut(target.path(), &mut Dice::new(seed));
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            let entries = std::fs::read_dir(target.path()).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| (name(path.clone()), std::fs::read(path).unwrap())).collect()
        };
        seeds.map(cut).collect()
    }

    #[test]
    fn what_was_synced_is_kept_and_the_rest_may_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [1; 600]).unwrap();
        let mut disk = Disk::of(folder.path());
        let write =
            |data: u8| Change::Write { path: path.clone(), at: Some(500), data: vec![data; 100], sure: true };
        disk.apply(&event(1, write(2)));
        assert!(cuts(&disk).iter().any(|files| files["a"][500..] == [1; 100]));
        assert!(cuts(&disk).iter().any(|files| files["a"][500..] == [2; 100]));
        let torn = [vec![2; 12], vec![1; 88]].concat();
        assert!(cuts(&disk).iter().any(|files| files["a"][500..] == torn[..]));
        disk.apply(&event(5, Change::Sync { path: path.clone() }));
        assert!(cuts(&disk).iter().all(|files| files["a"][500..] == [2; 100]));
        // Lost by a failed sync: a later one does not bring it back.
        disk.apply(&event(10, write(3)));
        disk.apply(&event(15, Change::SyncFailed { path: path.clone() }));
        disk.apply(&event(20, Change::Sync { path: path.clone() }));
        assert!(cuts(&disk).iter().all(|files| files["a"][500..] == [2; 100]));
        assert_eq!(disk.files[0].seen[500..], [3; 100]);
    }

    #[test]
    fn a_name_is_on_the_disk_after_the_folder_was_synced() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::of(folder.path());
        let path = folder.path().join("a");
        disk.apply(&event(1, Change::Open { path: path.clone(), cut: false }));
        disk.apply(&event(2, Change::Sync { path: path.clone() }));
        assert!(cuts(&disk).iter().any(BTreeMap::is_empty));
        disk.apply(&event(3, Change::Sync { path: folder.path().to_owned() }));
        assert!(cuts(&disk).iter().all(|files| files.len() == 1));
        disk.apply(&event(4, Change::Rename { from: path, to: folder.path().join("b") }));
        assert!(cuts(&disk).iter().any(|files| files.contains_key("a")));
        assert!(cuts(&disk).iter().any(|files| files.contains_key("b") && files.len() == 1));
    }
}
