//! What stops a step of the machine. The step's transaction has left no trace then.

use crate::{
    api::{ApiError, Kind},
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
