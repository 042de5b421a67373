//! Device lists: looking up accounts, and the own account's next list.

use std::collections::BTreeSet;

use subrosa_protocol::{
    BoundedVec, DeviceId, ErrorCode, RoomId, Username,
    frames::{CloseReason, DeviceListFetch, DeviceListPublish, DeviceLists, Empty, Response, Standing},
    limits::DEVICE_LISTS_PER_PAGE,
};
use tokio::time::Instant;

use super::{Answered, Context, Refusal, login::announce, verified};
use crate::{
    rooms::fanout,
    store::{Asker, Published},
};

impl Context {
    /// Charges for naming an account that the caller has not found before (R38). Whoever finds an account once may come
    /// back to it: that tells nothing new.
    pub(super) fn charge_lookup(&self, account: &Username) -> Result<(), Refusal> {
        let (rates, caller) = (&self.core.rates, &self.caller);
        if *account == caller.account || rates.known.contains((&caller.account, account)) {
            return Ok(());
        }
        let now = Instant::now();
        rates.lookups_per_account.take(&caller.account, 1, now)?;
        rates.lookups_per_network.take(caller.network, 1, now)?;
        Ok(())
    }

    /// The rooms of some of the caller's devices.
    async fn rooms_of(&self, devices: impl Iterator<Item = u32>) -> Result<BTreeSet<RoomId>, Refusal> {
        let mut rooms = BTreeSet::new();
        for device in devices {
            let Ok(device) = DeviceId::new(device) else { continue };
            let asker = Asker { account: self.caller.account.clone(), device };
            let most = usize::try_from(self.core.limits.rooms_per_account).unwrap_or(usize::MAX);
            let heads = self.core.store.device_rooms(asker, None, most);
            let heads = self.core.stored(heads).await?.into_iter();
            rooms.extend(heads.filter(|head| head.standing == Standing::Joined).map(|head| head.room));
        }
        Ok(rooms)
    }

    /// Notes that the caller found an account.
    pub(super) fn found(&self, account: &Username) {
        self.core.rates.known.insert((&self.caller.account, account));
    }
}

/// `DeviceListFetch`.
pub(super) async fn fetch(cx: Context, request: DeviceListFetch) -> Answered {
    cx.charge_lookup(&request.account)?;
    let page = cx.core.store.device_lists(&request.account, request.since, DEVICE_LISTS_PER_PAGE);
    let page = cx.core.stored(page).await?.ok_or_else(Refusal::not_found)?;
    cx.found(&request.account);
    let lists = BoundedVec::new(page.lists).map_err(|_| Refusal::internal())?;
    Ok(Response::DeviceLists(DeviceLists { lists, more: page.more, display_name: page.display_name }))
}

/// `DeviceListPublish`: the own account's next list, which may only remove devices. Those that are gone lose their
/// connections, prekeys and mailboxes.
pub(super) async fn publish(cx: Context, request: DeviceListPublish) -> Answered {
    let core = &cx.core;
    let account = &cx.caller.account;
    let conflict = || Refusal::new(ErrorCode::Conflict, "the device list is not the current one's successor");
    let list = verified::list(account, &request.device_list)?;
    let current = core.stored(core.store.account(account)).await?.ok_or_else(Refusal::not_found)?;
    let current = verified::list(account, &current.list.signed)?;
    list.check_follows(&current).map_err(|_| conflict())?;
    if list.devices.iter().any(|entry| current.device(entry.device_id).is_none()) {
        return Err(Refusal::new(
            ErrorCode::Refused,
            "a device is added by logging it in, not by publishing a list",
        ));
    }
    let gone = current.devices.iter().filter(|entry| list.device(entry.device_id).is_none());
    let rooms = cx.rooms_of(gone.map(|entry| entry.device_id)).await?;
    let version = verified::version(&list, request.device_list)?;
    match core.stored(core.store.publish_list(account, version)).await? {
        Published::Done { removed } => {
            for device in removed {
                core.bus.end_device(account, device, CloseReason::Revoked);
            }
            for room in rooms {
                fanout::changed(core, room);
                cx.tell_roster(room);
            }
            announce(core, account, Some(cx.caller.device), list.version);
            Ok(Response::Done(Empty {}))
        }
        Published::Conflict => Err(conflict()),
        Published::NotFound => Err(Refusal::not_found()),
    }
}
