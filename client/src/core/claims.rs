//! Fetching prekey bundles and opening sessions with them, in the transaction that encrypts the first message.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crypto::verify::{bundle::PrekeyBundle, prekey::Prekey};
use subrosa_protocol::{
    BoundedVec, DeviceId, ErrorCode, Username,
    frames::{DeviceBundle, ErrorFrame, PrekeyBundles, PrekeyClaim, Request, Response},
};

use super::{Asked, Core, Fault, Turn, retry_after, seal::Target, work::Work};
use crate::{api::MessageState, store::HeldFor};

/// Claims wanted and under way.
#[derive(Default)]
pub(super) struct Claims {
    needed: BTreeSet<Username>,
    /// Devices that are to be invited to a room.
    for_rooms: BTreeSet<(Username, DeviceId)>,
    under_way: BTreeSet<Username>,
    /// Not before a time, after so many failures.
    put_off: BTreeMap<Username, (u64, u32)>,
}

impl Claims {
    pub(super) fn need(&mut self, account: Username) {
        self.needed.insert(account);
    }

    /// Sessions with these devices are needed, also when nothing waits to be sent in them.
    pub(super) fn need_for(&mut self, account: &Username, devices: Vec<DeviceId>) {
        self.for_rooms.extend(devices.into_iter().map(|device| (account.clone(), device)));
        self.needed.insert(account.clone());
    }

    pub(super) fn on_up(&mut self) {
        self.put_off.clear();
    }

    pub(super) fn on_down(&mut self) {
        self.under_way.clear();
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        self.needed.iter().filter_map(|account| self.put_off.get(account)).map(|(at, _)| *at).min()
    }

    fn is_ready(&self, account: &Username, now: u64) -> bool {
        !self.under_way.contains(account) && self.put_off.get(account).is_none_or(|(at, _)| *at <= now)
    }

    fn fail(&mut self, account: &Username, now: u64, said: Option<u64>) {
        let attempts = self.put_off.get(account).map_or(0, |(_, attempts)| *attempts);
        let at = now.saturating_add(retry_after(said, attempts));
        self.put_off.insert(account.clone(), (at, attempts.saturating_add(1)));
        self.needed.insert(account.clone());
    }
}

impl Core {
    pub(super) fn pump_claims(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let ready: Vec<_> = self
            .claims
            .needed
            .iter()
            .filter(|account| self.claims.is_ready(account, turn.now))
            .cloned()
            .collect();
        for account in ready {
            // When the store fails here, it stays needed.
            let wanted = std::mem::take(&mut self.claims.for_rooms);
            let devices = self.transact(turn, |w| {
                let devices = devices_without_session(w, &account, &wanted)?;
                if devices.is_empty() {
                    // The devices opened the sessions themselves meanwhile: what waited for them goes out.
                    w.done.drains.insert(account.clone());
                }
                Ok(devices)
            });
            self.claims.for_rooms = wanted;
            let devices = devices?;
            self.claims.needed.remove(&account);
            let Ok(devices) = BoundedVec::new(devices) else { continue };
            if devices.is_empty() {
                continue;
            }
            self.claims.under_way.insert(account.clone());
            let claim = PrekeyClaim { account: account.clone(), devices };
            self.ask(turn, Asked::Claim { account }, &Request::PrekeyClaim(claim))?;
        }
        Ok(())
    }

