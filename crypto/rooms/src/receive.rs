//! Commits and proposals of others: read, judged, and only then followed (R16, R33).

use std::collections::BTreeSet;

use openmls::prelude::{
    ContentType, MlsMessageBodyIn, ProcessMessageError, ProcessedMessage, ProcessedMessageContent, Proposal,
    ProtocolMessage, Sender, WireFormat,
};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subrosa_verify::room::{Delta, RoomDevice};

use crate::commit::Merged;
use crate::credential::{Directory, named};
use crate::error::{Refusal, RoomError};
use crate::group::Room;
use crate::join::parse;
use crate::limits::{PAST_EPOCHS, PENDING_PROPOSALS_MAX};
use crate::policy::Visibility;
use crate::provider::Provider;
use crate::record::PendingKind;
use crate::rules::Judgement;
use crate::store::RoomStore;

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The room followed it.
    Accept(Merged),
    /// It was refused: no stored byte changed. Show it, and when [`Refusal::breaks_room`] tell the owners.
    Refuse(Refusal),
    /// The device lists of these accounts are needed to say. No stored byte changed: fetch them and give it again.
    NeedLists(BTreeSet<String>),
}

impl Room {
    /// A commit from the log, with the delta that the relay delivers beside it. The own pending one is merged.
    ///
    /// # Errors
    /// [`RoomError::Pending`] while a join or reboot of this device is not settled; the store's. What is wrong with the
    /// commit is in the [`Verdict`].
    pub fn receive_commit(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        commit: &[u8],
        delta: &Delta,
        directory: &dyn Directory,
        now: u64,
    ) -> Result<Verdict, RoomError> {
        self.refresh(store)?;
        let hash: [u8; 32] = Sha256::digest(commit).into();
        match self.record.pending.as_ref() {
            Some(pending) if pending.hash == hash => {
                return self.merge_pending(store, rng, &hash, now).map(Verdict::Accept);
            }
            Some(pending) if pending.kind != PendingKind::Change => return Err(RoomError::Pending),
            _ => {}
        }
        let message = match self.read(commit, ContentType::Commit) {
            Ok(message) => message,
            Err(refusal) => return Ok(Verdict::Refuse(refusal)),
        };
        let done = self
            .change(store, rng, now, |room, provider| room.follow(provider, message, delta, directory, now));
        match done {
            Ok(merged) => Ok(Verdict::Accept(merged)),
            Err(RoomError::Refused(refusal)) => Ok(Verdict::Refuse(refusal)),
            Err(RoomError::NeedLists(accounts)) => Ok(Verdict::NeedLists(accounts)),
            Err(other) => Err(other),
        }
    }

    fn follow(
        &mut self,
        provider: &Provider<'_>,
        message: ProtocolMessage,
        delta: &Delta,
        directory: &dyn Directory,
        now: u64,
    ) -> Result<Merged, RoomError> {
        let processed = self.process(provider, message)?;
        if processed.aad() != delta.hash(&self.id, self.record.generation, self.epoch()) {
            return Err(RoomError::Refused(Refusal::Delta));
        }
        let sender = processed.sender().clone();
        let staged = match processed.into_content() {
            ProcessedMessageContent::StagedCommitMessage(staged) => staged,
            ProcessedMessageContent::OwnPendingCommit | ProcessedMessageContent::OwnPrivateMessage => {
                return Err(RoomError::Refused(Refusal::Own));
            }
            _ => return Err(RoomError::Refused(Refusal::Malformed)),
        };
        let (deed, changes) =
            match self.judged(&staged, &sender, delta, directory).map_err(RoomError::Refused)? {
                (deed, Judgement::Allowed(changes)) => (deed, changes),
                (_, Judgement::Refused(refusal)) => return Err(RoomError::Refused(refusal)),
                (_, Judgement::NeedLists(accounts)) => return Err(RoomError::NeedLists(accounts)),
            };
        let (epoch, head) = (self.epoch(), self.head_hash());
        self.group.merge_staged_commit(provider, *staged).map_err(|_| RoomError::Mls("merge"))?;
        self.merged(deed, changes, epoch, head, now).map_err(RoomError::Refused)
    }

