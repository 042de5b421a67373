//! Prekeys in, bundles out.

use rusqlite::{Connection, params};
use serde_bytes::ByteArray;
use subrosa_protocol::{
    DeviceId, Username,
    frames::{DeviceBundle, PrekeyCounts},
};

use super::{Txn, accounts, devices};
use crate::store::{
    Claim, ClaimedBundle, NewPrekey, NewPrekeys, PrekeyRefill, StoreError, Uploaded,
    sqlite::rows::{cached, damaged, fixed, optional, scalar},
};

/// One-time prekeys of one kind that a device may have stored: two full sets (R36), since a refill may cross a claim.
const STORED_MAX: u32 = 200;

/// The kinds, numbered as inside the prekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signed = 1,
    OneTime = 2,
    LastResort = 3,
    Kem = 4,
}

/// About the bytes of a new device's prekeys.
pub(in crate::store::sqlite) const fn bytes(prekeys: &NewPrekeys) -> usize {
    1536 + prekeys.one_time.len() * 128 + prekeys.kem.len() * 1280
}

/// A new device's prekeys. Of two with one number the first stays.
pub(super) fn insert(txn: &Txn<'_>, device: i64, prekeys: &NewPrekeys) -> Result<(), StoreError> {
    add_all(txn, device, Kind::Signed, std::slice::from_ref(&prekeys.signed))?;
    add_all(txn, device, Kind::LastResort, std::slice::from_ref(&prekeys.last_resort))?;
    add_all(txn, device, Kind::OneTime, &prekeys.one_time)?;
    add_all(txn, device, Kind::Kem, &prekeys.kem)
}

pub(in crate::store::sqlite) fn upload(txn: &Txn<'_>, refill: &PrekeyRefill) -> Result<Uploaded, StoreError> {
    let Some(device) = devices::id(txn, &refill.account, refill.device)? else {
        return Ok(Uploaded::NotFound);
    };
    let plans = (
        plan(txn, device, Kind::Signed, refill.signed.as_slice())?,
        plan(txn, device, Kind::LastResort, refill.last_resort.as_slice())?,
        plan(txn, device, Kind::OneTime, &refill.one_time)?,
        plan(txn, device, Kind::Kem, &refill.kem)?,
    );
    let (Some(signed), Some(last_resort), Some(one_time), Some(kem)) = plans else {
        return Ok(Uploaded::Conflict);
    };
    let now = counts(txn, device)?;
    let room = |stored: u32, added: usize| added as u64 + u64::from(stored) <= u64::from(STORED_MAX);
    if !room(now.one_time, one_time.len()) || !room(now.kem, kem.len()) {
        return Ok(Uploaded::TooMany);
    }
    replace(txn, device, Kind::Signed, &signed)?;
    replace(txn, device, Kind::LastResort, &last_resort)?;
    add_all(txn, device, Kind::OneTime, &one_time)?;
    add_all(txn, device, Kind::Kem, &kem)?;
    Ok(Uploaded::Done(counts(txn, device)?))
}

pub(in crate::store::sqlite) fn claim(
    txn: &Txn<'_>,
    claim: &Claim,
) -> Result<Option<Vec<ClaimedBundle>>, StoreError> {
    if accounts::id(txn, &claim.account)?.is_none() {
        return Ok(None);
    }
    let mut asked = claim.devices.clone();
    asked.sort_unstable();
    asked.dedup();
    let mut bundles = Vec::new();
    for device in asked {
        if let Some(id) = devices::id(txn, &claim.account, device)? {
            bundles.push(bundle(txn, id, device, claim.leave)?);
        }
    }
    Ok(Some(bundles))
}

/// One-time prekeys left of a device row.
pub(super) fn counts(conn: &Connection, device: i64) -> Result<PrekeyCounts, StoreError> {
    let count = |kind: Kind| {
        let sql = "SELECT count(*) FROM prekeys WHERE device = ?1 AND kind = ?2";
        Ok::<u32, StoreError>(scalar(conn, sql, params![device, kind as u8])?.unwrap_or(0))
    };
    Ok(PrekeyCounts { one_time: count(Kind::OneTime)?, kem: count(Kind::Kem)? })
}

pub(in crate::store::sqlite) fn counts_of(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
) -> Result<Option<PrekeyCounts>, StoreError> {
    devices::id(conn, account, device)?.map(|id| counts(conn, id)).transpose()
}

