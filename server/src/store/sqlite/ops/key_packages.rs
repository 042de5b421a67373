//! KeyPackages in, one for each who adds a device out.

use rusqlite::{Connection, params};
use subrosa_protocol::{
    BoundedBytes, BoundedVec, DeviceId, Username,
    frames::{ClaimedKeyPackage, KeyPackageBytes, KeyPackageCounts, NewKeyPackage, SuiteCount},
    limits::{KEY_PACKAGES, KEY_PACKAGES_LOW, SUITES},
};

use super::{Txn, accounts, devices};
use crate::store::{
    ClaimedPackage, KeyPackageClaims, KeyPackageRefill, KeyPackagesUploaded, StoreError, Timestamp,
    sqlite::rows::{cached, damaged, int, optional, scalar},
};

/// KeyPackages of one suite that a device may have stored: two full sets, since a refill may cross a claim.
const STORED_MAX: usize = 2 * KEY_PACKAGES;

pub(in crate::store::sqlite) fn upload(
    txn: &Txn<'_>,
    refill: &KeyPackageRefill,
) -> Result<KeyPackagesUploaded, StoreError> {
    let Some(device) = devices::id(txn, &refill.account, refill.device)? else {
        return Ok(KeyPackagesUploaded::NotFound);
    };
    let sql = "SELECT highest FROM key_package_marks WHERE device = ?1 AND suite = ?2";
    let mark = scalar::<i64>(txn, sql, params![device, refill.suite])?;
    if mark.is_none() {
        let suites: i64 =
            scalar(txn, "SELECT count(*) FROM key_package_marks WHERE device = ?1", [device])?.unwrap_or(0);
        if suites >= SUITES as i64 {
            return Ok(KeyPackagesUploaded::TooMany);
        }
    }
    let mark = mark.unwrap_or(-1);
    let mut offered: Vec<(&NewKeyPackage, bool)> = refill.packages.iter().map(|one| (one, false)).collect();
    offered.extend(refill.last_resort.iter().map(|one| (one, true)));
    offered.sort_by_key(|(one, _)| one.key_id);
    if offered.windows(2).any(|pair| matches!(pair, [a, b] if a.0.key_id == b.0.key_id)) {
        return Ok(KeyPackagesUploaded::Conflict);
    }
    let sql = "SELECT bytes FROM key_packages WHERE device = ?1 AND suite = ?2 AND key_id = ?3";
    for (known, _) in offered.iter().filter(|(one, _)| i64::from(one.key_id) <= mark) {
        let stored: Option<Vec<u8>> = scalar(txn, sql, params![device, refill.suite, known.key_id])?;
        if stored.is_some_and(|stored| stored != *known.bytes) {
            return Ok(KeyPackagesUploaded::Conflict);
        }
    }
    offered.retain(|(one, _)| i64::from(one.key_id) > mark);
    let sql = "SELECT count(*) FROM key_packages WHERE device = ?1 AND suite = ?2 AND last_resort = 0";
    let stored: i64 = scalar(txn, sql, params![device, refill.suite])?.unwrap_or(0);
    let fresh = offered.iter().filter(|(_, last)| !last).count();
    if usize::try_from(stored).unwrap_or(usize::MAX).saturating_add(fresh) > STORED_MAX {
        return Ok(KeyPackagesUploaded::TooMany);
    }
    if offered.iter().any(|(_, last)| *last) {
        cached(txn, "DELETE FROM key_packages WHERE device = ?1 AND suite = ?2 AND last_resort = 1")?
            .execute(params![device, refill.suite])?;
    }
    let sql = "INSERT INTO key_packages (device, suite, key_id, last_resort, expires_at, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    for (one, last) in &offered {
        cached(txn, sql)?.execute(params![
            device,
            refill.suite,
            one.key_id,
            last,
            int(one.expires_at),
            &*one.bytes
        ])?;
    }
    if let Some((highest, _)) = offered.last() {
        let sql = "INSERT INTO key_package_marks (device, suite, highest) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET highest = max(highest, excluded.highest)";
        cached(txn, sql)?.execute(params![device, refill.suite, highest.key_id])?;
    }
    Ok(KeyPackagesUploaded::Done(counts(txn, device, refill.now)?))
}

