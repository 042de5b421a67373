//! `message.send`: one transaction that makes a text durable and sends it as far as it can be sent (R21, R43).

use subrosa_protocol::{
    AccountAddress, BoundedStr, MessageId, Payload, SafeText, Username,
    content::{Content, Text},
    limits::{REQUEST_TEXT_BYTES, TEXT_BYTES},
};

use super::{
    Core, Fault, Turn, contacts, rooms,
    waits::Slot,
    work::{Work, message_event},
};
use crate::{
    api::{
        ApiError, ContactState, Direction, EventBody, Kind, Message, MessageKind, MessageState, SendMessage,
        SendResult, echo, time::Timestamp,
    },
    limits::{DEFAULT_WAIT_MS, RECIPIENTS},
    store::{HeldFor, NewMessage, NewPending, limits::IDEMPOTENCY_KEY_BYTES},
};

/// A text that may be sent.
struct Draft {
    text: SafeText,
    reply_to: Option<MessageId>,
    key: Option<String>,
}

impl Draft {
    fn new(send: &SendMessage) -> Result<Self, ApiError> {
        let usage = |what: &str| ApiError::new(Kind::Usage, what);
        // What is shown here is what is sent: nobody gets characters that this screen does not show.
        let text = SafeText::multi_line(&send.text);
        if text.trim().is_empty() {
            return Err(usage("the message is empty"));
        }
        if text.len() > TEXT_BYTES {
            return Err(usage("the message is too long: at most 32 KiB").hint("send it in parts"));
        }
        let reply_to = send.reply_to.as_ref().map(|id| id.parse()).transpose();
        let reply_to = reply_to.map_err(|_| usage("reply_to is not a message's id"))?;
        if send.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES) {
            return Err(usage("a key has 1 to 256 bytes"));
        }
        Ok(Self { text, reply_to, key: send.key.clone() })
    }
}

impl Core {
    pub(super) fn send_message(
        &mut self,
        turn: &mut Turn<'_>,
        token: u64,
        send: SendMessage,
    ) -> Result<(), Fault> {
        self.me.keys()?;
        if send.to.is_empty() || send.to.len() > RECIPIENTS {
            let error = ApiError::new(Kind::Usage, format!("a message has 1 to {RECIPIENTS} recipients"));
            return Err(error.into());
        }
        let draft = Draft::new(&send)?;
        let mut slots = Vec::with_capacity(send.to.len());
        for to in send.to {
            let queued = if to.starts_with('#') {
                self.queue_in_room(turn, &to, &draft)
            } else {
                self.account_named(&to).map_err(Fault::from).and_then(|account| {
                    let line = self.transact(turn, |w| queue(w, &account, &draft))?;
                    self.look_up_anew(&account)?;
                    Ok(line)
                })
            };
            slots.push(match queued {
                Ok(line) => Slot::Open { to, order: line.order },
                Err(Fault::Internal(what)) => return Err(Fault::Internal(what)),
                Err(fault) => Slot::Settled(SendResult {
                    to,
                    id: None,
                    state: MessageState::Failed,
                    error: Some(fault.into()),
                }),
            });
        }
        self.wait_for_lines(turn, token, slots, send.wait, send.timeout_ms.unwrap_or(DEFAULT_WAIT_MS))
    }

    fn queue_in_room(&mut self, turn: &mut Turn<'_>, to: &str, draft: &Draft) -> Result<Message, Fault> {
        let stored = self.room_named(to)?;
        let Draft { text, reply_to, key } = draft;
        self.transact(turn, |w| rooms::queue(w, &stored, text, *reply_to, key.as_ref()))
    }

    /// The account that somebody typed, another one than the own.
    pub(super) fn account_named(&self, text: &str) -> Result<Username, ApiError> {
        let name = self.any_account_named(text)?;
        if name == self.me.account {
            return Err(ApiError::new(Kind::Refused, "this is your own account"));
        }
        Ok(name)
    }

