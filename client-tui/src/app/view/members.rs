//! The member pane: who is in the open room, by role, and what is known of their keys.

use ratatui::{buffer::Buffer, layout::Rect};
use subrosa_client::api::{Member, Trust};

use super::{clear, put, theme::Theme};
use crate::app::{
    model::{Conversation, Desk, RosterRow},
    text::cells,
    words,
};

pub(super) fn draw(desk: &Desk, open: &Conversation, area: Rect, theme: &Theme, buffer: &mut Buffer) {
    clear(buffer, area);
    for y in area.top()..area.bottom() {
        buffer.set_stringn(area.x, y, "│", 1, theme.dim);
    }
    let inner = Rect::new(area.x + 1, area.y, area.width.saturating_sub(1), area.height);
    let width = usize::from(inner.width);
    let count = open.roster.all().len();
    let title = if count == 0 { "Members".to_owned() } else { format!("Members ({count})") };
    put(buffer, inner, 0, &cells::fit(&title, width), theme.strong);
    if count == 0 {
        let why = match &open.roster.refused {
            Some(why) => cells::one_line(why),
            None => "asking...".to_owned(),
        };
        put(buffer, inner, 1, &cells::fit(&format!(" {why}"), width), theme.dim);
        return;
    }
    let rows = usize::from(area.height.saturating_sub(1));
    // One more than fits, to know whether all do.
    let shown: Vec<RosterRow<'_>> = open.roster.rows().take(rows + 1).collect();
    let fits = if shown.len() > rows { rows.saturating_sub(1) } else { rows };
    for (row, what) in (1..area.height).zip(shown.iter().take(fits)) {
        match what {
            RosterRow::Role(role, _) => put(buffer, inner, row, words::role_heading(*role), theme.dim),
            RosterRow::Member(member) => {
                let style = match member.trust {
                    Trust::Changed | Trust::Forked => theme.bad,
                    _ if member.name == desk.name() => theme.own,
                    Trust::Verified => theme.good,
                    Trust::Unverified => theme.text,
                };
                put(buffer, inner, row, &line(desk, member, width), style);
            }
        }
    }
    if shown.len() > rows && rows > 0 {
        let members = shown.iter().take(fits).filter(|row| matches!(row, RosterRow::Member(_))).count();
        let more = format!(" +{} /members", count.saturating_sub(members));
        put(buffer, inner, area.height - 1, &cells::fit(&more, width), theme.dim);
    }
}

/// The line of a member: ` bob          ok`.
fn line(desk: &Desk, member: &Member, width: usize) -> String {
    let mark = if member.name == desk.name() {
        if member.muted { "you muted".to_owned() } else { "you".to_owned() }
    } else {
        words::member_mark(member)
    };
    let room = width.saturating_sub(1 + cells::width(&mark) + usize::from(!mark.is_empty()));
    let space = if mark.is_empty() { "" } else { " " };
    format!(" {}{space}{mark}", cells::pad(&member.name, room))
}
