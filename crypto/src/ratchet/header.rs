use subrosa_verify::canonical::{Malformed, Reader};

/// Bytes of random salt in every header (R20).
pub(super) const SALT_LEN: usize = 16;

/// What stands before each ciphertext, authenticated and, inside a sealed envelope, hidden (Double Ratchet, section 3.1).
///
/// Layout, 58 bytes: `ratchet_key 32 | previous u32 | number u32 | salt 16 | extension length u16 (0)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The sender's current ratchet public key (`dh`).
    pub ratchet_key: [u8; 32],
    /// How many messages the sender's previous chain held (`pn`).
    pub previous: u32,
    /// The number of this message in its chain, from 0 (`n`).
    pub number: u32,
    /// Mixed into AEAD key and nonce of this message.
    pub salt: [u8; SALT_LEN],
}

impl Header {
    /// Length in bytes of version 1, whose extension is empty.
    pub const LEN: usize = 32 + 4 + 4 + SALT_LEN + 2;

    /// Appends the layout.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.ratchet_key);
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&0u16.to_le_bytes());
    }

    /// Reads the layout. The extension is kept for a post-quantum ratchet; version 1 refuses one that is not empty,
    /// because whoever skips it would lose what it protects.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let header = Self {
            ratchet_key: reader.array()?,
            previous: reader.u32()?,
            number: reader.u32()?,
            salt: reader.array()?,
        };
        if reader.u16()? == 0 { Ok(header) } else { Err(Malformed::Field("ratchet extension")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r61_golden_bytes() {
        let header =
            Header { ratchet_key: [0xaa; 32], previous: 0x0102, number: 0x0304_0506, salt: [0xbb; 16] };
        let mut out = Vec::new();
        header.encode(&mut out);
        let expected = [&[0xaa; 32][..], &[2, 1, 0, 0, 6, 5, 4, 3], &[0xbb; 16], &[0, 0]].concat();
        assert_eq!(out, expected);
        assert_eq!(out.len(), Header::LEN);
        assert_eq!(Header::parse(&mut Reader::new(&out)), Ok(header));
        for len in 0..Header::LEN {
            assert_eq!(Header::parse(&mut Reader::new(&out[..len])), Err(Malformed::Truncated));
        }
        for at in [Header::LEN - 2, Header::LEN - 1] {
            let mut extended = out.clone();
            extended[at] = 1;
            assert_eq!(
                Header::parse(&mut Reader::new(&extended)),
                Err(Malformed::Field("ratchet extension"))
            );
        }
    }
}
