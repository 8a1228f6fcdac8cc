//! `QueryResult` and `ExecuteResult`: answers that never change, and the ways to export them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use laminardb_bridge::{Error, Outcome, QueryOutput};
use parking_lot::Mutex;
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList, PyTuple};

use crate::capsule::{pyarrow_schema, stream_capsule};
use crate::detach::look;
use crate::error::{optional, raised};
use crate::show;
use crate::value::read::{Reader, row};
use crate::visible;

/// Rows and their columns. It never changes; `len()` is the number of rows, iterating gives tuples.
///
/// It can be given to `insert()`, `pyarrow.table()` and `polars.DataFrame()`.
///
/// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
/// >>> result
/// QueryResult(rows=2, columns=2)
/// >>> for id, name in result:
/// ...     print(id, name)
/// 1 a
/// 2 b
#[pyclass(frozen, subclass, module = "laminardb._laminardb", name = "QueryResult")]
pub(crate) struct QueryResult {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl QueryResult {
    /// Makes a result of the rows of `batches`; empty batches are dropped.
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let (schema, batches) = plain_strings(schema, batches);
        let batches: Vec<RecordBatch> = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Self { schema, batches, rows }
    }

    /// Returns the schema of the columns.
    pub(crate) fn schema_ref(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the rows as batches.
    pub(crate) fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the first `limit` rows as tuples.
    fn tuples<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let mut rows = Vec::with_capacity(limit.min(self.rows));
        for batch in &self.batches {
            if rows.len() == limit {
                break;
            }
            let readers = readers(py, batch)?;
            for place in 0..batch.num_rows().min(limit - rows.len()) {
                rows.push(row(py, &readers, place)?);
                look(py, rows.len())?;
            }
        }
        PyList::new(py, rows)
    }

    /// Returns the same rows with unique column names: later columns of the same name are called `x_1`, `x_2`.
    fn uniquely_named(&self) -> PyResult<Self> {
        let names = unique_names(&self.schema);
        let fields = self.schema.fields().iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let renamed = |batch: &RecordBatch| {
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).expect("only names differ")
        };
        let batches = self.batches.iter().map(renamed).collect();
        Ok(Self { schema, batches, rows: self.rows })
    }

    /// Returns the same rows in types that polars accepts; polars has neither seconds nor intervals.
    #[expect(clippy::disallowed_methods, reason = "only units and widths change, and what does not fit is an error")]
    fn for_polars(self, py: Python<'_>) -> PyResult<Self> {
        let fields = self.schema.fields().iter().map(|field| {
            let data_type = polars_type(field.data_type()).ok_or_else(|| {
                let detail = format!("column '{}': polars has no intervals; export the result as Arrow", field.name());
                raised(py, &Error::QueryFailed(detail))
            })?;
            Ok(field.as_ref().clone().with_data_type(data_type))
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<PyResult<Vec<_>>>()?));
        if schema.fields() == self.schema.fields() {
            return Ok(self);
        }
        let exactly = CastOptions { safe: false, ..CastOptions::default() };
        let batches = self.batches.iter().map(|batch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast_with_options(column, field.data_type(), &exactly));
            RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
        });
        let batches = batches.collect::<Result<_, ArrowError>>().map_err(|error| {
            raised(py, &Error::QueryFailed(format!("{error}: polars does not hold it; export the result as Arrow")))
        })?;
        Ok(Self { schema, batches, rows: self.rows })
    }

    /// Returns a polars DataFrame, or a LazyFrame if `lazy`.
    fn polars<'py>(&self, py: Python<'py>, lazy: bool) -> PyResult<Bound<'py, PyAny>> {
        let polars = optional(py, "polars")?;
        let rows = self.uniquely_named()?.for_polars(py)?.into_pyobject(py)?;
        let frame = polars.call_method1(intern!(py, "DataFrame"), (rows,))?;
        if lazy { frame.call_method0(intern!(py, "lazy")) } else { Ok(frame) }
    }
}

