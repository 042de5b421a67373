//! Makes a page of a reply fit into a line: what is left out is asked for with the next page.

use super::{limits::PAGE_LINE_BYTES, line::to_line};
use crate::api::{Message, MessageKind, Reply, Request};

/// Characters of a chat's newest line that its list carries over the socket.
const PREVIEW_CHARS: usize = 200;

/// The reply, cut if it is a page that would not fit. Of history, the side next to the asked bound stays.
#[must_use]
pub fn fit(request: &Request, reply: Reply) -> Reply {
    let mut reply = reply;
    // Every round halves a page, so that this ends after at most ten.
    while is_page(&reply) && too_long(&reply) {
        if !halve(request, &mut reply) {
            break;
        }
    }
    if let Reply::Chats { chats } = &mut reply {
        for message in chats.iter_mut().filter_map(|chat| chat.last.as_mut()) {
            preview(message);
        }
    }
    reply
}

fn is_page(reply: &Reply) -> bool {
    matches!(reply, Reply::History(_) | Reply::Events(_) | Reply::Hits { .. })
}

fn too_long(reply: &Reply) -> bool {
    to_line(reply).map_or(0, |line| line.len()) > PAGE_LINE_BYTES - 256
}

fn halve(request: &Request, reply: &mut Reply) -> bool {
    match reply {
        Reply::History(page) if page.messages.len() > 1 => {
            let half = page.messages.len() / 2;
            if matches!(request, Request::ChatHistory { after: Some(_), .. }) {
                page.messages.truncate(half);
                page.more_after = true;
            } else {
                page.messages.drain(..half);
                page.more_before = true;
            }
        }
        Reply::Events(page) if page.events.len() > 1 => {
            page.events.truncate(page.events.len() / 2);
            page.more = true;
        }
        Reply::Hits { hits } if hits.len() > 1 => hits.truncate(hits.len() / 2),
        _ => return false,
    }
    true
}

fn preview(message: &mut Message) {
    if let MessageKind::Text { text } = &mut message.kind
        && let Some((at, _)) = text.char_indices().nth(PREVIEW_CHARS)
    {
        let short = text.get(..at).unwrap_or_default();
        *text = subrosa_protocol::SafeText::multi_line(short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{EventPage, HistoryPage},
        attach::fake,
    };

    #[test]
    fn r50_pages_fit_into_a_line_and_say_that_there_is_more() {
        let big = "x".repeat(30_000);
        let messages: Vec<_> = (0..500).map(|order| fake::message(order, &big)).collect();
        let page = HistoryPage { messages: messages.clone(), more_before: false, more_after: false };
        let ask = |after| Request::ChatHistory { chat: "bob".into(), before: None, after, limit: 500 };

        let Reply::History(newest) = fit(&ask(None), Reply::History(page.clone())) else { panic!() };
        assert!(to_line(&newest).unwrap().len() <= PAGE_LINE_BYTES);
        assert_eq!(newest.messages.last(), messages.last());
        assert!(newest.more_before && !newest.more_after && newest.messages.len() > 10);

        let Reply::History(next) = fit(&ask(Some(0)), Reply::History(page)) else { panic!() };
        assert_eq!(next.messages.first(), messages.first());
        assert!(next.more_after && !next.more_before);

        let events = (0..500).map(|seq| fake::event(seq, &big)).collect();
        let page = EventPage { events, more: false, gap: None };
        let request = Request::EventsFetch { since: None, max: 500, filter: Vec::new() };
        let Reply::Events(page) = fit(&request, Reply::Events(page)) else { panic!() };
        assert!(page.more && page.events.first().unwrap().seq == Some(0));
        assert!(to_line(&page).unwrap().len() <= PAGE_LINE_BYTES);
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let page =
            HistoryPage { messages: vec![fake::message(1, "hi")], more_before: false, more_after: false };
        let request = Request::ChatHistory { chat: "bob".into(), before: None, after: None, limit: 1 };
        assert_eq!(fit(&request, Reply::History(page.clone())), Reply::History(page));
    }
}
