//! Device lists of members: needed before a commit or a Welcome can be judged (R33).

use std::collections::BTreeSet;

use subrosa_crypto::verify::device_list::SignedDeviceList;
use subrosa_protocol::{
    BoundedVec, ErrorCode, RoomId, SafeText, Username,
    frames::{AccountLists, KnownList, Request, Response, RoomLists},
    limits::ROOM_LISTS_PER_PAGE,
};

use super::{
    super::{Core, Fault, Turn, lists, retry_after, work::Work},
    RoomAsked,
};
use crate::limits::{FOLLOW_LOOKUP_MS, WITHOUT_LIST_MS, WITHOUT_LIST_TRIES};

impl Core {
    /// Asks for the lists that rooms wait for.
    pub(super) fn pump_room_lists(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let waiting: Vec<RoomId> = self
            .rooms
            .live
            .iter()
            .filter(|(_, live)| !live.needs.is_empty() && !live.asked)
            .map(|(room, _)| *room)
            .collect();
        for room in waiting {
            if let Some(at) = self.rooms.live(room).lists_at.filter(|at| *at > turn.now) {
                self.rooms.again(at);
                continue;
            }
            let live = self.rooms.live(room);
            live.asked = true;
            let accounts: Vec<Username> = live.needs.iter().take(ROOM_LISTS_PER_PAGE).cloned().collect();
            let mut known = Vec::with_capacity(accounts.len());
            for account in accounts {
                let list = self.transact(turn, |w| w.list(&account))?;
                known.push(KnownList { account, since: list.map_or(0, |known| known.list.version) });
            }
            let accounts = BoundedVec::new(known).map_err(|_| Fault::Internal("accounts"))?;
            self.ask_room(
                turn,
                RoomAsked::Lists { room },
                &Request::RoomLists(RoomLists { room, accounts }),
            )?;
        }
        Ok(())
    }

    pub(super) fn on_room_lists(
        &mut self,
        turn: &mut Turn<'_>,
        room: RoomId,
        response: Response,
    ) -> Result<(), Fault> {
        let live = self.rooms.live(room);
        live.asked = false;
        let asked: Vec<Username> = live.needs.iter().take(ROOM_LISTS_PER_PAGE).cloned().collect();
        let page = match response {
            Response::RoomListsPage(page) => page,
            Response::Error(frame) => {
                let later = [ErrorCode::RateLimited, ErrorCode::Internal, ErrorCode::ShuttingDown];
                if later.contains(&frame.code) {
                    live.lists_at = Some(turn.now.saturating_add(retry_after(frame.retry_after_ms, 4)));
                } else {
                    // None of these come from there.
                    live.fresh.append(&mut live.needs);
                    live.behind = true;
                }
                return Ok(());
            }
            _ => return Err(Fault::Relay("another answer to a question about device lists than there is")),
        };
        let answered = usize::try_from(page.answered).unwrap_or(usize::MAX).clamp(1, asked.len().max(1));
        let news = self.transact(turn, |w| {
            let mut news = false;
            for found in page.accounts.iter() {
                let before = w.list(&found.account)?.map(|known| known.list.version);
                take(w, found)?;
                news |= w.list(&found.account)?.map(|known| known.list.version) != before;
            }
            Ok(news)
        })?;
        // A page that brings nothing newer is the last one, whatever it says.
        let more = news && page.accounts.iter().any(|found| found.more);
        let without: BTreeSet<Username> = asked
            .iter()
            .take(answered)
            .filter(|account| !page.accounts.iter().any(|found| found.account == **account))
            .cloned()
            .collect();
        if !more {
            self.look_up_to_follow(turn, room, without);
        }
        let live = self.rooms.live(room);
        if !more {
            // Of whom nothing came, the relay has no list: the leaf is nobody's.
            for account in asked.into_iter().take(answered) {
                live.needs.remove(&account);
                live.fresh.insert(account);
            }
        }
        if live.needs.is_empty() {
            live.behind = true;
        }
        Ok(())
    }
}

impl Core {
    /// The relay has no lists of these accounts for the room: their devices are signed out. What is to follow from their lists waits for the
    /// newest ones.
    fn look_up_to_follow(&mut self, turn: &Turn<'_>, room: RoomId, without: BTreeSet<Username>) {
        let not_before = turn.now.saturating_add(FOLLOW_LOOKUP_MS);
        for wanted in self.rooms.wanted.iter_mut().filter(|wanted| wanted.room == room && !wanted.made) {
            if let super::Act::Follow(account) = &wanted.act
                && without.contains(account)
            {
                self.lookups.want([account.clone()].into(), [].into());
                wanted.not_before = wanted.not_before.max(not_before);
            }
        }
        self.rooms.again(not_before);
    }

    /// What the entry at hand of a log needs. Lists that the relay did not have when it was asked for them are looked up, and the entry
    /// waits a while before it is tried again.
    pub(super) fn need_lists(&mut self, turn: &Turn<'_>, room: RoomId, accounts: BTreeSet<Username>) {
        let live = self.rooms.live(room);
        let missing: BTreeSet<Username> = accounts.difference(&live.fresh).cloned().collect();
        if !missing.is_empty() {
            live.needs.extend(missing);
            return;
        }
        live.fresh.retain(|account| !accounts.contains(account));
        let wait = WITHOUT_LIST_MS.saturating_mul(1 << live.without_list.min(WITHOUT_LIST_TRIES));
        live.without_list = live.without_list.saturating_add(1);
        live.sync_at = Some(turn.now.saturating_add(wait));
        live.behind = true;
        self.lookups.want(accounts, [].into());
    }
}

/// The newest list of an account that is met in a room for the first time, or those that follow the known one.
fn take(w: &mut Work<'_>, found: &AccountLists) -> Result<(), Fault> {
    let chain: Vec<_> = found
        .lists
        .iter()
        .map(|list| SignedDeviceList { bytes: list.bytes.to_vec(), signature: list.signature.into_array() })
        .collect();
    if w.list(&found.account)?.is_none() && !w.is_me(&found.account) {
        return lists::first_seen(w, &found.account, &chain, &SafeText::name(&found.display_name));
    }
    match lists::follow(w, &found.account, &chain, false, &found.display_name)? {
        lists::Followed::Done => Ok(()),
        // The whole chain must show why.
        _ => {
            w.done.want_chains.insert(found.account.clone());
            Ok(())
        }
    }
}
