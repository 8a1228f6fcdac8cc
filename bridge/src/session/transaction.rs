//! BEGIN, COMMIT and ROLLBACK, and what an open transaction does not allow.
//!
//! A transaction is of base relations: views, which the engine maintains, learn of its writes when it is committed. So
//! its owner can read sources and tables as they are inside, but no maintained view; and nothing is defined inside.

use parking_lot::MutexGuard;

use super::{Interrupted, Session, Shared};
use crate::commit::LOOK;
use crate::error::Error;

impl Session {
    /// Begins a transaction of the calling thread: until [`Session::commit`] or [`Session::rollback`] its writes are
    /// seen by itself only, and those of other threads wait. Waits for a transaction of another thread to end, unless
    /// `interrupted` says so. When the thread ends first, it is rolled back.
    pub fn begin(&self, interrupted: Interrupted<'_>) -> Result<(), Error> {
        self.shared.check_usable()?;
        self.shared.ended_as(self.shared.begin(interrupted))
    }

    /// Makes all writes of the calling thread's transaction at one time. If that fails none was made, and the
    /// transaction has ended. Waits first for room in the relations written to, unless `interrupted` says so: then the
    /// transaction goes on.
    pub fn commit(&self, interrupted: Interrupted<'_>) -> Result<(), Error> {
        self.shared.check_usable()?;
        self.shared.ended_as(self.shared.commit_transaction(interrupted))
    }

    /// Ends the calling thread's transaction as if it had never been.
    pub fn rollback(&self) -> Result<(), Error> {
        self.shared.check_usable()?;
        self.shared.ended_as(self.shared.committer.rollback_transaction())
    }
}

impl Shared {
    pub(super) fn begin(&self, interrupted: Interrupted<'_>) -> Result<(), Error> {
        let place = self.committer.line_up();
        loop {
            self.committer.wait_to_begin(&place, interrupted)?;
            // Nothing is defined while a transaction is open, so none may be under way either.
            let _ddl = self.lock_ddl(interrupted)?;
            if self.committer.begin(&place) {
                return Ok(());
            }
        }
    }

    pub(super) fn commit_transaction(&self, interrupted: Interrupted<'_>) -> Result<(), Error> {
        let counts = self.committer.commit_transaction(interrupted)?;
        let mut accepted = self.accepted.lock();
        accepted.writes += u64::from(!counts.is_empty());
        for (relation, rows) in counts {
            *accepted.rows.entry(relation).or_default() += rows;
        }
        Ok(())
    }

    /// The right to change the set of relations. Waits for the transaction of another thread to end; while the right
    /// is held none is begun.
    pub(super) fn define(&self, interrupted: Interrupted<'_>) -> Result<MutexGuard<'_, ()>, Error> {
        loop {
            self.refuse_in_transaction("definitions cannot be changed")?;
            let _place = self.committer.wait_for_turn(interrupted)?;
            let ddl = self.lock_ddl(interrupted)?;
            if !self.committer.is_open() {
                return Ok(ddl);
            }
        }
    }

    /// Keeps the set of relations as it is. Waits for definitions under way, unless `interrupted` says so.
    pub(super) fn lock_ddl(&self, interrupted: Interrupted<'_>) -> Result<MutexGuard<'_, ()>, Error> {
        loop {
            let ddl = self.ddl.try_lock_for(LOOK);
            // A session that ended meanwhile has nothing to be read or defined in.
            self.check_usable()?;
            match ddl {
                Some(ddl) => return Ok(ddl),
                None if interrupted() => return Err(Error::Interrupted),
                None => {}
            }
        }
    }

    /// Fails if the calling thread has a transaction open, in which `what` is not allowed.
    pub(super) fn refuse_in_transaction(&self, what: &str) -> Result<(), Error> {
        if !self.committer.in_transaction() {
            return Ok(());
        }
        Err(Error::QueryFailed(format!("{what} inside a transaction: COMMIT or ROLLBACK it first")))
    }
}
