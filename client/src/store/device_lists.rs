//! The newest verified device list of each account, and evidence of lists that contradict each other (R28, R29).

use rusqlite::{Row, params};
use subrosa_crypto::verify::device_list::{DeviceEntry, DeviceList, SignedDeviceList};
use subrosa_protocol::{DeviceId, Username};

use super::{
    StoreError, Tx,
    error::Result,
    limits::{EVIDENCE_PER_ACCOUNT, FORMER_DEVICES},
    rows::{Columns, clamped, counter},
};

/// The head of an account's chain of device lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownList {
    /// What it says.
    pub list: DeviceList,
    /// As it was signed.
    pub signed: SignedDeviceList,
    /// Its hash.
    pub hash: [u8; 32],
    /// When it was last seen to be the newest, ms since 1970.
    pub fetched_at: u64,
}

/// What somebody said the head of a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who said so.
    pub by: Username,
    /// On which device.
    pub device: DeviceId,
    /// Which version.
    pub version: u64,
    /// With which hash.
    pub hash: [u8; 32],
}

/// Proof that two lists of one account contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Whose lists.
    pub account: Username,
    /// When it was found, ms since 1970.
    pub found_at: u64,
    /// The list this profile followed.
    pub ours: SignedDeviceList,
    /// The other list, when it was shown.
    pub theirs: Option<SignedDeviceList>,
    /// Or what a peer's gossip said of it.
    pub claim: Option<Claim>,
}

/// The device ids of a list.
pub(super) fn device_numbers(list: &DeviceList) -> Vec<u32> {
    list.devices.iter().map(|entry| entry.device_id).collect()
}

impl Tx<'_> {
    /// The newest list of an account that was verified.
    pub fn device_list(&self, account: &Username) -> Result<Option<KnownList>> {
        let sql = "SELECT bytes, signature, hash, fetched_at FROM device_lists WHERE account = ?1";
        self.one(sql, [account.as_str()], |row| {
            let signed = SignedDeviceList { bytes: row.get(0)?, signature: row.get(1)? };
            let list = self.parsed.parse(&signed.bytes).map_err(|_| StoreError::Corrupt("device list"))?;
            Ok(KnownList { list, signed, hash: row.get(2)?, fetched_at: row.number(3)? })
        })
    }

    /// Stores a list, over the one that was there. The caller has verified its signature and that it follows; here only
    /// its form and its account are checked.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes are not a list of this account.
    pub fn put_device_list(
        &self,
        account: &Username,
        signed: &SignedDeviceList,
        now: u64,
    ) -> Result<DeviceList> {
        let list = DeviceList::parse(&signed.bytes).map_err(|_| StoreError::Corrupt("device list"))?;
        if list.account != account.as_str() {
            return Err(StoreError::Corrupt("device list"));
        }
        let sql = "INSERT OR REPLACE INTO device_lists (account, version, hash, bytes, signature, fetched_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let version = counter(list.version)?;
        let (hash, bytes, signature) = (list.hash(), &signed.bytes, signed.signature);
        self.run(sql, params![account.as_str(), version, hash, bytes, signature, clamped(now)])?;
        Ok(list)
    }

    /// The relay said that the stored list is still the newest.
    pub fn device_list_confirmed(&self, account: &Username, now: u64) -> Result<()> {
        let sql = "UPDATE device_lists SET fetched_at = ?2 WHERE account = ?1";
        self.run(sql, (account.as_str(), clamped(now)))?;
        Ok(())
    }

    /// Forgets the chain of lists of an account: another account key was accepted for it.
    pub fn delete_device_list(&self, account: &Username) -> Result<()> {
        self.run("DELETE FROM device_lists WHERE account = ?1", [account.as_str()])?;
        self.forget_former_devices(account)
    }

    /// Remembers devices that were in a verified list and are not in the one after it; of an account the
    /// [`FORMER_DEVICES`] with the highest numbers.
    pub fn put_former_devices<'e>(
        &self,
        account: &Username,
        devices: impl IntoIterator<Item = &'e DeviceEntry>,
    ) -> Result<()> {
        let sql = "INSERT OR IGNORE INTO former_devices (account, device, signing_key) VALUES (?1, ?2, ?3)";
        for entry in devices {
            self.run(sql, params![account.as_str(), entry.device_id, entry.signing_key])?;
        }
        let sql = "DELETE FROM former_devices WHERE account = ?1 AND device NOT IN
                   (SELECT device FROM former_devices WHERE account = ?1 ORDER BY device DESC LIMIT ?2)";
        self.run(sql, params![account.as_str(), FORMER_DEVICES])?;
        Ok(())
    }

    /// The signing key of a device that was once in an account's list.
    pub fn former_device(&self, account: &Username, device: u32) -> Result<Option<[u8; 32]>> {
        let sql = "SELECT signing_key FROM former_devices WHERE account = ?1 AND device = ?2";
        self.one(sql, (account.as_str(), device), |row| Ok(row.get(0)?))
    }

    /// Forgets them: they belong to another account key.
    pub fn forget_former_devices(&self, account: &Username) -> Result<()> {
        self.run("DELETE FROM former_devices WHERE account = ?1", [account.as_str()])?;
        Ok(())
    }

    /// Keeps proof of a lie; of one account at most [`EVIDENCE_PER_ACCOUNT`] pieces. Whether it was kept.
    pub fn put_evidence(&self, evidence: &Evidence) -> Result<bool> {
        let count = "SELECT count(*) FROM evidence WHERE account = ?1";
        if self.row(count, [evidence.account.as_str()], |row| row.number(0))? >= EVIDENCE_PER_ACCOUNT {
            return Ok(false);
        }
        let sql = "INSERT INTO evidence (account, found_at, ours_bytes, ours_signature, theirs_bytes, theirs_signature,
                   claimed_by, claimed_device, claimed_version, claimed_hash)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let claim = evidence.claim.as_ref();
        self.run(
            sql,
            params![
                evidence.account.as_str(),
                clamped(evidence.found_at),
                evidence.ours.bytes,
                evidence.ours.signature,
                evidence.theirs.as_ref().map(|list| &list.bytes),
                evidence.theirs.as_ref().map(|list| list.signature),
                claim.map(|claim| claim.by.as_str()),
                claim.map(|claim| claim.device.get()),
                claim.map(|claim| clamped(claim.version)),
                claim.map(|claim| claim.hash),
            ],
        )?;
        Ok(true)
    }

    /// The evidence about an account, oldest first.
    pub fn evidence(&self, account: &Username) -> Result<Vec<Evidence>> {
        let sql = "SELECT account, found_at, ours_bytes, ours_signature, theirs_bytes, theirs_signature, claimed_by,
                          claimed_device, claimed_version, claimed_hash FROM evidence WHERE account = ?1 ORDER BY id";
        self.all(sql, [account.as_str()], read_evidence)
    }
}

fn read_evidence(row: &Row<'_>) -> Result<Evidence> {
    let theirs = match row.get(4)? {
        Some(bytes) => Some(SignedDeviceList { bytes, signature: row.get(5)? }),
        None => None,
    };
    let claim = match row.get::<_, Option<String>>(6)? {
        Some(_) => Some(Claim {
            by: row.account(6)?,
            device: row.device(7)?,
            version: row.number(8)?,
            hash: row.get(9)?,
        }),
        None => None,
    };
    Ok(Evidence {
        account: row.account(0)?,
        found_at: row.number(1)?,
        ours: SignedDeviceList { bytes: row.get(2)?, signature: row.get(3)? },
        theirs,
        claim,
    })
}
