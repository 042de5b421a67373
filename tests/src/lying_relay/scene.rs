//! People who know each other: made once in a process, copied for each test.

use std::{collections::BTreeMap, path::PathBuf, sync::OnceLock};

use subrosa_client::api::MessageState;

use super::{Account, Device, LyingRelay, Place, RelayKey, Someone, State};

/// alice and bob have accepted each other, every receipt is given; carol knows nobody. All are connected.
pub struct Scene {
    /// The relay.
    pub relay: LyingRelay,
    /// alice.
    pub alice: Someone,
    /// bob.
    pub bob: Someone,
    /// carol.
    pub carol: Someone,
    /// Where the stores are.
    pub folder: tempfile::TempDir,
}

/// What two friends wrote to each other before a test begins.
pub const BEFORE: [&str; 2] = ["hello bob", "hello alice"];

/// What is copied.
struct Made {
    accounts: BTreeMap<String, Account>,
    devices: BTreeMap<Place, Device>,
    stores: Vec<(String, Vec<u8>)>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let thread = std::thread::spawn(|| tokio::runtime::Runtime::new().unwrap().block_on(make()));
        thread.join().unwrap()
    })
}

async fn make() -> Made {
    let relay = LyingRelay::start();
    let folder = tempfile::tempdir().unwrap();
    let [alice, bob, carol] = [
        Someone::register(&relay, folder.path(), "alice").await,
        Someone::register(&relay, folder.path(), "bob").await,
        Someone::register(&relay, folder.path(), "carol").await,
    ];
    let first = alice.send("bob", BEFORE[0]).await;
    bob.until_text("alice", BEFORE[0]).await;
    let second = bob.send("alice", BEFORE[1]).await;
    alice.until_state(&first, MessageState::Delivered).await;
    bob.until_state(&second, MessageState::Delivered).await;
    for someone in [&alice, &bob] {
        relay.until_dealt_with(&someone.name, 1).await;
    }
    let mut stores = Vec::new();
    for someone in [alice, bob, carol] {
        let name = someone.name.clone();
        stores.push((name, std::fs::read(someone.stop().await).unwrap()));
    }
    let (accounts, devices) = relay.snapshot();
    Made { accounts, devices, stores }
}

impl Scene {
    /// A scene of its own for one test.
    pub async fn friends() -> Self {
        let scene = Self::before_connecting(|_| {}).await;
        for someone in [&scene.alice, &scene.bob, &scene.carol] {
            someone.until_synced().await;
        }
        scene
    }

    /// The same, where the relay is told something before anybody connects.
    pub async fn before_connecting(tell: impl FnOnce(&mut State)) -> Self {
        let made = tokio::task::spawn_blocking(made).await.unwrap();
        let mut state =
            State { accounts: made.accounts.clone(), devices: made.devices.clone(), ..State::default() };
        tell(&mut state);
        let relay = LyingRelay::start_with(RelayKey::generate(), ([127, 0, 0, 1], 0).into(), state);
        let folder = tempfile::tempdir().unwrap();
        let mut people = Vec::new();
        for (name, bytes) in &made.stores {
            let path: PathBuf = folder.path().join(format!("{name}-1.db"));
            std::fs::write(&path, bytes).unwrap();
            people.push(Someone::open(&relay, &path).await);
        }
        let Ok([alice, bob, carol]) = <[Someone; 3]>::try_from(people) else { unreachable!() };
        Self { relay, alice, bob, carol, folder }
    }
}
