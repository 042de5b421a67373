//! `rosa recv`: the events that are new since the last acknowledged one.
//!
//! The store is the truth and the stream only says that there is something new: events come from `events.fetch` in the order
//! of their `seq`, each once, also when this reader was too slow or the owner of the profile changed meanwhile.

use std::{sync::Arc, time::Duration};

use subrosa_client::{
    ApiError, Event, Handle, Reply, Request,
    api::{EventBody, EventStream, Kind, StreamItem, time::Timestamp},
    attach::filter::{check, matches},
};
use tokio::time::{Instant, sleep, timeout_at};

use crate::cli::{
    context::{Context, is_gone, reply_of},
    duration::millis,
    failure::Failure,
    flush,
    format::{self, time::Clock},
};

/// Events in one page.
const PAGE: u32 = 500;
/// How long the relay may take when `--timeout` says nothing.
const SYNC: Duration = Duration::from_secs(30);
/// How long `--follow` waits before it looks for a new owner of the profile.
const REOPEN: Duration = Duration::from_millis(200);
/// How long it looks when `--timeout` says nothing.
const REOPEN_WITHIN: Duration = Duration::from_secs(60);

/// Who acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Ack {
    /// What was printed is acknowledged, and with it everything before, also what --filter left out
    Auto,
    /// Nothing is; read on with --since: a cursor of one's own for each purpose
    Manual,
}

/// Prints the events that are new.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --follow and --timeout it fetches what the relay has, prints what is new, and exits 0, also when that is nothing.
With --timeout it waits that long for the first event, and exits 9 when none came.

Example: rosa recv --json --follow --filter 'message.*'")]
pub struct Args {
    /// Events after this seq instead of after the last acknowledged one
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// End after this many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max: Option<u64>,
    /// Go on, also when the profile gets another owner: a new one is waited for 60 s, or as long as --timeout says
    #[arg(long)]
    pub follow: bool,
    /// Who acknowledges. An acknowledgement covers everything before it, whoever reads with which --filter: to read for several
    /// purposes give each its own cursor with --ack manual and --since
    #[arg(long, value_enum, default_value = "auto")]
    pub ack: Ack,
    /// Only these events: message.received, message.*; may be given several times. With --ack auto what it leaves out is
    /// acknowledged too, and does not come again
    #[arg(long, value_name = "EVENT")]
    pub filter: Vec<String>,
}

/// # Errors
/// Exit code 2 for an event that does not exist, 9 when nothing came in time, 4 when the relay does not answer (what is stored is printed all the same).
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    check(&args.filter)?;
    let handle = context.open().await?;
    let deadline = context.global.timeout.map(|time| Instant::now() + time);
    let mut reader =
        Reader { context, args: &args, cursor: args.since, to_ack: None, printed: 0, clock: Clock::here() };
    reader.all(handle, deadline).await
}

struct Reader<'a> {
    context: &'a Context,
    args: &'a Args,
    /// The last event printed; `None` reads on after the last acknowledged one.
    cursor: Option<u64>,
    /// What was printed up to here is to be acknowledged: the owner may have ended before it was.
    to_ack: Option<u64>,
    printed: u64,
    clock: Clock,
}

/// What the wait for something new ended with.
enum Woken {
    News,
    TimeUp,
    OwnerEnded,
}

