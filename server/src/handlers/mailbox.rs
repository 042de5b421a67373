//! Envelopes: in, out, and gone.

use subrosa_protocol::{
    BoundedVec, ErrorCode,
    frames::{Empty, EnvelopeAccepted, EnvelopeSend, MailboxAck, MailboxFetch, MailboxPage, Response},
    limits::{ENVELOPES_PER_PAGE, FRAME_HEADER, FRAME_MAX},
};
use tokio::time::Instant;

use super::{Answered, Context, Refusal};
use crate::{
    limits::SMALL_PAGE,
    store::{Appended, Delivery, Sender},
};

/// Bytes of a page besides its sealed ciphertexts, at most: for each envelope its `seq` (9), id (16), time (9) and
/// length (5), and for the page the number of envelopes and `more`.
const PAGE_OVERHEAD: usize = FRAME_HEADER + 2 + ENVELOPES_PER_PAGE * (9 + 16 + 9 + 5);

/// `EnvelopeSend`: all envelopes are durable before the answer; then those who are connected get them.
///
/// Nothing waits before the store is called, so that the first poll of each send puts it in its place.
pub(super) async fn send(cx: Context, request: EnvelopeSend) -> Answered {
    let (core, caller) = (&cx.core, &cx.caller);
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let EnvelopeSend { to, device, list_version, generation, envelopes } = request;
    if envelopes.is_empty() {
        return Err(Refusal::bad_request("a send holds at least one envelope"));
    }
    let count = u32::try_from(envelopes.len()).unwrap_or(u32::MAX);
    let now = Instant::now();
    core.rates.envelopes_per_device.take((&caller.account, &to, device), count, now)?;
    core.rates.envelopes_per_account.take(&caller.account, count, now)?;
    cx.charge_lookup(&to)?;
    let sender = Sender { account: caller.account.clone(), device: caller.device, generation };
    let envelopes = envelopes.into_inner();
    let delivery = Delivery { to: to.clone(), device, list_version, envelopes, sender, now: core.now() };
    match core.stored(core.store.append_envelopes(delivery)).await? {
        Appended::Accepted { accepted_at, fresh } => {
            cx.found(&to);
            core.rates.contacts.insert((&caller.account, &to));
            core.metrics.envelopes_accepted.inc_by(u64::try_from(fresh.len()).unwrap_or(0));
            core.bus.deliver(&to, device, fresh);
            Ok(Response::EnvelopeAccepted(EnvelopeAccepted { accepted_at }))
        }
        Appended::Stale(stale) => {
            cx.found(&to);
            Ok(Response::StaleDeviceList(stale))
        }
        Appended::NotFound => Err(Refusal::not_found()),
        Appended::Full => Err(Refusal::new(ErrorCode::MailboxFull, "the recipient's mailbox is full")),
        Appended::SenderGone => Err(Refusal::authentication_failed()),
    }
}

/// `MailboxFetch`: as many as fit a frame, the first one always.
pub(super) async fn fetch(cx: Context, request: MailboxFetch) -> Answered {
    fetch_within(cx, request, FRAME_MAX - PAGE_OVERHEAD).await
}

/// A page of at most so many bytes of envelopes, but of one at least; `None` when that one is larger.
pub(crate) async fn fetch_small(cx: Context, request: MailboxFetch) -> Option<Answered> {
    let answer = fetch_within(cx, request, SMALL_PAGE).await;
    match &answer {
        Ok(Response::MailboxPage(page))
            if page.envelopes.iter().any(|envelope| envelope.sealed.len() > SMALL_PAGE) =>
        {
            None
        }
        _ => Some(answer),
    }
}

async fn fetch_within(cx: Context, request: MailboxFetch, max_bytes: usize) -> Answered {
    let max = usize::from(request.max).min(ENVELOPES_PER_PAGE);
    let Context { core, caller, .. } = &cx;
    let page = core.store.fetch_mailbox(&caller.account, caller.device, request.after, max, max_bytes);
    let page = core.stored(page).await?.ok_or_else(Refusal::not_found)?;
    let envelopes = BoundedVec::new(page.envelopes).map_err(|_| Refusal::internal())?;
    Ok(Response::MailboxPage(MailboxPage { envelopes, more: page.more }))
}

/// `MailboxAck`: what the device has stored is deleted for good.
pub(super) async fn ack(cx: Context, request: MailboxAck) -> Answered {
    let Context { core, caller, .. } = &cx;
    let acked = core.store.ack_mailbox(&caller.account, caller.device, request.up_to, request.generation);
    let acked = core.stored(acked).await?.ok_or_else(Refusal::not_found)?;
    core.metrics.envelopes_acknowledged.inc_by(acked.deleted);
    Ok(Response::Done(Empty {}))
}
