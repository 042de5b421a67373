//! The first KeyPackages of a device, so that it can be invited to rooms at once, and not only after its first connection (R35).
//! What does not come through here is made up for by that.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use subrosa_protocol::{
    BoundedBytes, BoundedVec,
    frames::{KeyPackageUpload, NewKeyPackage, Request, Response},
    limits::KEY_PACKAGES_PER_UPLOAD,
};
use subrosa_rooms::{Me, RoomError, Suite, key_packages};

use super::relay;
use crate::{
    api::ApiError,
    store::{Identity, Store, StoreError, Tx},
};

/// Makes them, and hands them over once their secrets are stored (R21).
pub(super) async fn publish(store: &mut Store, identity: &Identity, now: u64) -> Result<(), ApiError> {
    let mut uploads = Vec::new();
    for suite in Suite::ALL {
        let mut refused = None;
        let made = store.transaction(|tx| {
            make(tx, identity, suite, now).map_err(|error| {
                refused = Some(error.to_string());
                StoreError::Corrupt("KeyPackages")
            })
        });
        uploads.push(made.map_err(|error| match refused {
            Some(what) => ApiError::internal(what),
            None => error.into(),
        })?);
    }
    let Some(mut dialogue) = relay::authenticated(identity).await? else { return Ok(()) };
    for upload in uploads {
        match dialogue.ask(|id| Request::KeyPackageUpload(upload).to_raw(id)).await? {
            Response::KeyPackageCounts(_) => {}
            other => return Err(relay::unexpected(&other)),
        }
    }
    dialogue.finish().await;
    Ok(())
}

fn make(tx: &Tx<'_>, identity: &Identity, suite: Suite, now: u64) -> Result<KeyPackageUpload, RoomError> {
    let keys = identity.keys.as_ref().ok_or(RoomError::Mls("keys"))?;
    let me = Me {
        account: identity.account.as_str(),
        account_key: identity.account_key,
        device: identity.device.get(),
        secrets: &keys.device,
    };
    let one = |last_resort: bool| -> Result<NewKeyPackage, RoomError> {
        let made = key_packages::make(tx, &mut UnwrapErr(SysRng), me, suite, last_resort, now)?;
        let bytes = BoundedBytes::new(made.bytes).map_err(|_| RoomError::Mls("KeyPackage"))?;
        Ok(NewKeyPackage { key_id: tx.take_prekey_ids(1)?, expires_at: made.not_after, bytes })
    };
    let packages = (0..KEY_PACKAGES_PER_UPLOAD).map(|_| one(false)).collect::<Result<Vec<_>, _>>()?;
    Ok(KeyPackageUpload {
        suite: suite.code(),
        packages: BoundedVec::new(packages).map_err(|_| RoomError::Mls("KeyPackages"))?,
        last_resort: Some(one(true)?),
    })
}
