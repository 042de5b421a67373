//! What states and notices are called: the same words in the full screen and in the line mode.

use subrosa_client::api::{
    ApiError, ConnectionState, Contact, ContactState, Direction, Marks, Member, Message, MessageKind,
    MessageState, Role, RoomReceipts, Status, Trust,
};

use super::{hints::for_the_application, text::cells};

/// The mark of how far an own message is: always text, never colour alone.
#[must_use]
pub const fn mark(message: &Message) -> &'static str {
    match (message.direction, message.state) {
        (Direction::Out, MessageState::Held | MessageState::Queued) => "..",
        (Direction::Out, MessageState::Accepted) => "o",
        (Direction::Out, MessageState::Delivered) => "v",
        (Direction::Out, MessageState::Read) => "vv",
        (Direction::Out, MessageState::Failed) => "!",
        _ => "",
    }
}

/// How far a message is, in words.
#[must_use]
pub const fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Held => "held here",
        MessageState::Queued => "queued here",
        MessageState::Accepted => "on the relay",
        MessageState::Delivered => "delivered",
        MessageState::Read => "read",
        MessageState::Failed => "not sent",
        MessageState::Received => "received",
    }
}

/// How sure we are of somebody's key, in a word.
#[must_use]
pub const fn trust(trust: Trust) -> &'static str {
    match trust {
        Trust::Unverified => "unverified",
        Trust::Verified => "verified",
        Trust::Changed => "KEY CHANGED",
        Trust::Forked => "LIST FORKED",
    }
}

/// What somebody calls themselves, in quotation marks of this program that cannot be closed from within, where it is not
/// the account's name. It may say anything, even `verified`.
#[must_use]
pub fn called(who: &Contact) -> Option<String> {
    let name = cells::one_line(&who.display_name).replace(['"', '“', '”', '„', '‟', '＂'], "'");
    (!name.trim().is_empty() && name != who.name).then(|| format!("\"{name}\""))
}

/// Where somebody stands, where that is worth saying.
#[must_use]
pub const fn standing(state: ContactState) -> &'static str {
    match state {
        ContactState::Added => "added",
        ContactState::RequestReceived => "request",
        ContactState::RequestSent => "waits for them to accept",
        ContactState::Accepted => "",
    }
}

/// The line of a notice; `None` for what a person wrote.
#[must_use]
pub fn notice(message: &Message) -> Option<String> {
    let who = &message.from;
    Some(match &message.kind {
        MessageKind::Text { .. } => return None,
        MessageKind::Missing { count: 0 } => format!("all missing messages of {who} have come"),
        MessageKind::Missing { count: 1 } => format!("1 message of {who} is missing; it may still come"),
        MessageKind::Missing { count } => {
            format!("{count} messages of {who} are missing; they may still come")
        }
        MessageKind::Undecryptable {} => {
            format!("a message of {who} could not be read and was asked for again")
        }
        MessageKind::NewerVersion {} => format!("{who} sent something that only a newer rosa can show"),
        MessageKind::IdentityChanged {} => {
            format!(
                "{who}'s key changed: nothing is sent until you decide. /verify compares, /trust accepts it unseen"
            )
        }
        MessageKind::IdentityTrusted {} => format!("{who}'s new key was accepted without comparing"),
        MessageKind::IdentityVerified {} => format!("{who} is verified"),
        MessageKind::DeviceAdded { device } => {
            format!("{who} has a new device ({device}), signed with {who}'s key")
        }
        MessageKind::DeviceRemoved { device } => format!("{who} removed device {device}"),
        MessageKind::ListForked {} => {
            format!(
                "{who}'s device lists contradict each other: somebody lies. Nothing is sent. /verify compares"
            )
        }
        _ => return room_notice(who, &message.kind),
    })
}

