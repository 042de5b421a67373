//! One transaction.

use std::{cell::Cell, ops::Deref};

use rusqlite::{Connection, Params, Row};

use super::{
    error::{Result, StoreError},
    parsed_lists::ParsedLists,
};

/// A transaction: all operations of the store. It ends with the closure it was given to: committed when that returned
/// `Ok`, without a trace otherwise.
pub struct Tx<'c> {
    connection: Held<'c>,
    /// The generation this transaction raised to, once it did.
    pub(super) raised: Cell<Option<u64>>,
    pub(super) parsed: &'c ParsedLists,
}

/// What the operations run on.
enum Held<'c> {
    /// A transaction of its own.
    Own(Begun<'c>),
    /// The transaction of a group ([`Store::begin_group`](super::Store::begin_group)), begun by hand.
    Group(&'c Connection),
}

impl Deref for Held<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Own(begun) => begun.0,
            Self::Group(connection) => connection,
        }
    }
}

/// A transaction that was begun. It leaves no trace, unless it is committed. There are several for every message: their
/// statements are kept prepared like all others.
struct Begun<'c>(&'c Connection);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = alone(self.0, "ROLLBACK")
        {
            tracing::warn!(%error, "a transaction cannot be undone");
        }
    }
}

/// Carries out a statement that stands outside of the operations.
fn alone(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

impl<'c> Tx<'c> {
    /// Begins a transaction that may write.
    pub(super) fn to_write(connection: &'c Connection, parsed: &'c ParsedLists) -> Result<Self> {
        Self::begin(connection, "BEGIN IMMEDIATE", parsed)
    }

    /// Begins a transaction that sees one state of the store.
    pub(super) fn to_read(connection: &'c Connection, parsed: &'c ParsedLists) -> Result<Self> {
        Self::begin(connection, "BEGIN DEFERRED", parsed)
    }

    fn begin(connection: &'c Connection, sql: &str, parsed: &'c ParsedLists) -> Result<Self> {
        alone(connection, sql)?;
        Ok(Self { connection: Held::Own(Begun(connection)), raised: Cell::new(None), parsed })
    }

    /// The transaction of a group, which raised the generation to `raised` already.
    pub(super) const fn in_group(
        connection: &'c Connection,
        raised: Option<u64>,
        parsed: &'c ParsedLists,
    ) -> Self {
        Self { connection: Held::Group(connection), raised: Cell::new(raised), parsed }
    }

    pub(super) fn commit(self) -> Result<()> {
        alone(&self.connection, "COMMIT")
    }

    /// Carries out a part of the transaction that may fail alone: what `part` did is undone when it returns an error, and
    /// what was done before stays. May be nested.
    ///
    /// # Errors
    /// What `part` returned, or [`StoreError`] when the store itself failed.
    pub fn attempt<T, E: From<StoreError>>(&self, part: impl FnOnce(&Self) -> Result<T, E>) -> Result<T, E> {
        let raised = self.raised.get();
        self.run("SAVEPOINT part", []).map_err(E::from)?;
        match part(self) {
            Ok(value) => {
                self.run("RELEASE part", []).map_err(E::from)?;
                Ok(value)
            }
            Err(error) => {
                self.raised.set(raised);
                // After some errors SQLite has undone the whole transaction by itself.
                if !self.connection.is_autocommit() {
                    self.run("ROLLBACK TO part", []).map_err(E::from)?;
                    self.run("RELEASE part", []).map_err(E::from)?;
                }
                Err(error)
            }
        }
    }

    /// Looks at the state in the middle of a transaction. What `part` changed is undone.
    pub(super) fn undone<T, E: From<StoreError>>(
        &self,
        part: impl FnOnce(&Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let raised = self.raised.get();
        self.run("SAVEPOINT part", []).map_err(E::from)?;
        let value = part(self);
        self.raised.set(raised);
        if !self.connection.is_autocommit() {
            self.run("ROLLBACK TO part", []).map_err(E::from)?;
            self.run("RELEASE part", []).map_err(E::from)?;
        }
        value
    }

    /// The first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        #[cfg(test)]
        super::tests::plans::note(sql);
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// The first row, which every such query has.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.one(sql, params, read)?.ok_or(StoreError::Missing("row"))
    }

    /// All rows; the statement bounds them.
    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(sql, params, |row| {
            found.push(read(row)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Row after row, as long as `read` returns `true`.
    pub(super) fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        #[cfg(test)]
        super::tests::plans::note(sql);
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if !read(row)? {
                break;
            }
        }
        Ok(())
    }

    /// Changes rows; how many.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        #[cfg(test)]
        super::tests::plans::note(sql);
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// The row id of the last insertion.
    pub(super) fn inserted(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}
