//! Converts given rows into rows of a relation: columns are matched by name and cast without loss, or refused.
//!
//! Either exactly what was given is stored, or nothing of the batch. No cast rounds, except from a double to a REAL
//! column and from a decimal to a column of floats, which store the nearest value.

mod cast;
mod cells;
mod column;
mod csv;
pub mod decimal;
mod display;
mod exact;
mod iso;
mod json;
mod json_text;
mod names;
mod number;
mod refused;
mod room;
mod rows;
#[cfg(test)]
mod tests;
mod text;
mod text_cells;
mod time;
mod valid;
mod value;
mod walk;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Float64Type, Schema, SchemaRef};
use laminardb_planner::statement::type_name;

use crate::batch::with_columns;
use crate::error::Error;
use crate::relation::Spec;
pub use cells::Cells;
pub use column::{ColumnBuilder, column_builder, json_builder};
pub use csv::from_csv;
pub(crate) use display::display;
pub use exact::Number;
pub use json::from_json;
pub use json_text::{write_json_double, write_json_single, write_json_text};
pub use names::Extra;
use names::match_columns;
pub use refused::Why;
use refused::{Refused, first_null, with_nulls};
pub use room::{MOST_ROWS, Room};
pub use text::from_utf8;
pub use time::Moment;
pub use valid::{Foreign, own};

/// Converts rows to a relation's schema: columns are matched by name, in any order, and cast without loss; a missing
/// column gets its default or NULL. `first_row` is the position of the batch's first row in the caller's data, for
/// messages.
pub fn conform(batch: &RecordBatch, spec: &Spec, first_row: usize) -> Result<RecordBatch, Error> {
    if Arc::ptr_eq(batch.schema_ref(), &spec.schema) {
        return Ok(batch.clone());
    }
    let places = match_columns(batch.schema_ref(), &spec.schema).map_err(|why| why.in_relation(&spec.name))?;
    let fit = |(column, field): (usize, &Arc<Field>)| {
        let destination = Destination { spec, field, column, first_row };
        match places[column] {
            Some(given) => destination.fit(batch.column(given)),
            None => destination.fill(spec.defaults.get(column).and_then(Option::as_ref), batch.num_rows()),
        }
    };
    let columns = spec.schema.fields().iter().enumerate().map(fit).collect::<Result<_, Error>>()?;
    Ok(with_columns(&spec.schema, columns, batch.num_rows()))
}

/// Converts rows to the key columns of a relation, whose schema is `key`. Other columns of the relation may be present
/// and are ignored.
pub fn conform_key(batch: &RecordBatch, spec: &Spec, key: &SchemaRef, first_row: usize) -> Result<RecordBatch, Error> {
    let places = match_columns(batch.schema_ref(), &spec.schema).map_err(|why| why.in_relation(&spec.name))?;
    let fit = |(column, field): (&usize, &Arc<Field>)| {
        let destination = Destination { spec, field, column: *column, first_row };
        match places[*column] {
            Some(given) => destination.fit(batch.column(given)),
            None => Err(Error::IngestionFailed(format!("key column {} of {} is missing", field.name(), spec.name))),
        }
    };
    let columns = spec.primary_key.iter().zip(key.fields()).map(fit).collect::<Result<_, Error>>()?;
    Ok(with_columns(key, columns, batch.num_rows()))
}

/// Rows that give some columns of a relation: by position there, the values of those that are given.
pub(crate) type PartialRows = Vec<Option<ArrayRef>>;

/// Converts the columns of a relation that the rows give; those left out stay so.
pub(crate) fn conform_given(batch: &RecordBatch, spec: &Spec, first_row: usize) -> Result<PartialRows, Error> {
    let places = match_columns(batch.schema_ref(), &spec.schema).map_err(|why| why.in_relation(&spec.name))?;
    let fit = |(column, (place, field)): (usize, (Option<usize>, &Arc<Field>))| {
        let destination = Destination { spec, field, column, first_row };
        place.map(|given| destination.fit(batch.column(given))).transpose()
    };
    places.into_iter().zip(spec.schema.fields()).enumerate().map(fit).collect()
}

