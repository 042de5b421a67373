//! From one screen to the next in as few bytes as can be: a key press is a byte or two, nothing changed is nothing written.
//!
//! Every byte that reaches the terminal while the application runs comes from here, from `terminal::sequences`, or is a
//! printable character of a cell: that is the allow-list of R48.

use std::io::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    layout::{Position, Rect},
    style::{Color, Modifier},
};

use super::sequences::{CURSOR_HIDE, CURSOR_SHOW, SYNC_BEGIN, SYNC_END};
use crate::app::text::cells::width_of;

/// Bytes from which a change is drawn as a synchronised update; a smaller one is a single write anyway.
const SYNC_FROM: usize = 48;
/// Unchanged cells that are rather written again than jumped over.
const BRIDGE: u16 = 4;
/// Changed cells of a line from which shifting it is thought of.
const SHIFT_FROM: usize = 8;

/// Colours and attributes of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Look {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

impl From<&Cell> for Look {
    fn from(cell: &Cell) -> Self {
        Self { fg: cell.fg, bg: cell.bg, modifier: cell.modifier }
    }
}

/// What the terminal shows, and the way from there to something else.
#[derive(Debug)]
pub struct Painter {
    shown: Buffer,
    /// Whether the terminal shows what `shown` says.
    known: bool,
    /// Where the terminal's cursor stands, where that is sure.
    at: Option<Position>,
    look: Look,
    cursor_shown: bool,
}

impl Default for Painter {
    fn default() -> Self {
        Self {
            shown: Buffer::empty(Rect::ZERO),
            known: false,
            at: None,
            look: Look::default(),
            cursor_shown: true,
        }
    }
}

impl Painter {
    /// Nothing is known of the terminal any more: the next painting begins with an empty screen.
    pub fn forget(&mut self) {
        self.known = false;
    }

    /// Appends the bytes that lead from what is shown to `next`, with the cursor at `cursor`, or hidden.
    pub fn paint(&mut self, next: &Buffer, cursor: Option<Position>, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        if !self.known || self.shown.area != next.area {
            body.extend_from_slice(b"\x1b[m\x1b[H\x1b[2J");
            self.shown = Buffer::empty(next.area);
            self.known = true;
            self.look = Look::default();
            self.at = Some(Position::ORIGIN);
        }
        let mut shown = std::mem::take(&mut self.shown);
        for y in 0..next.area.height {
            self.row(&shown, next, y, &mut body);
        }
        shown.clone_from(next);
        self.shown = shown;
        match cursor {
            Some(place) => {
                self.go(place, &mut body);
                if !self.cursor_shown {
                    body.extend_from_slice(CURSOR_SHOW);
                }
            }
            None if self.cursor_shown => body.extend_from_slice(CURSOR_HIDE),
            None => {}
        }
        self.cursor_shown = cursor.is_some();
        if body.len() >= SYNC_FROM {
            out.extend_from_slice(SYNC_BEGIN);
            out.extend_from_slice(&body);
            out.extend_from_slice(SYNC_END);
        } else {
            out.extend_from_slice(&body);
        }
    }

    fn row(&mut self, shown: &Buffer, next: &Buffer, y: u16, out: &mut Vec<u8>) {
        let width = next.area.width;
        let cells = usize::from(y) * usize::from(width)..(usize::from(y) + 1) * usize::from(width);
        let (Some(old), Some(new)) = (shown.content.get(cells.clone()), next.content.get(cells)) else {
            return;
        };
        if old == new {
            return;
        }
        if self.shift(old, new, y, out) {
            return;
        }
        // From here on the line is blank: erasing is shorter than writing.
        let blank_from = new.iter().rposition(|cell| *cell != Cell::EMPTY).map_or(0, |at| at + 1);
        let mut redo = 0_usize;
        let mut x = 0_usize;
        while let (Some(before), Some(cell)) = (old.get(x), new.get(x)) {
            let wide = width_of(cell.symbol()).max(1);
            let changed = before != cell || redo > 0;
            redo = redo.saturating_sub(1);
            if changed {
                if before != cell {
                    // Whatever a wide character covered is written again when it goes.
                    redo = redo.max(width_of(before.symbol()).saturating_sub(1));
                }
                let column = u16::try_from(x).unwrap_or(u16::MAX);
                // Asked only there, and no further than it takes: a wide line has hundreds of cells.
                let rest = || old.get(x..).unwrap_or_default().iter().filter(|cell| **cell != Cell::EMPTY);
                if x >= blank_from && rest().nth(2).is_some() {
                    self.go_bridging(Position::new(column, y), new, out);
                    self.set(Look::default(), out);
                    out.extend_from_slice(b"\x1b[K");
                    return;
                }
                self.go_bridging(Position::new(column, y), new, out);
                self.write(cell, column, width, out);
            }
            x += wide;
        }
    }

