//! The terminal while the application has it: entering, drawing, leaving, also when something panics.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use ratatui::{buffer::Buffer, layout::Rect};
use subrosa_protocol::SafeText;
use tokio::sync::Notify;

use super::{
    painter::Painter,
    sequences::{ENTER, LEAVE, MOUSE_ON},
};
use crate::app::{model::Model, view};

/// Whether the real terminal is in our hands, for the panic hook.
static ENTERED: AtomicBool = AtomicBool::new(false);
/// Told when something panicked.
static PANICKED: Notify = Notify::const_new();

/// The terminal, or what stands for it in tests.
pub struct Screen<W: Write> {
    out: W,
    painter: Painter,
    /// Whether `out` is the process's own terminal, whose mode is changed.
    real: bool,
    mouse: bool,
}

impl<W: Write> Screen<W> {
    /// Something to draw on that is not the process's terminal: its mode is left alone.
    pub fn detached(out: W) -> Self {
        Self { out, painter: Painter::default(), real: false, mouse: false }
    }

    /// The process's terminal.
    pub fn real(out: W, mouse: bool) -> Self {
        Self { out, painter: Painter::default(), real: true, mouse }
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be written to or has no raw mode.
    pub fn enter(&mut self) -> io::Result<()> {
        if self.real {
            // After somebody else stopped and continued the process, the terminal is not as it was left.
            if ENTERED.swap(true, Ordering::SeqCst) {
                crossterm::terminal::disable_raw_mode()?;
            }
            crossterm::terminal::enable_raw_mode()?;
        }
        self.painter = Painter::default();
        self.write(ENTER)?;
        if self.mouse {
            self.write(MOUSE_ON)?;
        }
        Ok(())
    }

    /// Gives the terminal back as it was.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn leave(&mut self) -> io::Result<()> {
        let written = self.write(LEAVE);
        if self.real && ENTERED.swap(false, Ordering::SeqCst) {
            crossterm::terminal::disable_raw_mode()?;
        }
        written
    }

    /// The next drawing begins with an empty screen.
    pub fn forget(&mut self) {
        self.painter.forget();
    }

    /// Draws the model. Writes nothing when nothing changed.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn draw(&mut self, model: &Model) -> io::Result<()> {
        let mut buffer = Buffer::empty(Rect::new(0, 0, model.size.width, model.size.height));
        let cursor = view::draw(model, &mut buffer);
        let mut bytes = Vec::new();
        self.painter.paint(&buffer, cursor, &mut bytes);
        self.write(&bytes)
    }

    /// Writes a sequence of `terminal::sequences`.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.out.write_all(bytes)?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        if self.real && ENTERED.load(Ordering::SeqCst) {
            let _ = self.leave();
        }
    }
}

/// From now on a panic gives the terminal back before anything is said about it. What it says is where, and its message
/// made harmless.
pub fn restore_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        if ENTERED.swap(false, Ordering::SeqCst) {
            let mut out = io::stdout();
            let _ = out.write_all(LEAVE).and_then(|()| out.flush());
            let _ = crossterm::terminal::disable_raw_mode();
        }
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let said = info.payload_as_str().unwrap_or_default();
        let _ = writeln!(io::stderr(), "rosa failed at {place}: {}", SafeText::single_line(said));
        PANICKED.notify_one();
    }));
}

/// Returns when something panicked in whatever thread.
pub async fn panicked() {
    PANICKED.notified().await;
}
