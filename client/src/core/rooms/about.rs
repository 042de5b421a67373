//! What is said about messages of a room: another text, taken back, a sign beside it, pinned. It goes the way of messages, and
//! takes effect here at once.

use subrosa_protocol::{
    BoundedStr, EntryId, MessageId, Payload, RoomId, SafeText, Username,
    content::{Content, Delete, Edit, Pin, Reaction, Target},
    limits::{REACTION_BYTES, TEXT_BYTES},
};

use super::{
    super::{
        Core, Fault, Turn,
        work::{Work, message_event},
    },
    entry::mentions,
    post::may_write,
};
use crate::{
    api::{ApiError, Direction, EventBody, Kind, Message, MessageKind, Reply, Request, Role, Touched},
    chat::ChatId,
    store::{Counter, Reacted, StoredRoom, limits::REACTIONS_OF_ONE},
};

impl Core {
    /// `message.edit`, `.delete`, `.react`, `.pin`.
    pub(in crate::core) fn message_request(
        &mut self,
        turn: &mut Turn<'_>,
        request: Request,
    ) -> Result<Reply, Fault> {
        self.me.keys()?;
        let (id, wish) = match request {
            Request::MessageEdit { id, text } => (id, Wish::Edit(valid_text(&text)?)),
            Request::MessageDelete { id } => (id, Wish::Delete),
            Request::MessageReact { id, sign, undo } => (id, Wish::React(valid_sign(&sign)?, undo)),
            Request::MessagePin { id, undo } => (id, Wish::Pin(undo)),
            _ => return Err(Fault::Internal("method")),
        };
        let missing = || ApiError::new(Kind::NotFound, "there is no such message");
        let id: MessageId = id.parse().map_err(|_| missing())?;
        let message = self.transact(turn, |w| {
            let line = w.tx.message(id)?.ok_or_else(missing)?;
            let room = w.tx.chat_of(line.order)?.and_then(|chat| chat.room());
            let room = room.ok_or_else(|| {
                ApiError::new(Kind::Refused, "only in rooms: not yet in chats with one person")
            })?;
            let stored = w.tx.room(room)?.ok_or(Fault::Internal("room of a message"))?;
            may_write(w, &stored)?;
            carry_out(w, &stored, &line, id, wish)?;
            Ok(w.tx.message_at(line.order)?.ok_or_else(missing)?)
        })?;
        let (delivered_to, read_by) = self.store.read(|tx| super::who_has(tx, &message))?;
        Ok(Reply::Message { message, delivered_to, read_by })
    }
}

enum Wish {
    Edit(SafeText),
    Delete,
    React(SafeText, bool),
    Pin(bool),
}

fn valid_text(text: &str) -> Result<SafeText, ApiError> {
    let text = SafeText::multi_line(text);
    if text.trim().is_empty() {
        return Err(ApiError::new(Kind::Usage, "the message is empty"));
    }
    if text.len() > TEXT_BYTES {
        return Err(ApiError::new(Kind::Usage, "the message is too long: at most 32 KiB"));
    }
    Ok(text)
}

/// A sign that may stand beside a message: no space in it, and nothing that another screen would show otherwise.
fn sign_of(text: &str) -> Option<SafeText> {
    let sign = SafeText::single_line(text);
    let fits = !sign.is_empty() && sign.len() <= REACTION_BYTES && sign.as_str() == text;
    (fits && !sign.contains(char::is_whitespace)).then_some(sign)
}

fn valid_sign(text: &str) -> Result<SafeText, ApiError> {
    sign_of(text.trim()).ok_or_else(|| {
        ApiError::new(Kind::Usage, "a sign is an emoji or a short word: at most 32 bytes, without spaces")
    })
}

fn carry_out(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    line: &Message,
    id: MessageId,
    wish: Wish,
) -> Result<(), Fault> {
    let refuse = |what: &str| Err(ApiError::new(Kind::Refused, what).into());
    if !matches!(line.kind, MessageKind::Text { .. }) {
        return refuse("only what somebody wrote can be changed, answered with a sign, or pinned");
    }
    let author = Username::new(line.from.clone()).map_err(|_| Fault::Internal("author"))?;
    let target = Target { author, message: id };
    let moderates = stored.role >= Some(Role::Moderator);
    let own = line.direction == Direction::Out;
    let me = w.me.account.clone();
    let content = match wish {
        Wish::Edit(_) if !own => return refuse("only its writer can change a message"),
        Wish::Edit(text) => {
            edit(w, line, &text, false)?;
            let text = BoundedStr::new(text.as_str()).map_err(|_| Fault::Internal("text"))?;
            Content::Edit(Edit { message: id, text, edited_at: w.now })
        }
        Wish::Delete if !own && !moderates => {
            return refuse("you have no right to take back what others wrote");
        }
        Wish::Delete => {
            delete(w, line, &me)?;
            Content::Delete(Delete { target })
        }
        Wish::React(sign, undo) => {
            match react(w, line, &me, &sign, undo)? {
                Reacted::TooMany => {
                    let what =
                        format!("at most {REACTIONS_OF_ONE} signs of one account stand beside a message");
                    return Err(ApiError::new(Kind::Refused, what).hint("take one away first").into());
                }
                // It is there already: nobody needs to hear of it.
                Reacted::Unchanged if !undo => return Ok(()),
                Reacted::Unchanged | Reacted::Changed => {}
            }
            let sign = BoundedStr::new(sign.as_str()).map_err(|_| Fault::Internal("sign"))?;
            Content::Reaction(Reaction { target, sign, undo })
        }
        Wish::Pin(_) if !moderates => return refuse("you have no right to pin messages here"),
        Wish::Pin(undo) => {
            pin(w, stored.id, line, &me, undo)?;
            Content::Pin(Pin { target, undo })
        }
    };
    let message = w.random_message_id();
    push(w, stored.id, message, content)
}

