//! Converts rows, one or a list or an iterator of them, and dicts of columns.
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
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyIterator, PyList, PyMemoryView, PyString, PyTuple};

use super::cells::{Column, Nan};
use super::frame;
use super::row::{Cell, Row, RowReader};
use super::target::{SHOWN, Target};
use crate::detach::look;
use crate::error::raised;
use crate::visible;

/// Number of rows after which the rows of an iterator begin a new batch, and for which a column of unknown length has
/// room.
pub(super) const PIECE: usize = 8192;

/// Converts a dict that is one row or, if its values are sequences, columns.
pub(crate) fn from_dict(dict: &Bound<'_, PyDict>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    if dict.is_empty() {
        return Err(PyTypeError::new_err("rows cannot be read from an empty dict"));
    }
    // Taken out of the dict because inspecting values may run Python code, and other threads may change it meanwhile.
    let cells: Vec<Cell<'_>> = dict.iter().collect();
    from_cells(dict.py(), &cells, target)
}

/// Converts what a mapping holds, which is one row or, if its values are sequences, columns.
fn from_cells(py: Python<'_>, cells: &[Cell<'_>], target: &Target) -> PyResult<Vec<RecordBatch>> {
    if is_columnar(py, cells, target)? { from_columns(py, cells, target) } else { from_row(py, cells, target) }
}

/// Converts one row.
fn from_row(py: Python<'_>, cells: &[Cell<'_>], target: &Target) -> PyResult<Vec<RecordBatch>> {
    let mut rows = Rows::new(target, 1);
    rows.add_cells(py, cells)?;
    rows.finish(py)
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
        rows.add_any(row, &value)?;
    }
    rows.finish(py)
}

/// Converts the rows of an iterator, in pieces. An exception that it raises is passed on unchanged.
pub(crate) fn from_iterator(iterator: &Bound<'_, PyIterator>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = iterator.py();
    let mut rows = Rows::new(target, PIECE);
    for (row, value) in iterator.clone().enumerate() {
        look(py, row)?;
        rows.add_any(row, &value?)?;
        if rows.rows == PIECE {
            rows.close(py, PIECE)?;
            target.may_go_on(py)?;
        }
    }
    rows.finish(py)
}

/// Converts an object that is one row, or a mapping of columns; returns `None` if it is neither.
pub(crate) fn from_object(data: &Bound<'_, PyAny>, target: &Target) -> PyResult<Option<Vec<RecordBatch>>> {
    let py = data.py();
    Ok(match RowReader::default().read(data)? {
        Some(Row::Mapping(cells)) if cells.is_empty() => {
            return Err(PyTypeError::new_err("rows cannot be read from an empty mapping"));
        }
        Some(Row::Mapping(cells)) => Some(from_cells(py, &cells, target)?),
        Some(Row::Fields(cells)) => Some(from_row(py, &cells, target)?),
        None => None,
    })
}

/// Rows under construction.
///
/// A column that a row leaves out gets its DEFAULT, which the bridge knows. So only rows with the same columns share a
/// batch; a row with other columns starts the next one.
struct Rows<'py, 'a> {
    target: &'a Target,
    reader: RowReader<'py>,
    /// Columns of the current batch, by position in the relation.
    columns: Vec<Option<Column>>,
    width: usize,
    /// Number of rows in the current batch; `before` counts those of earlier batches.
    rows: usize,
    before: usize,
    batches: Vec<RecordBatch>,
    /// Keys of the rows of the current batch, with their columns; `None` for those left out. Most rows have the same
    /// keys, often as the very same objects.
    places: Vec<(Bound<'py, PyString>, Option<usize>)>,
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
            reader: RowReader::default(),
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

    /// Appends a row of any form; `row` is its number.
    fn add_any(&mut self, row: usize, value: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(dict) = value.cast::<PyDict>() {
            return self.add(dict);
        }
        let py = value.py();
        match self.reader.read(value)? {
            Some(Row::Mapping(cells) | Row::Fields(cells)) => self.add_cells(py, &cells),
            None => {
                let class = value.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
                let class = visible::start(&class, SHOWN);
                let detail = format!("row {row} is no dict, dataclass, named tuple or mapping, but {class}");
                Err(raised(py, &Error::IngestionFailed(detail)))
            }
        }
    }

    fn add(&mut self, dict: &Bound<'py, PyDict>) -> PyResult<()> {
        if self.rows > 0 && self.has_keys_of_batch(dict)? {
            return self.add_like_others();
        }
        // Taken out of the dict because converting values may run Python code, and other threads may change it
        // meanwhile.
        let cells: Vec<Cell<'py>> = dict.iter().collect();
        self.add_cells(dict.py(), &cells)
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
            let Some(idx) = *idx else { continue };
            let column = self.columns[idx].as_mut().expect("the batch has the columns of its keys");
            column.append(value).map_err(|refusal| self.target.refused(idx, row, value, refusal))?;
        }
        Ok(())
    }

