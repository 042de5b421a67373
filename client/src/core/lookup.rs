//! Fetching device lists: who is looked up, how often, and what waits for the answer.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_crypto::verify::device_list::{DeviceList, SignedDeviceList};
use subrosa_protocol::{
    ErrorCode, Username,
    frames::{DeviceListFetch, DeviceLists, ErrorFrame, Request, Response},
};

use super::{Asked, Core, Fault, Turn, gossip, gossip::Heard, lists, lists::Followed, receive, retry_after};
use crate::{
    api::{ApiError, Kind, Trust},
    limits::{
        CHAIN_MAX, LOOKUPS_WAITING, RELOOK_EVERY_MS, RELOOK_MAX_MS, RETRY_MAX_MS, STRANGER_LOOKUP_EVERY_MS,
        STRANGER_LOOKUPS,
    },
    net::refused,
    store::{Claim, HeldFor},
};

/// Lookups wanted and under way.
#[derive(Default)]
pub(super) struct Lookups {
    /// And whether from the first version on.
    wanted: BTreeMap<Username, bool>,
    /// And whether envelopes wait for the answer.
    under_way: BTreeMap<Username, bool>,
    /// Accounts whose deferred envelopes are the reason.
    for_envelopes: BTreeSet<Username>,
    /// Not before a time, after so many failures.
    put_off: BTreeMap<Username, (u64, u32)>,
    /// The relay answers no lookups before this time.
    limited_until: u64,
    /// Lookups of strangers that were made, and when counting began anew.
    strangers: (u32, u64),
    /// When deferred envelopes are to be looked at again.
    deferred_at: Option<u64>,
    /// Lists that somebody vouches for and this device has not seen: what the next lookup of their account must bring.
    claims: BTreeMap<Username, Claim>,
    /// Those that the lookups under way must bring.
    claims_under_way: BTreeMap<Username, Claim>,
    /// An own device is shown other lists of this account than this one.
    own_contradiction: bool,
    /// Lookups for the sake of envelopes: when the last one was, and how many in a row brought nothing new.
    fruitless: BTreeMap<Username, (u64, u32)>,
}

impl Lookups {
    pub(super) fn want(&mut self, lists: BTreeSet<Username>, chains: BTreeSet<Username>) {
        let lists = lists.into_iter().map(|account| (account, false));
        for (account, whole) in lists.chain(chains.into_iter().map(|account| (account, true))) {
            if self.wanted.len() < LOOKUPS_WAITING || self.wanted.contains_key(&account) {
                *self.wanted.entry(account).or_default() |= whole;
            }
        }
    }

    pub(super) fn on_up(&mut self) {
        self.put_off.clear();
        self.limited_until = 0;
        self.deferred_at = Some(0);
    }

    pub(super) fn on_down(&mut self) {
        // With the next connection the store says anew who is to be looked up for envelopes.
        self.for_envelopes.clear();
        for account in std::mem::take(&mut self.under_way).into_keys() {
            self.wanted.entry(account).or_default();
        }
        for (account, claim) in std::mem::take(&mut self.claims_under_way) {
            self.claims.entry(account).or_insert(claim);
        }
    }

    pub(super) fn heard(&mut self, heard: Heard) {
        self.own_contradiction |= heard.own_contradiction;
        for (account, claim) in heard.claims {
            if self.claims.len() < LOOKUPS_WAITING {
                self.claims.insert(account, claim);
            }
        }
    }

    /// A lookup of this account ended without saying anything: what it was to bring, the next one must.
    fn keep_claim(&mut self, account: &Username) {
        if let Some(claim) = self.claims_under_way.remove(account) {
            self.claims.entry(account.clone()).or_insert(claim);
        }
    }

    /// Whether the senders of messages that came, or this account's own devices, are being looked up.
    pub(super) fn busy_for_sync(&self, own: &Username) -> bool {
        let soon = |account: &Username| !self.put_off.contains_key(account) && self.limited_until == 0;
        let wanted = |account: &Username| self.wanted.contains_key(account) && soon(account);
        self.under_way.iter().any(|(account, for_envelopes)| *for_envelopes || account == own)
            || wanted(own)
            || self.for_envelopes.iter().any(wanted)
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        let ready =
            |account: &Username| self.put_off.get(account).map_or(0, |(at, _)| *at).max(self.limited_until);
        let idle = self.wanted.keys().filter(|account| !self.under_way.contains_key(*account));
        idle.map(ready).filter(|at| *at > 0).chain(self.deferred_at).min()
    }