/// Queues a content for a room. `message` names it in its sender's chain.
pub(super) fn push(
    w: &mut Work<'_>,
    room: RoomId,
    message: MessageId,
    content: Content,
) -> Result<(), Fault> {
    let content = Payload { gossip: None, content }.encode().map_err(|_| Fault::Internal("payload"))?;
    let entry = EntryId::from_bytes(w.random());
    w.tx.push_room_post(room, entry, message, &content, w.now)?;
    Ok(())
}

/// A member said something about a message. What is about one that is not here, or that its sender may not say, is passed
/// over: no receipt tells anybody so (R45).
pub(super) fn said(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    sender: &Username,
    moderator: bool,
    content: &Content,
) -> Result<(), Fault> {
    let (author, id) = match content {
        Content::Edit(edit) => (sender, edit.message),
        Content::Delete(Delete { target })
        | Content::Reaction(Reaction { target, .. })
        | Content::Pin(Pin { target, .. }) => (&target.author, target.message),
        _ => return Ok(()),
    };
    let line = w.tx.message_from(author, id)?.filter(|line| matches!(line.kind, MessageKind::Text { .. }));
    let here = |line: &Message| Ok::<_, Fault>(w.tx.chat_of(line.order)? == Some(ChatId::from(stored.id)));
    let Some(line) = line else { return Ok(w.tx.count(Counter::DiscardedMismatch)?) };
    let may = match content {
        Content::Delete(_) => moderator || author == sender,
        Content::Pin(_) => moderator,
        _ => true,
    };
    if !may || !here(&line)? {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    }
    match content {
        Content::Edit(new) => {
            let text = SafeText::multi_line(&new.text);
            let mention = !w.is_me(sender) && mentions(&text, w.me.account.as_str(), moderator);
            edit(w, &line, &text, mention)
        }
        Content::Delete(_) => delete(w, &line, sender),
        Content::Reaction(new) => match sign_of(&new.sign) {
            Some(sign) => react(w, &line, sender, &sign, new.undo).map(drop),
            None => Ok(w.tx.count(Counter::DiscardedMismatch)?),
        },
        Content::Pin(new) => pin(w, stored.id, &line, sender, new.undo),
        _ => Ok(()),
    }
}

fn touched(line: &Message, by: &Username) -> Touched {
    Touched { id: line.id.clone(), chat: line.chat.clone(), author: line.from.clone(), by: by.to_string() }
}

fn edit(w: &mut Work<'_>, line: &Message, text: &SafeText, mention: bool) -> Result<(), Fault> {
    if text.trim().is_empty() || !w.tx.change_text(line.order, text, mention)? {
        return Ok(());
    }
    let changed = Message { kind: MessageKind::Text { text: text.clone() }, ..line.clone() };
    let message = crate::api::MessageEvent { mention, ..message_event(&changed) };
    w.emit(EventBody::MessageEdited { message })
}

fn delete(w: &mut Work<'_>, line: &Message, by: &Username) -> Result<(), Fault> {
    if !w.tx.take_back(line.order, by)? {
        return Ok(());
    }
    w.emit(EventBody::MessageDeleted { touched: touched(line, by) })
}

fn react(
    w: &mut Work<'_>,
    line: &Message,
    by: &Username,
    sign: &SafeText,
    undo: bool,
) -> Result<Reacted, Fault> {
    let done = w.tx.set_reaction(line.order, by, sign, !undo)?;
    if done != Reacted::Changed {
        return Ok(done);
    }
    let (touched, sign) = (touched(line, by), sign.clone());
    w.emit(if undo {
        EventBody::ReactionRemoved { touched, sign }
    } else {
        EventBody::ReactionAdded { touched, sign }
    })?;
    Ok(done)
}

fn pin(w: &mut Work<'_>, room: RoomId, line: &Message, by: &Username, undo: bool) -> Result<(), Fault> {
    if !w.tx.set_pinned(&ChatId::from(room), line.order, !undo)? {
        return Ok(());
    }
    let touched = touched(line, by);
    w.emit(if undo { EventBody::MessageUnpinned { touched } } else { EventBody::MessagePinned { touched } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_short_and_say_what_they_show() {
        for good in ["+1", "👍", "👩‍🚀", "ok"] {
            assert_eq!(valid_sign(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(REACTION_BYTES + 1);
        for bad in ["", " ", "two words", "a\u{202e}b", "\u{1b}[1m", "a\u{1e}b", "a\u{1f}b", &long] {
            assert!(valid_sign(bad).is_err(), "{bad:?}");
        }
        assert!(valid_text(" \n").is_err() && valid_text(&"x".repeat(TEXT_BYTES + 1)).is_err());
    }
}
