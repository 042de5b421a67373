//! New KeyPackages of a device, as the relay takes them: their secrets are in the transaction that makes them (R21, R35).

use rand_core::CryptoRng;
use subrosa_protocol::{
    BoundedBytes, BoundedVec,
    frames::{KeyPackageUpload, NewKeyPackage},
    limits::KEY_PACKAGES_PER_UPLOAD,
};
use subrosa_rooms::{Me, RoomError, Suite, key_packages};

use crate::store::Tx;

/// So many new KeyPackages of a suite, but no more than an upload holds, and one of last resort if that is asked for.
pub(crate) fn upload(
    tx: &Tx<'_>,
    rng: &mut dyn CryptoRng,
    me: Me<'_>,
    suite: Suite,
    (count, last_resort): (usize, bool),
    now: u64,
) -> Result<KeyPackageUpload, RoomError> {
    let mut one = |last_resort: bool| -> Result<NewKeyPackage, RoomError> {
        let made = key_packages::make(tx, rng, me, suite, last_resort, now)?;
        let bytes = BoundedBytes::new(made.bytes).map_err(|_| RoomError::Mls("KeyPackage"))?;
        Ok(NewKeyPackage { key_id: tx.take_prekey_ids(1)?, expires_at: made.not_after, bytes })
    };
    let packages =
        (0..count.min(KEY_PACKAGES_PER_UPLOAD)).map(|_| one(false)).collect::<Result<Vec<_>, _>>()?;
    let last_resort = last_resort.then(|| one(true)).transpose()?;
    Ok(KeyPackageUpload {
        suite: suite.code(),
        packages: BoundedVec::new(packages).map_err(|_| RoomError::Mls("KeyPackages"))?,
        last_resort,
    })
}
