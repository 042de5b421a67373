use subrosa_verify::canonical::{Malformed, Reader};
use subrosa_verify::prekey::PrekeyKind;

/// Length of an ML-KEM-768 ciphertext in bytes (FIPS 203).
pub const KEM_CIPHERTEXT_LEN: usize = 1_088;

/// What the initiator tells the responder in every message until the first reply (PQXDH, section 3.3).
///
/// Layout, 1,142 bytes: `base_key 32 | created_at u64 | signed_prekey_id u32 | one-time flag u8 (0, 1) |
/// one_time_id u32 (0 without) | KEM prekey type u8 (0x03 last resort, 0x04 one-time) | kem_id u32 |
/// kem_ciphertext 1088`.
#[derive(Clone, PartialEq, Eq)]
pub struct InitialParams {
    /// The initiator's ephemeral public key (`EK_A`), 32 bytes; it also names the session (R15).
    pub base_key: [u8; 32],
    /// ms since the epoch at the initiator, raised above every earlier session of the two: orders sessions that cross.
    pub created_at: u64,
    /// Which signed prekey of the responder was used.
    pub signed_prekey_id: u32,
    /// Which one-time X25519 prekey was used, when the bundle held one.
    pub one_time_id: Option<u32>,
    /// Which ML-KEM-768 prekey was used.
    pub kem_id: u32,
    /// Whether that was the last-resort one.
    pub kem_last_resort: bool,
    /// The ciphertext for that key.
    pub kem_ciphertext: Box<[u8; KEM_CIPHERTEXT_LEN]>,
}

impl InitialParams {
    /// Length of the layout in bytes.
    pub const LEN: usize = 32 + 8 + 4 + 1 + 4 + 1 + 4 + KEM_CIPHERTEXT_LEN;

    /// The kind of KEM prekey that was used.
    pub fn kem_kind(&self) -> PrekeyKind {
        if self.kem_last_resort { PrekeyKind::LastResortKem } else { PrekeyKind::OneTimeKem }
    }

    /// Appends the layout.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.base_key);
        out.extend_from_slice(&self.created_at.to_le_bytes());
        out.extend_from_slice(&self.signed_prekey_id.to_le_bytes());
        out.push(self.one_time_id.is_some().into());
        out.extend_from_slice(&self.one_time_id.unwrap_or(0).to_le_bytes());
        out.push(self.kem_kind() as u8);
        out.extend_from_slice(&self.kem_id.to_le_bytes());
        out.extend_from_slice(self.kem_ciphertext.as_slice());
    }

    /// Reads the layout.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let base_key = reader.array()?;
        let created_at = reader.u64()?;
        let signed_prekey_id = reader.u32()?;
        let one_time_id = match (reader.u8()?, reader.u32()?) {
            (0, 0) => None,
            (1, id) => Some(id),
            _ => return Err(Malformed::Field("one-time prekey")),
        };
        let kem_last_resort = match PrekeyKind::from_byte(reader.u8()?) {
            Some(PrekeyKind::LastResortKem) => true,
            Some(PrekeyKind::OneTimeKem) => false,
            _ => return Err(Malformed::Field("KEM prekey type")),
        };
        let kem_id = reader.u32()?;
        let kem_ciphertext = Box::new(reader.array()?);
        Ok(Self {
            base_key,
            created_at,
            signed_prekey_id,
            one_time_id,
            kem_id,
            kem_last_resort,
            kem_ciphertext,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> InitialParams {
        InitialParams {
            base_key: [0xaa; 32],
            created_at: 0x0102,
            signed_prekey_id: 3,
            one_time_id: Some(4),
            kem_id: 5,
            kem_last_resort: false,
            kem_ciphertext: Box::new([0xcc; KEM_CIPHERTEXT_LEN]),
        }
    }

    fn bytes(params: &InitialParams) -> Vec<u8> {
        let mut out = Vec::new();
        params.encode(&mut out);
        out
    }

    #[test]
    fn r61_golden_bytes() {
        let expected = [
            &[0xaa; 32][..],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0],
            &[1, 4, 0, 0, 0],
            &[4, 5, 0, 0, 0],
            &[0xcc; KEM_CIPHERTEXT_LEN],
        ]
        .concat();
        assert_eq!(bytes(&params()), expected);
        assert_eq!(expected.len(), InitialParams::LEN);

        let last_resort = InitialParams { one_time_id: None, kem_last_resort: true, ..params() };
        assert_eq!(bytes(&last_resort)[44..54], [0, 0, 0, 0, 0, 3, 5, 0, 0, 0]);
        for params in [params(), last_resort] {
            assert!(InitialParams::parse(&mut Reader::new(&bytes(&params))).unwrap() == params);
        }
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for (at, value) in [(44, 2), (44, 0), (49, 1), (49, 5), (49, 0)] {
            let mut out = bytes(&params());
            out[at] = value;
            assert!(InitialParams::parse(&mut Reader::new(&out)).is_err(), "byte {at} = {value}");
        }
        assert!(InitialParams::parse(&mut Reader::new(&bytes(&params())[..InitialParams::LEN - 1])).is_err());
    }
}
