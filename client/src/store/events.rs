//! The event log: `seq` ascends without gaps, old events are forgotten, and readers are told which.
//!
//! Texts are not kept twice: a stored event of a message points to its line, from which the text is filled in when it is
//! read. So a deleted message is gone from the log too.

use subrosa_protocol::{SafeText, Username};

use super::{
    StoreError, Tx,
    error::Result,
    limits::{EVENTS_KEPT, EVENTS_PAGE},
    rows::{Columns, clamped, page},
};
use crate::api::{Event, EventBody, EventPage, Message, MessageEvent, MessageKind, time::Timestamp};

const ACKED: &str = "events_acked";

impl Tx<'_> {
    /// Appends an event; it comes back with its `seq`. `address` is this profile's, such as `alice@relay.example`.
    pub fn append_event(&self, address: &str, ts: Timestamp, body: EventBody) -> Result<Event> {
        let mut event = Event { v: 1, seq: None, ts, account: address.to_owned(), body };
        let place = message_of(&event.body).map(|message| message.order);
        let text = message_mut(&mut event.body).map(|message| std::mem::take(&mut message.text));
        let json = serde_json::to_string(&event).map_err(|_| StoreError::Corrupt("event"))?;
        if let (Some(message), Some(text)) = (message_mut(&mut event.body), text) {
            message.text = text;
        }
        let sql = "INSERT INTO events (name, place, json) VALUES (?1, ?2, ?3)";
        self.run(sql, (event.body.kind().name(), place, json))?;
        let seq = u64::try_from(self.inserted()).map_err(|_| StoreError::Corrupt("event"))?;
        self.run("DELETE FROM events WHERE seq <= ?1", [clamped(seq.saturating_sub(EVENTS_KEPT))])?;
        event.seq = Some(seq);
        Ok(event)
    }

    /// Stored events with a greater `seq` than `since` (without it: than the last acknowledged one), ascending, at most
    /// `max`, up to [`EVENTS_PAGE`]. `filter` holds names; `*` at the end of one matches any rest; empty means all. Events
    /// of messages that were acknowledged before have `replay` set.
    pub fn events(&self, since: Option<u64>, max: u32, filter: &[String]) -> Result<EventPage> {
        let acked = self.events_acked()?;
        let since = since.unwrap_or(acked);
        let mut found = Vec::new();
        let mut more = false;
        let max = usize::try_from(page(max, EVENTS_PAGE)).unwrap_or(0);
        let sql = "SELECT seq, name, place, json FROM events WHERE seq > ?1 ORDER BY seq";
        self.each(sql, [clamped(since)], |row| {
            if !wanted(&row.get::<_, String>(1)?, filter) {
                return Ok(true);
            }
            more = found.len() >= max;
            if !more {
                found.push((row.number(0)?, row.get::<_, Option<i64>>(2)?, row.get::<_, String>(3)?));
            }
            Ok(!more)
        })?;
        let events =
            found.into_iter().map(|(seq, place, json)| self.restore_event(seq, place, &json, seq <= acked));
        let events = events.collect::<Result<Vec<_>>>()?;
        let (first, last) = self.event_range()?;
        let kept_from = if first == 0 { last.saturating_add(1) } else { first };
        let gap = (since.saturating_add(1) < kept_from).then(|| (since.saturating_add(1), kept_from - 1));
        Ok(EventPage { events, more, gap })
    }

    /// The first and the last stored `seq`; (0, n) when none of n events is stored any more, (0, 0) before the first.
    pub fn event_range(&self) -> Result<(u64, u64)> {
        let first = self.row("SELECT min(seq) FROM events", [], |row| row.number_or_null(0))?;
        let last = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
        let last = self.one(last, [], |row| row.number(0))?;
        Ok((first.unwrap_or(0), last.unwrap_or(0)))
    }

    /// Events up to `seq` need not be shown again; never lowers, and never passes the last event.
    pub fn acknowledge_events(&self, seq: u64) -> Result<()> {
        let (_, last) = self.event_range()?;
        self.raise_named(ACKED, seq.min(last)).map(drop)
    }

    /// The last `seq` that was acknowledged.
    pub fn events_acked(&self) -> Result<u64> {
        self.number_named(ACKED)
    }

    fn restore_event(&self, seq: u64, place: Option<i64>, json: &str, again: bool) -> Result<Event> {
        let mut event: Event = serde_json::from_str(json).map_err(|_| StoreError::Corrupt("event"))?;
        event.seq = Some(seq);
        if let Some(told) = message_mut(&mut event.body) {
            told.replay = again;
            if let Some(stored) = self.told_line(place, told)? {
                // It may have another place by now.
                told.order = stored.order;
                told.text = match stored.kind {
                    MessageKind::Text { text } => text,
                    _ => SafeText::default(),
                };
            }
        }
        Ok(event)
    }

    /// The line that an event tells of: where it was then, or by its id.
    fn told_line(&self, place: Option<i64>, told: &MessageEvent) -> Result<Option<Message>> {
        let Some(place) = place else { return Ok(None) };
        let there = self.message_at(place)?;
        if there.as_ref().is_some_and(|line| line.id == told.id) {
            return Ok(there);
        }
        match (Username::new(told.from.clone()), told.id.parse()) {
            (Ok(from), Ok(id)) => self.message_from(&from, id),
            _ => Ok(None),
        }
    }
}

fn wanted(name: &str, filter: &[String]) -> bool {
    let matches = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    filter.is_empty() || filter.iter().any(matches)
}

const fn message_of(body: &EventBody) -> Option<&MessageEvent> {
    match body {
        EventBody::MessageReceived { message }
        | EventBody::MessageQueued { message }
        | EventBody::MessageEdited { message } => Some(message),
        _ => None,
    }
}

const fn message_mut(body: &mut EventBody) -> Option<&mut MessageEvent> {
    match body {
        EventBody::MessageReceived { message }
        | EventBody::MessageQueued { message }
        | EventBody::MessageEdited { message } => Some(message),
        _ => None,
    }
}
