//! Accounts that this profile knows.

use rusqlite::{Row, params};
use subrosa_crypto::verify::device_list::SignedDeviceList;
use subrosa_protocol::{SafeText, Username};

use super::{
    Tx,
    codes::Code,
    device_lists,
    error::Result,
    rows::{Columns, clamped},
};
use crate::{
    api::{Contact, ContactState, Trust},
    chat::ChatId,
};

/// A different account key that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedKey {
    /// The key.
    pub account_key: [u8; 32],
    /// The device list it signed.
    pub list: SignedDeviceList,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub account: Username,
    /// The account key first seen, or the last one that was trusted. `None` before any list was seen.
    pub account_key: Option<[u8; 32]>,
    /// A different key that was seen since and is not trusted: nothing is sent while it stands here.
    pub changed: Option<ChangedKey>,
    /// What they call themselves; may be empty.
    pub display_name: SafeText,
    /// Where they stand; `None` for accounts that are only known, this profile's own for one.
    pub contact: Option<ContactState>,
    /// How sure we are of their key.
    pub trust: Trust,
    /// Whether the one message that may go out before they accept has gone out (R43).
    pub request_used: bool,
    /// When it became known, ms since 1970.
    pub added_at: u64,
}

impl Peer {
    /// An account of which nothing is known yet.
    #[must_use]
    pub fn new(account: Username, now: u64) -> Self {
        Self {
            account,
            account_key: None,
            changed: None,
            display_name: SafeText::default(),
            contact: None,
            trust: Trust::Unverified,
            request_used: false,
            added_at: now,
        }
    }

    /// Whether sending to it is stopped: its key changed, or its lists contradict each other.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.trust, Trust::Changed | Trust::Forked)
    }
}

const COLUMNS: &str = "account, account_key, changed_key, changed_list, changed_signature, display_name, contact, trust, \
                       request_used, added_at";

fn read(row: &Row<'_>) -> Result<Peer> {
    let changed = match row.get(2)? {
        Some(account_key) => {
            let list = SignedDeviceList { bytes: row.get(3)?, signature: row.get(4)? };
            Some(ChangedKey { account_key, list })
        }
        None => None,
    };
    Ok(Peer {
        account: row.account(0)?,
        account_key: row.get(1)?,
        changed,
        display_name: SafeText::name(&row.get::<_, String>(5)?),
        contact: row.get::<_, Option<i64>>(6)?.map(ContactState::from_code).transpose()?,
        trust: row.value(7)?,
        request_used: row.get(8)?,
        added_at: row.number(9)?,
    })
}

impl Tx<'_> {
    /// An account.
    pub fn peer(&self, account: &Username) -> Result<Option<Peer>> {
        let sql = format!("SELECT {COLUMNS} FROM peers WHERE account = ?1");
        self.one(&sql, [account.as_str()], read)
    }

    /// Stores an account, over what was there. The chat of a contact is opened.
    pub fn put_peer(&self, peer: &Peer) -> Result<()> {
        let sql = format!(
            "INSERT OR REPLACE INTO peers ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        );
        let changed = peer.changed.as_ref();
        self.run(
            &sql,
            params![
                peer.account.as_str(),
                peer.account_key,
                changed.map(|changed| changed.account_key),
                changed.map(|changed| &changed.list.bytes),
                changed.map(|changed| changed.list.signature),
                peer.display_name.as_str(),
                peer.contact.map(Code::code),
                peer.trust.code(),
                peer.request_used,
                clamped(peer.added_at),
            ],
        )?;
        if peer.contact.is_some() {
            self.open_chat(&ChatId::from(&peer.account))?;
        }
        Ok(())
    }

    /// Every account, by name.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        self.all(&format!("SELECT {COLUMNS} FROM peers ORDER BY account"), [], read)
    }

    /// The contact as front ends see it; `None` when the account is not one.
    pub fn contact(&self, account: &Username) -> Result<Option<Contact>> {
        let Some(peer) = self.peer(account)? else { return Ok(None) };
        let Some(state) = peer.contact else { return Ok(None) };
        let devices = self.device_list(account)?.map(|known| device_lists::device_numbers(&known.list));
        Ok(Some(Contact {
            name: account.to_string(),
            display_name: peer.display_name,
            state,
            trust: peer.trust,
            devices: devices.unwrap_or_default(),
        }))
    }

    /// All contacts, by name.
    pub fn contacts(&self) -> Result<Vec<Contact>> {
        let sql = "SELECT account FROM peers WHERE contact IS NOT NULL ORDER BY account";
        let names = self.all(sql, [], |row| row.account(0))?;
        names.iter().filter_map(|name| self.contact(name).transpose()).collect()
    }

    /// How many contacts are in a state, such as requests that wait to be accepted.
    pub fn contact_count(&self, state: ContactState) -> Result<u64> {
        self.row("SELECT count(*) FROM peers WHERE contact = ?1", [state.code()], |row| row.number(0))
    }
}
