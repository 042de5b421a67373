//! The title line, the banner below it, and what stands where no chat is open.
//!
//! The right part of the title line is this program's: it is drawn into an area of its own, after everything else of the
//! line, and from constants alone, so that no nickname can look like a seal.

use ratatui::{buffer::Buffer, layout::Rect};
use subrosa_client::api::Trust;

use super::{put, theme::Theme};
use crate::app::{
    layout::{Areas, banner_text, seal_text},
    model::Desk,
    text::{cells, wrap::wrap},
    words,
};

pub(super) fn draw(desk: &Desk, areas: &Areas, theme: &Theme, buffer: &mut Buffer) {
    let who = desk.partner();
    let mut title = match (desk.here(), who) {
        (Some(name), who) => match who.and_then(words::called) {
            Some(called) => format!("{name}  {called}"),
            None => name.to_owned(),
        },
        (None, _) => "rosa".to_owned(),
    };
    if let Some(standing) = who.map(|who| words::standing(who.state)).filter(|standing| !standing.is_empty())
    {
        // The account's own state goes before what somebody calls themselves.
        let name = desk.here().unwrap_or_default().to_owned();
        let rest = title.split_off(name.len());
        title = format!("{name} ({standing}){rest}");
    }
    if let Some(room) = desk.here().and_then(|name| desk.chats.find(name)).and_then(|chat| chat.room.as_ref())
    {
        let topic =
            if room.topic.is_empty() { String::new() } else { format!("  {}", cells::one_line(&room.topic)) };
        // How many a room has in which one is not, is not known.
        let members =
            if room.members == 0 { String::new() } else { format!("  {}", words::members(room.members)) };
        title = format!("{title}{members}{topic}");
    }
    put(buffer, areas.title, 0, &cells::fit(&title, usize::from(areas.title.width)), theme.strong);
    let style = match who.map(|who| who.trust) {
        Some(Trust::Verified) => theme.good,
        Some(Trust::Changed | Trust::Forked) => theme.bad,
        _ => theme.dim,
    };
    put(buffer, areas.seal, 0, seal_text(desk), style);

    let banner = banner_text(desk);
    let style = if banner.starts_with('!') { theme.bad } else { theme.warn };
    let width = usize::from(areas.banner.width).max(1);
    let mut lines = wrap(&banner, width, width);
    let room = usize::from(areas.banner.height);
    if lines.len() > room && room > 0 {
        lines.truncate(room);
        if let Some(last) = lines.last_mut() {
            *last = cells::fit(&format!("{last}…"), width);
        }
    }
    for (row, line) in (0..areas.banner.height).zip(lines) {
        put(buffer, areas.banner, row, &line, style);
    }
}

/// What stands where no chat is open.
pub(super) fn welcome(desk: &Desk, area: Rect, theme: &Theme, buffer: &mut Buffer) {
    let lines: &[&str] = if !desk.loaded {
        &[]
    } else if desk.chats.all().is_empty() {
        &[
            "No chats yet.",
            "",
            "/msg NAME    write to somebody",
            "/add NAME    add somebody",
            "F1           help",
        ]
    } else {
        &["Ctrl-P       find a chat", "Alt-1        the first chat", "F1           help"]
    };
    let width = usize::from(area.width);
    let top = area.height.saturating_sub(u16::try_from(lines.len()).unwrap_or(0)) / 2;
    for (row, line) in (top..area.height).zip(lines) {
        let style = if row == top { theme.text } else { theme.dim };
        put(buffer, area, row, &cells::fit(&format!("  {line}"), width), style);
    }
}
