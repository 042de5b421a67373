//! Prekeys: bundles for those who write, refills by those who are written to.

use subrosa_protocol::{
    BoundedVec, ErrorCode,
    frames::{PrekeyBundles, PrekeyClaim, PrekeyCounts, PrekeyUpload, Push, Response},
    limits::PREKEYS_LOW,
};
use subrosa_verify::prekey::PrekeyKind;
use tokio::time::Instant;

use super::{
    Answered, Context, Refusal,
    verified::{OneTime, Owner, VerifiedOneTime, apart},
    wire,
};
use crate::{
    bus::Signal,
    store::{Claim, PrekeyRefill, Uploaded},
};

/// `PrekeyClaim`. Each one-time prekey is handed out once. The limiters fail closed (R37).
///
/// The relay knows nobody's contacts. It remembers in memory who wrote to whom lately: somebody to whom the owner of the
/// device wrote (or whose bundles it claimed) is its contact and may take the last one-time prekey; strangers leave the
/// reserve alone and share a budget, and get the last-resort prekey when the one-time prekeys above the reserve are gone.
pub(super) async fn claim(cx: Context, request: PrekeyClaim) -> Answered {
    let (core, caller) = (&cx.core, &cx.caller);
    let (rates, now) = (&core.rates, Instant::now());
    cx.charge_lookup(&request.account)?;
    let contact =
        request.account == caller.account || rates.contacts.contains((&request.account, &caller.account));
    for device in request.devices.iter() {
        rates.prekey_claims.take((&caller.account, &request.account, device), 1, now)?;
        if !contact {
            rates.prekey_claims_per_device.take((&request.account, device), 1, now)?;
        }
    }
    let leave = if contact { 0 } else { core.limits.prekeys_reserved };
    let account = request.account.clone();
    let claim = Claim { account: request.account, devices: request.devices.into_inner(), leave };
    let claimed = core.stored(core.store.claim_bundles(claim)).await?.ok_or_else(Refusal::not_found)?;
    cx.found(&account);
    rates.contacts.insert((&caller.account, &account));
    for one in &claimed {
        if one.left.one_time < PREKEYS_LOW || one.left.kem < PREKEYS_LOW {
            let low = wire(&Push::PrekeysLow(one.left));
            low.into_iter()
                .for_each(|low| core.bus.to_device(&account, one.bundle.device, Signal::Push(low)));
        }
    }
    let bundles = claimed.into_iter().map(|one| one.bundle).collect();
    let bundles = BoundedVec::new(bundles).map_err(|_| Refusal::internal())?;
    Ok(Response::PrekeyBundles(PrekeyBundles { bundles }))
}

/// `PrekeyUpload`. Uploading the same again changes nothing.
pub(super) async fn upload(cx: Context, request: PrekeyUpload) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let (account, device) = (cx.caller.account.clone(), cx.caller.device);
    let state = core.stored(core.store.device(&account, device)).await?.ok_or_else(Refusal::not_found)?;
    let owner = Owner { account: account.clone(), device, signing_key: state.signing_key, now: core.now() };
    let refill = apart(move || {
        let one_time = OneTime { ec: request.one_time.into_inner(), kem: request.kem.into_inner() };
        let VerifiedOneTime { ec, kem } = owner.one_time(one_time)?;
        Ok(PrekeyRefill {
            account,
            device,
            signed: request.signed.map(|p| owner.one(p, PrekeyKind::SignedEc)).transpose()?,
            last_resort: request.last_resort.map(|p| owner.one(p, PrekeyKind::LastResortKem)).transpose()?,
            one_time: ec,
            kem,
        })
    });
    match core.stored(core.store.upload_prekeys(refill.await?)).await? {
        Uploaded::Done(counts) => Ok(counted(counts)),
        Uploaded::Conflict => {
            Err(Refusal::new(ErrorCode::Conflict, "a prekey number is used for another prekey"))
        }
        Uploaded::TooMany => Err(Refusal::new(ErrorCode::TooLarge, "more prekeys than a device may have")),
        Uploaded::NotFound => Err(Refusal::not_found()),
    }
}

/// `PrekeyStatus`.
pub(super) async fn status(cx: Context) -> Answered {
    let counts = cx.core.store.prekey_counts(&cx.caller.account, cx.caller.device);
    cx.core.stored(counts).await?.map(counted).ok_or_else(Refusal::not_found)
}

fn counted(counts: PrekeyCounts) -> Response {
    Response::PrekeyCounts(counts)
}
