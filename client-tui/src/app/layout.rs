//! Where everything is on the screen: a function of the model, for the view and for scrolling alike.

use ratatui::layout::Rect;
use subrosa_client::api::{ConnectionState, MessageKind};

use super::{
    hints::for_the_application,
    model::{Aim, Conversation, Desk, Model, Overlay, Size, Tone},
    text::{
        cells,
        wrap::{Laid, lay_out, wrap},
    },
};

/// From this width on the chat list stands beside the conversation.
pub const SIDEBAR_FROM: u16 = 60;
/// From this width on the members of a room stand beside the conversation.
pub const MEMBERS_FROM: u16 = 100;
/// From this height on a rule separates the composer, also when it has nothing to say.
const RULE_FROM: u16 = 12;
/// Columns of the chat list, its separator included, from 60 and from 100 columns on.
const SIDEBAR: (u16, u16) = (18, 22);
/// Columns of the members, their separator included, from 100 and from 120 columns on.
const MEMBERS: (u16, u16) = (18, 24);
/// Lines the composer grows to.
const COMPOSER_MAX: u16 = 8;
/// Lines of a refusal.
const REFUSAL_MAX: usize = 3;
/// Columns kept free for how to get to the newest message.
const PILL_MAX: usize = 16;
/// Columns of a name in the composer's prompt.
const PROMPT_MAX: usize = 14;

/// The parts of the screen. They never overlap, but for a sidebar or members that were opened over a narrow conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Areas {
    /// The chat list, with the separator at its right.
    pub sidebar: Option<Rect>,
    /// Whose conversation it is: the left part.
    pub title: Rect,
    /// What holds of it (trust, encryption): the right part. Only this program's own words are drawn here.
    pub seal: Rect,
    /// What stops sending, or asks.
    pub banner: Rect,
    /// The messages.
    pub timeline: Rect,
    /// The members of a room, with the separator at their left.
    pub members: Option<Rect>,
    /// Notices, hints, the pill.
    pub rule: Rect,
    /// The composer.
    pub composer: Rect,
    /// The status line.
    pub status: Rect,
}

/// The right part of the title line: trust and encryption of the open chat.
#[must_use]
pub fn seal_text(desk: &Desk) -> &'static str {
    use subrosa_client::api::Trust;
    match desk.partner().map(|who| who.trust) {
        Some(Trust::Verified) => "verified  pq",
        Some(Trust::Unverified) => "unverified  pq",
        Some(Trust::Changed) => "KEY CHANGED",
        Some(Trust::Forked) => "LIST FORKED",
        None => "",
    }
}

/// What stops sending in the open chat, or the whole profile, and the ways out. Empty when all is well.
#[must_use]
pub fn banner_text(desk: &Desk) -> String {
    use subrosa_client::api::{ContactState, Trust};
    if let ConnectionState::Blocked { error } = &desk.connection {
        let hint =
            error.hint.as_deref().map(|hint| format!(" {}", for_the_application(hint))).unwrap_or_default();
        return format!("! {}{hint}", error.message);
    }
    let Some(who) = desk.partner() else { return room_banner(desk) };
    let name = &who.name;
    match (who.trust, who.state) {
        (Trust::Changed, _) => {
            format!("! {name}'s key changed: nothing is sent. Compare: /verify   accept unseen: /trust")
        }
        (Trust::Forked, _) => format!(
            "! {name}'s device lists contradict each other: somebody lies. Nothing is sent. Compare: /verify"
        ),
        (_, ContactState::RequestReceived) => {
            format!("? {name} wants to write to you. Enter accepts; so does an answer.")
        }
        _ => String::new(),
    }
}

