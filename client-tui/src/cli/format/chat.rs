//! Chats, contacts, devices, messages.

use subrosa_client::api::{
    Chat, Contact, Device, Direction, Message, MessageKind, SafetyNumberInfo, SendResult,
};

use super::{
    table::{pairs, short, table},
    time::Clock,
    words,
};
use crate::app::words::{called, receipts};

/// Characters of a chat's newest line in a list.
const PREVIEW: usize = 60;
/// Of an own message in a room of which nobody has told that they have it.
const NOBODY_TOLD: &str =
    "nobody has told that they have it: only contacts do, in rooms of at most 50 members";

/// A line a chat: name, trust, unread, time and text of the newest line.
#[must_use]
pub fn chats(chats: &[Chat], clock: &Clock) -> String {
    let row = |chat: &Chat| {
        let unread = if chat.unread == 0 { String::new() } else { format!("{} unread", chat.unread) };
        let (time, text) = chat
            .last
            .as_ref()
            .map_or_else(Default::default, |last| (clock.short(last.stored_at), short(&said(last), PREVIEW)));
        let trust = chat.contact.as_ref().map_or("", |who| words::trust(who.trust));
        vec![chat.chat.clone(), trust.to_owned(), unread, time, text]
    };
    table(&chats.iter().map(row).collect::<Vec<_>>())
}

fn said(message: &Message) -> String {
    let text = words::line(&message.kind, &message.from);
    if message.direction == Direction::Out { format!("you: {text}") } else { text }
}

/// A line a contact: name, state, trust, devices, display name.
#[must_use]
pub fn contacts(contacts: &[Contact]) -> String {
    let row = |contact: &Contact| {
        let devices = contact.devices.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        vec![
            contact.name.clone(),
            words::contact(contact.state).to_owned(),
            words::trust(contact.trust).to_owned(),
            if devices.is_empty() { String::new() } else { format!("devices {devices}") },
            called(contact).unwrap_or_default(),
        ]
    };
    table(&contacts.iter().map(row).collect::<Vec<_>>())
}

/// A line a request: who, since when, and what they wrote.
#[must_use]
pub fn requests(chats: &[Chat], clock: &Clock) -> String {
    let row = |chat: &Chat| {
        let (time, text) = chat
            .last
            .as_ref()
            .map_or_else(Default::default, |last| (clock.short(last.stored_at), short(&said(last), PREVIEW)));
        vec![chat.chat.clone(), chat.contact.as_ref().and_then(called).unwrap_or_default(), time, text]
    };
    table(&chats.iter().map(row).collect::<Vec<_>>())
}

/// A line a device.
#[must_use]
pub fn devices(devices: &[Device], clock: &Clock) -> String {
    let row = |device: &Device| {
        let this = if device.this { "this device" } else { "" };
        vec![device.device.to_string(), format!("added {}", clock.short(device.added_at)), this.to_owned()]
    };
    table(&devices.iter().map(row).collect::<Vec<_>>())
}

/// `05:06 bob  hi!`, more lines of a text indented below; marks are words.
#[must_use]
pub fn message(message: &Message, clock: &Clock) -> String {
    let text = words::line(&message.kind, &message.from);
    let time = clock.short(message.stored_at);
    if message.direction == Direction::Notice || !matches!(message.kind, MessageKind::Text { .. }) {
        return format!("{time} {text}");
    }
    let who = if message.direction == Direction::Out { "you" } else { &message.from };
    let mut line = format!("{time} {who}  {}", text.replace('\n', "\n    "));
    if let Some(marks) = words::marks(&message.marks) {
        line.push_str(&format!("  {marks}"));
    }
    if message.direction == Direction::Out {
        line.push_str(&format!("  [{}]", words::state(message.state)));
    }
    line
}

/// Everything about one message.
#[must_use]
pub fn details(message: &Message, delivered_to: &[String], read_by: &[String], clock: &Clock) -> String {
    let mut lines = vec![
        ("id", message.id.clone()),
        ("chat", message.chat.clone()),
        ("from", format!("{}, device {}", message.from, message.device)),
        ("sent", clock.long(message.sent_at)),
        ("stored", clock.long(message.stored_at)),
        ("state", words::state(message.state).to_owned()),
        ("verified", if message.verified { "yes" } else { "no" }.to_owned()),
    ];
    lines.extend(message.reply_to.iter().map(|id| ("reply to", id.clone())));
    let told = message.marks.receipts.as_ref().filter(|count| count.delivered > 0).map(receipts);
    let own_in_room = message.direction == Direction::Out && message.chat.starts_with('#');
    lines.extend(told.or(own_in_room.then(|| NOBODY_TOLD.to_owned())).map(|text| ("members", text)));
    let members = [("delivered to", delivered_to), ("read by", read_by)];
    let members = members.into_iter().filter(|(_, names)| !names.is_empty());
    lines.extend(members.map(|(key, names)| (key, names.join(", "))));
    lines.extend(words::marks(&message.marks).map(|marks| ("marks", marks)));
    lines.extend(message.reason.iter().map(|reason| ("reason", reason.to_string())));
    format!("{}\n\n{}", pairs(&lines), words::line(&message.kind, &message.from))
}

