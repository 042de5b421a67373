//! Getting into a room: by a welcome, by an external commit into a public one, and after a reboot.

use std::collections::BTreeSet;

use openmls::group::{MlsGroup, StagedWelcome};
use openmls::prelude::{LeafNodeParameters, Member, MlsMessageBodyIn, MlsMessageIn, OpenMlsProvider};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subrosa_verify::room::{Delta, RoomDevice, group_id};
use tls_codec::Deserialize;

use crate::commit::{OwnCommit, object};
use crate::config;
use crate::credential::{Directory, Listed, Me, named};
use crate::deed::checked_leaf;
use crate::error::{Act, Refusal, RoomError};
use crate::group::Room;
use crate::limits::OBJECT_MAX;
use crate::policy::Visibility;
use crate::provider::Provider;
use crate::record::{Left, Pending, PendingKind, Record};
use crate::rules::Change;
use crate::storage::{StorageError, decode};
use crate::store::{Part, RoomStore};
use subrosa_crypto::mls::Suite;

/// A room that this device was let in to.
#[derive(Debug)]
pub struct Joined {
    /// The room.
    pub room: Room,
    /// Who added this device.
    pub inviter: RoomDevice,
    /// The last-resort key package was used: make another within a day (R35).
    pub last_resort: bool,
}

impl Room {
    /// Joins by a welcome. `id` and `generation` are the ones that the invitation in the mailbox names.
    ///
    /// # Errors
    /// [`RoomError::Refused`], [`RoomError::NeedLists`]: nothing is changed, the key package is still there.
    #[allow(clippy::too_many_arguments)]
    pub fn join(
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        welcome: &[u8],
        id: [u8; 16],
        generation: u32,
        directory: &dyn Directory,
    ) -> Result<Joined, RoomError> {
        let mut last = last(store, &id)?;
        if let Some(mut there) = Self::load(store, id)? {
            // Of a room that this device is in it hears by its log.
            if there.is_member() {
                return Err(RoomError::Refused(Refusal::Replayed));
            }
            there.refresh(store)?;
            let epoch = there.epoch();
            last = Some(there.left(there.record.generation, epoch));
        }
        let provider = Provider::new(store, rng);
        if let Some(mut there) = Self::load(provider.draft(), id)? {
            there.erase(provider.draft())?;
        }
        let joined = Self::welcomed(&provider, me, welcome, id, generation, last, directory);
        finish(provider, joined, rng)
    }

    pub(crate) fn welcomed(
        provider: &Provider<'_>,
        me: Me<'_>,
        welcome: &[u8],
        id: [u8; 16],
        generation: u32,
        last: Option<Left>,
        directory: &dyn Directory,
    ) -> Result<Joined, RoomError> {
        let refused = |refusal| Err(RoomError::Refused(refusal));
        let MlsMessageBodyIn::Welcome(welcome) = parse(welcome).map_err(RoomError::Refused)? else {
            return refused(Refusal::Malformed);
        };
        let read = StagedWelcome::build_from_welcome(provider, &config::join(), welcome);
        let read = read.map_err(|_| RoomError::Refused(Refusal::NotForMe))?;
        let last_resort =
            read.processed_welcome().own_key_package().is_some_and(|package| package.last_resort());
        if read.processed_welcome().unverified_group_info().group_id().as_slice() != group_id(&id, generation)
        {
            return refused(Refusal::OtherGroup);
        }
        let epoch = read.processed_welcome().unverified_group_info().epoch().as_u64();
        if last.is_some_and(|last| (generation, epoch) <= (last.generation, last.epoch)) {
            return refused(Refusal::Replayed);
        }
        let staged =
            read.skip_lifetime_validation().build().map_err(|_| RoomError::Refused(Refusal::Unreadable))?;
        let inviter = staged.welcome_sender().map_err(|_| RoomError::Refused(Refusal::Unreadable))?;
        let (inviter, _) = checked_leaf(inviter).map_err(RoomError::Refused)?;
        check_members(staged.members(), &inviter, me, directory)?;
        let own = staged.own_leaf_node().ok_or(RoomError::Refused(Refusal::NotForMe))?;
        let own = checked_leaf(own).map_err(RoomError::Refused)?;
        if own != (me.room_device(), me.secrets.verifying_key().0) {
            return refused(Refusal::NotForMe);
        }
        let group = staged.into_group(provider).map_err(|_| RoomError::Mls("join"))?;
        let mut record = Record::new(generation, None);
        if let Some(last) = last {
            (record.counter, record.prev_hash) = (last.counter, last.prev_hash);
        }
        let room = Self::assembled(id, group, record).map_err(RoomError::Refused)?;
        let known =
            room.members().iter().any(|device| device.account == me.account && device.device != me.device);
        if !known && !room.policy.may_invite(&inviter.account) {
            return refused(Refusal::NoRight(Act::Invite));
        }
        Ok(Joined { room, inviter, last_resort })
    }

