//! Notifications: only without the focus, and no more of the content than the person allows.

use subrosa_client::api::{ContactState, MessageEvent};
use subrosa_protocol::SafeText;

use super::Effect;
use crate::app::{model::Model, settings::Preview, text::cells};

/// Milliseconds between two notifications.
const PAUSE: u64 = 1_000;
/// Cells of a message's text in a notification.
const TEXT: usize = 80;

pub(super) fn message(model: &mut Model, message: &MessageEvent, fx: &mut Vec<Effect>) {
    let now = model.now;
    let room =
        model.desk().and_then(|desk| desk.chats.find(&message.chat)).and_then(|chat| chat.room.as_ref());
    if room.is_some_and(|room| room.muted && !message.mention) {
        return;
    }
    let in_room = room.is_some();
    let recent = model.notified.is_some_and(|at| now.0.saturating_sub(at.0) < PAUSE);
    if model.focused || message.replay || recent || !model.settings.notify {
        return;
    }
    model.notified = Some(now);
    let known = model.desk().and_then(|desk| desk.contact(&message.from));
    let accepted = in_room || known.is_some_and(|who| who.state != ContactState::RequestReceived);
    let text = match model.settings.preview {
        Preview::None => "new message".to_owned(),
        _ if !accepted => "a message request".to_owned(),
        Preview::Sender => message.from.clone(),
        Preview::Full => format!("{}: {}", message.from, cells::fit(&cells::one_line(&message.text), TEXT)),
    };
    let text = SafeText::single_line(&format!("rosa: {text}"));
    fx.push(Effect::Notify(text.as_str().to_owned()));
}
