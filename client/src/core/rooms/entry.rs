//! One entry of a log: opened, judged, understood; state, line and cursor in one transaction (R22). What is refused is
//! shown and never followed.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crypto::verify::room::RoomDevice;
use subrosa_protocol::{
    MessageId, Payload, RoomId, SafeText, Username,
    content::{Content, ReceiptKind, RoomRejected, Text},
    frames::{EntryBody, EntryKind, ObjectHash, RoomEntry},
};
use subrosa_rooms::{Change, Merged, Opened, Refusal, Room, Verdict};

use super::{
    super::{
        Fault,
        work::{Work, is_verified, message_event},
    },
    lines, mls,
    mls::{accounts, fault, from_wire},
    sync::object_of,
};
use crate::{
    api::{Direction, EventBody, Message, MessageKind, MessageState, Role, RoomState, time::Timestamp},
    chat::ChatId,
    store::{Counter, NewMessage, PendingCommit, StoredRoom},
};

/// What an entry needs before it can be dealt with.
pub(super) enum Missing {
    Lists(BTreeSet<Username>),
    Object(ObjectHash),
}

/// What came of some entries.
#[derive(Default)]
pub(super) struct Taken {
    /// The cursor moved.
    pub(super) moved: bool,
    /// Entries before the last one did not come.
    pub(super) gap: bool,
    pub(super) missing: Option<Missing>,
    /// An own commit was merged.
    pub(super) merged: bool,
    /// An own commit is void: another one won.
    pub(super) lost: bool,
    /// Somebody left, and nobody has taken them out.
    pub(super) leavers: bool,
    /// This device is no member any more.
    pub(super) out: bool,
    /// The room goes on in another generation.
    pub(super) renewed: bool,
    /// Who wrote something.
    pub(super) wrote: Vec<Username>,
    /// The lists that the entry at hand needs are not to be had: it is judged without them.
    without_list: bool,
}

/// Takes entries in their order, as far as it goes.
pub(super) fn take_all(
    w: &mut Work<'_>,
    id: RoomId,
    entries: &[RoomEntry],
    (fresh, without_list): (&BTreeSet<Username>, bool),
    objects: &BTreeMap<ObjectHash, Vec<u8>>,
) -> Result<Taken, Fault> {
    let mut taken = Taken::default();
    let mut without_list = without_list;
    for entry in entries {
        let Some(mut stored) = w.tx.room(id)?.filter(|stored| stored.state == RoomState::Joined) else {
            break;
        };
        if entry.seq <= stored.cursor {
            continue;
        }
        if entry.seq != stored.cursor.saturating_add(1) {
            taken.gap = true;
            break;
        }
        taken.without_list = std::mem::take(&mut without_list);
        if let Some(missing) = take(w, &mut stored, entry, fresh, objects, &mut taken)? {
            taken.missing = Some(missing);
            break;
        }
        taken.moved = true;
        if taken.out {
            break;
        }
        stored.cursor = entry.seq;
        w.tx.put_room(&stored)?;
    }
    if !taken.out
        && let Some(group) = w.group(id)?
    {
        taken.leavers = group.has_leavers();
        w.loaded.keep(group);
    }
    Ok(taken)
}

