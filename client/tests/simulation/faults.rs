//! What may go wrong. Each says whether it did.

use subrosa_client::{
    api::Request,
    store::{DiskFault, Store},
};
use subrosa_protocol::{
    ErrorCode,
    frames::{ErrorFrame, FromRelay, Push},
};

use crate::{
    device::{Fate, Life, OldCopy},
    template::{device_id, name},
    world::World,
};

const HOUR_MS: u64 = 3_600_000;
/// The longest time that passes in leaps, in hours: less than anything is kept for.
const LEAPS_MAX: u64 = 20 * 24;

fn some(world: &mut World, which: impl Fn(&World, usize) -> bool) -> Option<usize> {
    let found: Vec<_> = (0..world.devices.len()).filter(|at| which(world, *at)).collect();
    world.dice.pick(&found)
}

fn running(world: &World, at: usize) -> bool {
    world.devices[at].is_running()
}

fn connected(world: &World, at: usize) -> bool {
    running(world, at) && world.devices[at].net.up
}

/// Between two inputs.
pub fn crash(world: &mut World) -> bool {
    let Some(at) = some(world, running) else { return false };
    world.crash(at);
    true
}

/// Inside the next step: after some of its commits, or after some of its effects.
pub fn crash_inside(world: &mut World) -> bool {
    let Some(at) = some(world, running) else { return false };
    let number = world.dice.below(3);
    let device = &mut world.devices[at];
    match world.dice.below(3) {
        0 => device.cut = Some(number as usize),
        1 => device.break_disk(number as u32, DiskFault::Gone),
        _ => device.break_disk(number as u32, DiskFault::GoneAfterCommit),
    }
    true
}

/// A commit that fails.
pub fn disk(world: &mut World) -> bool {
    let Some(at) = some(world, running) else { return false };
    let fault = if world.dice.once_in(2) { DiskFault::Full } else { DiskFault::Broken };
    let after = world.dice.below(4) as u32;
    world.trace.line(|| format!("{}'s disk will fail", world.devices[at].name()));
    world.devices[at].break_disk(after, fault);
    true
}

/// A store's disk has no room, until there is some again: its file may not grow, or nothing can be written at all.
pub fn fill_disk(world: &mut World) -> bool {
    let full = |world: &World, at: usize| world.devices[at].disk.is_full();
    if let Some(at) = some(world, full) {
        world.devices[at].disk.heal();
        return true;
    }
    let Some(at) = some(world, running) else { return false };
    world.trace.line(|| format!("{}'s disk is full", world.devices[at].name()));
    // Which page is one too many is not a function of the seed where there is a room.
    if world.sort.rooms {
        world.devices[at].disk.fill();
    } else {
        world.devices[at].disk.tighten();
    }
    world.counts.disk_tight += 1;
    true
}

pub fn disconnect(world: &mut World) -> bool {
    let Some(at) = some(world, connected) else { return false };
    world.break_connection(at);
    true
}

/// A partition begins, or ends.
pub fn cut_off(world: &mut World) -> bool {
    let at = world.dice.index(world.devices.len());
    world.devices[at].net.cut_off = !world.devices[at].net.cut_off;
    if world.devices[at].net.cut_off && world.devices[at].net.up {
        world.break_connection(at);
    }
    true
}

/// Nothing passes for a while, and nobody is told.
pub fn stall(world: &mut World) -> bool {
    let Some(at) = some(world, connected) else { return false };
    world.devices[at].net.stalled_until = world.now + world.dice.below(60_000);
    true
}

/// The relay dies. Of what was on its way to it a part had become durable; no answer and no push comes through.
pub fn relay_crash(world: &mut World) -> bool {
    world.counts.relay_crashes += 1;
    world.trace.line(|| "the relay crashes".to_owned());
    for at in 0..world.devices.len() {
        if world.devices[at].net.up {
            world.break_connection(at);
        }
    }
    true
}

/// A frame from the relay is lost: a push, or an answer.
pub fn lose_frame(world: &mut World) -> bool {
    let waiting = |world: &World, at: usize| !world.devices[at].net.to_device.is_empty();
    let Some(at) = some(world, waiting) else { return false };
    let which = world.dice.index(world.devices[at].net.to_device.len());
    let lost = world.devices[at].net.to_device.remove(which);
    world.trace.line(|| format!("lost on the way to {}: {lost:?}", world.devices[at].name()));
    world.devices[at].net.lost_push |= matches!(lost, Some(FromRelay::Push(_)));
    // Without the relay's word that it is gone, a removed device would have to find out; it is told only once.
    if let Some(FromRelay::Push(Push::Closing(_))) = lost {
        world.break_connection(at);
    }
    world.counts.frames_lost += 1;
    true
}

