//! The encoding of frame bodies and contents: bincode 2's standard configuration (little-endian, variable-length
//! integers) of serde types. Nothing outside this module names bincode, and docs/PROTOCOL.md writes its layout down,
//! so that the wire can outlive it.
//!
//! Decoding is bounded and strict: what was read must be exactly what encoding would write again, so trailing bytes,
//! integers in a longer form than needed and out-of-range booleans are refused (R9).

use bytes::BytesMut;
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::FRAME_MAX;

/// The most bytes one decode may claim in all; equal to the largest frame, with room for the length of inner lists.
const DECODE_LIMIT: usize = FRAME_MAX + 1024;

type Config = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_LIMIT>,
>;

const fn config() -> Config {
    bincode::config::standard().with_limit::<DECODE_LIMIT>()
}

/// Why bytes were not understood, or a value not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not a value of this type, or exceed a bound. Answer with `bad_request` and go on.
    #[error("malformed body")]
    Malformed,
    /// Bytes follow the value.
    #[error("{0} bytes follow the body")]
    TrailingBytes(usize),
    /// The same value has a shorter encoding; only the shortest is accepted.
    #[error("body is not in canonical form")]
    NotCanonical,
    /// The value is larger than a frame can be. The caller built it wrongly.
    #[error("value does not fit a frame")]
    TooLarge,
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::TooLarge`] when the result would exceed the largest frame.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, config()).map_err(|_| CodecError::TooLarge)?;
    if bytes.len() > FRAME_MAX {
        return Err(CodecError::TooLarge);
    }
    Ok(bytes)
}

/// Appends a value's encoding.
///
/// # Errors
/// [`CodecError::TooLarge`] like [`encode`]; a part of it may have been appended then.
pub fn encode_into<T: Serialize>(value: &T, out: &mut BytesMut) -> Result<(), CodecError> {
    let appending = Appending { room: FRAME_MAX, out };
    bincode::serde::encode_into_writer(value, appending, config()).map_err(|_| CodecError::TooLarge)
}

/// A writer behind what a buffer holds, of so many bytes at most.
struct Appending<'a> {
    out: &'a mut BytesMut,
    room: usize,
}

impl bincode::enc::write::Writer for Appending<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        let full = bincode::error::EncodeError::Other("too large");
        self.room = self.room.checked_sub(bytes.len()).ok_or(full)?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decodes exactly one value from exactly these bytes.
///
/// # Errors
/// [`CodecError`] when the bytes are malformed, exceed a bound, are followed by others or are not canonical.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > FRAME_MAX {
        return Err(CodecError::TooLarge);
    }
    // Borrowing: a text or byte string is looked at where it stands and copied only when its bytes are there, so that a
    // claimed length makes no room.
    let (value, used): (T, usize) =
        bincode::serde::borrow_decode_from_slice(bytes, config()).map_err(|_| CodecError::Malformed)?;
    if used != bytes.len() {
        return Err(CodecError::TrailingBytes(bytes.len().saturating_sub(used)));
    }
    let mut same = Comparing { rest: bytes };
    bincode::serde::encode_into_writer(&value, &mut same, config()).map_err(|_| CodecError::NotCanonical)?;
    if same.rest.is_empty() { Ok(value) } else { Err(CodecError::NotCanonical) }
}

/// A writer that accepts only the bytes it was given, so that the check for canonical form allocates nothing.
struct Comparing<'a> {
    rest: &'a [u8],
}

impl bincode::enc::write::Writer for &mut Comparing<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(bincode::error::EncodeError::Other("not canonical")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r9_a_longer_integer_form_is_refused() {
        assert_eq!(encode(&7u32).unwrap(), [7]);
        assert_eq!(decode::<u32>(&[7]).unwrap(), 7);
        assert_eq!(decode::<u32>(&[251, 7, 0]), Err(CodecError::NotCanonical));
        assert_eq!(decode::<u32>(&[7, 0]), Err(CodecError::TrailingBytes(1)));
        assert_eq!(decode::<bool>(&[2]), Err(CodecError::Malformed));
    }

    #[test]
    fn r3_a_claimed_length_allocates_nothing() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(4u64 << 30).to_le_bytes());
        assert_eq!(decode::<Vec<u8>>(&bytes), Err(CodecError::Malformed));
        assert_eq!(decode::<String>(&bytes), Err(CodecError::Malformed));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = decode::<(u64, String, Option<u16>, Vec<u8>)>(&bytes) {
                prop_assert_eq!(encode(&value).unwrap(), bytes);
            }
        }
    }
}
