//! What the engine answers.

use subrosa_client::{
    ApiError, Reply,
    api::{Contact, ContactState, Direction, HistoryPage, Message, MessageKind, MessageState, SendResult},
};

use super::{
    Effect, Purpose, Want, ask_chats, ask_people, ask_status, conversation, members, page, set_draft, submit,
    touch,
};
use crate::app::{
    model::{Aim, Desk, Holders, Model, Opened, Overlay, Position, Refresh, is_request},
    view::timeline,
    words,
};

pub(super) fn reply(
    model: &mut Model,
    purpose: Purpose,
    result: Result<Reply, ApiError>,
    fx: &mut Vec<Effect>,
) {
    if model.desk().is_none() {
        return;
    }
    let reply = match result {
        Ok(reply) => reply,
        Err(error) => return refused(model, purpose, &error, fx),
    };
    match (purpose, reply) {
        (Purpose::Account, Reply::Account(account)) => {
            if let Some(desk) = model.desk_mut() {
                desk.account = account.address;
            }
        }
        (Purpose::Chats, Reply::Chats { chats }) => took_chats(model, chats, fx),
        (Purpose::People, Reply::Contacts { contacts }) => {
            if let Some(desk) = model.desk_mut() {
                desk.people = contacts;
                if desk.people_refresh.answered() {
                    ask_people(model, fx);
                }
            }
        }
        (Purpose::Status, Reply::Status(status)) => {
            if let Some(desk) = model.desk_mut() {
                desk.connection = status.connection.clone();
                desk.status = Some(*status);
                if desk.status_refresh.answered() {
                    ask_status(model, fx);
                }
            }
        }
        (Purpose::History { chat, want, generation }, Reply::History(page)) => {
            history(model, &chat, want, generation, page, fx);
        }
        (Purpose::Sent { chat, text }, Reply::Sent { results }) => {
            if let Some(result) = results.into_iter().next() {
                sent(model, &chat, &text, &result, fx);
            }
        }
        (Purpose::Search(words), Reply::Hits { hits }) => {
            if let Some(Overlay::Search(search)) = model.desk_mut().and_then(|desk| desk.overlay.as_mut())
                && search.editor.text().trim() == words
            {
                search.found = hits.into_iter().map(|hit| hit.message).collect();
                search.at = 0;
                search.answered = words;
            }
        }
        (Purpose::Quoted, Reply::Message { message, .. }) => {
            conversation::jump(model, &message.chat, message.order, true, fx);
        }
        (Purpose::Added(asked), Reply::Contact { contact }) => {
            let name = contact.name.clone();
            let opened = model.desk_mut().map(|desk| desk.openings.take(&asked)).unwrap_or_default();
            took_contact(model, contact, fx);
            if opened.awaited {
                conversation::open_awaited(model, &name, fx);
            }
            for text in opened.texts {
                submit::send_to(name.clone(), &text, None, fx);
            }
        }
        (Purpose::Entered, Reply::Room { room }) => {
            ask_chats(model, fx);
            if model.desk().and_then(Desk::here) == Some(&room.chat) {
                // Nothing else shows it where the room is open already.
                model.tell(format!("you are in {}", room.chat));
            }
            conversation::open(model, &room.chat, fx);
        }
        (Purpose::RoomTold(text), Reply::Message { message, .. }) => {
            renewed(model, message);
            model.tell(text);
        }
        (Purpose::RoomTold(text), Reply::Room { .. } | Reply::Done {}) => {
            ask_chats(model, fx);
            members::ask(model, fx);
            model.tell(text);
        }
        (Purpose::Touched { aim, .. }, Reply::Message { message, .. }) => {
            renewed(model, message);
            model.tell(match aim {
                Aim::Change => "the message is changed",
                Aim::Sign => "the sign is there",
            });
        }
        (Purpose::Renewed, Reply::Message { message, .. }) => renewed(model, message),
        (Purpose::Holders(id), Reply::Message { message, delivered_to, read_by }) => {
            if let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut()) {
                open.holders = Some(Holders { id, delivered_to, read_by });
            }
            renewed(model, message);
        }
        (Purpose::Roster(room), Reply::Members { members: all }) => members::told(model, &room, Ok(all), fx),
        (Purpose::Rooms, Reply::Rooms { rooms }) => super::room_pages::show_rooms(model, &rooms),
        (Purpose::RoomShown, Reply::Room { room }) => super::room_pages::show(model, &room),
        (Purpose::Members(room), Reply::Members { members }) => {
            super::room_pages::show_members(model, room, &members)
        }
        (Purpose::Accepted, Reply::Contact { contact }) => {
            model.tell(format!("{} may write to you now", contact.name));
            took_contact(model, contact, fx);
        }
        (Purpose::Verified, Reply::Contact { contact }) => {
            model.tell(format!("{} is verified", contact.name));
            took_contact(model, contact, fx);
        }
        (Purpose::Trusted, Reply::Contact { contact }) => {
            model.tell(format!("{}'s new key is accepted; what was held goes out", contact.name));
            took_contact(model, contact, fx);
        }
        (Purpose::Compare, Reply::SafetyNumber(info)) => page::safety_number(model, info, false),
        (Purpose::Accept, Reply::SafetyNumber(info)) => page::safety_number(model, info, true),
        (Purpose::Told(text), _) => model.tell(text),
        _ => {}
    }
}