#[pymethods]
impl QueryResult {
    /// Number of rows.
    #[getter]
    fn num_rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[getter]
    fn num_columns(&self) -> usize {
        self.schema.fields().len()
    }

    /// Number of Arrow batches: 0 without rows, else at least 1.
    #[getter]
    fn num_batches(&self) -> usize {
        self.batches.len()
    }

    /// The names of the columns in the order of the query; one name may be there twice.
    #[getter]
    fn columns(&self) -> Vec<&str> {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// The columns as a `pyarrow.Schema`. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &self.schema)
    }

    /// The rows as a `pyarrow.Table`, without copying. `ImportError` without pyarrow.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.to_arrow().num_rows
    /// 2
    pub(crate) fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        optional(slf.py(), "pyarrow")?.call_method1(intern!(slf.py(), "table"), (slf,))
    }

    /// The rows as a `pyarrow.Table`: the same as `to_arrow()`.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.arrow().column_names
    /// ['id', 'name']
    fn arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::to_arrow(slf)
    }

    /// The rows as a `pandas.DataFrame`. `ImportError` without pandas and pyarrow.
    ///
    /// Integers that would be rounded as floats, as pandas keeps them beside NULL, are kept as nullable integers.
    /// `QueryError` 400 for a value that pandas does not hold.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.to_pandas()
    ///    id name
    /// 0   1    a
    /// 1   2    b
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        optional(py, "pandas")?;
        let table = Self::to_arrow(slf)?;
        py.import(intern!(py, "laminardb._pandas"))?.call_method1(intern!(py, "frame"), (table,))
    }

    /// The rows as a `pandas.DataFrame`: the same as `to_pandas()`.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.df().shape
    /// (2, 2)
    fn df<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::to_pandas(slf)
    }

    /// The rows as a `polars.DataFrame`. `ImportError` without polars.
    ///
    /// Later columns of one name are called `x_1`, `x_2`. `QueryError` 400 for intervals, which polars has not.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.to_polars().shape
    /// (2, 2)
    fn to_polars<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.polars(py, false)
    }

    /// The rows as a `polars.DataFrame`, or with `lazy=True` a `polars.LazyFrame`. `ImportError` without polars.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.pl(lazy=True).collect().height
    /// 2
    #[pyo3(signature = (*, lazy=false))]
    fn pl<'py>(&self, py: Python<'py>, lazy: bool) -> PyResult<Bound<'py, PyAny>> {
        self.polars(py, lazy)
    }

    /// The columns as lists, by name.
    ///
    /// Later columns of one name are called `x_1`, `x_2`. `QueryError` 400 for a value that Python's datetime cannot
    /// hold.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.to_dicts()
    /// {'id': [1, 2], 'name': ['a', 'b']}
    fn to_dicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (idx, name) in unique_names(&self.schema).into_iter().enumerate() {
            let mut values = Vec::with_capacity(self.rows);
            for batch in &self.batches {
                let reader = Reader::new(py, batch.column(idx).as_ref())?;
                for row in 0..batch.num_rows() {
                    values.push(reader.value(py, row)?);
                    look(py, values.len())?;
                }
            }
            dict.set_item(name, PyList::new(py, values)?)?;
        }
        Ok(dict)
    }

    /// The rows in the first of polars, pandas and pyarrow that is installed.
    ///
    /// `ImportError` when none is.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> len(result.to_df())
    /// 2
    fn to_df<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let installed = |library: &str| match py.import(library) {
            Ok(_) => Ok(true),
            Err(error) if error.is_instance_of::<PyImportError>(py) => Ok(false),
            Err(error) => Err(error),
        };
        if installed("polars")? {
            slf.get().polars(py, false)
        } else if installed("pandas")? && installed("pyarrow")? {
            Self::to_pandas(slf)
        } else if installed("pyarrow")? {
            Self::to_arrow(slf)
        } else {
            Err(PyImportError::new_err(
                "one of polars, pandas and pyarrow is needed here: pip install laminardb[polars]",
            ))
        }
    }

    /// All rows as tuples. `QueryError` 400 for a value that Python's datetime cannot hold.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchall()
    /// [(1, 'a'), (2, 'b')]
    fn fetchall<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.tuples(py, self.rows)
    }

    /// The first row, or None. There is no cursor: it is the same row each time, and only it is converted.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchone()
    /// (1, 'a')
    fn fetchone<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let rows = self.tuples(py, 1)?;
        if rows.is_empty() { Ok(None) } else { rows.get_item(0).map(Some) }
    }

    /// The first `size` rows as tuples. `OverflowError` when `size` is negative.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchmany(10)
    /// [(1, 'a'), (2, 'b')]
    #[pyo3(signature = (size=1))]
    fn fetchmany<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyList>> {
        self.tuples(py, size)
    }

    /// Prints the first `max_rows` rows as a table, and how many are not shown.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.show(max_rows=1)
    /// +----+------+
    /// | id | name |
    /// +----+------+
    /// | 1  | a    |
    /// +----+------+
    /// 2 rows, 1 not shown
    #[pyo3(signature = (max_rows=20))]
    fn show(&self, py: Python<'_>, max_rows: usize) -> PyResult<()> {
        let text = show::text(py, self, max_rows)?;
        let stdout = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdout"))?;
        if !stdout.is_none() {
            stdout.call_method1(intern!(py, "write"), (text,))?;
        }
        Ok(())
    }

    /// The first rows as an HTML table, for notebooks.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        show::html(py, self)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        stream_capsule(py, &self.schema, self.batches.clone(), requested_schema)
    }

    fn __len__(&self) -> usize {
        self.rows
    }

    fn __iter__(slf: PyRef<'_, Self>) -> RowIterator {
        RowIterator { batches: slf.batches.clone(), next: Mutex::new((0, 0)) }
    }

    fn __repr__(&self) -> String {
        format!("QueryResult(rows={}, columns={})", self.rows, self.schema.fields().len())
    }
}

