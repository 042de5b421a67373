//! The fixed byte layouts of what is signed or hashed: integers little-endian and of fixed width, `str8` = one byte of
//! length and that many bytes of UTF-8, arrays as they are. There is exactly one encoding of every value.

/// The longest account name in bytes that a canonical layout holds.
pub const ACCOUNT_MAX: usize = 32;
/// The shortest account name in bytes.
pub const ACCOUNT_MIN: usize = 3;

/// Why bytes are not the canonical encoding of anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The input ended in the middle of a field.
    #[error("the input ends in the middle of a field")]
    Truncated,
    /// Bytes follow the last field.
    #[error("bytes follow the last field")]
    Trailing,
    /// A name is not UTF-8 or its length is outside 3 to 32 bytes.
    #[error("an account name is not UTF-8 of 3 to 32 bytes")]
    Account,
    /// A field holds a value that the layout does not allow.
    #[error("field `{0}` holds a value that is not allowed")]
    Field(&'static str),
}

/// Reads a canonical layout front to back; every method fails on a short input and consumes nothing it did not return.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A `str8` that is an account name: 3 to 32 bytes of UTF-8.
    pub fn account(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::from(self.u8()?);
        if !(ACCOUNT_MIN..=ACCOUNT_MAX).contains(&len) {
            return Err(Malformed::Account);
        }
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Malformed::Account)
    }

    /// All that is left, possibly nothing.
    pub fn remaining(self) -> &'a [u8] {
        self.rest
    }

    /// Succeeds when every byte was read.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

/// Appends `text` as a `str8`. What is longer than 255 bytes is cut there: callers check [`account_fits`] before they
/// sign, and no reader of this layout accepts more than 32 bytes.
pub fn put_str8(out: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(len);
    out.extend(text.bytes().take(usize::from(len)));
}

/// Whether `name` has the 3 to 32 bytes that the layouts allow. What a name may consist of is checked elsewhere.
pub fn account_fits(name: &str) -> bool {
    (ACCOUNT_MIN..=ACCOUNT_MAX).contains(&name.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_nothing_more() {
        let mut out = vec![7];
        out.extend_from_slice(&0x0201u16.to_le_bytes());
        out.extend_from_slice(&0x0605_0403u32.to_le_bytes());
        out.extend_from_slice(&9u64.to_le_bytes());
        put_str8(&mut out, "alice");
        let mut r = Reader::new(&out);
        assert_eq!(r.u8(), Ok(7));
        assert_eq!(r.u16(), Ok(0x0201));
        assert_eq!(r.u32(), Ok(0x0605_0403));
        assert_eq!(r.u64(), Ok(9));
        assert_eq!(r.account(), Ok("alice"));
        assert_eq!(r.u8(), Err(Malformed::Truncated));
        assert_eq!(r.finish(), Ok(()));
        assert_eq!(Reader::new(&[1]).finish(), Err(Malformed::Trailing));
    }

    #[test]
    fn refuses_names_of_wrong_length_or_encoding() {
        for bad in [&b"\x02ab"[..], b"\x21aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", b"\x03a\xff\xfe"] {
            assert_eq!(Reader::new(bad).account(), Err(Malformed::Account));
        }
        assert_eq!(Reader::new(b"\x05abc").account(), Err(Malformed::Truncated));
    }

    #[test]
    fn a_long_string_is_cut_and_cannot_be_read_back() {
        let mut out = Vec::new();
        put_str8(&mut out, &"a".repeat(300));
        assert_eq!(out.len(), 256);
        assert_eq!(Reader::new(&out).account(), Err(Malformed::Account));
    }
}
