//! Registration and accounts.

use rusqlite::{Connection, params};
use subrosa_protocol::{BoundedStr, Username, limits::DISPLAY_NAME_BYTES};

use super::{Txn, devices, invites};
use crate::store::{
    Account, Registered, Registration, StoreError,
    sqlite::rows::{cached, damaged, fixed, int, nat, optional, scalar},
};

/// An account's row.
pub(in crate::store::sqlite) fn id(conn: &Connection, account: &Username) -> Result<Option<i64>, StoreError> {
    scalar(conn, "SELECT id FROM accounts WHERE name = ?1", [account.as_str()])
}

pub(in crate::store::sqlite) fn register(
    txn: &Txn<'_>,
    registration: &Registration,
) -> Result<Registered, StoreError> {
    if id(txn, &registration.account)?.is_some() {
        return Ok(Registered::NameTaken);
    }
    let admin = match &registration.invite {
        None => false,
        Some(hash) => match invites::use_up(txn, hash, registration.now)? {
            Some(admin) => admin,
            None => return Ok(Registered::InviteInvalid),
        },
    };
    cached(
        txn,
        "INSERT INTO accounts (name, display_name, account_key, opaque_record, admin, list_version, highest_device)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
    )?
    .execute(params![
        registration.account.as_str(),
        &*registration.display_name,
        registration.account_key,
        registration.opaque_record,
        admin,
        int(registration.list.version),
    ])?;
    let account = txn.last_insert_rowid();
    devices::insert_list(txn, account, &registration.list)?;
    devices::insert(txn, account, &registration.device, registration.now)?;
    Ok(Registered::Done)
}

pub(in crate::store::sqlite) fn opaque_record(
    conn: &Connection,
    account: &Username,
) -> Result<Option<Vec<u8>>, StoreError> {
    scalar(conn, "SELECT opaque_record FROM accounts WHERE name = ?1", [account.as_str()])
}

pub(in crate::store::sqlite) fn account(
    conn: &Connection,
    account: &Username,
) -> Result<Option<Account>, StoreError> {
    let sql = "SELECT a.display_name, a.account_key, a.admin, l.version, l.devices, l.bytes, l.signature
               FROM accounts a JOIN device_lists l ON l.account = a.id AND l.version = a.list_version
               WHERE a.name = ?1";
    optional(&mut *cached(conn, sql)?, [account.as_str()], |row| {
        Ok(Account {
            display_name: display_name(row.get(0)?)?,
            account_key: fixed(row, 1)?,
            admin: row.get(2)?,
            list: crate::store::ListVersion {
                version: nat(row, 3)?,
                devices: devices::numbers(row.get_ref(4)?.as_blob().map_err(|_| damaged("a device list"))?)?,
                signed: devices::signed_list(row, 5)?,
            },
        })
    })
}

pub(super) fn display_name(text: String) -> Result<BoundedStr<DISPLAY_NAME_BYTES>, StoreError> {
    BoundedStr::new(text).map_err(|_| damaged("a display name"))
}
