//! The typed plaintext of a message: what stands inside the binding header, inside the ratchet message, inside the
//! sealed envelope.
//!
//! ```text
//! payload = gossip | kind u16 LE | flags u8 | body (bincode)
//! gossip  = 0x00, or 0x01 | own version u64 LE | own hash 32 | peer version u64 LE | peer hash 32
//! ```
//!
//! The kinds grow. One that is not known is skipped when its sender marked it optional (flag bit 0), and shown as *a
//! message of a newer version* otherwise.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    BoundedStr, BoundedVec,
    codec::{self, CodecError},
    frames::ObjectHash,
    limits::{
        PAYLOAD_BYTES, REACTION_BYTES, RECEIPT_IDS, ROOM_DESCRIPTION_BYTES, ROOM_NAME_BYTES, TEXT_BYTES,
    },
    names::{MessageId, Username},
    room_names::RoomId,
};

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What was written, as it was written; make it a [`crate::SafeText`] before anybody sees it.
    pub text: BoundedStr<TEXT_BYTES>,
    /// The message this one answers.
    pub reply_to: Option<MessageId>,
    /// The sender's clock, milliseconds since 1970.
    pub sent_at: u64,
}

/// What a receipt tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiptKind {
    /// The messages are stored by a device of the reader.
    Delivered,
    /// The messages were shown to the reader.
    Read,
}

/// Tells a sender what arrived. Each message id gets each kind at most once in its life (R45).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Delivered or read.
    pub kind: ReceiptKind,
    /// Which messages; may be empty when only `through` is news.
    pub ids: BoundedVec<MessageId, RECEIPT_IDS>,
    /// The highest sender counter this device has stored from the device the receipt goes to; a sender counts its
    /// unacknowledged envelopes from it (R19).
    pub through: u64,
}

/// Asks a device to send again what could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResendRequest {
    /// First sender counter that is missing.
    pub from: u64,
    /// Last sender counter that is missing; at most [`RECEIPT_IDS`] - 1 greater.
    pub to: u64,
}

/// The writer was a stranger and has been accepted. Carries nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestAccepted {}

/// Asks the recipient's device into a room: it is in the room's MLS group already, and a member once its person agrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomInvitation {
    /// The room.
    pub room: RoomId,
    /// The generation of its MLS group.
    pub generation: u32,
    /// The epoch of the commit that added the device.
    pub epoch: u64,
    /// The Welcome, an object of the room.
    pub welcome: ObjectHash,
    /// Whether the room is public.
    pub public: bool,
    /// What the room is called, for the question; the Welcome says what holds.
    pub name: BoundedStr<ROOM_NAME_BYTES>,
    /// What it is about.
    pub topic: BoundedStr<ROOM_DESCRIPTION_BYTES>,
}

/// Tells an owner of a commit that the relay took and this device had to refuse (R31).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomRejected {
    /// The room.
    pub room: RoomId,
    /// The generation of its MLS group.
    pub generation: u32,
    /// The epoch that the commit was made in.
    pub epoch: u64,
    /// Why, as a number.
    pub reason: u8,
}

/// Gives a room's owner key to a device of an owner (R31).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomOwnerKey {
    /// The room.
    pub room: RoomId,
    /// The 32 secret bytes.
    pub secret: ByteArray<32>,
}

impl fmt::Debug for RoomOwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomOwnerKey").field("room", &self.room).finish_non_exhaustive()
    }
}

/// Tells who invited this account into a room that it does not come; or those who may take it out that the sending device has
/// lost the room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomDeclined {
    /// The room.
    pub room: RoomId,
    /// The generation of its MLS group.
    pub generation: u32,
    /// All devices of the account; else the sending one.
    pub account: bool,
}

/// Where the sender is in a room, for a member of it to compare (R29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomState {
    /// The room.
    pub room: RoomId,
    /// The generation of its MLS group.
    pub generation: u32,
    /// The epoch.
    pub epoch: u64,
    /// The hash of the epoch's authenticator.
    pub hash: [u8; 32],
}

