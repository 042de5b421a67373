//! The keys of a new device, durable before the relay hears of them (R21).

use rand_core::CryptoRng;
use subrosa_crypto::{
    account::AccountSecret,
    device::DeviceSecrets,
    prekeys::generate_prekey,
    verify::{
        device_list::{DeviceList, SignedDeviceList},
        prekey::PrekeyKind,
    },
};
use subrosa_protocol::{DeviceId, RelayAddress, SafeText, Username, limits::ONE_TIME_PREKEYS};
use zeroize::Zeroizing;

use crate::{
    api::{ApiError, Kind},
    store::{Identity, IdentityKeys, Progress, Store, StoreError, Tx},
};

/// What a new device is called and where it belongs.
pub(super) struct NewDevice {
    pub(super) relay: RelayAddress,
    pub(super) account: Username,
    pub(super) display_name: SafeText,
}

impl NewDevice {
    /// The first device of a new account: version 1 of the list.
    pub(super) fn first_of(
        self,
        account: AccountSecret,
        store: &mut Store,
        rng: &mut impl CryptoRng,
        now: u64,
    ) -> Result<(), ApiError> {
        let device = DeviceSecrets::generate(rng);
        let list = DeviceList {
            account: self.account.as_str().to_owned(),
            account_key: account.public(),
            version: 1,
            prev_hash: [0; 32],
            next_device_id: 2,
            devices: vec![device.entry(1, now)],
        };
        self.keep(account, device, 1, &list, store, rng, now)
    }

    /// A further device: the successor of the list that the relay has.
    pub(super) fn further_of(
        self,
        account: AccountSecret,
        current: &DeviceList,
        store: &mut Store,
        rng: &mut impl CryptoRng,
        now: u64,
    ) -> Result<(), ApiError> {
        let device = DeviceSecrets::generate(rng);
        let number = current.next_device_id;
        let mut list = current.clone();
        list.version = current.version.saturating_add(1);
        list.prev_hash = current.hash();
        list.next_device_id = number.saturating_add(1);
        list.devices.push(device.entry(number, now));
        self.keep(account, device, number, &list, store, rng, now)
    }

    #[allow(clippy::too_many_arguments)] // All of it is one device; naming it a struct would say the same twice.
    fn keep(
        self,
        account: AccountSecret,
        device: DeviceSecrets,
        number: u32,
        list: &DeviceList,
        store: &mut Store,
        rng: &mut impl CryptoRng,
        now: u64,
    ) -> Result<(), ApiError> {
        let signed = account.sign_device_list(list).map_err(|error| {
            ApiError::new(Kind::Refused, format!("the device cannot be added: {error}"))
                .hint("an account has at most 6 devices; log one of them out first")
        })?;
        let number =
            DeviceId::new(number).map_err(|error| ApiError::new(Kind::Internal, error.to_string()))?;
        store
            .transaction(|tx| -> Result<(), StoreError> {
                if tx.identity()?.is_some() {
                    // A logged-out or quarantined profile becomes a new device with its history.
                    tx.forget_keys()?;
                }
                make_prekeys(tx, &device, self.account.as_str(), number.get(), now, rng)?;
                tx.put_device_list(&self.account, &signed, now)?;
                tx.put_identity(&Identity {
                    account: self.account,
                    display_name: self.display_name,
                    relay: self.relay,
                    account_key: account.public(),
                    device: number,
                    keys: Some(IdentityKeys { account, device }),
                    progress: Progress::Joining(signed_to_bytes(&signed)),
                })
            })
            .map_err(ApiError::from)
    }
}

/// All prekeys a device publishes at first: a signed one, a last-resort one, 100 one-time ones of each kind.
fn make_prekeys(
    tx: &Tx<'_>,
    device: &DeviceSecrets,
    account: &str,
    number: u32,
    now: u64,
    rng: &mut impl CryptoRng,
) -> Result<(), StoreError> {
    let one_time = u32::try_from(ONE_TIME_PREKEYS).unwrap_or(u32::MAX);
    for (kind, count) in [
        (PrekeyKind::SignedEc, 1),
        (PrekeyKind::LastResortKem, 1),
        (PrekeyKind::OneTimeEc, one_time),
        (PrekeyKind::OneTimeKem, one_time),
    ] {
        let first = tx.take_prekey_ids(count)?;
        for id in first..first.saturating_add(count) {
            let (secret, public) = generate_prekey(kind, id, device, account, number, now, rng);
            tx.put_prekey(&secret, &public)?;
        }
    }
    Ok(())
}

fn signed_to_bytes(signed: &SignedDeviceList) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&signed.signature[..], &signed.bytes].concat())
}

/// The list a joining profile wants to publish.
pub(super) fn signed_from_bytes(bytes: &[u8]) -> Option<SignedDeviceList> {
    let (signature, bytes) = bytes.split_first_chunk::<64>()?;
    Some(SignedDeviceList { bytes: bytes.to_vec(), signature: *signature })
}
