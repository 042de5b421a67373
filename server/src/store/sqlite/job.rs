//! One write that waits, and what it reads and changes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use super::ops::{Desk, Txn};
use crate::store::StoreError;

/// What a write reads and changes; the thread may carry out another one before or after it accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Puts envelopes into a mailbox, on the rows at hand and in the journal.
    Send,
    /// Acknowledges, or raises a generation; the same way. It goes on when nothing more can be stored.
    Acknowledge,
    /// A transaction that neither reads nor changes what mailboxes at hand have: it may come before those in front of it.
    Apart,
    /// A transaction that adds what mailboxes come from: it comes after those in front of it.
    Adds,
    /// A transaction before which everything young is folded in.
    Folded,
    /// The same, and it changes what mailboxes at hand were read from.
    Whole,
}

impl Kind {
    /// Whether it is decided on the rows at hand.
    pub(super) const fn is_mail(self) -> bool {
        matches!(self, Self::Send | Self::Acknowledge)
    }

    /// Whether everything young is folded in before it.
    pub(super) const fn needs_fold(self) -> bool {
        matches!(self, Self::Folded | Self::Whole)
    }
}

/// One write that waits.
pub(super) trait Job: Send {
    /// About the bytes it holds.
    fn bytes(&self) -> usize;
    /// What it reads and changes.
    fn kind(&self) -> Kind;
    /// Carries a transaction's part out, perhaps not for the first time. On `Err` what it did is rolled back.
    fn run(&mut self, txn: &Txn<'_>) -> Result<(), StoreError>;
    /// Decides on mailboxes, once.
    fn decide(&mut self, desk: &mut Desk<'_>);
    /// What it did was rolled back after all, or it was refused.
    fn fail(&mut self, error: StoreError);
    /// Answers it, knowing whether what was done together is durable.
    fn settle(self: Box<Self>, durable: &Result<(), StoreError>);
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A transaction's part.
pub(super) struct Sql<T, F> {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
    pub(super) work: F,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) answer: Reply<T>,
}

/// A decision on mailboxes.
pub(super) struct Mail<T, F> {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
    pub(super) work: Option<F>,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) answer: Reply<T>,
}

fn panicked() -> StoreError {
    StoreError::Failed("a write panicked".into())
}

fn misplaced() -> StoreError {
    StoreError::Failed("a write of another kind".into())
}

fn reply<T>(result: Option<Result<T, StoreError>>, durable: &Result<(), StoreError>, answer: Reply<T>) {
    let result = match (result, durable) {
        (Some(Ok(value)), Ok(())) => Ok(value),
        (Some(Err(own)), _) => Err(own),
        (_, Err(common)) => Err(common.clone()),
        (None, Ok(())) => Err(StoreError::Failed("a write was not carried out".into())),
    };
    // Nobody may wait for it any more.
    let _ = answer.send(result);
}

impl<T: Send, F: FnMut(&Txn<'_>) -> Result<T, StoreError> + Send> Job for Sql<T, F> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, txn: &Txn<'_>) -> Result<(), StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(txn))).unwrap_or_else(|_| Err(panicked()));
        let carried_out = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        carried_out
    }

    fn decide(&mut self, _desk: &mut Desk<'_>) {
        self.fail(misplaced());
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn settle(self: Box<Self>, durable: &Result<(), StoreError>) {
        reply(self.result, durable, self.answer);
    }
}

impl<T: Send, F: FnOnce(&mut Desk<'_>) -> Result<T, StoreError> + Send> Job for Mail<T, F> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, _txn: &Txn<'_>) -> Result<(), StoreError> {
        Err(misplaced())
    }

    fn decide(&mut self, desk: &mut Desk<'_>) {
        if let Some(work) = self.work.take() {
            self.result = Some(work(desk));
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn settle(self: Box<Self>, durable: &Result<(), StoreError>) {
        reply(self.result, durable, self.answer);
    }
}
