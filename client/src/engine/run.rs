//! The engine's thread: whatever happens goes into the machine, and its effects are carried out.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    outside::{Clock, randomness, until},
    subscribers::Subscribers,
};
use crate::{
    api::{ApiError, Event, EventBody, EventStream, Reply, Request, time::Timestamp},
    core::{Core, Effect, Input},
    net::{LinkCommand, LinkEvent},
};

/// What the engine's handles ask.
pub(super) enum Command {
    Call {
        request: Request,
        answer: oneshot::Sender<Result<Reply, ApiError>>,
    },
    Subscribe {
        answer: oneshot::Sender<Result<EventStream, ApiError>>,
    },
    /// As soon as everything is told that can be told, and within [`FINISH`].
    Finish,
    Shutdown,
}

/// Inputs that are dealt with together, at most.
const TOGETHER: usize = 256;
/// How long inputs are taken in before their effects are carried out: far less than a person notices (R18).
const TOGETHER_FOR: Duration = Duration::from_millis(20);
/// How often readers that are behind are looked after.
const CATCH_UP: Duration = Duration::from_millis(250);
/// How long telling what is due may take.
const FINISH: Duration = Duration::from_secs(3);
/// How long the connection may take to write what is waiting at the end.
const FLUSH: Duration = Duration::from_secs(2);

pub(super) struct Runner {
    core: Core,
    commands: mpsc::Receiver<Command>,
    link: mpsc::Sender<LinkCommand>,
    /// Commands for which the connection has no room yet. The machine never has more under way than one request a
    /// device and a handful of others.
    link_queue: VecDeque<LinkCommand>,
    events: mpsc::Receiver<LinkEvent>,
    task: Option<JoinHandle<()>>,
    subscribers: Subscribers,
    answers: HashMap<u64, oneshot::Sender<Result<Reply, ApiError>>>,
    next_token: u64,
    clock: Clock,
    version: String,
    behind: bool,
    /// The engine ends at this time at the latest (ms since 1970), and once everything is told.
    finish_by: Option<u64>,
}

/// What happens next.
// It lives from where it is made to where it is used: boxing it would cost more than it saves.
#[allow(clippy::large_enum_variant)]
enum Next {
    Command(Option<Command>),
    Link(LinkEvent),
    Wake,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    End,
}

