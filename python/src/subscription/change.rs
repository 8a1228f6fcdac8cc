//! `ChangeBatch`: the changes of one logical time, as a result with an op for each row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_bridge::subscription::{self as engine, Op};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};

use crate::result::{Answer, QueryResult, readers};

/// The changes of one logical time: a `QueryResult` with an op for each row.
///
/// The rows of the result include the deleted ones; `changes()` gives them with their ops.
///
/// >>> conn.create_table("t", {"k": "int64", "v": "string"}, primary_key="k")
/// >>> sub = conn.subscribe_stream("t")
/// >>> conn.insert("t", {"k": 1, "v": "a"})
/// 1
/// >>> sub.next()
/// ChangeBatch(rows=1, columns=2, time=1)
#[pyclass(frozen, extends = QueryResult, module = "laminardb._laminardb", name = "ChangeBatch")]
pub(crate) struct ChangeBatch {
    ops: Arc<[Op]>,
    /// The logical time of the changes.
    #[pyo3(get)]
    time: u64,
    /// Whether these are the rows there were when the subscription began.
    #[pyo3(get)]
    is_snapshot: bool,
    /// Whether this is the last batch of its time: True unless a time of over 1,000,000 rows was split.
    #[pyo3(get)]
    is_last: bool,
}

impl ChangeBatch {
    /// Makes the Python object for a batch.
    pub(crate) fn create(py: Python<'_>, batch: engine::ChangeBatch) -> PyResult<Py<Self>> {
        let result = QueryResult::new(batch.rows.schema(), vec![batch.rows]);
        let engine::ChangeBatch { ops, is_snapshot, is_last, .. } = batch;
        let changes = Self { ops, time: batch.time.0, is_snapshot, is_last };
        Py::new(py, PyClassInitializer::from(result).add_subclass(changes))
    }

    /// Whether the batch has deleted rows.
    pub(crate) fn has_deletes(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Delete | Op::UpdateDelete))
    }

    /// Returns the rows with their ops as the first column.
    fn with_ops(&self, result: &Answer) -> QueryResult {
        let mut fields = vec![Arc::new(Field::new("__op", DataType::Utf8, false))];
        fields.extend(result.schema().fields().iter().map(Arc::clone));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut start = 0;
        let batches = result.batches().iter().map(|batch| {
            let ops = &self.ops[start..start + batch.num_rows()];
            start += batch.num_rows();
            let mut columns: Vec<ArrayRef> =
                vec![Arc::new(StringArray::from_iter_values(ops.iter().map(|op| op.name())))];
            columns.extend(batch.columns().iter().map(Arc::clone));
            RecordBatch::try_new(Arc::clone(&schema), columns).expect("one op a row")
        });
        let batches = batches.collect();
        QueryResult::new(schema, batches)
    }
}

#[pymethods]
impl ChangeBatch {
    /// For each row `"Insert"`, `"Delete"`, `"UpdateDelete"` or `"UpdateInsert"`.
    #[getter]
    fn ops(&self) -> Vec<&'static str> {
        self.ops.iter().map(|op| op.name()).collect()
    }

    /// The rows as `ChangeRow`s, with their ops.
    ///
    /// >>> for row in conn.subscribe("SELECT 1 AS one").next().changes():
    /// ...     print(row.op, row["one"])
    /// Insert 1
    fn changes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let py = slf.py();
        let class = py.import(intern!(py, "laminardb.types"))?.getattr(intern!(py, "ChangeRow"))?;
        let result = slf.as_super().get().answer(py)?;
        let mut ops = slf.get().ops.iter();
        let rows = PyList::empty(py);
        for batch in result.batches() {
            let readers = readers(py, batch)?;
            for (row, op) in (0..batch.num_rows()).zip(&mut ops) {
                let data = PyDict::new(py);
                for (field, reader) in result.schema().fields().iter().zip(&readers) {
                    data.set_item(field.name(), reader.value(py, row)?)?;
                }
                rows.append(class.call1((op.name(), data))?)?;
            }
        }
        rows.try_iter()
    }

    /// The rows as a `pyarrow.Table`, with `ops=True` with the ops in a first column `__op`.
    ///
    /// >>> conn.subscribe("SELECT 1 AS one").next().to_arrow(ops=True).column_names
    /// ['__op', 'one']
    #[pyo3(signature = (ops=false))]
    fn to_arrow<'py>(slf: &Bound<'py, Self>, ops: bool) -> PyResult<Bound<'py, PyAny>> {
        let result = slf.as_super();
        if ops {
            let with_ops = Bound::new(slf.py(), slf.get().with_ops(result.get().answer(slf.py())?))?;
            QueryResult::to_arrow(&with_ops)
        } else {
            QueryResult::to_arrow(result)
        }
    }

    /// The rows as a `pyarrow.Table`: the same as `to_arrow()`.
    ///
    /// >>> conn.subscribe("SELECT 1 AS one").next().arrow().column_names
    /// ['one']
    #[pyo3(signature = (ops=false))]
    fn arrow<'py>(slf: &Bound<'py, Self>, ops: bool) -> PyResult<Bound<'py, PyAny>> {
        Self::to_arrow(slf, ops)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let result = slf.as_super().get().answer(slf.py())?;
        let columns = result.schema().fields().len();
        Ok(format!("ChangeBatch(rows={}, columns={columns}, time={})", result.rows(), slf.get().time))
    }
}
