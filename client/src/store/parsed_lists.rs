//! Device lists that were parsed lately. Each message needs several, and checking the keys in one costs as much as encrypting
//! the message.

use std::{cell::RefCell, collections::HashMap};

use subrosa_crypto::verify::device_list::{DeviceList, DeviceListError};

/// Lists kept; beyond them all are parsed anew.
const KEPT: usize = 64;

/// What bytes were parsed to. Equal bytes are an equal list, so nothing in it ever grows old.
#[derive(Default)]
pub(super) struct ParsedLists(RefCell<HashMap<Vec<u8>, DeviceList>>);

impl ParsedLists {
    /// [`DeviceList::parse`].
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<DeviceList, DeviceListError> {
        if let Some(list) = self.0.borrow().get(bytes) {
            return Ok(list.clone());
        }
        let list = DeviceList::parse(bytes)?;
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(bytes.to_vec(), list.clone());
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use subrosa_crypto::{account::AccountSecret, device::DeviceSecrets};

    use super::*;

    #[test]
    fn no_more_than_the_limit_are_kept_and_none_is_mistaken_for_another() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (account, _) = AccountSecret::generate(&mut rng);
        let device = DeviceSecrets::generate(&mut rng);
        let parsed = ParsedLists::default();
        for round in 0..2 {
            for version in 1..=KEPT as u64 + 1 {
                let list = DeviceList {
                    account: "alice".to_owned(),
                    account_key: account.public(),
                    version,
                    prev_hash: if version == 1 { [0; 32] } else { [1; 32] },
                    next_device_id: 2,
                    devices: vec![device.entry(1, round)],
                };
                let bytes = list.to_bytes();
                assert_eq!(parsed.parse(&bytes).unwrap(), list);
                assert_eq!(parsed.parse(&bytes).unwrap(), list);
                assert!(parsed.0.borrow().len() <= KEPT);
            }
        }
        assert!(parsed.parse(b"no list").is_err());
    }
}
