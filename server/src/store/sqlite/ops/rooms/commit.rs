//! Everything that changes an epoch: the room itself, commits, reboots.

use std::collections::BTreeSet;

use rusqlite::params;
use serde_bytes::ByteArray;
use subrosa_protocol::{
    Username,
    frames::{
        EntryBody, EntryKind, ListingChange, MailboxEnvelope, OutgoingEnvelope, RebootNotice, RoomDelta,
        RoomDevice,
    },
    limits::{ROOM_BANNED, ROOM_DEVICES},
};

use super::{
    super::{
        Txn,
        mailbox::{self, Deposit, Undeliverable},
    },
    log::{self, Incoming},
    objects::{self, Kind},
    post::inline,
    row::{
        DeviceRow, INVITED, JOINED, Member, REMOVED, Room, account_joined, count, is_banned, listing,
        put_listing, put_member, remove_member, rooms_of, roster_size, slug_taken,
    },
};
use crate::store::{
    Accepted, CommitBytes, NewCommit, NewReboot, NewRoom, Posted, RoomRefusal, StoreError,
    sqlite::{
        SqliteOptions,
        rows::{cached, int, scalar},
    },
};

/// A refusal in an operation's result.
type Refused<T> = Result<Result<T, RoomRefusal>, StoreError>;

pub(in crate::store::sqlite) fn create(txn: &Txn<'_>, new: &NewRoom, options: &SqliteOptions) -> Refused<()> {
    let Some(from) = DeviceRow::of_sender(txn, &new.sender)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    if let Some(room) = Room::of(txn, new.room)? {
        let member = Member::of(txn, room.row, from.device)?;
        let same = room.owner_key == new.owner_key
            && listing(txn, room.row)? == new.listing
            && (room.generation, room.epoch, room.next_seq) == (0, 0, 1)
            && member.is_some_and(|member| member.state == JOINED);
        return Ok(if same { Ok(()) } else { Err(RoomRefusal::Exists) });
    }
    let sql = "SELECT 1 FROM rooms WHERE room = ?1";
    if scalar::<i64>(txn, sql, [new.room.as_bytes()])?.is_some() {
        return Ok(Err(RoomRefusal::Exists));
    }
    if new.group_info.is_some() != new.listing.is_some() {
        return Ok(Err(RoomRefusal::Malformed("a public room has a GroupInfo, a private one has none")));
    }
    if let Some(listing) = &new.listing
        && slug_taken(txn, None, &listing.slug)?
    {
        return Ok(Err(RoomRefusal::SlugTaken));
    }
    if rooms_of(txn, from.account)? >= options.rooms_per_account {
        return Ok(Err(RoomRefusal::TooManyRooms));
    }
    cached(txn, "INSERT INTO rooms (room, owner_key) VALUES (?1, ?2)")?
        .execute(params![new.room.as_bytes(), new.owner_key])?;
    let row = txn.last_insert_rowid();
    if let Some(listing) = &new.listing {
        put_listing(txn, row, listing)?;
    }
    if let Some(group_info) = &new.group_info {
        objects::put(txn, row, 0, Kind::GroupInfo, group_info)?;
    }
    put_member(txn, row, from, JOINED, 0, 0)?;
    Ok(Ok(()))
}

