//! KeyPackages: refills by a device, one each for those who add it to a room (R35, R37).

use std::time::Duration;

use subrosa_protocol::{
    BoundedVec, ErrorCode,
    frames::{KeyPackageClaim, KeyPackageUpload, KeyPackages, Push, Response},
};
use tokio::time::Instant;

use super::{Answered, Context, Refusal, wire};
use crate::{
    bus::Signal,
    store::{KeyPackageClaims, KeyPackageRefill, KeyPackagesUploaded},
};

/// The longest lifetime of a KeyPackage (R35), and what clocks may differ by.
const LIFETIME: Duration = Duration::from_secs(31 * 24 * 3600);

/// `KeyPackageUpload`. What a KeyPackage says is for those who claim it to check: the relay knows no MLS.
pub(super) async fn upload(cx: Context, request: KeyPackageUpload) -> Answered {
    let core = &cx.core;
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let now = core.now();
    let latest = now.saturating_add(u64::try_from(LIFETIME.as_millis()).unwrap_or(u64::MAX));
    let all = request.packages.iter().chain(&request.last_resort);
    if all.into_iter().any(|one| one.expires_at <= now || one.expires_at > latest || one.bytes.is_empty()) {
        return Err(Refusal::bad_request("a KeyPackage is empty, has expired or lives longer than 30 days"));
    }
    let refill = KeyPackageRefill {
        account: cx.caller.account.clone(),
        device: cx.caller.device,
        suite: request.suite,
        packages: request.packages.into_inner(),
        last_resort: request.last_resort,
        now,
    };
    match core.stored(core.store.upload_key_packages(refill)).await? {
        KeyPackagesUploaded::Done(counts) => Ok(Response::KeyPackageCounts(counts)),
        KeyPackagesUploaded::Conflict => {
            Err(Refusal::new(ErrorCode::Conflict, "a number is used for another KeyPackage"))
        }
        KeyPackagesUploaded::TooMany => {
            Err(Refusal::new(ErrorCode::TooLarge, "more KeyPackages than a device may have"))
        }
        KeyPackagesUploaded::NotFound => Err(Refusal::not_found()),
    }
}

/// `KeyPackageClaim`. Each is handed out once, but for the last resort; the limiters fail closed.
pub(super) async fn claim(cx: Context, request: KeyPackageClaim) -> Answered {
    let (core, caller) = (&cx.core, &cx.caller);
    let (rates, now) = (&core.rates, Instant::now());
    cx.charge_lookup(&request.account)?;
    let own = request.account == caller.account;
    let contact = own || rates.contacts.contains((&request.account, &caller.account));
    for device in request.devices.iter() {
        // A new device of one's own is added to every room that one is in, with a KeyPackage for each.
        if !own {
            rates.key_package_claims.take((&caller.account, &request.account, device), 1, now)?;
        }
        if own || !contact {
            rates.key_package_claims_per_device.take((&request.account, device), 1, now)?;
        }
    }
    let account = request.account.clone();
    let claims = KeyPackageClaims {
        account: request.account,
        devices: request.devices.into_inner(),
        suite: request.suite,
        leave: if contact { 0 } else { core.limits.key_packages_reserved },
        now: core.now(),
    };
    let claimed = core.stored(core.store.claim_key_packages(claims)).await?.ok_or_else(Refusal::not_found)?;
    cx.found(&account);
    let mut packages = Vec::with_capacity(claimed.len());
    for one in claimed {
        if let Some(low) = one.low.and_then(|counts| wire(&Push::KeyPackagesLow(counts))) {
            core.bus.to_device(&account, one.package.device, Signal::Push(low));
        }
        packages.push(one.package);
    }
    let packages = BoundedVec::new(packages).map_err(|_| Refusal::internal())?;
    Ok(Response::KeyPackages(KeyPackages { packages }))
}

/// `KeyPackageStatus`.
pub(super) async fn status(cx: Context) -> Answered {
    let (core, caller) = (&cx.core, &cx.caller);
    let counts = core.store.key_package_counts(&caller.account, caller.device, core.now());
    core.stored(counts).await?.map(Response::KeyPackageCounts).ok_or_else(Refusal::not_found)
}