/// A found message: where, when, who, what, and its id for `rosa show`.
#[must_use]
pub fn hit(found: &Message, clock: &Clock) -> String {
    format!("{}  {}  {}", found.id, found.chat, message(found, clock))
}

/// A line a recipient. Why the only one was not reached, the error says.
#[must_use]
pub fn sent(results: &[SendResult]) -> String {
    let row = |result: &SendResult| {
        let error = result.error.as_ref().filter(|_| results.len() > 1);
        let why = error.map(|error| error.message.to_string()).unwrap_or_default();
        let id = result.id.clone().unwrap_or_default();
        vec![result.to.clone(), words::state(result.state).to_owned(), id, why]
    };
    table(&results.iter().map(row).collect::<Vec<_>>())
}

/// The number two people compare: three lines of four groups.
#[must_use]
pub fn safety_number(info: &SafetyNumberInfo) -> String {
    let mut text = format!("{}, {}\n{}", info.name, words::trust(info.trust), groups(&info.number));
    if let Some(previous) = &info.previous {
        text.push_str(&format!("\n\nbefore the key changed:\n{}", groups(previous)));
    }
    text
}

fn groups(number: &str) -> String {
    let groups: Vec<&str> = number.split_whitespace().collect();
    groups.chunks(4).map(|line| format!("    {}", line.join("  "))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use subrosa_client::{
        ApiError,
        api::{Kind, Marks, MessageState, RoomReceipts, time::Timestamp},
    };
    use subrosa_protocol::SafeText;

    use super::*;

    fn own() -> Message {
        Message {
            id: "01".into(),
            chat: "#ops".into(),
            order: 1,
            direction: Direction::Out,
            from: "alice".into(),
            device: 1,
            kind: MessageKind::Text { text: SafeText::single_line("hi") },
            reply_to: None,
            sent_at: Timestamp(0),
            stored_at: Timestamp(0),
            state: MessageState::Delivered,
            reason: None,
            verified: true,
            marks: Marks::default(),
        }
    }

    #[test]
    fn how_many_members_have_a_message_is_told_with_it() {
        let mut message = own();
        message.marks.receipts = Some(RoomReceipts { of: 5, delivered: 2, read: 1 });
        let text =
            details(&message, &["bob".into(), "carol".into()], &["bob".into()], &Clock::at(Timestamp(0)));
        for says in ["delivered to 2 of 5, read by 1", "bob, carol"] {
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn that_nobody_told_is_said_and_not_counted() {
        let text = |message: &Message| details(message, &[], &[], &Clock::at(Timestamp(0)));
        let mut message = own();
        assert!(text(&message).contains("nobody has told"), "{}", text(&message));
        message.marks.receipts = Some(RoomReceipts { of: 5, delivered: 0, read: 0 });
        assert!(text(&message).contains("nobody has told") && !text(&message).contains("of 5"));
        for other in [Message { chat: "bob".into(), ..own() }, Message { direction: Direction::In, ..own() }]
        {
            assert!(!text(&other).contains("nobody"), "{}", text(&other));
        }
    }

    #[test]
    fn who_deleted_a_message_stands_in_the_history() {
        let deleted = |by: Option<&str>| Message {
            direction: Direction::In,
            from: "bob".into(),
            kind: MessageKind::Deleted { by: by.map(str::to_owned) },
            ..own()
        };
        let line = |by| message(&deleted(by), &Clock::at(Timestamp(0)));
        assert_eq!(line(Some("carol")), "00:00 -- a message of bob, deleted by carol");
        assert_eq!(line(Some("bob")), "00:00 -- bob took this back");
        assert_eq!(line(None), "00:00 -- bob took this back");
    }

    #[test]
    fn why_nobody_was_reached_is_said_once() {
        let result = |to: &str| SendResult {
            to: to.into(),
            id: None,
            state: MessageState::Failed,
            error: Some(ApiError::new(Kind::Refused, "you are muted in #ops")),
        };
        assert!(!sent(&[result("#ops")]).contains("muted"), "the error says it");
        assert_eq!(sent(&[result("#ops"), result("#dev")]).matches("muted").count(), 2);
    }
}
