//! Writes rows: from values, from text, with writers and in transactions.

use std::sync::Arc;

use laminardb_bridge::Session;
use laminardb_bridge::relation::Operation;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Connection;
use crate::argument::text;
use crate::detach::attentive;
use crate::error::checked;
use crate::transaction::Transaction;
use crate::value::{self, Target};
use crate::writer::Writer;

impl Connection {
    /// Returns the session of the calling thread, and the relation that values given for `table` are converted for;
    /// fails if it does not allow `operation`.
    fn target(&self, py: Python<'_>, table: &str, operation: Operation) -> PyResult<(Session, Target)> {
        let session = self.session(py)?;
        let relation = checked(py, session.writable(table, operation))?;
        Ok((session, Target::new(&relation.name, Arc::clone(&relation.schema))))
    }
}

#[pymethods]
impl Connection {
    /// Stores rows, all or none; gives their number.
    ///
    /// `data` is a dict (one row), a list of dicts, a dict of columns (lists of one length), a pandas or polars
    /// DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, a QueryResult, or anything with
    /// `__arrow_c_stream__` or `__arrow_c_array__`. Columns are matched by name; a missing one is its default, or NULL.
    /// In a table with a key, rows replace those of their keys.
    ///
    /// `SchemaError` 200 for an unknown table, 202 for a view. `IngestionError` 302 when a column is unknown or a value
    /// does not fit its column exactly, 300 when a NOT NULL column has none. `TypeError` for other data. It waits while
    /// `buffer_size` rows are pending.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert("t", {"id": 1, "name": "a"})
    /// 1
    /// >>> conn.insert("t", [{"id": 2, "name": "b"}, {"id": 3}])
    /// 2
    /// >>> conn.insert("t", {"id": [4, 5], "name": ["d", "e"]})
    /// 2
    /// >>> conn.insert("t", {"id": 1.5})
    /// Traceback (most recent call last):
    /// laminardb.IngestionError: ...
    fn insert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Insert)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert(table, batches))?)
    }

    /// Stores the rows of a JSON text, all or none; gives their number.
    ///
    /// The text is an array of objects, one object, or one object per line. Values are cast as `insert()` does, numbers
    /// exactly, and texts into dates and times as ISO 8601. `IngestionError` 300 with line and column when it is not
    /// JSON; the other errors are those of `insert()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_json("t", '[{"id": 1, "name": "a"}, {"id": 2}]')
    /// 2
    fn insert_json(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.session(py)?, text(data)?);
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert_json(table, text))?)
    }

    /// Stores the rows of a CSV text, all or none; gives their number.
    ///
    /// The first line names the columns. A field is read as the type of its column; an empty one is NULL, `""` the
    /// empty text. `IngestionError` 300 with the line when it has another number of fields; the other errors are those
    /// of `insert()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_csv("t", "id,name\n1,a\n2,\n")
    /// 2
    fn insert_csv(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyString>) -> PyResult<u64> {
        let (session, text) = (self.session(py)?, text(data)?);
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert_csv(table, text))?)
    }

    /// Stores rows in a table with a key, over those of their keys; gives their number.
    ///
    /// `data` is as for `insert()`. `SchemaError` 202 when the relation has no key.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.upsert("t", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    /// 2
    /// >>> conn.sql("SELECT * FROM t").fetchall()
    /// [(1, 'b')]
    fn upsert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Upsert)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).upsert(table, batches))?)
    }

    /// Removes rows; gives how many were removed.
    ///
    /// `data` is as for `insert()`. A table with a key needs only the key columns, and keys that are not there are
    /// skipped. A table without one loses an equal row for each row given; `IngestionError` 300 when there is none, and
    /// nothing is removed. `SchemaError` 202 for a source or view.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.insert("t", {"id": [1, 2], "name": ["a", "b"]})
    /// 2
    /// >>> conn.delete("t", [{"id": 1}, {"id": 7}])
    /// 1
    fn delete(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Delete)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).delete(table, batches))?)
    }

    /// A `Writer` to a source or table. `SchemaError` 200 for an unknown one, 202 for a view.
    ///
    /// >>> conn.create_table("t", {"ts": "int64"})
    /// >>> with conn.writer("t") as writer:
    /// ...     writer.insert({"ts": [1, 2]})
    /// ...     writer.watermark(2)
    /// >>> len(conn.sql("SELECT * FROM t"))
    /// 2
    fn writer(&self, py: Python<'_>, table: &str) -> PyResult<Writer> {
        let sessions = self.live(py)?;
        let writer = checked(py, sessions.of_this_thread().writer(table))?;
        Ok(Writer::new(writer, Arc::clone(sessions), Arc::clone(&self.listening)))
    }

    /// Makes all writes of a `with` block one write: the same as `BEGIN` and `COMMIT`, or `ROLLBACK` on an exception.
    ///
    /// The block is given the connection. Its writes, by this thread, are seen at one logical time at its end, by
    /// others not before; writes of other threads wait, and their reads see the state before. An exception takes all
    /// writes back and goes on; an error of one statement that is caught inside takes back that statement alone.
    ///
    /// Inside, queries and DML see the writes made so far. `QueryError` 400, there, for a query that reads a maintained
    /// view, a subscription that starts with the rows there are, a definition, a checkpoint, and another transaction.
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
}