/// Rows of a result, one after the other.
#[pyclass(frozen, module = "laminardb._laminardb")]
struct RowIterator {
    batches: Vec<RecordBatch>,
    /// Batch and row of the next tuple.
    next: Mutex<(usize, usize)>,
}

#[pymethods]
impl RowIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (batch, place) = {
            let mut next = self.next.lock();
            let Some(batch) = self.batches.get(next.0) else { return Ok(None) };
            let place = *next;
            *next = if place.1 + 1 == batch.num_rows() { (place.0 + 1, 0) } else { (place.0, place.1 + 1) };
            (batch, place.1)
        };
        row(py, &readers(py, batch)?, place).map(Some)
    }
}

/// What a statement did. `int()` is the number of rows, `bool()` is False when DML changed none.
///
/// >>> conn.execute("CREATE SOURCE s (a BIGINT)")
/// ExecuteResult(ddl, CREATE SOURCE s)
/// >>> int(conn.execute("INSERT INTO s VALUES (1), (2)"))
/// 2
#[pyclass(frozen, module = "laminardb._laminardb", name = "ExecuteResult")]
pub(crate) struct ExecuteResult {
    outcome: Outcome,
}

impl ExecuteResult {
    /// Makes the result for `outcome`.
    pub(crate) fn new(outcome: Outcome) -> Self {
        Self { outcome }
    }
}