    pub(super) fn on_bundles(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        response: Response,
    ) -> Result<(), Fault> {
        self.claims.under_way.remove(account);
        let wanted = self.claims.for_rooms.clone();
        self.claims.for_rooms.retain(|(wanted, _)| wanted != account);
        match response {
            Response::PrekeyBundles(PrekeyBundles { bundles }) => {
                let left = self.transact(turn, |w| {
                    open_sessions(w, account, &bundles)?;
                    let left = devices_without_session(w, account, &wanted)?;
                    say_why(w, account, &left)?;
                    Ok(left)
                })?;
                if left.is_empty() {
                    self.claims.put_off.remove(account);
                } else {
                    // Gone, or without valid prekeys: its list may say more, and time may.
                    self.claims.fail(account, turn.now, None);
                    self.lookups.want([].into(), [account.clone()].into());
                }
                Ok(())
            }
            Response::Error(ErrorFrame { code, retry_after_ms, .. }) => {
                self.claims.fail(account, turn.now, retry_after_ms);
                if code == ErrorCode::NotFound {
                    self.lookups.want([account.clone()].into(), [].into());
                }
                Ok(())
            }
            _ => Err(Fault::Relay("another answer to a claim of prekeys than there is")),
        }
    }
}

/// Devices of the known list for which something waits and with which there is no session.
fn devices_without_session(
    w: &mut Work<'_>,
    account: &Username,
    wanted: &BTreeSet<(Username, DeviceId)>,
) -> Result<Vec<DeviceId>, Fault> {
    let Some(list) = w.list(account)? else { return Ok(Vec::new()) };
    if !w.is_me(account) && w.tx.peer(account)?.is_some_and(|peer| peer.is_stopped()) {
        return Ok(Vec::new());
    }
    let mut devices = Vec::new();
    for (_, device) in wanted.iter().filter(|(for_room, _)| for_room == account) {
        if Target::open(w, account, *device, &list)?.is_some_and(|target| !target.has_session()) {
            devices.push(*device);
        }
    }
    for (waiting, device, reason) in w.tx.pending_targets()? {
        if let (true, Some(device), HeldFor::Session) = (waiting == *account, device, reason)
            && Target::open(w, account, device, &list)?.is_some_and(|target| !target.has_session())
            && !devices.contains(&device)
        {
            devices.push(device);
        }
    }
    Ok(devices)
}

fn open_sessions(w: &mut Work<'_>, account: &Username, bundles: &[DeviceBundle]) -> Result<(), Fault> {
    let Some(list) = w.list(account)? else { return Ok(()) };
    for found in bundles {
        let Some(mut target) = Target::open(w, account, found.device, &list)? else { continue };
        let Some(bundle) = parse(found) else { continue };
        let signing_key = target.entry().verifying_key();
        let valid = bundle.verify(&signing_key, account.as_str(), found.device.get(), w.now);
        if target.has_session() {
            continue;
        }
        match valid.map_err(|error| error.to_string()) {
            Ok(()) => match target.initiate(w, &bundle) {
                Ok(()) => {
                    w.done.fresh.insert((account.clone(), found.device));
                    target.close(w)?;
                }
                Err(error) => tracing::warn!(%error, "no session could be opened"),
            },
            Err(error) => tracing::warn!(%error, "a prekey bundle is refused"),
        }
    }
    w.done.drains.insert(account.clone());
    Ok(())
}

/// The lines that wait for a session with one of these devices say so; those that do not any more say nothing.
fn say_why(w: &mut Work<'_>, account: &Username, left: &[DeviceId]) -> Result<(), Fault> {
    if w.is_me(account) {
        return Ok(());
    }
    let mut lines = BTreeMap::<_, bool>::new();
    for row in w.tx.pending_for(account, usize::MAX)? {
        if row.reason == HeldFor::Session {
            *lines.entry(row.message).or_default() |= row.device.is_some_and(|device| left.contains(&device));
        }
    }
    let why = format!("the relay has no valid keys of {account}'s device; it is asked again");
    for (message, waits) in lines {
        w.hold_line(message, MessageState::Queued, waits.then_some(why.as_str()))?;
    }
    Ok(())
}

fn parse(found: &DeviceBundle) -> Option<PrekeyBundle> {
    Some(PrekeyBundle {
        signed: Prekey::parse(&found.signed[..]).ok()?,
        one_time: match &found.one_time {
            Some(bytes) => Some(Prekey::parse(&bytes[..]).ok()?),
            None => None,
        },
        kem: Prekey::parse(&found.kem[..]).ok()?,
    })
}