/// What keeps the open room from being read or written in.
fn room_banner(desk: &Desk) -> String {
    use subrosa_client::api::{RoomState, Visibility};
    let Some(room) = desk.room_here() else { return String::new() };
    let again = match room.visibility {
        Visibility::Public => "/join asks to come back",
        Visibility::Private => "only an invitation brings you back",
    };
    match room.state {
        Some(RoomState::Invited) => {
            let by = room.invited_by.as_deref().unwrap_or("somebody");
            format!("? {by} invites you to this room. Enter accepts; /leave declines.")
        }
        Some(RoomState::Left) => format!("You left this room: {again}."),
        Some(RoomState::Removed) if is_banned_here(desk) => {
            "! You are banned from this room: only its moderators can change that.".to_owned()
        }
        Some(RoomState::Removed) => format!("! You are not in this room any more: {again}."),
        Some(RoomState::CutOff) => {
            let again = match room.visibility {
                Visibility::Public => again,
                Visibility::Private => "a member must add you again",
            };
            format!("! The relay has not kept what was said here while you were away: {again}.")
        }
        Some(RoomState::Joining) => "The relay has not let you in yet.".to_owned(),
        Some(RoomState::Joined) if room.denied => {
            "! The relay says that you are not in this room, but nobody took you out. Nothing is sent here; /leave gives it up."
                .to_owned()
        }
        Some(RoomState::Joined) if is_muted_here(desk) => {
            "! Moderators keep you from writing here. What others write still comes.".to_owned()
        }
        Some(RoomState::Joined) | None => String::new(),
    }
}

/// Whether the last thing that was seen of the open room is that this account was banned from it.
fn is_banned_here(desk: &Desk) -> bool {
    let messages = desk.open.as_ref().map(|open| open.timeline.messages()).unwrap_or_default();
    let bans = messages.iter().rev().find_map(|message| match &message.kind {
        MessageKind::MemberBanned { name } if name == desk.name() => Some(true),
        MessageKind::MemberJoined {} if message.from == desk.name() => Some(false),
        _ => None,
    });
    bans == Some(true)
}

/// Whether moderators of the open room keep this account from writing.
fn is_muted_here(desk: &Desk) -> bool {
    let own = desk.open.as_ref().and_then(|open| open.roster.find(desk.name()));
    own.is_some_and(|member| member.muted)
}

/// The composer's prompt.
#[must_use]
pub fn prompt(desk: &Desk) -> String {
    if let Some(aimed) = &desk.composer.aimed {
        return match aimed.aim {
            Aim::Change => "change> ".to_owned(),
            Aim::Sign => "sign> ".to_owned(),
        };
    }
    match desk.here() {
        Some(name) => format!("{}> ", cells::fit(name, PROMPT_MAX)),
        None => "> ".to_owned(),
    }
}

/// The composer's text as it is laid out, `width` columns wide, prompt included.
#[must_use]
pub fn composer_text(desk: &Desk, width: u16) -> Laid {
    let room = usize::from(width).saturating_sub(cells::width(&prompt(desk)));
    lay_out(desk.composer.editor.text(), desk.composer.editor.cursor(), room)
}

/// Whether newer messages than those on the screen are told of in the rule.
fn is_scrolled(desk: &Desk) -> bool {
    desk.open.as_ref().is_some_and(|open| !open.timeline.follows() && !open.timeline.messages().is_empty())
}

/// A refusal as it stands in the rule: what happened and what to do next, in as many lines as it needs, up to three and a
/// quarter of the screen. Empty while nothing was refused.
#[must_use]
pub fn refusal_lines(model: &Model, desk: &Desk) -> Vec<String> {
    let Some(notice) = model.notice.as_ref().filter(|notice| notice.tone == Tone::Bad) else {
        return Vec::new();
    };
    let width = usize::from(model.size.width).max(1);
    let first =
        if is_scrolled(desk) && width >= usize::from(SIDEBAR_FROM) { width - PILL_MAX } else { width };
    let mut lines = wrap(&cells::flat(&notice.text), first, width);
    let most = usize::from(model.size.height / 4).clamp(1, REFUSAL_MAX);
    if lines.len() > most {
        let room = if most == 1 { first } else { width };
        let last = cells::fit(&lines.split_off(most - 1).join(" "), room);
        lines.push(last);
    }
    lines
}

/// Whether the rule has something to say.
#[must_use]
pub fn rule_speaks(model: &Model, desk: &Desk) -> bool {
    model.notice.is_some()
        || is_scrolled(desk)
        || desk.composer.reply_to.is_some()
        || desk.composer.aimed.is_some()
        || desk.composer.completing.is_some()
        || desk.composer.editor.text().starts_with('/')
        || desk.hits.is_some()
        || desk.open.as_ref().is_some_and(|open| open.selected.is_some())
}