pub(in crate::store::sqlite) fn commit(
    txn: &Txn<'_>,
    new: &NewCommit,
    options: &SqliteOptions,
) -> Refused<Posted> {
    let Some(from) = DeviceRow::of_sender(txn, &new.sender)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(mut room) = Room::of(txn, new.room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let member = Member::of(txn, room.row, from.device)?;
    if member.is_some()
        && let Some(first) = log::repeated(txn, &room, new.id)?
    {
        return Ok(Ok(first));
    }
    let joined = member.is_some_and(|member| member.state == JOINED);
    if !joined && let Some(refusal) = no_external(txn, &room, new, from, member.is_some(), options)? {
        return Ok(Err(refusal));
    }
    if (new.generation, new.epoch) != (room.generation, room.epoch) {
        return Ok(Ok(Posted::Passed { generation: room.generation, epoch: room.epoch }));
    }
    // A leave that the commit does not cover would be void with it. Who joins from outside can cover none.
    let after = if joined { new.after } else { 0 };
    if log::leaves(txn, &room, after)? > 0 {
        return Ok(Ok(Posted::Passed { generation: room.generation, epoch: room.epoch }));
    }
    let delta = &new.delta;
    if let Some(refusal) = refused_listing(txn, &room, &delta.listing, new.group_info.is_some())? {
        return Ok(Err(refusal));
    }
    if delta.owner_key.is_some() && new.owner_key != Some(room.owner_key) {
        return Ok(Err(RoomRefusal::OwnerKey));
    }
    let change = match plan(txn, &room, delta)? {
        Ok(change) => change,
        Err(refused) => return Ok(refused),
    };
    let outgoing = match if joined { invitations(new, &change) } else { Ok(Vec::new()) } {
        Ok(outgoing) => outgoing,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (mut deposits, mut missing, mut full) = (Vec::with_capacity(outgoing.len()), Vec::new(), Vec::new());
    for (device, envelope) in &outgoing {
        match mailbox::prepare(txn, (&device.account, device.device), envelope, options)? {
            Ok(_) if !may_be_invited(txn, device, options)? => full.push((*device).clone()),
            Ok(deposit) => deposits.push((*device, deposit)),
            Err(Undeliverable::Missing) => missing.push((*device).clone()),
            Err(Undeliverable::Full) => full.push((*device).clone()),
        }
    }
    if !missing.is_empty() || !full.is_empty() {
        return Ok(Ok(Posted::Unreachable { missing, full }));
    }
    // Nothing is refused from here on.
    let seq = room.next_seq;
    let (body, mut beside) = match &new.commit {
        CommitBytes::Inline(bytes) => (inline(bytes)?, 0),
        CommitBytes::Object(object) => {
            let put = objects::put(txn, room.row, seq, Kind::Commit, object)?;
            (EntryBody::Object(put), u64::from(put.size))
        }
    };
    if let Some(welcome) = &new.welcome {
        beside += u64::from(objects::put(txn, room.row, seq, Kind::Welcome, welcome)?.size);
    }
    let incoming = Incoming {
        id: new.id,
        kind: EntryKind::Commit,
        generation: new.generation,
        epoch: new.epoch,
        body,
        delta: Some(delta.clone()),
        beside,
        now: new.now,
    };
    let entry = log::append(txn, &mut room, incoming, options)?;
    carry_out(txn, &room, new, &change, seq, if joined { INVITED } else { JOINED })?;
    let envelopes = deliver(txn, &deposits, new, options)?;
    Ok(Ok(Posted::Accepted(Box::new(Accepted {
        seq,
        accepted_at: new.now,
        fresh: Some(entry),
        envelopes,
        uninvited: change.uninvited,
        joined: !joined,
    }))))
}

/// What a delta does, in rows.
struct Change {
    removed: Vec<DeviceRow>,
    /// Those of the removed that had not come.
    uninvited: Vec<RoomDevice>,
    added: Vec<(RoomDevice, DeviceRow)>,
}

/// Why somebody who has not joined may not add its device itself (R30).
fn no_external(
    txn: &Txn<'_>,
    room: &Room,
    new: &NewCommit,
    from: DeviceRow,
    known: bool,
    options: &SqliteOptions,
) -> Result<Option<RoomRefusal>, StoreError> {
    let own = RoomDevice { account: new.sender.account.clone(), device: new.sender.device };
    let only_itself = RoomDelta { added: new.delta.added.clone(), ..RoomDelta::default() } == new.delta
        && *new.delta.added == [own]
        && new.welcome.is_none()
        && new.invitations.is_empty();
    if !room.public
        || !only_itself
        || is_banned(txn, room.row, &new.sender.account)?
        || account_joined(txn, room.row, from.account)?
    {
        return room.closed_to(txn, &new.sender.account, known).map(Some);
    }
    let too_many = rooms_of(txn, from.account)? >= options.rooms_per_account;
    Ok(too_many.then_some(RoomRefusal::TooManyRooms))
}

fn refused_listing(
    txn: &Txn<'_>,
    room: &Room,
    change: &ListingChange,
    group_info: bool,
) -> Result<Option<RoomRefusal>, StoreError> {
    let public = match change {
        ListingChange::Keep => room.public,
        ListingChange::Remove => false,
        ListingChange::Set(listing) => {
            if slug_taken(txn, Some(room.row), &listing.slug)? {
                return Ok(Some(RoomRefusal::SlugTaken));
            }
            true
        }
    };
    let fits = public == group_info;
    Ok((!fits).then_some(RoomRefusal::Malformed("a public room has a GroupInfo, a private one has none")))
}

/// Looks up everybody in a delta, and whether the roster may become what it says.
fn plan(
    txn: &Txn<'_>,
    room: &Room,
    delta: &RoomDelta,
) -> Result<Result<Change, Result<Posted, RoomRefusal>>, StoreError> {
    let refused = |refusal| Ok(Err(Err(refusal)));
    let mut removed = BTreeSet::new();
    let (mut gone, mut uninvited) = (Vec::new(), Vec::new());
    for device in delta.removed.iter() {
        if !removed.insert(device) {
            return refused(RoomRefusal::Malformed("a device is removed twice"));
        }
        if let Some(row) = DeviceRow::of(txn, &device.account, device.device)?
            && let Some(member) =
                Member::of(txn, room.row, row.device)?.filter(|member| member.state != REMOVED)
        {
            gone.push(row);
            if member.state == INVITED {
                uninvited.push(device.clone());
            }
        }
    }
    let (mut seen, mut added, mut missing) = (BTreeSet::new(), Vec::new(), Vec::new());
    for device in delta.added.iter() {
        if !seen.insert(device) {
            return refused(RoomRefusal::Malformed("a device is added twice"));
        }
        let banned = delta.banned.contains(&device.account)
            || !delta.unbanned.contains(&device.account) && is_banned(txn, room.row, &device.account)?;
        if banned {
            return refused(RoomRefusal::Banned);
        }
        let Some(row) = DeviceRow::of(txn, &device.account, device.device)? else {
            missing.push(device.clone());
            continue;
        };
        let there = Member::of(txn, room.row, row.device)?;
        // Who is invited and joins by itself instead may.
        let may = there.is_none_or(|member| member.state != JOINED);
        if !may && !removed.contains(device) {
            return refused(RoomRefusal::Malformed("a device that is added is in the room"));
        }
        added.push((device.clone(), row));
    }
    if !missing.is_empty() {
        return Ok(Err(Ok(Posted::Unreachable { missing, full: Vec::new() })));
    }
    let size = roster_size(txn, room.row)?.saturating_sub(gone.len() as u64) + added.len() as u64;
    if size > ROOM_DEVICES as u64 {
        return refused(RoomRefusal::Full);
    }
    let bans = count(txn, "SELECT count(*) FROM room_bans WHERE room = ?1", [room.row])?;
    if bans + delta.banned.len() as u64 > (ROOM_BANNED + delta.unbanned.len()) as u64 {
        return refused(RoomRefusal::Full);
    }
    Ok(Ok(Change { removed: gone, uninvited, added }))
}

/// The invitations as envelopes, one for each added device.
fn invitations<'a>(
    new: &'a NewCommit,
    change: &'a Change,
) -> Result<Vec<(&'a RoomDevice, OutgoingEnvelope)>, RoomRefusal> {
    if new.welcome.is_some() == change.added.is_empty() {
        return Err(RoomRefusal::Malformed("a Welcome belongs to added devices"));
    }
    if new.invitations.len() != change.added.len() {
        return Err(RoomRefusal::Malformed("one invitation for each added device"));
    }
    let mut outgoing = Vec::with_capacity(change.added.len());
    for (device, _) in &change.added {
        let invitation = new
            .invitations
            .iter()
            .find(|one| one.account == device.account && one.device == device.device)
            .ok_or(RoomRefusal::Malformed("one invitation for each added device"))?;
        outgoing.push((device, OutgoingEnvelope { id: invitation.id, sealed: invitation.sealed.clone() }));
    }
    Ok(outgoing)
}

fn may_be_invited(txn: &Txn<'_>, device: &RoomDevice, options: &SqliteOptions) -> Result<bool, StoreError> {
    let Some(row) = DeviceRow::of(txn, &device.account, device.device)? else { return Ok(false) };
    let sql = "SELECT count(*) FROM room_members WHERE device = ?1 AND state = 0";
    Ok(count(txn, sql, [row.device])? < options.invitations_per_device)
}

/// The room as the commit leaves it.
fn carry_out(
    txn: &Txn<'_>,
    room: &Room,
    new: &NewCommit,
    change: &Change,
    seq: u64,
    state: u8,
) -> Result<(), StoreError> {
    let delta = &new.delta;
    for row in &change.removed {
        remove_member(txn, room.row, row.device, seq, new.now)?;
    }
    for (_, row) in &change.added {
        // An invited device holds the entry with its Welcome until it has joined.
        let cursor = if state == INVITED { seq - 1 } else { seq };
        put_member(txn, room.row, *row, state, seq, cursor)?;
    }
    bans(txn, room.row, &delta.banned, &delta.unbanned)?;
    relist(txn, room.row, &delta.listing)?;
    if let Some(group_info) = &new.group_info {
        objects::put(txn, room.row, 0, Kind::GroupInfo, group_info)?;
    }
    let owner_key = delta.owner_key.as_ref().map_or(room.owner_key, |new| *new.key);
    cached(txn, "UPDATE rooms SET epoch = ?2, owner_key = ?3 WHERE id = ?1")?.execute(params![
        room.row,
        int(new.epoch + 1),
        owner_key
    ])?;
    Ok(())
}

fn bans(txn: &Txn<'_>, room: i64, banned: &[Username], unbanned: &[Username]) -> Result<(), StoreError> {
    for account in unbanned {
        cached(txn, "DELETE FROM room_bans WHERE room = ?1 AND account = ?2")?
            .execute(params![room, account.as_str()])?;
    }
    for account in banned {
        cached(txn, "INSERT OR IGNORE INTO room_bans (room, account) VALUES (?1, ?2)")?
            .execute(params![room, account.as_str()])?;
    }
    Ok(())
}

fn relist(txn: &Txn<'_>, room: i64, change: &ListingChange) -> Result<(), StoreError> {
    match change {
        ListingChange::Keep => Ok(()),
        ListingChange::Set(listing) => put_listing(txn, room, listing),
        ListingChange::Remove => {
            cached(txn, "DELETE FROM room_listings WHERE room = ?1")?.execute([room])?;
            objects::delete_group_info(txn, room)
        }
    }
}

/// Puts the invitations into mailboxes; answers those that were not there before.
fn deliver(
    txn: &Txn<'_>,
    deposits: &[(&RoomDevice, Deposit<'_>)],
    new: &NewCommit,
    options: &SqliteOptions,
) -> Result<Vec<(RoomDevice, MailboxEnvelope)>, StoreError> {
    let mut fresh = Vec::new();
    for (device, deposit) in deposits {
        if let Some(pushed) = mailbox::deposit(txn, deposit, new.now, options)? {
            fresh.push(((*device).clone(), pushed));
        }
    }
    Ok(fresh)
}

pub(in crate::store::sqlite) fn reboot(
    txn: &Txn<'_>,
    new: &NewReboot,
    options: &SqliteOptions,
) -> Refused<Posted> {
    let asked = &new.reboot;
    let Some(from) = DeviceRow::of_sender(txn, &new.sender)? else {
        return Ok(Err(RoomRefusal::SenderGone));
    };
    let Some(mut room) = Room::of(txn, asked.room)? else { return Ok(Err(RoomRefusal::Unknown)) };
    let Some(_) = Member::of(txn, room.row, from.device)? else {
        return Ok(Err(room.closed_to(txn, &new.sender.account, false)?));
    };
    if let Some(first) = log::repeated(txn, &room, asked.id)? {
        return Ok(Ok(first));
    }
    if asked.generation != room.generation {
        return Ok(Ok(Posted::Passed { generation: room.generation, epoch: room.epoch }));
    }
    if new.owner_key != room.owner_key {
        return Ok(Err(RoomRefusal::OwnerKey));
    }
    if let Some(refusal) = refused_listing(txn, &room, &asked.listing, new.group_info.is_some())? {
        return Ok(Err(refusal));
    }
    let mut roster = Vec::new();
    for device in asked.roster.iter() {
        let row = DeviceRow::of(txn, &device.account, device.device)?;
        let there = row.map(|row| Member::of(txn, room.row, row.device)).transpose()?.flatten();
        // Who is not there left its account's list meanwhile, or the room.
        if let (Some(row), Some(member)) = (row, there) {
            roster.push((row, member));
        }
    }
    if !roster.iter().any(|(row, _)| row.device == from.device) {
        return Ok(Err(RoomRefusal::Malformed("who reboots a room is in it")));
    }
    // Nothing is refused from here on.
    let seq = room.next_seq;
    let welcome = match &new.welcome {
        None => None,
        Some(welcome) => Some(objects::put(txn, room.row, seq, Kind::Reboot, welcome)?),
    };
    let notice = RebootNotice {
        generation: asked.new_generation,
        epoch: asked.epoch,
        welcome,
        group_info: asked.group_info,
        state_hash: new.state_hash,
        signature: ByteArray::new(*asked.signature),
    };
    let incoming = Incoming {
        id: asked.id,
        kind: EntryKind::Reboot,
        generation: asked.generation,
        epoch: room.epoch,
        body: EntryBody::Reboot(notice),
        delta: None,
        beside: welcome.map_or(0, |welcome| u64::from(welcome.size)),
        now: new.now,
    };
    let entry = log::append(txn, &mut room, incoming, options)?;
    // Everybody out, then those of the new group in again.
    cached(txn, "DELETE FROM room_members WHERE room = ?1 AND state = 0 AND device NOT IN (SELECT value FROM json_each(?2))")?
        .execute(params![room.row, rows_as_json(&roster)])?;
    let sql = "UPDATE room_members SET state = 2, until = ?2, removed_at = ?3 WHERE room = ?1 AND state = 1";
    cached(txn, sql)?.execute(params![room.row, int(seq), int(new.now)])?;
    for (row, member) in &roster {
        let state = if member.state == INVITED { INVITED } else { JOINED };
        put_member(txn, room.row, *row, state, member.since, member.cursor)?;
    }
    cached(txn, "DELETE FROM room_bans WHERE room = ?1")?.execute([room.row])?;
    bans(txn, room.row, &asked.banned, &[])?;
    relist(txn, room.row, &asked.listing)?;
    if let Some(group_info) = &new.group_info {
        objects::put(txn, room.row, 0, Kind::GroupInfo, group_info)?;
    }
    cached(txn, "UPDATE rooms SET generation = ?2, epoch = ?3 WHERE id = ?1")?.execute(params![
        room.row,
        asked.new_generation,
        int(asked.epoch)
    ])?;
    Ok(Ok(Posted::Accepted(Box::new(Accepted {
        seq,
        accepted_at: new.now,
        fresh: Some(entry),
        envelopes: Vec::new(),
        uninvited: Vec::new(),
        joined: false,
    }))))
}

fn rows_as_json(roster: &[(DeviceRow, Member)]) -> String {
    let rows: Vec<String> = roster.iter().map(|(row, _)| row.device.to_string()).collect();
    format!("[{}]", rows.join(","))
}
