//! Telling the members of the open room that this person writes. The engine sends it, to those who are online, and no more
//! often than the room bears; here it is only not called with every key.

use subrosa_client::{Request, api::time::Timestamp};

use super::{Effect, Purpose};
use crate::app::model::Model;

/// Milliseconds between two calls.
const EVERY: u64 = 2_000;

/// Tells what has become of the line in the composer.
pub(super) fn settle(model: &mut Model, fx: &mut Vec<Effect>) {
    let now = model.now;
    let Some(desk) = model.desk_mut() else { return };
    let inside = desk.inside_room();
    let text = desk.composer.editor.text();
    let writes = inside && desk.composer.aimed.is_none() && !text.is_empty() && !text.starts_with('/');
    let here = desk.here().filter(|_| writes).map(str::to_owned);
    if let Some((chat, _)) = desk.typing_told.take_if(|(chat, _)| here.as_ref() != Some(chat)) {
        fx.push(Effect::Call(Purpose::Quiet, Request::ChatTyping { chat, stopped: true }));
    }
    // The draft is to be written to the store: it changed within the last seconds.
    let Some(chat) = here.filter(|_| desk.draft_due.is_some()) else { return };
    let due = desk.typing_told.as_ref().is_none_or(|(_, at)| now >= Timestamp(at.0.saturating_add(EVERY)));
    if due {
        desk.typing_told = Some((chat.clone(), now));
        fx.push(Effect::Call(Purpose::Quiet, Request::ChatTyping { chat, stopped: false }));
    }
}
