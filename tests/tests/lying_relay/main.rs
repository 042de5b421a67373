//! What a lying relay can do, one manipulation a test: without effect, refused, or shown; never silent. After the lie the
//! conversation goes on where it can. docs/SECURITY.md has the table.
//!
//! | module | what the relay lies about |
//! |---|---|
//! | `bundles` | prekey bundles |
//! | `lists` | device lists and account keys |
//! | `envelopes` | ciphertexts: altered, repeated, dropped, given to others |
//! | `mailbox` | places, pages, pushes and acknowledgements |
//! | `answers` | what it answers, and that it knows a device at all |
//! | `wire` | frames and the stream |
//! | `words` | texts for people, through real `rosa` processes |
//! | `login` | its own key, and OPAQUE |
//!
//! The tests run in one process with real engines over real QUIC. Environment: `SUBROSA_LYING_FLOOD`, envelopes and
//! pushes of the floods (default 400); `SUBROSA_LYING_FLIPS`, places at which an envelope is altered (default 12).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod bundles;
mod envelopes;
mod lists;
mod login;
mod mailbox;
mod wire;
mod words;

use subrosa_tests::lying_relay::{BEFORE, Scene, Someone};

/// A size from the environment.
fn size(name: &str, quick: usize) -> usize {
    std::env::var(name).map_or(quick, |text| text.parse().unwrap())
}

/// What two friends have in their chat: what was there before, and this.
fn with_before(texts: &[&str]) -> Vec<String> {
    BEFORE.iter().chain(texts).map(|text| (*text).to_owned()).collect()
}

/// The relay tells the truth again: both friends reach each other, and each text is there once.
async fn goes_on(scene: &Scene) {
    scene.relay.be_honest();
    for someone in [&scene.alice, &scene.bob] {
        someone.reconnect().await;
        someone.until_synced().await;
    }
    talk(&scene.alice, &scene.bob).await;
}

/// Each writes, and the other reads it once.
async fn talk(one: &Someone, other: &Someone) {
    for (from, to) in [(one, other), (other, one)] {
        let text = format!("{} can write again", from.name);
        from.send(&to.name, &text).await;
        to.until_text(&from.name, &text).await;
    }
}