#[pymethods]
impl ExecuteResult {
    /// `"ddl"`, `"rows_affected"`, `"query"` or `"metadata"`.
    #[getter]
    fn result_type(&self) -> &'static str {
        match &self.outcome {
            Outcome::Ddl { .. } => "ddl",
            Outcome::Rows(_) => "rows_affected",
            Outcome::Query(_) => "query",
            Outcome::Metadata(_) => "metadata",
        }
    }

    /// Rows that DML changed, or rows of the query; 0 for the others.
    #[getter]
    fn rows_affected(&self) -> u64 {
        match &self.outcome {
            Outcome::Rows(rows) => *rows,
            Outcome::Query(output) => count(output),
            Outcome::Ddl { .. } | Outcome::Metadata(_) => 0,
        }
    }

    /// The words of the definition, such as `"CREATE SOURCE"`; None for other statements.
    #[getter]
    fn ddl_type(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ddl { ddl_type, .. } => Some(ddl_type),
            _ => None,
        }
    }

    /// The stored name of what was defined or dropped; None for other statements.
    #[getter]
    fn ddl_object(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ddl { object, .. } => object.as_deref(),
            _ => None,
        }
    }

    /// The rows as a `QueryResult`, when the statement gave some, else None.
    ///
    /// >>> conn.execute("SELECT 1 AS one").to_query_result().fetchone()
    /// (1,)
    fn to_query_result(&self) -> Option<QueryResult> {
        match &self.outcome {
            Outcome::Query(output) | Outcome::Metadata(output) => {
                Some(QueryResult::new(Arc::clone(&output.schema), output.batches.clone()))
            }
            _ => None,
        }
    }

    fn __int__(&self) -> u64 {
        self.rows_affected()
    }

    fn __bool__(&self) -> bool {
        !matches!(self.outcome, Outcome::Rows(0))
    }

    fn __repr__(&self) -> String {
        match &self.outcome {
            Outcome::Ddl { ddl_type, object: Some(object) } => {
                format!("ExecuteResult(ddl, {ddl_type} {})", visible::line(object))
            }
            Outcome::Ddl { ddl_type, object: None } => format!("ExecuteResult(ddl, {ddl_type})"),
            Outcome::Rows(rows) => format!("ExecuteResult(rows_affected={rows})"),
            Outcome::Query(output) => format!("ExecuteResult(query, rows={})", count(output)),
            Outcome::Metadata(output) => format!("ExecuteResult(metadata, rows={})", count(output)),
        }
    }
}

fn count(output: &QueryOutput) -> u64 {
    output.batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// Makes readers for the columns of `batch`.
pub(crate) fn readers<'a>(py: Python<'_>, batch: &'a RecordBatch) -> PyResult<Vec<Reader<'a>>> {
    batch.columns().iter().map(|column| Reader::new(py, column.as_ref())).collect()
}

/// Returns the names of the columns; later columns of the same name are called `x_1`, `x_2`.
fn unique_names(schema: &Schema) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let taken = |name: &str, names: &[String]| names.iter().any(|known| known == name);
        let mut name = field.name().clone();
        let mut number = 0;
        while taken(&name, &names) {
            number += 1;
            name = format!("{}_{number}", field.name());
        }
        names.push(name);
    }
    names
}

/// Returns the polars type that holds the same values; `None` for intervals.
fn polars_type(data_type: &DataType) -> Option<DataType> {
    let item = |field: &FieldRef| {
        let data_type = polars_type(field.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
    };
    Some(match data_type {
        DataType::Interval(_) => return None,
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
        DataType::List(field) => DataType::List(item(field)?),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(item(field)?, *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(item).collect::<Option<Vec<_>>>()?.into()),
        other => other.clone(),
    })
}

/// Casts strings and bytes to the one plain type each, whichever types the executor made.
#[expect(clippy::disallowed_methods, reason = "another encoding of the same values")]
fn plain_strings(schema: SchemaRef, batches: Vec<RecordBatch>) -> (SchemaRef, Vec<RecordBatch>) {
    let plain = |data_type: &DataType| match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        _ => None,
    };
    if schema.fields().iter().all(|field| plain(field.data_type()).is_none()) {
        return (schema, batches);
    }
    let field = |field: &Arc<Field>| match plain(field.data_type()) {
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => Arc::clone(field),
    };
    let schema: SchemaRef = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
    let batches = batches.into_iter().map(|batch| {
        let columns =
            batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
                cast(column, field.data_type()).expect("a view of text or bytes has a plain form")
            });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("the columns have the schema's types")
    });
    let batches = batches.collect();
    (schema, batches)
}