    /// A proposal from the log: somebody leaves. Whoever sees it commits it soon (an empty [`crate::Plan`]); nothing can
    /// be posted before. Who leaves, or why it is refused, which changes no stored byte.
    ///
    /// # Errors
    /// The store's.
    pub fn receive_leave(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        proposal: &[u8],
        now: u64,
    ) -> Result<Result<RoomDevice, Refusal>, RoomError> {
        self.refresh(store)?;
        let message = match self.read(proposal, ContentType::Proposal) {
            Ok(message) => message,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let done = self.change(store, rng, now, |room, provider| {
            let processed = room.process(provider, message)?;
            let who = named(processed.credential()).map_err(|_| RoomError::Refused(Refusal::Credential))?;
            let sender = processed.sender().clone();
            let queued = match processed.into_content() {
                ProcessedMessageContent::ProposalMessage(queued) => queued,
                ProcessedMessageContent::OwnPrivateMessage => return Err(RoomError::Refused(Refusal::Own)),
                _ => return Err(RoomError::Refused(Refusal::Proposals)),
            };
            let leaves = matches!(queued.proposal(), Proposal::Remove(remove) if Sender::Member(remove.removed()) == sender);
            if !leaves || room.group.pending_proposals().count() >= PENDING_PROPOSALS_MAX {
                return Err(RoomError::Refused(Refusal::Proposals));
            }
            room.group.store_pending_proposal(openmls_traits::OpenMlsProvider::storage(provider), *queued)?;
            Ok(who)
        });
        match done {
            Ok(who) => Ok(Ok(who)),
            Err(RoomError::Refused(refusal)) => Ok(Err(refusal)),
            Err(other) => Err(other),
        }
    }

    /// Decrypts and checks signatures.
    pub(crate) fn process(
        &mut self,
        provider: &Provider<'_>,
        message: ProtocolMessage,
    ) -> Result<ProcessedMessage, RoomError> {
        self.group.process_message(provider, message).map_err(|error| match error {
            ProcessMessageError::StorageError(error) => RoomError::Storage(error),
            _ => RoomError::Refused(Refusal::Unreadable),
        })
    }

    /// Reads the outside of a message, which names kind, group and epoch, and refuses what does not belong here.
    pub(crate) fn read(&self, bytes: &[u8], kind: ContentType) -> Result<ProtocolMessage, Refusal> {
        let message = match parse(bytes)? {
            MlsMessageBodyIn::PrivateMessage(message) => ProtocolMessage::from(message),
            MlsMessageBodyIn::PublicMessage(message) => ProtocolMessage::from(message),
            _ => return Err(Refusal::Malformed),
        };
        if !self.is_member() {
            return Err(Refusal::NotMember);
        }
        if message.content_type() != kind {
            return Err(Refusal::Malformed);
        }
        if *message.group_id() != self.record.group(&self.id) {
            return Err(Refusal::OtherGroup);
        }
        let epoch = message.epoch().as_u64();
        let past = if kind == ContentType::Application { PAST_EPOCHS as u64 } else { 0 };
        if epoch > self.epoch() || epoch < self.epoch().saturating_sub(past) {
            return Err(Refusal::Epoch(epoch));
        }
        if message.wire_format() == WireFormat::PublicMessage {
            // The one thing in the clear is a join from outside, and that only where the room is public.
            let joins = matches!(&message, ProtocolMessage::PublicMessage(m) if *m.sender() == Sender::NewMemberCommit);
            if !joins || kind != ContentType::Commit || self.policy.visibility != Visibility::Public {
                return Err(Refusal::External);
            }
        }
        Ok(message)
    }
}