/// A message, by its author and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Who wrote it.
    pub author: Username,
    /// Its id.
    pub message: MessageId,
}

/// Another text in the place of one of the sender's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The message; its author is the sender.
    pub message: MessageId,
    /// What it says from now on.
    pub text: BoundedStr<TEXT_BYTES>,
    /// The sender's clock, milliseconds since 1970.
    pub edited_at: u64,
}

/// Takes a text back: the sender's own, or as a moderator of a room anybody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// Which.
    pub target: Target,
}

/// A sign beside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// Which message.
    pub target: Target,
    /// The sign, such as an emoji; make it a [`crate::SafeText`] before anybody sees it.
    pub sign: BoundedStr<REACTION_BYTES>,
    /// Whether the sender takes it away again.
    pub undo: bool,
}

/// Pins a message to its room, or takes the pin away. For moderators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Which message.
    pub target: Target,
    /// Whether it is not pinned any more.
    pub undo: bool,
}

/// Somebody is writing. Only ever sent to those who are online, and kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Whether they stopped.
    pub stopped: bool,
}

/// A content of a kind that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The kind.
    pub kind: u16,
    /// Whether its sender says that skipping it loses nothing a reader would miss.
    pub optional: bool,
}

/// Every kind of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Kind 1.
    Text(Text),
    /// Kind 2, optional.
    Receipt(Receipt),
    /// Kind 3, optional.
    ResendRequest(ResendRequest),
    /// Kind 4, optional.
    RequestAccepted(RequestAccepted),
    /// Kind 5.
    Edit(Edit),
    /// Kind 6.
    Delete(Delete),
    /// Kind 7, optional.
    Reaction(Reaction),
    /// Kind 8, optional.
    Typing(Typing),
    /// Kind 9, optional.
    Pin(Pin),
    /// Kind 16.
    RoomInvitation(RoomInvitation),
    /// Kind 17, optional.
    RoomRejected(RoomRejected),
    /// Kind 18, optional.
    RoomOwnerKey(RoomOwnerKey),
    /// Kind 19, optional.
    RoomDeclined(RoomDeclined),
    /// Kind 20, optional.
    RoomState(RoomState),
    /// Any other kind; it can be received, not sent.
    Unknown(Unknown),
}

/// Heads of the device lists as the sender knows them (R29): in the first message of a session and each 20th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gossip {
    /// Version and hash of the sender's own list.
    pub own: (u64, [u8; 32]),
    /// Version and hash of the recipient's list.
    pub peer: (u64, [u8; 32]),
}

/// A content and the gossip that rides with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Device list heads, sometimes.
    pub gossip: Option<Gossip>,
    /// The content.
    pub content: Content,
}

const FLAG_OPTIONAL: u8 = 1;

