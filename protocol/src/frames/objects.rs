//! Objects: commits, Welcomes, GroupInfos and lists of invitations that are too large for a frame (R4). An object is named
//! by the SHA-256 of its bytes and travels in pieces.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{BoundedBytes, RoomId, limits::OBJECT_PIECE_BYTES};

/// An object's name: the SHA-256 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectHash(pub [u8; 32]);

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectHash({})", data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// An object that the relay keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub hash: ObjectHash,
    /// Its length in bytes.
    pub size: u32,
}

/// The next piece of an object on its way in. The relay holds the object for this connection until a request names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPut {
    /// The object.
    pub object: ObjectRef,
    /// Where the piece begins: 0 begins the object, perhaps anew; else where the piece before ended.
    pub offset: u32,
    /// The piece: 64 KiB, or what is left.
    pub piece: BoundedBytes<OBJECT_PIECE_BYTES>,
}

/// Asks for a piece of an object of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectGet {
    /// The room it belongs to.
    pub room: RoomId,
    /// The object.
    pub hash: ObjectHash,
    /// Where the piece begins: a multiple of 64 KiB.
    pub offset: u32,
}

/// A piece of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPiece {
    /// The length of the whole object in bytes.
    pub size: u32,
    /// The piece: 64 KiB, or what is left.
    pub piece: BoundedBytes<OBJECT_PIECE_BYTES>,
}
