//! Pushes to those who are in a room, in the order of its log.
//!
//! An entry is stored once and encoded once; every connection of the roster gets the same bytes. Senders run side by side,
//! so the wake-up for entry 8 may come before the one for 7: one that is early waits a little. A room's roster is read from
//! the store when the room is first written to, and changed by the commits that are pushed, in their place; whatever
//! changes it otherwise (joining, leaving, a gap in the wake-ups) makes it be read again. Entries that were stored before it was
//! read go out as their wake-ups come, in any order: a push is a hint, and clients go by `seq`.
//!
//! Memory: about 100 bytes a device of a room that was written to lately, and 500 a room; at most
//! [`FANOUT_DEVICES`] and [`FANOUT_ROOMS`], the ones that were not used for the longest time go first.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use subrosa_protocol::{
    RoomId,
    frames::{Push, RoomDeliver, RoomDevice, RoomEntry, RoomEphemeral, RoomHint},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{
    bus::{RoomPush, Signal},
    core::Core,
    handlers::wire,
    limits::{FANOUT_DEVICES, FANOUT_ROOMS, PUSHES_OUT_OF_ORDER},
};

/// How long an early push waits for the ones before it.
const PATIENCE: Duration = Duration::from_millis(200);
/// Entries that wait while a roster is read.
const WAITING: usize = 256;
/// How long somebody waits for a roster to be read.
const LOADING: Duration = Duration::from_secs(5);

/// The rooms that were written to lately.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    rooms: Mutex<HashMap<RoomId, Arc<Room>>>,
    clock: AtomicU64,
    devices: AtomicUsize,
}

#[derive(Debug)]
struct Room {
    live: Mutex<Live>,
    loaded: Notify,
    used: AtomicU64,
}

#[derive(Debug)]
enum Live {
    /// The roster is being read.
    Loading {
        waiting: Vec<Publication>,
        /// It changed meanwhile: read it once more.
        again: bool,
    },
    Ready(Ready),
    /// There is no such room.
    Gone,
}

#[derive(Debug)]
struct Ready {
    devices: HashSet<RoomDevice>,
    /// The `seq` to be pushed next.
    next: u64,
    early: BTreeMap<u64, Publication>,
}

/// An entry to be pushed.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    seq: u64,
    push: Arc<RoomPush>,
    /// Who sent it, and knows from the answer.
    except: RoomDevice,
    removed: Vec<RoomDevice>,
    /// Who joined by it.
    joined: Option<RoomDevice>,
    /// It changes more than is told here.
    changes_all: bool,
}

impl Publication {
    /// Of a new entry; `None` when it fits no frame.
    pub(crate) fn new(
        core: &Core,
        room: RoomId,
        entry: RoomEntry,
        from: RoomDevice,
        joined: bool,
    ) -> Option<Self> {
        let seq = entry.seq;
        let hint = wire(&Push::RoomHint(RoomHint { room, seq }))?;
        let removed = entry.delta.as_ref().map(|delta| delta.removed.to_vec()).unwrap_or_default();
        let changes_all = matches!(entry.body, subrosa_protocol::frames::EntryBody::Reboot(_));
        let frame = wire(&Push::RoomDeliver(RoomDeliver { room, entry: Box::new(entry) }))?;
        let joined = joined.then(|| from.clone());
        let push = Arc::new(RoomPush::new(frame, hint, &core.buffers));
        Some(Self { seq, push, except: from, removed, joined, changes_all })
    }
}

/// Pushes an entry to everybody in the room but its sender's device.
pub(crate) fn publish(core: &Arc<Core>, room: RoomId, publication: Publication) {
    let live = core.rooms.find(core, room);
    let mut state = lock(&live.live);
    match &mut *state {
        Live::Gone => {}
        // Beyond the bound it is left out: clients see by `seq` that it is missing.
        Live::Loading { waiting, .. } if waiting.len() >= WAITING => {}
        Live::Loading { waiting, .. } => waiting.push(publication),
        Live::Ready(ready) => {
            let gap = !ready.early.is_empty();
            let reload = ready.accept(core, publication);
            if reload {
                drop(state);
                changed(core, room);
            } else if !gap && !ready.early.is_empty() {
                tokio::spawn(wait_for_gap(Arc::clone(core), room, ready.next));
            }
        }
    }
}

/// The roster changed without a commit: it is read again.
pub(crate) fn changed(core: &Arc<Core>, room: RoomId) {
    let Some(live) = lock(&core.rooms.rooms).get(&room).cloned() else { return };
    let mut state = lock(&live.live);
    match &mut *state {
        Live::Gone => {}
        Live::Loading { again, .. } => *again = true,
        Live::Ready(ready) => {
            let waiting = std::mem::take(&mut ready.early).into_values().collect();
            core.rooms.devices.fetch_sub(ready.devices.len(), Ordering::Relaxed);
            *state = Live::Loading { waiting, again: false };
            drop(state);
            tokio::spawn(load(Arc::clone(core), room, live));
        }
    }
}