    /// When an account may be looked up again because of an envelope: the less that brought, the later.
    fn may_look_again_at(&self, account: &Username) -> u64 {
        self.fruitless.get(account).map_or(0, |(last, count)| {
            let wait = RELOOK_EVERY_MS.saturating_mul(1 << (*count).min(10));
            last.saturating_add(wait.min(RELOOK_MAX_MS))
        })
    }

    fn looked_for_envelopes(&mut self, account: &Username, now: u64, news: bool) {
        if self.fruitless.len() >= LOOKUPS_WAITING {
            self.fruitless.clear();
        }
        let count = self.fruitless.get(account).map_or(0, |(_, count)| *count);
        let count = if news { 0 } else { count.saturating_add(1) };
        self.fruitless.insert(account.clone(), (now, count));
    }

    /// A lookup that only an envelope's claim asks for costs the relay's patience: some at once, then one a minute.
    fn may_look_up_stranger(&mut self, now: u64) -> bool {
        let (used, since) = self.strangers;
        let regained =
            u32::try_from(now.saturating_sub(since) / STRANGER_LOOKUP_EVERY_MS).unwrap_or(u32::MAX);
        if regained > 0 {
            self.strangers = (used.saturating_sub(regained), now);
        }
        if self.strangers.0 >= STRANGER_LOOKUPS {
            return false;
        }
        self.strangers.0 += 1;
        true
    }
}

