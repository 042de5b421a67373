//! Everything the application knows, as data. The update changes it, the view draws it; neither does anything else.
//!
//! All that came from messages lives in the [`Desk`], so that locking is forgetting one value (R49).

mod chats;
mod composer;
mod conversation;
mod desk;
mod laid;
mod lock;
mod openings;
mod overlay;
mod roster;
mod search;
mod timeline;

pub use chats::{Chats, is_muted, is_request, is_stopped, mark};
pub use composer::{Aim, Aimed, Completing, Composer, HISTORY_MAX, ReplyTo};
pub use conversation::{Conversation, Holders};
pub use desk::{Desk, Refresh};
pub use laid::{LAID_MAX, Laid};
pub use lock::{Locked, PASSPHRASE_BYTES};
pub use openings::{Opened, Openings};
pub use overlay::{Answer, Choice, Overlay, Page, Palette, PaletteItem, Question, Target};
pub use roster::{Roster, RosterRow};
pub use search::{Hits, SearchBox};
pub(crate) use timeline::advance;
pub use timeline::{PAGE, Position, Timeline, WINDOW_MAX};

use jiff::tz::TimeZone;
use subrosa_client::api::time::Timestamp;

use super::{keymap::Place, settings::Settings};

/// Cells of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something was done.
    Calm,
    /// Something was refused or failed.
    Bad,
}

/// A line about what was just done, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub tone: Tone,
    /// The line.
    pub text: String,
}

/// What is on the screen.
#[derive(Debug)]
pub enum Screen {
    /// The profile is locked: nothing of it is in memory.
    Locked(Locked),
    /// The profile is open.
    Open(Box<Desk>),
}

/// Everything the application knows.
#[derive(Debug)]
pub struct Model {
    /// The time, as of the last message.
    pub now: Timestamp,
    /// The zone times are shown in.
    pub zone: TimeZone,
    /// The terminal.
    pub size: Size,
    /// Whether the terminal has the focus; terminals that do not tell are taken to have it.
    pub focused: bool,
    /// What the person set.
    pub settings: Settings,
    /// The profile's name.
    pub profile: String,
    /// The chat to open when the profile opens.
    pub first_chat: Option<String>,
    /// What is on the screen.
    pub screen: Screen,
    /// A line about what was just done.
    pub notice: Option<Notice>,
    /// The help page over the lock screen.
    pub lock_help: bool,
    /// When the person last did something.
    pub last_input: Timestamp,
    /// When Ctrl-C was pressed last.
    pub interrupted: Option<Timestamp>,
    /// When the last notification was given.
    pub notified: Option<Timestamp>,
}

impl Model {
    /// A locked application.
    #[must_use]
    pub fn new(
        profile: impl Into<String>,
        settings: Settings,
        size: Size,
        zone: TimeZone,
        now: Timestamp,
    ) -> Self {
        Self {
            now,
            zone,
            size,
            focused: true,
            settings,
            profile: profile.into(),
            first_chat: None,
            screen: Screen::Locked(Locked::default()),
            notice: None,
            lock_help: false,
            last_input: now,
            interrupted: None,
            notified: None,
        }
    }

    /// The open profile.
    #[must_use]
    pub fn desk(&self) -> Option<&Desk> {
        match &self.screen {
            Screen::Open(desk) => Some(desk),
            Screen::Locked(_) => None,
        }
    }

    /// The open profile.
    pub fn desk_mut(&mut self) -> Option<&mut Desk> {
        match &mut self.screen {
            Screen::Open(desk) => Some(desk),
            Screen::Locked(_) => None,
        }
    }

    /// Where a key goes.
    #[must_use]
    pub fn place(&self) -> Place {
        let Screen::Open(desk) = &self.screen else {
            return if self.lock_help { Place::Page } else { Place::Lock };
        };
        match &desk.overlay {
            Some(Overlay::Page(..)) => Place::Page,
            Some(Overlay::Palette(_)) => Place::Palette,
            Some(Overlay::Search(_)) => Place::Search,
            Some(Overlay::Question(_)) => Place::Question,
            None if desk.open.as_ref().is_some_and(|open| open.selected.is_some()) => Place::Select,
            None if desk.hits.is_some() => Place::Hits,
            None => Place::Write,
        }
    }

    /// Tells what was done.
    pub fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { tone: Tone::Calm, text: text.into() });
    }

    /// Tells what was refused.
    pub fn complain(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { tone: Tone::Bad, text: text.into() });
    }
}
