//! A relay cannot link code that decrypts for people: neither this crate nor `rosad` reaches it (DESIGN, section 2).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What makes a client a client.
const FORBIDDEN: [&str; 8] =
    ["subrosa-crypto", "aead", "chacha20poly1305", "aes-gcm", "hpke", "ml-kem", "x25519-dalek", "openmls"];

/// Package names and the names of what each depends on, from Cargo.lock.
fn graph() -> BTreeMap<String, Vec<String>> {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = std::fs::read_to_string(lock).unwrap();
    let quoted = |line: &str| line.split('"').nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let mut graph: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let name = package.lines().find(|l| l.starts_with("name = ")).unwrap();
        let dependencies = package.lines().filter(|l| l.starts_with(" \"")).map(quoted);
        graph.entry(quoted(name)).or_default().extend(dependencies);
    }
    graph
}

fn reached_from(start: &str, graph: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(name) = todo.pop() {
        if seen.insert(name.clone()) {
            todo.extend(graph.get(&name).expect("every dependency is in the lock file").iter().cloned());
        }
    }
    seen
}

#[test]
fn this_crate_reaches_no_code_that_decrypts() {
    let graph = graph();
    let reached = reached_from("subrosa-verify", &graph);
    for name in FORBIDDEN {
        assert!(!reached.contains(name), "subrosa-verify reaches {name}");
    }
    // The walk can find them: the client's crate reaches what this one must not.
    assert!(reached_from("subrosa-crypto", &graph).contains("chacha20poly1305"));
}

/// The lock file mixes in what tests depend on, so the relay's own manifest is read.
#[test]
fn the_relay_does_not_depend_on_the_clients_crate() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../server/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let section = |name: &str| manifest.split(name).nth(1).unwrap().split("\n[").next().unwrap().to_owned();
    let dependencies = section("[dependencies]");
    assert!(dependencies.contains("subrosa-verify"));
    for name in FORBIDDEN {
        let named = dependencies.lines().any(|l| l.split(['.', ' ', '=']).next() == Some(name));
        assert!(!named, "the relay depends on {name}");
    }
}
