//! The room that a relay's configuration names for new accounts. A profile that knows nobody yet joins it once by itself: who
//! registers with a relay that has one wants to be there, and may leave.

use subrosa_protocol::frames::{Empty, Request, Response, RoomName};

use super::{
    super::{Core, Fault, Turn},
    RoomAsked,
};

/// Of a setting that is there once the relay has said that it has none.
const LOBBY: &str = "lobby";

impl Core {
    /// Asks for the lobby, with the first connection of a new account.
    pub(super) fn ask_lobby(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        if std::mem::replace(&mut self.rooms.lobby_asked, true) {
            return Ok(());
        }
        let new = self.me.device.get() == 1
            && self.store.read(|tx| {
                let nobody = tx.contacts()?.is_empty() && tx.room_count()? == 0;
                Ok::<_, Fault>(nobody && tx.setting(LOBBY)?.is_none())
            })?;
        if !new {
            return Ok(());
        }
        self.ask_room(turn, RoomAsked::Relay, &Request::RelayShow(Empty {}))
    }

    pub(super) fn on_relay_info(&mut self, turn: &mut Turn<'_>, response: &Response) -> Result<(), Fault> {
        let Response::RelayInfo(info) = response else { return Ok(()) };
        match &info.lobby {
            // Noted by the room that it is in from then on: a process that ends before has not joined, and the next one does.
            Some(lobby) => self.enter(turn, None, RoomName::Slug(lobby.clone()), None, None),
            None => self.transact(turn, |w| Ok(w.tx.set_setting(LOBBY, Some("asked"))?))?,
        }
        Ok(())
    }
}
