//! The mailboxes that the writing thread has at hand: rows of table `devices` as they are now, with what is young, that is
//! durable in the journal and not yet folded into the database.
//!
//! One thread writes the database, so it may remember them: a row is read when a device is first seen, and written when
//! everything young is folded in. A write that changes `devices` by itself comes after a fold, and every row is forgotten
//! then.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use rusqlite::{Connection, Row as SqlRow, params};
use subrosa_protocol::{DeviceId, EnvelopeId, Username, frames::MailboxEnvelope};

use super::{
    ids::{IdKey, Ids},
    rows::{cached, damaged, device_id, nat, optional},
    young::Young,
};
use crate::store::{StoreError, Timestamp};

/// A device's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mailbox {
    /// The row's id.
    pub(super) device: i64,
    /// The version of its account's device list.
    pub(super) list_version: u64,
    /// The highest state generation that the device reported (R23).
    pub(super) generation: u64,
    /// The place of the next envelope.
    pub(super) next_seq: u64,
    /// Envelopes that wait.
    pub(super) pending: u64,
    /// Their sealed bytes.
    pub(super) pending_bytes: u64,
    /// Everything up to here is gone, although the database may still have it; 0: the database has it right.
    pub(super) acknowledged: u64,
    /// Envelopes that wait in the database.
    pub(super) old_pending: u64,
    /// Their sealed bytes.
    pub(super) old_bytes: u64,
}

/// Names a row at hand, until the next [`Mailboxes::forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

/// The rows at hand.
#[derive(Debug)]
pub(super) struct Mailboxes {
    places: HashMap<Username, Vec<(DeviceId, Place)>>,
    by_row: HashMap<i64, Place>,
    rows: Vec<Row>,
    /// Rows that differ from the database.
    young: Vec<Place>,
    /// Rows as they were before the group that is being decided.
    saved: Vec<(Place, Saved)>,
    /// Counts groups.
    group: u64,
    /// Young envelopes that wait, and their sealed bytes.
    waiting: (usize, usize),
    pub(super) key: IdKey,
    /// Ids of a mailbox that are remembered, the newest.
    kept: u64,
}

/// A row at hand.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) account: Username,
    pub(super) number: DeviceId,
    pub(super) mailbox: Mailbox,
    /// The first place that is not in the database.
    pub(super) old_next: u64,
    /// Ids and times of the places from there on.
    pub(super) fresh: Vec<(EnvelopeId, Timestamp)>,
    /// Sealed bytes of the envelopes of the places from `sizes_from` on.
    sizes: VecDeque<u32>,
    sizes_from: u64,
    /// Envelopes of the group that is being decided.
    staged: Vec<Arc<MailboxEnvelope>>,
    /// Where remembered ids may be; `None` until it is needed.
    pub(super) ids: Option<Ids>,
    /// The last group that changed it.
    used: u64,
    is_young: bool,
}

#[derive(Debug, Clone, Copy)]
struct Saved {
    mailbox: Mailbox,
    fresh: usize,
    sizes: usize,
}

impl Row {
    /// Sealed bytes of the young envelopes behind what is acknowledged up to a place.
    pub(super) fn young_bytes(&self, up_to: u64) -> (u64, u64) {
        let from = self.mailbox.acknowledged.saturating_add(1).max(self.sizes_from);
        let skip = usize::try_from(from - self.sizes_from).unwrap_or(usize::MAX);
        let take = usize::try_from(up_to.saturating_add(1).saturating_sub(from)).unwrap_or(usize::MAX);
        let sizes = self.sizes.iter().skip(skip).take(take);
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + u64::from(*size)))
    }
}

