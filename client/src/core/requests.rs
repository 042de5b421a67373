//! What front ends ask: one method a line.

use subrosa_protocol::{MessageId, SafeText, Username, content::ReceiptKind};

use super::{Core, Effect, Fault, Turn, contacts, receipts, trust, waits::Then};
use crate::{
    api::{ApiError, ContactState, Kind, Reply, Request},
    chat::ChatId,
    limits::DEFAULT_WAIT_MS,
};

/// Of a setting that is `off`, no read receipts are given (R45).
const READ_RECEIPTS: &str = "receipts.read";

impl Core {
    pub(super) fn on_request(&mut self, turn: &mut Turn<'_>, token: u64, request: Request) {
        let result = match self.carry_out(turn, token, request) {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => return,
            Err(fault) => Err(fault.into()),
        };
        turn.out.push(Effect::Reply { token, result });
    }

    /// The reply; `None` when it comes later.
    fn carry_out(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        request: Request,
    ) -> Result<Option<Reply>, Fault> {
        Ok(Some(match request {
            Request::AccountShow {} => self.account_info(),
            Request::StatusShow {} => self.status()?,
            Request::MessageSend(send) => return self.send_message(turn, token, send).map(|()| None),
            Request::MessageShow { id } => {
                let missing = || ApiError::new(Kind::NotFound, "there is no such message");
                let id: MessageId = id.parse().map_err(|_| missing())?;
                let message = self.store.read(|tx| tx.message(id))?.ok_or_else(missing)?;
                let (delivered_to, read_by) = self.store.read(|tx| super::rooms::who_has(tx, &message))?;
                Reply::Message { message, delivered_to, read_by }
            }
            Request::MessageEdit { .. }
            | Request::MessageDelete { .. }
            | Request::MessageReact { .. }
            | Request::MessagePin { .. } => self.message_request(turn, request)?,
            Request::ChatTyping { chat, stopped } => self.typing(turn, &chat, stopped)?,
            Request::MessageSearch { query, limit } => {
                Reply::Hits { hits: self.store.read(|tx| tx.search(&query, limit))? }
            }
            Request::ChatList {} => Reply::Chats { chats: self.store.read(|tx| tx.chats())? },
            Request::ChatHistory { chat, before, after, limit } => {
                let chat = self.chat_named(&chat)?;
                Reply::History(self.store.read(|tx| tx.history(&chat, before, after, limit))?)
            }
            Request::ChatRead { chat, up_to } => self.mark_read(turn, &chat, up_to)?,
            Request::ChatDraft { chat, text } => {
                let chat = self.chat_named(&chat)?;
                self.transact(turn, |w| Ok(w.tx.set_draft(&chat, &text)?))?;
                Reply::Done {}
            }
            Request::ContactList {} => Reply::Contacts { contacts: self.store.read(|tx| tx.contacts())? },
            Request::ContactAdd { name } => return self.look_up_for(turn, token, &name, Then::Add),
            Request::ContactAccept { name } => {
                self.me.keys()?;
                self.change_contact(turn, &name, contacts::accept)?
            }
            Request::ContactSafetyNumber { name } => {
                return self.look_up_for(turn, token, &name, Then::SafetyNumber);
            }
            Request::ContactVerify { name, number } => {
                self.change_contact(turn, &name, |w, account| trust::verify(w, account, &number))?
            }
            Request::ContactTrust { name, number } => {
                self.change_contact(turn, &name, |w, account| trust::trust(w, account, number.as_deref()))?
            }
            Request::RoomCreate(_)
            | Request::RoomList { .. }
            | Request::RoomShow { .. }
            | Request::RoomJoin { .. }
            | Request::RoomLeave { .. }
            | Request::RoomInvite { .. }
            | Request::RoomKick { .. }
            | Request::RoomBan { .. }
            | Request::RoomUnban { .. }
            | Request::RoomRole { .. }
            | Request::RoomMute { .. }
            | Request::RoomTopic { .. }
            | Request::RoomRename { .. }
            | Request::RoomRenew { .. }
            | Request::RoomEvidence { .. }
            | Request::RoomMembers { .. }
            | Request::RoomHistory { .. } => return self.room_request(turn, token, request),
            Request::DeviceList {} => self.own_devices()?,
            Request::DeviceRemove { device } => {
                return self.remove_device(turn, token, device, false).map(|()| None);
            }
            Request::EventsFetch { since, max, filter } => {
                Reply::Events(self.store.read(|tx| tx.events(since, max, &filter))?)
            }
            Request::EventsAck { seq } => {
                self.transact(turn, |w| Ok(w.tx.acknowledge_events(seq)?))?;
                Reply::Done {}
            }
            Request::SyncWait { timeout_ms } => {
                if let crate::api::ConnectionState::Blocked { error } = self.link.state() {
                    return Err(error.into());
                }
                return self.wait_for_sync(turn, token, timeout_ms).map(|()| None);
            }
            Request::ProfileCheck {} => self.check()?,
            Request::ConnectionReconnect {} => {
                if let Some(error) = self.me.refusal() {
                    return Err(error.into());
                }
                turn.out.push(Effect::Reconnect);
                Reply::Done {}
            }
            Request::AccountLogout { force } => {
                if !force {
                    self.owns_alone(turn)?;
                }
                return self.remove_device(turn, token, self.me.device.get(), true).map(|()| None);
            }
            Request::SystemShutdown {} => {
                turn.out.push(Effect::Reply { token, result: Ok(Reply::Done {}) });
                turn.out.push(Effect::Shutdown);
                return Ok(None);
            }
        }))
    }

