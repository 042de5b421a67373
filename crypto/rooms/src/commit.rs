//! Own changes of a room: made, held while the relay decides, merged or cleared (R31, R32).

use std::collections::{BTreeMap, BTreeSet};

use openmls::group::StagedCommit;
use openmls::prelude::{LeafNodeIndex, OpenMlsProvider, Proposal, Sender};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subrosa_verify::room::{Delta, Face, NewOwnerKey, RoomDevice};

use crate::config;
use crate::credential::{Directory, Me};
use crate::error::{Act, Refusal, RoomError};
use crate::group::{Leaf, Room};
use crate::key_packages::Invitee;
use crate::limits::OBJECT_MAX;
use crate::policy::{Policy, Role, Visibility};
use crate::provider::Provider;
use crate::record::{Pending, PendingKind};
use crate::rules::{self, Before, Change, Deed, Judgement};
use crate::store::RoomStore;

/// What is to change. Leave proposals of others go along with every commit; an empty plan settles just these.
#[derive(Default)]
pub struct Plan {
    /// Devices to add.
    pub add: Vec<Invitee>,
    /// Devices to remove.
    pub remove: BTreeSet<RoomDevice>,
    /// The policy from then on.
    pub policy: Option<Policy>,
    /// What the relay shows of a public room; its name is the policy's.
    pub face: Option<Face>,
    /// The owner key from then on; `policy` names it as well.
    pub owner_key: Option<NewOwnerKey>,
    /// Renew the own leaf (R34).
    pub renew: bool,
}

/// A commit of this device, as it goes to the relay. The room moves on when the relay has accepted it, and
/// [`Room::merge_pending`] was called, and not before.
#[derive(Debug, Clone)]
pub struct OwnCommit {
    /// The commit, at most 1 MiB.
    pub commit: Vec<u8>,
    /// SHA-256 of it: what [`Room::pending`] keeps.
    pub hash: [u8; 32],
    /// The welcome for the devices it adds.
    pub welcome: Option<Vec<u8>>,
    /// The group info of a public room after it.
    pub group_info: Option<Vec<u8>>,
    /// What the relay is told.
    pub delta: Delta,
    /// How many leave proposals of this epoch it covers. Those it does not cover are void from then on: the relay takes no
    /// commit that was made before it had the last of them.
    pub leaves: u32,
    /// The generation and epoch that it is made in, which the relay compares.
    pub generation: u32,
    /// The epoch that it is made in.
    pub epoch: u64,
    /// What it changes.
    pub changes: Vec<Change>,
}

/// A commit that was merged: whose it is and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Who made it.
    pub actor: RoomDevice,
    /// What changed, for lines that people see.
    pub changes: Vec<Change>,
    /// The epoch from now on.
    pub epoch: u64,
    /// An own commit that was pending is void: look whether it is still wanted, and plan again.
    pub lost_race: bool,
    /// This device is not a member any more: tell its person, then [`Room::forget`].
    pub removed_me: bool,
}

impl Plan {
    /// Whether there is nothing to do beside settling leave proposals.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.remove.is_empty()
            && self.policy.is_none()
            && self.face.is_none()
            && !self.renew
    }
}

impl Room {
    /// All devices of an account in the room.
    #[must_use]
    pub fn devices_of(&self, account: &str) -> BTreeSet<RoomDevice> {
        self.members().into_iter().filter(|device| device.account == account).collect()
    }

    /// A plan that removes an account and takes its role away.
    #[must_use]
    pub fn plan_kick(&self, account: &str) -> Plan {
        let mut policy = self.policy.clone();
        policy.set_role(account, Role::Member);
        let policy = (policy != self.policy).then_some(policy);
        Plan { remove: self.devices_of(account), policy, ..Plan::default() }
    }

    /// A plan that bans an account and removes its devices.
    #[must_use]
    pub fn plan_ban(&self, account: &str) -> Plan {
        let mut policy = self.policy.clone();
        policy.ban(account);
        Plan { remove: self.devices_of(account), policy: Some(policy), ..Plan::default() }
    }

