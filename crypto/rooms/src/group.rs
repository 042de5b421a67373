//! A room as one of its devices has it: its MLS group, policy and notes.

use std::collections::{BTreeMap, BTreeSet};

use openmls::group::{MlsGroup, PastEpochDeletion};
use openmls::prelude::{LeafNodeIndex, OpenMlsProvider};
use rand_core::CryptoRng;
use subrosa_verify::labels;
use subrosa_verify::room::RoomDevice;

use crate::config;
use crate::credential::{Directory, Listed, Me, named};
use crate::error::{Refusal, RoomError};
use crate::policy::Policy;
use crate::provider::Provider;
use crate::record::{Left, Pending, Record, UpdateReason, update_due};
use crate::storage::{Storage, StorageError, decode, encode};
use crate::store::{Draft, Part, RoomStore};
use subrosa_crypto::kdf;
use subrosa_crypto::mls::Suite;

/// A room of this device. It may be kept in memory between operations: each looks first whether the store still holds
/// what it was made from, and reads it again otherwise, so a transaction that was undone does no harm.
pub struct Room {
    pub(crate) id: [u8; 16],
    pub(crate) group: MlsGroup,
    pub(crate) policy: Policy,
    pub(crate) record: Record,
    /// Memory is ahead of the store: an operation failed after it changed something.
    stale: bool,
}

/// What two members compare to see whether they are in the same room (R29).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which group of the room.
    pub generation: u32,
    /// The epoch.
    pub epoch: u64,
    /// `SHA-256(label || 0x00 || room 16 | generation u32 | epoch u64 | epoch authenticator 32)`.
    pub hash: [u8; 32],
}

/// How a head of somebody else compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadMatch {
    /// The same history.
    Same,
    /// Of an epoch that this device has not reached: compare again then.
    Ahead,
    /// Of an epoch or generation that is not kept any more.
    Forgotten,
    /// Another history: the relay showed two members different commits.
    Forked,
}

/// A member as the tree has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    pub index: LeafNodeIndex,
    pub key: [u8; 32],
}

impl Room {
    /// Makes a room of which this device is the only member. `policy.room` is the new id, random; `policy.generation` is 0.
    ///
    /// # Errors
    /// [`RoomError::Exists`], [`RoomError::Refused`] for a policy that is not one, or the store's.
    pub fn create(
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        policy: &Policy,
        suite: Suite,
        now: u64,
    ) -> Result<Self, RoomError> {
        let id = policy.room;
        let left = store.get(Part::Left, &id).map_err(StorageError::Store)?;
        if left.is_some() || store.get(Part::Record, &id).map_err(StorageError::Store)?.is_some() {
            return Err(RoomError::Exists);
        }
        let provider = Provider::new(store, rng);
        let record = Record::new(0, Some(now));
        let group = Self::found(&provider, me, &id, policy, suite, &record)?;
        Self { id, group, policy: policy.clone(), record, stale: false }.kept(provider, rng)
    }

    /// A new group of one.
    pub(crate) fn found(
        provider: &Provider<'_>,
        me: Me<'_>,
        id: &[u8; 16],
        policy: &Policy,
        suite: Suite,
        record: &Record,
    ) -> Result<MlsGroup, RoomError> {
        policy.check().map_err(|error| RoomError::Refused(Refusal::Policy(error)))?;
        if policy.generation != record.generation || policy.room != *id {
            return Err(RoomError::Refused(Refusal::OtherGroup));
        }
        let join = config::join();
        let group = MlsGroup::builder()
            .with_group_id(record.group(id))
            .ciphersuite(suite.mls())
            .with_wire_format_policy(join.wire_format_policy())
            .padding_size(join.padding_size())
            .max_past_epochs(crate::limits::PAST_EPOCHS)
            .number_of_resumption_psks(0)
            .use_ratchet_tree_extension(true)
            .sender_ratchet_configuration(config::ratchets())
            .lifetime(config::any_time())
            .with_capabilities(config::capabilities())
            .with_group_context_extensions(config::extensions(policy).map_err(RoomError::Refused)?)
            .build(provider, &me, me.credential())
            .map_err(|_| RoomError::Mls("create"))?;
        config::check(&group).map_err(RoomError::Refused)?;
        Ok(group)
    }