fn take(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    entry: &RoomEntry,
    fresh: &BTreeSet<Username>,
    objects: &BTreeMap<ObjectHash, Vec<u8>>,
    taken: &mut Taken,
) -> Result<Option<Missing>, Fault> {
    let bytes = match (&entry.body, object_of(entry)) {
        (EntryBody::Inline(bytes), _) => &bytes[..],
        (_, Some(hash)) => match objects.get(&hash) {
            Some(bytes) => bytes.as_slice(),
            None => return Ok(Some(Missing::Object(hash))),
        },
        _ => &[],
    };
    if let EntryBody::Reboot(notice) = &entry.body {
        let welcome = notice.welcome.is_some().then_some(bytes);
        return super::renew::follow(w, stored, entry, notice, welcome, fresh, taken);
    }
    // While an owner's device renews the room, what is of the group before cannot be read any more.
    let own = w.tx.pending_commit(stored.id)?;
    if own.is_some_and(|own| super::renew::is_renewal(&own)) {
        return Ok(None);
    }
    match w.group(stored.id)? {
        Some(group) => w.loaded.keep(group),
        None => return Ok(None),
    }
    match entry.kind {
        EntryKind::Application => application(w, stored, entry, bytes, fresh, taken),
        EntryKind::Proposal => leave_of(w, stored, entry, bytes),
        EntryKind::Commit => commit(w, stored, entry, bytes, fresh, taken),
        EntryKind::Reboot => Ok(None),
    }
}

/// When an entry came into the log, by the relay's clock, and not after now. Keys of past epochs live for a day of the log: whoever was
/// away for longer reads what was written before, and then loses them.
fn log_time(now: u64, accepted_at: u64) -> u64 {
    accepted_at.min(now)
}

fn application(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    entry: &RoomEntry,
    bytes: &[u8],
    fresh: &BTreeSet<Username>,
    taken: &mut Taken,
) -> Result<Option<Missing>, Fault> {
    if let Some(own) = w.tx.room_post(stored.id, entry.id)? {
        w.tx.remove_room_post(own.id)?;
        w.advance_line(own.message, MessageState::Accepted)?;
        w.place_line(own.message)?;
        own_heard(w, stored.id, entry.accepted_at)?;
        return Ok(None);
    }
    let mut group = w.group_of(stored.id)?;
    let tx = w.tx;
    let directory = mls::lists(tx, w.me, fresh);
    let opened = match group.open(tx, &mut w.rng, bytes, &directory, log_time(w.now, entry.accepted_at)) {
        Ok(opened) => opened,
        Err(subrosa_rooms::RoomError::NeedLists(needs)) => {
            return Ok((!taken.without_list).then(|| Missing::Lists(accounts(needs))));
        }
        Err(error) => return Err(fault(error)),
    };
    let moderates = |group: &Room, account: &str| group.policy().role(account) >= mls_role(Role::Moderator);
    match opened {
        Ok(opened) => {
            let moderator = moderates(&group, &opened.sender.account);
            w.loaded.keep(group);
            taken.wrote.extend(Username::new(opened.sender.account.clone()));
            super::silent::came_in(w, stored, &opened.sender)?;
            super::silent::heard(w, stored.id, &opened.sender, log_time(w.now, entry.accepted_at))?;
            said(w, stored, &opened, moderator)?;
        }
        Err(refusal) => {
            w.loaded.keep(group);
            tracing::debug!(%refusal, "a room message is refused");
            w.tx.count(Counter::DiscardedMismatch)?;
            if let Refusal::Leaf(sender) = refusal {
                unlisted(w, stored, &sender)?;
            }
        }
    }
    Ok(None)
}

/// An own message stands in the log: this device is not silent.
pub(super) fn own_heard(w: &mut Work<'_>, room: RoomId, accepted_at: u64) -> Result<(), Fault> {
    let me = RoomDevice::new(w.me.account.as_str(), w.me.device.get());
    super::silent::heard(w, room, &me, log_time(w.now, accepted_at))
}

/// A message of a member's device that its account has signed out since: not read, for whoever has that device now may have written
/// it; but told, for it may as well be older than that. Those that follow each other are one line.
fn unlisted(w: &mut Work<'_>, stored: &StoredRoom, sender: &RoomDevice) -> Result<(), Fault> {
    let Ok(account) = Username::new(sender.account.clone()) else { return Ok(()) };
    let last = w.tx.history(&ChatId::from(stored.id), None, None, 1)?.messages.pop();
    match last {
        Some(Message { order, from, kind: MessageKind::Missing { count }, .. })
            if from == account.as_str() =>
        {
            w.tx.set_notice_count(order, count.saturating_add(1))?;
        }
        _ => {
            w.room_notice(stored.id, &account, MessageKind::Missing { count: 1 })?;
        }
    }
    let (chat, from) = (stored.shown(), account.to_string());
    w.emit(EventBody::MessageMissing { chat, from, device: sender.device, count: 1 })
}