    /// Joins a public room from outside, on its person's own act. The room is in the store from now on, with the commit
    /// pending: when the relay accepts it, [`Room::merge_pending`]; otherwise [`Room::clear_pending`] forgets the room.
    ///
    /// # Errors
    /// [`RoomError::Exists`], [`RoomError::Member`], [`RoomError::Refused`], [`RoomError::NeedLists`].
    #[allow(clippy::too_many_arguments)]
    pub fn join_external(
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        group_info: &[u8],
        id: [u8; 16],
        generation: u32,
        directory: &dyn Directory,
        now: u64,
    ) -> Result<(Self, OwnCommit), RoomError> {
        let refused = |refusal| Err(RoomError::Refused(refusal));
        if Self::load(store, id)?.is_some() {
            return Err(RoomError::Exists);
        }
        let last = last(store, &id)?;
        let MlsMessageBodyIn::GroupInfo(info) = parse(group_info).map_err(RoomError::Refused)? else {
            return refused(Refusal::Malformed);
        };
        if info.group_id().as_slice() != group_id(&id, generation)
            || Suite::from_mls(info.ciphersuite()).is_none()
        {
            return refused(Refusal::OtherGroup);
        }
        // OpenMLS would take out a leaf of this device by the same commit, which no member would follow.
        let own = me.secrets.verifying_key().0;
        if group_info.windows(own.len()).any(|key| key == own) {
            return Err(RoomError::Member);
        }
        let (epoch, signer) = (info.epoch().as_u64(), signer_of(group_info));
        if last.is_some_and(|last| (generation, epoch) < (last.generation, last.epoch)) {
            return refused(Refusal::Replayed);
        }
        let provider = Provider::new(store, rng);
        let delta = Delta { added: [me.room_device()].into(), ..Delta::default() };
        let builder = MlsGroup::external_commit_builder()
            .with_config(config::join())
            .with_aad(delta.hash(&id, generation, epoch).to_vec())
            .skip_lifetime_validation()
            .build_group(&provider, info, me.credential())
            .map_err(|_| RoomError::Refused(Refusal::Unreadable))?;
        let leaf = LeafNodeParameters::builder().with_capabilities(config::capabilities()).build();
        let built = builder
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .map_err(|_| RoomError::Mls("join"))?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &me, |_| true)
            .map_err(|_| RoomError::Refused(Refusal::Unreadable))?;
        let (group, bundle) = built.finalize(&provider).map_err(|_| RoomError::Mls("join"))?;
        let (commit, _, group_info) = bundle.into_messages();
        let commit = object(commit.to_bytes())?;
        let group_info = group_info.map(|info| object(info.to_bytes())).transpose()?;
        let signer = signer.and_then(|signer| group.members().find(|member| member.index.u32() == signer));
        let signer = signer.and_then(|member| named(&member.credential).ok());
        let signer = signer.ok_or(RoomError::Refused(Refusal::Credential))?;
        let own = group.members().filter_map(|member| named(&member.credential).ok());
        if own.filter(|device| device.account == me.account).count() > 1 {
            return Err(RoomError::Member);
        }
        check_members(group.members(), &signer, me, directory)?;
        let hash = Sha256::digest(&commit).into();
        let mut record = Record::new(generation, Some(now));
        record.pending = Some(Pending { hash, epoch, kind: PendingKind::Join });
        if let Some(last) = last {
            (record.counter, record.prev_hash) = (last.counter, last.prev_hash);
        }
        let room = Self::assembled(id, group, record).map_err(RoomError::Refused)?;
        if room.policy.visibility != Visibility::Public || room.policy.banned.contains(me.account) {
            return refused(Refusal::External);
        }
        let changes = vec![Change::Joined(me.room_device())];
        let made = OwnCommit {
            commit,
            hash,
            welcome: None,
            group_info,
            delta,
            leaves: 0,
            generation,
            epoch,
            changes,
        };
        Ok((room.kept(provider, rng)?, made))
    }

    pub(crate) const fn left(&self, generation: u32, epoch: u64) -> Left {
        Left { generation, epoch, counter: self.record.counter, prev_hash: self.record.prev_hash }
    }
}

