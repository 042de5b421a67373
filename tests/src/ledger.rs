//! What was asked, accepted and displayed, kept outside all stores, and the invariants it is judged by.
//!
//! I1 accepted means displayed exactly once; I2 nothing is displayed twice; I3 the order of each sender is kept, or the
//! gap is shown; I4 no (key, nonce) pair repeats (judged by the session tests of the crypto crate, which see the keys).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// One client's ledger file: a line an entry, appended before or after the fact as its kind says.
pub struct Ledger {
    file: File,
}

/// What a ledger file says.
#[derive(Debug, Default, Clone)]
pub struct Entries {
    /// Numbers a client was about to ask to send.
    pub asked: BTreeSet<u64>,
    /// Numbers whose acceptance the client was told.
    pub accepted: BTreeSet<u64>,
    /// Numbers of which the client was told that they are stored, to be sent.
    pub queued: BTreeSet<u64>,
    /// The peer's numbers that the client was told of.
    pub displayed: BTreeSet<u64>,
    /// When each of the four was noted first, in microseconds since 1970: (kind, number) and time.
    pub times: BTreeMap<(String, u64), u64>,
}

/// The clock of the ledger, in microseconds since 1970.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

impl Ledger {
    /// Opens a ledger to append to it.
    pub fn append_to(path: &Path) -> Self {
        Self { file: OpenOptions::new().create(true).append(true).open(path).unwrap() }
    }

    /// Appends an entry in one write, so that a kill leaves it whole or absent.
    pub fn note(&mut self, kind: &str, number: u64) {
        self.file.write_all(format!("{kind} {number} {}\n", micros()).as_bytes()).unwrap();
    }

    /// Reads a ledger.
    pub fn read(path: &Path) -> Entries {
        let mut entries = Entries::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [kind, number, time] = words[..] else { panic!("not an entry: {line}") };
            let number = number.parse().unwrap();
            match kind {
                "asked" => entries.asked.insert(number),
                "accepted" => entries.accepted.insert(number),
                "queued" => entries.queued.insert(number),
                "displayed" => entries.displayed.insert(number),
                other => panic!("unknown entry {other}"),
            };
            entries.times.entry((kind.to_owned(), number)).or_insert(time.parse().unwrap());
        }
        entries
    }
}

/// Judges what one sender's ledger says against what its recipient displays, in display order. `missing` is the sum of
/// the gaps shown to the recipient.
///
/// # Panics
/// When an invariant does not hold.
pub fn judge(who: &str, sender: &Entries, displayed: &[u64], missing: u64) {
    let mut times = BTreeMap::new();
    for number in displayed {
        *times.entry(*number).or_insert(0u32) += 1;
    }
    for (number, count) in &times {
        assert_eq!(*count, 1, "I2: {who}'s {number} was displayed {count} times");
        assert!(sender.asked.contains(number), "{who}'s {number} was displayed and never asked");
    }
    let lost: Vec<_> = sender.accepted.iter().filter(|number| !times.contains_key(number)).collect();
    assert!(lost.is_empty(), "I1: {who}'s {lost:?} were accepted and never displayed");
    let in_order = displayed.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(
        in_order || missing > 0,
        "I3: {who}'s messages are out of order and no gap is shown: {displayed:?}"
    );
    assert_eq!(missing, 0, "{missing} of {who}'s messages are shown as missing");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(asked: &[u64], accepted: &[u64]) -> Entries {
        let set = |numbers: &[u64]| numbers.iter().copied().collect();
        Entries { asked: set(asked), accepted: set(accepted), ..Entries::default() }
    }

    #[test]
    fn a_right_ledger_passes() {
        judge("a", &entries(&[1, 2, 3], &[1, 2]), &[1, 2, 3], 0);
        judge("a", &entries(&[1, 2, 3], &[1, 2]), &[1, 2], 0);
    }

    #[test]
    #[should_panic(expected = "I1")]
    fn a_loss_is_found() {
        judge("a", &entries(&[1, 2], &[1, 2]), &[1], 0);
    }

    #[test]
    #[should_panic(expected = "I2")]
    fn a_double_is_found() {
        judge("a", &entries(&[1, 2], &[1, 2]), &[1, 2, 2], 0);
    }

    #[test]
    #[should_panic(expected = "I3")]
    fn a_wrong_order_is_found() {
        judge("a", &entries(&[1, 2], &[1, 2]), &[2, 1], 0);
    }
}
