//! Subscriptions: `ChangeBatch`, and the classes that hand the batches out.
//!
//! A [`Feed`] is what all of them stand on: one subscription of the engine, and the session that it keeps alive.
//! Batches are taken with the interpreter lock released.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_bridge::subscription::{self as engine, Next, Op};
use laminardb_bridge::{Error, Session};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};

use crate::arrow::pyarrow_schema;
use crate::detach::{detached, waited};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::result::{QueryResult, readers};

/// The changes of one logical time.
#[pyclass(frozen, extends = QueryResult, module = "laminardb._laminardb", name = "ChangeBatch")]
pub(crate) struct ChangeBatch {
    ops: Arc<[Op]>,
    #[pyo3(get)]
    time: u64,
    #[pyo3(get)]
    is_snapshot: bool,
    #[pyo3(get)]
    is_last: bool,
}

impl ChangeBatch {
    fn create(py: Python<'_>, batch: engine::ChangeBatch) -> PyResult<Py<Self>> {
        let result = QueryResult::new(batch.rows.schema(), vec![batch.rows]);
        let changes =
            Self { ops: batch.ops, time: batch.time, is_snapshot: batch.is_snapshot, is_last: batch.is_last };
        Py::new(py, PyClassInitializer::from(result).add_subclass(changes))
    }

    /// Are there rows that are no longer there?
    pub(crate) fn has_deletes(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Delete | Op::UpdateDelete))
    }

    /// The rows with their op in front.
    fn with_ops(&self, result: &QueryResult) -> QueryResult {
        let mut fields = vec![Arc::new(Field::new("__op", DataType::Utf8, false))];
        fields.extend(result.schema_ref().fields().iter().map(Arc::clone));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let mut start = 0;
        let batches = result.batches().iter().map(|batch| {
            let ops = &self.ops[start..start + batch.num_rows()];
            start += batch.num_rows();
            let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(ops.iter().map(|op| op.name())))];
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

    /// The rows as `ChangeRow`s.
    fn changes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let py = slf.py();
        let class = py.import(intern!(py, "laminardb.types"))?.getattr(intern!(py, "ChangeRow"))?;
        let result = slf.as_super().get();
        let mut ops = slf.get().ops.iter();
        let rows = PyList::empty(py);
        for batch in result.batches() {
            let readers = readers(py, batch)?;
            for (row, op) in (0..batch.num_rows()).zip(&mut ops) {
                let data = PyDict::new(py);
                for (field, reader) in result.schema_ref().fields().iter().zip(&readers) {
                    data.set_item(field.name(), reader.value(py, row)?)?;
                }
                rows.append(class.call1((op.name(), data))?)?;
            }
        }
        rows.try_iter()
    }

    /// The rows as a `pyarrow.Table`, with the ops in a first column `__op` if asked.
    #[pyo3(signature = (ops=false))]
    fn to_arrow<'py>(slf: &Bound<'py, Self>, ops: bool) -> PyResult<Bound<'py, PyAny>> {
        let result = slf.as_super();
        if ops {
            let with_ops = Bound::new(slf.py(), slf.get().with_ops(result.get()))?;
            QueryResult::to_arrow(&with_ops)
        } else {
            QueryResult::to_arrow(result)
        }
    }

    /// The rows as a `pyarrow.Table`, with the ops in a first column `__op` if asked.
    #[pyo3(signature = (ops=false))]
    fn arrow<'py>(slf: &Bound<'py, Self>, ops: bool) -> PyResult<Bound<'py, PyAny>> {
        Self::to_arrow(slf, ops)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let result = slf.as_super().get();
        let columns = result.schema_ref().fields().len();
        format!("ChangeBatch(rows={}, columns={columns}, time={})", result.rows(), slf.get().time)
    }
}

/// One subscription, and the session that it belongs to.
pub(crate) struct Feed {
    subscription: Owned<engine::Subscription>,
    /// Keeps the database open while somebody listens.
    _session: Owned<Session>,
    cancelled: AtomicBool,
}

impl Feed {
    /// The feed of `subscription`.
    pub(crate) fn new(subscription: engine::Subscription, session: Session) -> Self {
        Self { subscription: Owned::new(subscription), _session: Owned::new(session), cancelled: AtomicBool::new(false) }
    }

    fn is_active(&self) -> bool {
        self.subscription.here().is_some_and(engine::Subscription::is_active)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if let Some(subscription) = self.subscription.here() {
            subscription.cancel();
        }
    }

    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, self.subscription.get(py)?.schema())
    }

    /// The next batch, None at the end, or the exception 502 when `timeout` passes.
    fn next(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<ChangeBatch>>> {
        let subscription = self.subscription.get(py)?;
        let met = waited(py, timeout, |limit| match subscription.next(limit) {
            Ok(Next::TimedOut) => None,
            other => Some(other),
        })?;
        match met {
            Some(next) => handed(py, checked(py, next)?),
            None => {
                let millis = timeout.unwrap_or_default().as_millis();
                Err(raised(py, &Error::SubscriptionTimeout(format!("timeout: no changes within {millis} ms"))))
            }
        }
    }

    /// The next batch if it is there.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        let subscription = self.subscription.get(py)?;
        let next = detached(py, || subscription.try_next());
        handed(py, checked(py, next)?)
    }

    /// `active`, or the word for an end that nobody asked for, or `cancelled`.
    fn state(&self, cancelled: &'static str) -> &'static str {
        if self.is_active() {
            "active"
        } else if self.is_cancelled() {
            cancelled
        } else {
            "finished"
        }
    }
}

fn handed(py: Python<'_>, next: Next) -> PyResult<Option<Py<ChangeBatch>>> {
    match next {
        Next::Batch(batch) => ChangeBatch::create(py, batch).map(Some),
        Next::TimedOut | Next::Ended => Ok(None),
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The changes of a query.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Subscription")]
pub(crate) struct Subscription(pub(crate) Feed);

#[pymethods]
impl Subscription {
    /// Can there be more?
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema(py)
    }

    /// Waits for the next batch; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most so many milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, Some(Duration::from_millis(timeout_ms)))
    }

    /// The next batch if it is there, else None.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription.
    fn cancel(&self) {
        self.0.cancel();
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    fn __repr__(&self) -> String {
        format!("Subscription({})", self.0.state("finished"))
    }
}

/// The changes of a relation.
#[pyclass(frozen, module = "laminardb._laminardb", name = "StreamSubscription")]
pub(crate) struct StreamSubscription(pub(crate) Feed);

#[pymethods]
impl StreamSubscription {
    /// Can there be more?
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.0.is_cancelled() {
            return Err(PyRuntimeError::new_err("the subscription was cancelled"));
        }
        self.0.schema(py)
    }

    /// Waits for the next batch; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most so many milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, Some(Duration::from_millis(timeout_ms)))
    }

    /// The next batch if it is there, else None.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription.
    fn cancel(&self) {
        self.0.cancel();
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    fn __repr__(&self) -> String {
        format!("StreamSubscription({})", self.0.state("cancelled"))
    }
}