impl Mailboxes {
    /// None, for mailboxes of which so many ids are remembered.
    pub(super) fn new(key: IdKey, kept: u64) -> Self {
        Self {
            places: HashMap::new(),
            by_row: HashMap::new(),
            rows: Vec::new(),
            young: Vec::new(),
            saved: Vec::new(),
            group: 1,
            waiting: (0, 0),
            key,
            kept,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A device's place; `None` when there is no such device.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        account: &Username,
        device: DeviceId,
    ) -> Result<Option<Place>, StoreError> {
        let known = self.places.get(account).and_then(|of| of.iter().find(|(number, _)| *number == device));
        if let Some((_, place)) = known {
            return Ok(Some(*place));
        }
        Ok(read(conn, account, device)?.map(|mailbox| self.add(account.clone(), device, mailbox)))
    }

    /// The place of a device's row, by the row's id; `None` when there is no such row.
    pub(super) fn find_row(&mut self, conn: &Connection, device: i64) -> Result<Option<Place>, StoreError> {
        if let Some(place) = self.by_row.get(&device) {
            return Ok(Some(*place));
        }
        let sql = "SELECT d.id, a.list_version, d.generation, d.next_seq, d.pending, d.pending_bytes, a.name, d.device
                   FROM accounts a JOIN devices d ON d.account = a.id WHERE d.id = ?1";
        let found = optional(&mut *cached(conn, sql)?, [device], |row| {
            let account =
                Username::new(row.get::<_, String>(6)?).map_err(|_| damaged("an account's name"))?;
            Ok((account, device_id(row.get(7)?)?, mailbox(row)?))
        })?;
        Ok(found.map(|(account, number, mailbox)| self.add(account, number, mailbox)))
    }

    fn add(&mut self, account: Username, number: DeviceId, mailbox: Mailbox) -> Place {
        let place = Place(self.rows.len());
        self.places.entry(account.clone()).or_default().push((number, place));
        self.by_row.insert(mailbox.device, place);
        self.rows.push(Row {
            account,
            number,
            mailbox,
            old_next: mailbox.next_seq,
            fresh: Vec::new(),
            sizes: VecDeque::new(),
            sizes_from: mailbox.next_seq,
            staged: Vec::new(),
            ids: None,
            used: 0,
            is_young: false,
        });
        place
    }

    /// The row at a place.
    pub(super) fn at(&self, place: Place) -> Result<&Row, StoreError> {
        self.rows.get(place.0).ok_or_else(lost)
    }

    /// The row at a place, to change what is not part of a decision.
    pub(super) fn at_mut(&mut self, place: Place) -> Result<&mut Row, StoreError> {
        self.rows.get_mut(place.0).ok_or_else(lost)
    }

    /// The row at a place, to change it; it can be had back as it was until the group is settled.
    fn change(&mut self, place: Place) -> Result<&mut Row, StoreError> {
        let row = self.rows.get_mut(place.0).ok_or_else(lost)?;
        if row.used != self.group {
            let saved = Saved { mailbox: row.mailbox, fresh: row.fresh.len(), sizes: row.sizes.len() };
            self.saved.push((place, saved));
        }
        row.used = self.group;
        if !std::mem::replace(&mut row.is_young, true) {
            self.young.push(place);
        }
        Ok(row)
    }

    /// Puts an envelope at the mailbox's next place.
    pub(super) fn push(&mut self, place: Place, envelope: Arc<MailboxEnvelope>) -> Result<(), StoreError> {
        let (hash, kept) = (self.key.hash(&envelope.id), self.kept);
        let row = self.change(place)?;
        let (seq, size) = (row.mailbox.next_seq, envelope.sealed.len() as u64);
        row.fresh.push((envelope.id, envelope.accepted_at));
        row.sizes.push_back(u32::try_from(size).unwrap_or(u32::MAX));
        if let Some(ids) = &mut row.ids {
            ids.insert(hash, seq, seq, |place| place.saturating_add(kept) >= seq);
        }
        row.mailbox.next_seq += 1;
        row.mailbox.pending += 1;
        row.mailbox.pending_bytes += size;
        row.staged.push(envelope);
        Ok(())
    }

    /// Everything up to a place is gone: of the database so many envelopes with so many bytes, and the young ones. Answers
    /// how many in all.
    pub(super) fn acknowledge(
        &mut self,
        place: Place,
        up_to: u64,
        (old, old_bytes): (u64, u64),
    ) -> Result<u64, StoreError> {
        let row = self.at(place)?;
        let (count, bytes) = row.young_bytes(up_to);
        let mailbox = row.mailbox;
        let less =
            |whole: u64, part: u64| whole.checked_sub(part).ok_or_else(|| damaged("a mailbox's counters"));
        let after = Mailbox {
            acknowledged: mailbox.acknowledged.max(up_to),
            pending: less(mailbox.pending, old + count)?,
            pending_bytes: less(mailbox.pending_bytes, old_bytes + bytes)?,
            old_pending: less(mailbox.old_pending, old)?,
            old_bytes: less(mailbox.old_bytes, old_bytes)?,
            ..mailbox
        };
        self.change(place)?.mailbox = after;
        Ok(old + count)
    }

    /// Raises the generation at a place; answers the highest, and whether it was lower.
    pub(super) fn raise(&mut self, place: Place, generation: u64) -> Result<(u64, bool), StoreError> {
        let before = self.at(place)?.mailbox.generation;
        // What the column can hold.
        let generation = before.max(generation.min(i64::MAX as u64));
        if generation > before {
            self.change(place)?.mailbox.generation = generation;
        }
        Ok((generation, generation > before))
    }

    /// A new group begins.
    pub(super) fn begin(&mut self) {
        self.group += 1;
        self.saved.clear();
    }

    /// Nothing of the group has happened.
    pub(super) fn undo(&mut self) {
        for (place, saved) in std::mem::take(&mut self.saved).into_iter().rev() {
            if let Some(row) = self.rows.get_mut(place.0) {
                row.mailbox = saved.mailbox;
                row.fresh.truncate(saved.fresh);
                row.sizes.truncate(saved.sizes);
                row.staged.clear();
            }
        }
    }

    /// The group is durable: readers see it.
    pub(super) fn publish(&mut self, young: &Young) {
        if self.saved.is_empty() {
            return;
        }
        let mut held = young.hold();
        let (mut count, mut bytes) = self.waiting;
        for (place, _) in self.saved.drain(..) {
            let Some(row) = self.rows.get_mut(place.0) else { continue };
            count += row.staged.len();
            bytes += row.staged.iter().map(|envelope| envelope.sealed.len()).sum::<usize>();
            while row.sizes_from <= row.mailbox.acknowledged
                && let Some(size) = row.sizes.pop_front()
            {
                row.sizes_from += 1;
                count = count.saturating_sub(1);
                bytes = bytes.saturating_sub(usize::try_from(size).unwrap_or(0));
            }
            let Mailbox { acknowledged, next_seq, generation, .. } = row.mailbox;
            if let Some(part) = held.part(&row.account, row.number) {
                part.envelopes.extend(row.staged.drain(..));
                part.update(acknowledged, next_seq, generation);
            }
        }
        self.waiting = (count, bytes);
    }

    /// Young envelopes that wait, and their sealed bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        self.waiting
    }