impl Reader<'_> {
    async fn all(&mut self, mut handle: Arc<dyn Handle>, deadline: Option<Instant>) -> Result<(), Failure> {
        // Before the first look into the store, so that nothing comes between.
        let mut stream = match handle.subscribe().await {
            Err(error) if self.goes_on_after(&error) => {
                let stream;
                (handle, stream) = self.reopen().await?;
                stream
            }
            other => other?,
        };
        let synced = if self.args.follow { Ok(()) } else { self.sync(&*handle, deadline).await };
        loop {
            match self.round(&*handle, &mut stream, deadline, &synced).await {
                Ok(Woken::News) => {}
                Ok(Woken::TimeUp) => break,
                Ok(Woken::OwnerEnded) if self.args.follow => (handle, stream) = self.reopen().await?,
                Ok(Woken::OwnerEnded) => {
                    let error = ApiError::new(Kind::NotReady, "the process that owned the profile has ended");
                    return Err(error.hint("run it again; nothing is lost").into());
                }
                // In the middle of fetching or acknowledging: the next owner goes on where this one was.
                Err(Failure::Error(error)) if self.goes_on_after(&error) => {
                    (handle, stream) = self.reopen().await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        flush::before_leaving(self.context, &*handle).await?;
        Ok(synced?)
    }

    fn goes_on_after(&self, error: &ApiError) -> bool {
        self.args.follow && is_gone(error)
    }

    /// Prints what is stored and waits for more. `TimeUp` ends all of it.
    async fn round(
        &mut self,
        handle: &dyn Handle,
        stream: &mut EventStream,
        deadline: Option<Instant>,
        synced: &Result<(), ApiError>,
    ) -> Result<Woken, Failure> {
        self.print_stored(handle).await?;
        if self.is_done(deadline) {
            return Ok(Woken::TimeUp);
        }
        if let Err(error) = synced {
            return Err(error.clone().into());
        }
        // Once the first has come, `--follow` goes on without a time.
        let until = if self.args.follow && self.printed > 0 { None } else { deadline };
        match self.wait(stream, until).await? {
            Woken::TimeUp if self.printed == 0 => {
                let error = ApiError::new(Kind::Timeout, "no event came in time");
                Err(error.hint("nothing is lost: the next `rosa recv` prints what comes later").into())
            }
            woken => Ok(woken),
        }
    }

    fn is_done(&self, deadline: Option<Instant>) -> bool {
        match self.args.max {
            Some(max) if self.printed >= max => true,
            _ if self.args.follow => false,
            _ => deadline.is_none() || self.printed > 0,
        }
    }

    async fn sync(&self, handle: &dyn Handle, deadline: Option<Instant>) -> Result<(), ApiError> {
        let within = deadline.map_or(SYNC, |at| at.saturating_duration_since(Instant::now()).min(SYNC));
        match self.context.call(handle, Request::SyncWait { timeout_ms: millis(within) }).await {
            // The time was for the first event; that it is up is told by its exit code.
            Err(error) if error.kind == Kind::Timeout && deadline.is_some() => Ok(()),
            other => other.map(drop),
        }
    }

    async fn print_stored(&mut self, handle: &dyn Handle) -> Result<(), Failure> {
        self.acknowledge(handle).await?;
        loop {
            let left = self.args.max.map_or(u64::MAX, |max| max.saturating_sub(self.printed));
            let max = u32::try_from(left).unwrap_or(u32::MAX).min(PAGE);
            if max == 0 {
                return Ok(());
            }
            let request = Request::EventsFetch { since: self.cursor, max, filter: self.args.filter.clone() };
            let reply = self.context.call(handle, request).await?;
            let page = reply_of!(reply, Reply::Events(page) => page)?;
            if let Some((from, to)) = page.gap {
                self.gap(handle, from, to).await?;
                // Told once, also when the owner ends before the events after it are acknowledged.
                self.cursor = Some(to.max(self.cursor.unwrap_or(0)));
            }
            let last = page.events.iter().filter_map(|event| event.seq).next_back();
            for event in &page.events {
                self.print(event)?;
            }
            if let Some(seq) = last {
                self.cursor = Some(seq);
                self.to_ack = (self.args.ack == Ack::Auto).then_some(seq);
                self.acknowledge(handle).await?;
            }
            if !page.more || last.is_none() {
                return Ok(());
            }
        }
    }

    async fn acknowledge(&mut self, handle: &dyn Handle) -> Result<(), Failure> {
        if let Some(seq) = self.to_ack {
            self.context.call(handle, Request::EventsAck { seq }).await?;
            self.to_ack = None;
        }
        Ok(())
    }

    fn print(&mut self, event: &Event) -> Result<(), Failure> {
        self.context.out.either(event, || format::event::event(event, &self.clock))?;
        self.printed += 1;
        Ok(())
    }

    async fn gap(&mut self, handle: &dyn Handle, from: u64, to: u64) -> Result<(), Failure> {
        let reply = self.context.call(handle, Request::AccountShow {}).await?;
        let account = reply_of!(reply, Reply::Account(account) => account.address)?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let body = EventBody::SystemGap { from, to };
        let event = Event { v: 1, seq: None, ts: Timestamp(millis(now)), account, body };
        self.context.out.either(&event, || format::event::event(&event, &self.clock))
    }

    /// Until something is in the store that was not. What is not stored is printed at once.
    async fn wait(&mut self, stream: &mut EventStream, until: Option<Instant>) -> Result<Woken, Failure> {
        loop {
            let item = match until {
                Some(at) => match timeout_at(at, stream.next()).await {
                    Ok(item) => item,
                    Err(_) => return Ok(Woken::TimeUp),
                },
                None => stream.next().await,
            };
            match item {
                StreamItem::End => return Ok(Woken::OwnerEnded),
                StreamItem::Gap { .. } => {}
                StreamItem::Event(event) => match event.seq {
                    Some(seq) if self.cursor.is_some_and(|cursor| seq <= cursor) => continue,
                    Some(_) if !self.wants(&event) => continue,
                    Some(_) => {}
                    None if self.args.follow && self.wants(&event) => {
                        self.print(&event)?;
                        if self.is_done(until) {
                            return Ok(Woken::News);
                        }
                        continue;
                    }
                    None => continue,
                },
            }
            return Ok(Woken::News);
        }
    }

    fn wants(&self, event: &Event) -> bool {
        matches(&self.args.filter, event.body.kind().name())
    }

    /// The owner ended: another one may take its place, or this process does.
    async fn reopen(&self) -> Result<(Arc<dyn Handle>, EventStream), Failure> {
        self.context.close().await;
        let began = Instant::now();
        let within = self.context.global.timeout.unwrap_or(REOPEN_WITHIN);
        loop {
            sleep(REOPEN).await;
            let opened = match self.context.open().await {
                Ok(handle) => handle.subscribe().await.map(|stream| (handle, stream)).map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            match opened {
                Err(_) if began.elapsed() < within => {}
                other => return other,
            }
        }
    }
}
