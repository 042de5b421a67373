//! The first KeyPackages of a device, so that it can be invited to rooms at once, and not only after its first connection (R35).
//! What does not come through here is made up for by that.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use subrosa_protocol::{
    frames::{KeyPackageUpload, Request, Response},
    limits::KEY_PACKAGES_PER_UPLOAD,
};
use subrosa_rooms::{Me, RoomError, Suite};

use super::relay;
use crate::{
    api::ApiError,
    key_packages::upload,
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
    upload(tx, &mut UnwrapErr(SysRng), me, suite, (KEY_PACKAGES_PER_UPLOAD, true), now)
}
