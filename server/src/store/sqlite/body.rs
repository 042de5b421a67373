//! How sealed bytes lie in the database file, so that deleting them leaves nothing behind (R44).
//!
//! `secure_delete` zeroes what a deletion frees. It misses one thing: when SQLite rebalances a tree it copies rows from
//! page to page, and a rebuilt page keeps copies of rows it gave away in its unused part, where no later deletion finds
//! them. (Measured: about one envelope in ten thousand survived so.) Overflow pages are never copied: they are written
//! once and zeroed when freed. So a body is laid out such that the part of its row that stands in the tree holds no sealed
//! byte, and all sealed bytes stand in overflow pages.
//!
//! The file format (section 1.6, "B-tree Pages", payload overflow) fixes how much of a row of `P` bytes stands in the
//! tree of a page of `U` bytes: at least `M = (U-12)*32/255-23`, and exactly `M` when `P - M` is a multiple of `U-4`.
//! A body is therefore
//!
//! ```text
//! u32 length of sealed, little-endian | zeros up to M bytes | sealed | zeros until P - M is a multiple of U-4
//! ```

use super::rows::damaged;
use crate::store::StoreError;

/// The database's page size in bytes; a padded short message takes one overflow page.
pub(super) const PAGE: usize = 2048;
/// Bytes of a body that may stand in the tree.
const LOCAL: usize = (PAGE - 12) * 32 / 255 - 23;
/// Bytes of a body in one overflow page.
const OVERFLOW: usize = PAGE - 4;
/// Bytes of the length.
const LENGTH: usize = 4;

/// Lays out sealed bytes.
///
/// # Errors
/// [`StoreError::Failed`] for more than 4 GiB.
pub(super) fn lay_out(sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let len =
        u32::try_from(sealed.len()).map_err(|_| StoreError::Failed("an envelope is too long".into()))?;
    let filled = LOCAL + sealed.len();
    let total = even_length(filled);
    let mut body = Vec::with_capacity(total);
    body.extend_from_slice(&len.to_le_bytes());
    body.resize(LOCAL, 0);
    body.extend_from_slice(sealed);
    body.resize(total, 0);
    Ok(body)
}

/// The sealed bytes of a body.
///
/// # Errors
/// [`StoreError::Corrupt`] when the length inside does not fit.
pub(super) fn sealed(body: &[u8]) -> Result<&[u8], StoreError> {
    let len = body.first_chunk::<LENGTH>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    len.and_then(|len| body.get(LOCAL..)?.get(..len)).ok_or_else(|| damaged("an envelope's body"))
}

/// The smallest length from `filled` on of a body that leaves only [`LOCAL`] bytes in the tree.
fn even_length(filled: usize) -> usize {
    // A row of `k` overflow pages has `LOCAL + k * OVERFLOW` bytes, of which its header takes 3 to 7.
    let rows = (filled.saturating_sub(LOCAL) / OVERFLOW..).map(|pages| LOCAL + pages * OVERFLOW);
    let mut lengths = rows.flat_map(|row| (3..=7).rev().map(move |header| row.saturating_sub(header)));
    lengths.find(|n| *n >= filled && overflows_evenly(*n)).unwrap_or(filled)
}

/// Whether a row of table `bodies` with a body of `n` bytes leaves only [`LOCAL`] bytes in the tree.
const fn overflows_evenly(n: usize) -> bool {
    let payload = record_header(n) + n;
    payload > PAGE - 35 && (payload - LOCAL).is_multiple_of(OVERFLOW)
}

/// Bytes of the record header of a row of table `bodies` (file format, section 2.1): its own length, the type of `id`
/// (NULL, for the rowid stands for it), the type of `body` (12 + 2n) as a varint.
const fn record_header(n: usize) -> usize {
    let mut varint = 1;
    let mut rest = (12 + 2 * n) >> 7;
    while rest > 0 {
        varint += 1;
        rest >>= 7;
    }
    2 + varint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_overflows_evenly() {
        for len in (0..20_000).chain([69 * 1024, 1 << 20]) {
            let bytes = vec![7; len];
            let body = lay_out(&bytes).unwrap();
            assert_eq!(sealed(&body).unwrap(), bytes);
            let smallest = (LOCAL + len..).find(|n| overflows_evenly(*n));
            assert_eq!(Some(body.len()), smallest, "{len}");
            assert!(body.len() < len + LOCAL + OVERFLOW + 3);
        }
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let body = lay_out(b"sealed").unwrap();
        assert!(sealed(&body[..3]).is_err());
        assert!(sealed(&body[..LOCAL + 5]).is_err());
        let mut long = body;
        long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(sealed(&long).is_err());
    }
}
