//! BEGIN, COMMIT and ROLLBACK, and what an open transaction does not allow.
//!
//! A transaction is of base relations: views, which the engine maintains, learn of its writes when it is committed. So
//! a session can read sources and tables as they are inside, but no maintained view; and nothing is defined inside.

use std::sync::Arc;

use super::Session;
use crate::database::Definitions;
use crate::error::Error;
use crate::transaction::Transaction;

impl Session {
    /// Begins a transaction: until [`Session::commit`] or [`Session::rollback`] the writes of this session are seen by
    /// itself only, and those of others wait. Waits for the transaction of another session to end. Gives the handle, by
    /// which other sessions can take part; when all handles and the session are gone, it is rolled back.
    pub fn begin(&self) -> Result<Arc<Transaction>, Error> {
        let database = &self.database;
        database.check_usable()?;
        database.ended_as(self.begin_in_turn())
    }

    fn begin_in_turn(&self) -> Result<Arc<Transaction>, Error> {
        let committer = &self.database.committer;
        let place = committer.line_up(self.actor());
        loop {
            committer.wait_to_begin(&place, &self.cancel)?;
            // Nothing is defined while a transaction is open, so no definition may be under way either.
            let _definitions = self.definitions()?;
            let id = self.database.new_id();
            if committer.begin(&place, id) {
                let transaction = Transaction::new(Arc::clone(&self.database), id);
                *self.transaction.lock() = Some(Arc::clone(&transaction));
                return Ok(transaction);
            }
        }
    }

    /// Makes all writes of the session's transaction at one time. If that fails none was made, and the transaction has
    /// ended. Waits first for room in the relations written to; a call that is cancelled meanwhile leaves it open.
    pub fn commit(&self) -> Result<(), Error> {
        self.end(|transaction| transaction.commit(&self.cancel))
    }

    /// Ends the session's transaction as if it had never been.
    pub fn rollback(&self) -> Result<(), Error> {
        self.end(Transaction::rollback)
    }

    fn end(&self, end: impl FnOnce(&Transaction) -> Result<(), Error>) -> Result<(), Error> {
        self.database.check_usable()?;
        let Some(transaction) = self.transaction.lock().clone() else {
            let why = match self.database.committer.is_open() {
                true => "the transaction under way is of another thread or session",
                false => "no transaction is open",
            };
            return Err(Error::QueryFailed(why.to_owned()));
        };
        let ended = end(&transaction);
        if ended != Err(Error::Interrupted) {
            self.transaction.lock().take();
        }
        ended
    }

    /// Whether a transaction of the session is open.
    pub fn in_transaction(&self) -> bool {
        self.database.committer.is_open_for(self.actor())
    }

    /// The right to change the set of relations. Waits for the transaction of another session to end; while the right
    /// is held none is begun.
    pub(super) fn define(&self) -> Result<Definitions<'_>, Error> {
        loop {
            self.refuse_in_transaction("definitions cannot be changed")?;
            let _place = self.database.committer.wait_for_turn(self.actor(), &self.cancel)?;
            let definitions = self.definitions()?;
            if !self.database.committer.is_open() {
                return Ok(definitions);
            }
        }
    }

    /// Keeps the set of relations as it is. Waits for definitions under way.
    pub(super) fn definitions(&self) -> Result<Definitions<'_>, Error> {
        // A database that ended meanwhile has nothing to be read or defined in.
        self.database.take_definitions(&self.cancel, || self.database.check_usable())
    }

    /// Fails if the session has a transaction open, in which `what` is not allowed.
    pub(super) fn refuse_in_transaction(&self, what: &str) -> Result<(), Error> {
        if !self.in_transaction() {
            return Ok(());
        }
        Err(Error::QueryFailed(format!("{what} inside a transaction: COMMIT or ROLLBACK it first")))
    }
}
