//! Safety numbers: what two people compare, in words or by camera, to know that no one stands between them.
//!
//! After Signal's numeric fingerprints. Each side of the pair has a fingerprint:
//!
//! ```text
//! h[0]   = SHA-512(label | 0x00 | 0x0001 u16 | account_len u32 | account | account_key 32)
//! h[i+1] = SHA-512(h[i] | account_key 32)          i = 0 .. 5199
//! digits = for each of the first six groups of 5 bytes of h[5200]: big-endian value mod 100000, 5 digits
//! ```
//!
//! The 5200 rounds make it dear to search for a key whose number looks like another's. The fingerprint that sorts first
//! by its 64 bytes comes first, so both people see the same number, whoever computes it (stateless, DESIGN 9).

use std::fmt;

use sha2::{Digest, Sha512};
use subrosa_verify::labels;
use subtle::ConstantTimeEq;

/// Rounds of the iterated hash.
const ROUNDS: usize = 5200;
/// Version of the computation; stands in the hash and first in the QR code.
const VERSION: u16 = 1;
/// Length of [`SafetyNumber::to_qr_bytes`].
pub const QR_BYTES: usize = 2 + 32 + 32;

/// The safety number of two accounts.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    /// The fingerprints in their order.
    fingerprints: [[u8; 64]; 2],
}

/// A scanned code that is no safety number of this version. That is not a mismatch: update the older of the two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a safety number of this version")]
pub struct NotASafetyNumber;

impl SafetyNumber {
    /// The number of two accounts with their account keys; the same in either order.
    pub fn compute(account_a: &str, key_a: &[u8; 32], account_b: &str, key_b: &[u8; 32]) -> Self {
        let mut fingerprints = [fingerprint(account_a, key_a), fingerprint(account_b, key_b)];
        fingerprints.sort_unstable();
        Self { fingerprints }
    }

    /// The 12 groups of 5 digits, as `Display` shows them separated by spaces.
    pub fn groups(&self) -> Vec<String> {
        self.fingerprints.iter().flat_map(groups).collect()
    }

    /// What the QR code holds: the version as two bytes and the first 32 bytes of each fingerprint in their order.
    pub fn to_qr_bytes(&self) -> [u8; QR_BYTES] {
        let mut out = [0; QR_BYTES];
        let halves = self.fingerprints.iter().flat_map(|fingerprint| fingerprint.iter().take(32));
        for (to, from) in out.iter_mut().zip(VERSION.to_le_bytes().iter().chain(halves)) {
            *to = *from;
        }
        out
    }

    /// Whether a code scanned from the other person's screen is this number.
    pub fn matches_qr(&self, scanned: &[u8]) -> Result<bool, NotASafetyNumber> {
        if scanned.len() != QR_BYTES || !scanned.starts_with(&VERSION.to_le_bytes()) {
            return Err(NotASafetyNumber);
        }
        Ok(self.to_qr_bytes().ct_eq(scanned).into())
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.groups().join(" "))
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

fn fingerprint(account: &str, key: &[u8; 32]) -> [u8; 64] {
    let len = u32::try_from(account.len()).unwrap_or(u32::MAX);
    let first = Sha512::new()
        .chain_update(labels::HASH_SAFETY_NUMBER.as_bytes())
        .chain_update([0])
        .chain_update(VERSION.to_le_bytes())
        .chain_update(len.to_le_bytes())
        .chain_update(account)
        .chain_update(key)
        .finalize();
    let last =
        (0..ROUNDS).fold(first, |hash, _| Sha512::new().chain_update(hash).chain_update(key).finalize());
    last.into()
}

fn groups(fingerprint: &[u8; 64]) -> impl Iterator<Item = String> + '_ {
    fingerprint.as_chunks::<5>().0.iter().take(6).map(|[a, b, c, d, e]| {
        let value = u64::from_be_bytes([0, 0, 0, *a, *b, *c, *d, *e]);
        format!("{:05}", value % 100_000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> SafetyNumber {
        SafetyNumber::compute("alice@relay.example", &[1; 32], "bob@relay.example", &[2; 32])
    }

    #[test]
    fn both_people_see_the_same_number() {
        let other = SafetyNumber::compute("bob@relay.example", &[2; 32], "alice@relay.example", &[1; 32]);
        assert_eq!(other, number());
        assert_eq!(other.to_qr_bytes(), number().to_qr_bytes());
    }

    #[test]
    fn has_twelve_groups_of_five_digits() {
        let groups = number().groups();
        assert_eq!(groups.len(), 12);
        assert!(groups.iter().all(|g| g.len() == 5 && g.bytes().all(|b| b.is_ascii_digit())));
    }

    #[test]
    fn another_key_or_name_is_another_number_and_code() {
        for other in [
            SafetyNumber::compute("alice@relay.example", &[3; 32], "bob@relay.example", &[2; 32]),
            SafetyNumber::compute("alicf@relay.example", &[1; 32], "bob@relay.example", &[2; 32]),
            SafetyNumber::compute("alice@relay.example", &[2; 32], "bob@relay.example", &[1; 32]),
        ] {
            assert_ne!(other.to_string(), number().to_string());
            assert_eq!(number().matches_qr(&other.to_qr_bytes()), Ok(false));
        }
        assert_eq!(number().matches_qr(&number().to_qr_bytes()), Ok(true));
    }

    #[test]
    fn codes_that_are_no_safety_numbers_are_told_apart_from_mismatches() {
        let code = number().to_qr_bytes();
        let mut newer = code;
        newer[0] = 2;
        for bad in [&newer[..], &code[1..], b"", b"https://example.org"] {
            assert_eq!(number().matches_qr(bad), Err(NotASafetyNumber));
        }
    }
}
