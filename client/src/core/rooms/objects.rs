//! Objects of rooms: put in pieces before the request that names them, fetched in pieces when something needs them (R4).

use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};
use subrosa_protocol::{
    BoundedBytes, RoomId,
    frames::{ObjectGet, ObjectHash, ObjectPut, ObjectRef, Request, Response},
    limits::{OBJECT_BYTES, OBJECT_PIECE_BYTES},
};

use super::{
    super::{Asked, Core, Fault, Turn},
    RoomAsked,
};
use crate::{limits::ROOM_OBJECTS, net::refused};

/// An object on its way here.
#[derive(Debug)]
pub(in crate::core) struct Fetch {
    room: RoomId,
    hash: ObjectHash,
    bytes: Vec<u8>,
}

/// An object's name.
pub(super) fn hash(bytes: &[u8]) -> ObjectHash {
    ObjectHash(Sha256::digest(bytes).into())
}

impl Core {
    /// Sends a request about rooms.
    pub(super) fn ask_room(
        &mut self,
        turn: &mut Turn<'_>,
        asked: RoomAsked,
        request: &Request,
    ) -> Result<(), Fault> {
        self.ask(turn, Asked::Room(Box::new(asked)), request)
    }

    /// Puts an object, for the request that follows. Its name.
    pub(super) fn put_object(&mut self, turn: &mut Turn<'_>, bytes: &[u8]) -> Result<ObjectHash, Fault> {
        let hash = hash(bytes);
        let size = u32::try_from(bytes.len()).map_err(|_| Fault::Internal("object"))?;
        let object = ObjectRef { hash, size };
        let mut offset = 0;
        for piece in bytes.chunks(OBJECT_PIECE_BYTES) {
            let piece = BoundedBytes::new(piece.to_vec()).map_err(|_| Fault::Internal("object"))?;
            let next = offset + u32::try_from(piece.len()).unwrap_or(0);
            self.ask_room(turn, RoomAsked::Put, &Request::ObjectPut(ObjectPut { object, offset, piece }))?;
            offset = next;
        }
        Ok(hash)
    }

    /// Fetches an object of a room, if it is not there or on its way already.
    pub(super) fn get_object(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        hash: ObjectHash,
    ) -> Result<(), Fault> {
        if self.rooms.objects.contains_key(&hash) || self.rooms.fetching.contains(&hash) {
            return Ok(());
        }
        self.rooms.fetching.insert(hash);
        self.get_piece(turn, Fetch { room, hash, bytes: Vec::new() })
    }

    fn get_piece(&mut self, turn: &mut Turn<'_>, fetch: Fetch) -> Result<(), Fault> {
        let offset = u32::try_from(fetch.bytes.len()).map_err(|_| Fault::Internal("object"))?;
        let get = ObjectGet { room: fetch.room, hash: fetch.hash, offset };
        self.ask_room(turn, RoomAsked::Get(fetch), &Request::ObjectGet(get))
    }

    pub(super) fn on_piece(
        &mut self,
        turn: &mut Turn<'_>,
        mut fetch: Fetch,
        response: Response,
    ) -> Result<(), Fault> {
        let (room, name) = (fetch.room, fetch.hash);
        match response {
            Response::ObjectPiece(piece) => {
                let size = usize::try_from(piece.size).unwrap_or(usize::MAX);
                fetch.bytes.extend_from_slice(&piece.piece);
                if size > OBJECT_BYTES || piece.piece.is_empty() || fetch.bytes.len() > size {
                    return Err(Fault::Relay("a piece of an object that does not fit it"));
                }
                if fetch.bytes.len() < size {
                    return self.get_piece(turn, fetch);
                }
                self.rooms.fetching.remove(&name);
                if hash(&fetch.bytes) != name {
                    return Err(Fault::Relay("an object that is not what its name says"));
                }
                if self.rooms.objects.len() >= ROOM_OBJECTS {
                    self.rooms.objects.clear();
                }
                self.rooms.objects.insert(name, fetch.bytes);
                self.object_came(room, name);
                Ok(())
            }
            Response::Error(frame) => {
                self.rooms.fetching.remove(&name);
                self.object_missing(turn, room, name, &refused(&frame))
            }
            _ => Err(Fault::Relay("another answer to a request for an object than there is")),
        }
    }
}

/// Bytes of an array as frames hold them.
pub(super) const fn wire<const N: usize>(bytes: [u8; N]) -> ByteArray<N> {
    ByteArray::new(bytes)
}