/// The line of a notice about a room, without what a front end puts before it; `None` for everything else.
#[must_use]
pub fn room_notice(who: &str, kind: &MessageKind) -> Option<String> {
    Some(match kind {
        MessageKind::RoomCreated {} => format!("{who} made this room"),
        MessageKind::MemberInvited { name } => format!("{who} invited {name}"),
        MessageKind::MemberJoined {} => format!("{who} joined"),
        MessageKind::MemberLeft {} => format!("{who} left"),
        MessageKind::MemberRemoved { name } => format!("{who} removed {name}"),
        MessageKind::MemberDeclined {} => format!("{who} declined the invitation"),
        MessageKind::InvitationEnded { name } if name == who => {
            "the invitation is over: it was taken back, or the room is gone".to_owned()
        }
        MessageKind::InvitationEnded { name } => {
            format!("{name}'s invitation is over: declined, or taken back by {who}")
        }
        MessageKind::MemberBanned { name } => format!("{who} banned {name}"),
        MessageKind::MemberUnbanned { name } => format!("{who} lifted the ban of {name}"),
        MessageKind::MemberMuted { name } => format!("{who} muted {name}"),
        MessageKind::MemberUnmuted { name } => format!("{who} lets {name} write again"),
        MessageKind::RoleChanged { name, role: Role::Member } if name == who => {
            format!("{who} gave up the role here")
        }
        MessageKind::RoleChanged { name, role: Role::Member } => format!("{who} took {name}'s role away"),
        MessageKind::RoleChanged { name, role } => format!("{who} made {name} {}", role_with_article(*role)),
        MessageKind::TopicChanged { topic } if topic.is_empty() => format!("{who} removed the topic"),
        MessageKind::TopicChanged { topic } => format!("{who} set the topic: {topic}"),
        MessageKind::RoomRenamed { name } => format!("{who} renamed the room: {name}"),
        MessageKind::RoomChanged {} => format!("{who} changed the room's rules"),
        MessageKind::CommitRefused { why } => format!(
            "a change of the room was refused: {why}. Nothing can be read here until an owner renews the room"
        ),
        MessageKind::Deleted { by: Some(by) } if by != who => format!("a message of {who}, deleted by {by}"),
        MessageKind::Deleted { .. } => format!("{who} took this back"),
        MessageKind::RoomRenewed {} => format!("{who} renewed the room"),
        MessageKind::RoomCutOff {} => {
            "the relay has not kept what was said while you were away; somebody must add you again".to_owned()
        }
        MessageKind::RoomDenied {} => {
            "the relay says that you are not in this room, or keeps its log from you, but nobody took you out. Nothing is sent until the relay \
             answers for it again; /leave gives it up"
                .to_owned()
        }
        MessageKind::RoomAnswered {} => "the relay answers for this room again".to_owned(),
        MessageKind::MemberSilent { name, device } => format!(
            "nothing was heard of {name}'s device {device} for 45 days; after 90 an owner's device takes it out. /kick {name} does so now"
        ),
        MessageKind::SilentRemoved { name, device } => {
            format!("{name}'s device {device} was silent for 90 days and was taken out; /invite {name} adds it again")
        }
        MessageKind::Text { .. }
        | MessageKind::Missing { .. }
        | MessageKind::Undecryptable {}
        | MessageKind::NewerVersion {}
        | MessageKind::IdentityChanged {}
        | MessageKind::IdentityTrusted {}
        | MessageKind::IdentityVerified {}
        | MessageKind::DeviceAdded { .. }
        | MessageKind::DeviceRemoved { .. }
        | MessageKind::ListForked {} => return None,
    })
}

/// `1 member`, `5 members`.
#[must_use]
pub fn members(count: u32) -> String {
    format!("{count} member{}", if count == 1 { "" } else { "s" })
}

/// A role as it stands in a sentence.
#[must_use]
pub const fn role_with_article(role: Role) -> &'static str {
    match role {
        Role::Member => "a member without a role",
        Role::Moderator => "a moderator",
        Role::Owner => "an owner",
    }
}

/// What stands above the members of a role.
#[must_use]
pub const fn role_heading(role: Role) -> &'static str {
    match role {
        Role::Owner => "owners",
        Role::Moderator => "moderators",
        Role::Member => "members",
    }
}

/// What stands beside a member: whether moderators keep it from writing, and what is known of its key. Always text, never
/// colour alone.
#[must_use]
pub fn member_mark(member: &Member) -> String {
    let trust = match member.trust {
        Trust::Unverified => "",
        Trust::Verified => "ok",
        Trust::Changed => "!key",
        Trust::Forked => "!list",
    };
    match (member.muted, trust) {
        // Who is not there yet says nothing.
        (false, "" | "ok") if member.invited => "invited".to_owned(),
        (false, trust) => trust.to_owned(),
        (true, "") => "muted".to_owned(),
        (true, trust) => format!("muted {trust}"),
    }
}

/// Whether a notice is an alarm.
#[must_use]
pub const fn alarms(kind: &MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::IdentityChanged {}
            | MessageKind::ListForked {}
            | MessageKind::Undecryptable {}
            | MessageKind::Missing { count: 1.. }
            | MessageKind::CommitRefused { .. }
            | MessageKind::RoomCutOff {}
            | MessageKind::RoomDenied {}
    )
}

/// What a message says, or its notice.
#[must_use]
pub fn body(message: &Message) -> String {
    match &message.kind {
        MessageKind::Text { text } => text.as_str().to_owned(),
        _ => notice(message).unwrap_or_default(),
    }
}

/// Whose message it is: `you`, or the account.
#[must_use]
pub fn author(message: &Message) -> &str {
    if message.direction == Direction::Out { "you" } else { &message.from }
}

