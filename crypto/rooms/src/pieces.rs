//! Cutting a large value into pieces where its content says so, so that a small change in the middle touches one or two.
//!
//! A message moves one sender's key in a state that holds the keys of all, and past epochs hold all members besides:
//! hundreds of kilobytes in a large room, of which a kilobyte changed. Cuts depend on the 32 bytes before them only, so
//! what was inserted or removed moves no cut behind it.

use sha2::{Digest, Sha256};

use crate::limits::PIECE_MEAN;

/// The length of a piece's name: of its SHA-256.
pub(crate) const NAME_BYTES: usize = 16;

const SHORTEST: usize = PIECE_MEAN / 4;
const LONGEST: usize = PIECE_MEAN * 8;

/// The pieces of `value`, in order.
pub(crate) fn cut(value: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::with_capacity(value.len() / PIECE_MEAN + 1);
    let mut rest = value;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(first_cut(rest));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The name of a piece.
pub(crate) fn name(piece: &[u8]) -> [u8; NAME_BYTES] {
    let hash: [u8; 32] = Sha256::digest(piece).into();
    let mut name = [0; NAME_BYTES];
    for (to, from) in name.iter_mut().zip(hash) {
        *to = from;
    }
    name
}

/// Where the first piece ends: a rolling hash in which a byte is shifted out after 64 more.
fn first_cut(bytes: &[u8]) -> usize {
    let mask = (PIECE_MEAN as u64 - 1) << 40;
    let mut rolling = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(LONGEST) {
        rolling = (rolling << 1).wrapping_add(GEAR.get(usize::from(*byte)).copied().unwrap_or(0));
        if at >= SHORTEST && rolling & mask == 0 {
            return at + 1;
        }
    }
    bytes.len().min(LONGEST)
}

/// Random-looking numbers, one for each byte: SplitMix64.
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut state = 0u64;
    let mut at = 0;
    while at < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[allow(clippy::indexing_slicing)]
        {
            table[at] = z ^ (z >> 31);
        }
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        (0u32..).flat_map(|n| <[u8; 32]>::from(Sha256::digest(n.to_le_bytes()))).take(len).collect()
    }

    #[test]
    fn pieces_make_the_value_again_and_have_bounds() {
        for len in [0, 1, SHORTEST, 100_000] {
            let value = noise(len);
            let pieces = cut(&value);
            assert_eq!(pieces.concat(), value);
            assert!(pieces.iter().all(|piece| piece.len() <= LONGEST));
        }
        let same = vec![0; 100_000];
        assert!(cut(&same).len() <= 100_000 / SHORTEST + 1);
        let mean = 100_000 / cut(&noise(100_000)).len();
        assert!((PIECE_MEAN / 2..PIECE_MEAN * 3).contains(&mean), "{mean}");
    }

    #[test]
    fn a_change_in_the_middle_touches_few_pieces() {
        let value = noise(200_000);
        let before: BTreeSet<_> = cut(&value).into_iter().map(name).collect();
        for change in [&b"x"[..], &[7; 300], b""] {
            let mut changed = value.clone();
            changed.splice(100_000..100_010, change.iter().copied());
            let after: BTreeSet<_> = cut(&changed).into_iter().map(name).collect();
            assert!(after.difference(&before).count() <= 3);
        }
    }
}