fn bundle(txn: &Txn<'_>, id: i64, device: DeviceId, leave: u32) -> Result<ClaimedBundle, StoreError> {
    let before = counts(txn, id)?;
    let one_time = if before.one_time > leave { draw(txn, id, Kind::OneTime)? } else { None };
    let kem = if before.kem > leave { draw(txn, id, Kind::Kem)? } else { None };
    let kem = match kem {
        Some(kem) => kem,
        None => {
            lowest(txn, id, Kind::LastResort)?
                .ok_or_else(|| damaged("a device without a last-resort prekey"))?
                .1
        }
    };
    let signed = lowest(txn, id, Kind::Signed)?.ok_or_else(|| damaged("a device without a signed prekey"))?.1;
    let bundle = DeviceBundle {
        device,
        signed: ByteArray::new(signed),
        one_time: one_time.map(ByteArray::new),
        kem: ByteArray::new(kem),
    };
    Ok(ClaimedBundle { bundle, left: counts(txn, id)? })
}

/// Takes the one-time prekey with the lowest number out for good.
fn draw<const N: usize>(txn: &Txn<'_>, device: i64, kind: Kind) -> Result<Option<[u8; N]>, StoreError> {
    let Some((key_id, bytes)) = lowest(txn, device, kind)? else { return Ok(None) };
    cached(txn, "DELETE FROM prekeys WHERE device = ?1 AND kind = ?2 AND key_id = ?3")?
        .execute(params![device, kind as u8, key_id])?;
    Ok(Some(bytes))
}

fn lowest<const N: usize>(
    conn: &Connection,
    device: i64,
    kind: Kind,
) -> Result<Option<(u32, [u8; N])>, StoreError> {
    let sql = "SELECT key_id, bytes FROM prekeys WHERE device = ?1 AND kind = ?2 ORDER BY key_id LIMIT 1";
    optional(&mut *cached(conn, sql)?, params![device, kind as u8], |row| Ok((row.get(0)?, fixed(row, 1)?)))
}

/// Which of these prekeys are new, ascending by number. `None` when a number stands for two different prekeys.
fn plan<const N: usize>(
    txn: &Txn<'_>,
    device: i64,
    kind: Kind,
    offered: &[NewPrekey<ByteArray<N>>],
) -> Result<Option<Vec<NewPrekey<ByteArray<N>>>>, StoreError> {
    let mut offered = offered.to_vec();
    offered.sort_by_key(|prekey| prekey.key_id);
    offered.dedup();
    if offered.is_sorted_by(|a, b| a.key_id < b.key_id) {
        let mark = mark(txn, device, kind)?;
        let sql = "SELECT bytes FROM prekeys WHERE device = ?1 AND kind = ?2 AND key_id = ?3";
        let mut statement = cached(txn, sql)?;
        for known in offered.iter().filter(|prekey| i64::from(prekey.key_id) <= mark) {
            let params = params![device, kind as u8, known.key_id];
            let stored = optional(&mut statement, params, |row| fixed::<N>(row, 0))?;
            if stored.is_some_and(|stored| stored != *known.bytes) {
                return Ok(None);
            }
        }
        offered.retain(|prekey| i64::from(prekey.key_id) > mark);
        return Ok(Some(offered));
    }
    Ok(None)
}

/// Puts new prekeys in the place of those before; with none, nothing changes.
fn replace<const N: usize>(
    txn: &Txn<'_>,
    device: i64,
    kind: Kind,
    prekeys: &[NewPrekey<ByteArray<N>>],
) -> Result<(), StoreError> {
    if !prekeys.is_empty() {
        cached(txn, "DELETE FROM prekeys WHERE device = ?1 AND kind = ?2")?
            .execute(params![device, kind as u8])?;
    }
    add_all(txn, device, kind, prekeys)
}

fn add_all<const N: usize>(
    txn: &Txn<'_>,
    device: i64,
    kind: Kind,
    prekeys: &[NewPrekey<ByteArray<N>>],
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO prekeys (device, kind, key_id, bytes) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let mut statement = cached(txn, sql)?;
    for prekey in prekeys {
        statement.execute(params![device, kind as u8, prekey.key_id, &prekey.bytes[..]])?;
    }
    if let Some(highest) = prekeys.iter().map(|prekey| prekey.key_id).max() {
        let sql = "INSERT INTO prekey_marks (device, kind, highest) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET highest = max(highest, excluded.highest)";
        cached(txn, sql)?.execute(params![device, kind as u8, highest])?;
    }
    Ok(())
}

/// The greatest number accepted of a kind; -1 before the first.
fn mark(conn: &Connection, device: i64, kind: Kind) -> Result<i64, StoreError> {
    let sql = "SELECT highest FROM prekey_marks WHERE device = ?1 AND kind = ?2";
    Ok(scalar(conn, sql, params![device, kind as u8])?.unwrap_or(-1))
}