pub(in crate::store::sqlite) fn claim(
    txn: &Txn<'_>,
    claims: &KeyPackageClaims,
) -> Result<Option<Vec<ClaimedPackage>>, StoreError> {
    if accounts::id(txn, &claims.account)?.is_none() {
        return Ok(None);
    }
    let mut asked = claims.devices.clone();
    asked.sort_unstable();
    asked.dedup();
    let mut claimed = Vec::new();
    for device in asked {
        let Some(row) = devices::id(txn, &claims.account, device)? else { continue };
        let Some(bytes) = draw(txn, row, claims)? else { continue };
        let counts = counts(txn, row, claims.now)?;
        let is_low = |one: &SuiteCount| {
            one.suite == claims.suite && (one.left < KEY_PACKAGES_LOW || one.last_resort_used)
        };
        let low = if counts.suites.iter().any(is_low) { Some(counts) } else { None };
        claimed.push(ClaimedPackage { package: ClaimedKeyPackage { device, bytes }, low });
    }
    Ok(Some(claimed))
}

/// Takes a KeyPackage out for good, or lends the last resort.
fn draw(
    txn: &Txn<'_>,
    device: i64,
    claims: &KeyPackageClaims,
) -> Result<Option<KeyPackageBytes>, StoreError> {
    let now = int(claims.now);
    let sql = "SELECT count(*) FROM key_packages
               WHERE device = ?1 AND suite = ?2 AND last_resort = 0 AND expires_at > ?3";
    let left: i64 = scalar(txn, sql, params![device, claims.suite, now])?.unwrap_or(0);
    let last_resort = left <= i64::from(claims.leave);
    let sql = "SELECT key_id, bytes FROM key_packages
               WHERE device = ?1 AND suite = ?2 AND last_resort = ?3 AND expires_at > ?4
               ORDER BY key_id LIMIT 1";
    let found = optional(&mut *cached(txn, sql)?, params![device, claims.suite, last_resort, now], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
    })?;
    let Some((key_id, bytes)) = found else { return Ok(None) };
    let sql = if last_resort {
        "UPDATE key_packages SET used = 1 WHERE device = ?1 AND suite = ?2 AND key_id = ?3"
    } else {
        "DELETE FROM key_packages WHERE device = ?1 AND suite = ?2 AND key_id = ?3"
    };
    cached(txn, sql)?.execute(params![device, claims.suite, key_id])?;
    BoundedBytes::new(bytes).map(Some).map_err(|_| damaged("a KeyPackage"))
}

pub(in crate::store::sqlite) fn counts_of(
    conn: &Connection,
    account: &Username,
    device: DeviceId,
    now: Timestamp,
) -> Result<Option<KeyPackageCounts>, StoreError> {
    devices::id(conn, account, device)?.map(|id| counts(conn, id, now)).transpose()
}

fn counts(conn: &Connection, device: i64, now: Timestamp) -> Result<KeyPackageCounts, StoreError> {
    let sql = "SELECT m.suite,
                 (SELECT count(*) FROM key_packages k WHERE k.device = m.device AND k.suite = m.suite
                  AND k.last_resort = 0 AND k.expires_at > ?2),
                 (SELECT count(*) FROM key_packages k WHERE k.device = m.device AND k.suite = m.suite
                  AND k.last_resort = 1 AND k.expires_at > ?2),
                 (SELECT count(*) FROM key_packages k WHERE k.device = m.device AND k.suite = m.suite
                  AND k.last_resort = 1 AND k.used = 1)
               FROM key_package_marks m WHERE m.device = ?1 ORDER BY m.suite";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![device, int(now)])?;
    let mut suites = Vec::new();
    while let Some(row) = rows.next()? {
        suites.push(SuiteCount {
            suite: row.get(0)?,
            left: row.get(1)?,
            last_resort: row.get::<_, i64>(2)? > 0,
            last_resort_used: row.get::<_, i64>(3)? > 0,
        });
    }
    Ok(KeyPackageCounts { suites: BoundedVec::new(suites).map_err(|_| damaged("the suites of a device"))? })
}