/// What was done with a message since it was written, as a line under it: changed, pinned, the signs beside it.
#[must_use]
pub fn marks(marks: &Marks) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(marks.edited.then(|| "changed".to_owned()));
    parts.extend(marks.pinned.then(|| "pinned".to_owned()));
    parts.extend(marks.reactions.iter().map(|one| match one.by.len() {
        1 => cells::one_line(&one.sign),
        many => format!("{} {many}", cells::one_line(&one.sign)),
    }));
    (!parts.is_empty()).then(|| format!("[{}]", parts.join("  ")))
}

/// How many members of a room have a message.
#[must_use]
pub fn receipts(receipts: &RoomReceipts) -> String {
    let RoomReceipts { of, delivered, read } = receipts;
    format!("delivered to {delivered} of {of}, read by {read}")
}

/// Why a message is held or was given up, as a line under it.
#[must_use]
pub fn reason(message: &Message) -> Option<String> {
    let why = message.reason.as_deref().map(cells::one_line).filter(|why| !why.is_empty());
    match (message.direction, message.state) {
        (Direction::Out, MessageState::Held) => {
            Some(why.map_or_else(|| "held".into(), |why| format!("held: {why}")))
        }
        (Direction::Out, MessageState::Failed) => {
            Some(why.map_or_else(|| "not sent".into(), |why| format!("not sent: {why}")))
        }
        (Direction::Out, MessageState::Queued) => why.map(|why| format!("waits: {why}")),
        _ => None,
    }
}

/// A refusal with what to do next.
#[must_use]
pub fn refusal(error: &ApiError) -> String {
    let hint =
        error.hint.as_deref().map(|hint| format!(". {}", for_the_application(hint))).unwrap_or_default();
    format!("{}{hint}", error.message.as_str())
}

/// The connection, in a word or two.
#[must_use]
pub fn connection(connection: &ConnectionState) -> String {
    match connection {
        ConnectionState::Connecting {} => "connecting".to_owned(),
        ConnectionState::Up { transport, rtt_ms } => {
            let transport: String = transport.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
            format!("{transport} {rtt_ms}ms")
        }
        ConnectionState::Down { .. } => "offline".to_owned(),
        ConnectionState::Blocked { .. } => "BLOCKED".to_owned(),
    }
}

/// The status page, line by line: what it is called, and how it is.
#[must_use]
pub fn status(status: &Status) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("account", status.account.clone()),
        ("device", status.device.to_string()),
        ("relay", status.relay.clone()),
        ("connection", connection(&status.connection)),
    ];
    match &status.connection {
        ConnectionState::Down { reason, retry_in_ms } => {
            lines.push(("", format!("{}; tried again in {} s", reason.as_str(), retry_in_ms.div_ceil(1000))));
        }
        ConnectionState::Blocked { error } => lines.push(("", refusal(error))),
        _ => {}
    }
    lines.push(("queued", format!("{} messages, {} of them held", status.queued, status.held)));
    lines.push(("unread", status.unread.to_string()));
    let prekeys = status.prekeys.map_or_else(
        || "not known yet".to_owned(),
        |(curve, kem)| format!("{curve} X25519 and {kem} ML-KEM left on the relay"),
    );
    lines.push(("prekeys", prekeys));
    lines.push(("discarded", format!("{} envelopes in this profile's life", status.discarded)));
    lines.push(("profile", status.profile.clone()));
    lines.push(("process", status.pid.to_string()));
    lines.push(("version", status.version.clone()));
    lines
}

/// A safety number in lines of four groups.
#[must_use]
pub fn safety_number(number: &str) -> Vec<String> {
    let digits: Vec<char> = number.chars().filter(char::is_ascii_digit).collect();
    let groups: Vec<String> = digits.chunks(5).map(|group| group.iter().collect()).collect();
    groups.chunks(4).map(|row| row.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_three_rows_of_four_groups() {
        let number = "12345 ".repeat(12);
        assert_eq!(safety_number(&number), vec!["12345 12345 12345 12345"; 3]);
    }

    #[test]
    fn what_somebody_calls_themselves_stays_between_quotation_marks() {
        let mut who = Contact {
            name: "bob".into(),
            display_name: subrosa_protocol::SafeText::name("Bob\" verified \"09:00"),
            state: ContactState::Accepted,
            trust: Trust::Unverified,
            devices: vec![1],
        };
        assert_eq!(called(&who).unwrap(), "\"Bob' verified '09:00\"");
        for same in ["", "bob"] {
            who.display_name = subrosa_protocol::SafeText::name(same);
            assert_eq!(called(&who), None);
        }
    }

    #[test]
    fn a_relay_cannot_write_into_the_status_line() {
        let up = ConnectionState::Up { transport: "quic\u{1b}[2J verified".to_owned(), rtt_ms: 3 };
        assert_eq!(connection(&up), "quic2Jve 3ms");
    }
}