    /// Takes the roles of those whose last device goes by the plan, leavers among them (5.5). [`Room::commit`] does it too; who
    /// wants to know before whether the owners change calls it first.
    pub fn drop_roles(&self, plan: &mut Plan) {
        let Ok(leaves) = self.leaves() else { return };
        let leaving = self.leaving();
        let goes = |device: &&RoomDevice| plan.remove.contains(*device) || leaving.contains(*device);
        let (gone, stay): (Vec<_>, Vec<_>) = leaves.keys().partition(goes);
        let mut after: BTreeSet<&str> = stay.into_iter().map(|device| device.account.as_str()).collect();
        after.extend(plan.add.iter().map(|invitee| invitee.device.account.as_str()));
        let gone = gone.into_iter().map(|device| device.account.as_str());
        let mut policy = plan.policy.clone().unwrap_or_else(|| self.policy.clone());
        policy.drop_roles(gone.filter(|account| !after.contains(account)));
        if policy != self.policy {
            plan.policy = Some(policy);
        }
    }

    /// A plan that changes the policy; in a public room whose name changes, set [`Plan::face`] too.
    #[must_use]
    pub fn plan_policy(&self, change: impl FnOnce(&mut Policy)) -> Plan {
        let mut policy = self.policy.clone();
        change(&mut policy);
        Plan { policy: Some(policy), ..Plan::default() }
    }

    /// Makes a commit and keeps it pending. What the others would refuse is refused here.
    ///
    /// Store the outcome in the outbox in the same transaction (R32). When the relay accepts it: [`Room::merge_pending`].
    /// When another commit won the epoch: process that ([`Room::receive_commit`]), which clears this one.
    ///
    /// # Errors
    /// [`RoomError::Pending`], [`RoomError::NotMember`], [`RoomError::NeedLists`], [`RoomError::Refused`], or the store's.
    pub fn commit(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        plan: Plan,
        directory: &dyn Directory,
        now: u64,
    ) -> Result<OwnCommit, RoomError> {
        self.change(store, rng, now, |room, provider| {
            room.settled()?;
            let made = room.build(provider, me, plan, directory)?;
            room.record.pending =
                Some(Pending { hash: made.hash, epoch: made.epoch, kind: PendingKind::Change });
            Ok(made)
        })
    }

    fn settled(&self) -> Result<(), RoomError> {
        match (&self.record.pending, self.is_member()) {
            (Some(_), _) => Err(RoomError::Pending),
            (None, false) => Err(RoomError::NotMember),
            (None, true) => Ok(()),
        }
    }