    /// The account that somebody typed.
    pub(super) fn any_account_named(&self, text: &str) -> Result<Username, ApiError> {
        let address: AccountAddress = text.parse().map_err(|error: subrosa_protocol::AddressError| {
            ApiError::new(Kind::Usage, format!("{}: {error}", echo(text)))
        })?;
        if address.relay.is_some_and(|relay| relay != self.me.relay.authority()) {
            return Err(ApiError::new(Kind::Refused, "this account is on another relay")
                .hint("only accounts of your own relay can be reached"));
        }
        Ok(address.name)
    }
}

/// What may go out now, by where the two stand.
enum Passage {
    Open,
    Held(HeldFor, String),
}

fn queue(w: &mut Work<'_>, account: &Username, draft: &Draft) -> Result<Message, Fault> {
    if let Some(key) = &draft.key
        && let Some(sent) = w.tx.message_by_key(&account.into(), key)?
    {
        return match &sent.kind {
            MessageKind::Text { text } if *text != draft.text => Err(ApiError::new(
                Kind::Usage,
                format!("the key {:?} was used for another text to {account}", echo(key)),
            )
            .hint("a key names one message for good: choose another one")
            .into()),
            _ => Ok(sent),
        };
    }
    let passage = passage(w, account, draft)?;
    let (state, reason, waits_for) = match passage {
        Passage::Open => (MessageState::Queued, None, HeldFor::DeviceList),
        Passage::Held(waits_for, reason) => {
            (MessageState::Held, Some(SafeText::single_line(&reason)), waits_for)
        }
    };
    let id = w.random_message_id();
    let line = w.tx.insert_message(&NewMessage {
        id,
        chat: account.into(),
        direction: Direction::Out,
        from: w.me.account.clone(),
        device: w.me.device.get(),
        kind: MessageKind::Text { text: draft.text.clone() },
        reply_to: draft.reply_to,
        sent_at: Timestamp(w.now),
        stored_at: Timestamp(w.now),
        state,
        reason,
        verified: true,
        key: draft.key.clone(),
        mention: false,
    })?;
    let line = line.ok_or(Fault::Internal("message id"))?;
    let text = BoundedStr::new(draft.text.as_str()).map_err(|_| Fault::Internal("text"))?;
    let content = Content::Text(Text { text, reply_to: draft.reply_to, sent_at: w.now });
    let content = Payload { gossip: None, content }.encode().map_err(|_| Fault::Internal("payload"))?;
    w.tx.push_pending(&NewPending {
        account,
        device: None,
        content: &content,
        chat: account,
        message: id,
        reason: waits_for,
        queued_at: w.now,
    })?;
    rooms::tell_states(w, account)?;
    w.emit(EventBody::MessageQueued { message: message_event(&line) })?;
    w.done.drains.insert(account.clone());
    Ok(line)
}

fn passage(w: &mut Work<'_>, account: &Username, draft: &Draft) -> Result<Passage, Fault> {
    let peer = w.peer(account)?;
    let waiting = || Passage::Held(HeldFor::Request, format!("waiting for {account} to accept your request"));
    let passage = match peer.contact {
        Some(ContactState::Accepted) => Passage::Open,
        // Answering accepts.
        Some(ContactState::RequestReceived) => {
            contacts::accepted_here(w, account)?;
            Passage::Open
        }
        Some(ContactState::RequestSent) => waiting(),
        None | Some(ContactState::Added) if peer.request_used => {
            contacts::set_state(w, account, ContactState::RequestSent)?;
            waiting()
        }
        None | Some(ContactState::Added) => {
            if draft.text.len() > REQUEST_TEXT_BYTES {
                let what =
                    format!("{account} has not accepted you yet: the first message has at most 512 bytes");
                return Err(ApiError::new(Kind::Refused, what).hint("send a short one first").into());
            }
            contacts::set_state(w, account, ContactState::RequestSent)?;
            Passage::Open
        }
    };
    if peer.is_stopped() && matches!(passage, Passage::Open) {
        return Ok(Passage::Held(HeldFor::Identity, super::trust::why_stopped(&peer)));
    }
    Ok(passage)
}
