//! What the programs are built from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn version(text: &str) -> Vec<u64> {
    text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// (name, version) of every locked package.
fn locked() -> Vec<(String, String)> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |block: &str, name: &str| {
        let line = block.lines().find(|line| line.starts_with(&format!("{name} = ")))?;
        Some(line.split('"').nth(1)?.to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|block| Some((field(block, "name")?, field(block, "version")?)))
        .collect()
}

#[test]
fn r2_no_dependency_is_older_than_its_patched_version() {
    let minimum = [
        ("quinn-proto", "0.11.15"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
        ("openmls", "0.9.0"),
        ("hpke-rs", "0.6.0"),
        ("opaque-ke", "4.0.0"),
        ("tokio-postgres", "0.7.18"),
        ("postgres-protocol", "0.6.12"),
        ("tracing-subscriber", "0.3.20"),
        ("lru", "0.18.2"),
        ("curve25519-dalek", "4.1.3"),
    ];
    let locked = locked();
    assert!(locked.len() > 200, "Cargo.lock was not read");
    let mut seen = BTreeSet::new();
    for (name, found) in &locked {
        for (wanted, least) in minimum {
            if name == wanted {
                seen.insert(wanted);
                assert!(version(found) >= version(least), "{name} {found} is older than {least}");
            }
        }
    }
    for present in
        ["quinn-proto", "rustls", "rustls-webpki", "opaque-ke", "openmls", "hpke-rs", "tracing-subscriber"]
    {
        assert!(seen.contains(present), "{present} is not locked");
    }
    assert!(locked.iter().all(|(name, found)| name != "opaque-ke" || found.starts_with("4.0.")));
}

/// The normal dependencies of a package, across the whole tree.
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "-p",
            package,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_relay_cannot_link_decryption() {
    let relay = tree("subrosa-server");
    assert!(relay.contains("subrosa-verify") && relay.contains("subrosa-protocol"));
    for forbidden in ["subrosa-crypto", "subrosa-client", "hpke", "ml-kem", "openmls", "x-wing"] {
        assert!(!relay.contains(forbidden), "rosad depends on {forbidden}");
    }
}

/// OpenMLS's own primitives are a yardstick of tests and benches: what runs has one library of each kind.
#[test]
fn no_program_links_a_second_library_of_primitives() {
    for program in ["subrosa-server", "rosa"] {
        let linked = tree(program);
        for forbidden in ["openmls_libcrux_crypto", "openmls_rust_crypto", "hpke-rs", "libcrux-ml-kem"] {
            assert!(!linked.contains(forbidden), "{program} depends on {forbidden}");
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    let protocol = tree("subrosa-protocol");
    let crypto = tree("subrosa-crypto");
    let client = tree("subrosa-client");
    for (from, name, forbidden) in [
        (&protocol, "protocol", ["subrosa-crypto", "subrosa-verify", "subrosa-client", "subrosa-server"]),
        (&crypto, "crypto", ["subrosa-protocol", "subrosa-client", "subrosa-server", "tokio"]),
        (&client, "client", ["subrosa-server", "ratatui", "crossterm", "clap"]),
    ] {
        for package in forbidden {
            assert!(!from.contains(package), "{name} depends on {package}");
        }
    }
}

#[test]
fn nothing_outside_the_codec_names_bincode() {
    fn walk(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs")
                && !path.ends_with("protocol/src/codec.rs")
                && fs::read_to_string(&path).unwrap().contains("bincode::")
            {
                found.push(path.display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    for package in ["protocol", "crypto", "server", "client", "client-tui"] {
        walk(&root().join(package).join("src"), &mut found);
    }
    assert!(found.is_empty(), "{found:?}");
}
