//! Invites.

use rusqlite::{Connection, Row, params};

use super::Txn;
use crate::store::{
    Invite, InviteHash, StoreError, Timestamp,
    sqlite::rows::{cached, fixed, int, nat, optional, scalar},
};

pub(in crate::store::sqlite) fn create(txn: &Txn<'_>, invite: &Invite) -> Result<bool, StoreError> {
    if invite.uses == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO invites (hash, uses, created_at, expires_at, admin) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO NOTHING";
    let times = (int(invite.created_at), int(invite.expires_at));
    Ok(cached(txn, sql)?.execute(params![invite.hash, invite.uses, times.0, times.1, invite.admin])? == 1)
}

pub(in crate::store::sqlite) fn usable(
    conn: &Connection,
    hash: &InviteHash,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM invites WHERE hash = ?1 AND expires_at > ?2";
    Ok(scalar::<i64>(conn, sql, params![hash, int(now)])?.is_some())
}

/// Uses an invite once. Answers whether it makes an operator; `None` when it is not usable.
pub(super) fn use_up(txn: &Txn<'_>, hash: &InviteHash, now: Timestamp) -> Result<Option<bool>, StoreError> {
    let sql = "SELECT uses, admin FROM invites WHERE hash = ?1 AND expires_at > ?2";
    let found = optional(&mut *cached(txn, sql)?, params![hash, int(now)], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, bool>(1)?))
    })?;
    let Some((uses, admin)) = found else { return Ok(None) };
    let sql = if uses > 1 {
        "UPDATE invites SET uses = uses - 1 WHERE hash = ?1"
    } else {
        "DELETE FROM invites WHERE hash = ?1"
    };
    cached(txn, sql)?.execute([hash])?;
    Ok(Some(admin))
}

pub(in crate::store::sqlite) fn list(
    conn: &Connection,
    now: Timestamp,
    max: usize,
) -> Result<Vec<Invite>, StoreError> {
    let sql = "SELECT hash, uses, created_at, expires_at, admin FROM invites
               WHERE expires_at > ?1 ORDER BY created_at, hash LIMIT ?2";
    let mut statement = cached(conn, sql)?;
    let mut rows = statement.query(params![int(now), int(max as u64)])?;
    let mut invites = Vec::new();
    while let Some(row) = rows.next()? {
        invites.push(invite(row)?);
    }
    Ok(invites)
}

pub(in crate::store::sqlite) fn revoke(txn: &Txn<'_>, hash: &InviteHash) -> Result<bool, StoreError> {
    Ok(cached(txn, "DELETE FROM invites WHERE hash = ?1")?.execute([hash])? == 1)
}

/// Deletes what has expired; answers how many.
pub(super) fn expire(txn: &Txn<'_>, now: Timestamp) -> Result<u64, StoreError> {
    Ok(cached(txn, "DELETE FROM invites WHERE expires_at <= ?1")?.execute([int(now)])? as u64)
}

fn invite(row: &Row<'_>) -> Result<Invite, StoreError> {
    Ok(Invite {
        hash: fixed(row, 0)?,
        uses: row.get(1)?,
        created_at: nat(row, 2)?,
        expires_at: nat(row, 3)?,
        admin: row.get(4)?,
    })
}