const fn mls_role(role: Role) -> subrosa_rooms::Role {
    super::change::policy_role(role)
}

/// What a member said.
fn said(w: &mut Work<'_>, stored: &StoredRoom, opened: &Opened, moderator: bool) -> Result<(), Fault> {
    let Ok(account) = Username::new(opened.sender.account.clone()) else {
        return Ok(w.tx.count(Counter::DiscardedMismatch)?);
    };
    if !place(w, stored, &account, opened)? {
        return Ok(());
    }
    match Payload::decode(&opened.content).map(|payload| payload.content) {
        Ok(Content::Text(text)) => text_of(w, stored, &account, opened, &text, moderator),
        Ok(content @ (Content::Edit(_) | Content::Delete(_) | Content::Reaction(_) | Content::Pin(_))) => {
            super::about::said(w, stored, &account, moderator, &content)
        }
        Ok(Content::Unknown(unknown)) if unknown.optional => Ok(w.tx.count(Counter::SkippedOptional)?),
        Ok(Content::Unknown(_)) | Err(_) => {
            let kind = MessageKind::NewerVersion {};
            w.room_notice(stored.id, &account, kind).map(drop)
        }
        // What belongs between two devices only.
        Ok(_) => Ok(w.tx.count(Counter::DiscardedMismatch)?),
    }
}

/// Places a message in its sender's chain. Whether it is one that was not there before; what is missing before it is
/// shown.
fn place(w: &mut Work<'_>, stored: &StoredRoom, account: &Username, opened: &Opened) -> Result<bool, Fault> {
    let device = opened.sender.device;
    let (highest, hash) = w.tx.room_chain(stored.id, account, device)?;
    let counter = opened.place.counter;
    if counter <= highest {
        w.tx.count(Counter::DiscardedDuplicate)?;
        return Ok(false);
    }
    let first = highest == 0;
    if counter == highest.saturating_add(1) && !first && opened.place.prev_hash != hash {
        w.tx.count(Counter::DiscardedMismatch)?;
        return Ok(false);
    }
    w.tx.set_room_chain(stored.id, account, device, counter, &opened.hash)?;
    if !first && counter > highest.saturating_add(1) {
        let count = counter.saturating_sub(highest).saturating_sub(1);
        w.room_notice(stored.id, account, MessageKind::Missing { count })?;
        let (chat, from) = (stored.shown(), account.to_string());
        w.emit(EventBody::MessageMissing { chat, from, device, count })?;
    }
    Ok(true)
}

fn text_of(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    account: &Username,
    opened: &Opened,
    text: &Text,
    moderator: bool,
) -> Result<(), Fault> {
    let mine = w.is_me(account);
    let verified = mine || w.tx.peer(account)?.as_ref().is_some_and(is_verified);
    let text_shown = SafeText::multi_line(&text.text);
    let mention = !mine && mentions(&text_shown, w.me.account.as_str(), moderator);
    let line = w.tx.insert_message(&NewMessage {
        id: MessageId::from_bytes(opened.message_id),
        chat: ChatId::from(stored.id),
        direction: if mine { Direction::Out } else { Direction::In },
        from: account.clone(),
        device: opened.sender.device,
        kind: MessageKind::Text { text: text_shown },
        reply_to: text.reply_to,
        sent_at: Timestamp(text.sent_at),
        stored_at: Timestamp(w.now),
        state: if mine { MessageState::Accepted } else { MessageState::Received },
        reason: None,
        verified,
        key: None,
        mention,
    })?;
    let Some(line) = line else { return Ok(w.tx.count(Counter::DiscardedDuplicate)?) };
    let message = crate::api::MessageEvent { mention, ..message_event(&line) };
    let id = MessageId::from_bytes(opened.message_id);
    if mine {
        w.emit(EventBody::MessageQueued { message })?;
        super::receipts::early(w, stored, &line, id)
    } else {
        w.emit(EventBody::MessageReceived { message })?;
        super::receipts::note(w, stored, account, id, ReceiptKind::Delivered)
    }
}

