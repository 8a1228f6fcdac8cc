//! Begins and ends transactions, and lists who holds and who waits.

use std::sync::Arc;

use pyo3::prelude::*;

use super::context::Held;
use super::handle::Without;
use super::{Connection, Handle};
use crate::fork::Owned;
use crate::transaction::{Transaction, TransactionInfo};

impl Connection {
    /// Begins the transaction of a block; returns it, and the connection that is bound to it.
    pub(crate) fn enter(&self, py: Python<'_>) -> PyResult<(Arc<Held>, Self)> {
        let handle = self.live(py)?;
        let held = handle.enter(py)?;
        let bound = self.with(py, handle.with_own(Some(Arc::clone(&held)), Without::Fail));
        Ok((held, bound))
    }

    /// Makes another connection object with `handle`.
    fn with(&self, py: Python<'_>, handle: Arc<Handle>) -> Self {
        Self { handle: Owned::new(handle), listening: self.listening.clone_ref(py) }
    }
}

#[pymethods]
impl Connection {
    /// Makes all writes of a `with` or `async with` block one write: committed at its end, rolled back on an exception.
    ///
    /// The block is given a connection that is bound to the transaction: it works from any thread and task, and its
    /// `commit()` or `rollback()` ends the transaction early. Calls on this connection are part of the transaction, too,
    /// in the block itself, in what it runs with `asyncio.to_thread`, and in tasks that it starts; those of other
    /// threads and tasks are not: their writes wait, at most for `lock_timeout` of the configuration, and their reads
    /// see the state before. All writes of the block are seen at one logical time at its end. An exception takes them
    /// back and goes on; an error of one statement that is caught inside takes back that statement alone. A transaction
    /// whose objects are dropped before its end is rolled back, with a `ResourceWarning`.
    ///
    /// Inside, queries and DML see the writes made so far. `QueryError` 400, there, for a query that reads a maintained
    /// view, a subscription that starts with the rows there are, a definition, a checkpoint, and another transaction.
    /// `LaminarError` 902 when the transaction of another does not end in time.
    ///
    /// >>> conn.create_table("accounts", {"id": "int64", "amount": "int64"}, primary_key="id")
    /// >>> with conn.transaction() as tx:
    /// ...     tx.insert("accounts", {"id": [1, 2], "amount": [100, 0]})
    /// ...     tx.execute("UPDATE accounts SET amount = amount - 30 WHERE id = 1").rows_affected
    /// ...     tx.execute("UPDATE accounts SET amount = amount + 30 WHERE id = 2").rows_affected
    /// 2
    /// 1
    /// 1
    /// >>> conn.sql("SELECT id, amount FROM accounts ORDER BY id").fetchall()
    /// [(1, 70), (2, 30)]
    /// >>> conn.current_time
    /// 1
    fn transaction(slf: &Bound<'_, Self>) -> PyResult<Transaction> {
        slf.get().live(slf.py())?;
        Ok(Transaction::new(slf.clone().unbind()))
    }

    /// Begins a transaction, as the statement `BEGIN` does; `commit()` or `rollback()` ends it.
    ///
    /// It belongs to the context of the call: the thread or task, and what it starts. `QueryError` 400 when one is open
    /// there already; `LaminarError` 902 when the transaction of another does not end within `lock_timeout`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.begin()
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> conn.rollback()
    /// >>> len(conn.sql("SELECT * FROM t"))
    /// 0
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        self.live(py)?.begin(py)
    }

    /// Commits the transaction that the call is part of; does nothing when there is none.
    ///
    /// If it fails, nothing was written and the transaction has ended.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.begin()
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> conn.commit()
    /// >>> conn.in_transaction
    /// False
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.live(py)?.commit(py)
    }

    /// Rolls back the transaction that the call is part of; does nothing when there is none.
    ///
    /// >>> conn.rollback()
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.live(py)?.rollback(py)
    }

    /// Whether a call made here and now is part of an open transaction.
    #[getter]
    fn in_transaction(&self, py: Python<'_>) -> PyResult<bool> {
        self.live(py)?.in_transaction(py)
    }

    /// Who holds the right to write, if a transaction is under way, and who waits for it, in order of arrival.
    ///
    /// >>> conn.transactions()
    /// []
    /// >>> conn.begin()
    /// >>> conn.transactions()[0].holds
    /// True
    /// >>> conn.rollback()
    #[expect(rustdoc::broken_intra_doc_links, reason = "the example indexes a list of Python's")]
    fn transactions(&self, py: Python<'_>) -> PyResult<Vec<TransactionInfo>> {
        Ok(self.database(py)?.transactions().into_iter().map(TransactionInfo::new).collect())
    }

    /// A connection object on the same database with a transaction of its own; `close()` ends that object alone.
    ///
    /// With `joins`, calls are part of the transaction of the calling context while it has none of its own.
    #[pyo3(signature = (joins=true))]
    fn _session(&self, py: Python<'_>, joins: bool) -> PyResult<Self> {
        let without = if joins { Without::Join } else { Without::Alone };
        Ok(self.with(py, self.live(py)?.with_own(None, without)))
    }
}
