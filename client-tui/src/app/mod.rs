//! The terminal application: a model, an update that is a function of it, a view that is a function of it, and the
//! terminal at the edge.
//!
//! | module | what it does |
//! |---|---|
//! | [`model`] | everything the application knows, as data |
//! | [`mod@update`] | what happens when something happens: `(model, message) -> effects`, pure |
//! | [`view`] | the screen, a file a pane or overlay |
//! | [`layout`] | where everything is on the screen |
//! | [`keymap`] | which key does what, where: a table, from which help and hints come |
//! | [`commands`] | slash commands: a table, from which parsing, completion and help come |
//! | `hints` | what the engine says to do next, as it is done here |
//! | [`words`] | what states and notices are called |
//! | [`text`] | cells, wrapping, the line editor, times |
//! | [`terminal`] | bytes out, keys in, and everything a terminal can do |
//! | [`runtime`] | the loop: carries effects out, brings messages in |
//! | [`plain`] | the line mode: the same model and update without a screen |
//! | [`settings`] | what a person can set |

pub mod commands;
mod engine;
mod hints;
pub mod keymap;
pub mod layout;
pub mod model;
pub mod plain;
pub mod runtime;
mod session;
pub mod settings;
pub mod terminal;
pub mod text;
pub mod update;
pub mod view;
pub mod words;

use std::io::{self, IsTerminal as _};

use futures_util::StreamExt as _;

pub use session::{Door, ExitReason, Locking, Session, Unlocking};
pub use settings::Settings;

/// Runs the full screen on the process's terminal. The first frame is drawn before anything else is done.
///
/// # Errors
/// When there is no terminal, or it cannot be used any more.
pub async fn run(mut session: Session) -> anyhow::Result<ExitReason> {
    session.settings.color &= !no_color();
    let (width, height) = crossterm::terminal::size()?;
    let screen = terminal::Screen::real(io::stdout(), session.settings.mouse);
    terminal::restore_on_panic();
    let inputs = Box::new(|| terminal::input::events().boxed());
    runtime::Runtime::start(session, screen, model::Size { width, height }, inputs).await?.run().await
}

/// Whether the line mode is to be used: it was asked for, the terminal is dumb, or the output is no terminal.
#[must_use]
pub fn wants_plain(asked: bool) -> bool {
    let term = std::env::var("TERM").unwrap_or_default();
    asked || term.is_empty() || term == "dumb" || !io::stdout().is_terminal()
}

/// Whether the environment forbids colours (`NO_COLOR` is set and not empty).
#[must_use]
pub fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
