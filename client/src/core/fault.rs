//! What stops a step of the machine. The step's transaction has left no trace then.

use subrosa_protocol::SafeText;

use super::{Core, Turn};
use crate::{
    api::{ApiError, EventBody, Kind},
    store::StoreError,
};

/// Why a step was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The store failed; nothing was changed. Try again later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked is refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The relay did what no relay does; `0` names it. The connection is given up.
    #[error("the relay does not keep to the protocol: {0}")]
    Relay(&'static str),
    /// Something that cannot be, names the part. A fault of this program.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error.into(),
            Fault::Refused(error) => error,
            Fault::Relay(_) => Self::new(Kind::Unreachable, fault.to_string()),
            Fault::Internal(what) => Self::internal(what),
        }
    }
}

impl Fault {
    /// Whether only the row at hand was refused (too much, too long, damaged), not the store as a whole.
    pub(super) const fn is_of_one_row(&self) -> bool {
        matches!(self, Self::Store(StoreError::Limit(_) | StoreError::Corrupt(_) | StoreError::Missing(_)))
    }
}

/// What this profile itself could not do, as far as it is not over.
#[derive(Default)]
pub(super) struct Faults {
    /// The last one.
    pub(super) own: Option<ApiError>,
    /// It came up while there was a connection: only one that gets everything shows that it is over. A small change may
    /// still find room where a larger one does not.
    connected: bool,
    /// A step of this turn failed.
    failed: bool,
    /// Something was written in this turn.
    pub(super) wrote: bool,
}

impl Core {
    /// The store failed, or this program did, or the relay did what no relay does. Nothing of the step was kept; the
    /// connection is made anew, and what was not acknowledged comes again.
    pub(super) fn failed(&mut self, turn: &mut Turn<'_>, fault: Fault) {
        tracing::error!(%fault, "a step failed");
        let of_the_relay = matches!(fault, Fault::Relay(_));
        let error = ApiError::from(fault);
        if of_the_relay {
            self.tell(turn, EventBody::ServerNotice { text: error.message });
        } else {
            self.faults.failed = true;
            self.faults.own = Some(error.clone());
            if self.link.is_open() {
                self.faults.connected = true;
                self.link.given_up_for = Some(error.clone());
            }
            self.tell(turn, EventBody::ProfileFault { error: Some(error) });
        }
        self.drop_connection(turn);
    }

    /// An own fault is over when something could be written again; one that came up with a connection, when all that the
    /// relay had for this device could be.
    pub(super) fn look_whether_it_is_over(&mut self, turn: &mut Turn<'_>) {
        let failed = std::mem::take(&mut self.faults.failed);
        let wrote = std::mem::take(&mut self.faults.wrote);
        let works = if self.link.is_up() { self.mailbox.synced } else { wrote && !self.faults.connected };
        if works && !failed && self.faults.own.take().is_some() {
            self.faults.connected = false;
            self.tell(turn, EventBody::ProfileFault { error: None });
        }
    }
}

/// An own fault where the connection is shown.
pub(super) fn own_reason(error: &ApiError) -> SafeText {
    let hint = error.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
    SafeText::single_line(&format!("this profile, not the relay: {}{hint}", error.message.as_str()))
}
