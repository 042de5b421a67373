//! The header inside every ciphertext, pairwise or room, and the one function that checks it (R14).
//!
//! Encryption says who holds a key; this header says who meant what for whom. Content is shown only when both agree.
//!
//! ```text
//! format u8 = 0x01
//! sender:       account str8 | account_key 32 | device u32
//! recipient:    0x01 | account str8 | account_key 32 | device u32     a device
//!               0x02 | room 16 | generation u32 | epoch u64           a room
//! conversation: 0x01 | a str8 | b str8                                direct, a <= b by bytes
//!               0x02 | room 16                                        a room
//! message_id 16 | counter u64 | prev_hash 32 | content
//! ```

use subrosa_verify::canonical::{Malformed, Reader, put_str8};
use subrosa_verify::labels;

use crate::kdf;

/// The first byte of this layout.
const FORMAT: u8 = 0x01;
const DEVICE: u8 = 0x01;
const DIRECT: u8 = 0x01;
const ROOM: u8 = 0x02;

/// The longest header in bytes: what is left of a bucket for the content is its length less this (and one for padding).
pub const HEADER_MAX: usize = 1 + PARTY_MAX + 1 + PARTY_MAX + 1 + 33 + 33 + 16 + 8 + 32;
const PARTY_MAX: usize = 33 + 32 + 4;

/// For whom a message is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// One device: the slot of a pairwise session.
    Device {
        /// The username, 3 to 32 bytes.
        account: String,
        /// The account key (Ed25519).
        account_key: [u8; 32],
        /// The device id.
        device: u32,
    },
    /// A room at one epoch: the slot of an MLS group.
    Room {
        /// The room id.
        room: [u8; 16],
        /// Which group of the room.
        generation: u32,
        /// The MLS epoch the message was encrypted in.
        epoch: u64,
    },
}

/// Where a message belongs for those who read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conversation {
    /// Between two accounts, or of one account with itself (notes). Made by [`Conversation::direct`].
    Direct {
        /// The account that sorts first by bytes.
        a: String,
        /// The other account.
        b: String,
    },
    /// A room, by its id.
    Room([u8; 16]),
}

/// The header of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Username of the sender, 3 to 32 bytes.
    pub sender_account: String,
    /// Account key (Ed25519) of the sender.
    pub sender_account_key: [u8; 32],
    /// Device id of the sender.
    pub sender_device: u32,
    /// For whom it was encrypted.
    pub recipient: Recipient,
    /// Where it belongs.
    pub conversation: Conversation,
    /// Random, made by the sender; the same in the copies for several devices.
    pub message_id: [u8; 16],
    /// 1 and up, without gaps: per sender device and recipient device, or per sender device in a room.
    pub counter: u64,
    /// [`message_hash`] of the message with the counter before; zeros when `counter` is 1, and only then.
    pub prev_hash: [u8; 32],
}

/// A device and the account it belongs to, as a session or group knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// The username.
    pub account: &'a str,
    /// The account key (Ed25519).
    pub account_key: [u8; 32],
    /// The device id.
    pub device: u32,
}

/// What the session or group that decrypted a message says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected<'a> {
    /// Decrypted by the pairwise session between `peer` and the device that reads it.
    Pairwise {
        /// The device at the other end of the session.
        peer: Party<'a>,
        /// This device.
        local: Party<'a>,
    },
    /// Decrypted by the MLS group of `room`.
    Room {
        /// The leaf that sent it.
        sender: Party<'a>,
        /// The room of the group.
        room: [u8; 16],
        /// Which group of the room.
        generation: u32,
        /// The epoch the message was encrypted in.
        epoch: u64,
    },
}

/// A header that does not fit what decrypted it. The message is discarded and counted, never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// The bytes are not canonical.
    #[error("not a canonical message: {0}")]
    Malformed(#[from] Malformed),
    /// A pairwise message in a room, or a room message in a pairwise session.
    #[error("the message was made for another kind of session")]
    Slot,
    /// The header names another sender than the session has.
    #[error("the message names another sender than its session")]
    Sender,
    /// The header names another device, room or epoch than the one that decrypted it.
    #[error("the message was made for another recipient")]
    Recipient,
    /// The conversation is not one that this sender and this recipient share.
    #[error("the message names a conversation that is not between its sender and its recipient")]
    Conversation,
}

impl Conversation {
    /// The conversation between two accounts, in either order.
    pub fn direct(one: &str, other: &str) -> Self {
        let (a, b) = if one <= other { (one, other) } else { (other, one) };
        Self::Direct { a: a.to_owned(), b: b.to_owned() }
    }
}

/// The canonical message: header, then content. Not padded: see [`crate::padding::pad`].
///
/// A header that breaks a rule (a name too long, a counter of 0) makes bytes that [`parse`] refuses.
pub fn encode(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_MAX + content.len());
    out.push(FORMAT);
    put_party(&mut out, header.sender());
    match &header.recipient {
        Recipient::Device { account, account_key, device } => {
            out.push(DEVICE);
            put_party(&mut out, Party { account, account_key: *account_key, device: *device });
        }
        Recipient::Room { room, generation, epoch } => {
            out.push(ROOM);
            out.extend_from_slice(room);
            out.extend_from_slice(&generation.to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
        }
    }
    match &header.conversation {
        Conversation::Direct { a, b } => {
            out.push(DIRECT);
            put_str8(&mut out, a);
            put_str8(&mut out, b);
        }
        Conversation::Room(room) => {
            out.push(ROOM);
            out.extend_from_slice(room);
        }
    }
    out.extend_from_slice(&header.message_id);
    out.extend_from_slice(&header.counter.to_le_bytes());
    out.extend_from_slice(&header.prev_hash);
    out.extend_from_slice(content);
    out
}