/// A message is another one now.
fn renewed(model: &mut Model, message: Message) {
    if let Some(open) = model.desk_mut().and_then(|desk| desk.open.as_mut())
        && open.chat == message.chat
    {
        open.timeline.update(message);
    }
}

fn refused(model: &mut Model, purpose: Purpose, error: &ApiError, fx: &mut Vec<Effect>) {
    let Some(desk) = model.desk_mut() else { return };
    match purpose {
        Purpose::Chats => desk.chats_refresh = Refresh::Idle,
        Purpose::People => desk.people_refresh = Refresh::Idle,
        Purpose::Status => desk.status_refresh = Refresh::Idle,
        Purpose::Quiet | Purpose::Holders(_) | Purpose::Renewed => return,
        // It is told where the members would stand.
        Purpose::Roster(room) => return members::told(model, &room, Err(error), fx),
        Purpose::History { chat, want, .. } => {
            if let Some(open) = desk.open.as_mut().filter(|open| open.chat == chat) {
                if want == Want::Tail {
                    open.tail = Refresh::Idle;
                } else {
                    // Not asked for again by itself: that would never end.
                    open.timeline.loading = false;
                    open.timeline.more_before = false;
                    open.timeline.more_after = false;
                }
            }
        }
        Purpose::Sent { chat, text } => give_back(model, &chat, &text),
        Purpose::Added(asked) => not_opened(model, &asked),
        Purpose::Touched { chat, aim, id, preview, text } => {
            touch::give_back(model, &chat, aim, id, preview, &text);
        }
        Purpose::Entered | Purpose::RoomTold(_) => command_back(model),
        _ => {}
    }
    model.complain(words::refusal(error));
}

/// A command that was refused comes back into the composer, to be corrected, if nothing else was begun or sent since.
fn command_back(model: &mut Model) {
    let Some(desk) = model.desk() else { return };
    let last = desk.composer.last(desk.here().unwrap_or_default()).filter(|line| line.starts_with('/'));
    let line = last.map(str::to_owned);
    if let Some(line) = line.filter(|_| desk.composer.aimed.is_none() && desk.composer.editor.is_empty()) {
        set_draft(model, &line, false);
    }
}

/// A text that could not be sent comes back into the composer, if nothing else was begun there.
fn give_back(model: &mut Model, chat: &str, text: &str) {
    let free = |desk: &Desk| desk.composer.aimed.is_none() && desk.composer.editor.is_empty();
    if model.desk().is_some_and(|desk| desk.here() == Some(chat) && free(desk)) {
        // What was sent as a text must not run as a command the second time.
        set_draft(model, text, text.starts_with('/'));
    }
}

/// The chat that texts waited for does not exist: they come back into the composer, before what was begun there, or, when
/// the person is elsewhere by now, with `Up`.
fn not_opened(model: &mut Model, asked: &str) {
    let Some(desk) = model.desk_mut() else { return };
    let Opened { mut texts, awaited } = desk.openings.take(asked);
    if texts.is_empty() {
        return;
    }
    if !awaited {
        let here = desk.here().unwrap_or_default().to_owned();
        for text in texts {
            desk.composer.remember(&here, &text);
        }
        return;
    }
    desk.composer.unaim();
    texts.extend(Some(desk.composer.editor.text().to_owned()).filter(|begun| !begun.is_empty()));
    let text = texts.join("\n");
    // What was sent as a text must not run as a command the second time.
    set_draft(model, &text, text.starts_with('/'));
}

fn sent(model: &mut Model, chat: &str, text: &str, result: &SendResult, fx: &mut Vec<Effect>) {
    let failed = result.state == MessageState::Failed || result.id.is_none();
    match &result.error {
        Some(error) if failed => {
            give_back(model, chat, text);
            model.complain(words::refusal(error));
        }
        // Why a message is held stands below it.
        Some(error) if result.state != MessageState::Held => model.tell(words::refusal(error)),
        Some(_) | None => {}
    }
    // A first message makes a request of a new contact.
    if model.desk().and_then(|desk| desk.contact(chat)).is_some_and(|who| who.state != ContactState::Accepted)
    {
        ask_chats(model, fx);
    }
    // Why it is held stands in the message.
    if result.state != MessageState::Queued && model.desk().and_then(|desk| desk.here()) == Some(chat) {
        conversation::load(model, Want::Tail, fx);
    }
}

