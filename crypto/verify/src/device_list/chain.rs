//! How one version of a device list follows another (R28).

use super::{DeviceEntry, DeviceList, DeviceListError, SignedDeviceList};

impl DeviceList {
    /// Checks that this list is the one right after `prev`: same account and key, version + 1, its hash, and no device
    /// that changed, came back or took over what was another's.
    pub fn check_follows(&self, prev: &Self) -> Result<(), DeviceListError> {
        if self.account != prev.account {
            return Err(DeviceListError::OtherAccount);
        }
        if self.account_key != prev.account_key {
            return Err(DeviceListError::AccountKeyChanged);
        }
        let expected = prev.version.saturating_add(1);
        if self.version != expected || self.version == prev.version {
            return Err(DeviceListError::Version { expected, got: self.version });
        }
        if self.prev_hash != prev.hash() {
            return Err(DeviceListError::Forked);
        }
        if self.next_device_id < prev.next_device_id {
            return Err(DeviceListError::NextIdFell);
        }
        self.devices.iter().try_for_each(|device| check_device(device, prev))
    }
}

/// Walks `chain` from what is known: from `known` when there is one, otherwise from the first list of `chain`, which the
/// caller then trusts on first use (it may be any version). Returns the newest list, or `None` when both are absent.
///
/// The relay keeps every version and a client asks for those after its own, so `chain` has no gaps.
pub fn follow(
    account: &str,
    known: Option<DeviceList>,
    chain: &[SignedDeviceList],
) -> Result<Option<DeviceList>, DeviceListError> {
    chain.iter().try_fold(known, |prev, signed| {
        let next = signed.verify(account)?;
        if let Some(prev) = &prev {
            next.check_follows(prev)?;
        }
        Ok(Some(next))
    })
}

fn check_device(device: &DeviceEntry, prev: &DeviceList) -> Result<(), DeviceListError> {
    match prev.device(device.device_id) {
        Some(before) if before == device => Ok(()),
        Some(_) => Err(DeviceListError::KeysChanged(device.device_id)),
        None if device.device_id < prev.next_device_id => Err(DeviceListError::IdReused(device.device_id)),
        None => {
            let takes_over = prev.devices.iter().any(|other| shares_a_key(device, other));
            if takes_over { Err(DeviceListError::KeysChanged(device.device_id)) } else { Ok(()) }
        }
    }
}

fn shares_a_key(a: &DeviceEntry, b: &DeviceEntry) -> bool {
    let of_b = [b.identity_key, b.sealing_key, b.signing_key];
    [a.identity_key, a.sealing_key, a.signing_key].iter().any(|key| of_b.contains(key))
}