    /// Appends a row of which only these names and values count.
    fn add_cells(&mut self, py: Python<'py>, cells: &[Cell<'py>]) -> PyResult<()> {
        let row = self.before + self.rows;
        if self.rows > 0 && !self.has_columns_of(cells)? {
            // If rows differ once they may keep differing, so the next batches do not reserve room for all rows.
            self.close(py, 1)?;
            self.target.may_go_on(py)?;
        }
        self.rows += 1;
        for (place, (key, value)) in cells.iter().enumerate() {
            let Some(idx) = self.column_at(place, key)? else { continue };
            if self.given[idx] == row + 1 {
                return Err(self.target.duplicate(py, idx));
            }
            self.given[idx] = row + 1;
            let column = match &mut self.columns[idx] {
                Some(column) => column,
                empty => {
                    self.width += 1;
                    empty.insert(self.target.column(idx, self.expected, Nan::Value)?)
                }
            };
            column.append(value).map_err(|refusal| self.target.refused(idx, row, value, refusal))?;
        }
        self.places.truncate(cells.len());
        Ok(())
    }

    /// Whether the row gives exactly the columns of the current batch.
    fn has_columns_of(&mut self, cells: &[Cell<'py>]) -> PyResult<bool> {
        let mut known = 0;
        for (place, (key, _)) in cells.iter().enumerate() {
            let Some(idx) = self.column_at(place, key)? else { continue };
            if self.columns[idx].is_none() {
                return Ok(false);
            }
            known += 1;
        }
        Ok(known == self.width)
    }

    /// Returns the column that `key` names, the one in this place of a row; `None` if the column is left out.
    fn column_at(&mut self, place: usize, key: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
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

    /// Ends the current batch; the next one reserves room for `expected` rows.
    fn close(&mut self, py: Python<'_>, expected: usize) -> PyResult<()> {
        let columns = self.columns.iter_mut().enumerate();
        let columns = columns.filter_map(|(idx, column)| Some((idx, column.take()?.finish()))).collect();
        self.batches.push(assembled(py, self.target, columns, self.rows, self.before)?);
        self.before += self.rows;
        self.rows = 0;
        self.width = 0;
        self.expected = expected;
        Ok(())
    }

    fn finish(mut self, py: Python<'_>) -> PyResult<Vec<RecordBatch>> {
        if self.rows > 0 {
            self.close(py, 0)?;
        }
        Ok(self.batches)
    }
}

/// Converts columns given by name, all of the same length.
fn from_columns(py: Python<'_>, cells: &[Cell<'_>], target: &Target) -> PyResult<Vec<RecordBatch>> {
    let mut columns: Vec<(usize, ArrayRef)> = Vec::with_capacity(cells.len());
    for (key, values) in cells {
        let key = key.cast::<PyString>().map_err(|_| not_a_name(key))?;
        let Some(idx) = target.find(py, name_of(key)?)? else { continue };
        if columns.iter().any(|(known, _)| *known == idx) {
            return Err(target.duplicate(py, idx));
        }
        columns.push((idx, frame::column(values, idx, target)?));
    }
    let rows = match columns.first() {
        Some((_, column)) => column.len(),
        // All columns are left out, and their rows are given nevertheless.
        None => cells.first().map_or(Ok(0), |(_, values)| values.len())?,
    };
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
    if columns.is_empty() {
        target.room().take_rows(rows).map_err(|why| raised(py, &Error::IngestionFailed(why)))?;
    }
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

/// Whether these are columns instead of the values of one row.
fn is_columnar(py: Python<'_>, cells: &[Cell<'_>], target: &Target) -> PyResult<bool> {
    if !cells.iter().any(|(_, value)| is_sequence(value)) {
        return Ok(false);
    }
    let lengths = |(key, value): &Cell<'_>| -> PyResult<(String, Option<usize>)> {
        let length = if is_sequence(value) { Some(value.len()?) } else { None };
        Ok((visible::start(&key.str()?.to_string_lossy(), SHOWN), length))
    };
    let lengths: Vec<(String, Option<usize>)> = cells.iter().map(lengths).collect::<PyResult<_>>()?;
    let equal = lengths.iter().all(|(_, length)| length.is_some() && *length == lengths[0].1);
    if equal {
        return Ok(true);
    }
    if target.takes_lists() {
        return Ok(false);
    }
    let shown: Vec<String> = lengths
        .iter()
        .map(|(name, length)| length.map_or(format!("{name}: one value"), |length| format!("{name}: {length}")))
        .collect();
    let detail = format!("columns must all be sequences of one length: {}", shown.join(", "));
    Err(raised(py, &Error::IngestionFailed(detail)))
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
