//! Rebooting a room whose group an insider bricked: a new group of the same room and log, of the members before (R31).
//!
//! The relay accepts it on the owner key; members check that signature too, and that the new group is the old one: the
//! same policy but for the generation, nobody in it who was not there before.

use std::collections::BTreeSet;

use openmls::prelude::OpenMlsProvider;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use subrosa_verify::keys::Signature;
use subrosa_verify::room::{Reboot, RoomDevice, reboot_state};

use crate::commit::object;
use crate::config;
use crate::credential::{Directory, Listed, Me};
use crate::error::{Act, Refusal, RoomError};
use crate::group::Room;
use crate::join::{Joined, finish};
use crate::key_packages::Invitee;
use crate::policy::{Role, Visibility};
use crate::provider::Provider;
use crate::record::{Pending, PendingKind, Record};
use crate::store::RoomStore;
use subrosa_crypto::mls::OwnerKey;

/// A reboot as it goes to the relay.
#[derive(Debug, Clone)]
pub struct OwnReboot {
    /// What is signed.
    pub reboot: Reboot,
    /// All devices of the new group.
    pub roster: BTreeSet<RoomDevice>,
    /// The owner key's signature.
    pub signature: Signature,
    /// SHA-256 of the first commit: what [`Room::pending`] keeps. The commit itself goes nowhere.
    pub hash: [u8; 32],
    /// The welcome for all the others; none when nobody else is left.
    pub welcome: Option<Vec<u8>>,
    /// The group info of a public room.
    pub group_info: Option<Vec<u8>>,
}

impl Room {
    /// Makes the room's next generation with the members whose key packages are given; the others have to be invited
    /// again. The store holds the new group from now on: when the relay accepts it, [`Room::merge_pending`]; when another
    /// owner was faster, [`Room::clear_pending`], and the winner's welcome.
    ///
    /// # Errors
    /// [`RoomError::Refused`] for somebody who is no owner, an owner key that is not the room's, or a device that is not
    /// a member.
    #[allow(clippy::too_many_arguments)]
    pub fn reboot(
        mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        owner_key: &OwnerKey,
        members: Vec<Invitee>,
        directory: &dyn Directory,
        now: u64,
    ) -> Result<(Self, OwnReboot), RoomError> {
        self.refresh(store)?;
        let refused = |refusal| Err(RoomError::Refused(refusal));
        if self.policy.role(me.account) != Role::Owner || owner_key.public() != self.policy.owner_key {
            return refused(Refusal::NoRight(Act::OwnerKey));
        }
        let before = self.leaves().map_err(RoomError::Refused)?;
        for invitee in &members {
            if !before.contains_key(&invitee.device) || self.policy.banned.contains(&invitee.device.account) {
                return refused(Refusal::NoRight(Act::Invite));
            }
            match directory.look(&invitee.device) {
                Listed::Listed { .. } => {}
                Listed::Former { .. } | Listed::Absent => {
                    return refused(Refusal::Leaf(invitee.device.clone()));
                }
                Listed::Unknown => return Err(RoomError::NeedLists([invitee.device.account.clone()].into())),
            }
        }
        let provider = Provider::new(store, rng);
        let from = self.record.generation;
        let to = from.checked_add(1).ok_or(RoomError::Mls("reboot"))?;
        let mut policy = self.policy.clone();
        policy.generation = to;
        let mut record = Record::new(to, Some(now));
        (record.counter, record.prev_hash) = (self.record.counter, self.record.prev_hash);
        let mut roster: BTreeSet<_> = members.iter().map(|invitee| invitee.device.clone()).collect();
        roster.insert(me.room_device());
        let packages: Vec<_> = members.into_iter().map(|invitee| invitee.package).collect();
        let builder = self.group.reboot(record.group(&self.id)).refine_group_builder(|group| {
            group.lifetime(config::any_time()).with_capabilities(config::capabilities())
        });
        let extensions = config::extensions(&policy).map_err(RoomError::Refused)?;
        let made = builder.finish(extensions, packages, |commit| commit, &provider, &me, me.credential());
        let (mut group, bundle) = made.map_err(|_| RoomError::Mls("reboot"))?;
        let (commit, welcome, _) = bundle.into_messages();
        let commit = object(commit.to_bytes())?;
        let welcome = welcome.map(|welcome| object(welcome.to_bytes())).transpose()?;
        group.merge_pending_commit(&provider).map_err(|_| RoomError::Mls("reboot"))?;
        let group_info = if policy.visibility == Visibility::Public {
            let info = group
                .export_group_info(provider.crypto(), &me, true)
                .map_err(|_| RoomError::Mls("reboot"))?;
            Some(object(info.to_bytes())?)
        } else {
            None
        };
        let hash = Sha256::digest(&commit).into();
        record.pending = Some(Pending { hash, epoch: 0, kind: PendingKind::Reboot });
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| Sha256::digest(bytes).into());
        let (epoch, state) = (group.epoch().as_u64(), reboot_state(&roster, &policy.banned));
        let (told, info) = (of(&welcome), of(&group_info));
        let reboot = Reboot { room: self.id, from, to, epoch, state, welcome: told, group_info: info };
        let signature = owner_key.sign_reboot(&reboot);
        self.erase(provider.draft())?;
        let room =
            Self::assembled(self.id, group, record).map_err(RoomError::Refused)?.kept(provider, rng)?;
        Ok((room, OwnReboot { reboot, roster, signature, hash, welcome, group_info }))
    }

    /// Follows an owner's reboot into the room's next generation.
    ///
    /// # Errors
    /// [`RoomError::Refused`] when the owner key did not sign it, the welcome is another, or the new group is not the old
    /// one's members under the old policy; [`RoomError::NeedLists`]. Nothing is changed then.
    #[allow(clippy::too_many_arguments)]
    pub fn follow_reboot(
        mut self,
        store: &dyn RoomStore,
        rng: &mut dyn CryptoRng,
        me: Me<'_>,
        reboot: &Reboot,
        signature: &Signature,
        welcome: &[u8],
        directory: &dyn Directory,
    ) -> Result<Joined, RoomError> {
        self.refresh(store)?;
        let refused = |refusal| Err(RoomError::Refused(refusal));
        if reboot.room != self.id || reboot.from != self.record.generation {
            return refused(Refusal::OtherGroup);
        }
        let told: [u8; 32] = Sha256::digest(welcome).into();
        if reboot.verify(&self.policy.owner_key, signature).is_err() || Some(told) != reboot.welcome {
            return refused(Refusal::NoRight(Act::OwnerKey));
        }
        let provider = Provider::new(store, rng);
        let last = self.left(reboot.from, u64::MAX);
        let before = self.leaves().map_err(RoomError::Refused)?;
        let mut policy = self.policy.clone();
        policy.generation = reboot.to;
        self.erase(provider.draft())?;
        let joined = Self::welcomed(&provider, me, welcome, self.id, reboot.to, Some(last), directory)
            .and_then(|joined| {
                let members = joined.room.leaves().map_err(RoomError::Refused)?;
                let same = joined.room.policy == policy
                    && self.policy.role(&joined.inviter.account) == Role::Owner
                    && joined.room.epoch() == reboot.epoch
                    && reboot_state(&members.keys().cloned().collect(), &policy.banned) == reboot.state
                    && members.keys().all(|device| before.contains_key(device));
                if same { Ok(joined) } else { refused(Refusal::NoRight(Act::Fixed)) }
            });
        finish(provider, joined, rng)
    }
}
