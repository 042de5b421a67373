//! What may happen, and how often.

use subrosa_client::{
    api::{Request, SendMessage, WaitFor},
    core::Input,
};

use crate::{faults, ledger::Outcome, world::World};

/// One thing that may happen: how often of a thousand times, and how. Where it cannot happen, the world goes on instead.
type Happening = (u64, fn(&mut World) -> bool);

const HAPPENINGS: &[Happening] = &[
    (643, World::progress),
    (70, a_while_passes),
    (29, somebody_writes),
    (12, somebody_asks_again),
    (14, somebody_reads),
    (10, somebody_accepts),
    (12, faults::crash),
    (20, faults::crash_inside),
    (34, somebody_starts),
    (16, faults::disk),
    (20, faults::disconnect),
    (6, faults::cut_off),
    (8, faults::stall),
    (6, faults::relay_crash),
    (14, faults::lose_frame),
    (14, faults::double_frame),
    (14, faults::swap_pushes),
    (8, faults::refuse),
    (8, faults::clock_jump),
    (6, faults::leap),
    (6, faults::copy_store),
    (5, faults::restore_copy),
    (3, faults::add_device),
    (4, faults::remove_device),
    (6, faults::exhaust_prekeys),
    (8, faults::double_envelope),
    (6, faults::lose_session),
    (8, faults::lose_envelope),
];

pub fn happen(world: &mut World) {
    let all: u64 = HAPPENINGS.iter().map(|(often, _)| often).sum();
    let mut left = world.dice.below(all);
    for (often, happening) in HAPPENINGS {
        if left < *often {
            if !happening(world) {
                go_on(world);
            }
            return;
        }
        left -= often;
    }
}

/// A frame moves, or time passes until something is due.
fn go_on(world: &mut World) {
    if !world.progress() && !world.pass_time(u64::MAX) {
        world.now += 1_000;
    }
}

fn a_while_passes(world: &mut World) -> bool {
    let until = world.now + world.dice.below(3_000);
    if !world.pass_time(until) {
        world.now = until;
    }
    true
}

fn somebody_runs(world: &mut World) -> Option<usize> {
    let running = world.running();
    world.dice.pick(&running)
}

fn somebody_writes(world: &mut World) -> bool {
    let Some(at) = somebody_runs(world) else { return false };
    let others = world.accounts.len() - 1;
    let to = (world.devices[at].account + 1 + world.dice.index(others)) % world.accounts.len();
    write(world, at, to);
    true
}

/// A person asks for a text.
pub fn write(world: &mut World, at: usize, to: usize) {
    let known = own_devices_known(world, at);
    let text = world.ledger.ask(at, to, world.event, known);
    world.counts.asked += 1;
    ask_for(world, at, to, text);
}

fn ask_for(world: &mut World, at: usize, to: usize, text: usize) {
    let name = world.accounts[to].name.clone();
    let device = &mut world.devices[at];
    device.token += 1;
    let token = device.token;
    device.asks.insert(token, text);
    world.trace.line(|| format!("{} writes t{text} to {name}", world.devices[at].name()));
    let (text, key) = world.ledger.words(text);
    let request = Request::MessageSend(SendMessage {
        to: vec![name],
        text,
        reply_to: None,
        key: Some(key),
        wait: WaitFor::Queued,
        timeout_ms: None,
    });
    world.feed(at, Input::Request { token, request });
}

/// The other own devices in the list that a device knows: they get copies.
fn own_devices_known(world: &World, at: usize) -> Vec<usize> {
    let device = &world.devices[at];
    let siblings: Vec<_> = (0..world.devices.len())
        .filter(|other| *other != at && world.devices[*other].account == device.account)
        .collect();
    if siblings.is_empty() {
        return siblings;
    }
    let own = crate::template::name(&device.place.0);
    let list = device.store().read(|tx| tx.device_list(&own)).unwrap().unwrap().list;
    siblings.into_iter().filter(|other| list.device(world.devices[*other].place.1).is_some()).collect()
}

/// Somebody who never learned what became of a text asks once more, with the same key.
fn somebody_asks_again(world: &mut World) -> bool {
    let open: Vec<_> = world
        .ledger
        .texts
        .iter()
        .enumerate()
        .filter(|(_, text)| text.outcome == Outcome::Unknown && world.devices[text.from].is_running())
        .map(|(number, _)| number)
        .collect();
    let Some(text) = world.dice.pick(&open) else { return false };
    let (at, to) = (world.ledger.texts[text].from, world.ledger.texts[text].to);
    if world.devices[at].asks.values().any(|asked| *asked == text) {
        return false;
    }
    world.ledger.texts[text].asked_again = true;
    ask_for(world, at, to, text);
    true
}

fn somebody_reads(world: &mut World) -> bool {
    let Some(at) = somebody_runs(world) else { return false };
    let others = world.accounts.len() - 1;
    let chat = (world.devices[at].account + 1 + world.dice.index(others)) % world.accounts.len();
    let up_to = world.devices[at].last_order;
    world.ask(at, Request::ChatRead { chat: world.accounts[chat].name.clone(), up_to });
    true
}

fn somebody_accepts(world: &mut World) -> bool {
    let Some(at) = somebody_runs(world) else { return false };
    let mut waiting: Vec<_> = world.devices[at].requested_by.iter().cloned().collect();
    waiting.sort();
    let chosen = world.dice.index(waiting.len());
    let Some(name) = waiting.get(chosen).cloned() else { return false };
    world.ask(at, Request::ContactAccept { name });
    true
}

fn somebody_starts(world: &mut World) -> bool {
    let stopped: Vec<_> = (0..world.devices.len()).filter(|at| !world.devices[*at].is_running()).collect();
    let Some(at) = world.dice.pick(&stopped) else { return false };
    world.restart(at);
    true
}
