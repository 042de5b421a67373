//! An engine in memory: it answers requests from what it holds, and remembers what it was asked.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard},
};

use rosa::app::{Door, Locking, Unlocking};
use subrosa_client::{
    ApiError, Event, Handle, Reply, Request,
    api::{
        AccountInfo, Call, Chat, ConnectionState, Contact, ContactState, Direction, EventBody, EventStream,
        HistoryPage, Kind, ListedRoom, Member, Message, MessageEvent, MessageKind, MessageState, Receipted,
        Role, Room, RoomReceipts, RoomState, SafetyNumberInfo, SearchHit, SendResult, SignOf, Status,
        StreamItem, Subscribe, Trust, Visibility, time::Timestamp,
    },
};
use subrosa_protocol::SafeText;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Fri 21 Nov 2025, 05:06:28.113 UTC.
pub(crate) const NOW: u64 = 1_763_701_588_113;
/// The passphrase of the profile.
pub(crate) const PASSPHRASE: &str = "correct horse";

/// An output that keeps what was written.
#[derive(Clone, Default)]
pub(crate) struct Written(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An engine in memory.
pub(crate) struct World {
    pub(crate) chats: Vec<Chat>,
    pub(crate) messages: Vec<Message>,
    pub(crate) status: Status,
    /// Every request, in order.
    pub(crate) asked: Vec<Request>,
    /// What the next send is refused with.
    pub(crate) refuse_send: Option<ApiError>,
    pub(crate) subscribers: Vec<mpsc::Sender<StreamItem>>,
    pub(crate) number: String,
    /// The members of every room.
    pub(crate) members: Vec<Member>,
    /// The relay's public rooms.
    pub(crate) listed: Vec<ListedRoom>,
    /// Who has own messages of rooms, and who has read them.
    pub(crate) holders: (Vec<String>, Vec<String>),
    /// What the next request about a room or a message is refused with.
    pub(crate) refuse: Option<ApiError>,
}

pub(crate) fn contact(name: &str, state: ContactState, trust: Trust) -> Contact {
    Contact { name: name.to_owned(), display_name: SafeText::default(), state, trust, devices: vec![1] }
}

pub(crate) fn member(name: &str, role: Role, trust: Trust) -> Member {
    Member { name: name.to_owned(), role, devices: vec![1], muted: false, trust, invited: false }
}

pub(crate) fn message(chat: &str, order: i64, from: &str, text: &str) -> Message {
    let out = from == "alice";
    Message {
        id: format!("01JD{order:022}"),
        chat: chat.to_owned(),
        order,
        direction: if out { Direction::Out } else { Direction::In },
        from: from.to_owned(),
        device: 1,
        kind: MessageKind::Text { text: SafeText::multi_line(text) },
        reply_to: None,
        sent_at: Timestamp(NOW - 600_000 + u64::try_from(order).unwrap() * 1_000),
        stored_at: Timestamp(NOW - 600_000 + u64::try_from(order).unwrap() * 1_000),
        state: MessageState::Read,
        reason: None,
        verified: true,
        marks: Default::default(),
    }
}

pub(crate) fn notice(chat: &str, order: i64, kind: MessageKind) -> Message {
    let direction = Direction::Notice;
    Message { direction, kind, state: MessageState::Received, ..message(chat, order, chat, "") }
}

pub(crate) fn received(message: &Message) -> Event {
    event(EventBody::MessageReceived { message: told(message) })
}

pub(crate) fn told(message: &Message) -> MessageEvent {
    let MessageKind::Text { text } = &message.kind else { panic!("not a text") };
    MessageEvent {
        id: message.id.clone(),
        chat: message.chat.clone(),
        from: message.from.clone(),
        device: message.device,
        text: text.clone(),
        reply_to: message.reply_to.clone(),
        expires_at: None,
        verified: message.verified,
        replay: false,
        files: Vec::new(),
        sent_at: message.sent_at,
        order: message.order,
        mention: false,
    }
}

pub(crate) fn receipt(message: &Message) -> Receipted {
    Receipted { id: message.id.clone(), chat: message.chat.clone(), by: None, receipts: None }
}

pub(crate) fn event(body: EventBody) -> Event {
    Event { v: 1, seq: Some(1), ts: Timestamp(NOW), account: "alice@r.example".to_owned(), body }
}

impl World {
    /// Nobody yet.
    pub(crate) fn empty() -> Self {
        Self {
            chats: Vec::new(),
            messages: Vec::new(),
            status: Status {
                account: "alice@r.example".to_owned(),
                device: 1,
                relay: "rosa://r.example:4433/k3f9tq7m".to_owned(),
                connection: ConnectionState::Up { transport: "quic".to_owned(), rtt_ms: 23 },
                queued: 0,
                held: 0,
                unread: 0,
                prekeys: Some((97, 99)),
                seq: 1,
                discarded: 0,
                profile: "/home/alice/.local/share/rosa/default".to_owned(),
                pid: 4242,
                version: "0.1.0".to_owned(),
            },
            asked: Vec::new(),
            refuse_send: None,
            subscribers: Vec::new(),
            number: ["12345"; 12].join(" "),
            members: Vec::new(),
            listed: Vec::new(),
            holders: (Vec::new(), Vec::new()),
            refuse: None,
        }
    }

    /// The same people, and the room `#ops` with five members: alice is its owner.
    pub(crate) fn with_room() -> Self {
        let mut world = Self::peopled();
        world.members = vec![
            member("alice", Role::Owner, Trust::Verified),
            member("bob", Role::Moderator, Trust::Verified),
            member("carol", Role::Member, Trust::Unverified),
            member("erin", Role::Member, Trust::Changed),
            Member { muted: true, ..member("mallory", Role::Member, Trust::Unverified) },
        ];
        world.room("#ops", "deploys and pages");
        world.put(Message { from: "alice".to_owned(), ..notice("#ops", 30, MessageKind::RoomCreated {}) });
        let joined = |order, who: &str| Message {
            from: who.to_owned(),
            ..notice("#ops", order, MessageKind::MemberJoined {})
        };
        world.put(joined(31, "bob"));
        world.put(joined(32, "carol"));
        let topic = MessageKind::TopicChanged { topic: SafeText::single_line("deploys and pages") };
        world.put(Message { from: "alice".to_owned(), ..notice("#ops", 33, topic) });
        world.put(message("#ops", 34, "bob", "@carol can you look at the relay?"));
        world.put(message("#ops", 35, "carol", "on it, @bob"));
        let mut own = message("#ops", 36, "alice", "thanks");
        own.marks.receipts = Some(RoomReceipts { of: 4, delivered: 2, read: 1 });
        world.put(own);
        let role = MessageKind::RoleChanged { name: "bob".to_owned(), role: Role::Moderator };
        world.put(Message { from: "alice".to_owned(), ..notice("#ops", 37, role) });
        let mut called = message("#ops", 38, "bob", "@alice the certificate ends tomorrow, tell @room");
        called.marks.mention = true;
        called.marks.pinned = true;
        called.marks.reactions =
            vec![SignOf { sign: SafeText::single_line("+1"), by: vec!["alice".into(), "carol".into()] }];
        world.put(called);
        let kicked = MessageKind::MemberRemoved { name: "trudy".to_owned() };
        world.put(Message { from: "bob".to_owned(), ..notice("#ops", 39, kicked) });
        world.put(message("#ops", 40, "mallory", "mail me at m@carol.example or @carolina"));
        world.holders = (vec!["bob".to_owned(), "carol".to_owned()], vec!["bob".to_owned()]);
        world
    }

    /// A room, before all other chats.
    pub(crate) fn room(&mut self, label: &str, topic: &str) -> &mut Room {
        let room = Room {
            chat: label.to_owned(),
            id: "0".repeat(26),
            name: SafeText::name(label),
            topic: SafeText::single_line(topic),
            description: SafeText::default(),
            slug: None,
            visibility: Visibility::Private,
            state: Some(RoomState::Joined),
            role: Some(Role::Owner),
            members: u32::try_from(self.members.len()).unwrap(),
            suite: String::new(),
            epoch: 3,
            invited_by: None,
            muted: false,
            denied: false,
            mentions: 0,
        };
        let chat = Chat {
            chat: label.to_owned(),
            contact: None,
            room: Some(room),
            unread: 0,
            read_up_to: 0,
            last: None,
            draft: String::new(),
        };
        self.chats.insert(0, chat);
        self.chats[0].room.as_mut().unwrap()
    }

    pub(crate) fn room_mut(&mut self, label: &str) -> &mut Room {
        self.chat(label).room.as_mut().unwrap()
    }

    /// Four chats: a verified friend with unread messages, one with a queued message, a changed key, a request.
    pub(crate) fn peopled() -> Self {
        let mut world = Self::empty();
        world.person("bob", ContactState::Accepted, Trust::Verified);
        world.person("carol", ContactState::Accepted, Trust::Unverified);
        world.person("erin", ContactState::Accepted, Trust::Changed);
        world.person("dave", ContactState::RequestReceived, Trust::Unverified);
        let mut early = message("bob", 1, "bob", "see you tomorrow");
        early.sent_at = Timestamp(NOW - 86_400_000);
        world.put(early);
        world.put(message("bob", 2, "bob", "did the relay restart?"));
        world.put(message("bob", 3, "alice", "yes, 0 lost"));
        let mut reply = message("bob", 4, "bob", "nice");
        reply.reply_to = Some(world.messages[2].id.clone());
        world.put(reply);
        let mut queued = message("carol", 5, "alice", "are you there?");
        queued.state = MessageState::Queued;
        world.put(queued);
        world.put(message("erin", 6, "erin", "new phone"));
        world.put(notice("erin", 7, MessageKind::IdentityChanged {}));
        let mut held = message("erin", 8, "alice", "is it really you?");
        held.state = MessageState::Held;
        held.reason = Some(SafeText::single_line("erin's key changed"));
        world.put(held);
        world.put(message("dave", 9, "dave", "Hi, we met at the meetup."));
        world.unread("dave", 1);
        world.put(message("bob", 10, "bob", "here is a longer message that has to be wrapped, because it does not fit on one line of a small terminal"));
        world.unread("bob", 1);
        world.chats.sort_by_key(|chat| ["bob", "carol", "erin", "dave"].iter().position(|n| *n == chat.chat));
        world
    }

    pub(crate) fn person(&mut self, name: &str, state: ContactState, trust: Trust) {
        self.chats.push(Chat {
            chat: name.to_owned(),
            contact: Some(contact(name, state, trust)),
            room: None,
            unread: 0,
            read_up_to: 0,
            last: None,
            draft: String::new(),
        });
    }

    pub(crate) fn chat(&mut self, name: &str) -> &mut Chat {
        self.chats.iter_mut().find(|chat| chat.chat == name).unwrap()
    }

    /// The other side of a chat with a person.
    pub(crate) fn contact(&mut self, name: &str) -> &mut Contact {
        self.chat(name).contact.as_mut().unwrap()
    }

    /// Stores a message, read.
    pub(crate) fn put(&mut self, message: Message) {
        let chat = self.chat(&message.chat.clone());
        chat.last = Some(message.clone());
        chat.read_up_to = message.order;
        self.messages.push(message);
    }

    /// The last `count` messages of a chat are unread.
    pub(crate) fn unread(&mut self, name: &str, count: usize) {
        let mut orders: Vec<i64> = Vec::new();
        for message in self.messages.iter_mut().rev().filter(|m| m.chat == name).take(count) {
            message.state = MessageState::Received;
            orders.push(message.order);
        }
        let chat = self.chat(name);
        chat.unread = count as u64;
        chat.read_up_to = orders.last().unwrap() - 1;
    }

    pub(crate) fn asked_for(&self, matches: impl Fn(&Request) -> bool) -> usize {
        self.asked.iter().filter(|request| matches(request)).count()
    }

    pub(crate) fn answer(&mut self, request: Request) -> Result<Reply, ApiError> {
        self.asked.push(request.clone());
        let about_rooms = matches!(
            request,
            Request::RoomCreate(_)
                | Request::RoomJoin { .. }
                | Request::RoomLeave { .. }
                | Request::RoomInvite { .. }
                | Request::RoomKick { .. }
                | Request::RoomBan { .. }
                | Request::RoomRole { .. }
                | Request::RoomTopic { .. }
                | Request::RoomRename { .. }
                | Request::MessageEdit { .. }
                | Request::MessageDelete { .. }
                | Request::MessageReact { .. }
                | Request::MessagePin { .. }
        );
        if let Some(error) = self.refuse.take_if(|_| about_rooms) {
            return Err(error);
        }
        if let Request::ContactAccept { name }
        | Request::ContactVerify { name, .. }
        | Request::ContactTrust { name, .. }
        | Request::ContactSafetyNumber { name } = &request
            && !self.chats.iter().any(|chat| chat.chat == *name)
        {
            return Err(ApiError::new(Kind::NotFound, format!("there is no {name}")));
        }
        match request {
            Request::AccountShow {} => Ok(Reply::Account(AccountInfo {
                address: "alice@r.example".to_owned(),
                name: "alice".to_owned(),
                display_name: SafeText::name("Alice"),
                device: 1,
                relay: self.status.relay.clone(),
                account_key: "00".repeat(32),
            })),
            Request::StatusShow {} => Ok(Reply::Status(Box::new(self.status.clone()))),
            Request::ChatList {} => Ok(Reply::Chats { chats: self.chats.clone() }),
            Request::ContactList {} => Ok(Reply::Contacts {
                contacts: self.chats.iter().filter_map(|chat| chat.contact.clone()).collect(),
            }),
            Request::ChatHistory { chat, before, after, limit } => {
                Ok(self.history(&chat, before, after, limit as usize))
            }
            Request::MessageSend(send) => {
                if let Some(error) = self.refuse_send.take() {
                    return Err(error);
                }
                let order = self.messages.last().map_or(1, |last| last.order + 1);
                let mut sent = message(&send.to[0], order, "alice", &send.text);
                sent.state = MessageState::Queued;
                sent.reply_to = send.reply_to;
                self.put(sent.clone());
                self.emit(event(EventBody::MessageQueued { message: told(&sent) }));
                let result = SendResult {
                    to: send.to[0].clone(),
                    id: Some(sent.id),
                    state: MessageState::Queued,
                    error: None,
                };
                Ok(Reply::Sent { results: vec![result] })
            }
            Request::MessageShow { id } => match self.messages.iter().find(|message| message.id == id) {
                Some(message) => Ok(self.shown(message)),
                None => Err(ApiError::new(Kind::NotFound, "there is no such message")),
            },
            Request::MessageEdit { id, text } => self.touch(&id, |message| {
                message.kind = MessageKind::Text { text: SafeText::multi_line(&text) };
                message.marks.edited = true;
            }),
            Request::MessageDelete { id } => self.touch(&id, |message| {
                message.kind = MessageKind::Deleted { by: Some("alice".to_owned()) };
            }),
            Request::MessageReact { id, sign, undo } => self.touch(&id, |message| {
                let by = vec!["alice".to_owned()];
                message.marks.reactions.retain(|one| one.sign.as_str() != sign || one.by != by);
                if !undo {
                    message.marks.reactions.push(SignOf { sign: SafeText::single_line(&sign), by });
                }
            }),
            Request::MessagePin { id, undo } => self.touch(&id, |message| message.marks.pinned = !undo),
            Request::RoomMembers { .. } => Ok(Reply::Members { members: self.members.clone() }),
            Request::RoomList { .. } => Ok(Reply::Rooms { rooms: self.listed.clone() }),
            Request::RoomCreate(create) => {
                let label = format!("#{}", create.name);
                let room = self.room(&label, &create.topic).clone();
                Ok(Reply::Room { room: Box::new(room) })
            }
            Request::RoomLeave { .. } => Ok(Reply::Done {}),
            Request::RoomJoin { room } => {
                self.room_mut(&room).state = Some(RoomState::Joined);
                Ok(Reply::Room { room: Box::new(self.room_mut(&room).clone()) })
            }
            // Of the relay's rooms, the one that is listed is none of this profile's.
            Request::RoomShow { room } if !room.starts_with('#') => {
                Err(ApiError::new(Kind::NotFound, "there is no such room"))
            }
            Request::RoomShow { room }
            | Request::RoomKick { room, .. }
            | Request::RoomBan { room, .. }
            | Request::RoomRole { room, .. }
            | Request::RoomInvite { room, .. }
            | Request::RoomTopic { room, .. }
            | Request::RoomMute { room, .. }
            | Request::RoomRenew { room }
            | Request::RoomRename { room, .. } => {
                Ok(Reply::Room { room: Box::new(self.room_mut(&room).clone()) })
            }
            Request::MessageSearch { query, .. } => {
                let hits = self.messages.iter().rev().filter(
                    |message| matches!(&message.kind, MessageKind::Text { text } if text.contains(&query)),
                );
                Ok(Reply::Hits { hits: hits.cloned().map(|message| SearchHit { message }).collect() })
            }
            Request::ChatDraft { chat, text } => {
                self.chat(&chat).draft = text;
                Ok(Reply::Done {})
            }
            Request::ChatRead { chat, up_to } => {
                let chat = self.chat(&chat);
                chat.unread = 0;
                chat.read_up_to = up_to;
                Ok(Reply::Done {})
            }
            Request::ContactAdd { name } => {
                if name == "nobody" {
                    return Err(ApiError::new(Kind::NotFound, "there is no account nobody on this relay")
                        .hint("check the spelling"));
                }
                if !self.chats.iter().any(|chat| chat.chat == name) {
                    self.person(&name, ContactState::Added, Trust::Unverified);
                }
                Ok(Reply::Contact { contact: self.contact(&name).clone() })
            }
            Request::ContactAccept { name } => self.change(&name, |who| who.state = ContactState::Accepted),
            Request::ContactVerify { name, number } => {
                if number != self.number {
                    return Err(ApiError::new(Kind::Identity, "this is not the safety number"));
                }
                self.change(&name, |who| who.trust = Trust::Verified)
            }
            Request::ContactTrust { name, .. } => self.change(&name, |who| who.trust = Trust::Unverified),
            Request::ContactSafetyNumber { name } => {
                let trust = self.contact(&name).trust;
                let previous = (trust == Trust::Changed).then(|| ["98765"; 12].join(" "));
                Ok(Reply::SafetyNumber(SafetyNumberInfo {
                    name,
                    number: self.number.clone(),
                    previous,
                    trust,
                }))
            }
            _ => Ok(Reply::Done {}),
        }
    }

    fn shown(&self, message: &Message) -> Reply {
        let own = message.direction == Direction::Out && message.chat.starts_with('#');
        let (delivered_to, read_by) = if own { self.holders.clone() } else { Default::default() };
        Reply::Message { message: message.clone(), delivered_to, read_by }
    }

    fn touch(&mut self, id: &str, how: impl Fn(&mut Message)) -> Result<Reply, ApiError> {
        let missing = || ApiError::new(Kind::NotFound, "there is no such message");
        how(self.messages.iter_mut().find(|message| message.id == id).ok_or_else(missing)?);
        Ok(self.shown(self.messages.iter().find(|message| message.id == id).unwrap()))
    }

    fn change(&mut self, name: &str, how: impl Fn(&mut Contact)) -> Result<Reply, ApiError> {
        how(self.contact(name));
        Ok(Reply::Contact { contact: self.contact(name).clone() })
    }

    fn history(&self, chat: &str, before: Option<i64>, after: Option<i64>, limit: usize) -> Reply {
        let all: Vec<&Message> = self.messages.iter().filter(|message| message.chat == chat).collect();
        let fits = |m: &&&Message| before.is_none_or(|b| m.order < b) && after.is_none_or(|a| m.order > a);
        let fitting: Vec<&Message> = all.iter().filter(fits).copied().collect();
        let skip = if after.is_some() { 0 } else { fitting.len().saturating_sub(limit) };
        let messages: Vec<Message> = fitting.into_iter().skip(skip).take(limit).cloned().collect();
        let more_before = messages.first().is_some_and(|first| all.iter().any(|m| m.order < first.order));
        let more_after = messages.last().is_some_and(|last| all.iter().any(|m| m.order > last.order));
        Reply::History(HistoryPage { messages, more_before, more_after })
    }

    /// Tells an event to whoever subscribed.
    pub(crate) fn emit(&mut self, event: Event) {
        self.subscribers.retain(|to| to.try_send(StreamItem::Event(Box::new(event.clone()))).is_ok());
    }
}

/// The world behind the interface of the real engine, for the loop.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Handle for Shared {
    fn call(&self, request: Request) -> Call<'_> {
        Box::pin(async move { self.world().answer(request) })
    }

    fn subscribe(&self) -> Subscribe<'_> {
        Box::pin(async move {
            let (to, from) = mpsc::channel(64);
            self.world().subscribers.push(to);
            Ok(EventStream::new(from))
        })
    }
}

/// A door that opens with [`PASSPHRASE`] and counts.
pub(crate) struct TestDoor {
    pub(crate) shared: Shared,
    pub(crate) locked: Arc<Mutex<usize>>,
}

impl Door for TestDoor {
    fn unlock(&self, passphrase: Zeroizing<String>) -> Unlocking<'_> {
        Box::pin(async move {
            if *passphrase == PASSPHRASE {
                Ok(Arc::new(self.shared.clone()) as Arc<dyn Handle>)
            } else {
                Err(ApiError::new(Kind::NotReady, "wrong passphrase"))
            }
        })
    }

    fn lock(&self) -> Locking<'_> {
        Box::pin(async move {
            self.shared.world().subscribers.clear();
            *self.locked.lock().unwrap() += 1;
        })
    }
}
