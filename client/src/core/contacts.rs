//! Who may write to whom: a stranger's first message is a request, and only an answer opens the conversation (R43).

use subrosa_protocol::{
    DeviceId, Payload, Username,
    content::{Content, ReceiptKind, RequestAccepted},
    limits::RECEIPT_IDS,
};

use super::{
    Fault, gaps, receipts,
    receive::Sender,
    trust,
    work::{Work, devices_of},
};
use crate::{
    api::{ApiError, ContactState, Direction, EventBody, Kind, MessageKind},
    store::{Counter, HeldFor, NewPending},
};

pub(super) fn no_such_contact(account: &Username) -> ApiError {
    ApiError::new(Kind::NotFound, format!("{account} is not a contact")).hint("write to them first")
}

fn state(w: &Work<'_>, account: &Username) -> Result<Option<ContactState>, Fault> {
    Ok(w.tx.peer(account)?.and_then(|peer| peer.contact))
}

pub(super) fn is_contact(w: &Work<'_>, account: &Username) -> Result<bool, Fault> {
    Ok(state(w, account)?.is_some())
}

pub(super) fn is_accepted(w: &Work<'_>, account: &Username) -> Result<bool, Fault> {
    Ok(state(w, account)? == Some(ContactState::Accepted))
}

pub(super) fn set_state(w: &Work<'_>, account: &Username, to: ContactState) -> Result<(), Fault> {
    let mut peer = w.peer(account)?;
    peer.contact = Some(to);
    peer.request_used |= to == ContactState::RequestSent;
    w.tx.put_peer(&peer)?;
    Ok(w.tx.open_chat(&account.into())?)
}

/// Both may write from now on: what waited for it goes out, what was received is acknowledged.
pub(super) fn become_accepted(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    set_state(w, account, ContactState::Accepted)?;
    w.emit(EventBody::ContactAdded { name: account.to_string() })?;
    for line in w.tx.history(&account.into(), None, None, 100)?.messages {
        let from_them = line.direction == Direction::In && matches!(line.kind, MessageKind::Text { .. });
        if let (true, Ok(id)) = (from_them, line.id.parse()) {
            receipts::note(w, account, id, ReceiptKind::Delivered)?;
        }
    }
    ask_for_dropped(w, account)?;
    trust::release(w, account, HeldFor::Request)
}

/// What a stranger wrote beyond a request was dropped uncounted: who is accepted now sends it again.
fn ask_for_dropped(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    if w.tx.counted(Counter::DiscardedRequest)? == 0 {
        return Ok(());
    }
    let Some(list) = w.list(account)? else { return Ok(()) };
    for device in devices_of(&list) {
        let highest = w.tx.incoming_chain(account, device)?.highest;
        if highest > 0 {
            let sender = Sender { account: account.clone(), device };
            gaps::ask_again(
                w,
                &sender,
                highest.saturating_add(1),
                highest.saturating_add(RECEIPT_IDS as u64),
            )?;
        }
    }
    Ok(())
}

/// A text of this account came.
pub(super) fn wrote(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    match state(w, account)? {
        None => {
            set_state(w, account, ContactState::RequestReceived)?;
            w.emit(EventBody::ContactRequested { name: account.to_string() })
        }
        Some(ContactState::Added | ContactState::RequestSent) => accepted_here(w, account),
        Some(ContactState::RequestReceived | ContactState::Accepted) => Ok(()),
    }
}

/// The other side accepted our request: it says so, or gives a receipt, which only those do who accepted.
pub(super) fn accepted_by(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    match state(w, account)? {
        Some(ContactState::RequestSent) => accepted_here(w, account),
        _ => Ok(()),
    }
}

/// The two accepted each other, which this device learnt or decided. The other own devices are told: a newer one may never
/// have seen the request, and they may not know of it yet.
pub(super) fn accepted_here(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    become_accepted(w, account)?;
    if w.has_other_devices()? { say_accepted(w, &w.me.account.clone(), None, account) } else { Ok(()) }
}

/// Another device of this account wrote to them.
pub(super) fn wrote_elsewhere(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    match state(w, account)? {
        None | Some(ContactState::Added) => set_state(w, account, ContactState::RequestSent),
        Some(ContactState::RequestReceived) => become_accepted(w, account),
        Some(ContactState::RequestSent | ContactState::Accepted) => Ok(()),
    }
}

/// Another device of this account accepted their request.
pub(super) fn accepted_elsewhere(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    match state(w, account)? {
        Some(ContactState::Accepted) => Ok(()),
        _ => become_accepted(w, account),
    }
}

/// `contact.accept`.
pub(super) fn accept(w: &mut Work<'_>, account: &Username) -> Result<(), Fault> {
    match state(w, account)? {
        Some(ContactState::Accepted) => return Ok(()),
        Some(ContactState::RequestReceived) => {}
        Some(ContactState::Added | ContactState::RequestSent) => {
            return Err(ApiError::new(Kind::Refused, format!("{account} has sent no request")).into());
        }
        None => return Err(no_such_contact(account).into()),
    }
    become_accepted(w, account)?;
    say_accepted(w, account, None, account)
}

/// Tells an account, or an own device, that the other side of a chat is accepted.
fn say_accepted(
    w: &mut Work<'_>,
    account: &Username,
    device: Option<DeviceId>,
    chat: &Username,
) -> Result<(), Fault> {
    let payload = Payload { gossip: None, content: Content::RequestAccepted(RequestAccepted {}) };
    let content = payload.encode().map_err(|_| Fault::Internal("payload"))?;
    let message = w.random_message_id();
    let reason = if device.is_some() { HeldFor::Session } else { HeldFor::DeviceList };
    w.tx.push_pending(&NewPending {
        account,
        device,
        content: &content,
        chat,
        message,
        reason,
        queued_at: w.now,
    })?;
    w.done.drains.insert(account.clone());
    Ok(())
}

/// A new device of this account learns from the others who has been accepted.
pub(super) fn introduce(w: &mut Work<'_>, device: DeviceId) -> Result<(), Fault> {
    let me = w.me.account.clone();
    for peer in w.tx.peers()? {
        if peer.contact == Some(ContactState::Accepted) {
            say_accepted(w, &me, Some(device), &peer.account)?;
        }
    }
    Ok(())
}
