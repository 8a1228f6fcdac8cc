//! BEGIN, COMMIT and ROLLBACK, and the restrictions of an open transaction.
//!
//! A transaction comprises writes to base relations; the views that the engine maintains receive them when it is
//! committed. So inside a transaction a session reads sources and tables with its own writes, but cannot read a
//! maintained view or change definitions.

use std::sync::Arc;

use super::Session;
use crate::database::Definitions;
use crate::error::Error;
use crate::transaction::Transaction;

impl Session {
    /// Begins a transaction and returns its handle, by which other sessions can take part. Until [`Session::commit`] or
    /// [`Session::rollback`], only sessions in the transaction see its writes, and the writes of others wait. Waits for
    /// the transaction of another session to end. When all handles and the session are dropped, the transaction is
    /// rolled back.
    pub fn begin(&self) -> Result<Arc<Transaction>, Error> {
        let database = &self.database;
        database.check_usable()?;
        database.ended_as(self.begin_in_turn())
    }

    fn begin_in_turn(&self) -> Result<Arc<Transaction>, Error> {
        let committer = &self.database.committer;
        let place = committer.line_up(&self.actor(), &self.cancel);
        loop {
            committer.wait_to_begin(&place, &self.cancel)?;
            // No definition may run while a transaction is open, so none may be under way when it begins.
            let _definitions = self.definitions()?;
            let id = self.database.new_id();
            // Fails only if this session has begun a transaction meanwhile or the database has ended; the next wait
            // reports it.
            if committer.begin(&place, id) {
                let transaction = Transaction::new(Arc::clone(&self.database), id);
                *self.transaction.lock() = Some(Arc::clone(&transaction));
                return Ok(transaction);
            }
        }
    }

    /// Commits all writes of the session's transaction at one time. If that fails, none is made and the transaction has
    /// ended. Waits first for room in the relations written to; if the call is cancelled during that wait, the
    /// transaction stays open.
    pub fn commit(&self) -> Result<(), Error> {
        self.end(|transaction| transaction.commit(&self.cancel))
    }

    /// Undoes all writes of the session's transaction and ends it.
    pub fn rollback(&self) -> Result<(), Error> {
        self.end(Transaction::rollback)
    }

    /// Ends the session's transaction by `end`; the session keeps it only if that was interrupted.
    fn end(&self, end: impl FnOnce(&Transaction) -> Result<(), Error>) -> Result<(), Error> {
        self.database.check_usable()?;
        let Some(transaction) = self.transaction.lock().clone() else {
            let holder = self.database.transactions().into_iter().find(|transaction| transaction.holds);
            let why = holder.map_or_else(
                || "no transaction is open".to_owned(),
                |holder| {
                    let name = holder.name.unwrap_or_else(|| "another session".to_owned());
                    format!("no transaction is open here: the one under way is of {name}")
                },
            );
            return Err(Error::QueryFailed(why));
        };
        let ended = end(&transaction);
        if ended != Err(Error::Interrupted) {
            self.transaction.lock().take();
        }
        ended
    }

    /// Returns whether a transaction of the session is open.
    pub fn in_transaction(&self) -> bool {
        self.database.committer.is_open_for(&self.actor())
    }

    /// Returns the right to change the set of relations. Waits for the transaction of another session to end; no
    /// transaction begins while the right is held. Fails inside a transaction of the session.
    pub(super) fn define(&self) -> Result<Definitions<'_>, Error> {
        loop {
            self.refuse_in_transaction("definitions cannot be changed")?;
            let _place = self.database.committer.wait_for_turn(self.actor(), &self.cancel)?;
            let definitions = self.definitions()?;
            // A transaction may have begun before the definitions were taken; none can begin now.
            if !self.database.committer.is_open() {
                return Ok(definitions);
            }
        }
    }

    /// Returns the right to rely on the set of relations. Waits for definitions under way.
    pub(super) fn definitions(&self) -> Result<Definitions<'_>, Error> {
        // Checked whenever the wait wakes: the database may be shut down or closed meanwhile.
        self.database.take_definitions(&self.cancel, || self.database.check_usable())
    }

    /// Fails if the session has a transaction open; `what` says in the message what is not allowed there.
    pub(super) fn refuse_in_transaction(&self, what: &str) -> Result<(), Error> {
        if !self.in_transaction() {
            return Ok(());
        }
        Err(Error::QueryFailed(format!("{what} inside a transaction: COMMIT or ROLLBACK it first")))
    }
}
