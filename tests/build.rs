//! Tests that need a terminal multiplexer are ignored, and so counted as left out, where there is none.

use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_tmux)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-changed=/usr/bin/tmux");
    if Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success()) {
        println!("cargo::rustc-cfg=has_tmux");
    }
}