    /// A character was inserted into or deleted from a line, and the rest moved: the terminal can do that itself.
    fn shift(&mut self, old: &[Cell], new: &[Cell], y: u16, out: &mut Vec<u8>) -> bool {
        let differing = old.iter().zip(new).filter(|(old, new)| old != new).count();
        let narrow = |cell: &Cell| cell.symbol().chars().nth(1).is_none() && width_of(cell.symbol()) == 1;
        if differing < SHIFT_FROM || !old.iter().all(narrow) || !new.iter().all(narrow) {
            return false;
        }
        let Some(first) = old.iter().zip(new).position(|(old, new)| old != new) else { return false };
        let (Some(old_tail), Some(new_tail)) = (old.get(first..), new.get(first..)) else { return false };
        let column = u16::try_from(first).unwrap_or(u16::MAX);
        let inserted = new_tail.iter().skip(1).zip(old_tail).all(|(new, old)| new == old);
        let deleted = old_tail.iter().skip(1).zip(new_tail).all(|(old, new)| old == new)
            && new_tail.last().is_some_and(|last| *last == Cell::EMPTY);
        if inserted {
            let Some(cell) = new_tail.first() else { return false };
            self.go(Position::new(column, y), out);
            self.set(Look::default(), out);
            out.extend_from_slice(b"\x1b[@");
            self.write(cell, column, u16::try_from(new.len()).unwrap_or(u16::MAX), out);
        } else if deleted {
            self.go(Position::new(column, y), out);
            self.set(Look::default(), out);
            out.extend_from_slice(b"\x1b[P");
        }
        inserted || deleted
    }

    fn write(&mut self, cell: &Cell, column: u16, width: u16, out: &mut Vec<u8>) {
        self.set(cell.into(), out);
        let symbol = cell.symbol();
        // SafeText and the buffer let no control character through; this is the third lock on that door.
        let safe = !symbol.is_empty() && !symbol.contains(char::is_control);
        out.extend_from_slice(if safe { symbol.as_bytes() } else { b"?" });
        let simple = symbol.chars().nth(1).is_none() && width_of(symbol) == 1;
        // Terminals differ in how wide joined and wide characters are: the place behind them is not relied on. Behind the
        // last column it is undefined.
        self.at = self.at.filter(|_| simple && column + 1 < width).map(|at| Position::new(at.x + 1, at.y));
    }

    /// Goes to a cell; over a few unchanged cells of the same look by writing them again.
    fn go_bridging(&mut self, to: Position, new: &[Cell], out: &mut Vec<u8>) {
        if let Some(at) = self.at.filter(|at| at.y == to.y && at.x < to.x && to.x - at.x <= BRIDGE) {
            let between = new.get(usize::from(at.x)..usize::from(to.x)).unwrap_or_default();
            if between.iter().all(|cell| Look::from(cell) == self.look && cell.symbol().len() == 1) {
                for cell in between {
                    let safe = cell.symbol().bytes().all(|b| !b.is_ascii_control());
                    out.extend_from_slice(if safe { cell.symbol().as_bytes() } else { b"?" });
                }
                self.at = Some(to);
                return;
            }
        }
        self.go(to, out);
    }

