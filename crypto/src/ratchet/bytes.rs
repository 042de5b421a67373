//! The stored form of a ratchet: a canonical layout, so that equal states have equal bytes.

use std::collections::{HashSet, VecDeque};

use subrosa_verify::canonical::{Malformed, Reader};

use super::chain_key::ChainKey;
use super::limits::{MAX_RECEIVING_CHAINS, MAX_SKIPPED_KEYS};
use super::message_key::MessageKey;
use super::receiving_chain::{ReceivingChain, ReceivingChains, SkippedKey};
use super::root_key::RootKey;
use super::state::{Ratchet, SendingChain};
use crate::dh::SecretKey;
use crate::kdf::Key32;

const SENDING_LEN: usize = 32 + 4;
const CHAIN_LEN: usize = 32 + 1 + 4 + 2;
const SKIPPED_LEN: usize = 4 + 8 + 32;

impl Ratchet {
    /// How many bytes [`Ratchet::encode`] appends; at most 88,365.
    pub(crate) fn encoded_len(&self) -> usize {
        let open = self.receiving.0.iter().filter(|chain| chain.key.is_some()).count();
        32 + 64
            + 4
            + 1
            + 1
            + if self.sending.is_some() { SENDING_LEN } else { 0 }
            + self.receiving.0.len() * CHAIN_LEN
            + open * 32
            + self.receiving.skipped_keys() * SKIPPED_LEN
    }

    /// Appends the layout. The caller reserves [`Ratchet::encoded_len`] bytes, so that no secret is left behind by a
    /// buffer that moves.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.root.0.as_bytes());
        out.extend_from_slice(self.ours.as_bytes());
        out.extend_from_slice(&self.ours.public());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.push(self.sending.is_some().into());
        if let Some(sending) = &self.sending {
            out.extend_from_slice(sending.key.0.as_bytes());
            out.extend_from_slice(&sending.next.to_le_bytes());
        }
        out.push(u8::try_from(self.receiving.0.len()).unwrap_or(u8::MAX));
        for chain in &self.receiving.0 {
            out.extend_from_slice(&chain.ratchet_key);
            out.push(chain.key.is_some().into());
            if let Some(key) = &chain.key {
                out.extend_from_slice(key.0.as_bytes());
            }
            out.extend_from_slice(&chain.next.to_le_bytes());
            out.extend_from_slice(&u16::try_from(chain.skipped.len()).unwrap_or(u16::MAX).to_le_bytes());
            for skipped in &chain.skipped {
                out.extend_from_slice(&skipped.number.to_le_bytes());
                out.extend_from_slice(&skipped.stored_at.to_le_bytes());
                out.extend_from_slice(skipped.key.0.as_bytes());
            }
        }
    }

    /// Reads the layout and refuses what no ratchet can be.
    pub(crate) fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let root = RootKey::new(key(reader)?);
        let ours = SecretKey::with_public(key(reader)?.as_bytes(), reader.array()?);
        let previous = reader.u32()?;
        let sending = match flag(reader)? {
            true => Some(SendingChain { key: ChainKey(key(reader)?), next: reader.u32()? }),
            false => None,
        };
        let count = usize::from(reader.u8()?);
        if count > MAX_RECEIVING_CHAINS || (sending.is_none() && (count > 0 || previous > 0)) {
            return Err(Malformed::Field("receiving chains"));
        }
        let mut chains = VecDeque::with_capacity(count);
        for at in 0..count {
            chains.push_back(chain(reader, at + 1 == count)?);
        }
        let receiving = ReceivingChains(chains);
        let distinct: HashSet<_> = receiving.0.iter().map(|chain| chain.ratchet_key).collect();
        if distinct.len() != count || receiving.skipped_keys() > MAX_SKIPPED_KEYS {
            return Err(Malformed::Field("receiving chains"));
        }
        Ok(Self { root, ours, sending, previous, receiving })
    }
}

fn chain(reader: &mut Reader<'_>, newest: bool) -> Result<ReceivingChain, Malformed> {
    let ratchet_key = reader.array()?;
    if flag(reader)? != newest {
        return Err(Malformed::Field("open chain"));
    }
    let chain_key = if newest { Some(ChainKey(key(reader)?)) } else { None };
    let next = reader.u32()?;
    let count = usize::from(reader.u16()?);
    if count > MAX_SKIPPED_KEYS {
        return Err(Malformed::Field("skipped keys"));
    }
    let mut skipped: VecDeque<SkippedKey> = VecDeque::with_capacity(count);
    for _ in 0..count {
        let entry =
            SkippedKey { number: reader.u32()?, stored_at: reader.u64()?, key: MessageKey(key(reader)?) };
        let ascending = skipped.back().is_none_or(|before| before.number < entry.number);
        if !ascending || entry.number >= next {
            return Err(Malformed::Field("skipped keys"));
        }
        skipped.push_back(entry);
    }
    Ok(ReceivingChain { ratchet_key, key: chain_key, next, skipped })
}

