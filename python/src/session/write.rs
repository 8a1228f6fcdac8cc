//! Writes rows: from values, from text, with writers and in transactions.

use std::sync::Arc;

use laminardb_bridge::Session;
use laminardb_bridge::ingest::Extra;
use laminardb_bridge::relation::Operation;
use pyo3::prelude::*;

use super::Connection;
use crate::argument;
use crate::detach::attentive;
use crate::error::checked;
use crate::text::TextData;
use crate::value::{self, Target};
use crate::writer::Writer;

impl Connection {
    /// Returns the session of the call, and the relation that values given for `table` are converted for;
    /// fails if it does not allow `operation`.
    fn target(&self, py: Python<'_>, table: &str, operation: Operation, extra: Extra) -> PyResult<(Session, Target)> {
        let session = self.session(py)?;
        let relation = checked(py, session.writable(table, operation))?;
        Ok((session.clone(), Target::new(session, relation, extra)))
    }
}

#[pymethods]
impl Connection {
    /// Stores rows, all or none; gives their number.
    ///
    /// `data` is a dict or another row, a list, iterator or generator of rows, a dict of columns (lists of one length),
    /// a pandas or polars DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, a QueryResult, or anything with
    /// `__arrow_c_stream__` or `__arrow_c_array__`. A row is a dict, a dataclass, a named tuple, or anything with
    /// `keys()` and `[]`. What an iterator gives is one write; if it raises an exception, nothing is stored and the
    /// exception goes on. Columns are matched by name; a missing one is its default, or NULL. With `extra="ignore"`
    /// columns that the relation does not have are left out. In a table with a key, rows replace those of their keys.
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
    /// >>> conn.insert("t", ({"id": id} for id in range(6, 9)))
    /// 3
    /// >>> conn.insert("t", {"id": 9, "colour": "red"}, extra="ignore")
    /// 1
    /// >>> conn.insert("t", {"id": 1.5})
    /// Traceback (most recent call last):
    /// laminardb.IngestionError: ...
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Insert, argument::extra(extra)?)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert(table, batches))?)
    }

    /// Stores the rows of a JSON text, all or none; gives their number.
    ///
    /// `data` is a str, bytes in UTF-8, or a file open for reading, of which all that is left is read. The text is an
    /// array of objects, one object, or one object per line. Values are cast as `insert()` does, numbers exactly, and
    /// texts into dates and times as ISO 8601. `extra` is that of `insert()`. `IngestionError` 300 with line and column
    /// when it is not JSON or UTF-8; the other errors are those of `insert()`. `TypeError` for other data.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_json("t", '[{"id": 1, "name": "a"}, {"id": 2}]')
    /// 2
    /// >>> conn.insert_json("t", b'{"id": 3, "colour": "red"}', extra="ignore")
    /// 1
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert_json(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<u64> {
        let (session, extra, data) = (self.session(py)?, argument::extra(extra)?, TextData::of(data)?);
        let text = data.text()?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert_json(table, &text, extra))?)
    }

    /// Stores the rows of a CSV text, all or none; gives their number.
    ///
    /// `data` is as for `insert_json()`. The first line names the columns. A field is read as the type of its column; an
    /// empty one is NULL, `""` the empty text. `extra` is that of `insert()`. `IngestionError` 300 with the line when it
    /// has another number of fields; the other errors are those of `insert_json()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"})
    /// >>> conn.insert_csv("t", "id,name\n1,a\n2,\n")
    /// 2
    /// >>> conn.insert_csv("t", b"name,id\nc,3\n")
    /// 1
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn insert_csv(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<u64> {
        let (session, extra, data) = (self.session(py)?, argument::extra(extra)?, TextData::of(data)?);
        let text = data.text()?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).insert_csv(table, &text, extra))?)
    }

    /// Stores rows in a table with a key, over those of their keys; gives their number.
    ///
    /// `data` and `extra` are as for `insert()`. `SchemaError` 202 when the relation has no key.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string"}, primary_key="id")
    /// >>> conn.upsert("t", [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}])
    /// 2
    /// >>> conn.sql("SELECT * FROM t").fetchall()
    /// [(1, 'b')]
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn upsert(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Upsert, argument::extra(extra)?)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).upsert(table, batches))?)
    }

    /// Changes rows of a table with a key, all or none, in one write; gives how many.
    ///
    /// `data` and `extra` are as for `insert()`. The key columns find a row, and the other columns given are changed in
    /// it; those left out stay as they are. Rows of a list may give different columns; of several rows for one key, the
    /// last that gives a column decides it. Keys that are not there are skipped and not counted.
    ///
    /// `SchemaError` 202 when the relation has no key. `IngestionError` 300 when a key column is missing or NULL is
    /// given for a NOT NULL column; the other errors are those of `insert()`.
    ///
    /// >>> conn.create_table("t", {"id": "int64", "name": "string", "n": "int64"}, primary_key="id")
    /// >>> conn.insert("t", {"id": [1, 2], "name": ["a", "b"], "n": [10, 20]})
    /// 2
    /// >>> conn.update("t", [{"id": 1, "n": 11}, {"id": 2, "name": "B"}, {"id": 3, "n": 30}])
    /// 2
    /// >>> conn.sql("SELECT * FROM t ORDER BY id").fetchall()
    /// [(1, 'a', 11), (2, 'B', 20)]
    #[pyo3(signature = (table, data, *, extra = "error"))]
    fn update(&self, py: Python<'_>, table: &str, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<u64> {
        let (session, target) = self.target(py, table, Operation::Upsert, argument::extra(extra)?)?;
        let batches = value::batches(data, &target)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).update(table, &batches))?)
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
        let (session, target) = self.target(py, table, Operation::Delete, Extra::Refuse)?;
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
        let handle = self.live(py)?;
        let writer = checked(py, handle.session(py)?.writer(table))?;
        Ok(Writer::new(writer, Arc::clone(handle), self.listening.clone_ref(py)))
    }
}
