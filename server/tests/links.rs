//! The relay cannot decrypt, by construction: nothing that decrypts is linked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

#[test]
fn the_relay_links_no_decryption() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = Command::new(cargo)
        .args(["tree", "-p", "subrosa-server", "--edges", "normal", "--prefix", "none", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"subrosa-verify") && names.contains(&"subrosa-protocol"), "{names:?}");
    for forbidden in
        ["subrosa-crypto", "subrosa-client", "hpke", "ml-kem", "x25519-dalek", "bip39", "openmls"]
    {
        assert!(!names.contains(&forbidden), "the relay links {forbidden}");
    }
}

#[test]
fn the_program_holds_no_symbol_of_the_clients_cryptography() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_rosad")).unwrap();
    let holds = |needle: &[u8]| program.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"subrosa_verify"), "symbols can be seen in this build");
    for forbidden in [&b"subrosa_crypto"[..], b"double_ratchet", b"subrosa_client"] {
        assert!(!holds(forbidden), "{}", String::from_utf8_lossy(forbidden));
    }
}
