//! Converts dicts: one row, a list of rows, or columns.
//!
//! The path of a one-row dict is deliberately short: no table of columns is built, and a batch that has every column
//! uses the relation's own schema.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use laminardb_bridge::Error;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple};

use super::cells::{Column, Nan, column_of};
use super::frame;
use super::target::{SHOWN, Target};
use crate::detach::look;
use crate::error::raised;
use crate::visible;

/// Converts a dict that is one row or, if its values are sequences, columns.
pub(crate) fn from_dict(dict: &Bound<'_, PyDict>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    if dict.is_empty() {
        return Err(PyTypeError::new_err("rows cannot be read from an empty dict"));
    }
    // Copied because inspecting values may run Python code, and other threads may change the dict meanwhile.
    let dict = &dict.copy()?;
    if is_columnar(dict, target)? {
        return from_columns(dict, target);
    }
    let mut rows = Rows::new(target, 1);
    rows.add_any(dict)?;
    rows.finish(dict.py())
}

/// Converts a list of rows.
pub(crate) fn from_list(list: &Bound<'_, PyList>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = list.py();
    if list.is_empty() {
        return Err(PyTypeError::new_err("rows cannot be read from an empty list"));
    }
    let mut rows = Rows::new(target, list.len());
    for (row, value) in list.iter().enumerate() {
        look(py, row)?;
        let dict = value.cast::<PyDict>().map_err(|_| {
            let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
            raised(py, &Error::IngestionFailed(format!("row {row} is not a dict but {class}")))
        })?;
        rows.add(dict)?;
    }
    rows.finish(py)
}

/// Rows under construction.
///
/// A column that a row leaves out gets its DEFAULT, which the bridge knows. So only rows with the same columns share a
/// batch; a row with other columns starts the next one.
struct Rows<'py, 'a> {
    target: &'a Target,
    /// Columns of the current batch, by position in the relation.
    columns: Vec<Option<Column>>,
    width: usize,
    /// Number of rows in the current batch; `before` counts those of earlier batches.
    rows: usize,
    before: usize,
    batches: Vec<RecordBatch>,
    /// Keys of the rows of the current batch, with their columns. Most rows have the same keys, often as the very same
    /// objects.
    places: Vec<(Bound<'py, PyString>, usize)>,
    /// Values of one row.
    values: Vec<Bound<'py, PyAny>>,
    /// Number of the row, counted from 1, in which each column was last given.
    given: Vec<usize>,
    expected: usize,
}

impl<'py, 'a> Rows<'py, 'a> {
    fn new(target: &'a Target, expected: usize) -> Self {
        let width = target.schema().fields().len();
        Self {
            target,
            columns: (0..width).map(|_| None).collect(),
            width: 0,
            rows: 0,
            before: 0,
            batches: Vec::new(),
            places: Vec::with_capacity(width),
            values: Vec::with_capacity(width),
            given: vec![0; width],
            expected,
        }
    }

