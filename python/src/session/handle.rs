//! `Handle`: a database as an object of Python uses it, and the transaction that a call through the object is part of.
//!
//! | the object | its calls are part of |
//! |---|---|
//! | the connection | the transaction of the calling context, if there is one |
//! | what the block of a transaction is given | that transaction; they fail after its end |
//! | a cursor | the transaction that it began itself, else that of the calling context |
//! | a session that joins none | the transaction that it began itself |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use laminardb_bridge::{Database, Error, Outcome, Params, Session, Transaction};
use parking_lot::Mutex;
use pyo3::prelude::*;

use super::context::{self, Begun, Held};
use crate::detach::{attentive, detached, interruptible};
use crate::error::{checked, raised};

/// A database, and how the calls of one object find their transaction. Writers share it with their connection.
pub(crate) struct Handle {
    database: Arc<Database>,
    /// The session of the calls outside any transaction. It begins none, so it can be that of all threads.
    session: Session,
    /// Shared by all handles that stem from the same connection.
    begun: Arc<Begun>,
    own: Option<Own>,
}

/// The transaction of an object that has one of its own.
struct Own {
    transaction: Mutex<Option<Arc<Held>>>,
    without: Without,
    closed: AtomicBool,
}

/// What the calls of an object with a transaction of its own do while it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// They fail.
    Fail,
    /// They are part of the transaction of the calling context, if there is one.
    Join,
    /// They are writes of their own.
    Alone,
}

/// What a statement that writes rows does outside any transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// It begins a transaction, which stays open.
    Begin,
    /// It is a write of its own.
    Plain,
}

impl Handle {
    /// Makes the handle of the connection that opened `database`.
    pub(crate) fn new(database: Arc<Database>) -> Arc<Self> {
        Arc::new(Self { session: database.session(), database, begun: Arc::default(), own: None })
    }

    /// Makes a handle of the same database with a transaction of its own, which is `held` at first.
    pub(crate) fn with_own(&self, held: Option<Arc<Held>>, without: Without) -> Arc<Self> {
        let own = Own { transaction: Mutex::new(held), without, closed: AtomicBool::new(false) };
        Arc::new(Self {
            database: Arc::clone(&self.database),
            session: self.session.clone(),
            begun: Arc::clone(&self.begun),
            own: Some(own),
        })
    }

