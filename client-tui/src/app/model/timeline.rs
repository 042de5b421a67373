//! The part of a chat's history that is in memory: a window without holes, and the place the view is anchored to.

use subrosa_client::api::{HistoryPage, Message, MessageState};

/// Messages asked for at once.
pub const PAGE: u32 = 100;
/// Messages kept in memory at most; what is far from the view is dropped and loaded again when it is scrolled to.
pub const WINDOW_MAX: usize = 500;

/// Where the view is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the newest message, following what comes.
    Bottom,
    /// At a message: this line of it stands at the top, whatever comes and however wide the terminal is.
    Top {
        /// The message.
        order: i64,
        /// Its line.
        line: usize,
    },
}

/// The window.
#[derive(Debug)]
pub struct Timeline {
    messages: Vec<Message>,
    /// Whether there are older ones.
    pub more_before: bool,
    /// Whether there are newer ones.
    pub more_after: bool,
    /// Whether a page was asked for and has not come.
    pub loading: bool,
    /// Where the view is.
    pub position: Position,
    /// Messages that came while the view was elsewhere.
    pub new_below: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            more_before: false,
            more_after: false,
            loading: true,
            position: Position::Bottom,
            new_below: 0,
        }
    }
}

impl Timeline {
    /// The messages, ascending.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The newest in memory.
    #[must_use]
    pub fn last(&self) -> Option<&Message> {
        self.messages.last()
    }

    /// The oldest in memory.
    #[must_use]
    pub fn first(&self) -> Option<&Message> {
        self.messages.first()
    }

    /// The place of the first message that is not older than `order`.
    #[must_use]
    pub fn place(&self, order: i64) -> usize {
        self.messages.partition_point(|message| message.order < order)
    }

    /// A message by its order.
    #[must_use]
    pub fn find(&self, order: i64) -> Option<&Message> {
        self.messages.get(self.place(order)).filter(|message| message.order == order)
    }

    /// A message by its id.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Message> {
        self.messages.iter().rev().find(|message| message.id == id)
    }

    /// Whether the view follows the newest message.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.position == Position::Bottom && !self.more_after
    }

    /// Replaces the window.
    pub fn replace(&mut self, page: HistoryPage) {
        self.messages = page.messages;
        self.more_before = page.more_before;
        self.more_after = page.more_after;
        self.loading = false;
    }

    /// Adds an older page.
    pub fn prepend(&mut self, page: HistoryPage) {
        self.loading = false;
        self.more_before = page.more_before;
        let first = self.first().map_or(i64::MAX, |message| message.order);
        let older = page.messages.into_iter().filter(|message| message.order < first);
        self.messages.splice(0..0, older);
        if self.messages.len() > WINDOW_MAX && self.position != Position::Bottom {
            self.messages.truncate(WINDOW_MAX);
            self.more_after = true;
        }
    }

    /// Adds a newer page.
    pub fn append(&mut self, page: HistoryPage) {
        self.loading = false;
        self.more_after = page.more_after;
        let last = self.last().map_or(i64::MIN, |message| message.order);
        self.messages.extend(page.messages.into_iter().filter(|message| message.order > last));
        self.drop_oldest();
    }

    /// Takes the newest messages as they are now: states and notices may have changed. Does nothing when the window ends
    /// before the page begins.
    pub fn merge_tail(&mut self, page: HistoryPage) {
        let Some(from) = page.messages.first().map(|message| message.order) else {
            if !page.more_before {
                self.replace(page);
            }
            return;
        };
        let reaches = self.last().is_none_or(|last| last.order >= from) || !page.more_before;
        if self.more_after || !reaches {
            self.more_after = true;
            return;
        }
        let keep = self.place(from);
        if keep == 0 {
            self.more_before = page.more_before;
        }
        self.messages.truncate(keep);
        self.messages.extend(page.messages);
        self.drop_oldest();
    }

    /// A message came or was written. Tells whether it is in the window now.
    pub fn push(&mut self, message: Message) -> bool {
        if self.more_after {
            return false;
        }
        let place = self.place(message.order);
        match self.messages.get_mut(place) {
            Some(known) if known.order == message.order => *known = message,
            _ => self.messages.insert(place, message),
        }
        self.drop_oldest();
        true
    }

    /// A message has another place, behind those that are there.
    pub fn place_anew(&mut self, id: &str, order: i64) {
        let Some(at) = self.messages.iter().rposition(|message| message.id == id) else { return };
        if self.messages.get(at).is_some_and(|message| message.order != order) {
            let message = Message { order, ..self.messages.remove(at) };
            self.push(message);
        }
    }

    /// A message is another one now. Does nothing when it is not in the window.
    pub fn update(&mut self, message: Message) {
        let place = self.place(message.order);
        if let Some(known) = self.messages.get_mut(place).filter(|known| known.order == message.order) {
            *known = message;
        }
    }

    /// Whether a message is in the window, but before the newest page: what changed of it is not told with that.
    #[must_use]
    pub fn is_far(&self, id: &str) -> bool {
        let newest = if self.more_after { 0 } else { PAGE as usize };
        let far = self.messages.len().saturating_sub(newest);
        self.messages.iter().take(far).any(|message| message.id == id)
    }

    /// A message's state went on. It never goes back, but for being given up.
    pub fn advance(&mut self, id: &str, state: MessageState) -> bool {
        let found = self.messages.iter_mut().rev().find(|message| message.id == id);
        found.is_some_and(|message| advance(message, state))
    }

    fn drop_oldest(&mut self) {
        if self.messages.len() > WINDOW_MAX && self.position == Position::Bottom {
            self.messages.drain(..self.messages.len() - WINDOW_MAX);
            self.more_before = true;
        }
    }
}

/// Sets a message's state, if that is further than it is. Tells whether it is.
pub(crate) fn advance(message: &mut Message, state: MessageState) -> bool {
    let given_up = state == MessageState::Failed && rank(message.state) < rank(MessageState::Delivered);
    let further = given_up || rank(state) > rank(message.state);
    if further {
        message.state = state;
        if rank(state) > rank(MessageState::Queued) && state != MessageState::Failed {
            message.reason = None;
        }
    }
    further
}

const fn rank(state: MessageState) -> u8 {
    match state {
        MessageState::Held => 0,
        MessageState::Queued => 1,
        MessageState::Accepted | MessageState::Failed => 2,
        MessageState::Delivered | MessageState::Received => 3,
        MessageState::Read => 4,
    }
}
