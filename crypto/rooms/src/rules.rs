//! The rules that every commit is held against, before it is merged: by its sender too, before it is sent. A commit is
//! judged by the policy of the epoch before it (R33).

use std::collections::{BTreeMap, BTreeSet};

use subrosa_verify::room::{Delta, Face, RoomDevice, verify_owner_key};

use crate::credential::{Directory, Listed};
use crate::error::{Act, Refusal};
use crate::policy::{InviteRule, Policy, Role, Visibility};

/// What a commit does, as read out of it.
#[derive(Debug)]
pub(crate) struct Deed {
    /// Who made it.
    pub actor: RoomDevice,
    /// The actor's signing key: of its leaf before, or of the leaf it joins with.
    pub actor_key: [u8; 32],
    /// The actor joins by it.
    pub external: bool,
    /// Devices added by the actor, with their signing keys.
    pub added: BTreeMap<RoomDevice, [u8; 32]>,
    /// Devices removed by the actor.
    pub removed: BTreeSet<RoomDevice>,
    /// Devices that asked to be removed.
    pub left: BTreeSet<RoomDevice>,
    /// The actor renewed its own leaf.
    pub renewed: bool,
    /// The policy after it.
    pub policy: Policy,
    /// What the relay tells of it.
    pub delta: Delta,
}

/// The room before a commit.
pub(crate) struct Before<'a> {
    pub policy: &'a Policy,
    /// The members with their signing keys.
    pub members: &'a BTreeMap<RoomDevice, [u8; 32]>,
    pub epoch: u64,
    pub leaves_max: usize,
}

/// One thing that a commit changed, for a line that people see (R33).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A device joined a public room by itself.
    Joined(RoomDevice),
    /// The actor added a device.
    Added(RoomDevice),
    /// The actor removed a device of somebody else.
    Removed(RoomDevice),
    /// A device left.
    Left(RoomDevice),
    /// A device was removed that is not in its account's list any more.
    Dropped(RoomDevice),
    /// The actor renewed its keys: nothing to show.
    Renewed,
    /// An account was banned.
    Banned(String),
    /// A ban was lifted.
    Unbanned(String),
    /// An account was muted.
    Muted(String),
    /// An account may speak again.
    Unmuted(String),
    /// An account has another role now.
    Role(String, Role),
    /// The room has another name.
    Renamed(String),
    /// The room has another topic.
    Topic(String),
    /// Others may invite now.
    Invite(InviteRule),
    /// Messages disappear after other seconds, or not any more.
    Timer(Option<u32>),
    /// The room has another owner key.
    OwnerKey,
    /// The relay shows the public room otherwise.
    Face(Face),
}

/// What the rules say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Allowed(Vec<Change>),
    Refused(Refusal),
    /// The lists of these accounts are needed to say.
    NeedLists(BTreeSet<String>),
}

