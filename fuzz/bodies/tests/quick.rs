//! Every fuzz target's body over its committed corpus and a few thousand seeded mutations of it (R10): so that the targets
//! do not rot, and what was found once is not lost again. The long version is `scripts/fuzz`.
//!
//! `SUBROSA_FUZZ_MUTATIONS`: mutations of each target instead of the fixed numbers here. `SUBROSA_FUZZ_SEED`: of what.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use subrosa_fuzz_bodies::{
    corpus::{Target, committed, folder, mutate, seeds, targets},
    rng::SeededRng,
};

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn check(name: &str, mutations: u64) {
    let target = targets().into_iter().find(|target| target.name == name).unwrap();
    (target.prepare)();
    let started = Instant::now();
    let mut inputs = committed(name);
    assert!(!inputs.is_empty(), "the corpus of {name} is not there: {}", folder(name).display());
    inputs.extend(seeds(name));
    for input in &inputs {
        one(&target, input);
    }
    let seed = env("SUBROSA_FUZZ_SEED").unwrap_or(1);
    let mutations = env("SUBROSA_FUZZ_MUTATIONS").unwrap_or(mutations);
    let mut rng = SeededRng::new(seed);
    for _ in 0..mutations {
        one(&target, &mutate(&inputs, &mut rng));
    }
    println!(
        "{name}: {} inputs and {mutations} mutations, seed {seed}, in {:.1?}",
        inputs.len(),
        started.elapsed()
    );
}

fn one(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        panic!("{} fails on {}", target.name, data_encoding::HEXLOWER.encode(input));
    }
}

#[test]
fn r10_frame_decode() {
    check("frame_decode", 20_000);
}

#[test]
fn r10_auth_state() {
    check("auth_state", 500);
}

#[test]
fn r10_envelope_decode() {
    check("envelope_decode", 4_000);
}

#[test]
fn r10_dr_session() {
    check("dr_session", 100);
}

#[test]
fn r10_pqxdh_bundle() {
    check("pqxdh_bundle", 600);
}

#[test]
fn r10_mls_inbound() {
    check("mls_inbound", 2_000);
}

#[test]
fn r10_terminal_sanitize() {
    check("terminal_sanitize", 4_000);
}

#[test]
fn r10_rpc_json() {
    check("rpc_json", 3_000);
}

/// The corpus is committed: it stays small.
#[test]
fn the_corpus_is_small() {
    for target in targets() {
        let inputs = committed(target.name);
        let bytes: usize = inputs.iter().map(Vec::len).sum();
        assert!(
            inputs.len() <= 200 && bytes <= 256 * 1024,
            "{}: {} files, {bytes} bytes",
            target.name,
            inputs.len()
        );
    }
}
