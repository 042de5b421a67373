//! The line above the composer: what was just done, what a command takes, what can be done with what is selected, and how
//! to get to the newest message.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{put, theme::Theme};
use crate::app::{
    commands::complete::matching,
    keymap::{Place, hint_line, select_hints},
    layout::refusal_lines,
    model::{Aim, Conversation, Desk, Model, Tone},
    text::cells,
};

pub(super) fn draw(model: &Model, desk: &Desk, area: Rect, theme: &Theme, buffer: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let width = usize::from(area.width);
    // On a small screen a notice needs the whole line.
    let pill = if model.notice.is_some() && width < 60 { String::new() } else { pill(desk) };
    let room = if pill.is_empty() { width } else { width.saturating_sub(cells::width(&pill) + 1) };
    let (text, style) = if let Some(notice) = &model.notice {
        // Who writes is not hidden by what was done a while ago.
        let writing = writing(desk).filter(|_| notice.tone == Tone::Calm);
        let text = writing.map_or_else(|| notice.text.clone(), |who| format!("{who}   {}", notice.text));
        (text, if notice.tone == Tone::Bad { theme.bad } else { theme.text })
    } else {
        (hint(model, desk), theme.dim)
    };
    let refusal = refusal_lines(model, desk);
    if !refusal.is_empty() {
        for (y, line) in (0..area.height).zip(&refusal) {
            put(buffer, area, y, line, style);
        }
    } else if text.is_empty() {
        put(buffer, area, 0, &"─".repeat(width), theme.dim);
    } else {
        put(buffer, area, 0, &cells::fit(&cells::flat(&text), room), style);
    }
    if !pill.is_empty() {
        let at = area.right().saturating_sub(u16::try_from(cells::width(&pill)).unwrap_or(area.width));
        buffer.set_stringn(at.max(area.x), area.y, &pill, width, theme.warn);
    }
}

/// `v 3 new End`: what came below, and how to get there.
fn pill(desk: &Desk) -> String {
    match &desk.open {
        Some(open) if !open.timeline.follows() && !open.timeline.messages().is_empty() => {
            let new = open.timeline.new_below;
            if new > 0 { format!(" v {new} new End") } else { " v End".to_owned() }
        }
        _ => String::new(),
    }
}

fn hint(model: &Model, desk: &Desk) -> String {
    match model.place() {
        Place::Select => return select_hints(desk.open.as_ref().is_some_and(Conversation::is_room)),
        place @ Place::Hits => {
            let at = desk.hits.as_ref().map(|hits| format!("{}/{}  ", hits.at + 1, hits.found.len()));
            return format!("{}{}", at.unwrap_or_default(), hint_line(place));
        }
        _ => {}
    }
    if let Some(completing) = &desk.composer.completing {
        let all = completing.completion.candidates.iter().enumerate();
        let names = all.map(|(at, name)| {
            let name = name.trim_end();
            if at == completing.at { format!("[{name}]") } else { name.to_owned() }
        });
        return names.collect::<Vec<_>>().join("  ");
    }
    if let Some(aimed) = &desk.composer.aimed {
        return match aimed.aim {
            Aim::Change => format!("changes {}   Enter does it, Esc leaves it", aimed.preview),
            Aim::Sign => format!("a sign beside {}   Enter puts it, Esc leaves it", aimed.preview),
        };
    }
    let commands = matching(desk.composer.editor.text());
    match commands.as_slice() {
        [] => {}
        [one] => return format!("{}  {}", one.usage(), one.help),
        many => {
            return many.iter().map(|command| format!("/{}", command.name)).collect::<Vec<_>>().join("  ");
        }
    }
    match &desk.composer.reply_to {
        Some(reply) => format!("answers {}   Esc forgets it", reply.preview),
        None => writing(desk).unwrap_or_default(),
    }
}

/// Who writes in the open room.
fn writing(desk: &Desk) -> Option<String> {
    let here = desk.here()?;
    let names: Vec<&str> =
        desk.typing.iter().filter(|(chat, _)| chat == here).map(|(_, name)| name.as_str()).collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("{one} writes...")),
        [one, other] => Some(format!("{one} and {other} write...")),
        many => Some(format!("{} people write...", many.len())),
    }
}