/// To everybody in the room but the sender, who must be in it. `false`: it is not, or there is no such room.
pub(crate) async fn signal(core: &Arc<Core>, signal: RoomEphemeral, from: &RoomDevice) -> bool {
    let room = signal.room;
    let Some(frame) = wire(&Push::RoomSignal(signal)) else { return false };
    let sent = when_ready(core, room, |ready| {
        let inside = ready.devices.contains(from);
        if inside {
            ready.send(core, from, &Signal::Push(frame.clone()));
        }
        inside
    });
    sent.await.unwrap_or(false)
}

/// Tells everybody in the room but one device, once the roster is known.
pub(crate) fn tell(core: &Arc<Core>, room: RoomId, frame: Bytes, except: RoomDevice) {
    let core = Arc::clone(core);
    tokio::spawn(async move {
        when_ready(&core, room, |ready| ready.send(&core, &except, &Signal::Push(frame.clone()))).await
    });
}

/// What is to be done with a room's roster, once it is read. `None`: there is no such room, or reading takes too long.
async fn when_ready<T>(core: &Arc<Core>, room: RoomId, work: impl Fn(&Ready) -> T) -> Option<T> {
    let done = timeout(LOADING, async {
        loop {
            let live = core.rooms.find(core, room);
            let loaded = live.loaded.notified();
            match &*lock(&live.live) {
                Live::Gone => return None,
                Live::Ready(ready) => return Some(work(ready)),
                Live::Loading { .. } => {}
            }
            loaded.await;
        }
    });
    done.await.ok().flatten()
}

/// The room is gone: nothing is pushed to it any more.
pub(crate) fn gone(core: &Arc<Core>, room: RoomId) {
    core.rooms.forget(room);
}

async fn wait_for_gap(core: Arc<Core>, room: RoomId, missing: u64) {
    sleep(PATIENCE).await;
    let Some(live) = lock(&core.rooms.rooms).get(&room).cloned() else { return };
    let stuck = match &mut *lock(&live.live) {
        Live::Ready(ready) if ready.next == missing && !ready.early.is_empty() => {
            ready.give_up(&core);
            true
        }
        _ => false,
    };
    if stuck {
        changed(&core, room);
    }
}

async fn load(core: Arc<Core>, room: RoomId, live: Arc<Room>) {
    loop {
        let read = core.store.room_joined(room).await;
        let mut state = lock(&live.live);
        let Live::Loading { waiting, again } = &mut *state else { return };
        if std::mem::take(again) {
            continue;
        }
        let waiting = std::mem::take(waiting);
        match read {
            Ok(Some(joined)) => {
                let devices: HashSet<RoomDevice> = joined.devices.into_iter().collect();
                core.rooms.devices.fetch_add(devices.len(), Ordering::Relaxed);
                let mut ready = Ready { devices, next: joined.head + 1, early: BTreeMap::new() };
                let mut waiting = waiting;
                waiting.sort_by_key(|publication| publication.seq);
                let mut reload = false;
                for publication in waiting {
                    reload |= ready.accept(&core, publication);
                }
                let (gap, missing) = (!ready.early.is_empty(), ready.next);
                *state = Live::Ready(ready);
                drop(state);
                if gap {
                    tokio::spawn(wait_for_gap(Arc::clone(&core), room, missing));
                }
                live.loaded.notify_waiters();
                if reload {
                    changed(&core, room);
                }
                core.rooms.make_room(room);
            }
            // No such room; or a store that fails, and then nobody is pushed to: a push is a hint.
            Ok(None) | Err(_) => {
                *state = Live::Gone;
                drop(state);
                core.rooms.forget(room);
                live.loaded.notify_waiters();
            }
        }
        return;
    }
}

impl Ready {
    /// `true`: the roster must be read again.
    fn accept(&mut self, core: &Core, publication: Publication) -> bool {
        if publication.seq < self.next {
            // The roster that was read is younger.
            self.push(core, &publication);
            return false;
        }
        self.early.insert(publication.seq, publication);
        let mut reload = false;
        while let Some(next) = self.early.remove(&self.next) {
            self.next += 1;
            self.push(core, &next);
            let before = self.devices.len();
            for device in &next.removed {
                self.devices.remove(device);
            }
            self.devices.extend(next.joined);
            let after = self.devices.len();
            core.rooms.devices.fetch_add(after, Ordering::Relaxed);
            core.rooms.devices.fetch_sub(before, Ordering::Relaxed);
            reload |= next.changes_all;
        }
        if self.early.len() > PUSHES_OUT_OF_ORDER {
            self.give_up(core);
            return true;
        }
        reload
    }

    /// What is missing will not come: those who are there go out.
    fn give_up(&mut self, core: &Core) {
        for (seq, publication) in std::mem::take(&mut self.early) {
            self.push(core, &publication);
            self.next = seq + 1;
        }
    }

