//! Devices and the signed lists that name them.

use rusqlite::{Connection, Row, params};
use serde_bytes::ByteArray;
use subrosa_protocol::{BoundedBytes, DeviceId, Username, frames::SignedList};

use super::{Txn, accounts, mailbox, prekeys};
use crate::store::{
    DeviceAddition, DeviceListPage, DeviceState, ListVersion, NewDevice, Published, StoreError, Timestamp,
    sqlite::rows::{cached, damaged, device_id, fixed, int, nat, optional, scalar},
};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// A device's row.
pub(super) fn id(conn: &Connection, account: &Username, device: DeviceId) -> Result<Option<i64>, StoreError> {
    let sql =
        "SELECT d.id FROM accounts a JOIN devices d ON d.account = a.id WHERE a.name = ?1 AND d.device = ?2";
    scalar(conn, sql, params![account.as_str(), device.get()])
}

pub(super) fn insert(
    txn: &Txn<'_>,
    account: i64,
    device: &NewDevice,
    now: Timestamp,
) -> Result<(), StoreError> {
    cached(txn, "INSERT INTO devices (account, device, signing_key, last_seen_day) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![account, device.device.get(), device.signing_key, int(now / DAY_MS)])?;
    prekeys::insert(txn, txn.last_insert_rowid(), &device.prekeys)?;
    cached(txn, "UPDATE accounts SET highest_device = ?2 WHERE id = ?1")?
        .execute(params![account, device.device.get()])?;
    Ok(())
}

pub(super) fn insert_list(txn: &Txn<'_>, account: i64, list: &ListVersion) -> Result<(), StoreError> {
    let devices: Vec<u8> = list.devices.iter().flat_map(|device| device.get().to_le_bytes()).collect();
    let sql =
        "INSERT INTO device_lists (account, version, devices, bytes, signature) VALUES (?1, ?2, ?3, ?4, ?5)";
    let signed = &list.signed;
    cached(txn, sql)?.execute(params![
        account,
        int(list.version),
        devices,
        &*signed.bytes,
        &signed.signature[..]
    ])?;
    Ok(())
}

pub(in crate::store::sqlite) fn add(
    txn: &Txn<'_>,
    addition: &DeviceAddition,
) -> Result<Published, StoreError> {
    let Some(current) = Current::of(txn, &addition.account)? else { return Ok(Published::NotFound) };
    let number = addition.device.device;
    let rest: Vec<DeviceId> =
        addition.list.devices.iter().copied().filter(|device| *device != number).collect();
    let names_it_once = rest.len() + 1 == addition.list.devices.len();
    if !names_it_once
        || number.get() <= current.highest_device
        || !current.precedes(addition.list.version, &rest)
    {
        return Ok(Published::Conflict);
    }
    let removed = current.replace(txn, &addition.list)?;
    insert(txn, current.account, &addition.device, addition.now)?;
    Ok(Published::Done { removed })
}

pub(in crate::store::sqlite) fn publish(
    txn: &Txn<'_>,
    account: &Username,
    list: &ListVersion,
) -> Result<Published, StoreError> {
    let Some(current) = Current::of(txn, account)? else { return Ok(Published::NotFound) };
    if !current.precedes(list.version, &list.devices) {
        return Ok(Published::Conflict);
    }
    Ok(Published::Done { removed: current.replace(txn, list)? })
}

pub(in crate::store::sqlite) fn touch(
    txn: &Txn<'_>,
    account: &Username,
    device: DeviceId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let Some(id) = id(txn, account, device)? else { return Ok(false) };
    let sql = "UPDATE devices SET last_seen_day = ?2 WHERE id = ?1 AND last_seen_day < ?2";
    cached(txn, sql)?.execute(params![id, int(now / DAY_MS)])?;
    Ok(true)
}

pub(in crate::store::sqlite) fn state(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
) -> Result<Option<DeviceState>, StoreError> {
    let sql = "SELECT d.id, d.signing_key, d.generation, d.last_seen_day, d.next_seq, a.list_version
               FROM accounts a JOIN devices d ON d.account = a.id WHERE a.name = ?1 AND d.device = ?2";
    optional(&mut *cached(conn, sql)?, params![account.as_str(), device.get()], |row| {
        Ok(DeviceState {
            signing_key: fixed(row, 1)?,
            generation: nat(row, 2)?,
            last_seen: nat(row, 3)?.saturating_mul(DAY_MS),
            next_seq: nat(row, 4)?,
            list_version: nat(row, 5)?,
            prekeys: prekeys::counts(conn, row.get(0)?)?,
        })
    })
}

pub(in crate::store::sqlite) fn lists(
    conn: &Connection,
    account: &Username,
    since: u64,
    max: usize,
) -> Result<Option<DeviceListPage>, StoreError> {
    let sql = "SELECT id, display_name FROM accounts WHERE name = ?1";
    let found = optional(&mut *cached(conn, sql)?, [account.as_str()], |row| {
        Ok((row.get::<_, i64>(0)?, accounts::display_name(row.get(1)?)?))
    })?;
    let Some((id, display_name)) = found else { return Ok(None) };
    let sql = "SELECT bytes, signature FROM device_lists WHERE account = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![id, int(since), int(max as u64).saturating_add(1)])?;
    let mut lists = Vec::new();
    while let Some(row) = rows.next()? {
        if lists.len() == max {
            return Ok(Some(DeviceListPage { lists, more: true, display_name }));
        }
        lists.push(signed_list(row, 0)?);
    }
    Ok(Some(DeviceListPage { lists, more: false, display_name }))
}

/// The devices that a list version named; none when there is no such version.
pub(super) fn named_in(conn: &Connection, account: i64, version: u64) -> Result<Vec<DeviceId>, StoreError> {
    let sql = "SELECT devices FROM device_lists WHERE account = ?1 AND version = ?2";
    let found = optional(&mut *cached(conn, sql)?, params![account, int(version)], |row| {
        numbers(row.get_ref(0)?.as_blob().map_err(|_| damaged("a device list"))?)
    })?;
    Ok(found.unwrap_or_default())
}

/// Device numbers out of a column `devices`.
pub(super) fn numbers(bytes: &[u8]) -> Result<Vec<DeviceId>, StoreError> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(damaged("a device list"));
    }
    chunks.iter().map(|number| device_id(u32::from_le_bytes(*number))).collect()
}

