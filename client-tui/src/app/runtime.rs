//! The loop of the full screen: brings messages to the update, carries its effects out, draws what changed.

use std::{
    io::{self, Write},
    path::PathBuf,
    pin::Pin,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, StreamExt as _};
use jiff::tz::TimeZone;
use subrosa_client::api::time::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

use super::{
    engine::{Engine, Incoming},
    model::{Model, Size},
    session::{ExitReason, Session},
    terminal::{Screen, editor, panicked, sequences},
    update::{Effect, Msg, next_tick, update},
};

/// What the terminal tells.
pub type Inputs = Pin<Box<dyn Stream<Item = Msg> + Send>>;
/// Makes the stream of what the terminal tells: anew after an external editor had the terminal.
pub type MakeInputs = Box<dyn Fn() -> Inputs + Send>;

/// Messages taken in before the screen is drawn again: enough for a burst, few enough that the screen lives.
const BATCH: usize = 500;

/// The time by the system's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The loop.
pub struct Runtime<W: Write> {
    model: Model,
    screen: Screen<W>,
    engine: Engine,
    from_outside: mpsc::Receiver<Incoming>,
    make_inputs: MakeInputs,
    inputs: Option<Inputs>,
    scratch: Option<PathBuf>,
    lock_ends: bool,
    exit: Option<ExitReason>,
}

impl<W: Write> Runtime<W> {
    /// Takes the terminal and draws the first frame, before anything else is done.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub async fn start(
        session: Session,
        mut screen: Screen<W>,
        size: Size,
        make_inputs: MakeInputs,
    ) -> anyhow::Result<Self> {
        let mut model = Model::new(session.profile, session.settings, size, TimeZone::system(), now());
        model.first_chat = session.chat;
        screen.enter()?;
        screen.draw(&model)?;
        let (engine, from_outside) = Engine::new(session.door);
        let mut runtime = Self {
            model,
            screen,
            engine,
            from_outside,
            inputs: Some(make_inputs()),
            make_inputs,
            scratch: session.scratch,
            lock_ends: session.lock_ends,
            exit: None,
        };
        if let Some(handle) = session.open {
            let adopted = runtime.engine.adopt(handle).await;
            runtime.take(Msg::Unlocked(adopted)).await?;
        }
        Ok(runtime)
    }

    /// Runs until the person quits, locks (where that ends it) or the terminal goes away. The profile is closed and the
    /// terminal given back.
    ///
    /// # Errors
    /// When the terminal cannot be used any more, or a part of the program panicked.
    pub async fn run(mut self) -> anyhow::Result<ExitReason> {
        let result = self.turn().await;
        let left = self.screen.leave();
        self.engine.lock(&mut self.from_outside).await;
        let reason = result?;
        left?;
        Ok(reason)
    }

    async fn turn(&mut self) -> anyhow::Result<ExitReason> {
        let mut terminate = Ends::new()?;
        let mut continued = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?;
        loop {
            self.screen.draw(&self.model)?;
            if let Some(reason) = self.exit {
                return Ok(reason);
            }
            let tick = Duration::from_millis(next_tick(&self.model).0.saturating_sub(now().0));
            let inputs = self.inputs.get_or_insert_with(|| (self.make_inputs)());
            tokio::select! {
                msg = inputs.next() => self.take(msg.unwrap_or(Msg::Terminate)).await?,
                Some(incoming) = self.from_outside.recv() => self.incoming(incoming).await?,
                () = tokio::time::sleep(tick) => self.take(Msg::Tick).await?,
                () = terminate.next() => self.take(Msg::Terminate).await?,
                _ = continued.recv() => {
                    self.screen.enter()?;
                    self.take(Msg::Resumed).await?;
                }
                () = panicked() => anyhow::bail!("a part of the program failed"),
            }
            // A burst is drawn once.
            for _ in 0..BATCH {
                match self.from_outside.try_recv() {
                    Ok(incoming) if self.exit.is_none() => self.incoming(incoming).await?,
                    _ => break,
                }
            }
        }
    }

    async fn incoming(&mut self, incoming: Incoming) -> anyhow::Result<()> {
        match incoming {
            Incoming::Opened(handle, events) => {
                self.engine.opened(handle, events);
                self.take(Msg::Unlocked(Ok(()))).await
            }
            Incoming::Msg(epoch, msg) if self.engine.accepts(epoch, &msg) => self.take(*msg).await,
            Incoming::Msg(..) => Ok(()),
        }
    }

    /// Takes a message in, and what follows of it.
    async fn take(&mut self, msg: Msg) -> anyhow::Result<()> {
        let mut messages = vec![msg];
        while let Some(msg) = messages.pop() {
            for effect in update(&mut self.model, now(), msg) {
                if let Some(msg) = self.effect(effect).await? {
                    messages.push(msg);
                }
            }
        }
        Ok(())
    }

    async fn effect(&mut self, effect: Effect) -> anyhow::Result<Option<Msg>> {
        match effect {
            Effect::Call(purpose, request) => self.engine.call(purpose, request),
            Effect::Unlock(secret) => {
                self.screen.draw(&self.model)?;
                self.engine.unlock(secret);
            }
            Effect::Lock => {
                // Hidden first, closed then.
                self.screen.draw(&self.model)?;
                self.engine.lock(&mut self.from_outside).await;
                if self.lock_ends {
                    self.exit = Some(ExitReason::Locked);
                }
            }
            Effect::Quit(reason) => self.exit = Some(reason),
            Effect::Copy(text) => self.screen.write(&sequences::copy(&text))?,
            Effect::Notify(text) => self.screen.write(&sequences::notify(&text))?,
            Effect::Redraw => self.screen.forget(),
            Effect::Suspend => {
                self.screen.leave()?;
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TSTP);
                self.screen.enter()?;
            }
            Effect::Edit(draft) => return Ok(Some(self.edit(draft).await?)),
        }
        Ok(None)
    }

    /// The external editor has the terminal; until it ends nothing is read from it here.
    async fn edit(&mut self, draft: String) -> io::Result<Msg> {
        self.inputs = None;
        self.screen.leave()?;
        let (program, scratch) = (self.model.settings.editor.clone(), self.scratch.clone());
        let edited =
            tokio::task::spawn_blocking(move || editor::edit(&draft, program.as_deref(), scratch.as_deref()))
                .await;
        self.screen.enter()?;
        if let Ok((width, height)) = crossterm::terminal::size() {
            self.model.size = Size { width, height };
        }
        Ok(Msg::Edited(edited.unwrap_or_else(|_| Err("the editor failed".to_owned()))))
    }
}

/// The signals that end the program.
pub(super) struct Ends([Signal; 3]);

impl Ends {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
        ]))
    }

    pub(super) async fn next(&mut self) {
        let [terminate, hangup, interrupt] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
