//! Who this profile is.

use rusqlite::params;
use subrosa_crypto::{account::AccountSecret, device::DeviceSecrets};
use subrosa_protocol::{DeviceId, RelayAddress, SafeText, Username};
use zeroize::Zeroizing;

use super::{
    StoreError, Tx,
    error::Result,
    limits::JOINING_BYTES,
    rows::{Columns, bounded},
};

/// How far this profile came, and whether it may still be used.
pub enum Progress {
    /// Registering or logging in was begun; what is needed to go on with it, in the form of the `join` module. At most
    /// [`JOINING_BYTES`].
    Joining(Zeroizing<Vec<u8>>),
    /// A device of the account.
    Ready,
    /// The person logged out: keys are gone, messages stay.
    LoggedOut,
    /// The relay has seen a newer state than this one: a restored copy. Nothing is sent or decrypted (R23).
    Quarantined,
}

/// The secrets of an identity.
pub struct IdentityKeys {
    /// The account's.
    pub account: AccountSecret,
    /// This device's.
    pub device: DeviceSecrets,
}

/// Who this profile is.
pub struct Identity {
    /// The account.
    pub account: Username,
    /// What others see.
    pub display_name: SafeText,
    /// The relay, with the fingerprint to pin.
    pub relay: RelayAddress,
    /// The account key.
    pub account_key: [u8; 32],
    /// This device's number. While joining, the one that was asked for.
    pub device: DeviceId,
    /// The secrets; `None` once logged out.
    pub keys: Option<IdentityKeys>,
    /// How far it came.
    pub progress: Progress,
}

impl Progress {
    const fn code(&self) -> i64 {
        match self {
            Self::Joining(_) => 0,
            Self::Ready => 1,
            Self::LoggedOut => 2,
            Self::Quarantined => 3,
        }
    }
}

impl Tx<'_> {
    /// Who this profile is; `None` in a new one.
    pub fn identity(&self) -> Result<Option<Identity>> {
        let sql = "SELECT account, display_name, relay, account_key, account_secret, device, device_secrets,
                          progress, joining FROM identity WHERE one = 1";
        self.one(sql, [], |row| {
            let account_secret: Option<Zeroizing<Vec<u8>>> =
                row.get::<_, Option<Vec<u8>>>(4)?.map(Zeroizing::new);
            let device_secrets: Option<Zeroizing<Vec<u8>>> =
                row.get::<_, Option<Vec<u8>>>(6)?.map(Zeroizing::new);
            let keys = match (account_secret, device_secrets) {
                (Some(account), Some(device)) => Some(IdentityKeys {
                    account: AccountSecret::from_bytes(&account)
                        .map_err(|_| StoreError::Corrupt("account key"))?,
                    device: DeviceSecrets::from_bytes(&device)
                        .map_err(|_| StoreError::Corrupt("device keys"))?,
                }),
                _ => None,
            };
            let progress = match row.get::<_, i64>(7)? {
                0 => Progress::Joining(row.secret(8)?),
                1 => Progress::Ready,
                2 => Progress::LoggedOut,
                3 => Progress::Quarantined,
                _ => return Err(StoreError::Corrupt("progress")),
            };
            Ok(Identity {
                account: row.account(0)?,
                display_name: SafeText::name(&row.get::<_, String>(1)?),
                relay: row.get::<_, String>(2)?.parse().map_err(|_| StoreError::Corrupt("relay address"))?,
                account_key: row.get(3)?,
                device: row.device(5)?,
                keys,
                progress,
            })
        })
    }

    /// Stores who this profile is, over what was there.
    pub fn put_identity(&self, identity: &Identity) -> Result<()> {
        let joining = match &identity.progress {
            Progress::Joining(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        bounded(joining.map_or(0, <[u8]>::len), JOINING_BYTES, "join in progress")?;
        let account_secret = identity.keys.as_ref().map(|keys| keys.account.to_bytes());
        let device_secrets = identity.keys.as_ref().map(|keys| keys.device.to_bytes());
        let sql =
            "INSERT OR REPLACE INTO identity (one, account, display_name, relay, account_key, account_secret,
                   device, device_secrets, progress, joining) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.run(
            sql,
            params![
                identity.account.as_str(),
                identity.display_name.as_str(),
                identity.relay.to_string(),
                identity.account_key,
                account_secret.as_ref().map(|secret| secret.as_slice()),
                identity.device.get(),
                device_secrets.as_ref().map(|secret| secret.as_slice()),
                identity.progress.code(),
                joining,
            ],
        )?;
        Ok(())
    }

    /// Changes how far this profile came, and nothing else of it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no identity yet.
    pub fn set_progress(&self, progress: &Progress) -> Result<()> {
        let joining = match progress {
            Progress::Joining(bytes) => Some(bytes.as_slice()),
            _ => None,
        };
        bounded(joining.map_or(0, <[u8]>::len), JOINING_BYTES, "join in progress")?;
        let sql = "UPDATE identity SET progress = ?1, joining = ?2 WHERE one = 1";
        let changed = self.run(sql, params![progress.code(), joining])?;
        if changed == 0 { Err(StoreError::Missing("identity")) } else { Ok(()) }
    }

    /// Removes every secret (account, device, prekeys, sessions, groups and keys of rooms) and everything that waits to be sent; messages,
    /// contacts and settings stay. This device is in no room any more. Messages that had not reached the relay have failed. The mailbox begins anew, for the new device that a later login makes. The profile is logged out
    /// then.
    pub fn forget_keys(&self) -> Result<()> {
        self.run("UPDATE identity SET account_secret = NULL, device_secrets = NULL WHERE one = 1", [])?;
        for table in [
            "prekeys",
            "base_keys_seen",
            "sessions",
            "healings",
            "sent",
            "chains_out",
            "missing",
            "chains_in",
            "pending",
            "outbox",
            "deferred",
            "envelopes_seen",
            "room_outbox",
            "room_commits",
            "room_chains",
            "room_states_told",
            "room_seen",
            "earlier_invitations",
        ] {
            self.run(&format!("DELETE FROM {table}"), [])?;
        }
        self.erase_rooms()?;
        self.expire_early_receipts(u64::MAX)?;
        self.run("UPDATE receipts SET due_at = NULL", [])?;
        self.scrub_is_due()?;
        self.forget_mailbox_cursor()?;
        self.fail_unsent("this device was logged out before it was sent")?;
        self.set_progress(&Progress::LoggedOut)
    }

    /// Takes `count` prekey ids that were never taken before; they are one counter for all kinds. The first of them.
    pub fn take_prekey_ids(&self, count: u32) -> Result<u32> {
        let end = self.add_named("prekey_ids", u64::from(count))?;
        let end = u32::try_from(end).map_err(|_| StoreError::Limit("prekey id"))?;
        Ok(end.saturating_sub(count).saturating_add(1))
    }
}