    fn build(
        &mut self,
        provider: &Provider<'_>,
        me: Me<'_>,
        mut plan: Plan,
        directory: &dyn Directory,
    ) -> Result<OwnCommit, RoomError> {
        self.drop_roles(&mut plan);
        let leaves = self.leaves().map_err(RoomError::Refused)?;
        let (generation, epoch) = (self.record.generation, self.epoch());
        let own = Sender::Member(self.group.own_leaf_index());
        let leavers: BTreeSet<LeafNodeIndex> = self.leavers().collect();
        let covered = u32::try_from(leavers.len()).unwrap_or(u32::MAX);
        let mut delta = Delta { face: plan.face, owner_key: plan.owner_key, ..Delta::default() };
        let mut removed = BTreeSet::new();
        for device in plan.remove {
            let index = leaves.get(&device).ok_or(RoomError::Refused(Refusal::NotMember))?.index;
            // Nobody removes itself by a commit of its own: that is leaving.
            if Sender::Member(index) == own {
                return Err(RoomError::Refused(Refusal::NoRight(Act::Kick)));
            }
            if !leavers.contains(&index) {
                removed.insert(index);
            }
            delta.removed.insert(device);
        }
        let gone = leaves.iter().filter(|(_, leaf)| leavers.contains(&leaf.index));
        delta.removed.extend(gone.map(|(device, _)| device.clone()));
        if let Some(policy) = &plan.policy {
            delta.banned = policy.banned.difference(&self.policy.banned).cloned().collect();
            delta.unbanned = self.policy.banned.difference(&policy.banned).cloned().collect();
        }
        delta.added = plan.add.iter().map(|invitee| invitee.device.clone()).collect();
        let there = |device: &&RoomDevice| leaves.contains_key(*device) && !delta.removed.contains(*device);
        if delta.added.len() != plan.add.len() || delta.added.iter().any(|device| there(&device)) {
            return Err(RoomError::Refused(Refusal::Credential));
        }
        self.group.set_aad(delta.hash(&self.id, generation, epoch).to_vec());
        let public = self.policy.visibility == Visibility::Public;
        let mut builder = self.group.commit_builder().force_self_update(plan.renew);
        if let Some(policy) = plan.policy.as_ref().filter(|policy| **policy != self.policy) {
            let extensions = config::extensions(policy).map_err(RoomError::Refused)?;
            builder =
                builder.propose_group_context_extensions(extensions).map_err(|_| RoomError::Mls("policy"))?;
        }
        let bundle = builder
            .propose_removals(removed)
            .propose_adds(plan.add.into_iter().map(|invitee| invitee.package))
            .load_psks(provider.storage())
            .map_err(|_| RoomError::Mls("commit"))?
            .create_group_info(public)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &me, |_| true)
            .map_err(|_| RoomError::Mls("commit"))?
            .stage_commit(provider)
            .map_err(|_| RoomError::Mls("commit"))?;
        let (commit, welcome, group_info) = bundle.into_messages();
        let commit = object(commit.to_bytes())?;
        let welcome = welcome.map(|welcome| object(welcome.to_bytes())).transpose()?;
        let group_info = group_info.filter(|_| public).map(|info| object(info.to_bytes())).transpose()?;
        let staged = self.group.pending_commit().ok_or(RoomError::Mls("commit"))?;
        let changes = match self.judged(staged, &own, &delta, directory).map_err(RoomError::Refused)? {
            (_, Judgement::Allowed(changes)) => changes,
            (_, Judgement::Refused(refusal)) => return Err(RoomError::Refused(refusal)),
            (_, Judgement::NeedLists(accounts)) => return Err(RoomError::NeedLists(accounts)),
        };
        let hash = Sha256::digest(&commit).into();
        Ok(OwnCommit {
            commit,
            hash,
            welcome,
            group_info,
            delta,
            leaves: covered,
            generation,
            epoch,
            changes,
        })
    }

    /// The leaves whose devices asked to be removed.
    pub(crate) fn leavers(&self) -> impl Iterator<Item = LeafNodeIndex> + '_ {
        self.group.pending_proposals().filter_map(|queued| match queued.proposal() {
            Proposal::Remove(remove) => Some(remove.removed()),
            _ => None,
        })
    }

    /// What a staged commit does and what the rules say of it.
    pub(crate) fn judged(
        &self,
        staged: &StagedCommit,
        sender: &Sender,
        delta: &Delta,
        directory: &dyn Directory,
    ) -> Result<(Deed, Judgement), Refusal> {
        let leaves = self.leaves()?;
        let deed = self.deed(&leaves, staged, sender, delta)?;
        let members = leaves.into_iter().map(|(device, leaf)| (device, leaf.key)).collect();
        let judgement = rules::judge(&self.before(&members), &deed, directory);
        Ok((deed, judgement))
    }

    /// The relay accepted the pending commit whose SHA-256 is `hash`: the room moves on to it.
    ///
    /// # Errors
    /// [`RoomError::NoPending`] when another or none is pending: it was merged or cleared before.
    pub fn merge_pending(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        hash: &[u8; 32],
        now: u64,
    ) -> Result<Merged, RoomError> {
        self.change(store, rng, now, |room, provider| {
            let pending = room
                .record
                .pending
                .take()
                .filter(|pending| pending.hash == *hash)
                .ok_or(RoomError::NoPending)?;
            match pending.kind {
                // The group is the new one already: nothing but the relay's word was missing.
                PendingKind::Join | PendingKind::Reboot => {
                    let actor = room.own_device().ok_or(RoomError::NotMember)?;
                    let changes = vec![Change::Joined(actor.clone())];
                    Ok(Merged { actor, changes, epoch: room.epoch(), lost_race: false, removed_me: false })
                }
                PendingKind::Change => room.merge_own(provider, now),
            }
        })
    }

    fn merge_own(&mut self, provider: &Provider<'_>, now: u64) -> Result<Merged, RoomError> {
        let staged = self.group.pending_commit().ok_or(RoomError::Mls("no commit to merge"))?;
        let own = Sender::Member(self.group.own_leaf_index());
        let leaves = self.leaves().map_err(RoomError::Refused)?;
        let deed = self.deed(&leaves, staged, &own, &Delta::default()).map_err(RoomError::Refused)?;
        let changes = self.changes(&leaves, &deed);
        let (epoch, head) = (self.epoch(), self.head_hash());
        self.group.merge_pending_commit(provider).map_err(|_| RoomError::Mls("merge"))?;
        self.merged(deed, changes, epoch, head, now).map_err(RoomError::Refused)
    }

    /// Notes what a commit that was just merged changed. `epoch` and `head` are those before it.
    pub(crate) fn merged(
        &mut self,
        deed: Deed,
        changes: Vec<Change>,
        epoch: u64,
        head: [u8; 32],
        now: u64,
    ) -> Result<Merged, Refusal> {
        self.record.ended(epoch, head, now);
        let lost_race = self.record.pending.take().is_some();
        if let Some(own) = self.own_device() {
            let of_own = |device: &RoomDevice| device.account == own.account;
            self.record.device_removed |= deed.removed.union(&deed.left).any(of_own);
            if deed.renewed && deed.actor == own {
                self.record.renewed(now);
            }
        }
        self.policy = deed.policy;
        Ok(Merged {
            actor: deed.actor,
            changes,
            epoch: self.epoch(),
            lost_race,
            removed_me: !self.is_member(),
        })
    }

    /// What a deed that is known to be allowed changes.
    fn changes(&self, leaves: &BTreeMap<RoomDevice, Leaf>, deed: &Deed) -> Vec<Change> {
        let members = leaves.iter().map(|(device, leaf)| (device.clone(), leaf.key)).collect();
        rules::changes(&self.before(&members), deed)
    }

    fn before<'a>(&'a self, members: &'a BTreeMap<RoomDevice, [u8; 32]>) -> Before<'a> {
        Before { policy: &self.policy, members, epoch: self.epoch(), leaves_max: self.suite().leaves_max() }
    }

    /// The own leaf's device; none after this device was removed.
    pub(crate) fn own_device(&self) -> Option<RoomDevice> {
        let own = self.group.own_leaf_node().filter(|_| self.is_member())?;
        crate::credential::named(own.credential()).ok()
    }

    /// The relay refused the pending commit for good: the room stays as it is. After a join from outside or a reboot
    /// that was refused the room is gone from the store; `false` then.
    ///
    /// # Errors
    /// [`RoomError::NoPending`] when none is pending, or the store's.
    pub fn clear_pending(
        mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        now: u64,
    ) -> Result<Option<Self>, RoomError> {
        self.refresh(store)?;
        match self.record.pending.as_ref().map(|pending| pending.kind) {
            None => Err(RoomError::NoPending),
            Some(PendingKind::Change) => {
                self.change(store, rng, now, |room, provider| {
                    room.record.pending = None;
                    Ok(room.group.clear_pending_commit(provider.storage())?)
                })?;
                Ok(Some(self))
            }
            Some(PendingKind::Join) => {
                self.erase(store)?;
                Ok(None)
            }
            Some(PendingKind::Reboot) => {
                // The generation before ended, whoever's reboot won.
                self.write_left(store, self.record.generation.saturating_sub(1), u64::MAX)?;
                self.erase(store)?;
                Ok(None)
            }
        }
    }

    /// Leaves: the proposal that the relay appends to the log. Another member commits it; forget the room when the relay
    /// has it.
    ///
    /// # Errors
    /// [`RoomError::Pending`], [`RoomError::NotMember`], or the store's.
    pub fn leave(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        now: u64,
    ) -> Result<Vec<u8>, RoomError> {
        self.change(store, rng, now, |room, provider| {
            room.settled()?;
            let left = room.group.leave_group(provider, &me).map_err(|_| RoomError::Mls("leave"))?;
            object(left.to_bytes())
        })
    }

    /// Does not leave after all: the relay has not appended the proposal of [`Room::leave`], so nobody can refer to it.
    ///
    /// # Errors
    /// The store's.
    pub fn stay(
        &mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        now: u64,
    ) -> Result<(), RoomError> {
        self.change(store, rng, now, |room, provider| {
            let own = Sender::Member(room.group.own_leaf_index());
            let proposed = room.group.pending_proposals().filter(|queued| *queued.sender() == own);
            let proposed: Vec<_> = proposed.map(|queued| queued.proposal_reference_ref().clone()).collect();
            for proposal in &proposed {
                let removed = room.group.remove_pending_proposal(provider.storage(), proposal);
                removed.map_err(|_| RoomError::Mls("stay"))?;
            }
            Ok(())
        })
    }
}

/// A message that is as long as an object may be.
pub(crate) fn object<X>(bytes: Result<Vec<u8>, X>) -> Result<Vec<u8>, RoomError> {
    let bytes = bytes.map_err(|_| RoomError::Mls("encode"))?;
    if bytes.len() > OBJECT_MAX { Err(RoomError::Refused(Refusal::Full)) } else { Ok(bytes) }
}