    fn go(&mut self, to: Position, out: &mut Vec<u8>) {
        let from = self.at.replace(to);
        match from {
            Some(from) if from == to => {}
            Some(from) if from.y == to.y && to.x == 0 => out.push(b'\r'),
            Some(from) if from.y == to.y && to.x < from.x && from.x - to.x <= 3 => {
                out.extend(std::iter::repeat_n(b'\x08', usize::from(from.x - to.x)));
            }
            Some(from) if from.y == to.y && to.x < from.x => sequence(out, from.x - to.x, 'D'),
            Some(from) if from.y == to.y => sequence(out, to.x - from.x, 'C'),
            _ => {
                let _ = write!(out, "\x1b[{};{}H", to.y + 1, to.x + 1);
            }
        }
    }

    fn set(&mut self, look: Look, out: &mut Vec<u8>) {
        if look == self.look {
            return;
        }
        let before = std::mem::replace(&mut self.look, look);
        if look == Look::default() {
            out.extend_from_slice(b"\x1b[m");
            return;
        }
        let mut codes: Vec<u16> = Vec::new();
        let kept = before.modifier.difference(look.modifier).is_empty();
        let base = if kept {
            before
        } else {
            codes.push(0);
            Look::default()
        };
        let added = look.modifier.difference(base.modifier);
        let attributes =
            [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)];
        codes.extend(
            attributes.iter().filter(|(modifier, _)| added.contains(*modifier)).map(|(_, code)| *code),
        );
        if look.fg != base.fg {
            codes.push(color(look.fg, 30));
        }
        if look.bg != base.bg {
            codes.push(color(look.bg, 40));
        }
        let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
        let _ = write!(out, "\x1b[{}m", codes.join(";"));
    }
}

fn sequence(out: &mut Vec<u8>, count: u16, end: char) {
    let _ = if count == 1 { write!(out, "\x1b[{end}") } else { write!(out, "\x1b[{count}{end}") };
}

