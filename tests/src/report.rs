//! What a test run did, in lines that show although libtest captures what passing tests print: `scripts/test` and
//! `scripts/soak` gather them.

use std::io::Write;

/// Says that something could not be tried here, and why; `scripts/test` counts it as left out, never as passed.
pub fn left_out(what: &str) {
    line(&format!("left out: {what}"));
}

/// Says what a test did, in numbers.
pub fn did(what: &str) {
    line(&format!("did: {what}"));
}

fn line(text: &str) {
    // Written past libtest's capture, in one piece so that parallel tests do not mix their lines.
    std::io::stderr().write_all(format!("\n{text}\n").as_bytes()).ok();
}