/// Whether the chat list is shown.
#[must_use]
pub fn sidebar_shown(size: Size, desk: &Desk) -> bool {
    desk.sidebar.unwrap_or(size.width >= SIDEBAR_FROM)
}

/// Whether the members are shown: of rooms, from 100 columns on, or where F8 asked for them.
#[must_use]
pub fn members_shown(size: Size, desk: &Desk) -> bool {
    let in_room = desk.open.as_ref().is_some_and(Conversation::is_room);
    in_room && desk.members.unwrap_or(size.width >= MEMBERS_FROM)
}

/// The parts of the screen of an open profile.
#[must_use]
pub fn areas(model: &Model, desk: &Desk) -> Areas {
    let Size { width, height } = model.size;
    let beside = width >= SIDEBAR_FROM;
    let columns = if width >= 100 { SIDEBAR.1 } else { SIDEBAR.0 };
    let shown = sidebar_shown(model.size, desk);
    let left = if shown && beside { columns } else { 0 };
    let members = members_shown(model.size, desk);
    let members_beside = width >= MEMBERS_FROM;
    let members_width = match width {
        0..SIDEBAR_FROM => (width * 2 / 3).max(12).min(width),
        SIDEBAR_FROM..120 => MEMBERS.0,
        _ => MEMBERS.1,
    };
    let edge = if members && members_beside { width - members_width } else { width };

    let status = u16::from(height >= 3);
    let lines = u16::try_from(composer_text(desk, width).lines.len()).unwrap_or(COMPOSER_MAX);
    let composer = lines.clamp(1, COMPOSER_MAX).min((height / 3).max(1)).min(height);
    let rule = u16::from(height >= 6 && (height >= RULE_FROM || rule_speaks(model, desk)));
    let rule = rule * u16::try_from(refusal_lines(model, desk).len()).unwrap_or(1).max(1);
    let title = u16::from(height > composer + status + 1);
    let main = height.saturating_sub(composer + status + rule);
    let text = banner_text(desk);
    let right = edge - left;
    let lines = wrap(&text, usize::from(right).max(1), usize::from(right).max(1)).len();
    let banner = if text.is_empty() {
        0
    } else {
        u16::try_from(lines).unwrap_or(1).min(main.saturating_sub(title) / 2).min(3)
    };
    let seal = u16::try_from(cells::width(seal_text(desk))).unwrap_or(0).min(right);
    let timeline = main.saturating_sub(title + banner);
    let sidebar_width = if beside { columns } else { (width * 2 / 3).max(12).min(width) };
    Areas {
        sidebar: (shown && main > 0).then_some(Rect::new(0, 0, sidebar_width, main)),
        title: Rect::new(left, 0, right.saturating_sub(seal + u16::from(seal > 0)), title),
        seal: Rect::new(edge - seal, 0, seal, title),
        banner: Rect::new(left, title, right, banner),
        timeline: Rect::new(left, title + banner, right, timeline),
        members: (members && main > 0).then_some(Rect::new(width - members_width, 0, members_width, main)),
        rule: Rect::new(0, main, width, rule),
        composer: Rect::new(0, main + rule, width, composer),
        status: Rect::new(0, main + rule + composer, width, status),
    }
}

/// The place of something that lies over the conversation: at most `lines` lines and `columns` columns, in the middle.
#[must_use]
pub fn over(size: Size, columns: u16, lines: u16) -> Rect {
    let width = columns.min(size.width);
    let height = lines.min(size.height);
    Rect::new((size.width - width) / 2, (size.height - height) / 2, width, height)
}

/// Lines a page in the overlay shows at once.
#[must_use]
pub fn page_rows(model: &Model) -> usize {
    match model.desk().and_then(|desk| desk.overlay.as_ref()) {
        Some(Overlay::Page(..)) | None => usize::from(model.size.height.saturating_sub(2)).max(1),
        Some(_) => usize::from(model.size.height.saturating_sub(4)).max(1),
    }
}
