//! Anything at any time: programs die, connections break, envelopes are lost, doubled and reordered, sessions vanish. In the
//! end every device has every text once. A seed that fails repeats.

use std::collections::BTreeSet;

use rand_core::Rng;
use subrosa_client::api::{MessageKind, WaitFor};

use crate::world::{World, device, name};

const HANDLES: [&str; 3] = ["alice", "alice2", "bob"];

fn peer_of(handle: &str) -> &'static str {
    if handle == "bob" { "alice" } else { "bob" }
}

struct Chance<'w>(&'w mut World);

impl Chance<'_> {
    fn below(&mut self, end: u32) -> u32 {
        self.0.rng.next_u32() % end
    }

    fn handle(&mut self) -> &'static str {
        HANDLES[self.below(3) as usize]
    }
}

fn life(world: &mut World, sent: &mut BTreeSet<String>, steps: usize) {
    for step in 0..steps {
        let mut chance = Chance(world);
        let (what, handle) = (chance.below(100), chance.handle());
        let amount = u64::from(chance.below(3_000));
        let alive = world.clients[handle].core.is_some();
        match what {
            0..45 if alive => {
                let text = format!("{handle} at {step}");
                let token = world.send_later(handle, peer_of(handle), &text, WaitFor::Queued);
                if world.answer(handle, token).is_some() {
                    sent.insert(text);
                }
            }
            45..52 if alive => world.disconnect(handle),
            52..62 if alive => {
                if !world.clients[handle].connected {
                    world.connect(handle);
                }
            }
            62..66 => world.crash(handle),
            66..76 => {
                if world.clients[handle].core.is_none() {
                    world.restart(handle);
                }
            }
            76..80 => {
                let place = world.clients[handle].place.clone();
                world.relay.device(&place.0, place.1).mailbox.pop();
            }
            80..82 => world.relay.silent = !world.relay.silent,
            82..84 => world.relay.pushes = 3 - world.relay.pushes,
            84..86 => world.reorder = !world.reorder,
            87..90 => world.grouped = !world.grouped,
            86..87 => lose_session(world, handle),
            _ => world.run_for(amount),
        }
        for _ in 0..amount % 4 {
            world.step();
        }
    }
}

fn lose_session(world: &mut World, handle: &str) {
    world.crash(handle);
    let path = world.clients[handle].path.clone();
    let mut store = subrosa_client::store::Store::open_at(&path, &crate::world::KEY).unwrap();
    store.transaction(|tx| tx.delete_session(&name(peer_of(handle)), device(1)).map(drop)).unwrap();
    drop(store);
    world.restart(handle);
}

fn everything_arrives(seed: u64) {
    let mut world = World::friends(seed);
    world.login("alice", "alice2");
    world.settle();
    let mut sent = BTreeSet::new();
    life(&mut world, &mut sent, 150);
    // From here on the world is kind: everybody is there, nothing is lost, and people go on talking.
    (world.relay.silent, world.relay.pushes, world.reorder) = (false, 1, false);
    for handle in HANDLES {
        if world.clients[handle].core.is_none() {
            world.restart(handle);
        }
    }
    for round in 0..4 {
        for handle in HANDLES {
            world.disconnect(handle);
            world.connect(handle);
            let text = format!("{handle} in round {round}");
            world.send(handle, peer_of(handle), &text);
            sent.insert(text);
            world.settle();
        }
        world.run_for(7 * 3_600_000);
    }
    for handle in HANDLES {
        let mut texts: Vec<_> = world.texts(handle, peer_of(handle));
        texts.retain(|text| !text.starts_with("hello"));
        let unique: BTreeSet<_> = texts.iter().cloned().collect();
        assert_eq!(unique.len(), texts.len(), "{handle} has a text twice, seed {seed}");
        let missing: Vec<_> = sent.difference(&unique).collect();
        assert!(missing.is_empty(), "{handle} never got {missing:?}, seed {seed}");
        // A text whose queueing was not answered before a crash may have been sent all the same; nothing else.
        assert!(unique.difference(&sent).all(|text| text.contains(" at ")), "{handle}, seed {seed}");
        for kind in world.notices(handle, peer_of(handle)) {
            let fine = matches!(kind, MessageKind::Missing { count: 0 } | MessageKind::Undecryptable {})
                || matches!(kind, MessageKind::DeviceAdded { .. });
            assert!(fine, "{handle} still sees {kind:?}, seed {seed}");
        }
        assert_eq!(world.status(handle).queued, 0, "{handle}, seed {seed}");
    }
}

#[test]
fn r21_whatever_happens_every_device_gets_every_text_once() {
    let seeds =
        std::env::var("ROSA_SIMULATION_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(12);
    for seed in 1_000..1_000 + seeds {
        everything_arrives(seed);
    }
}