/// Whether a text mentions an account: `@name`, or `@room` when a moderator wrote it.
pub(super) fn mentions(text: &str, name: &str, moderator: bool) -> bool {
    crate::mentions(text).any(|word| word.eq_ignore_ascii_case(name) || moderator && word == "room")
}

/// Somebody leaves: taken out with the next commit.
fn leave_of(
    w: &mut Work<'_>,
    stored: &StoredRoom,
    entry: &RoomEntry,
    bytes: &[u8],
) -> Result<Option<Missing>, Fault> {
    let mut group = w.group_of(stored.id)?;
    let tx = w.tx;
    if let Err(refusal) =
        group.receive_leave(tx, &mut w.rng, bytes, log_time(w.now, entry.accepted_at)).map_err(fault)?
    {
        tracing::debug!(%refusal, "a proposal is refused");
        w.tx.count(Counter::DiscardedMismatch)?;
    }
    w.loaded.keep(group);
    Ok(None)
}

fn commit(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    entry: &RoomEntry,
    bytes: &[u8],
    fresh: &BTreeSet<Username>,
    taken: &mut Taken,
) -> Result<Option<Missing>, Fault> {
    let mut group = w.group_of(stored.id)?;
    let mut before = Before::of(&group);
    let delta = entry.delta.as_ref().map(from_wire).unwrap_or_default();
    let tx = w.tx;
    let directory = mls::lists(tx, w.me, fresh);
    let verdict = group
        .receive_commit(tx, &mut w.rng, bytes, &delta, &directory, log_time(w.now, entry.accepted_at))
        .map_err(fault)?;
    let verdict = match verdict {
        Verdict::NeedLists(needs) if taken.without_list => {
            let nobody = RoomDevice::new(needs.into_iter().next().unwrap_or_default(), 0);
            Verdict::Refuse(Refusal::Leaf(nobody))
        }
        verdict => verdict,
    };
    match verdict {
        Verdict::NeedLists(needs) => Ok(Some(Missing::Lists(accounts(needs)))),
        Verdict::Accept(merged) => {
            let own = w.tx.pending_commit(stored.id)?;
            if let Some(own) = own {
                super::change::answered(w, stored.id)?;
                if own.entry == entry.id {
                    taken.merged = true;
                    before.own(&own);
                    super::silent::say(w, stored, &own, &merged)?;
                } else {
                    super::change::send_alone(w, &own)?;
                    taken.lost = true;
                }
            }
            taken.out = merged.removed_me;
            super::evidence::seen_entry(w, stored.id, entry, bytes, &merged.actor)?;
            followed(w, stored, group, &merged, &before, log_time(w.now, entry.accepted_at))?;
            Ok(None)
        }
        Verdict::Refuse(refusal) => {
            w.loaded.keep(group);
            let mut left_out = false;
            if let Refusal::Epoch(epoch) = refusal {
                super::evidence::hold_against(w, stored, entry, bytes)?;
                // The log is whole by its numbers, and a change before this one is missing.
                left_out = epoch > stored.epoch;
            }
            if (refusal.breaks_room() || left_out) && stored.refused.is_none() {
                reject(w, stored, entry, &refusal)?;
                w.done.broken.insert(stored.id);
            }
            Ok(None)
        }
    }
}

fn devices(group: &Room) -> BTreeSet<RoomDevice> {
    group.members().into_iter().collect()
}