impl Core {
    /// Own devices that are shown different lists stop.
    pub(super) fn heed_contradiction(&mut self, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.lookups.own_contradiction) {
            self.block(turn, own_contradiction());
        }
    }

    /// Looks at what waits for lists and sessions.
    pub(super) fn pump_pending(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if std::mem::take(&mut self.dirty.pending) {
            let targets = self.store.read(|tx| tx.pending_targets())?;
            for (account, device, reason) in targets {
                match (device, reason) {
                    (Some(_), HeldFor::Session) => self.claims.need(account),
                    (None, HeldFor::DeviceList | HeldFor::Session) => {
                        self.lookups.want([account].into(), [].into())
                    }
                    _ => {}
                }
            }
            self.lookups.deferred_at = Some(0);
        }
        if self.lookups.deferred_at.is_some_and(|at| at <= turn.now) {
            self.look_at_deferred(turn)?;
        }
        Ok(())
    }

    fn look_at_deferred(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        self.lookups.deferred_at = None;
        for (account, at) in self.store.read(|tx| tx.deferred_accounts())? {
            if self.lookups.under_way.contains_key(&account) || self.lookups.for_envelopes.contains(&account)
            {
                continue;
            }
            // Nothing is put off for longer: a time further ahead was written before the clock was set back.
            let waits = at > turn.now && at <= turn.now.saturating_add(RETRY_MAX_MS);
            let at = if waits { at } else { self.look_up_sender(turn, account)? };
            if at > turn.now {
                self.lookups.deferred_at =
                    Some(self.lookups.deferred_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
        Ok(())
    }

    /// Looks up who claims to have sent envelopes; or says when to try again.
    fn look_up_sender(&mut self, turn: &mut Turn<'_>, account: Username) -> Result<u64, Fault> {
        let again_at = self.lookups.may_look_again_at(&account);
        if again_at > turn.now {
            return Ok(again_at);
        }
        let peer = self.store.read(|tx| tx.peer(&account))?;
        let waits_for_person = peer.as_ref().is_some_and(|peer| peer.trust == Trust::Changed);
        let known = account == self.me.account || peer.is_some_and(|peer| peer.contact.is_some());
        if waits_for_person || !known && !self.lookups.may_look_up_stranger(turn.now) {
            let wait = if waits_for_person { RETRY_MAX_MS } else { STRANGER_LOOKUP_EVERY_MS };
            let at = turn.now.saturating_add(wait);
            self.transact(turn, |w| Ok(w.tx.retry_deferred(&account, at)?))?;
            return Ok(at);
        }
        self.lookups.for_envelopes.insert(account.clone());
        self.lookups.want([account].into(), [].into());
        Ok(0)
    }

    pub(super) fn pump_lookups(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if self.lookups.limited_until > turn.now {
            return Ok(());
        }
        self.lookups.limited_until = 0;
        let ready = |lookups: &Lookups, account: &Username| {
            !lookups.under_way.contains_key(account)
                && lookups.put_off.get(account).is_none_or(|(at, _)| *at <= turn.now)
        };
        let wanted: Vec<_> =
            self.lookups.wanted.keys().filter(|account| ready(&self.lookups, account)).cloned().collect();
        for account in wanted {
            self.look_up(turn, account)?;
        }
        Ok(())
    }

    fn look_up(&mut self, turn: &mut Turn<'_>, account: Username) -> Result<(), Fault> {
        // When the store fails here, the account stays wanted.
        let known = self.transact(turn, |w| Ok(w.list(&account)?.map(|known| known.list.version)))?;
        let whole = self.lookups.wanted.remove(&account).unwrap_or(false) || known.is_none();
        let since = known.filter(|_| !whole).unwrap_or(0);
        let for_envelopes = self.lookups.for_envelopes.remove(&account);
        self.lookups.under_way.insert(account.clone(), for_envelopes);
        // Only what was vouched for before the relay is asked can be held against its answer.
        if let Some(claim) = self.lookups.claims.remove(&account) {
            self.lookups.claims_under_way.insert(account.clone(), claim);
        }
        let fetch = DeviceListFetch { account: account.clone(), since };
        let asked = Asked::Lists { account, chain: Vec::new(), whole };
        self.ask(turn, asked, &Request::DeviceListFetch(fetch))
    }

    pub(super) fn on_lists(
        &mut self,
        turn: &mut Turn<'_>,
        account: Username,
        chain: Vec<SignedDeviceList>,
        whole: bool,
        response: Response,
    ) -> Result<(), Fault> {
        match response {
            Response::DeviceLists(page) => self.on_list_page(turn, account, chain, whole, page),
            Response::Error(frame) => self.on_lookup_refused(turn, &account, whole, &frame),
            _ => Err(Fault::Relay("another answer to a lookup than there is")),
        }
    }

    fn on_list_page(
        &mut self,
        turn: &mut Turn<'_>,
        account: Username,
        mut chain: Vec<SignedDeviceList>,
        whole: bool,
        page: DeviceLists,
    ) -> Result<(), Fault> {
        let DeviceLists { lists: page_lists, more, display_name } = page;
        let page_lists = page_lists.into_inner().into_iter();
        let before = newest_of(&chain);
        chain.extend(page_lists.map(|list| SignedDeviceList {
            bytes: list.bytes.into_inner(),
            signature: list.signature.into_array(),
        }));
        let newest = newest_of(&chain);
        // A page that brings nothing newer is the last one, whatever it says.
        if more && newest > before && chain.len() < CHAIN_MAX {
            let fetch = DeviceListFetch { account: account.clone(), since: newest };
            return self.ask(turn, Asked::Lists { account, chain, whole }, &Request::DeviceListFetch(fetch));
        }
        let claim = self.lookups.claims_under_way.get(&account).cloned();
        let (followed, news) = self.transact(turn, |w| {
            let before = w.list(&account)?.map(|known| known.list.version);
            let followed = lists::follow(w, &account, &chain, whole, &display_name)?;
            let news = w.list(&account)?.map(|known| known.list.version) != before;
            if followed == Followed::Done {
                if let Some(claim) = claim {
                    gossip::looked_up(w, &account, claim)?;
                }
                receive::take_deferred(w, &account)?;
            }
            Ok((followed, news))
        })?;
        // Not before: when the store fails, the lookup is made again with the next connection.
        if self.lookups.under_way.remove(&account).unwrap_or(false) {
            self.lookups.looked_for_envelopes(&account, turn.now, news);
        }
        match followed {
            Followed::Done => {
                self.lookups.claims_under_way.remove(&account);
                self.lookups.put_off.remove(&account);
                self.dirty.outbox = true;
                self.watch_for_devices(turn, &account)?;
                self.looked_up(turn, &account)
            }
            Followed::Contradiction => {
                self.lookups.keep_claim(&account);
                self.lookups.want([].into(), [account].into());
                Ok(())
            }
            Followed::Invalid => {
                tracing::warn!("the relay returned device lists that are not valid");
                let error = ApiError::new(
                    Kind::Refused,
                    format!("the relay's device list of {account} is not valid"),
                );
                self.put_off(turn, &account, whole, None, &error)
            }
            Followed::OwnContradiction => {
                self.block(turn, own_contradiction());
                Ok(())
            }
        }
    }

    /// An account without a device may get one, and nobody would say so: while something waits for it, it is looked up
    /// again now and then.
    fn watch_for_devices(&mut self, turn: &Turn<'_>, account: &Username) -> Result<(), Fault> {
        let waits = self.store.read(|tx| {
            let empty = tx.device_list(account)?.is_some_and(|known| known.list.devices.is_empty());
            Ok::<_, Fault>(empty && tx.has_pending(account, None)?)
        })?;
        if waits {
            self.lookups.put_off.insert(account.clone(), (turn.now.saturating_add(RETRY_MAX_MS), 0));
            self.lookups.want([account.clone()].into(), [].into());
        }
        Ok(())
    }

    /// Somebody writes to an account now: if it is put off, it is looked up all the same.
    pub(super) fn look_up_anew(&mut self, account: &Username) -> Result<(), Fault> {
        let empty =
            self.store.read(|tx| tx.device_list(account))?.is_some_and(|known| known.list.devices.is_empty());
        if empty {
            self.lookups.put_off.remove(account);
            self.lookups.want([account.clone()].into(), [].into());
        }
        Ok(())
    }

    fn looked_up(&mut self, turn: &mut Turn<'_>, account: &Username) -> Result<(), Fault> {
        if *account == self.me.account {
            let own = self.store.read(|tx| tx.device_list(account))?;
            if own.is_some_and(|own| own.list.device(self.me.device.get()).is_none()) {
                self.block(turn, super::connection::removed());
                return Ok(());
            }
            return self.own_devices_changed(turn);
        }
        self.waits.looked_up(account, Ok(()));
        Ok(())
    }

    fn on_lookup_refused(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        whole: bool,
        frame: &ErrorFrame,
    ) -> Result<(), Fault> {
        self.lookups.under_way.remove(account);
        let error = refused(frame);
        match frame.code {
            ErrorCode::NotFound => {
                self.lookups.keep_claim(account);
                let error =
                    ApiError::new(Kind::NotFound, format!("there is no account {account} on this relay"))
                        .hint("check the name");
                self.transact(turn, |w| lists::not_found(w, account, &error))?;
                self.room_lookup_failed(turn, account, &error);
                self.waits.looked_up(account, Err(error));
                Ok(())
            }
            ErrorCode::RateLimited => {
                self.lookups.limited_until = turn.now.saturating_add(retry_after(frame.retry_after_ms, 6));
                self.put_off(turn, account, whole, frame.retry_after_ms, &error)
            }
            _ => self.put_off(turn, account, whole, frame.retry_after_ms, &error),
        }
    }

    /// Tries again later; who waits for it at a screen is told now.
    fn put_off(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        whole: bool,
        said: Option<u64>,
        error: &ApiError,
    ) -> Result<(), Fault> {
        self.lookups.keep_claim(account);
        let attempts = self.lookups.put_off.get(account).map_or(0, |(_, attempts)| *attempts);
        let at = turn.now.saturating_add(retry_after(said, attempts));
        self.lookups.put_off.insert(account.clone(), (at, attempts.saturating_add(1)));
        self.lookups.want(
            if whole { [].into() } else { [account.clone()].into() },
            if whole { [account.clone()].into() } else { [].into() },
        );
        self.transact(turn, |w| Ok(w.tx.retry_deferred(account, at)?))?;
        self.waits.looked_up(account, Err(error.clone()));
        Ok(())
    }
}

/// Somebody shows this account's devices different lists, or lists under another key.
fn own_contradiction() -> ApiError {
    ApiError::new(
        Kind::Identity,
        "the relay shows other devices of this account than this device signed or knows",
    )
    .hint("the relay, or somebody with your recovery words, interferes; nothing is sent")
}

/// The version of the last list, as it says itself; 0 of none.
fn newest_of(chain: &[SignedDeviceList]) -> u64 {
    chain.last().and_then(|signed| DeviceList::parse(&signed.bytes).ok()).map_or(0, |list| list.version)
}