impl From<Refusal> for Judgement {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Judges a commit.
pub(crate) fn judge(before: &Before<'_>, deed: &Deed, directory: &dyn Directory) -> Judgement {
    match rights(before, deed, directory) {
        // Whoever has no right to remove a device may do it when it is in its account's list no more: the newest one says so.
        Err(Refusal::NoRight(Act::Kick)) if !stale(before, deed, directory).is_empty() => {
            Judgement::NeedLists(stale(before, deed, directory))
        }
        Err(refusal) => refusal.into(),
        Ok(changes) => leaves(deed, directory).unwrap_or(Judgement::Allowed(changes)),
    }
}

/// Accounts of which devices are removed without a right to it, and whose newest lists are not known.
fn stale(before: &Before<'_>, deed: &Deed, directory: &dyn Directory) -> BTreeSet<String> {
    let actor = deed.actor.account.as_str();
    let accounts = deed.removed.iter().map(|device| device.account.as_str());
    let without = accounts.filter(|account| *account != actor && !before.policy.may_moderate(actor, account));
    without.filter(|account| !directory.is_newest(account)).map(str::to_owned).collect()
}

/// What a commit that was allowed changes, without judging it again.
pub(crate) fn changes(before: &Before<'_>, deed: &Deed) -> Vec<Change> {
    let mut changes = Vec::new();
    let all_known = |_: &RoomDevice| Listed::Unknown;
    if deed.external {
        changes.push(Change::Joined(deed.actor.clone()));
    } else if membership(before, deed, &all_known, &mut changes).is_ok() {
        // What comes before the first thing that is not allowed is told all the same.
        let _ = policy(before, deed, &mut changes);
    }
    if deed.renewed && changes.is_empty() {
        changes.push(Change::Renewed);
    }
    changes
}

/// The actor's and the added leaves are their accounts' devices.
fn leaves(deed: &Deed, directory: &dyn Directory) -> Option<Judgement> {
    let mut missing = BTreeSet::new();
    let actor = [(&deed.actor, &deed.actor_key)];
    for (device, key) in actor.into_iter().chain(&deed.added) {
        match directory.look(device) {
            Listed::Listed { signing_key, .. } if signing_key == *key => {}
            // It was listed, and the log is read later than others did. A relay takes nothing from a device that was signed out; the
            // leaf goes with the next commit of whoever sees that.
            Listed::Former { signing_key } if signing_key == *key => {}
            Listed::Unknown => drop(missing.insert(device.account.clone())),
            Listed::Listed { .. } | Listed::Former { .. } | Listed::Absent => {
                return Some(Refusal::Leaf(device.clone()).into());
            }
        }
    }
    (!missing.is_empty()).then_some(Judgement::NeedLists(missing))
}

fn rights(before: &Before<'_>, deed: &Deed, directory: &dyn Directory) -> Result<Vec<Change>, Refusal> {
    let mut changes = Vec::new();
    if deed.external {
        external(before, deed)?;
        changes.push(Change::Joined(deed.actor.clone()));
    } else {
        require(before.members.get(&deed.actor) == Some(&deed.actor_key), Refusal::NotMember)?;
        membership(before, deed, directory, &mut changes)?;
        policy(before, deed, &mut changes)?;
    }
    told(before, deed, &mut changes)?;
    let after = members_after(before, deed);
    require(after.len() <= before.leaves_max, Refusal::Full)?;
    let banned = |device: &&RoomDevice| deed.policy.banned.contains(&device.account);
    require(!after.iter().any(banned), Refusal::NoRight(Act::Ban))?;
    if deed.renewed && changes.is_empty() {
        changes.push(Change::Renewed);
    }
    Ok(changes)
}

/// A join from outside adds exactly its own leaf to a public room, of an account that has none yet.
fn external(before: &Before<'_>, deed: &Deed) -> Result<(), Refusal> {
    let allowed = before.policy.visibility == Visibility::Public
        && !before.policy.banned.contains(&deed.actor.account)
        && before.members.keys().all(|member| member.account != deed.actor.account)
        && deed.added.is_empty()
        && deed.removed.is_empty()
        && deed.left.is_empty()
        && deed.policy == *before.policy;
    require(allowed, Refusal::External)
}

fn membership(
    before: &Before<'_>,
    deed: &Deed,
    directory: &dyn Directory,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let actor = deed.actor.account.as_str();
    for device in deed.removed.iter().chain(&deed.left) {
        require(before.members.contains_key(device), Refusal::Proposals)?;
    }
    for device in &deed.removed {
        let own = device.account == actor;
        let dropped = match (directory.look(device), before.members.get(device)) {
            (Listed::Former { .. } | Listed::Absent, _) => true,
            (Listed::Listed { signing_key, .. }, Some(key)) => signing_key != *key,
            _ => false,
        };
        require(
            own || dropped || before.policy.may_moderate(actor, &device.account),
            Refusal::NoRight(Act::Kick),
        )?;
        changes.push(if dropped { Change::Dropped(device.clone()) } else { Change::Removed(device.clone()) });
    }
    changes.extend(deed.left.iter().cloned().map(Change::Left));
    for device in deed.added.keys() {
        let again = deed.removed.contains(device) || deed.left.contains(device);
        require(again || !before.members.contains_key(device), Refusal::Credential)?;
        let known = before.members.keys().any(|member| member.account == device.account);
        // Devices of members follow their accounts' lists: whoever sees one missing may add it, having checked the list.
        require(known || before.policy.may_invite(actor), Refusal::NoRight(Act::Invite))?;
        changes.push(Change::Added(device.clone()));
    }
    Ok(())
}

/// Each difference of the policies is one that the actor may make.
fn policy(before: &Before<'_>, deed: &Deed, changes: &mut Vec<Change>) -> Result<(), Refusal> {
    let (old, new) = (before.policy, &deed.policy);
    let actor = deed.actor.account.as_str();
    let owner = old.role(actor) == Role::Owner;
    let fixed = old.room == new.room && old.generation == new.generation && old.visibility == new.visibility;
    require(fixed, Refusal::NoRight(Act::Fixed))?;
    new.check().map_err(Refusal::Policy)?;
    // Whose last device goes has no role afterwards.
    let gone = gone(before, deed);
    let mut without = new.clone();
    without.drop_roles(gone.iter().copied());
    require(without == *new, Refusal::NoRight(Act::Roles))?;
    if old == new {
        return Ok(());
    }
    for account in new.banned.difference(&old.banned) {
        require(old.may_moderate(actor, account), Refusal::NoRight(Act::Ban))?;
        changes.push(Change::Banned(account.clone()));
    }
    for account in old.banned.difference(&new.banned) {
        require(old.role(actor) >= Role::Moderator, Refusal::NoRight(Act::Ban))?;
        changes.push(Change::Unbanned(account.clone()));
    }
    for account in new.muted.difference(&old.muted) {
        require(old.may_moderate(actor, account), Refusal::NoRight(Act::Mute))?;
        changes.push(Change::Muted(account.clone()));
    }
    for account in old.muted.difference(&new.muted) {
        require(old.role(actor) >= Role::Moderator, Refusal::NoRight(Act::Mute))?;
        // Who is banned loses the mute with the rest.
        if !new.banned.contains(account) {
            changes.push(Change::Unmuted(account.clone()));
        }
    }
    let with_roles = old.owners.iter().chain(&old.moderators).chain(&new.owners).chain(&new.moderators);
    for account in with_roles.collect::<BTreeSet<_>>() {
        let role = new.role(account);
        if role != old.role(account) {
            // A ban takes the role away, and who may ban whom was looked at above.
            let by_ban = new.banned.contains(account) && role == Role::Member;
            let by_going = gone.contains(account.as_str()) && role == Role::Member;
            require(owner || by_ban || by_going, Refusal::NoRight(Act::Roles))?;
            changes.push(Change::Role(account.clone(), role));
        }
    }
    if old.name != new.name {
        require(owner, Refusal::NoRight(Act::Rename))?;
        changes.push(Change::Renamed(new.name.clone()));
    }
    if old.topic != new.topic {
        require(old.role(actor) >= Role::Moderator, Refusal::NoRight(Act::Topic))?;
        changes.push(Change::Topic(new.topic.clone()));
    }
    if old.invite != new.invite {
        require(owner, Refusal::NoRight(Act::InviteRule))?;
        changes.push(Change::Invite(new.invite));
    }
    if old.timer != new.timer {
        require(owner, Refusal::NoRight(Act::Timer))?;
        changes.push(Change::Timer(new.timer));
    }
    if old.owner_key != new.owner_key {
        require(owner, Refusal::NoRight(Act::OwnerKey))?;
        changes.push(Change::OwnerKey);
    }
    Ok(())
}

/// What the relay was told is what happens, no more and no less.
fn told(before: &Before<'_>, deed: &Deed, changes: &mut Vec<Change>) -> Result<(), Refusal> {
    let (old, new, delta) = (before.policy, &deed.policy, &deed.delta);
    let mut added: BTreeSet<_> = deed.added.keys().cloned().collect();
    if deed.external {
        added.insert(deed.actor.clone());
    }
    let removed: BTreeSet<_> = deed.removed.union(&deed.left).cloned().collect();
    let banned: BTreeSet<_> = new.banned.difference(&old.banned).cloned().collect();
    let unbanned: BTreeSet<_> = old.banned.difference(&new.banned).cloned().collect();
    require(
        delta.is_valid()
            && delta.added == added
            && delta.removed == removed
            && delta.banned == banned
            && delta.unbanned == unbanned,
        Refusal::Delta,
    )?;
    match &delta.owner_key {
        None => require(old.owner_key == new.owner_key, Refusal::Delta)?,
        Some(told) => {
            require(told.key == new.owner_key && old.owner_key != new.owner_key, Refusal::Delta)?;
            verify_owner_key(&old.owner_key, &old.room, old.generation, before.epoch, told)
                .map_err(|_| Refusal::NoRight(Act::OwnerKey))?;
        }
    }
    match &delta.face {
        // A private room shows nothing of itself; a public one is renamed for all or for nobody.
        None => require(old.visibility == Visibility::Private || old.name == new.name, Refusal::Delta),
        Some(face) => {
            let owner = !deed.external && old.role(&deed.actor.account) == Role::Owner;
            require(old.visibility == Visibility::Public && owner, Refusal::NoRight(Act::Face))?;
            require(face.name == new.name, Refusal::Delta)?;
            changes.push(Change::Face(face.clone()));
            Ok(())
        }
    }
}

/// The accounts of which a commit takes out the last device.
fn gone<'a>(before: &'a Before<'_>, deed: &'a Deed) -> BTreeSet<&'a str> {
    let after: BTreeSet<&str> =
        members_after(before, deed).into_iter().map(|device| device.account.as_str()).collect();
    let out = deed.removed.union(&deed.left).map(|device| device.account.as_str());
    out.filter(|account| !after.contains(account)).collect()
}

/// The members after a commit.
pub(crate) fn members_after<'a>(before: &'a Before<'_>, deed: &'a Deed) -> BTreeSet<&'a RoomDevice> {
    let gone = |device: &&RoomDevice| deed.removed.contains(*device) || deed.left.contains(*device);
    let mut after: BTreeSet<_> = before.members.keys().filter(|device| !gone(device)).collect();
    after.extend(deed.added.keys());
    if deed.external {
        after.insert(&deed.actor);
    }
    after
}

fn require(holds: bool, refusal: Refusal) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(refusal) }
}
