//! Rooms: making, joining, talking, leaving; races, crashes and refusals.

mod about;
mod answering;
mod away;
mod changing;
mod crashing;
mod crowd;
mod denying;
mod following;
mod given_up;
mod hostile;
mod joining;
mod large;
mod late;
mod leaving;
mod liars;
mod ordered;
mod racing;
mod renewing;
mod signed_out;
mod silent;
mod talking;
mod together;
mod waiting;

use subrosa_client::{
    ApiError, Reply, Request,
    api::{CreateRoom, Member, Message, MessageKind, Role, Room, RoomEvidence, RoomState},
};
use subrosa_protocol::RoomId;

use crate::world::World;

impl World {
    /// A world whose devices publish KeyPackages, with these accounts.
    pub fn with_rooms(seed: u64, accounts: &[&str]) -> Self {
        let mut world = Self::new(seed);
        world.relay.rooms.open = true;
        for account in accounts {
            world.register(account);
            world.connect(account);
        }
        world.settle();
        world
    }

    pub fn room(&mut self, handle: &str, request: Request) -> Result<Room, ApiError> {
        match self.ask(handle, request)? {
            Reply::Room { room } => Ok(*room),
            other => panic!("{other:?}"),
        }
    }

    pub fn create_private(&mut self, handle: &str, name: &str) -> Room {
        self.room(handle, Request::RoomCreate(create(name, false))).unwrap()
    }

    pub fn create_public(&mut self, handle: &str, name: &str) -> Room {
        self.room(handle, Request::RoomCreate(create(name, true))).unwrap()
    }

    pub fn invite(&mut self, handle: &str, room: &str, name: &str) -> Result<Room, ApiError> {
        self.room(handle, Request::RoomInvite { room: room.into(), name: name.into() })
    }

    pub fn join(&mut self, handle: &str, room: &str) -> Result<Room, ApiError> {
        self.room(handle, Request::RoomJoin { room: room.into() })
    }

    pub fn kick(&mut self, handle: &str, room: &str, name: &str) -> Result<Room, ApiError> {
        self.room(handle, Request::RoomKick { room: room.into(), name: name.into() })
    }

    /// A private room of the first account, in which all the others are.
    pub fn gather(&mut self, accounts: &[&str]) -> Room {
        let (owner, others) = accounts.split_first().unwrap();
        let room = self.create_private(owner, "ops");
        for other in others {
            self.invite(owner, "#ops", other).unwrap();
            self.settle();
            self.join(other, "#ops").unwrap();
            self.settle();
        }
        room
    }

    /// Two people who have written to each other.
    pub fn befriend(&mut self, one: &str, other: &str) {
        self.send(one, other, "hello");
        self.settle();
        self.send(other, one, "hello");
        self.settle();
    }

    /// Does something with a message.
    pub fn touch(&mut self, handle: &str, request: Request) -> Result<Message, ApiError> {
        match self.ask(handle, request)? {
            Reply::Message { message, .. } => Ok(message),
            other => panic!("{other:?}"),
        }
    }

    /// The message of this text.
    pub fn line(&mut self, handle: &str, room: &str, text: &str) -> Message {
        let is =
            |line: &Message| matches!(&line.kind, MessageKind::Text { text: said } if said.as_str() == text);
        self.history(handle, room).into_iter().find(is).unwrap_or_else(|| panic!("{handle}: {text}"))
    }

    pub fn shown(&mut self, handle: &str, room: &str) -> Room {
        self.room(handle, Request::RoomShow { room: room.into() }).unwrap()
    }

    pub fn evidence(&mut self, handle: &str) -> Vec<RoomEvidence> {
        match self.ask(handle, Request::RoomEvidence { room: "#ops".into() }).unwrap() {
            Reply::RoomEvidence { evidence } => evidence,
            other => panic!("{other:?}"),
        }
    }

    pub fn members(&mut self, handle: &str, room: &str) -> Vec<Member> {
        match self.ask(handle, Request::RoomMembers { room: room.into() }).unwrap() {
            Reply::Members { members } => members,
            other => panic!("{other:?}"),
        }
    }

    pub fn names(&mut self, handle: &str, room: &str) -> Vec<(String, Role)> {
        self.members(handle, room).into_iter().map(|member| (member.name, member.role)).collect()
    }

    /// All devices of these handles that are in a room agree on its epoch and its members.
    pub fn agree(&mut self, handles: &[&str], room: &str) {
        let mut seen = Vec::new();
        for handle in handles {
            let shown = self.shown(handle, room);
            assert_eq!(shown.state, Some(RoomState::Joined), "{handle}");
            seen.push((shown.epoch, self.names(handle, room), shown.name, shown.topic));
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}

pub fn create(name: &str, public: bool) -> CreateRoom {
    CreateRoom {
        name: name.into(),
        public,
        slug: None,
        description: String::new(),
        topic: String::new(),
        large: false,
    }
}

pub fn id_of(room: &Room) -> RoomId {
    room.id.parse().unwrap()
}