impl Content {
    /// The kind on the wire.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Text(_) => 1,
            Self::Receipt(_) => 2,
            Self::ResendRequest(_) => 3,
            Self::RequestAccepted(_) => 4,
            Self::Edit(_) => 5,
            Self::Delete(_) => 6,
            Self::Reaction(_) => 7,
            Self::Typing(_) => 8,
            Self::Pin(_) => 9,
            Self::RoomInvitation(_) => 16,
            Self::RoomRejected(_) => 17,
            Self::RoomOwnerKey(_) => 18,
            Self::RoomDeclined(_) => 19,
            Self::RoomState(_) => 20,
            Self::Unknown(unknown) => unknown.kind,
        }
    }

    fn body(&self) -> Result<(u8, Vec<u8>), CodecError> {
        Ok(match self {
            Self::Text(body) => (0, codec::encode(body)?),
            Self::Receipt(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::ResendRequest(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::RequestAccepted(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::Edit(body) => (0, codec::encode(body)?),
            Self::Delete(body) => (0, codec::encode(body)?),
            Self::Reaction(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::Typing(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::Pin(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::RoomInvitation(body) => (0, codec::encode(body)?),
            Self::RoomRejected(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::RoomOwnerKey(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::RoomDeclined(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::RoomState(body) => (FLAG_OPTIONAL, codec::encode(body)?),
            Self::Unknown(_) => return Err(CodecError::Malformed),
        })
    }
}

impl Payload {
    /// Encodes the payload.
    ///
    /// # Errors
    /// [`CodecError`] when it is too large, or its content of an unknown kind.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::new();
        match &self.gossip {
            None => out.push(0),
            Some(Gossip { own, peer }) => {
                out.push(1);
                for (version, hash) in [own, peer] {
                    out.extend_from_slice(&version.to_le_bytes());
                    out.extend_from_slice(hash);
                }
            }
        }
        let (flags, body) = self.content.body()?;
        out.extend_from_slice(&self.content.kind().to_le_bytes());
        out.push(flags);
        out.extend_from_slice(&body);
        if out.len() > PAYLOAD_BYTES { Err(CodecError::TooLarge) } else { Ok(out) }
    }

    /// Decodes a payload.
    ///
    /// # Errors
    /// [`CodecError`] when the bytes are not a payload in canonical form.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > PAYLOAD_BYTES {
            return Err(CodecError::TooLarge);
        }
        let (tag, rest) = bytes.split_first().ok_or(CodecError::Malformed)?;
        let (gossip, rest) = match tag {
            0 => (None, rest),
            1 => {
                let (own, rest) = head(rest)?;
                let (peer, rest) = head(rest)?;
                (Some(Gossip { own, peer }), rest)
            }
            _ => return Err(CodecError::Malformed),
        };
        let (kind, rest) = rest.split_first_chunk::<2>().ok_or(CodecError::Malformed)?;
        let (flags, body) = rest.split_first().ok_or(CodecError::Malformed)?;
        if flags & !FLAG_OPTIONAL != 0 {
            return Err(CodecError::Malformed);
        }
        let content = match u16::from_le_bytes(*kind) {
            1 => Content::Text(codec::decode(body)?),
            2 => Content::Receipt(codec::decode(body)?),
            3 => Content::ResendRequest(codec::decode(body)?),
            4 => Content::RequestAccepted(codec::decode(body)?),
            5 => Content::Edit(codec::decode(body)?),
            6 => Content::Delete(codec::decode(body)?),
            7 => Content::Reaction(codec::decode(body)?),
            8 => Content::Typing(codec::decode(body)?),
            9 => Content::Pin(codec::decode(body)?),
            16 => Content::RoomInvitation(codec::decode(body)?),
            17 => Content::RoomRejected(codec::decode(body)?),
            18 => Content::RoomOwnerKey(codec::decode(body)?),
            19 => Content::RoomDeclined(codec::decode(body)?),
            20 => Content::RoomState(codec::decode(body)?),
            kind => Content::Unknown(Unknown { kind, optional: *flags & FLAG_OPTIONAL != 0 }),
        };
        if !matches!(content, Content::Unknown(_)) && content.body()?.0 != *flags {
            return Err(CodecError::NotCanonical);
        }
        Ok(Self { gossip, content })
    }
}

type Head = (u64, [u8; 32]);

fn head(bytes: &[u8]) -> Result<(Head, &[u8]), CodecError> {
    let (version, rest) = bytes.split_first_chunk::<8>().ok_or(CodecError::Malformed)?;
    let (hash, rest) = rest.split_first_chunk::<32>().ok_or(CodecError::Malformed)?;
    Ok(((u64::from_le_bytes(*version), *hash), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Payload {
        Payload {
            gossip: None,
            content: Content::Text(Text { text: BoundedStr::new(text).unwrap(), reply_to: None, sent_at: 5 }),
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(text("hi").encode().unwrap(), b"\x00\x01\x00\x00\x02hi\x00\x05");
        let receipt = Receipt {
            kind: ReceiptKind::Read,
            ids: BoundedVec::new(vec![MessageId::from_bytes([3; 16])]).unwrap(),
            through: 300,
        };
        let payload = Payload {
            gossip: Some(Gossip { own: (1, [4; 32]), peer: (2, [5; 32]) }),
            content: Content::Receipt(receipt),
        };
        let mut golden = vec![1, 1, 0, 0, 0, 0, 0, 0, 0];
        golden.extend([4; 32]);
        golden.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([5; 32]);
        golden.extend([2, 0, 1, 1, 1]);
        golden.extend([3; 16]);
        golden.extend([251, 44, 1]);
        assert_eq!(payload.encode().unwrap(), golden);
        assert_eq!(Payload::decode(&golden).unwrap(), payload);
    }

    #[test]
    fn golden_bytes_of_what_is_said_about_messages() {
        let target =
            || Target { author: Username::new("bob").unwrap(), message: MessageId::from_bytes([3; 16]) };
        let id = [3u8; 16];
        let encoded = |content| Payload { gossip: None, content }.encode().unwrap();
        let edit = Edit { message: target().message, text: BoundedStr::new("hi").unwrap(), edited_at: 5 };
        assert_eq!(encoded(Content::Edit(edit)), [&[0, 5, 0, 0][..], &id, b"\x02hi\x05"].concat());
        let delete = Content::Delete(Delete { target: target() });
        assert_eq!(encoded(delete), [&[0, 6, 0, 0][..], b"\x03bob", &id].concat());
        let reaction = Reaction { target: target(), sign: BoundedStr::new("+1").unwrap(), undo: true };
        let golden = [&[0, 7, 0, 1][..], b"\x03bob", &id, b"\x02+1\x01"].concat();
        assert_eq!(encoded(Content::Reaction(reaction)), golden);
        assert_eq!(encoded(Content::Typing(Typing { stopped: false })), [0, 8, 0, 1, 0]);
        let room = RoomId::from_bytes([4; 16]);
        let key = RoomOwnerKey { room, secret: ByteArray::new([5; 32]) };
        assert!(!format!("{key:?}").contains('5'), "{key:?}");
        assert_eq!(
            encoded(Content::RoomOwnerKey(key)),
            [&[0, 18, 0, 1][..], &[4; 16], &[32], &[5; 32]].concat()
        );
        let declined = Content::RoomDeclined(RoomDeclined { room, generation: 6, account: true });
        assert_eq!(encoded(declined), [&[0, 19, 0, 1][..], &[4; 16], &[6, 1]].concat());
        let state = RoomState { room, generation: 6, epoch: 300, hash: [7; 32] };
        let golden = [&[0, 20, 0, 1][..], &[4; 16], &[6, 251, 44, 1], &[7; 32]].concat();
        assert_eq!(encoded(Content::RoomState(state)), golden);
        let pin = Content::Pin(Pin { target: target(), undo: false });
        assert_eq!(encoded(pin), [&[0, 9, 0, 1][..], b"\x03bob", &id, &[0]].concat());
    }

    #[test]
    fn unknown_kinds_are_told_apart_by_their_flag() {
        for (flags, optional) in [(0, false), (1, true)] {
            let payload = Payload::decode(&[0, 99, 0, flags, 7, 7]).unwrap();
            assert_eq!(payload.content, Content::Unknown(Unknown { kind: 99, optional }));
            assert!(payload.encode().is_err());
        }
        assert!(Payload::decode(&[0, 99, 0, 2]).is_err());
        assert_eq!(Payload::decode(b"\x00\x01\x00\x01\x02hi\x00\x05"), Err(CodecError::NotCanonical));
    }

    #[test]
    fn r43_text_has_a_limit() {
        assert!(BoundedStr::<TEXT_BYTES>::new("x".repeat(TEXT_BYTES + 1)).is_err());
        let longest = text(&"x".repeat(TEXT_BYTES)).encode().unwrap();
        assert!(Payload::decode(&longest).is_ok());
    }

    proptest! {
        #[test]
        fn r9_whatever_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(payload) = Payload::decode(&bytes)
                && let Ok(again) = payload.encode() {
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
