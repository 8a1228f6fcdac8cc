//! `Transaction`: a handle of writes that are made at one time or not at all.

use std::sync::Arc;

use laminardb_dataflow::CancelToken;

use crate::database::Database;
use crate::error::Error;

/// An open transaction. Any thread may hold it. [`crate::Session::begin`] and [`crate::Session::within`] make sessions
/// part of it. It is rolled back when the last handle is dropped before it has ended.
pub struct Transaction {
    database: Arc<Database>,
    id: u64,
}

impl Transaction {
    /// Makes the handle of a transaction that the committer has begun as `id`.
    pub(crate) fn new(database: Arc<Database>, id: u64) -> Arc<Transaction> {
        Arc::new(Transaction { database, id })
    }

    /// Returns the database that the transaction is part of.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Returns a number that no other transaction or session of the database has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns whether the transaction has not ended.
    pub fn is_open(&self) -> bool {
        self.database.committer.is_open_as(self.id)
    }

    /// Makes all writes at one time. If that fails, none is made and the transaction has ended. Waits first for room in
    /// the relations written to; if `cancel` ends that wait, the transaction stays open. Fails if the transaction has
    /// ended before.
    pub fn commit(&self, cancel: &CancelToken) -> Result<(), Error> {
        let database = &self.database;
        database.check_usable()?;
        database.ended_as(database.committer.commit_transaction(self.id, cancel))
    }

    /// Undoes all writes and ends the transaction. Fails if it has ended before.
    pub fn rollback(&self) -> Result<(), Error> {
        self.database.check_usable()?;
        self.database.ended_as(self.database.committer.rollback_transaction(self.id))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.database.committer.abandon(self.id);
    }
}