/// A signed list out of the columns `bytes` and `signature`, the first of which is `column`.
pub(super) fn signed_list(row: &Row<'_>, column: usize) -> Result<SignedList, StoreError> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| damaged("a device list"))?;
    Ok(SignedList {
        bytes: BoundedBytes::new(bytes).map_err(|_| damaged("a device list"))?,
        signature: ByteArray::new(fixed(row, column + 1)?),
    })
}

/// An account's current list, about to be replaced.
struct Current {
    account: i64,
    version: u64,
    highest_device: u32,
    /// Number and row.
    devices: Vec<(DeviceId, i64)>,
}

impl Current {
    fn of(txn: &Txn<'_>, account: &Username) -> Result<Option<Self>, StoreError> {
        let sql = "SELECT id, list_version, highest_device FROM accounts WHERE name = ?1";
        let found = optional(&mut *cached(txn, sql)?, [account.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, nat(row, 1)?, row.get::<_, u32>(2)?))
        })?;
        let Some((account, version, highest_device)) = found else { return Ok(None) };
        let mut statement = cached(txn, "SELECT device, id FROM devices WHERE account = ?1 ORDER BY device")?;
        let mut rows = statement.query([account])?;
        let mut devices = Vec::new();
        while let Some(row) = rows.next()? {
            devices.push((device_id(row.get(0)?)?, row.get(1)?));
        }
        Ok(Some(Self { account, version, highest_device, devices }))
    }

    /// Whether a list of this version that keeps these devices may follow.
    fn precedes(&self, version: u64, kept: &[DeviceId]) -> bool {
        let known = |device: &DeviceId| self.devices.iter().any(|(number, _)| number == device);
        Some(version) == self.version.checked_add(1) && kept.iter().all(known)
    }

    /// Makes the list current, and removes the devices that it leaves out with all they have.
    fn replace(&self, txn: &Txn<'_>, list: &ListVersion) -> Result<Vec<DeviceId>, StoreError> {
        insert_list(txn, self.account, list)?;
        cached(txn, "UPDATE accounts SET list_version = ?2 WHERE id = ?1")?
            .execute(params![self.account, int(list.version)])?;
        let mut removed = Vec::new();
        for (number, id) in &self.devices {
            if !list.devices.contains(number) {
                mailbox::delete_up_to(txn, *id, u64::MAX)?;
                // Prekeys, their marks and remembered ids go with it.
                cached(txn, "DELETE FROM devices WHERE id = ?1")?.execute([id])?;
                removed.push(*number);
            }
        }
        Ok(removed)
    }
}