    /// Finishes the making of a room: notes and group are written.
    pub(crate) fn kept(mut self, provider: Provider<'_>, rng: &mut dyn CryptoRng) -> Result<Self, RoomError> {
        self.write_record(provider.draft(), rng)?;
        provider.keep().map_err(StorageError::Store)?;
        Ok(self)
    }

    /// A room that came about by joining or rebooting; not written yet.
    pub(crate) fn assembled(id: [u8; 16], group: MlsGroup, record: Record) -> Result<Self, Refusal> {
        config::check(&group)?;
        let policy = config::policy_of(group.extensions())?;
        if policy.room != id || policy.generation != record.generation {
            return Err(Refusal::OtherGroup);
        }
        Ok(Self { id, group, policy, record, stale: false })
    }

    /// Reads a room from the store; `None` when there is none.
    ///
    /// # Errors
    /// The store's, also when it holds something else than a room.
    pub fn load(store: &dyn RoomStore, id: [u8; 16]) -> Result<Option<Self>, RoomError> {
        let Some(record) = store.get(Part::Record, &id).map_err(StorageError::Store)? else {
            return Ok(None);
        };
        let record: Record = decode(Part::Record, &record)?;
        let group = MlsGroup::load(&Storage::new(Draft::new(store)), &record.group(&id))?;
        let group = group.ok_or(StorageError::Damaged(Part::Record))?;
        let room = Self::assembled(id, group, record);
        Ok(Some(room.map_err(|_| StorageError::Damaged(Part::Context))?))
    }

    /// The rooms in the store, by id.
    ///
    /// # Errors
    /// The store's.
    pub fn list(store: &dyn RoomStore) -> Result<Vec<[u8; 16]>, RoomError> {
        let keys = store.keys(Part::Record, &[]).map_err(StorageError::Store)?;
        Ok(keys.into_iter().filter_map(|key| key.try_into().ok()).collect())
    }

    /// Removes the room and all its keys from the store; what is kept is that older invitations count no more.
    ///
    /// # Errors
    /// The store's.
    pub fn forget(mut self, store: &dyn RoomStore) -> Result<(), RoomError> {
        self.refresh(store)?;
        let (generation, epoch) = (self.record.generation, self.epoch());
        self.write_left(store, generation, epoch)?;
        self.erase(store)
    }

    /// Notes until where this device was in the room.
    pub(crate) fn write_left(
        &self,
        store: &dyn RoomStore,
        generation: u32,
        epoch: u64,
    ) -> Result<(), RoomError> {
        let left = Left { generation, epoch, counter: self.record.counter, prev_hash: self.record.prev_hash };
        let left = encode(Part::Left, &left)?;
        Ok(store.put(Part::Left, &self.id, &left).map_err(StorageError::Store)?)
    }

    /// Removes group and notes.
    pub(crate) fn erase(&mut self, store: &dyn RoomStore) -> Result<(), RoomError> {
        let storage = Storage::new(Draft::new(store));
        self.group.delete(&storage)?;
        let draft = storage.into_store();
        // OpenMLS looks for the path's keys under the group's epoch, which has moved on without them when this device was
        // removed. They lie under (group, epoch, leaf): an array of three, 0x93 in MessagePack.
        let keys = [&[0x93][..], &encode(Part::EpochKeys, &self.record.group(&self.id))?].concat();
        for key in draft.keys(Part::EpochKeys, &keys)? {
            draft.remove(Part::EpochKeys, &key)?;
        }
        draft.keep()?;
        store.remove(Part::Record, &self.id).map_err(StorageError::Store)?;
        Ok(())
    }