    fn push(&self, core: &Core, publication: &Publication) {
        self.send(core, &publication.except, &Signal::Room(Arc::clone(&publication.push)));
    }

    fn send(&self, core: &Core, except: &RoomDevice, signal: &Signal) {
        for device in self.devices.iter().filter(|device| *device != except) {
            core.bus.to_device(&device.account, device.device, signal.clone());
        }
    }
}

impl Rooms {
    /// A room; its roster is read when it was not there.
    fn find(&self, core: &Arc<Core>, room: RoomId) -> Arc<Room> {
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut rooms = lock(&self.rooms);
        if let Some(live) = rooms.get(&room) {
            live.used.store(used, Ordering::Relaxed);
            return Arc::clone(live);
        }
        let live = Arc::new(Room {
            live: Mutex::new(Live::Loading { waiting: Vec::new(), again: false }),
            loaded: Notify::new(),
            used: AtomicU64::new(used),
        });
        rooms.insert(room, Arc::clone(&live));
        drop(rooms);
        tokio::spawn(load(Arc::clone(core), room, Arc::clone(&live)));
        live
    }

    fn forget(&self, room: RoomId) {
        let removed = lock(&self.rooms).remove(&room);
        if let Some(live) = removed
            && let Live::Ready(ready) = &*lock(&live.live)
        {
            self.devices.fetch_sub(ready.devices.len(), Ordering::Relaxed);
        }
    }

    /// Forgets the rooms that were not used for the longest time, while there are too many.
    fn make_room(&self, keep: RoomId) {
        let too_many =
            |rooms: usize| rooms > FANOUT_ROOMS || self.devices.load(Ordering::Relaxed) > FANOUT_DEVICES;
        if !too_many(lock(&self.rooms).len()) {
            return;
        }
        let mut by_use: Vec<(u64, RoomId)> = lock(&self.rooms)
            .iter()
            .filter(|(room, _)| **room != keep)
            .map(|(room, live)| (live.used.load(Ordering::Relaxed), *room))
            .collect();
        by_use.sort_unstable();
        for (_, room) in by_use {
            if !too_many(lock(&self.rooms).len()) {
                return;
            }
            self.forget(room);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use subrosa_protocol::{DeviceId, Username};

    use super::*;

    /// A room whose roster was read, used at a time.
    fn put(rooms: &Rooms, number: u32, devices: &HashSet<RoomDevice>) -> RoomId {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let id = RoomId::from_bytes(id);
        let ready = Ready { devices: devices.clone(), next: 1, early: BTreeMap::new() };
        let room = Room {
            live: Mutex::new(Live::Ready(ready)),
            loaded: Notify::new(),
            used: AtomicU64::new(number.into()),
        };
        rooms.devices.fetch_add(devices.len(), Ordering::Relaxed);
        lock(&rooms.rooms).insert(id, Arc::new(room));
        id
    }

    #[test]
    fn one_past_the_rooms_in_memory_the_one_unused_for_longest_goes() {
        let rooms = Rooms::default();
        let none = HashSet::new();
        let first = put(&rooms, 0, &none);
        let second = put(&rooms, 1, &none);
        let third = put(&rooms, 2, &none);
        for number in 3..FANOUT_ROOMS as u32 {
            put(&rooms, number, &none);
        }
        rooms.make_room(first);
        assert_eq!(lock(&rooms.rooms).len(), FANOUT_ROOMS, "as many as may be");
        put(&rooms, u32::MAX, &none);
        // The one that makes room stays, however old it is.
        rooms.make_room(first);
        let all = lock(&rooms.rooms);
        assert_eq!(all.len(), FANOUT_ROOMS);
        assert!(all.contains_key(&first) && !all.contains_key(&second) && all.contains_key(&third));
    }

    #[test]
    fn one_past_the_devices_in_memory_rooms_go_until_the_rest_fits() {
        let rooms = Rooms::default();
        let device = |number: u32| RoomDevice {
            account: Username::new(format!("member{number}")).unwrap(),
            device: DeviceId::new(1).unwrap(),
        };
        let devices: HashSet<RoomDevice> = (0..1024).map(device).collect();
        let count = u32::try_from(FANOUT_DEVICES / devices.len()).unwrap();
        for number in 0..count {
            put(&rooms, number, &devices);
        }
        let kept = put(&rooms, count, &[device(0)].into());
        rooms.make_room(kept);
        assert_eq!(rooms.devices.load(Ordering::Relaxed), FANOUT_DEVICES - devices.len() + 1);
        assert_eq!(lock(&rooms.rooms).len(), count as usize);
        rooms.forget(kept);
        rooms.forget(kept);
        assert_eq!(rooms.devices.load(Ordering::Relaxed), FANOUT_DEVICES - devices.len());
    }
}
