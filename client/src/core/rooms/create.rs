//! Making a room.

use subrosa_protocol::{
    BoundedStr, ErrorCode, RoomId, SafeText, Slug,
    frames::{Listing, Request, Response, RoomCreate, RoomHead, RoomInfo, RoomName, RoomShow, Standing},
    limits::{ROOM_DESCRIPTION_BYTES, ROOM_NAME_BYTES},
};
use subrosa_rooms::{OwnerKey, Policy, Room, Suite, Visibility as PolicyVisibility};

use super::{
    super::{Core, Effect, Fault, Turn, work::Work},
    RoomAsked, lines,
    mls::fault,
    objects::wire,
};
use crate::{
    api::{ApiError, CreateRoom, EventBody, Kind, MessageKind, RoomState, Visibility, echo},
    label,
    net::refused,
    store::StoredRoom,
};

/// Slugs made from a name that are tried before its person is asked for one.
const SLUGS_TRIED: u32 = 9;

/// A room that is being made.
#[derive(Debug)]
pub(super) struct Creating {
    pub(super) room: RoomId,
    pub(super) token: Option<u64>,
    /// The slug was made from the name: when it is taken, the next one is tried.
    stem: Option<Slug>,
    tries: u32,
}

/// What a room may be called.
pub(super) fn valid_name(text: &str) -> Result<SafeText, ApiError> {
    let name = SafeText::name(text);
    if name.is_empty() {
        return Err(ApiError::new(Kind::Usage, "a room needs a name"));
    }
    let whole = SafeText::single_line(text.trim());
    if name.len() > ROOM_NAME_BYTES || name.split_whitespace().ne(whole.split_whitespace()) {
        return Err(ApiError::new(Kind::Usage, "the name is too long: at most 64 characters and 256 bytes"));
    }
    Ok(name)
}

/// What may stand as a topic or a description.
pub(super) fn valid_line(text: &str, what: &str) -> Result<SafeText, ApiError> {
    let line = SafeText::single_line(text.trim());
    if line.len() > ROOM_DESCRIPTION_BYTES {
        return Err(ApiError::new(Kind::Usage, format!("the {what} is too long: at most 512 bytes")));
    }
    Ok(line)
}

impl Core {
    /// `room.create`.
    pub(super) fn create_room(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        create: &CreateRoom,
    ) -> Result<(), Fault> {
        let name = valid_name(&create.name)?;
        let topic = valid_line(&create.topic, "topic")?;
        let description = valid_line(&create.description, "description")?;
        if !create.public && (create.slug.is_some() || !description.is_empty()) {
            let error = ApiError::new(Kind::Usage, "a private room has no slug and no description");
            return Err(error.hint("add --public to make it a public room").into());
        }
        let slug = match &create.slug {
            Some(text) => Some(
                text.trim_start_matches('#')
                    .parse::<Slug>()
                    .map_err(|error| ApiError::new(Kind::Usage, format!("{}: {error}", echo(text))))?,
            ),
            None => None,
        };
        self.need_relay()?;
        let stem = slug.is_none().then(|| Slug::from_name(&name));
        let slug = slug.or_else(|| stem.clone()).ok_or(Fault::Internal("slug"))?;
        let suite = if create.large { Suite::Classic } else { Suite::Hybrid };
        let visibility = if create.public { Visibility::Public } else { Visibility::Private };
        let room = self.transact(turn, |w| {
            let id = RoomId::from_bytes(w.random());
            let key = OwnerKey::generate(&mut w.rng);
            let shown = if create.public { PolicyVisibility::Public } else { PolicyVisibility::Private };
            let mut policy = Policy::new(*id.as_bytes(), shown, &name, w.me.account.as_str(), key.public());
            policy.topic = topic.to_string();
            let (leaf, tx) = (w.leaf()?, w.tx);
            let group = Room::create(tx, &mut w.rng, leaf, &policy, suite, w.now).map_err(fault)?;
            let wish = if create.public { slug.to_string() } else { label::from_name(&name) };
            let label = w.tx.free_label(&wish)?;
            let mut stored = StoredRoom {
                slug: create.public.then(|| slug.to_string()),
                description: description.clone(),
                owner_secret: Some(key.to_bytes()),
                ..StoredRoom::new(id, label, visibility)
            };
            lines::refresh(w, &mut stored, &group);
            w.loaded.keep(group);
            w.tx.put_room(&stored)?;
            Ok(id)
        })?;
        self.rooms.creating.push(Creating { room, token: Some(token), stem, tries: 1 });
        self.ask_to_create(turn, room)
    }

    fn ask_to_create(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let (stored, owner_key, group_info, state_generation) = self.transact(turn, |w| {
            let stored = w.tx.room(room)?.ok_or(Fault::Internal("room"))?;
            let group = w.group_of(room)?;
            let (leaf, tx) = (w.leaf()?, w.tx);
            let group_info = match stored.visibility {
                Visibility::Public => Some(group.group_info(tx, &mut w.rng, leaf).map_err(fault)?),
                Visibility::Private => None,
            };
            let owner_key = group.policy().owner_key;
            w.loaded.keep(group);
            Ok((stored, owner_key, group_info, w.tx.generation()?))
        })?;
        let listing = match &stored.slug {
            Some(slug) => Some(Listing {
                slug: slug.parse().map_err(|_| Fault::Internal("slug"))?,
                name: BoundedStr::new(stored.name.as_str()).map_err(|_| Fault::Internal("name"))?,
                description: BoundedStr::new(stored.description.as_str())
                    .map_err(|_| Fault::Internal("description"))?,
            }),
            None => None,
        };
        let group_info = group_info.map(|bytes| self.put_object(turn, &bytes)).transpose()?;
        let create = RoomCreate { room, owner_key: wire(owner_key), listing, group_info, state_generation };
        self.ask_room(turn, RoomAsked::Create(room), &Request::RoomCreate(create))
    }

