//! Holds what one device has of a room against the relay's log (I1 to I3): all that it may read, once, in order, and nothing
//! before it came in or after it went.

use std::collections::{BTreeMap, BTreeSet};

use subrosa_client::api::{Message, MessageKind, MessageState};
use subrosa_protocol::{
    EntryId,
    frames::{EntryKind, RoomDevice, RoomEntry},
};

/// A text on its way to a room: what it says, and which device wrote it.
#[derive(Debug, Clone)]
pub struct Said {
    pub text: String,
    pub by: RoomDevice,
}

/// A device to be judged.
pub struct Judged<'j> {
    pub device: &'j RoomDevice,
    /// Whether it was in the room before the log began.
    pub at_first: bool,
    /// It is in the room now, and has accepted that it is.
    pub joined: bool,
    /// Places of the log after which it had asked to leave.
    pub left_at: &'j [u64],
    /// Devices that their accounts have signed out since: what they wrote is missed by whoever knew that before it was read.
    pub signed_out: &'j [RoomDevice],
    /// The room's history in its store.
    pub lines: &'j [Message],
}

/// What it reads in the log: after the first place, before the second, from this epoch on.
type Span = (u64, u64, u64);

/// Whether a commit adds, or removes, a device.
fn touches(entry: &RoomEntry, device: &RoomDevice, adds: bool) -> bool {
    entry.delta.as_ref().is_some_and(|delta| {
        let list = if adds { &delta.added } else { &delta.removed };
        list.contains(device)
    })
}

fn spans(log: &[RoomEntry], judged: &Judged<'_>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    if judged.at_first {
        spans.push((0, u64::MAX, 0));
    }
    for entry in log {
        if touches(entry, judged.device, false)
            && let Some(last) = spans.last_mut()
        {
            last.1 = last.1.min(entry.seq);
        }
        if touches(entry, judged.device, true) {
            spans.push((entry.seq, u64::MAX, entry.epoch + 1));
        }
    }
    spans
}

/// How many texts stand where they belong; or what does not. An edited text is as it was, with `*` after it.
pub fn judge(
    judged: &Judged<'_>,
    log: &[RoomEntry],
    said: &BTreeMap<EntryId, Said>,
) -> Result<usize, String> {
    let name = format!("{}/{}", judged.device.account, judged.device.device.get());
    let mut held = Vec::new();
    for line in judged.lines {
        match &line.kind {
            MessageKind::Text { text } => {
                let own =
                    line.from == judged.device.account.as_str() && line.device == judged.device.device.get();
                held.push((text.as_str().trim_end_matches('*').to_owned(), own, line.state));
            }
            MessageKind::Missing { count: 1.. }
                if !judged.signed_out.iter().any(|device| device.account.as_str() == line.from) =>
            {
                return Err(format!("I1: {name} misses something: {line:?}"));
            }
            MessageKind::CommitRefused { .. } => {
                return Err(format!("I5: {name} refused a commit: {line:?}"));
            }
            _ => {}
        }
    }
    let mut once = BTreeSet::new();
    if let Some((text, ..)) = held.iter().find(|(text, ..)| !once.insert(text.clone())) {
        return Err(format!("I2: {name} has {text:?} twice"));
    }
    let spans = spans(log, judged);
    let mut must: Vec<&Said> = Vec::new();
    let mut may: BTreeMap<&str, u64> = BTreeMap::new();
    // What is not in `said` are edits.
    let texts = log.iter().filter(|entry| entry.kind == EntryKind::Application);
    for (entry, said) in texts.filter_map(|entry| Some((entry, said.get(&entry.id)?))) {
        let span = spans.iter().find(|(from, until, _)| entry.seq > *from && entry.seq < *until);
        let Some((from, until, epoch)) = span else { continue };
        may.insert(said.text.as_str(), entry.seq);
        let leaving = judged.left_at.iter().any(|at| at >= from && at < until && entry.seq > *at);
        // Who was added need not have accepted it, unless it is in now.
        let never_in = *from > 0 && !(judged.joined && *until == u64::MAX);
        let signed_out = judged.signed_out.contains(&said.by);
        if entry.epoch >= *epoch && !leaving && !never_in && !signed_out {
            must.push(said);
        }
    }
    let others: Vec<&str> = held.iter().filter(|(_, own, _)| !own).map(|(text, ..)| text.as_str()).collect();
    if let Some(text) = others.iter().find(|text| !may.contains_key(**text)) {
        return Err(format!("R33: {name} reads {text:?}, which is not for it"));
    }
    if !others.is_sorted_by_key(|text| may[text]) {
        return Err(format!("I3: {name} has texts out of order: {others:?}"));
    }
    if let Some(said) =
        must.iter().find(|said| said.by != *judged.device && !others.contains(&said.text.as_str()))
    {
        return Err(format!("I1: {name} has no {said:?}"));
    }
    // Own texts: in the log iff they were accepted, in the order in which they were written.
    let places: BTreeMap<&str, u64> =
        log.iter().filter_map(|entry| Some((said.get(&entry.id)?.text.as_str(), entry.seq))).collect();
    let mut sent = Vec::new();
    for (text, _, state) in held.iter().filter(|(_, own, _)| *own) {
        let seq = places.get(text.as_str()).copied();
        let accepted = matches!(state, MessageState::Accepted | MessageState::Delivered | MessageState::Read);
        if accepted && seq.is_none() {
            return Err(format!("I1: {name}'s {text:?} counts as accepted, and is not there"));
        }
        if judged.joined && seq.is_some() && !accepted {
            return Err(format!("I1: {name}'s {text:?} is there, and is {state:?}"));
        }
        sent.extend(seq);
    }
    if !sent.is_sorted() {
        return Err(format!("I3: {name}'s own texts are out of order"));
    }
    // And among those of others where the log has them: all devices agree on one sequence.
    let readable = |seq: &u64| spans.iter().any(|(from, until, _)| seq > from && seq < until);
    let all: Vec<(&str, u64)> = held
        .iter()
        .filter_map(|(text, ..)| Some((text.as_str(), *places.get(text.as_str())?)))
        .filter(|(_, seq)| readable(seq))
        .collect();
    if judged.joined && !all.is_sorted_by_key(|(_, seq)| *seq) {
        return Err(format!(
            "I3: {name} has own texts and those of others in another order than the log: {all:?}"
        ));
    }
    Ok(others.len() + sent.len())
}
