//! From bytes on the wire to lists and prekeys whose signatures hold: the border past which nobody checks again.

use std::ops::Deref;

use subrosa_protocol::{
    DeviceId, Username,
    frames::{KemPrekeyBytes, PrekeyBytes, Prekeys, SignedList},
};
use subrosa_verify::{
    device_list::{DeviceList, SignedDeviceList},
    keys::VerifyingKey,
    prekey::{Prekey, PrekeyKind},
};

use super::Refusal;
use crate::store::{ListVersion, NewPrekey, NewPrekeys, Timestamp};

/// A list that its account key has signed.
pub(super) fn list(account: &Username, signed: &SignedList) -> Result<DeviceList, Refusal> {
    SignedDeviceList { bytes: signed.bytes.to_vec(), signature: *signed.signature }
        .verify(account.as_str())
        .map_err(|_| Refusal::invalid("the device list does not verify"))
}

/// The list as the store keeps it.
pub(super) fn version(list: &DeviceList, signed: SignedList) -> Result<ListVersion, Refusal> {
    let devices = list.devices.iter().map(|entry| DeviceId::new(entry.device_id)).collect::<Result<_, _>>();
    let devices = devices.map_err(|_| Refusal::invalid("the device list does not verify"))?;
    Ok(ListVersion { version: list.version, devices, signed })
}

/// Whose prekeys are checked, and when.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) account: Username,
    pub(super) device: DeviceId,
    pub(super) signing_key: [u8; 32],
    pub(super) now: Timestamp,
}

/// One-time prekeys as they came.
#[derive(Default)]
pub(super) struct OneTime {
    pub(super) ec: Vec<PrekeyBytes>,
    pub(super) kem: Vec<KemPrekeyBytes>,
}

/// One-time prekeys whose signatures hold, by ascending number.
pub(super) struct VerifiedOneTime {
    pub(super) ec: Vec<NewPrekey<PrekeyBytes>>,
    pub(super) kem: Vec<NewPrekey<KemPrekeyBytes>>,
}

impl Owner {
    /// Checks all prekeys of a new device. Verification is milliseconds of work: call it where that may be.
    pub(super) fn all(&self, prekeys: Prekeys, one_time: OneTime) -> Result<NewPrekeys, Refusal> {
        let VerifiedOneTime { ec, kem } = self.one_time(one_time)?;
        Ok(NewPrekeys {
            signed: self.one(prekeys.signed, PrekeyKind::SignedEc)?,
            last_resort: self.one(prekeys.last_resort, PrekeyKind::LastResortKem)?,
            one_time: ec,
            kem,
        })
    }

    pub(super) fn one_time(&self, one_time: OneTime) -> Result<VerifiedOneTime, Refusal> {
        Ok(VerifiedOneTime {
            ec: self.several(one_time.ec, PrekeyKind::OneTimeEc)?,
            kem: self.several(one_time.kem, PrekeyKind::OneTimeKem)?,
        })
    }

    pub(super) fn one<B>(&self, bytes: B, kind: PrekeyKind) -> Result<NewPrekey<B>, Refusal>
    where
        B: Deref<Target: AsRef<[u8]>>,
    {
        let prekey =
            Prekey::parse((*bytes).as_ref()).map_err(|_| Refusal::invalid("a prekey is malformed"))?;
        if prekey.kind != kind {
            return Err(Refusal::invalid("a prekey is of another kind than its place"));
        }
        if prekey.is_expired(self.now) {
            return Err(Refusal::invalid("a prekey has expired"));
        }
        prekey
            .verify(&VerifyingKey(self.signing_key), self.account.as_str(), self.device.get())
            .map_err(|_| Refusal::invalid("a prekey is not signed by its device"))?;
        Ok(NewPrekey { key_id: prekey.key_id, bytes })
    }

    fn several<B>(&self, bytes: Vec<B>, kind: PrekeyKind) -> Result<Vec<NewPrekey<B>>, Refusal>
    where
        B: Deref<Target: AsRef<[u8]>>,
    {
        let mut prekeys =
            bytes.into_iter().map(|bytes| self.one(bytes, kind)).collect::<Result<Vec<_>, _>>()?;
        prekeys.sort_by_key(|prekey| prekey.key_id);
        if prekeys.windows(2).any(|pair| matches!(pair, [a, b] if a.key_id == b.key_id)) {
            return Err(Refusal::bad_request("two prekeys have one number"));
        }
        Ok(prekeys)
    }
}

/// Does work of milliseconds where it does not hold up connections. A panic in it is the connection's own.
pub(super) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Refusal::internal()),
    }
}
