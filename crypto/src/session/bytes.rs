//! The stored form of a record: a canonical layout, so that equal records have equal bytes (R16 is tested on it).
//!
//! ```text
//! record    version u8 (1) | active u8 (0, 1) | sessions u8 (0..=11, the active one first) | session ...
//! session   role u8 (1 initiator, 2 initiator without an answer, 3 responder)
//!           | parties 32 | id 16 | transcript 32 | created_at u64 | base_key 32 | used_at u64
//!           [| InitialParams 1142 | expires_at u64]   for role 2 only
//!           | ratchet
//! ```

use std::collections::HashSet;

use subrosa_verify::canonical::{Malformed, Reader};
use zeroize::Zeroizing;

use super::error::SessionError;
use super::record::SessionRecord;
use super::state::{Order, Role, Session, Unanswered};
use crate::pqxdh::InitialParams;
use crate::ratchet::Ratchet;
use crate::ratchet::limits::MAX_ARCHIVED_SESSIONS;

const VERSION: u8 = 1;
const INITIATOR: u8 = 1;
const UNANSWERED: u8 = 2;
const RESPONDER: u8 = 3;
const SESSION_LEN: usize = 1 + 32 + 16 + 32 + 8 + 32 + 8;

impl SessionRecord {
    /// The record for the store; holds secrets.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let sessions = || self.active.iter().chain(&self.archived);
        let len = 3 + sessions().map(Session::encoded_len).sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(&[VERSION, self.active.is_some().into()]);
        out.push(u8::try_from(sessions().count()).unwrap_or(u8::MAX));
        for session in sessions() {
            session.encode(&mut out);
        }
        debug_assert_eq!(out.len(), len, "one buffer, which never moved");
        out
    }

    /// A record as [`SessionRecord::to_bytes`] wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SessionError> {
        Self::parse(bytes).map_err(|_| SessionError::BadRecord)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed::Field("version"));
        }
        let active = match reader.u8()? {
            0 => 0,
            1 => 1,
            _ => return Err(Malformed::Field("active")),
        };
        let count = usize::from(reader.u8()?);
        if count < active || count - active > MAX_ARCHIVED_SESSIONS {
            return Err(Malformed::Field("sessions"));
        }
        let mut record = Self::new();
        for at in 0..count {
            let session = Session::parse(&mut reader)?;
            if at < active {
                record.active = Some(session);
            } else {
                record.archived.push_back(session);
            }
        }
        reader.finish()?;
        if record.ids().collect::<HashSet<_>>().len() != count {
            return Err(Malformed::Field("sessions"));
        }
        Ok(record)
    }
}

impl Session {
    fn encoded_len(&self) -> usize {
        let unanswered = self.unanswered().map_or(0, |_| InitialParams::LEN + 8);
        SESSION_LEN + unanswered + self.ratchet.encoded_len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match &self.role {
            Role::Initiator { unanswered: None } => INITIATOR,
            Role::Initiator { unanswered: Some(_) } => UNANSWERED,
            Role::Responder => RESPONDER,
        });
        out.extend_from_slice(&self.parties);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.transcript);
        out.extend_from_slice(&self.order.created_at.to_le_bytes());
        out.extend_from_slice(&self.order.base_key);
        out.extend_from_slice(&self.used_at.to_le_bytes());
        if let Some(unanswered) = self.unanswered() {
            unanswered.params.encode(out);
            out.extend_from_slice(&unanswered.expires_at.to_le_bytes());
        }
        self.ratchet.encode(out);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let role = reader.u8()?;
        let parties = reader.array()?;
        let id = reader.array()?;
        let transcript = reader.array()?;
        let order = Order { created_at: reader.u64()?, base_key: reader.array()? };
        let used_at = reader.u64()?;
        let role = match role {
            INITIATOR => Role::Initiator { unanswered: None },
            UNANSWERED => {
                let params = InitialParams::parse(reader)?;
                if params.base_key != order.base_key || params.created_at != order.created_at {
                    return Err(Malformed::Field("initial parameters"));
                }
                Role::Initiator { unanswered: Some(Unanswered { params, expires_at: reader.u64()? }) }
            }
            RESPONDER => Role::Responder,
            _ => return Err(Malformed::Field("role")),
        };
        let ratchet = Ratchet::parse(reader)?;
        Ok(Self { role, parties, id, transcript, order, used_at, ratchet })
    }
}