impl Runner {
    pub(super) fn new(
        core: Core,
        commands: mpsc::Receiver<Command>,
        link: mpsc::Sender<LinkCommand>,
        events: mpsc::Receiver<LinkEvent>,
        task: Option<JoinHandle<()>>,
        version: String,
    ) -> Self {
        Self {
            core,
            commands,
            link,
            link_queue: VecDeque::new(),
            events,
            task,
            subscribers: Subscribers::default(),
            answers: HashMap::new(),
            next_token: 0,
            clock: Clock::default(),
            version,
            behind: false,
            finish_by: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut go = self.feed(Input::Wake);
        while go == Go::On {
            go = self.turn().await;
        }
        self.end().await;
    }

    async fn turn(&mut self) -> Go {
        let now = self.clock.now();
        if self.finish_by.is_some_and(|by| by <= now || self.core.is_settled(now)) {
            return Go::End;
        }
        let wake = self.core.wake_at().map_or(Duration::from_secs(3600), |at| until(now, at));
        let wake = if self.behind || self.finish_by.is_some() { wake.min(CATCH_UP) } else { wake };
        let next = tokio::select! {
            biased;
            room = self.link.reserve(), if !self.link_queue.is_empty() => {
                match (room, self.link_queue.pop_front()) {
                    (Ok(room), Some(command)) => room.send(command),
                    // Not connected at all: there is nobody to tell.
                    _ => self.link_queue.clear(),
                }
                return Go::On;
            }
            command = self.commands.recv() => Next::Command(command),
            Some(event) = self.events.recv() => Next::Link(event),
            () = tokio::time::sleep(wake) => Next::Wake,
        };
        match next {
            Next::Command(Some(command)) => self.obey(command),
            Next::Command(None) => Go::End,
            Next::Link(event) => self.take_in(input(event)),
            Next::Wake => {
                self.behind = self.subscribers.catch_up();
                self.feed(Input::Wake)
            }
        }
    }

    fn obey(&mut self, command: Command) -> Go {
        match command {
            Command::Call { request, answer } => {
                let request = asked(&mut self.next_token, &mut self.answers, request, answer);
                self.take_in(request)
            }
            Command::Subscribe { answer } => {
                let ready = self.event(EventBody::SystemReady { version: self.version.clone() });
                // Who asked may be gone already.
                let _ = answer.send(self.subscribers.add(ready));
                Go::On
            }
            Command::Finish => {
                let by = self.clock.now().saturating_add(FINISH.as_millis().try_into().unwrap_or(u64::MAX));
                self.finish_by = Some(by);
                Go::On
            }
            Command::Shutdown => Go::End,
        }
    }

    /// Takes in this and what else is waiting already: many inputs share one commit.
    fn take_in(&mut self, first: Input) -> Go {
        let (now, until) = (self.clock.now(), Instant::now() + TOGETHER_FOR);
        let mut other = None;
        let Self { core, commands, events, answers, next_token, .. } = self;
        let mut left = TOGETHER;
        let waiting = std::iter::from_fn(|| {
            left -= 1;
            if left == 0 || other.is_some() || Instant::now() >= until {
                return None;
            }
            // Taken in turn: neither side keeps the other waiting.
            let event = |events: &mut mpsc::Receiver<LinkEvent>| events.try_recv().ok().map(input);
            if left.is_multiple_of(2)
                && let Some(event) = event(events)
            {
                return Some(event);
            }
            match commands.try_recv() {
                Ok(Command::Call { request, answer }) => Some(asked(next_token, answers, request, answer)),
                Ok(command) => {
                    other = Some(command);
                    None
                }
                Err(_) => event(events),
            }
        });
        let effects = core.handle_all(std::iter::once(first).chain(waiting.fuse()), now, &mut randomness());
        let go = self.carry_out(effects);
        match other {
            Some(command) if go == Go::On => self.obey(command),
            _ => go,
        }
    }

    fn feed(&mut self, input: Input) -> Go {
        let now = self.clock.now();
        let effects = self.core.handle(input, now, &mut randomness());
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Go {
        let mut go = Go::On;
        for effect in effects {
            match effect {
                Effect::Send(frame) => self.link_queue.push_back(LinkCommand::Send(frame)),
                Effect::Drop => self.link_queue.push_back(LinkCommand::Drop),
                Effect::Reconnect => self.link_queue.push_back(LinkCommand::Reconnect),
                Effect::Block => self.link_queue.push_back(LinkCommand::Block),
                Effect::Reply { token, result } => {
                    if let Some(answer) = self.answers.remove(&token) {
                        let _ = answer.send(result);
                    }
                }
                Effect::Event(event) => {
                    self.subscribers.tell(&event);
                    self.behind = true;
                }
                Effect::Shutdown => go = Go::End,
            }
        }
        go
    }

    async fn end(mut self) {
        let farewell = self.event(EventBody::SystemShutdown {});
        self.subscribers.tell(&farewell);
        self.link_queue.push_back(LinkCommand::Finish);
        let flush = async {
            for command in self.link_queue.drain(..) {
                if self.link.send(command).await.is_err() {
                    break;
                }
            }
            // What still comes is not acknowledged and comes again.
            self.events.close();
            while self.events.recv().await.is_some() {}
            if let Some(task) = self.task.take() {
                let _ = task.await;
            }
        };
        if tokio::time::timeout(FLUSH, flush).await.is_err() {
            tracing::warn!("the connection did not end in time");
        }
        if let Err(error) = self.core.into_store().close() {
            tracing::error!(%error, "the store was not closed in order; the next start mends that");
        }
    }

    fn event(&mut self, body: EventBody) -> Event {
        let ts = Timestamp(self.clock.now());
        Event { v: 1, seq: None, ts, account: self.core.address().to_owned(), body }
    }
}

/// A front end's request, whose answer is remembered by a new token.
fn asked(
    next_token: &mut u64,
    answers: &mut HashMap<u64, oneshot::Sender<Result<Reply, ApiError>>>,
    request: Request,
    answer: oneshot::Sender<Result<Reply, ApiError>>,
) -> Input {
    *next_token = next_token.wrapping_add(1);
    answers.insert(*next_token, answer);
    Input::Request { token: *next_token, request }
}

fn input(event: LinkEvent) -> Input {
    match event {
        LinkEvent::Connecting => Input::Connecting,
        LinkEvent::Up { exporter, nonce, round_trip_ms } => Input::Up { exporter, nonce, round_trip_ms },
        LinkEvent::Frame(frame) => Input::Frame(frame),
        LinkEvent::RoundTrip(ms) => Input::RoundTrip(ms),
        LinkEvent::Down { reason, retry_in_ms } => Input::Down { reason, retry_in_ms },
        LinkEvent::Blocked(error) => Input::Blocked(error),
    }
}