/// Writes a joined room; a failure of the store comes before what it led to.
pub(crate) fn finish(
    provider: Provider<'_>,
    joined: Result<Joined, RoomError>,
    rng: &mut dyn CryptoRng,
) -> Result<Joined, RoomError> {
    if let Some(error) = provider.failure() {
        return Err(StorageError::Store(error).into());
    }
    let joined = joined?;
    Ok(Joined { room: joined.room.kept(provider, rng)?, ..joined })
}

/// Until where this device was in the room before.
fn last(store: &dyn RoomStore, id: &[u8; 16]) -> Result<Option<Left>, RoomError> {
    let left = store.get(Part::Left, id).map_err(StorageError::Store)?;
    Ok(left.map(|left| decode(Part::Left, &left)).transpose()?)
}

/// Reads one MLS message of at most 1 MiB, and nothing after it.
pub(crate) fn parse(bytes: &[u8]) -> Result<MlsMessageBodyIn, Refusal> {
    if bytes.len() > OBJECT_MAX {
        return Err(Refusal::Malformed);
    }
    MlsMessageIn::tls_deserialize_exact(bytes).map(MlsMessageIn::extract).map_err(|_| Refusal::Malformed)
}

/// The leaf index of a group info's signer, whose signature OpenMLS checks. It stands before the signature (RFC 9420,
/// section 12.4.3), which is the last field and has 64 bytes in both suites.
fn signer_of(group_info: &[u8]) -> Option<u32> {
    let (rest, signature) = group_info.split_last_chunk::<66>()?;
    let signer = rest.last_chunk::<4>().filter(|_| signature.starts_with(&[0x40, 0x40]))?;
    Some(u32::from_be_bytes(*signer))
}

/// Every leaf of a group that is joined is its account's device (R33), the signer's above all. Another one that is not in
/// its list any more is let be: the signer vouches for it, and it is about to be removed ([`Room::dropped_members`]).
fn check_members(
    members: impl Iterator<Item = Member>,
    signer: &RoomDevice,
    me: Me<'_>,
    directory: &dyn Directory,
) -> Result<(), RoomError> {
    let (mut missing, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for member in members {
        let device = named(&member.credential).map_err(|_| RoomError::Refused(Refusal::Credential))?;
        if !seen.insert(device.clone()) {
            return Err(RoomError::Refused(Refusal::Credential));
        }
        if device == me.room_device() {
            continue;
        }
        match directory.look(&device) {
            Listed::Listed { signing_key, .. } if signing_key[..] == member.signature_key[..] => {}
            Listed::Former { .. } | Listed::Absent if device != *signer => {}
            Listed::Unknown => drop(missing.insert(device.account)),
            Listed::Listed { .. } | Listed::Former { .. } | Listed::Absent => {
                return Err(RoomError::Refused(Refusal::Leaf(device)));
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(RoomError::NeedLists(missing)) }
}