    /// Whether any row differs from the database.
    pub(super) fn is_young(&self) -> bool {
        !self.young.is_empty()
    }

    /// The rows that differ from the database, by their ids.
    pub(super) fn young_rows(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.young.iter().filter_map(|place| self.rows.get(place.0)).collect();
        rows.sort_unstable_by_key(|row| row.mailbox.device);
        rows
    }

    /// The young rows stand in the database now. Indexes beyond so many bytes are dropped, those first that were not used
    /// for longest.
    pub(super) fn folded(&mut self, index_bytes: usize) {
        for place in std::mem::take(&mut self.young) {
            let Some(row) = self.rows.get_mut(place.0) else { continue };
            row.mailbox.acknowledged = 0;
            row.mailbox.old_pending = row.mailbox.pending;
            row.mailbox.old_bytes = row.mailbox.pending_bytes;
            row.old_next = row.mailbox.next_seq;
            row.fresh.clear();
            row.fresh.shrink_to(64);
            row.sizes.clear();
            row.sizes.shrink_to(64);
            row.sizes_from = row.mailbox.next_seq;
            row.is_young = false;
        }
        self.waiting = (0, 0);
        let bytes = |row: &Row| row.ids.as_ref().map_or(0, Ids::bytes);
        let mut all: usize = self.rows.iter().map(bytes).sum();
        if all > index_bytes {
            let mut oldest: Vec<&mut Row> = self.rows.iter_mut().filter(|row| row.ids.is_some()).collect();
            oldest.sort_unstable_by_key(|row| row.used);
            for row in oldest {
                if all <= index_bytes / 4 * 3 {
                    break;
                }
                all -= bytes(row);
                row.ids = None;
            }
        }
    }

    /// Forgets every row; nothing may be young.
    pub(super) fn forget(&mut self) {
        self.places.clear();
        self.by_row.clear();
        self.rows.clear();
        self.young.clear();
        self.saved.clear();
    }
}

/// A device's row as the database has it.
pub(super) fn read(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
) -> Result<Option<Mailbox>, StoreError> {
    let sql = "SELECT d.id, a.list_version, d.generation, d.next_seq, d.pending, d.pending_bytes
               FROM accounts a JOIN devices d ON d.account = a.id WHERE a.name = ?1 AND d.device = ?2";
    optional(&mut *cached(conn, sql)?, params![account.as_str(), device.get()], mailbox)
}

fn mailbox(row: &SqlRow<'_>) -> Result<Mailbox, StoreError> {
    let (pending, pending_bytes) = (nat(row, 4)?, nat(row, 5)?);
    Ok(Mailbox {
        device: row.get(0)?,
        list_version: nat(row, 1)?,
        generation: nat(row, 2)?,
        next_seq: nat(row, 3)?,
        pending,
        pending_bytes,
        acknowledged: 0,
        old_pending: pending,
        old_bytes: pending_bytes,
    })
}

fn lost() -> StoreError {
    StoreError::Failed("a mailbox was forgotten too early".to_owned())
}