fn took_contact(model: &mut Model, contact: Contact, fx: &mut Vec<Effect>) {
    let here = model.desk().and_then(|desk| desk.here()) == Some(contact.name.as_str());
    if let Some(desk) = model.desk_mut() {
        desk.set_contact(contact);
    }
    ask_chats(model, fx);
    ask_status(model, fx);
    if here {
        conversation::load(model, Want::Tail, fx);
    }
}

fn took_chats(model: &mut Model, chats: Vec<subrosa_client::api::Chat>, fx: &mut Vec<Effect>) {
    let first = model.first_chat.take();
    let Some(desk) = model.desk_mut() else { return };
    // What is seen here is read here, also when the engine's list was made a moment before it knew.
    let told = desk.open.as_ref().map(|open| (open.chat.clone(), open.read_told));
    desk.chats.replace(chats);
    if let Some((chat, up_to)) = told
        && desk
            .chats
            .find(&chat)
            .is_some_and(|chat| chat.last.as_ref().is_some_and(|last| last.order <= up_to))
    {
        desk.chats.read(&chat, up_to);
    }
    let opening = !std::mem::replace(&mut desk.loaded, true);
    // A room that was opened before this account was known to be in it.
    if desk.open.as_ref().is_some_and(|open| open.is_room() && open.roster.all().is_empty()) {
        members::ask(model, fx);
    }
    let Some(desk) = model.desk_mut() else { return };
    if desk.chats_refresh.answered() {
        ask_chats(model, fx);
    }
    if opening && model.desk().is_some_and(|desk| desk.open.is_none() && desk.openings.awaited().is_none()) {
        let chats = model.desk().map(|desk| desk.chats.all()).unwrap_or_default();
        let recent = chats.iter().find(|chat| !is_request(chat)).map(|chat| chat.chat.clone());
        if let Some(name) = first.or(recent) {
            conversation::open(model, &name, fx);
        }
    }
}

fn history(
    model: &mut Model,
    chat: &str,
    want: Want,
    generation: u32,
    page: HistoryPage,
    fx: &mut Vec<Effect>,
) {
    let Some(desk) = model.desk_mut() else { return };
    let Some(open) = desk.open.as_mut().filter(|open| open.chat == chat && open.generation == generation)
    else {
        return;
    };
    let timeline = &mut open.timeline;
    match want {
        Want::Before => timeline.prepend(page),
        Want::After => timeline.append(page),
        Want::Tail => {
            timeline.merge_tail(page);
            if open.tail.answered() {
                conversation::load(model, Want::Tail, fx);
            }
        }
        Want::Newest => {
            timeline.replace(page);
            timeline.position = Position::Bottom;
            seed(model, chat);
            to_first_unread(model);
        }
        Want::Unread => {
            timeline.replace(page);
            // Read messages come before: the page is asked for when the view settles.
            timeline.more_before = true;
            to_first_unread(model);
        }
        Want::Oldest => {
            timeline.replace(page);
            let first = timeline.first().map(|message| message.order);
            if open.selected.is_some() {
                open.selected = first;
            }
            if let Some(order) = first {
                conversation::place(model, |context, height| timeline::around(context, height, order));
            }
        }
        Want::Around { order, select } => {
            timeline.replace(page);
            open.selected = select.then_some(order);
            conversation::place(model, |context, height| timeline::around(context, height, order));
        }
    }
}

/// Earlier messages of this person are the composer's history.
fn seed(model: &mut Model, chat: &str) {
    let Some(desk) = model.desk_mut() else { return };
    let Some(open) = &desk.open else { return };
    let own = open.timeline.messages().iter().filter(|message| message.direction == Direction::Out);
    let texts: Vec<String> = own
        .filter_map(|message| match &message.kind {
            MessageKind::Text { text } => Some(text.as_str().to_owned()),
            _ => None,
        })
        .collect();
    desk.composer.seed(chat, texts.into_iter());
}

/// Puts the first unread message to the top, where not all of them fit on the screen.
fn to_first_unread(model: &mut Model) {
    let open = model.desk().and_then(|desk| desk.open.as_ref());
    let first = open.and_then(|open| {
        let after = open.new_after?;
        open.timeline.messages().iter().find(|message| message.order > after).map(|message| message.order)
    });
    if let Some(order) = first {
        conversation::place(model, |context, height| timeline::at_top(context, height, order));
    }
}
