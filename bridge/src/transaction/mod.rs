//! `Transaction`: writes that are made at one time or not at all, in the hands of whoever holds the handle.

use std::sync::Arc;

use laminardb_dataflow::CancelToken;

use crate::database::Database;
use crate::error::Error;

/// An open transaction. Any thread may hold it; sessions are put into it by [`crate::Session::begin`] and
/// [`crate::Session::within`]. It is rolled back when the last handle is dropped before its end.
pub struct Transaction {
    database: Arc<Database>,
    id: u64,
}

impl Transaction {
    /// The handle of a transaction that the committer has begun as `id`.
    pub(crate) fn new(database: Arc<Database>, id: u64) -> Arc<Transaction> {
        Arc::new(Transaction { database, id })
    }

    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// A number that no other transaction or session of the database has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Makes all writes at one time. If that fails none was made, and the transaction has ended. Waits first for room in
    /// the relations written to: if `cancel` ends that wait, the transaction goes on. Fails when it has ended before.
    pub fn commit(&self, cancel: &CancelToken) -> Result<(), Error> {
        let database = &self.database;
        database.check_usable()?;
        database.ended_as(database.committer.commit_transaction(self.id, cancel))
    }

    /// Ends it as if it had never been. Fails when it has ended before.
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
