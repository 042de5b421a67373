//! Device lists of members: needed before a commit or a Welcome can be judged (R33).

use subrosa_crypto::verify::device_list::SignedDeviceList;
use subrosa_protocol::{
    BoundedVec, RoomId, SafeText, Username,
    frames::{AccountLists, KnownList, Request, Response, RoomLists},
    limits::ROOM_LISTS_PER_PAGE,
};

use super::{
    super::{Core, Fault, Turn, lists, work::Work},
    RoomAsked,
};

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
        let Response::RoomListsPage(page) = response else {
            // Refused for now: the next connection asks again.
            self.drop_connection(turn);
            return Ok(());
        };
        let answered = usize::try_from(page.answered).unwrap_or(usize::MAX).clamp(1, asked.len().max(1));
        let more = page.accounts.iter().any(|found| found.more);
        self.transact(turn, |w| {
            for found in page.accounts.iter() {
                take(w, found)?;
            }
            Ok(())
        })?;
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
