//! The line mode: the same model and update, told in lines that are only ever appended. Not one escape byte, nothing drawn
//! over, so that a screen reader, a dumb terminal and a pipe read it alike.

mod printer;

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write},
    time::Duration,
};

use jiff::tz::TimeZone;
use subrosa_client::{ApiError, Request, api::Kind};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

pub use printer::Printer;

use super::{
    engine::{Engine, Incoming},
    model::{Model, Size},
    runtime::{Ends, now},
    session::{ExitReason, Session},
    update::{Effect, Msg, next_tick, update},
};

/// The screen the update believes in: nothing is drawn on it.
const SIZE: Size = Size { width: 80, height: 24 };
/// Lines read ahead at most.
const LINES: usize = 1_000;
/// Bytes of a line that are read.
const LINE_BYTES: u64 = 64 * 1024;
/// Lines of a terminal that come within this time after another were pasted.
const PASTE: Duration = Duration::from_millis(15);
/// How long the next line waits for the answers to the one before.
const PATIENCE: Duration = Duration::from_secs(35);

/// Runs the line mode on the standard streams.
///
/// # Errors
/// When the output cannot be written to, or the profile cannot be opened.
pub async fn run(session: Session) -> anyhow::Result<ExitReason> {
    let typed = io::stdin().is_terminal();
    let session = if session.open.is_some() { session } else { unlock(session).await? };
    run_on(session, read_lines(), io::stdout(), typed, TimeZone::system()).await
}

/// Asks for the passphrase without echo, where somebody can be asked.
async fn unlock(mut session: Session) -> anyhow::Result<Session> {
    if !io::stdin().is_terminal() {
        let error =
            ApiError::new(Kind::NotReady, "the profile is locked, and there is no terminal to ask at");
        return Err(error
            .hint("start `rosa daemon` first, or give the passphrase with --passphrase-file")
            .into());
    }
    let passphrase = tokio::task::spawn_blocking(|| rpassword::prompt_password("passphrase: ")).await??;
    session.open = Some(session.door.unlock(passphrase.into()).await?);
    Ok(session)
}

/// Reads the standard input, line by line, in a thread of its own: reading it cannot be given up.
fn read_lines() -> mpsc::Receiver<String> {
    let (to_loop, lines) = mpsc::channel(LINES);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut bytes = Vec::new();
            let read = io::Read::take(&mut input, LINE_BYTES).read_until(b'\n', &mut bytes);
            if !matches!(read, Ok(1..)) {
                return;
            }
            let line = String::from_utf8_lossy(&bytes);
            if to_loop.blocking_send(line.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
                return;
            }
        }
    });
    lines
}

/// Runs the line mode on lines from somewhere. `typed` tells that a person types them, so that several at once are a paste.
///
/// # Errors
/// When the output cannot be written to.
pub async fn run_on(
    session: Session,
    mut lines: mpsc::Receiver<String>,
    out: impl Write,
    typed: bool,
    zone: TimeZone,
) -> anyhow::Result<ExitReason> {
    let (engine, mut from_outside) = Engine::new(session.door);
    let mut model = Model::new(session.profile, session.settings, SIZE, zone, now());
    model.first_chat = session.chat;
    let mut plain =
        Plain { model, engine, printer: Printer::default(), out, exit: None, last_activity: Instant::now() };
    let begun = match session.open {
        Some(handle) => {
            plain.engine.adopt(handle).await?;
            plain.take(Msg::Unlocked(Ok(())), &mut from_outside).await
        }
        None => Ok(()),
    };
    let result = match begun {
        Ok(()) => plain.turn(&mut lines, &mut from_outside, typed).await,
        Err(error) => Err(error),
    };
    plain.engine.lock(&mut from_outside).await;
    match result {
        // Whoever read has had enough (`| head -1`).
        Err(error) if is_closed(&error) => Ok(ExitReason::Quit),
        other => other,
    }
}

struct Plain<W: Write> {
    model: Model,
    engine: Engine,
    printer: Printer,
    out: W,
    exit: Option<ExitReason>,
    last_activity: Instant,
}

