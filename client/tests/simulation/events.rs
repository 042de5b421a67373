//! What may happen, and how often.

use subrosa_client::{
    api::{Request, SendMessage, WaitFor},
    core::Input,
};

use crate::{faults, ledger::Outcome, world::World};

/// One thing that may happen: how often of about a thousand times, what it is called, and how. Where it cannot happen, the world goes on instead.
type Happening = (u64, &'static str, fn(&mut World) -> bool);

const HAPPENINGS: &[Happening] = &[
    (643, "frames moved", World::progress),
    (70, "whiles", a_while_passes),
    (19, "texts", somebody_writes),
    (3, "several texts at once", somebody_writes_several),
    (12, "texts asked for again", somebody_asks_again),
    (14, "reads", somebody_reads),
    (10, "acceptances", somebody_accepts),
    (12, "crashes", faults::crash),
    (20, "crashes planned inside a step", faults::crash_inside),
    (34, "starts", somebody_starts),
    (16, "disk faults planned", faults::disk),
    (6, "disks filled or emptied", faults::fill_disk),
    (20, "disconnections", faults::disconnect),
    (6, "partitions begun or ended", faults::cut_off),
    (8, "stalls", faults::stall),
    (6, "relay crashes", faults::relay_crash),
    (14, "frames lost", faults::lose_frame),
    (14, "frames doubled", faults::double_frame),
    (14, "pushes swapped", faults::swap_pushes),
    (8, "refusals begun or ended", faults::refuse),
    (8, "clock jumps", faults::clock_jump),
    (6, "leaps", faults::leap),
    (6, "copies made", faults::copy_store),
    (5, "copies restored", faults::restore_copy),
    (3, "devices added", faults::add_device),
    (4, "devices removed", faults::remove_device),
    (6, "prekeys exhausted", faults::exhaust_prekeys),
    (8, "envelopes doubled", faults::double_envelope),
    (6, "sessions lost", faults::lose_session),
    (8, "envelopes lost", faults::lose_envelope),
];

/// Kinds of things that may happen.
pub const KINDS: usize = HAPPENINGS.len();

/// What they are called.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    HAPPENINGS.iter().map(|(_, kind, _)| *kind)
}

pub fn happen(world: &mut World) {
    let all: u64 = HAPPENINGS.iter().map(|(often, ..)| often).sum();
    let mut left = world.dice.below(all);
    for (kind, (often, _, happening)) in HAPPENINGS.iter().enumerate() {
        if left < *often {
            if happening(world) {
                world.counts.happened[kind] += 1;
            } else {
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
    let to = somebody_else(world, at);
    write(world, at, to);
    true
}

/// A program asks for several texts at once, perhaps while frames are waiting: they share a commit.
fn somebody_writes_several(world: &mut World) -> bool {
    let Some(at) = somebody_runs(world) else { return false };
    let mut inputs = if world.dice.once_in(2) { world.waiting_frames(at, 4) } else { Vec::new() };
    for _ in 0..2 + world.dice.index(4) {
        let to = somebody_else(world, at);
        inputs.push(new_text(world, at, to));
    }
    if world.dice.once_in(2) {
        inputs.extend(world.waiting_frames(at, 4));
    }
    world.feed_all(at, inputs);
    true
}

/// Another account than that of a device.
fn somebody_else(world: &mut World, at: usize) -> usize {
    let others = world.accounts.len() - 1;
    (world.devices[at].account + 1 + world.dice.index(others)) % world.accounts.len()
}

/// A person asks for a text.
pub fn write(world: &mut World, at: usize, to: usize) {
    let input = new_text(world, at, to);
    world.feed(at, input);
}

fn new_text(world: &mut World, at: usize, to: usize) -> Input {
    let known = own_devices_known(world, at);
    let text = world.ledger.ask(at, to, world.event, known);
    world.counts.asked += 1;
    request_of(world, at, to, text)
}

fn request_of(world: &mut World, at: usize, to: usize, text: usize) -> Input {
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
    Input::Request { token, request }
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
    let input = request_of(world, at, to, text);
    world.feed(at, input);
    true
}

fn somebody_reads(world: &mut World) -> bool {
    let Some(at) = somebody_runs(world) else { return false };
    let chat = somebody_else(world, at);
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