/// A room before a commit.
struct Before {
    devices: BTreeSet<RoomDevice>,
    owners: BTreeSet<String>,
    /// Who said that they do not come, if this device's commit takes them out for that.
    declined: Option<Username>,
}

impl Before {
    fn of(group: &Room) -> Self {
        Self { devices: devices(group), owners: group.policy().owners.clone(), declined: None }
    }

    /// Before an own commit.
    fn own(&mut self, commit: &PendingCommit) {
        if let Some(super::act::Act::Declined(account)) = super::act::Act::from_bytes(&commit.act) {
            self.declined = Some(account);
        }
    }
}

/// A commit was merged: what it changed is shown, and the room's row says how it is now.
fn followed(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    group: Room,
    merged: &Merged,
    before: &Before,
    logged_at: u64,
) -> Result<(), Fault> {
    lines::refresh(w, stored, &group);
    // The log goes on: nobody took this device out and added it again.
    (stored.invitation, stored.invited_by) = (None, None);
    // A leave that this commit does not refer to is void.
    stored.leaving = false;
    let after = devices(&group);
    let owner = |account: &str| group.policy().role(account) == mls_role(Role::Owner);
    let mut new_owners = BTreeSet::new();
    let replaced = merged.changes.contains(&Change::OwnerKey)
        && super::renew::key_replaced(stored, &group.policy().owner_key);
    if merged.actor == RoomDevice::new(w.me.account.as_str(), w.me.device.get()) {
        for change in &merged.changes {
            let account = match change {
                Change::Added(device) => &device.account,
                Change::Role(account, _) => account,
                _ => continue,
            };
            if owner(account) {
                new_owners.extend(Username::new(account.clone()));
            }
        }
        if replaced {
            new_owners
                .extend(group.policy().owners.iter().filter_map(|name| Username::new(name.clone()).ok()));
        }
    }
    // Devices of an owner followed its account's list by a commit of somebody who has no key to give.
    if !owner(&merged.actor.account) && stored.owner_secret.is_some() && owner(w.me.account.as_str()) {
        let added = merged.changes.iter().filter_map(|change| match change {
            Change::Added(device) if owner(&device.account) => Username::new(device.account.clone()).ok(),
            _ => None,
        });
        new_owners.extend(added);
    }
    // An owner left by a commit of somebody who cannot replace the key that they know.
    let known = group.policy().owner_key;
    let owner_left = !merged.changes.contains(&Change::OwnerKey)
        && !before.owners.is_subset(&group.policy().owners)
        && stored.owner_secret.is_some()
        && owner(w.me.account.as_str());
    w.loaded.keep(group);
    if owner_left && !merged.removed_me {
        w.done.follows.push((stored.id, super::act::Act::OwnerKey(known)));
    }
    let declined = before.declined.as_ref();
    let before = &before.devices;
    for account in new_owners {
        super::renew::give_key(w, stored, &account)?;
    }
    if !merged.removed_me && after.contains(&merged.actor) {
        super::silent::came_in(w, stored, &merged.actor)?;
    }
    super::silent::changed(w, stored.id, merged, (before, &after), logged_at)?;
    lines::show(w, stored, merged, (before, &after), declined)?;
    if merged.removed_me {
        let actor = Username::new(merged.actor.account.clone()).ok();
        super::leave::out(w, stored.id, actor.as_ref())?;
    }
    Ok(())
}