fn key(reader: &mut Reader<'_>) -> Result<Key32, Malformed> {
    let bytes = reader.bytes(32)?;
    Ok(Key32::new(bytes.first_chunk().ok_or(Malformed::Truncated)?))
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Field("flag")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key32 {
        Key32::new(&[byte; 32])
    }

    fn chain(ratchet_key: u8, open: bool, next: u32, skipped: &[u32]) -> ReceivingChain {
        let skipped = skipped.iter().map(|number| SkippedKey {
            number: *number,
            stored_at: 5,
            key: MessageKey(key(0x66)),
        });
        ReceivingChain {
            ratchet_key: [ratchet_key; 32],
            key: open.then(|| ChainKey(key(0x55))),
            next,
            skipped: skipped.collect(),
        }
    }

    fn ratchet(chains: impl IntoIterator<Item = ReceivingChain>) -> Ratchet {
        Ratchet {
            root: RootKey::new(key(0x11)),
            ours: SecretKey::with_public(&[0x22; 32], [0x33; 32]),
            sending: Some(SendingChain { key: ChainKey(key(0x44)), next: 7 }),
            previous: 8,
            receiving: ReceivingChains(chains.into_iter().collect()),
        }
    }

    fn encode(ratchet: &Ratchet) -> Vec<u8> {
        let mut out = Vec::new();
        ratchet.encode(&mut out);
        assert_eq!(out.len(), ratchet.encoded_len());
        out
    }

    fn parses(ratchet: &Ratchet) -> bool {
        let bytes = encode(ratchet);
        let mut reader = Reader::new(&bytes);
        let parsed = Ratchet::parse(&mut reader);
        if let Ok(parsed) = &parsed {
            assert_eq!(encode(parsed), bytes);
            assert_eq!(reader.finish(), Ok(()));
        }
        parsed.is_ok()
    }

    #[test]
    fn r61_golden_bytes() {
        let expected = [
            &[0x11; 32][..],
            &[0x22; 32],
            &[0x33; 32],
            &[8, 0, 0, 0, 1],
            &[0x44; 32],
            &[7, 0, 0, 0, 2],
            &[0xa1; 32],
            &[0, 3, 0, 0, 0, 1, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
            &[0x66; 32],
            &[0xa2; 32],
            &[1],
            &[0x55; 32],
            &[4, 0, 0, 0, 0, 0],
        ];
        let state = ratchet([chain(0xa1, false, 3, &[2]), chain(0xa2, true, 4, &[])]);
        assert_eq!(encode(&state), expected.concat());
        assert!(parses(&state));
    }

    #[test]
    fn refuses_what_no_ratchet_can_be() {
        assert!(parses(&ratchet([])));
        assert!(parses(&ratchet([chain(1, true, 3, &[0, 1, 2])])));
        assert!(!parses(&ratchet([chain(1, true, 3, &[3])])), "a skipped message after the last");
        assert!(!parses(&ratchet([chain(1, true, 3, &[1, 0])])), "out of order");
        assert!(!parses(&ratchet([chain(1, true, 3, &[1, 1])])), "twice");
        assert!(!parses(&ratchet([chain(1, false, 3, &[]), chain(1, true, 3, &[])])), "one chain twice");
        assert!(!parses(&ratchet([chain(1, true, 3, &[]), chain(2, true, 3, &[])])), "two open chains");
        assert!(!parses(&ratchet([chain(1, false, 3, &[])])), "no open chain");

        let mut silent = ratchet([chain(1, true, 3, &[])]);
        silent.sending = None;
        assert!(!parses(&silent), "who received has a sending chain");
        let mut silent = ratchet([]);
        silent.sending = None;
        assert!(!parses(&silent), "who sent has a sending chain");
        silent.previous = 0;
        assert!(parses(&silent));
    }

    #[test]
    fn r17_refuses_stored_limits_that_are_one_past() {
        let chains = |count: u8| (1..=count).map(move |n| chain(n, n == count, 0, &[]));
        assert!(parses(&ratchet(chains(5))));
        assert!(!parses(&ratchet(chains(6))));
        let numbers: Vec<u32> = (0..2_001).collect();
        assert!(parses(&ratchet([chain(1, true, 2_001, &numbers[..2_000])])));
        assert!(!parses(&ratchet([chain(1, true, 2_001, &numbers)])));
        assert!(parses(&ratchet([chain(1, false, 2_001, &numbers[1..]), chain(2, true, 9, &[])])));
        assert!(!parses(&ratchet([chain(1, false, 2_001, &numbers[1..]), chain(2, true, 9, &[1])])));
    }
}