    /// The room's id.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Which group of the room this is.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.record.generation
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.group.epoch().as_u64()
    }

    /// The cipher suite.
    #[must_use]
    pub fn suite(&self) -> Suite {
        Suite::from_mls(self.group.ciphersuite()).unwrap_or(Suite::Classic)
    }

    /// The policy of this epoch.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether this device is still a member.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.group.is_active()
    }

    /// Own commit on its way, if there is one.
    #[must_use]
    pub const fn pending(&self) -> Option<&Pending> {
        self.record.pending.as_ref()
    }

    /// Whether somebody left and no commit has settled it yet: nothing can be posted before.
    #[must_use]
    pub fn has_leavers(&self) -> bool {
        self.group.has_pending_proposals()
    }

    /// The devices that left and are not taken out yet.
    #[must_use]
    pub fn leaving(&self) -> BTreeSet<RoomDevice> {
        let leavers: BTreeSet<LeafNodeIndex> = self.leavers().collect();
        let leaves = self.leaves().unwrap_or_default();
        leaves
            .into_iter()
            .filter(|(_, leaf)| leavers.contains(&leaf.index))
            .map(|(device, _)| device)
            .collect()
    }

    /// The devices in the room, sorted.
    #[must_use]
    pub fn members(&self) -> Vec<RoomDevice> {
        self.leaves().map(|leaves| leaves.into_keys().collect()).unwrap_or_default()
    }

    /// Members whose device is not, or with another key, in its account's list any more: to be removed (anybody may).
    /// Those whose list is not known are left out.
    #[must_use]
    pub fn dropped_members(&self, directory: &dyn Directory) -> Vec<RoomDevice> {
        let fits = |device: &RoomDevice, leaf: &Leaf| match directory.look(device) {
            Listed::Listed { signing_key, .. } => signing_key == leaf.key,
            Listed::Former { .. } | Listed::Absent => false,
            Listed::Unknown => true,
        };
        let leaves = self.leaves().unwrap_or_default();
        leaves.into_iter().filter(|(device, leaf)| !fits(device, leaf)).map(|(device, _)| device).collect()
    }

    /// Whether the own leaf is to be renewed now, and why (R34).
    #[must_use]
    pub fn update_due(&self, now: u64) -> Option<UpdateReason> {
        update_due(self.record.renewed_at, self.record.posted, self.record.device_removed, now)
            .filter(|_| self.is_member())
    }

    /// Counts the own leaf as renewed at `now`. For tests whose rooms are made at once, with a thousand leaves that would
    /// all be renewed first.
    ///
    /// # Errors
    /// The store's.
    #[cfg(feature = "ledger")]
    pub fn count_as_renewed(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        now: u64,
    ) -> Result<(), RoomError> {
        self.change(store, rng, now, |room, _| {
            room.record.renewed(now);
            Ok(())
        })
    }

    /// The head of this epoch, to tell others (R29).
    #[must_use]
    pub fn head(&self) -> Head {
        let epoch = self.epoch();
        Head { generation: self.record.generation, epoch, hash: self.head_hash() }
    }

    /// Compares with the head that another member told.
    #[must_use]
    pub fn compare(&self, other: &Head) -> HeadMatch {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let same = |hash: &[u8; 32]| if *hash == other.hash { HeadMatch::Same } else { HeadMatch::Forked };
        match (other.generation.cmp(&self.record.generation), other.epoch.cmp(&self.epoch())) {
            (Greater, _) | (Equal, Greater) => HeadMatch::Ahead,
            (Less, _) => HeadMatch::Forgotten,
            (Equal, Equal) => same(&self.head_hash()),
            (Equal, Less) => {
                let kept = self.record.heads.iter().find(|(epoch, _)| *epoch == other.epoch);
                kept.map_or(HeadMatch::Forgotten, |(_, hash)| same(hash))
            }
        }
    }

    /// The head of this generation's `epoch`, if it is the current one or still kept.
    #[must_use]
    pub fn head_of(&self, epoch: u64) -> Option<Head> {
        let generation = self.record.generation;
        let hash = if epoch == self.epoch() {
            self.head_hash()
        } else {
            self.record.heads.iter().find(|(kept, _)| *kept == epoch)?.1
        };
        Some(Head { generation, epoch, hash })
    }

    pub(crate) fn head_hash(&self) -> [u8; 32] {
        let mut message = self.id.to_vec();
        message.extend_from_slice(&self.record.generation.to_le_bytes());
        message.extend_from_slice(&self.epoch().to_le_bytes());
        message.extend_from_slice(self.group.epoch_authenticator().as_slice());
        kdf::hash(labels::HASH_ROOM_HEAD, &message)
    }

    /// The group info that lets others join a public room.
    ///
    /// # Errors
    /// [`RoomError::Refused`] in a private room, [`RoomError::Mls`].
    pub fn group_info(
        &self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
    ) -> Result<Vec<u8>, RoomError> {
        if self.policy.visibility != crate::policy::Visibility::Public {
            return Err(RoomError::Refused(Refusal::External));
        }
        let provider = Provider::new(store, rng);
        let info = self.group.export_group_info(provider.crypto(), &me, true);
        let bytes = info.ok().and_then(|info| info.to_bytes().ok());
        bytes.ok_or(RoomError::Mls("group info"))
    }

    /// Forgets the keys of epochs that ended more than a day ago. Every operation does; call it when nothing else happens.
    ///
    /// # Errors
    /// The store's.
    pub fn expire(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        now: u64,
    ) -> Result<(), RoomError> {
        self.refresh(store)?;
        if self.record.clone().expire(now) { self.change(store, rng, now, |_, _| Ok(())) } else { Ok(()) }
    }

    /// The leaves by device.
    pub(crate) fn leaves(&self) -> Result<BTreeMap<RoomDevice, Leaf>, Refusal> {
        let mut leaves = BTreeMap::new();
        for member in self.group.members() {
            let device = named(&member.credential).map_err(|_| Refusal::Credential)?;
            let key = member.signature_key.as_slice().try_into().map_err(|_| Refusal::Credential)?;
            if leaves.insert(device, Leaf { index: member.index, key }).is_some() {
                return Err(Refusal::Credential);
            }
        }
        Ok(leaves)
    }

    /// Reads the room again when the store holds another state than memory.
    pub(crate) fn refresh(&mut self, store: &dyn RoomStore) -> Result<(), RoomError> {
        let stored =
            store.get(Part::Record, &self.id).map_err(StorageError::Store)?.ok_or(RoomError::NoRoom)?;
        let stored: Record = decode(Part::Record, &stored)?;
        if self.stale || stored.version != self.record.version {
            *self = Self::load(store, self.id)?.ok_or(RoomError::NoRoom)?;
        }
        Ok(())
    }

    /// One operation: all of what it changes is written, or nothing.
    pub(crate) fn change<T>(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        now: u64,
        work: impl FnOnce(&mut Self, &Provider<'_>) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        self.refresh(store)?;
        let provider = Provider::new(store, rng);
        self.stale = true;
        let expired = self.expire_past(&provider, now)?;
        let done = work(self, &provider);
        if let Some(error) = provider.failure() {
            return Err(StorageError::Store(error).into());
        }
        if let Err(RoomError::Refused(Refusal::Unreadable)) = &done {
            // OpenMLS changes nothing in memory either when a message cannot be read.
            self.stale = expired;
        }
        let value = done?;
        self.write_record(provider.draft(), rng)?;
        provider.keep().map_err(StorageError::Store)?;
        self.stale = false;
        Ok(value)
    }

    fn expire_past(&mut self, provider: &Provider<'_>, now: u64) -> Result<bool, RoomError> {
        let expired = self.record.expire(now);
        if expired {
            let keep =
                PastEpochDeletion::delete_all_without_timestamps().max_past_epochs(self.record.past.len());
            self.group
                .delete_past_epoch_secrets(provider, keep)
                .map_err(|_| RoomError::Mls("past epochs"))?;
        }
        Ok(expired)
    }

    fn write_record(&mut self, store: &dyn RoomStore, rng: &mut dyn CryptoRng) -> Result<(), RoomError> {
        self.record.version = rng.next_u64();
        let record = encode(Part::Record, &self.record)?;
        Ok(store.put(Part::Record, &self.id, &record).map_err(StorageError::Store)?)
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("generation", &self.record.generation)
            .field("epoch", &self.epoch())
            .field("members", &self.group.members().count())
            .finish_non_exhaustive()
    }
}
