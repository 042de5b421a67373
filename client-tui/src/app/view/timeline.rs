//! The messages on the screen, and scrolling, which is walking over their lines.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::block::Context;
use crate::app::model::{Position, Timeline};

/// Lines of a screen below which only the message itself is brought to the top.
const ROOM_FOR_HEADS: usize = 6;

/// A line on the screen and where it comes from.
#[derive(Debug)]
pub struct Placed {
    /// The message.
    pub order: i64,
    /// Which of its lines.
    pub line: usize,
    /// The line.
    pub content: Line<'static>,
}

/// The lines that are on the screen, top first: at most `height`.
#[must_use]
pub fn visible(context: &Context<'_>, height: usize) -> Vec<Placed> {
    let timeline = &context.open.timeline;
    match timeline.position {
        Position::Bottom => from_bottom(context, timeline.messages().len(), height),
        Position::Top { order, line } => {
            let mut lines = Vec::new();
            let (start, mut skip) = start(timeline, order, line);
            for place in start..timeline.messages().len() {
                let block = placed(context, place);
                let from = skip.min(block.len().saturating_sub(1));
                lines.extend(block.into_iter().skip(from));
                skip = 0;
                if lines.len() >= height {
                    break;
                }
            }
            lines.truncate(height);
            // Nothing newer is left to fill the screen: what is older does.
            if lines.len() < height && !timeline.more_after {
                return from_bottom(context, timeline.messages().len(), height);
            }
            lines
        }
    }
}

/// The place the view is at after scrolling `by` lines (down is positive) on a screen of `height` lines.
#[must_use]
pub fn scrolled(context: &Context<'_>, height: usize, by: isize) -> Position {
    let timeline = &context.open.timeline;
    let lines = visible(context, height);
    let Some(top) = lines.first() else { return Position::Bottom };
    let (mut place, mut line) = start(timeline, top.order, top.line);
    let mut left = by.unsigned_abs();
    if by < 0 {
        while left > line && place > 0 {
            left -= line + 1;
            place -= 1;
            line = context.block(place).len().saturating_sub(1);
        }
        line = line.saturating_sub(left);
    } else {
        while left > 0 && place < timeline.messages().len() {
            let rest = context.block(place).len().saturating_sub(line);
            if left < rest {
                line += left;
                break;
            }
            left -= rest;
            place += 1;
            line = 0;
        }
    }
    settled(context, height, place, line)
}

/// The place the view must be at so that a message is on the screen as a whole, if it fits.
#[must_use]
pub fn revealing(context: &Context<'_>, height: usize, order: i64) -> Position {
    let timeline = &context.open.timeline;
    let place = timeline.place(order);
    let lines = visible(context, height);
    let shown = lines.iter().filter(|line| line.order == order).count();
    let block = context.block(place).len();
    if shown > 0 && (shown == block || shown >= height) {
        return timeline.position;
    }
    if lines.first().is_none_or(|top| order <= top.order) {
        return settled(context, height, place, 0);
    }
    // It is below: it goes to the bottom.
    let lines = from_bottom(context, place + 1, height);
    lines.first().map_or(Position::Bottom, |top| {
        let (place, line) = start(timeline, top.order, top.line);
        settled(context, height, place, line)
    })
}

/// The place at which a message stands at the top, with the `new` line and the date before it where there is room.
#[must_use]
pub fn at_top(context: &Context<'_>, height: usize, order: i64) -> Position {
    let place = context.open.timeline.place(order);
    let line = if height < ROOM_FOR_HEADS { context.heads(place).len() } else { 0 };
    settled(context, height, place, line)
}

/// The place at which a message stands a third from the top.
#[must_use]
pub fn around(context: &Context<'_>, height: usize, order: i64) -> Position {
    let timeline = &context.open.timeline;
    let mut above = height / 3;
    let mut place = timeline.place(order);
    while place > 0 {
        let lines = context.block(place - 1).len();
        if lines > above {
            break;
        }
        above -= lines;
        place -= 1;
    }
    settled(context, height, place, 0)
}

/// A place as a position; the bottom, when everything below it fits on the screen.
fn settled(context: &Context<'_>, height: usize, place: usize, line: usize) -> Position {
    let timeline = &context.open.timeline;
    if !timeline.more_after {
        let mut below = 0;
        for at in place..timeline.messages().len() {
            below +=
                context.block(at).len() - if at == place { line.min(context.block(at).len()) } else { 0 };
            if below > height {
                break;
            }
        }
        if below <= height {
            return Position::Bottom;
        }
    }
    timeline
        .messages()
        .get(place)
        .map_or(Position::Bottom, |message| Position::Top { order: message.order, line })
}

fn start(timeline: &Timeline, order: i64, line: usize) -> (usize, usize) {
    let place = timeline.place(order);
    let exact = timeline.messages().get(place).is_some_and(|message| message.order == order);
    (place, if exact { line } else { 0 })
}

fn placed(context: &Context<'_>, place: usize) -> Vec<Placed> {
    let order = context.open.timeline.messages().get(place).map_or(0, |message| message.order);
    let block = context.block(place).into_iter().enumerate();
    block.map(|(line, content)| Placed { order, line, content }).collect()
}

/// The last `height` lines of the messages before `end`.
fn from_bottom(context: &Context<'_>, end: usize, height: usize) -> Vec<Placed> {
    let mut blocks = Vec::new();
    let mut count = 0;
    for place in (0..end).rev() {
        let block = placed(context, place);
        count += block.len();
        blocks.push(block);
        if count >= height {
            break;
        }
    }
    let lines: Vec<Placed> = blocks.into_iter().rev().flatten().collect();
    let skip = lines.len().saturating_sub(height);
    lines.into_iter().skip(skip).collect()
}

/// Draws the messages; the newest stand at the bottom.
pub fn draw(context: &Context<'_>, area: Rect, buffer: &mut Buffer) {
    let lines = visible(context, usize::from(area.height));
    let top = area.bottom().saturating_sub(u16::try_from(lines.len()).unwrap_or(area.height));
    for (row, line) in (top..area.bottom()).zip(lines) {
        buffer.set_line(area.x, row, &line.content, area.width);
    }
}