impl<W: Write> Plain<W> {
    async fn turn(
        &mut self,
        lines: &mut mpsc::Receiver<String>,
        from_outside: &mut mpsc::Receiver<Incoming>,
        typed: bool,
    ) -> anyhow::Result<ExitReason> {
        let mut ends = Ends::new()?;
        loop {
            self.tell()?;
            if let Some(reason) = self.exit {
                return Ok(reason);
            }
            let tick = Duration::from_millis(next_tick(&self.model).0.saturating_sub(now().0));
            // A line is read when what the one before asked for was answered: it may depend on it.
            let ready = self.engine.outstanding == 0 || self.last_activity.elapsed() > PATIENCE;
            let patience = sleep_until(self.last_activity + PATIENCE);
            tokio::select! {
                line = lines.recv(), if ready => match line {
                    Some(line) => {
                        self.last_activity = Instant::now();
                        let msg = if typed { paste_or_line(line, lines).await } else { Msg::Line(line) };
                        self.take(msg, from_outside).await?;
                    }
                    None => self.take(Msg::Terminate, from_outside).await.map(|()| self.exit = Some(ExitReason::Quit))?,
                },
                () = patience, if !ready => {}
                Some(incoming) = from_outside.recv() => self.incoming(incoming, from_outside).await?,
                () = sleep(tick) => self.take(Msg::Tick, from_outside).await?,
                () = ends.next() => self.take(Msg::Terminate, from_outside).await?,
            }
        }
    }

    async fn incoming(
        &mut self,
        incoming: Incoming,
        from_outside: &mut mpsc::Receiver<Incoming>,
    ) -> anyhow::Result<()> {
        match incoming {
            Incoming::Opened(handle, events) => {
                self.engine.opened(handle, events);
                self.take(Msg::Unlocked(Ok(())), from_outside).await
            }
            Incoming::Msg(epoch, msg) if self.engine.accepts(epoch, &msg) => {
                self.take(*msg, from_outside).await
            }
            Incoming::Msg(..) => Ok(()),
        }
    }

    async fn take(&mut self, msg: Msg, from_outside: &mut mpsc::Receiver<Incoming>) -> anyhow::Result<()> {
        for effect in update(&mut self.model, now(), msg) {
            match effect {
                Effect::Call(purpose, request) => {
                    if let Request::MessageSend(send) = &request {
                        send.to.iter().for_each(|chat| self.printer.typed(chat, &send.text));
                    }
                    self.engine.call(purpose, request);
                }
                Effect::Quit(reason) => self.exit = Some(reason),
                Effect::Lock => {
                    self.engine.lock(from_outside).await;
                    writeln!(self.out, "* locked")?;
                    self.exit = Some(ExitReason::Locked);
                }
                // There is no screen to unlock, edit or redraw at, and nothing but lines is written.
                Effect::Unlock(_) | Effect::Edit(_) | Effect::Suspend | Effect::Redraw => {}
                Effect::Copy(_) | Effect::Notify(_) => {}
            }
        }
        self.tell()
    }

    /// Prints what is new.
    fn tell(&mut self) -> anyhow::Result<()> {
        let lines = self.printer.lines(&mut self.model);
        for line in &lines {
            // The third lock: nothing that is not text leaves here.
            let safe: String = line.chars().filter(|c| !c.is_control()).collect();
            writeln!(self.out, "{safe}")?;
        }
        if !lines.is_empty() {
            self.out.flush()?;
        }
        Ok(())
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A line that is followed by others at once was pasted, and nothing pasted runs as a command.
async fn paste_or_line(first: String, lines: &mut mpsc::Receiver<String>) -> Msg {
    let mut all = first;
    let mut more = false;
    while let Ok(Some(line)) = timeout(PASTE, lines.recv()).await {
        more = true;
        if all.len() + line.len() < usize::try_from(LINE_BYTES).unwrap_or(usize::MAX) {
            all.push('\n');
            all.push_str(&line);
        }
    }
    if more { Msg::Lines(all) } else { Msg::Line(all) }
}
