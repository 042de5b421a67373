//! Plaintext lengths (R46): everything is padded to one of four sizes before it is encrypted, so that a text, a
//! receipt, a reaction and a typing notice look alike.
//!
//! ```text
//! plaintext | 0x80 | 0x00 ... up to 1024, 4096, 16384 or 65536 bytes, the smallest that fits
//! ```

/// The lengths in bytes of padded plaintexts, the binding header included.
pub const BUCKETS: [usize; 4] = [1_024, 4_096, 16_384, 65_536];
/// The longest plaintext in bytes that can be padded: one byte goes to the mark.
pub const MAX_PLAINTEXT: usize = 65_535;

const MARK: u8 = 0x80;

/// Why a length or padding is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// Longer than [`MAX_PLAINTEXT`]: send it as an attachment, or in parts.
    #[error("a message of {0} bytes is too long to send")]
    TooLong(usize),
    /// Not a padded plaintext, or padded more than needed: the sender is broken or hostile.
    #[error("the padding is not canonical")]
    Malformed,
}

/// Pads to the smallest of [`BUCKETS`] that holds the plaintext and its mark.
pub fn pad(mut plaintext: Vec<u8>) -> Result<Vec<u8>, PaddingError> {
    let len = plaintext.len();
    let bucket = bucket_of(len).ok_or(PaddingError::TooLong(len))?;
    plaintext.push(MARK);
    plaintext.resize(bucket, 0);
    Ok(plaintext)
}

/// Takes the padding off again; accepts nothing that [`pad`] does not make.
pub fn unpad(padded: &[u8]) -> Result<&[u8], PaddingError> {
    let mark = padded.iter().rposition(|b| *b != 0).ok_or(PaddingError::Malformed)?;
    let (plaintext, tail) = padded.split_at_checked(mark).ok_or(PaddingError::Malformed)?;
    if tail.first() == Some(&MARK) && bucket_of(plaintext.len()) == Some(padded.len()) {
        Ok(plaintext)
    } else {
        Err(PaddingError::Malformed)
    }
}

fn bucket_of(len: usize) -> Option<usize> {
    BUCKETS.into_iter().find(|bucket| len < *bucket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r46_every_length_goes_to_the_smallest_bucket_that_fits() {
        for (len, bucket) in [
            (0, 1_024),
            (1, 1_024),
            (1_023, 1_024),
            (1_024, 4_096),
            (4_095, 4_096),
            (4_096, 16_384),
            (16_383, 16_384),
            (16_384, 65_536),
            (65_535, 65_536),
        ] {
            let padded = pad(vec![0; len]).unwrap();
            assert_eq!(padded.len(), bucket);
            assert_eq!(unpad(&padded).unwrap(), vec![0; len]);
        }
        assert_eq!(pad(vec![0; 65_536]), Err(PaddingError::TooLong(65_536)));
    }

    #[test]
    fn r46_padding_that_is_not_ours_is_refused() {
        let mut more_than_needed = vec![1; 10];
        more_than_needed.push(0x80);
        more_than_needed.resize(4_096, 0);
        let mut wrong_mark = vec![1; 1_024];
        wrong_mark[1_000..].fill(0);
        let mut after_the_mark = pad(vec![1; 10]).unwrap();
        after_the_mark[1_023] = 1;
        let mut short = pad(vec![1; 10]).unwrap();
        short.pop();
        for bad in [vec![], vec![0x80], vec![0; 1_024], more_than_needed, wrong_mark, after_the_mark, short] {
            assert_eq!(unpad(&bad), Err(PaddingError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn r46_round_trip_and_no_second_form(mut plaintext in proptest::collection::vec(any::<u8>(), 0..5_000),
                                             at in any::<proptest::sample::Index>(), value: u8) {
            let padded = pad(plaintext.clone()).unwrap();
            prop_assert!(BUCKETS.contains(&padded.len()));
            prop_assert_eq!(unpad(&padded).unwrap(), &plaintext[..]);
            // Whatever one byte becomes, what unpads is the padding of something.
            let mut changed = padded;
            let at = at.index(changed.len());
            changed[at] = value;
            if let Ok(found) = unpad(&changed) {
                plaintext = found.to_vec();
                prop_assert_eq!(pad(plaintext).unwrap(), changed);
            }
        }
    }
}