/// Reads a canonical message (without its padding) into header and content.
pub fn parse(message: &[u8]) -> Result<(Header, &[u8]), BindingError> {
    let mut r = Reader::new(message);
    if r.u8()? != FORMAT {
        return Err(Malformed::Field("format").into());
    }
    let sender = read_party(&mut r)?;
    let recipient = match r.u8()? {
        DEVICE => {
            let Party { account, account_key, device } = read_party(&mut r)?;
            Recipient::Device { account: account.to_owned(), account_key, device }
        }
        ROOM => Recipient::Room { room: r.array()?, generation: r.u32()?, epoch: r.u64()? },
        _ => return Err(Malformed::Field("recipient").into()),
    };
    let conversation = match r.u8()? {
        DIRECT => {
            let (a, b) = (r.account()?, r.account()?);
            if a > b {
                return Err(Malformed::Field("conversation").into());
            }
            Conversation::Direct { a: a.to_owned(), b: b.to_owned() }
        }
        ROOM => Conversation::Room(r.array()?),
        _ => return Err(Malformed::Field("conversation").into()),
    };
    let (message_id, counter, prev_hash) = (r.array()?, r.u64()?, r.array()?);
    if counter == 0 {
        return Err(Malformed::Field("counter").into());
    }
    if (counter == 1) != (prev_hash == [0; 32]) {
        return Err(Malformed::Field("prev_hash").into());
    }
    let header = Header {
        sender_account: sender.account.to_owned(),
        sender_account_key: sender.account_key,
        sender_device: sender.device,
        recipient,
        conversation,
        message_id,
        counter,
        prev_hash,
    };
    Ok((header, r.remaining()))
}

/// The hash that the sender's next message names: SHA-256 over `label || 0x00 || message`, of the message without its
/// padding.
pub fn message_hash(message: &[u8]) -> [u8; 32] {
    kdf::hash(labels::HASH_MESSAGE, message)
}

/// The same for a message in a room: of the message as it would be for generation and epoch 0, so that sealing it again
/// for a later epoch changes neither its own hash nor the next one's `prev_hash`.
pub fn room_message_hash(header: &Header, content: &[u8]) -> [u8; 32] {
    let recipient = match &header.recipient {
        Recipient::Room { room, .. } => Recipient::Room { room: *room, generation: 0, epoch: 0 },
        device @ Recipient::Device { .. } => device.clone(),
    };
    message_hash(&encode(&Header { recipient, ..header.clone() }, content))
}

/// The one check of a header against what decrypted it (R14): the slot, the sender, the recipient, and that the
/// conversation is one that both are in.
///
/// What this device sends, its account's other devices receive as a copy: sender and recipient are then one account, and
/// the conversation names the account and anyone.
pub fn check(header: &Header, expected: &Expected<'_>) -> Result<(), BindingError> {
    match (expected, &header.recipient, &header.conversation) {
        (
            Expected::Pairwise { peer, local },
            Recipient::Device { account, account_key, device },
            Conversation::Direct { a, b },
        ) => {
            require(header.sender() == *peer, BindingError::Sender)?;
            let recipient = Party { account, account_key: *account_key, device: *device };
            require(recipient == *local, BindingError::Recipient)?;
            let (peer, local) = (peer.account, local.account);
            let shared = if peer == local {
                a == local || b == local
            } else {
                (a == peer && b == local) || (a == local && b == peer)
            };
            require(shared, BindingError::Conversation)
        }
        (
            Expected::Room { sender, room, generation, epoch },
            Recipient::Room { room: to, generation: of_group, epoch: at },
            Conversation::Room(of),
        ) => {
            require(header.sender() == *sender, BindingError::Sender)?;
            require(to == room && of_group == generation && at == epoch, BindingError::Recipient)?;
            require(of == room, BindingError::Conversation)
        }
        _ => Err(BindingError::Slot),
    }
}

impl Header {
    /// The sender as one value.
    pub fn sender(&self) -> Party<'_> {
        Party {
            account: &self.sender_account,
            account_key: self.sender_account_key,
            device: self.sender_device,
        }
    }
}

fn require(holds: bool, error: BindingError) -> Result<(), BindingError> {
    if holds { Ok(()) } else { Err(error) }
}

fn put_party(out: &mut Vec<u8>, party: Party<'_>) {
    put_str8(out, party.account);
    out.extend_from_slice(&party.account_key);
    out.extend_from_slice(&party.device.to_le_bytes());
}

fn read_party<'a>(r: &mut Reader<'a>) -> Result<Party<'a>, Malformed> {
    let party = Party { account: r.account()?, account_key: r.array()?, device: r.u32()? };
    if party.device == 0 { Err(Malformed::Field("device")) } else { Ok(party) }
}

#[cfg(test)]
mod tests;
