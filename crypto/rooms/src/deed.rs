//! Reading out of a staged commit what it does.

use std::collections::{BTreeMap, BTreeSet};

use openmls::group::StagedCommit;
use openmls::prelude::{LeafNode, LeafNodeIndex, Proposal, Sender};
use subrosa_verify::room::{Delta, RoomDevice};

use crate::config::policy_of;
use crate::credential::named;
use crate::error::Refusal;
use crate::group::{Leaf, Room};
use crate::limits::PROPOSALS_MAX;
use crate::rules::Deed;

impl Room {
    /// What `staged`, sent by `sender`, does, where the relay tells `delta` of it.
    pub(crate) fn deed(
        &self,
        leaves: &BTreeMap<RoomDevice, Leaf>,
        staged: &StagedCommit,
        sender: &Sender,
        delta: &Delta,
    ) -> Result<Deed, Refusal> {
        let by_index: BTreeMap<LeafNodeIndex, &RoomDevice> =
            leaves.iter().map(|(device, leaf)| (leaf.index, device)).collect();
        let path = staged.update_path_leaf_node().map(checked_leaf).transpose()?;
        let (actor, actor_key, external) = match sender {
            Sender::Member(index) => {
                let device = *by_index.get(index).ok_or(Refusal::NotMember)?;
                let key = leaves.get(device).ok_or(Refusal::NotMember)?.key;
                // Renewing a leaf changes its encryption key, and nothing that says whose it is.
                if path.as_ref().is_some_and(|(named, signs)| named != device || *signs != key) {
                    return Err(Refusal::Credential);
                }
                (device.clone(), key, false)
            }
            Sender::NewMemberCommit => {
                let (device, key) = path.clone().ok_or(Refusal::External)?;
                (device, key, true)
            }
            _ => return Err(Refusal::Proposals),
        };
        let mut deed = Deed {
            actor,
            actor_key,
            external,
            added: BTreeMap::new(),
            removed: BTreeSet::new(),
            left: BTreeSet::new(),
            renewed: path.is_some(),
            policy: policy_of(staged.group_context().extensions())?,
            delta: delta.clone(),
        };
        for (nth, queued) in staged.queued_proposals().enumerate() {
            if nth >= PROPOSALS_MAX {
                return Err(Refusal::Proposals);
            }
            let by_actor = queued.sender() == sender;
            match queued.proposal() {
                Proposal::Add(add) if by_actor => {
                    let (device, key) = checked_leaf(add.key_package().leaf_node())?;
                    if deed.added.insert(device, key).is_some() {
                        return Err(Refusal::Credential);
                    }
                }
                Proposal::Remove(remove) => {
                    let device = *by_index.get(&remove.removed()).ok_or(Refusal::Proposals)?;
                    let asked = queued.sender() == &Sender::Member(remove.removed());
                    let list = match (by_actor, asked) {
                        (true, _) => &mut deed.removed,
                        (false, true) => &mut deed.left,
                        (false, false) => return Err(Refusal::Proposals),
                    };
                    list.insert(device.clone());
                }
                Proposal::GroupContextExtensions(_) if by_actor && !external => {}
                Proposal::ExternalInit(_) if external => {}
                // Updates come with a commit's path; everything else rooms do not have (R30).
                _ => return Err(Refusal::Proposals),
            }
        }
        Ok(deed)
    }
}

/// Device and signing key of a leaf that is as every leaf of a room is: without extensions, able to do what is required.
pub(crate) fn checked_leaf(leaf: &LeafNode) -> Result<(RoomDevice, [u8; 32]), Refusal> {
    if leaf.extensions().iter().next().is_some() || *leaf.capabilities() != crate::config::capabilities() {
        return Err(Refusal::Extension);
    }
    let device = named(leaf.credential()).map_err(|_| Refusal::Credential)?;
    let key = leaf.signature_key().as_slice().try_into().map_err(|_| Refusal::Credential)?;
    Ok((device, key))
}
