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
    sync::Arc,
};

use subrosa_client::{Handle, api::Kind};
use zeroize::Zeroizing;

use self::world::World;
use crate::{
    app::{self, Door, ExitReason, Locking, Session, Settings, Unlocking},
    cli::{context::Context, failure::Failure},
};

/// # Errors
/// When anything of it does not work.
pub async fn run(context: &Context) -> Result<(), Failure> {
    let screen = io::stdin().is_terminal() && io::stdout().is_terminal() && !context.out.json;
    context.note("starting a relay and registering two accounts …");
    let world = World::start().await?;
    let echo = tokio::spawn(echo::run(Arc::new(world.echo.clone())));
    let outcome = if screen { show(&world).await } else { script::run(context, &world).await };
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
    let plain = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let ended = if plain { app::plain::run(session).await } else { app::run(session).await };
    match ended
        .map_err(|error| Failure::new(Kind::Internal, format!("the terminal cannot be used: {error}")))?
    {
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