/// A frame comes twice, to the relay or to the device.
pub fn double_frame(world: &mut World) -> bool {
    let waiting = |world: &World, at: usize| {
        let net = &world.devices[at].net;
        !net.to_device.is_empty() || net.authenticated && !net.to_relay.is_empty()
    };
    let Some(at) = some(world, waiting) else { return false };
    let net = &mut world.devices[at].net;
    let to_relay = net.authenticated && !net.to_relay.is_empty() && world.dice.once_in(2);
    if to_relay {
        let frame = net.to_relay[0].clone();
        world.relay_answers(at, &frame);
    } else {
        let net = &mut world.devices[at].net;
        if net.to_device.is_empty() {
            return false;
        }
        let which = world.dice.index(net.to_device.len());
        let frame = net.to_device[which].clone();
        net.to_device.push_back(frame);
    }
    world.counts.frames_doubled += 1;
    true
}

pub fn swap_pushes(world: &mut World) -> bool {
    let pushes = |world: &World, at: usize| -> Vec<usize> {
        let frames = world.devices[at].net.to_device.iter().enumerate();
        frames.filter(|(_, frame)| matches!(frame, FromRelay::Push(_))).map(|(which, _)| which).collect()
    };
    let Some(at) = some(world, |world, at| pushes(world, at).len() > 1) else { return false };
    let which = pushes(world, at);
    let (Some(one), Some(other)) = (world.dice.pick(&which), world.dice.pick(&which)) else { return false };
    world.devices[at].net.to_device.swap(one, other);
    world.counts.pushes_swapped += 1;
    true
}

/// The relay refuses sends or lookups for a while, or no more.
pub fn refuse(world: &mut World) -> bool {
    let relay = &mut world.relay;
    if relay.refuse_sends.is_some() || relay.refuse_lookups.is_some() {
        (relay.refuse_sends, relay.refuse_lookups) = (None, None);
        return true;
    }
    let code = [ErrorCode::RateLimited, ErrorCode::StorageFull, ErrorCode::MailboxFull, ErrorCode::Internal];
    let mut frame = ErrorFrame::new(world.dice.pick(&code).unwrap(), "");
    if world.dice.once_in(2) {
        frame.retry_after_ms = Some(world.dice.below(5_000));
    }
    if world.dice.once_in(3) {
        relay.refuse_lookups = Some(frame);
    } else {
        relay.refuse_sends = Some(frame);
    }
    world.counts.refusals += 1;
    true
}

/// A clock is set, forward or back. A program that runs never sees its clock go back; the next one does.
pub fn clock_jump(world: &mut World) -> bool {
    let at = world.dice.index(world.devices.len());
    // Prekeys that are made more than a day ahead of time are refused until then: no such clock where prekeys are made.
    // Nor where rooms are: keys of past epochs go a day after the epoch, by the clock.
    let makes_prekeys = world.sort.refills || world.sort.long || world.sort.rooms;
    let farthest = if makes_prekeys { 20 * HOUR_MS } else { 3 * 24 * HOUR_MS };
    let far = if world.dice.once_in(4) { farthest } else { HOUR_MS };
    let jump = i64::try_from(world.dice.below(2 * far)).unwrap() - i64::try_from(far).unwrap();
    let device = &mut world.devices[at];
    device.wall = jump;
    device.running = device.running.max(jump);
    world.counts.clock_jumps += 1;
    world.trace.line(|| format!("{}'s clock is {jump} ms off", world.devices[at].name()));
    true
}

/// Hours or days pass at once.
pub fn leap(world: &mut World) -> bool {
    let hours = 1 + world.dice.below(60);
    if !world.sort.long || world.leapt + hours > LEAPS_MAX {
        return false;
    }
    world.leapt += hours;
    world.now += hours * HOUR_MS;
    world.counts.leaps += 1;
    world.trace.line(|| format!("{hours} hours pass"));
    true
}

/// Somebody copies a profile.
pub fn copy_store(world: &mut World) -> bool {
    // In three of four worlds nobody does.
    if world.ledger.seed % 4 != 1 {
        return false;
    }
    let Some(at) = some(world, |world, at| world.devices[at].fate == Fate::Active) else { return false };
    let texts = world.ledger.texts.len();
    let names = world.names();
    let device = &mut world.devices[at];
    // Of a disk that is about to fail no good copy is made.
    if device.disk.is_gone() {
        return false;
    }
    let store = Store::in_memory_on(device.disk.clone(), Some(device.store())).unwrap();
    let cursor = store.read(|tx| tx.mailbox_cursor()).unwrap();
    let ratchets = device.ratchets(&names);
    device.newer_requests.clear();
    device.newer_seen = false;
    device.old_copy = Some(OldCopy {
        store,
        cursor,
        ratchets,
        shown: device.shown.clone(),
        missing: device.missing.clone(),
        texts,
    });
    world.counts.copies += 1;
    world.trace.line(|| format!("{} is copied", world.devices[at].name()));
    true
}

