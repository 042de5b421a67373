//! What can lie over the conversation: pages to read, the palette, search, questions.

use crate::app::{commands::Command, keymap::Place, text::editor::Editor};

use super::SearchBox;

/// A page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// What is valid in a place.
    Help(Place),
    /// One command.
    Command(&'static str),
    /// All keys.
    Keys,
    /// Connection and queues.
    Status,
    /// Details of the message of this `order`.
    Info(i64),
    /// What is known of a room: its label, and line by line what there is to say.
    Room(String, Vec<(String, String)>),
    /// The members of a room: its label, and for each who and what.
    Members(String, Vec<(String, String)>),
    /// The rooms of this profile, and the relay's public ones: for each what it is called and what there is to say.
    Rooms(Vec<(String, String)>),
}

/// Something the palette offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An existing chat, or somebody to begin one with.
    Chat,
    /// A command.
    Command,
}

/// A line of the palette.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaletteItem {
    /// What it is.
    pub target: Target,
    /// The name of the chat or command.
    pub name: String,
    /// What is shown beside it.
    pub detail: String,
}

/// The palette.
#[derive(Debug, Default)]
pub struct Palette {
    /// What is typed.
    pub editor: Editor,
    /// Everything there is.
    pub all: Vec<PaletteItem>,
    /// What matches, best first: places in `all`.
    pub matching: Vec<usize>,
    /// The chosen line of `matching`.
    pub at: usize,
}

impl Palette {
    /// The chosen item.
    #[must_use]
    pub fn chosen(&self) -> Option<&PaletteItem> {
        self.matching.get(self.at).and_then(|place| self.all.get(*place))
    }
}

/// What an answer to a question does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Inserts a pasted text.
    Paste(String),
    /// Runs a command.
    Run(String),
    /// Sends a text.
    Send(String),
    /// The numbers were compared and match.
    Verified {
        /// Whose.
        name: String,
        /// The number that was shown.
        number: String,
    },
    /// The changed key is accepted without comparing.
    Trusted {
        /// Whose.
        name: String,
        /// The number that was shown.
        number: String,
    },
    /// An own message is taken back, or somebody's.
    TakeBack(String),
    /// A sign is put beside a message, or taken away.
    Sign {
        /// The message's id.
        id: String,
        /// The sign.
        sign: String,
        /// Whether it is taken away.
        undo: bool,
    },
    /// Another sign than those that are offered is to be typed.
    OtherSign {
        /// The message's id.
        id: String,
        /// Whose it is and how it begins.
        preview: String,
    },
    /// Nothing.
    Leave,
}

/// A way to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The key.
    pub key: char,
    /// What it does.
    pub label: String,
    /// What it does.
    pub answer: Answer,
}

/// A question with keys of its own. Esc always leaves everything as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub title: String,
    /// What there is to know.
    pub lines: Vec<String>,
    /// The ways to answer.
    pub choices: Vec<Choice>,
}

/// What lies over the conversation.
#[derive(Debug)]
pub enum Overlay {
    /// A page, scrolled down by so many lines.
    Page(Page, usize),
    /// The palette.
    Palette(Palette),
    /// Search.
    Search(SearchBox),
    /// A question.
    Question(Question),
}

impl Page {
    /// What stands above the page.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Help(place) => format!("Help: {}", place.title()),
            Self::Command(name) => format!("Help: /{name}"),
            Self::Keys => "Keys".to_owned(),
            Self::Status => "Status".to_owned(),
            Self::Info(_) => "Message".to_owned(),
            Self::Rooms(_) => "Rooms".to_owned(),
            Self::Room(room, _) => room.clone(),
            Self::Members(room, members) => format!("Members of {room} ({})", members.len()),
        }
    }
}

impl From<&'static Command> for PaletteItem {
    fn from(command: &'static Command) -> Self {
        Self { target: Target::Command, name: command.name.to_owned(), detail: command.help.to_owned() }
    }
}
