//! The canonical bytes of a device list.
//!
//! ```text
//! format u8 = 0x01 | account str8 | account_key 32 | version u64 | prev_hash 32 | next_device_id u32 | count u8 |
//! count x ( device_id u32 | identity_key 32 | sealing_key 32 | signing_key 32 | added_at u64 )
//! ```

use super::{DEVICE_BYTES, DeviceEntry, DeviceList, DeviceListError, MAX_BYTES, MAX_DEVICES};
use crate::canonical::{Malformed, Reader, put_str8};

/// The first byte of every list of this layout.
const FORMAT: u8 = 0x01;

impl DeviceList {
    /// The canonical bytes. Of a list that [`DeviceList::check`] refuses they are of no use: `parse` refuses them too.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_BYTES);
        out.push(FORMAT);
        put_str8(&mut out, &self.account);
        out.extend_from_slice(&self.account_key);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.prev_hash);
        out.extend_from_slice(&self.next_device_id.to_le_bytes());
        out.push(u8::try_from(self.devices.len()).unwrap_or(u8::MAX));
        for device in &self.devices {
            device.put(&mut out);
        }
        out
    }

    /// Reads canonical bytes and checks every rule on a list by itself; never more than [`MAX_BYTES`] are looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeviceListError> {
        let mut r = Reader::new(bytes);
        if r.u8()? != FORMAT {
            return Err(Malformed::Field("format").into());
        }
        let account = r.account()?.to_owned();
        let account_key = r.array()?;
        let version = r.u64()?;
        let prev_hash = r.array()?;
        let next_device_id = r.u32()?;
        let count = usize::from(r.u8()?);
        if count > MAX_DEVICES {
            return Err(Malformed::Field("devices").into());
        }
        let mut devices = Vec::with_capacity(count);
        for _ in 0..count {
            devices.push(DeviceEntry::read(&mut r)?);
        }
        r.finish()?;
        let list = Self { account, account_key, version, prev_hash, next_device_id, devices };
        list.check()?;
        Ok(list)
    }
}

impl DeviceEntry {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.device_id.to_le_bytes());
        out.extend_from_slice(&self.identity_key);
        out.extend_from_slice(&self.sealing_key);
        out.extend_from_slice(&self.signing_key);
        out.extend_from_slice(&self.added_at.to_le_bytes());
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut entry = Reader::new(r.bytes(DEVICE_BYTES)?);
        Ok(Self {
            device_id: entry.u32()?,
            identity_key: entry.array()?,
            sealing_key: entry.array()?,
            signing_key: entry.array()?,
            added_at: entry.u64()?,
        })
    }
}