    /// Returns the database.
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Returns whether the object was closed, or its database.
    pub(crate) fn is_closed(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.closed.load(Ordering::Acquire)) || self.database.is_closed()
    }

    /// Ends an object with a transaction of its own, and rolls that back; returns false for one without, whose end is
    /// that of the database.
    pub(crate) fn close_own(&self, py: Python<'_>) -> bool {
        let Some(own) = &self.own else { return false };
        own.closed.store(true, Ordering::Release);
        let held = own.transaction.lock().take();
        if let Some(held) = held {
            detached(py, || held.close());
        }
        true
    }

    /// Returns the open transaction that a call is part of.
    fn open(&self, py: Python<'_>) -> PyResult<Option<Arc<Held>>> {
        let Some(own) = &self.own else { return context::transaction(py, &self.database) };
        let held = own.transaction.lock().clone().filter(|held| held.transaction().is_open());
        match own.without {
            Without::Join if held.is_none() => context::transaction(py, &self.database),
            _ => Ok(held),
        }
    }

    /// Returns whether calls fail while the object has no open transaction.
    fn fails_without(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.without == Without::Fail)
    }

    /// Returns whether the object has a transaction of its own, or may have one.
    pub(crate) fn has_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns whether a call is part of an open transaction.
    pub(crate) fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.open(py)?.is_some())
    }

    /// Returns the session of a call; raises an exception if the object's only transaction has ended.
    pub(crate) fn session(&self, py: Python<'_>) -> PyResult<Session> {
        match self.open(py)? {
            Some(held) => Ok(Session::within(held.transaction()).named(&context::caller(py)?)),
            None if self.fails_without() => {
                Err(raised(py, &Error::QueryFailed("the transaction has ended".to_owned())))
            }
            None if self.database.has_transaction() => Ok(self.session.named(&context::caller(py)?)),
            None => Ok(self.session.clone()),
        }
    }

    /// Runs statements, which may begin and end a transaction. With [`Writes::Begin`] the first that writes rows begins
    /// one if none is open.
    pub(crate) fn execute(&self, py: Python<'_>, sql: &str, params: &Params, writes: Writes) -> PyResult<Outcome> {
        let before = self.open(py)?;
        let session = match &before {
            // A session of its own, because a statement may begin a transaction, which is then the session's.
            None if !self.fails_without() => self.database.session().named(&context::caller(py)?),
            _ => self.session(py)?,
        };
        let outcome = interruptible(py, |cancel| {
            let session = session.with_cancel(cancel);
            match writes {
                Writes::Begin => session.execute_beginning(sql, params),
                Writes::Plain => session.execute(sql, params),
            }
        });
        let after = session.transaction();
        let is_same = |held: &Arc<Held>, after: &Arc<Transaction>| Arc::ptr_eq(held.transaction(), after);
        match (before, after) {
            (Some(before), Some(after)) if is_same(&before, &after) => {}
            (_, Some(after)) => self.adopt(py, Held::new(after))?,
            (Some(_), None) => context::leave_ended(py)?,
            (None, None) => {}
        }
        checked(py, outcome?)
    }

    /// Begins a transaction; fails if the call is part of one already.
    pub(crate) fn begin(&self, py: Python<'_>) -> PyResult<()> {
        let held = self.begun(py)?;
        self.adopt(py, held)
    }

    /// Begins a transaction for a block, which holds it itself, and makes the calling context part of it.
    pub(crate) fn enter(&self, py: Python<'_>) -> PyResult<Arc<Held>> {
        let held = self.begun(py)?;
        match &self.own {
            Some(own) => *own.transaction.lock() = Some(Arc::clone(&held)),
            None => context::enter(py, &held, None)?,
        }
        Ok(held)
    }

    fn begun(&self, py: Python<'_>) -> PyResult<Arc<Held>> {
        let refused = |why: &str| Err(raised(py, &Error::QueryFailed(why.to_owned())));
        if self.open(py)?.is_some() {
            return refused("a transaction is open already: COMMIT or ROLLBACK it first");
        }
        if self.fails_without() {
            return refused("the transaction has ended");
        }
        let session = self.database.session().named(&context::caller(py)?);
        let begun = attentive(py, |cancel| session.with_cancel(cancel).begin())?;
        checked(py, begun).map(Held::new)
    }

    /// Makes the object, or the calling context, part of a transaction that was begun through the object.
    fn adopt(&self, py: Python<'_>, held: Arc<Held>) -> PyResult<()> {
        let Some(own) = &self.own else {
            context::enter(py, &held, Some(&self.begun))?;
            self.begun.hold(held);
            return Ok(());
        };
        let before = own.transaction.lock().replace(held);
        // Dropped without the lock: it may run Python code.
        drop(before);
        Ok(())
    }

    /// Commits the transaction that the call is part of; does nothing if there is none.
    pub(crate) fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, |py, transaction| attentive(py, |cancel| transaction.commit(cancel)))
    }

    /// Rolls back the transaction that the call is part of; does nothing if there is none.
    pub(crate) fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, |py, transaction| Ok(detached(py, || transaction.rollback())))
    }

    fn end(
        &self,
        py: Python<'_>,
        end: impl FnOnce(Python<'_>, &Transaction) -> PyResult<Result<(), Error>>,
    ) -> PyResult<()> {
        let Some(held) = self.open(py)? else { return Ok(()) };
        let ended = end(py, held.transaction());
        context::leave_ended(py)?;
        checked(py, ended?)
    }
}
