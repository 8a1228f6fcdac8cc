//! `QueryResult`: an answer that never changes, and the ways to export it. `ExecuteResult` extends it.

mod answer;
mod execute;
mod iterator;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use laminardb_bridge::{Error, type_name};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyList};

use crate::capsule::{pyarrow_schema, stream_capsule};
use crate::error::{optional, raised};
use crate::show;

pub(crate) use self::answer::{Answer, readers};
pub(crate) use self::execute::ExecuteResult;
use self::iterator::RowIterator;

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
    answer: Content,
}

/// What a result has.
enum Content {
    Rows(Answer),
    /// Nothing, since a statement of this kind gives no rows.
    None(&'static str),
}

impl QueryResult {
    /// Makes a result of the rows of `batches`.
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::of(Answer::new(schema, batches))
    }

    /// Makes the result that has `answer`.
    fn of(answer: Answer) -> Self {
        Self { answer: Content::Rows(answer) }
    }

    /// Makes the result of `statement`, words for one that gives no rows.
    fn without_rows(statement: &'static str) -> Self {
        Self { answer: Content::None(statement) }
    }

    /// Returns the rows, if the statement gave some.
    fn rows_if_any(&self) -> Option<&Answer> {
        match &self.answer {
            Content::Rows(answer) => Some(answer),
            Content::None(_) => None,
        }
    }

    /// Returns the rows; raises an exception if the statement gave none.
    pub(crate) fn answer(&self, py: Python<'_>) -> PyResult<&Answer> {
        match &self.answer {
            Content::Rows(answer) => Ok(answer),
            Content::None(statement) => {
                Err(raised(py, &Error::QueryFailed(format!("no rows: {statement} gives none"))))
            }
        }
    }

    /// Returns a polars DataFrame, or a LazyFrame if `lazy`.
    fn polars<'py>(&self, py: Python<'py>, lazy: bool) -> PyResult<Bound<'py, PyAny>> {
        let answer = self.answer(py)?;
        let polars = optional(py, "polars")?;
        let rows = Self::of(answer.uniquely_named()?.for_polars(py)?).into_pyobject(py)?;
        let frame = polars.call_method1(intern!(py, "DataFrame"), (rows,))?;
        if lazy { frame.call_method0(intern!(py, "lazy")) } else { Ok(frame) }
    }
}

#[pymethods]
impl QueryResult {
    /// Number of rows.
    #[getter]
    fn num_rows(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.answer(py)?.rows())
    }

    /// Number of columns.
    #[getter]
    fn num_columns(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.answer(py)?.schema().fields().len())
    }

    /// Number of Arrow batches: 0 without rows, else at least 1.
    #[getter]
    fn num_batches(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.answer(py)?.batches().len())
    }

    /// The names of the columns in the order of the query; one name may be there twice.
    #[getter]
    fn columns(&self, py: Python<'_>) -> PyResult<Vec<&str>> {
        Ok(self.answer(py)?.schema().fields().iter().map(|field| field.name().as_str()).collect())
    }

    /// The columns as a `pyarrow.Schema`. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, self.answer(py)?.schema())
    }

    /// The rows as a `pyarrow.Table`, without copying. `ImportError` without pyarrow.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.to_arrow().num_rows
    /// 2
    pub(crate) fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().answer(slf.py())?;
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
        slf.get().answer(py)?;
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
        self.answer(py)?.columns(py)
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
        slf.get().answer(py)?;
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

    /// All rows as a list of tuples, or with `named=True` of dicts.
    ///
    /// `QueryError` 400 for dicts when two columns have the same name, and for a value that Python's datetime cannot
    /// hold.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.rows(named=True)
    /// [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}]
    #[pyo3(signature = (named=false))]
    fn rows<'py>(&self, py: Python<'py>, named: bool) -> PyResult<Bound<'py, PyList>> {
        if named { self.answer(py)?.dicts(py) } else { self.fetchall(py) }
    }

    /// All rows as tuples. `QueryError` 400 for a value that Python's datetime cannot hold.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchall()
    /// [(1, 'a'), (2, 'b')]
    fn fetchall<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let answer = self.answer(py)?;
        answer.tuples(py, answer.rows())
    }

    /// The first row, or None. There is no cursor: it is the same row each time, and only it is converted.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchone()
    /// (1, 'a')
    fn fetchone<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let rows = self.answer(py)?.tuples(py, 1)?;
        if rows.is_empty() { Ok(None) } else { rows.get_item(0).map(Some) }
    }

    /// The first `size` rows as tuples. `OverflowError` when `size` is negative.
    ///
    /// >>> result = conn.sql("SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(id, name) ORDER BY id")
    /// >>> result.fetchmany(10)
    /// [(1, 'a'), (2, 'b')]
    #[pyo3(signature = (size=1))]
    fn fetchmany<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Bound<'py, PyList>> {
        self.answer(py)?.tuples(py, size)
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
        let text = show::text(py, self.answer(py)?, max_rows)?;
        let stdout = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdout"))?;
        if !stdout.is_none() {
            stdout.call_method1(intern!(py, "write"), (text,))?;
        }
        Ok(())
    }

    /// The first rows as an HTML table, for notebooks; None when the statement gave no rows.
    fn _repr_html_(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.rows_if_any().map(|answer| show::html(py, answer)).transpose()
    }

    /// The columns as PEP 249 describes them: name, SQL type, None, None, precision, scale, whether NULL may be there.
    #[getter]
    fn _description<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let described = |field: &FieldRef| {
            let (precision, scale) = match field.data_type() {
                DataType::Decimal128(precision, scale) => (Some(*precision), Some(*scale)),
                _ => (None, None),
            };
            let (name, sql_type, null) = (field.name().as_str(), type_name(field.data_type()), field.is_nullable());
            (name, sql_type, py.None(), py.None(), precision, scale, null).into_bound_py_any(py)
        };
        self.answer(py)?.schema().fields().iter().map(described).collect()
    }

    /// The `count` rows from `start` on, or as many as there are. Nothing is copied.
    fn _slice(&self, py: Python<'_>, start: usize, count: usize) -> PyResult<Self> {
        Ok(Self::of(self.answer(py)?.slice(start, count)))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let answer = self.answer(py)?;
        stream_capsule(py, answer.schema(), answer.batches().to_vec(), requested_schema)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.num_rows(py)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<RowIterator> {
        Ok(RowIterator::new(self.answer(py)?.batches().to_vec()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("QueryResult(rows={}, columns={})", self.num_rows(py)?, self.num_columns(py)?))
    }
}
