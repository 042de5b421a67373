//! `rosa demo`: a relay in this process on a free loopback port, in a temporary folder, with two throw-away accounts, one of
//! them an echo. At a terminal the application opens in their conversation; without one a scripted conversation is held, and
//! it fails unless every line of it went through QUIC, the relay, the ratchet and both stores.
//!
//! | module | what it does |
//! |---|---|
//! | [`world`] | the relay and the two accounts |
//! | [`echo`] | the account that answers |
//! | [`script`] | the conversation without a terminal, and the proof |

pub mod echo;
pub mod script;
pub mod world;

use std::{
    io::{self, IsTerminal},
    pin::pin,
    sync::Arc,
};

use subrosa_client::Handle;
use zeroize::Zeroizing;

use self::world::World;
use crate::{
    app::{Door, ExitReason, Locking, Session, Settings, Unlocking},
    cli::{context::Context, failure::Failure, signals::Signals, verbs::application::on_terminal},
};

/// # Errors
/// When anything of it does not work.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let screen = io::stdin().is_terminal() && io::stdout().is_terminal() && !context.out.json;
    context.note("starting a relay and registering two accounts …");
    // At a signal it is ended in order once it has started, so that its folder goes.
    let mut starting = pin!(World::start());
    let world = tokio::select! {
        world = &mut starting => world?,
        number = signals.next() => {
            starting.await?.end().await;
            return Err(Failure::Signal(number));
        }
    };
    let echo = tokio::spawn(echo::run(Arc::new(world.echo.clone())));
    let outcome = if screen {
        // The application sees to signals itself, and puts the terminal back.
        show(&world).await
    } else {
        tokio::select! {
            outcome = script::run(context, &world) => outcome,
            number = signals.next() => Err(Failure::Signal(number)),
        }
    };
    echo.abort();
    world.end().await;
    outcome
}

/// Opens the application in a conversation that has begun.
async fn show(world: &World) -> Result<(), Failure> {
    script::say(&world.alice, "hello, is anybody there?").await?;
    let handle: Arc<dyn Handle> = Arc::new(world.alice.clone());
    let session = Session {
        profile: "demo".to_owned(),
        door: Arc::new(OpenDoor(Arc::clone(&handle))),
        open: Some(handle),
        chat: Some(world::ECHO.to_owned()),
        settings: Settings::default(),
        scratch: None,
        lock_ends: false,
    };
    match on_terminal(session, false).await? {
        ExitReason::Quit | ExitReason::Locked => Ok(()),
        ExitReason::Terminated => Err(Failure::Signal(15)),
    }
}

/// Nothing here is worth a lock: any passphrase opens it.
struct OpenDoor(Arc<dyn Handle>);

impl Door for OpenDoor {
    fn unlock(&self, _: Zeroizing<String>) -> Unlocking<'_> {
        Box::pin(std::future::ready(Ok(Arc::clone(&self.0))))
    }

    fn lock(&self) -> Locking<'_> {
        Box::pin(std::future::ready(()))
    }
}
