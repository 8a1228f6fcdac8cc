//! `Answer`: the rows of a result in Arrow, and the forms of them that Python's libraries need.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use laminardb_bridge::Error;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::detach::look;
use crate::error::raised;
use crate::value::read::{Reader, row};

/// Rows and their columns; no batch is empty.
#[derive(Clone)]
pub(crate) struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Answer {
    /// Makes the answer of the rows of `batches`; empty batches are dropped.
    pub(crate) fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let (schema, batches) = plain_strings(schema, batches);
        let batches: Vec<RecordBatch> = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        Self { schema, batches, rows }
    }

    /// Returns the schema of the columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
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
    pub(super) fn tuples<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
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
    pub(super) fn uniquely_named(&self) -> PyResult<Self> {
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
    pub(super) fn for_polars(self, py: Python<'_>) -> PyResult<Self> {
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

    /// Returns the rows as dicts. Fails if two columns have the same name.
    pub(super) fn dicts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut known = HashSet::new();
        if let Some(twice) = self.schema.fields().iter().find(|field| !known.insert(field.name())) {
            let why = format!("two columns are called {}: give one another name with AS", twice.name());
            return Err(raised(py, &Error::QueryFailed(why)));
        }
        let names: Vec<_> = self.schema.fields().iter().map(|field| PyString::new(py, field.name())).collect();
        let mut rows = Vec::with_capacity(self.rows);
        for batch in &self.batches {
            let readers = readers(py, batch)?;
            for place in 0..batch.num_rows() {
                let row = PyDict::new(py);
                for (name, reader) in names.iter().zip(&readers) {
                    row.set_item(name, reader.value(py, place)?)?;
                }
                rows.push(row);
                look(py, rows.len())?;
            }
        }
        PyList::new(py, rows)
    }

    /// Returns the columns as lists, by unique names.
    pub(super) fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
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

    /// Returns the `count` rows from `start` on, or as many as there are. Nothing is copied.
    pub(super) fn slice(&self, start: usize, count: usize) -> Self {
        let (mut skipped, mut wanted) = (start, count);
        let mut batches = Vec::new();
        for batch in &self.batches {
            let first = skipped.min(batch.num_rows());
            skipped -= first;
            let rows = wanted.min(batch.num_rows() - first);
            wanted -= rows;
            if rows > 0 {
                batches.push(batch.slice(first, rows));
            }
            if wanted == 0 {
                break;
            }
        }
        Self { schema: Arc::clone(&self.schema), batches, rows: count - wanted }
    }
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
