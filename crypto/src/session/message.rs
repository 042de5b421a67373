use subrosa_verify::canonical::Reader;

use super::error::SessionError;
use crate::pqxdh::InitialParams;
use crate::ratchet::Header;

/// Type byte of a message that opens a session or repeats what opened it.
const INITIAL: u8 = 0x01;
/// Type byte of a message in a session that both sides know.
const RATCHET: u8 = 0x02;
/// The only version of both.
const VERSION: u8 = 0x01;

/// Length of a session's name in bytes.
pub(super) const SESSION_ID_LEN: usize = 16;

/// A session message in parts.
///
/// Initial: `0x01 | version 0x01 | InitialParams 1142 | header 58 | ciphertext`.
/// Ratchet: `0x02 | version 0x01 | session_id 16 | header 58 | ciphertext`.
pub(super) struct SessionMessage<'a> {
    pub(super) session: SessionName,
    pub(super) header: Header,
    /// Every byte before the ciphertext.
    pub(super) before: &'a [u8],
    /// With the 16-byte tag at its end.
    pub(super) ciphertext: &'a [u8],
}

/// How a message names its session.
pub(super) enum SessionName {
    Initial(Box<InitialParams>),
    Known([u8; SESSION_ID_LEN]),
}

impl<'a> SessionMessage<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, SessionError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8()?;
        let version = reader.u8()?;
        if kind != INITIAL && kind != RATCHET {
            return Err(SessionError::Corrupt);
        }
        if version != VERSION {
            return Err(SessionError::UnsupportedVersion(version));
        }
        let session = match kind {
            INITIAL => SessionName::Initial(Box::new(InitialParams::parse(&mut reader)?)),
            _ => SessionName::Known(reader.array()?),
        };
        let header = Header::parse(&mut reader)?;
        let ciphertext = reader.remaining();
        let (before, _) =
            bytes.split_at_checked(bytes.len() - ciphertext.len()).ok_or(SessionError::Corrupt)?;
        Ok(Self { session, header, before, ciphertext })
    }
}

/// The first bytes of an initial message.
pub(super) fn initial(params: &InitialParams) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + InitialParams::LEN + Header::LEN);
    out.extend_from_slice(&[INITIAL, VERSION]);
    params.encode(&mut out);
    out
}

/// The first bytes of a message in a known session.
pub(super) fn known(id: &[u8; SESSION_ID_LEN]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + SESSION_ID_LEN + Header::LEN);
    out.extend_from_slice(&[RATCHET, VERSION]);
    out.extend_from_slice(id);
    out
}