/// An own commit stands in the log: the group moves on to it.
pub(super) fn merge_own(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    commit: &PendingCommit,
    (seq, accepted_at): (u64, u64),
) -> Result<(), Fault> {
    let mut group = w.group_of(stored.id)?;
    let mut before = Before::of(&group);
    before.own(commit);
    let tx = w.tx;
    if super::renew::is_renewal(commit) {
        let renewal = super::renew::Renewal::of(commit)?;
        let hash = renewal.hash.into_array();
        let again = renewal.left_out.into_iter().map(|account| (stored.id, super::act::Act::Invite(account)));
        w.done.follows.extend(again);
        group.merge_pending(tx, &mut w.rng, &hash, w.now).map_err(fault)?;
        super::change::answered(w, stored.id)?;
        let me = w.me.account.clone();
        return super::renew::renewed(w, stored, group, &me);
    }
    let hash = super::objects::hash(&commit.bytes).0;
    let merged = group.merge_pending(tx, &mut w.rng, &hash, w.now).map_err(fault)?;
    super::change::answered(w, stored.id)?;
    super::evidence::seen_own(w, commit, (seq, accepted_at))?;
    if stored.state == RoomState::Joining {
        stored.state = RoomState::Joined;
        // Of a join from outside the group knows no before.
        let me = w.me.account.clone();
        w.room_notice(stored.id, &me, MessageKind::MemberJoined {})?;
        w.emit(EventBody::RoomJoined { chat: stored.shown() })?;
    }
    super::silent::say(w, stored, commit, &merged)?;
    followed(w, stored, group, &merged, &before, log_time(w.now, accepted_at))
}

/// A commit that the relay took must be refused: shown, and told to the owners (R31).
fn reject(
    w: &mut Work<'_>,
    stored: &mut StoredRoom,
    entry: &RoomEntry,
    refusal: &Refusal,
) -> Result<(), Fault> {
    stand_still(w, stored, SafeText::single_line(&refusal.to_string()))?;
    let group = w.group_of(stored.id)?;
    let owners: Vec<_> =
        group.policy().owners.iter().filter_map(|name| Username::new(name.clone()).ok()).collect();
    w.loaded.keep(group);
    for owner in owners {
        let content = Content::RoomRejected(RoomRejected {
            room: stored.id,
            generation: entry.generation,
            epoch: entry.epoch,
            reason: refusal.code(),
        });
        super::renew::tell(w, &owner, content)?;
    }
    Ok(())
}

/// Nothing new of a room can be read: why is shown, once.
pub(super) fn stand_still(w: &mut Work<'_>, stored: &mut StoredRoom, why: SafeText) -> Result<(), Fault> {
    if stored.refused.is_some() {
        return Ok(());
    }
    stored.refused = Some(why.clone());
    let me = w.me.account.clone();
    w.room_notice(stored.id, &me, MessageKind::CommitRefused { why: why.clone() })?;
    w.emit(EventBody::RoomRefused { chat: stored.shown(), by: None, why })
}

/// A member's device refused a commit that this one may have followed.
pub(in crate::core) fn rejected(
    w: &mut Work<'_>,
    sender: &super::super::receive::Sender,
    rejected: &RoomRejected,
) -> Result<(), Fault> {
    let stored = w.tx.room(rejected.room)?.filter(|stored| stored.state == RoomState::Joined);
    let Some(stored) = stored.filter(|stored| stored.generation == rejected.generation) else {
        return Ok(());
    };
    if !super::renew::shares(w, &sender.account, stored.id)? {
        return Ok(());
    }
    w.done.broken.insert(stored.id);
    // What this device refused as well was shown already.
    if stored.refused.is_some() {
        return Ok(());
    }
    let why =
        SafeText::single_line(&format!("refused by {}'s device, reason {}", sender.account, rejected.reason));
    w.emit(EventBody::RoomRefused { chat: stored.shown(), by: Some(sender.account.to_string()), why })
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn mentions_are_whole_words() {
        for (text, moderator, hit) in [
            ("hi @bob", false, true),
            ("@Bob!", false, true),
            ("@bobby", false, false),
            ("bob", false, false),
            ("mail bob@bob.example", false, true),
            ("@room", false, false),
            ("all: @room,", true, true),
            ("@rooms", true, false),
        ] {
            assert_eq!(mentions(text, "bob", moderator), hit, "{text}");
        }
    }
}
