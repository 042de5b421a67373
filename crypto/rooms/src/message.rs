//! What members say: sealed with the binding header inside, padded, and checked when opened (R14, R46).

use openmls::prelude::{ContentType, ProcessedMessageContent};
use rand_core::CryptoRng;

use crate::credential::{Directory, Listed, Me, named};
use crate::error::{Refusal, RoomError};
use crate::group::Room;
use crate::limits::MESSAGE_MAX;
use crate::record::PendingKind;
use crate::store::RoomStore;
use subrosa_crypto::binding::{self, Conversation, Expected, Header, Party, Recipient};
use subrosa_crypto::padding;

use subrosa_verify::room::RoomDevice;

/// A message's place in the chain of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// 1 and up, without gaps, per sender device and room.
    pub counter: u64,
    /// The hash of the message before; zeros in the first.
    pub prev_hash: [u8; 32],
}

/// Which place a message that is sealed takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The next one.
    Next,
    /// The one it had: it is sealed again because its epoch passed before the relay had it.
    Again(Place),
    /// None: typing and the like, which is not kept and not missed. Its counter is 1 and its `prev_hash` zeros.
    Ephemeral,
}

/// A message for the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What the relay appends.
    pub bytes: Vec<u8>,
    /// The epoch it can be read in.
    pub epoch: u64,
    /// Its place: keep it, to seal the message again.
    pub place: Place,
    /// The message's hash.
    pub hash: [u8; 32],
}

/// A message of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who sent it.
    pub sender: RoomDevice,
    /// Random, the sender's.
    pub message_id: [u8; 16],
    /// Its place in the sender's chain.
    pub place: Place,
    /// Its hash: what the next one's `prev_hash` has to be.
    pub hash: [u8; 32],
    /// The epoch it was sealed in.
    pub epoch: u64,
    /// What was said.
    pub content: Vec<u8>,
}

impl Room {
    /// Seals `content`. Store the outcome in the outbox in the same transaction; a retry sends the same bytes (R21).
    ///
    /// # Errors
    /// [`RoomError::Leaving`] while somebody's leaving is not committed, [`RoomError::Refused`] when muted or too long,
    /// [`RoomError::Pending`] before a join is accepted, [`RoomError::NotMember`].
    #[allow(clippy::too_many_arguments)]
    pub fn seal(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        message_id: [u8; 16],
        slot: Slot,
        content: &[u8],
        now: u64,
    ) -> Result<Sealed, RoomError> {
        self.change(store, rng, now, |room, provider| {
            if !room.is_member() {
                return Err(RoomError::NotMember);
            }
            if room.record.pending.as_ref().is_some_and(|pending| pending.kind != PendingKind::Change) {
                return Err(RoomError::Pending);
            }
            if room.has_leavers() {
                return Err(RoomError::Leaving);
            }
            if room.policy.muted.contains(me.account) {
                return Err(RoomError::Refused(Refusal::Muted));
            }
            let next =
                Place { counter: room.record.counter.saturating_add(1), prev_hash: room.record.prev_hash };
            let place = match slot {
                Slot::Next => next,
                Slot::Again(place) => place,
                Slot::Ephemeral => Place { counter: 1, prev_hash: [0; 32] },
            };
            let epoch = room.epoch();
            let header = Header {
                sender_account: me.account.to_owned(),
                sender_account_key: me.account_key,
                sender_device: me.device,
                recipient: Recipient::Room { room: room.id, generation: room.record.generation, epoch },
                conversation: Conversation::Room(room.id),
                message_id,
                counter: place.counter,
                prev_hash: place.prev_hash,
            };
            let hash = binding::room_message_hash(&header, content);
            let plaintext = padding::pad(binding::encode(&header, content));
            let plaintext = plaintext.map_err(|_| RoomError::Refused(Refusal::Padding))?;
            let sealed =
                room.group.create_message(provider, &me, &plaintext).map_err(|_| RoomError::Mls("seal"))?;
            let bytes = sealed.to_bytes().map_err(|_| RoomError::Mls("seal"))?;
            if slot == Slot::Next {
                (room.record.counter, room.record.prev_hash) = (place.counter, hash);
            }
            room.record.posted = room.record.posted.saturating_add(1);
            Ok(Sealed { bytes, epoch, place, hash })
        })
    }

    /// Opens a message from the log. What it says, or why it is refused, which changes no stored byte (R16).
    ///
    /// # Errors
    /// The store's; [`RoomError::NeedLists`] when the sender's list is not known; [`RoomError::Pending`].
    pub fn open(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        message: &[u8],
        directory: &dyn Directory,
        now: u64,
    ) -> Result<Result<Opened, Refusal>, RoomError> {
        self.refresh(store)?;
        if self.record.pending.as_ref().is_some_and(|pending| pending.kind != PendingKind::Change) {
            return Err(RoomError::Pending);
        }
        if message.len() > MESSAGE_MAX {
            return Ok(Err(Refusal::Malformed));
        }
        let message = match self.read(message, ContentType::Application) {
            Ok(message) => message,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let done = self.change(store, rng, now, |room, provider| {
            let processed = room.process(provider, message)?;
            let sender =
                named(processed.credential()).map_err(|_| RoomError::Refused(Refusal::Credential))?;
            let epoch = processed.epoch().as_u64();
            let plaintext = match processed.into_content() {
                ProcessedMessageContent::ApplicationMessage(message) => message.into_bytes(),
                ProcessedMessageContent::OwnPrivateMessage => return Err(RoomError::Refused(Refusal::Own)),
                _ => return Err(RoomError::Refused(Refusal::Malformed)),
            };
            room.opened(sender, epoch, &plaintext, directory)
        });
        match done {
            Ok(opened) => Ok(Ok(opened)),
            Err(RoomError::Refused(refusal)) => Ok(Err(refusal)),
            Err(other) => Err(other),
        }
    }

    fn opened(
        &self,
        sender: RoomDevice,
        epoch: u64,
        plaintext: &[u8],
        directory: &dyn Directory,
    ) -> Result<Opened, RoomError> {
        let refused = RoomError::Refused;
        // The log is in order: what comes after its sender was removed was let in by a relay that lies.
        if !self.leaves().map_err(refused)?.contains_key(&sender) {
            return Err(refused(Refusal::NotMember));
        }
        let account_key = match directory.look(&sender) {
            Listed::Listed { account_key, .. } => account_key,
            // Whoever holds it now may have written this.
            Listed::Former { .. } | Listed::Absent => return Err(refused(Refusal::Leaf(sender))),
            Listed::Unknown => return Err(RoomError::NeedLists([sender.account].into())),
        };
        let message = padding::unpad(plaintext).map_err(|_| refused(Refusal::Padding))?;
        let (header, content) = binding::parse(message).map_err(|error| refused(Refusal::Binding(error)))?;
        let party = Party { account: &sender.account, account_key, device: sender.device };
        let generation = self.record.generation;
        let expected = Expected::Room { sender: party, room: self.id, generation, epoch };
        binding::check(&header, &expected).map_err(|error| refused(Refusal::Binding(error)))?;
        if self.policy.muted.contains(&sender.account) {
            return Err(refused(Refusal::Muted));
        }
        let hash = binding::room_message_hash(&header, content);
        let place = Place { counter: header.counter, prev_hash: header.prev_hash };
        Ok(Opened { sender, message_id: header.message_id, place, hash, epoch, content: content.to_vec() })
    }
}