/// The code of one of the sixteen colours every terminal has; anything else is the terminal's own.
const fn color(color: Color, base: u16) -> u16 {
    let (offset, bright) = match color {
        Color::Black => (0, false),
        Color::Red => (1, false),
        Color::Green => (2, false),
        Color::Yellow => (3, false),
        Color::Blue => (4, false),
        Color::Magenta => (5, false),
        Color::Cyan => (6, false),
        Color::Gray => (7, false),
        Color::DarkGray => (0, true),
        Color::LightRed => (1, true),
        Color::LightGreen => (2, true),
        Color::LightYellow => (3, true),
        Color::LightBlue => (4, true),
        Color::LightMagenta => (5, true),
        Color::LightCyan => (6, true),
        Color::White => (7, true),
        _ => return base + 9,
    };
    base + offset + if bright { 60 } else { 0 }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    const SIZE: Rect = Rect::new(0, 0, 40, 4);

    fn buffer(lines: &[&str]) -> Buffer {
        let mut buffer = Buffer::empty(SIZE);
        for (y, line) in (0..).zip(lines) {
            buffer.set_string(0, y, line, Style::new());
        }
        buffer
    }

    struct Tty {
        painter: Painter,
        parser: vt100::Parser,
    }

    impl Tty {
        fn new() -> Self {
            Self {
                painter: Painter::default(),
                parser: vt100::Parser::new(
                    SIZE.height.try_into().unwrap(),
                    SIZE.width.try_into().unwrap(),
                    0,
                ),
            }
        }

        /// Paints, checks what a terminal makes of it, and tells how many bytes it took.
        fn paint(&mut self, next: &Buffer, cursor: Option<Position>) -> usize {
            let mut out = Vec::new();
            self.painter.paint(next, cursor, &mut out);
            self.parser.process(&out);
            for y in 0..SIZE.height {
                for x in 0..SIZE.width {
                    let cell = self.parser.screen().cell(y, x).unwrap();
                    let expected = next.cell((x, y)).unwrap();
                    // The emulator does not join emoji; what stands behind them is checked.
                    if cell.is_wide_continuation() || expected.symbol().contains('\u{200d}') {
                        continue;
                    }
                    let shown = if cell.has_contents() { cell.contents() } else { " " };
                    assert_eq!(
                        shown,
                        expected.symbol(),
                        "cell {x},{y} of {:?}",
                        String::from_utf8_lossy(&out)
                    );
                    assert_eq!(cell.bold(), expected.modifier.contains(Modifier::BOLD), "{x},{y}");
                    assert_eq!(cell.inverse(), expected.modifier.contains(Modifier::REVERSED), "{x},{y}");
                }
            }
            if let Some(place) = cursor {
                assert_eq!(self.parser.screen().cursor_position(), (place.y, place.x));
            }
            assert_eq!(self.parser.screen().hide_cursor(), cursor.is_none());
            out.len()
        }
    }

    #[test]
    fn a_typed_character_is_a_byte_and_nothing_is_nothing() {
        let mut tty = Tty::new();
        tty.paint(&buffer(&["title", "> ab"]), Some(Position::new(4, 1)));
        assert_eq!(tty.paint(&buffer(&["title", "> ab"]), Some(Position::new(4, 1))), 0);
        assert_eq!(tty.paint(&buffer(&["title", "> abc"]), Some(Position::new(5, 1))), 1);
        assert!(tty.paint(&buffer(&["title", "> ab"]), Some(Position::new(4, 1))) <= 5);
    }

    #[test]
    fn typing_into_a_long_line_moves_its_rest() {
        let mut tty = Tty::new();
        tty.paint(&buffer(&["", "> the quick brown fox jumps"]), Some(Position::new(6, 1)));
        let bytes = tty.paint(&buffer(&["", "> the Xquick brown fox jumps"]), Some(Position::new(7, 1)));
        assert!(bytes <= 8, "{bytes}");
        let bytes = tty.paint(&buffer(&["", "> the quick brown fox jumps"]), Some(Position::new(6, 1)));
        assert!(bytes <= 8, "{bytes}");
    }

    #[test]
    fn wide_joined_and_styled_cells_come_and_go() {
        let mut tty = Tty::new();
        let mut styled = buffer(&[
            "日本語 x",
            "👩\u{200d}🚀 e\u{301} end",
            "plain",
            "last column: 0123456789012345678901234567",
        ]);
        styled.set_style(Rect::new(2, 1, 6, 1), Style::new().add_modifier(Modifier::BOLD));
        tty.paint(&styled, None);
        tty.paint(&buffer(&["a本bc", "x", "", "last"]), Some(Position::new(0, 0)));
        let mut reversed = buffer(&["日日日", "語", "plain again", ""]);
        reversed.set_style(
            Rect::new(0, 2, 40, 1),
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        );
        tty.paint(&reversed, None);
        tty.paint(&buffer(&["ab日本", "", "日", "x"]), None);
        tty.paint(&buffer(&["", "", "", ""]), None);
    }

    #[test]
    fn r48_a_control_character_in_a_cell_never_reaches_the_terminal() {
        let mut hostile = buffer(&["ab"]);
        hostile.cell_mut((0, 0)).unwrap().set_symbol("\u{1b}[2J");
        hostile.cell_mut((1, 0)).unwrap().set_symbol("\u{9b}");
        let (mut painter, mut out) = (Painter::default(), Vec::new());
        painter.paint(&buffer(&[]), None, &mut Vec::new());
        painter.paint(&hostile, None, &mut out);
        assert_eq!(String::from_utf8(out).unwrap().matches('?').count(), 2);
    }

    #[test]
    fn a_large_change_is_one_synchronised_update() {
        let mut tty = Tty::new();
        let mut out = Vec::new();
        tty.painter.paint(&buffer(&["x"; 4].map(|_| "a long line that is not there yet")), None, &mut out);
        assert!(out.starts_with(SYNC_BEGIN) && out.ends_with(SYNC_END));
    }
}
