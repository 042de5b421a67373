//! Many seeds on several threads.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    options::Options,
    template::Templates,
    world::{Counts, World},
};

/// After so many seeds a run says how far it is.
const TELL_EVERY: u64 = 1_000;
/// Lines of a broken world's trace that are printed with it.
const LAST_LINES: usize = 40;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Broken worlds are told by this module, with what is needed to see them again.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                told(info);
            }
        }));
    });
}

struct Broken {
    seed: u64,
    why: String,
}

pub fn run(options: &Options) {
    keep_panics_quiet();
    // An invariant may break before any world begins.
    if let Err(why) = quietly(|| drop(Templates::new())) {
        println!("broken: {why}");
        println!("seed: {}", options.seeds.start);
        panic!("the worlds that seeds start from: {why}");
    }
    if let Some(trace) = options.replay {
        let templates = Templates::new();
        let (counts, broken) = live(&templates, options.seeds.start, options.events, trace, trace);
        println!("{counts}");
        if let Some(broken) = broken {
            fail(options, &templates, &broken);
        }
        println!("seed {} holds", options.seeds.start);
        return;
    }
    let (next, stop) = (AtomicU64::new(options.seeds.start), AtomicBool::new(false));
    let (sum, all_broken) = (Mutex::new(Counts::default()), Mutex::new(Vec::<Broken>::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                let templates = Templates::new();
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seeds.end {
                        return;
                    }
                    let (counts, broken) = live(&templates, seed, options.events, false, false);
                    let mut sum = sum.lock().unwrap();
                    sum.add(&counts);
                    if sum.seeds.is_multiple_of(TELL_EVERY) {
                        println!("{} seeds after {:.0} s", sum.seeds, begun.elapsed().as_secs_f64());
                    }
                    drop(sum);
                    if let Some(broken) = broken {
                        if options.keep_going {
                            println!("broken seed {}: {}", broken.seed, broken.why);
                        }
                        stop.store(!options.keep_going, Ordering::Relaxed);
                        all_broken.lock().unwrap().push(broken);
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    println!(
        "did: simulation: {} seeds of {} events in {:.1} s ({:.1} s of processor time)",
        sum.seeds,
        options.events,
        begun.elapsed().as_secs_f64(),
        processor_seconds(),
    );
    println!("{sum}");
    let mut all_broken = all_broken.into_inner().unwrap();
    all_broken.sort_by_key(|broken| broken.seed);
    if options.keep_going {
        println!("broken seeds: {:?}", all_broken.iter().map(|broken| broken.seed).collect::<Vec<_>>());
        println!("did: simulation: {} of {} seeds hold", sum.seeds - all_broken.len() as u64, sum.seeds);
    }
    if let Some(broken) = all_broken.first() {
        fail(options, &Templates::new(), broken);
    }
    assert!(sum.is_lively(), "too little happened for this to say anything:\n{sum}");
}

/// One world from its beginning to its kind end.
fn live(templates: &Templates, seed: u64, events: u32, trace: bool, print: bool) -> (Counts, Option<Broken>) {
    subrosa_crypto::ratchet::ledger::clear();
    let mut world = World::new(templates, seed, trace);
    world.trace.print = print;
    let outcome = quietly(|| {
        for _ in 0..events {
            world.one_event();
        }
        world.come_to_rest();
    });
    world.counts.seeds = 1;
    let broken = outcome.err().map(|why| Broken { seed, why });
    if broken.is_some() && trace && !print {
        for line in world.trace.last(LAST_LINES) {
            println!("  {line}");
        }
    }
    (world.counts, broken)
}

/// What was done, or what it panicked with.
fn quietly(work: impl FnOnce()) -> Result<(), String> {
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    outcome.map_err(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        why.unwrap_or_else(|| "a panic".to_owned())
    })
}

/// Lives the broken world once more, to show how it ended.
fn fail(options: &Options, templates: &Templates, broken: &Broken) -> ! {
    if options.replay.is_none() {
        println!("the last events of seed {}:", broken.seed);
        live(templates, broken.seed, options.events, true, false);
    }
    println!("broken: {}", broken.why);
    println!("seed: {}", broken.seed);
    println!("to see it again: {}", options.replay_of(broken.seed));
    panic!("seed {}: {}", broken.seed, broken.why);
}

/// Seconds of processor time this process has used.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |field: usize| {
        after_name.split_whitespace().nth(field).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
    };
    // Fields 14 and 15 of proc(5), in hundredths of a second; the third field is the first after the name.
    (ticks(11) + ticks(12)) / 100.0
}