/// Replaces every NaN in columns of floats by NULL, which is what pandas means by NaN.
#[must_use]
pub fn nan_as_null(batch: &RecordBatch) -> RecordBatch {
    let clean = |column: &ArrayRef| {
        let is_nan = match column.data_type() {
            DataType::Float16 => positions(column.as_primitive::<Float16Type>().values(), |v| v.is_nan()),
            DataType::Float32 => positions(column.as_primitive::<Float32Type>().values(), |v| v.is_nan()),
            DataType::Float64 => positions(column.as_primitive::<Float64Type>().values(), |v| v.is_nan()),
            _ => return Arc::clone(column),
        };
        if is_nan.count_set_bits() == 0 {
            return Arc::clone(column);
        }
        let nulls = NullBuffer::union(column.nulls(), Some(&NullBuffer::new(!&is_nan)));
        with_nulls(column, nulls)
    };
    let fields = batch.schema_ref().fields().iter().map(|field| Field::clone(field).with_nullable(true));
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), batch.schema_ref().metadata().clone());
    with_columns(&Arc::new(schema), batch.columns().iter().map(clean).collect(), batch.num_rows())
}

/// Returns the value of a DEFAULT, an array of one row, as a column of `data_type` stores it; fails, with the reason, if
/// the column cannot hold exactly that value.
pub(crate) fn default_of(value: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    cast::cast(value, data_type).map_err(|refused| {
        let why = match refused.why {
            Why::Null => "NULL is inside of it, where the column has none",
            Why::Value(ref why) => why,
        };
        format!("{} cannot be stored as {}: {why}", display(value, 0), type_name(data_type))
    })
}

fn positions<T>(values: &[T], of: impl Fn(&T) -> bool) -> BooleanBuffer {
    values.iter().map(of).collect()
}

/// The column that values are stored in.
struct Destination<'a> {
    spec: &'a Spec,
    field: &'a Field,
    /// Its position in the relation.
    column: usize,
    first_row: usize,
}

impl Destination<'_> {
    fn fit(&self, given: &ArrayRef) -> Result<ArrayRef, Error> {
        let stored = if self.spec.is_json(self.column) {
            json_text::to_json(given)
        } else {
            cast::cast(given, self.field.data_type())
        };
        let array = stored.map_err(|refused| self.refused(given, &refused))?;
        self.check_nulls(&array, "")?;
        Ok(array)
    }

    /// Returns the default, or NULL, in each of `rows` rows.
    fn fill(&self, default: Option<&ArrayRef>, rows: usize) -> Result<ArrayRef, Error> {
        let array = match default {
            Some(value) => {
                let value =
                    cast::cast(value, self.field.data_type()).map_err(|refused| self.refused(value, &refused))?;
                if rows == 1 { value } else { repeat(&value, rows) }
            }
            None => new_null_array(self.field.data_type(), rows),
        };
        self.check_nulls(&array, ", which the data leaves out")?;
        Ok(array)
    }

    fn check_nulls(&self, array: &ArrayRef, note: &str) -> Result<(), Error> {
        match first_null(array) {
            Some(row) if !self.field.is_nullable() => Err(self.null(row, note)),
            _ => Ok(()),
        }
    }

    fn null(&self, row: usize, note: &str) -> Error {
        let (column, relation, row) = (self.field.name(), &self.spec.name, self.first_row + row);
        Error::MissingValue(format!("row {row}: NULL in column {column} of {relation}{note}: the column is NOT NULL"))
    }

    fn refused(&self, given: &ArrayRef, refused: &Refused) -> Error {
        let why = match &refused.why {
            Why::Null => return self.null(refused.row, " (inside its value)"),
            Why::Value(why) => why,
        };
        let (column, relation, row) = (self.field.name(), &self.spec.name, self.first_row + refused.row);
        let (value, data_type) = (display(given, refused.row), self.spec.type_name(self.column));
        Error::BatchSchemaMismatch(format!(
            "row {row}: {value} cannot be stored in column {column} ({data_type}) of {relation}: {why}"
        ))
    }
}

fn repeat(value: &ArrayRef, rows: usize) -> ArrayRef {
    take(value, &UInt32Array::from(vec![0; rows]), None).expect("the value is there")
}