    /// The chat that somebody named; it need not exist.
    fn chat_named(&self, text: &str) -> Result<ChatId, Fault> {
        if text.starts_with('#') {
            return self.room_named(text).map(|stored| ChatId::from(stored.id));
        }
        Ok(self.account_named(text).map(ChatId::from)?)
    }

    fn mark_read(&mut self, turn: &mut Turn<'_>, chat: &str, up_to: i64) -> Result<Reply, Fault> {
        let chat = self.chat_named(chat)?;
        self.transact(turn, |w| {
            let read = w.tx.mark_read(&chat, up_to)?;
            if read.is_empty() || w.tx.setting(READ_RECEIPTS)?.as_deref() == Some("off") {
                return Ok(());
            }
            let account = match &chat {
                ChatId::Person(account) => account,
                ChatId::Room(room) => return super::rooms::read(w, *room, &read),
            };
            if !contacts::is_accepted(w, account)? {
                return Ok(());
            }
            for message in read.into_iter().filter(|message| message.from == *account) {
                receipts::note(w, account, message.id, ReceiptKind::Read)?;
            }
            Ok(())
        })?;
        Ok(Reply::Done {})
    }

    fn change_contact(
        &mut self,
        turn: &mut Turn<'_>,
        name: &str,
        change: impl FnOnce(&mut super::Work<'_>, &Username) -> Result<(), Fault>,
    ) -> Result<Reply, Fault> {
        let account = self.account_named(name)?;
        let contact = self.transact(turn, |w| {
            change(w, &account)?;
            w.contact(&account)
        })?;
        Ok(Reply::Contact { contact })
    }

    /// Answers at once when the account is known, otherwise once the relay was asked.
    fn look_up_for(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        name: &str,
        then: Then,
    ) -> Result<Option<Reply>, Fault> {
        let account = self.account_named(name)?;
        let known = self.transact(turn, |w| Ok(w.list(&account)?.is_some()))?;
        if known {
            return self.after_lookup(turn, &account, then).map(Some);
        }
        self.me.keys()?;
        if let crate::api::ConnectionState::Blocked { error } = self.link.state() {
            return Err(error.into());
        }
        self.lookups.want([account.clone()].into(), [].into());
        self.wait_for_lookup(turn, token, account, then, DEFAULT_WAIT_MS)?;
        Ok(None)
    }

    /// The account is known now.
    pub(super) fn after_lookup(
        &mut self,
        turn: &mut Turn<'_>,
        account: &Username,
        then: Then,
    ) -> Result<Reply, Fault> {
        match then {
            Then::Add => {
                let contact = self.transact(turn, |w| {
                    let peer = w.peer(account)?;
                    if peer.contact.is_none() {
                        contacts::set_state(w, account, ContactState::Added)?;
                    }
                    w.contact(account)
                })?;
                Ok(Reply::Contact { contact })
            }
            Then::SafetyNumber => {
                Ok(Reply::SafetyNumber(self.transact(turn, |w| trust::safety_number(w, account))?))
            }
        }
    }

    fn account_info(&self) -> Reply {
        Reply::Account(crate::api::AccountInfo {
            address: self.me.address.clone(),
            name: self.me.account.to_string(),
            display_name: SafeText::name(&self.me.display_name),
            device: self.me.device.get(),
            relay: self.me.relay.to_string(),
            account_key: data_encoding::HEXLOWER.encode(&self.me.account_key),
        })
    }
}