    pub(super) fn on_created(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: Response,
    ) -> Result<(), Fault> {
        match response {
            Response::Done(_) => self.created(turn, room),
            Response::Error(frame) => {
                let creating = self.rooms.creating.iter_mut().find(|creating| creating.room == room);
                if frame.code == ErrorCode::SlugTaken
                    && let Some(creating) = creating
                    && let Some(stem) = creating.stem.clone()
                    && creating.tries < SLUGS_TRIED
                {
                    if creating.tries == 1 {
                        // Whether a room has this very slug, or one that looks like it.
                        let show = RoomShow { room: RoomName::Slug(stem) };
                        return self.ask_room(turn, RoomAsked::Stem(room), &Request::RoomShow(show));
                    }
                    return self.create_numbered(turn, room);
                }
                self.transact(turn, |w| unmake(w, room))?;
                self.answer_creating(turn, room, Err(refused(&frame)));
                Ok(())
            }
            _ => Err(Fault::Relay("another answer to a new room than there is")),
        }
    }

    /// The relay told of the slug that was made from the name, and is taken. The same name again gets a number; what only looks
    /// like another room's slug would look like it with any number.
    pub(super) fn on_stem(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: &Response,
    ) -> Result<(), Fault> {
        let Some(creating) = self.rooms.creating.iter().find(|creating| creating.room == room) else {
            return Ok(());
        };
        let Some(stem) = creating.stem.clone() else { return Ok(()) };
        let same = |info: &RoomInfo| info.listing.as_ref().is_some_and(|listing| listing.slug == stem);
        if matches!(response, Response::RoomInfo(info) if same(info)) {
            return self.create_numbered(turn, room);
        }
        self.transact(turn, |w| unmake(w, room))?;
        let error = ApiError::new(Kind::Refused, format!("another room's slug looks like {stem}"))
            .hint("choose another name, or a slug of its own");
        self.answer_creating(turn, room, Err(error));
        Ok(())
    }

    /// Tries the slug that was made from the name with the next number.
    fn create_numbered(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        let Some(creating) = self.rooms.creating.iter_mut().find(|creating| creating.room == room) else {
            return Ok(());
        };
        creating.tries = creating.tries.saturating_add(1);
        let Some(stem) = &creating.stem else { return Ok(()) };
        let slug = stem.numbered(creating.tries).to_string();
        self.transact(turn, |w| {
            let mut stored = w.tx.room(room)?.ok_or(Fault::Internal("room"))?;
            w.tx.delete_room(room)?;
            stored.label = w.tx.free_label(&slug)?;
            stored.slug = Some(slug);
            Ok(w.tx.put_room(&stored)?)
        })?;
        self.ask_to_create(turn, room)
    }

    fn created(&mut self, turn: &mut Turn<'_>, room: RoomId) -> Result<(), Fault> {
        self.transact(turn, |w| {
            let Some(mut stored) = w.tx.room(room)? else { return Ok(()) };
            stored.state = RoomState::Joined;
            w.tx.put_room(&stored)?;
            let me = w.me.account.clone();
            w.room_notice(room, &me, MessageKind::RoomCreated {})?;
            w.emit(EventBody::RoomJoined { chat: stored.shown() })
        })?;
        let reply = self.room_reply(room).map_err(ApiError::from);
        self.answer_creating(turn, room, reply);
        // Own other devices come in.
        self.add_own_devices(turn, room)
    }

    fn answer_creating(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        result: Result<crate::api::Reply, ApiError>,
    ) {
        if let Some(at) = self.rooms.creating.iter().position(|creating| creating.room == room)
            && let Some(token) = self.rooms.creating.remove(at).token
        {
            turn.out.push(Effect::Reply { token, result });
        }
    }

    /// The connection broke, or the program ended, before the relay answered: now it tells whether it has the room.
    pub(super) fn found_joining(
        &mut self,
        turn: &mut Turn<'_>,
        stored: &StoredRoom,
        head: Option<&RoomHead>,
    ) -> Result<(), Fault> {
        let room = stored.id;
        if self.store.read(|tx| tx.pending_commit(room))?.is_some() {
            // A join: its commit is handed over again, and answered as before.
            return Ok(());
        }
        if self.rooms.entering.iter().any(|entering| entering.room == Some(room)) {
            return Ok(());
        }
        if head.is_some_and(|head| head.standing == Standing::Joined) {
            return self.created(turn, room);
        }
        self.transact(turn, |w| unmake(w, room))?;
        let error = ApiError::new(Kind::Unreachable, "the connection broke before the relay had the room")
            .hint("try again");
        self.answer_creating(turn, room, Err(error));
        Ok(())
    }

    /// The connection is gone: who waits for a room to be made is told.
    pub(in crate::core) fn fail_creating(&mut self, turn: &mut Turn<'_>) {
        for creating in &mut self.rooms.creating {
            if let Some(token) = creating.token.take() {
                let error = ApiError::new(
                    Kind::Timeout,
                    "the relay has not answered before the connection broke: the room may have been made",
                )
                .hint("look at your rooms when connected again: rosa ls rooms");
                turn.out.push(Effect::Reply { token, result: Err(error) });
            }
        }
    }
}

/// A room that came to nothing.
fn unmake(w: &mut Work<'_>, room: RoomId) -> Result<(), Fault> {
    super::leave::forget_group(w, room)?;
    Ok(w.tx.delete_room(room)?)
}