    fn add(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<()> {
        if self.rows > 0 && self.has_keys_of_batch(dict)? {
            return self.add_like_others();
        }
        // Copied because converting values may run Python code, and other threads may change the dict meanwhile.
        self.add_any(&dict.copy()?)
    }

    /// Takes the values of a row if it has exactly the keys of the current batch; returns whether it has.
    fn has_keys_of_batch(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<bool> {
        if dict.len() != self.places.len() {
            return Ok(false);
        }
        self.values.clear();
        for (key, _) in &self.places {
            let Some(value) = dict.get_item(key)? else { return Ok(false) };
            self.values.push(value);
        }
        Ok(true)
    }

    /// Appends the row whose values were just taken.
    fn add_like_others(&mut self) -> PyResult<()> {
        let row = self.before + self.rows;
        self.rows += 1;
        for (value, (_, idx)) in self.values.iter().zip(&self.places) {
            let column = self.columns[*idx].as_mut().expect("the batch has the columns of its keys");
            column.append(value).map_err(|refusal| self.target.refused(*idx, row, value, refusal))?;
        }
        Ok(())
    }

    /// Appends a row that nobody else can change.
    fn add_any(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<()> {
        let row = self.before + self.rows;
        if self.rows > 0 && !self.has_columns_of(dict)? {
            self.close(dict.py())?;
        }
        self.rows += 1;
        for (place, (key, value)) in dict.iter().enumerate() {
            let idx = self.column_at(place, &key)?;
            if self.given[idx] == row + 1 {
                return Err(self.target.duplicate(dict.py(), idx));
            }
            self.given[idx] = row + 1;
            let column = match &mut self.columns[idx] {
                Some(column) => column,
                empty => {
                    self.width += 1;
                    empty.insert(column_of(self.target.field(idx).data_type(), self.expected, Nan::Value)?)
                }
            };
            column.append(&value).map_err(|refusal| self.target.refused(idx, row, &value, refusal))?;
        }
        self.places.truncate(dict.len());
        Ok(())
    }

    /// Whether the row gives exactly the columns of the current batch.
    fn has_columns_of(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<bool> {
        if dict.len() != self.width {
            return Ok(false);
        }
        for (place, (key, _)) in dict.iter().enumerate() {
            let idx = self.column_at(place, &key)?;
            if self.columns[idx].is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn column_at(&mut self, place: usize, key: &Bound<'py, PyAny>) -> PyResult<usize> {
        if let Some((known, idx)) = self.places.get(place)
            && known.is(key)
        {
            return Ok(*idx);
        }
        let key = key.cast::<PyString>().map_err(|_| not_a_name(key))?;
        let idx = self.target.find(key.py(), name_of(key)?)?;
        let known = (key.clone(), idx);
        if place < self.places.len() {
            self.places[place] = known;
        } else {
            self.places.push(known);
        }
        Ok(idx)
    }

    /// Ends the current batch.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        let columns = self.columns.iter_mut().enumerate();
        let columns = columns.filter_map(|(idx, column)| Some((idx, column.take()?.finish()))).collect();
        self.batches.push(assembled(py, self.target, columns, self.rows, self.before)?);
        self.before += self.rows;
        self.rows = 0;
        self.width = 0;
        // If rows differ once they may keep differing, so the next batches do not reserve room for all rows.
        self.expected = 1;
        Ok(())
    }

    fn finish(mut self, py: Python<'_>) -> PyResult<Vec<RecordBatch>> {
        self.close(py)?;
        Ok(self.batches)
    }
}

/// Converts columns given by name, all of the same length.
fn from_columns(dict: &Bound<'_, PyDict>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = dict.py();
    let mut columns: Vec<(usize, ArrayRef)> = Vec::with_capacity(dict.len());
    for (key, values) in dict.iter() {
        let key = key.cast::<PyString>().map_err(|_| not_a_name(&key))?;
        let idx = target.find(py, name_of(key)?)?;
        if columns.iter().any(|(known, _)| *known == idx) {
            return Err(target.duplicate(py, idx));
        }
        columns.push((idx, frame::column(&values, idx, target)?));
    }
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    columns.sort_by_key(|(idx, _)| *idx);
    Ok(vec![assembled(py, target, columns, rows, 0)?])
}

/// Makes a batch of `columns`, which must be in the relation's order; `before` rows come before it.
pub(crate) fn assembled(
    py: Python<'_>,
    target: &Target,
    columns: Vec<(usize, ArrayRef)>,
    rows: usize,
    before: usize,
) -> PyResult<RecordBatch> {
    let schema = target.schema();
    let whole = columns.len() == schema.fields().len()
        && columns.iter().zip(schema.fields()).all(|((_, column), field)| column.data_type() == field.data_type());
    for (idx, column) in &columns {
        if !target.field(*idx).is_nullable()
            && let Some(nulls) = column.logical_nulls()
            && let Some(row) = (0..nulls.len()).find(|row| nulls.is_null(*row))
        {
            return Err(target.null(py, *idx, before + row));
        }
    }
    let schema = if whole {
        Arc::clone(schema)
    } else {
        let field =
            |(idx, column): &(usize, ArrayRef)| Field::new(target.field(*idx).name(), column.data_type().clone(), true);
        Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
    };
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| raised(py, &Error::IngestionFailed(error.to_string())))
}

/// Whether the dict holds columns instead of one row.
fn is_columnar(dict: &Bound<'_, PyDict>, target: &Target) -> PyResult<bool> {
    if !dict.iter().any(|(_, value)| is_sequence(&value)) {
        return Ok(false);
    }
    let lengths = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| -> PyResult<(String, Option<usize>)> {
        let length = if is_sequence(&value) { Some(value.len()?) } else { None };
        Ok((visible::start(&key.str()?.to_string_lossy(), SHOWN), length))
    };
    let lengths: Vec<(String, Option<usize>)> = dict.iter().map(lengths).collect::<PyResult<_>>()?;
    let equal = lengths.iter().all(|(_, length)| length.is_some() && *length == lengths[0].1);
    if equal {
        return Ok(true);
    }
    if target.has_lists() {
        return Ok(false);
    }
    let shown: Vec<String> = lengths
        .iter()
        .map(|(name, length)| length.map_or(format!("{name}: one value"), |length| format!("{name}: {length}")))
        .collect();
    let detail = format!("columns must all be sequences of one length: {}", shown.join(", "));
    Err(raised(dict.py(), &Error::IngestionFailed(detail)))
}

/// Whether this is a sequence of values instead of a single value.
fn is_sequence(value: &Bound<'_, PyAny>) -> bool {
    if value.is_none() || value.is_exact_instance_of::<PyInt>() || value.is_exact_instance_of::<PyFloat>() {
        return false;
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return true;
    }
    let one_value = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.is_instance_of::<PyMemoryView>()
        || value.is_instance_of::<PyDict>();
    // An array without dimensions has no length: it counts as the value that it holds.
    !one_value && sequence_check(value) && value.len().is_ok()
}

#[expect(unsafe_code, reason = "PyO3 has no safe name for the C check, and its PySequence wants an ABC registration")]
fn sequence_check(value: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `value` is a live object and the interpreter is attached, which is all that the check needs.
    unsafe { ffi::PySequence_Check(value.as_ptr()) == 1 }
}

fn name_of<'a>(key: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    key.to_str().map_err(|_| not_a_name(key.as_any()))
}

/// Returns the error for a key that cannot be a column's name.
pub(crate) fn not_a_name(key: &Bound<'_, PyAny>) -> PyErr {
    let shown = key.repr().map_or_else(|_| "a key".to_owned(), |text| text.to_string_lossy().into_owned());
    let detail = format!("column names must be strings, not {}", visible::start(&shown, SHOWN));
    raised(key.py(), &Error::IngestionFailed(detail))
}
