//! What stands in a batch: what happened to mailboxes, in order. Nothing tells who sent an envelope.
//!
//! Integers are little-endian; `device` is the row's id in table `devices`.
//!
//! ```text
//! 1 | device i64 | first place u64 | accepted at u64 | count u32 | count times: id 16 | length u32 | sealed
//! 2 | device i64 | acknowledged up to u64 | generation u64
//! 3 | device i64 | generation u64
//! ```

use std::sync::Arc;

use subrosa_protocol::{BoundedBytes, EnvelopeId, frames::MailboxEnvelope};

use crate::store::Timestamp;

const APPENDED: u8 = 1;
const ACKNOWLEDGED: u8 = 2;
const RAISED: u8 = 3;

/// Bytes of an `Appended` without its envelopes; the others have fewer.
pub(in crate::store::sqlite) const RECORD: usize = 1 + 8 + 8 + 8 + 4;
/// Bytes of an envelope besides its sealed ones.
#[cfg(test)]
const ENVELOPE: usize = 16 + 4;

/// What happened to a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Record {
    /// Envelopes were accepted.
    Appended {
        device: i64,
        /// In consecutive places.
        envelopes: Vec<Arc<MailboxEnvelope>>,
    },
    /// Everything up to a place is gone.
    Acknowledged { device: i64, up_to: u64, generation: u64 },
    /// The device reported a state generation.
    Raised { device: i64, generation: u64 },
}

/// Adds an [`Record::Appended`] of at least one envelope.
pub(in crate::store::sqlite) fn put_appended(
    out: &mut Vec<u8>,
    device: i64,
    now: Timestamp,
    envelopes: &[Arc<MailboxEnvelope>],
) {
    let Some(first) = envelopes.first() else { return };
    out.push(APPENDED);
    out.extend_from_slice(&device.to_le_bytes());
    out.extend_from_slice(&first.seq.to_le_bytes());
    out.extend_from_slice(&now.to_le_bytes());
    out.extend_from_slice(&u32::try_from(envelopes.len()).unwrap_or(u32::MAX).to_le_bytes());
    for envelope in envelopes {
        out.extend_from_slice(envelope.id.as_bytes());
        out.extend_from_slice(&u32::try_from(envelope.sealed.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&envelope.sealed);
    }
}

/// Adds a [`Record::Acknowledged`].
pub(in crate::store::sqlite) fn put_acknowledged(
    out: &mut Vec<u8>,
    device: i64,
    up_to: u64,
    generation: u64,
) {
    out.push(ACKNOWLEDGED);
    out.extend_from_slice(&device.to_le_bytes());
    out.extend_from_slice(&up_to.to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
}

/// Adds a [`Record::Raised`].
pub(in crate::store::sqlite) fn put_raised(out: &mut Vec<u8>, device: i64, generation: u64) {
    out.push(RAISED);
    out.extend_from_slice(&device.to_le_bytes());
    out.extend_from_slice(&generation.to_le_bytes());
}

/// The records of a batch; `None` when it is not made of whole records.
pub(in crate::store::sqlite) fn records(bytes: &[u8]) -> Option<Vec<Record>> {
    let mut rest = Rest(bytes);
    let mut records = Vec::new();
    while !rest.0.is_empty() {
        records.push(rest.record()?);
    }
    Some(records)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn record(&mut self) -> Option<Record> {
        let [kind] = self.array()?;
        let device = i64::from_le_bytes(self.array()?);
        match kind {
            APPENDED => {
                let (first, accepted_at) = (self.u64()?, self.u64()?);
                let count = u32::from_le_bytes(self.array()?);
                let mut envelopes = Vec::new();
                for number in 0..u64::from(count) {
                    let id = EnvelopeId::from_bytes(self.array()?);
                    let length = u32::from_le_bytes(self.array()?);
                    let sealed = self.take(usize::try_from(length).ok()?)?;
                    let sealed = BoundedBytes::new(sealed).ok()?;
                    let seq = first.checked_add(number)?;
                    envelopes.push(Arc::new(MailboxEnvelope { seq, id, accepted_at, sealed }));
                }
                Some(Record::Appended { device, envelopes })
            }
            ACKNOWLEDGED => {
                Some(Record::Acknowledged { device, up_to: self.u64()?, generation: self.u64()? })
            }
            RAISED => Some(Record::Raised { device, generation: self.u64()? }),
            _ => None,
        }
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_come_back_and_half_ones_do_not() {
        let envelope = |seq: u64, length: usize| {
            Arc::new(MailboxEnvelope {
                seq,
                id: EnvelopeId::from_bytes([seq.to_le_bytes()[0]; 16]),
                accepted_at: 77,
                sealed: BoundedBytes::new(vec![9; length]).unwrap(),
            })
        };
        let envelopes = vec![envelope(5, 0), envelope(6, 300)];
        let mut out = Vec::new();
        put_appended(&mut out, 3, 77, &envelopes);
        assert_eq!(out.len(), RECORD + 2 * ENVELOPE + 300);
        let first = out.len();
        put_acknowledged(&mut out, -4, 5, u64::MAX);
        put_raised(&mut out, 9, 8);
        let expected = [
            Record::Appended { device: 3, envelopes },
            Record::Acknowledged { device: -4, up_to: 5, generation: u64::MAX },
            Record::Raised { device: 9, generation: 8 },
        ];
        assert_eq!(records(&out).unwrap(), expected);
        let whole = [0, first, first + 25, out.len()];
        for length in 0..=out.len() {
            assert_eq!(records(&out[..length]).is_some(), whole.contains(&length), "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_there_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..5) {
            let mut batch = vec![kind];
            batch.extend(bytes);
            let _ = records(&batch);
        }
    }
}
