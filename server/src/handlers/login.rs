//! Login with the passphrase (OPAQUE), and what it permits: adding a device, or renewing one unused for too long.

use std::sync::Arc;

use subrosa_protocol::{
    BoundedBytes, DeviceId, ErrorCode, Username,
    frames::{DeviceAdd, DeviceListChanged, LoginChallenge, LoginFinish, LoginGranted, LoginStart, Push},
    limits::DEVICES_PER_ACCOUNT,
};
use subrosa_verify::opaque::{LoginState, OpaqueError};
use tokio::time::Instant;

use super::{
    Refusal,
    register::Staged,
    verified::{self, Owner, apart},
    wire,
};
use crate::{
    bus::Signal,
    core::Core,
    listener::Network,
    random,
    store::{DeviceAddition, NewDevice, Published},
};

/// A login that was begun on this connection.
pub(crate) struct Started {
    account: Username,
    state: LoginState,
}

/// The passphrase of this account was proved on this connection.
pub(crate) struct Granted {
    account: Username,
}

/// `LoginStart`. An account that does not exist gets an answer like any other (R40), and counts like any other.
pub(crate) async fn start(
    core: &Arc<Core>,
    network: Network,
    exporter: &[u8; 32],
    request: LoginStart,
) -> Result<(Started, LoginChallenge), Refusal> {
    let (now, account) = (Instant::now(), request.account);
    let key = (&account, network);
    core.rates.logins_per_network.take(network, 1, now)?;
    core.rates.login_delays.check(key, now)?;
    core.rates.logins_per_account_and_network.take(key, 1, now)?;
    core.rates.logins_per_account.take(&account, 1, now)?;
    // The client learns from KE2 whether its guess is right: an attempt counts as failed until KE3 shows otherwise.
    core.rates.login_delays.failed(key, now);
    let record = core.stored(core.store.opaque_record(&account)).await?;
    let started = core.opaque.login_start(
        account.as_str(),
        record.as_deref(),
        &request.opaque,
        exporter,
        &mut random::rng(),
    );
    let (state, ke2) = started.map_err(|error| match error {
        OpaqueError::Malformed | OpaqueError::Refused => Refusal::bad_request("not an OPAQUE login request"),
        OpaqueError::Stored => {
            tracing::error!("an OPAQUE record cannot be read: restore {}", crate::data_dir::OPAQUE_SETUP);
            Refusal::internal()
        }
    })?;
    let opaque = BoundedBytes::new(ke2).map_err(|_| Refusal::internal())?;
    Ok((Started { account, state }, LoginChallenge { opaque }))
}

/// `LoginFinish`.
pub(crate) async fn finish(
    core: &Arc<Core>,
    network: Network,
    started: Started,
    request: LoginFinish,
) -> Result<(Granted, LoginGranted), Refusal> {
    let Started { account, state } = started;
    state.finish(&request.opaque).map_err(|_| Refusal::login_failed())?;
    core.rates.login_delays.succeeded((&account, network));
    let current = core.stored(core.store.account(&account)).await?.ok_or_else(Refusal::login_failed)?;
    if let Some(device) = request.renew
        && !core.stored(core.store.touch_device(&account, device, core.now())).await?
    {
        return Err(Refusal::not_found());
    }
    Ok((Granted { account }, LoginGranted { device_list: current.list.signed }))
}

/// `DeviceAdd`: the next device list, with one device more.
pub(crate) async fn add_device(
    core: &Arc<Core>,
    granted: &Granted,
    staged: Staged,
    request: DeviceAdd,
) -> Result<(), Refusal> {
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let account = granted.account.clone();
    let current = core.stored(core.store.account(&account)).await?.ok_or_else(Refusal::not_found)?;
    let current = verified::list(&account, &current.list.signed)?;
    if current.devices.len() >= DEVICES_PER_ACCOUNT {
        return Err(Refusal::new(
            ErrorCode::Refused,
            "the account has as many devices as it may: remove one first",
        ));
    }
    let list = verified::list(&account, &request.device_list)?;
    if list.version <= current.version {
        return Err(Refusal::new(ErrorCode::Conflict, "the device list is not the current one's successor"));
    }
    list.check_follows(&current).map_err(|_| {
        Refusal::new(ErrorCode::Conflict, "the device list is not the current one's successor")
    })?;
    let keeps_all = current.devices.iter().all(|entry| list.device(entry.device_id).is_some());
    let Some(entry) =
        list.device(request.device.get()).filter(|entry| current.device(entry.device_id).is_none())
    else {
        return Err(Refusal::invalid("the device list does not name the new device"));
    };
    if !keeps_all || list.devices.len() != current.devices.len() + 1 {
        return Err(Refusal::invalid("the device list names exactly one device more"));
    }
    let now = core.now();
    let device = request.device;
    let owner = Owner { account: account.clone(), device, signing_key: entry.signing_key, now };
    let prekeys = apart(move || owner.all(request.prekeys, staged.0)).await?;
    let addition = DeviceAddition {
        account: account.clone(),
        list: verified::version(&list, request.device_list)?,
        device: NewDevice { device, signing_key: entry.signing_key, prekeys },
        now,
    };
    match core.stored(core.store.add_device(addition)).await? {
        Published::Done { .. } => {
            announce(core, &account, None, list.version);
            Ok(())
        }
        Published::Conflict => {
            Err(Refusal::new(ErrorCode::Conflict, "the device list is not the current one's successor"))
        }
        Published::NotFound => Err(Refusal::not_found()),
    }
}

/// Tells an account's connected devices that there is a new list.
pub(super) fn announce(core: &Core, account: &Username, except: Option<DeviceId>, version: u64) {
    if let Some(frame) = wire(&Push::DeviceListChanged(DeviceListChanged { version })) {
        core.bus.to_account(account, except, Signal::Push(frame));
    }
}