/// The copy takes the place of the profile (R23).
pub fn restore_copy(world: &mut World) -> bool {
    let copied = |world: &World, at: usize| {
        world.devices[at].old_copy.is_some() && world.devices[at].fate == Fate::Active
    };
    let Some(at) = some(world, copied) else { return false };
    // Somebody of every account stays, or there is nobody left to look at.
    if world
        .listed(world.devices[at].account)
        .iter()
        .filter(|o| world.devices[**o].fate == Fate::Active)
        .count()
        < 2
    {
        return false;
    }
    world.crash(at);
    let device = &mut world.devices[at];
    let copy = device.old_copy.take().unwrap();
    device.must_be_quarantined |= device.newer_seen;
    device.is_copy = true;
    device.life = Life::Stopped(Box::new(copy.store));
    device.shown = copy.shown;
    device.missing = copy.missing;
    device.acked = device.acked.min(copy.cursor);
    world.ledger.lost_with(at, copy.texts);
    world.counts.restores += 1;
    world.trace.line(|| format!("{} is an old copy now", world.devices[at].name()));
    true
}

pub fn add_device(world: &mut World) -> bool {
    if world.devices.len() >= 5 {
        return false;
    }
    let account = world.dice.index(world.accounts.len());
    world.log_in(account);
    world.counts.added += 1;
    true
}

/// A device removes another one of its account.
pub fn remove_device(world: &mut World) -> bool {
    let may = |world: &World, at: usize| {
        let device = &world.devices[at];
        device.fate == Fate::Active && device.net.authenticated && world.listed(device.account).len() > 2
    };
    let Some(at) = some(world, may) else { return false };
    let mut others = world.listed(world.devices[at].account);
    others.retain(|other| *other != at);
    let Some(other) = world.dice.pick(&others) else { return false };
    let device = world.devices[other].place.1;
    world.trace.line(|| format!("{} removes device {device}", world.devices[at].name()));
    world.ask(at, Request::DeviceRemove { device });
    world.counts.removed += 1;
    true
}

/// Everybody took this device's one-time prekeys.
pub fn exhaust_prekeys(world: &mut World) -> bool {
    let at = world.dice.index(world.devices.len());
    let place = world.devices[at].place.clone();
    let Some(device) = world.relay.devices.get_mut(&place) else { return false };
    device.one_time.clear();
    device.kem.clear();
    world.counts.exhausted += 1;
    true
}

fn mailbox_of_somebody(world: &mut World) -> Option<&mut Vec<subrosa_protocol::frames::MailboxEnvelope>> {
    let at = world.dice.index(world.devices.len());
    let place = world.devices[at].place.clone();
    world
        .relay
        .devices
        .get_mut(&place)
        .map(|device| &mut device.mailbox)
        .filter(|mailbox| !mailbox.is_empty())
}

/// The relay stores an envelope twice.
pub fn double_envelope(world: &mut World) -> bool {
    let at = world.dice.index(world.devices.len());
    let place = world.devices[at].place.clone();
    let Some(device) = world.relay.devices.get_mut(&place) else { return false };
    let which = world.dice.index(device.mailbox.len());
    let Some(mut envelope) = device.mailbox.get(which).cloned() else { return false };
    device.last_seq += 1;
    envelope.seq = device.last_seq;
    device.mailbox.push(envelope.clone());
    if world.dice.once_in(2) {
        world.push(vec![(place, Push::Deliver(envelope))]);
    } else {
        // Nobody is told: it is heard of with the next push, or on the next connection.
        world.devices[at].net.lost_push |= world.devices[at].net.authenticated;
    }
    world.counts.envelopes_doubled += 1;
    true
}

/// The relay loses an envelope that it accepted.
pub fn lose_envelope(world: &mut World) -> bool {
    if !world.sort.lossy {
        return false;
    }
    let number = world.dice.next();
    let Some(mailbox) = mailbox_of_somebody(world) else { return false };
    let lost = mailbox.remove((number % mailbox.len() as u64) as usize);
    world.counts.envelopes_lost += 1;
    world.trace.line(|| format!("the relay loses {}", &lost.id.to_string()[..8]));
    true
}

/// A device loses its sessions with another one.
pub fn lose_session(world: &mut World) -> bool {
    if !world.sort.lossy {
        return false;
    }
    let active = |world: &World, at: usize| world.devices[at].fate == Fate::Active;
    let Some(at) = some(world, active) else { return false };
    let with = (at + 1 + world.dice.index(world.devices.len() - 1)) % world.devices.len();
    if world.devices[at].is_running() {
        world.crash(at);
    }
    let (account, number) = world.devices[with].place.clone();
    let Life::Stopped(store) = &mut world.devices[at].life else { return false };
    store.transaction(|tx| tx.delete_session(&name(&account), device_id(number)).map(drop)).unwrap();
    world.counts.sessions_lost += 1;
    world.trace.line(|| format!("{} loses its session with {account}{number}", world.devices[at].name()));
    true
}
