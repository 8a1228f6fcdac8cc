//! `RowBuilder`: collects the values of a text by column and makes batches of a relation's rows from them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{Field, FieldRef};

use super::cast::cast;
use super::column::{ColumnBuilder, column_builder, json_builder};
use super::display::display;
use super::names::{Extra, Unmatched, match_name};
use super::refused::Why;
use super::text_cells::TextCells;
use super::value::Value;
use crate::batch::with_columns;
use crate::error::Error;
use crate::relation::Spec;

/// Why a row is refused, without its position.
#[derive(Debug)]
pub(super) enum Problem {
    /// A NOT NULL column has no value (error code 300).
    Null(String),
    /// The value or name does not fit the relation (error code 302).
    Unfit(String),
}

impl Problem {
    /// Makes the error for row number `row`, counted from 0, which begins at `line`, counted from 1.
    pub(super) fn at(self, row: usize, line: usize) -> Error {
        let place = |why| format!("row {row} (line {line}): {why}");
        match self {
            Problem::Null(why) => Error::MissingValue(place(why)),
            Problem::Unfit(why) => Error::BatchSchemaMismatch(place(why)),
        }
    }
}

/// The number of rows that columns reserve room for; they grow, so that a text of one row costs little.
const ROOM: usize = 64;

/// The rows of a relation, as they are read from a text.
pub(super) struct RowBuilder<'s> {
    spec: &'s Spec,
    extra: Extra,
    columns: Vec<Box<dyn ColumnBuilder<TextCells>>>,
    /// The value of each column in rows that leave it out; `None` for NULL.
    defaults: Vec<Option<ArrayRef>>,
    /// For columns with a default, whether each row of the current batch leaves out the column.
    left_out: Vec<Vec<bool>>,
    /// Columns that the current row has so far.
    given: Vec<bool>,
    /// Number of rows in the current batch; `before` counts those of earlier batches.
    rows: usize,
    before: usize,
    /// Position in the text where the current batch begins.
    begins: usize,
    batches: Vec<RecordBatch>,
}

impl<'s> RowBuilder<'s> {
    pub(super) fn new(spec: &'s Spec, extra: Extra) -> Result<Self, Error> {
        let fields = spec.schema.fields();
        let default = |(column, field): (usize, &FieldRef)| {
            let Some(value) = spec.defaults.get(column).and_then(Option::as_ref) else { return Ok(None) };
            let fit = cast(value, field.data_type()).map_err(|_| {
                let (name, column, value) = (&spec.name, field.name(), display(value, 0));
                Error::BatchSchemaMismatch(format!("the DEFAULT {value} of column {column} of {name} does not fit it"))
            })?;
            Ok(Some(fit).filter(|value| value.is_valid(0)))
        };
        let builder = |(column, field): (usize, &FieldRef)| match spec.is_json(column) {
            true => json_builder(TextCells, ROOM),
            false => column_builder(TextCells, field.data_type(), ROOM),
        };
        Ok(RowBuilder {
            spec,
            extra,
            columns: fields.iter().enumerate().map(builder).collect(),
            defaults: fields.iter().enumerate().map(default).collect::<Result<_, Error>>()?,
            left_out: vec![Vec::new(); fields.len()],
            given: vec![false; fields.len()],
            rows: 0,
            before: 0,
            begins: 0,
            batches: Vec::new(),
        })
    }

    /// Returns the position of the current row among all rows.
    pub(super) fn row(&self) -> usize {
        self.before + self.rows
    }

    /// Finds the column called `name`; looks at position `likely` first. Returns `None` if its values are left out.
    pub(super) fn find(&self, name: &str, likely: usize) -> Result<Option<usize>, Problem> {
        match match_name(name, likely, &self.spec.schema) {
            Err(Unmatched::Unknown(_)) if self.extra == Extra::Ignore => Ok(None),
            found => found.map(Some).map_err(|why| self.unmatched(&why)),
        }
    }

    pub(super) fn unmatched(&self, why: &Unmatched) -> Problem {
        Problem::Unfit(why.in_relation(&self.spec.name).to_string())
    }

    /// Sets the value of a column in the current row. Fails if the column has one already or the value does not fit.
    pub(super) fn append(&mut self, column: usize, value: &Value<'_>) -> Result<(), Problem> {
        let field = self.spec.schema.field(column);
        if std::mem::replace(&mut self.given[column], true) {
            return Err(self.unmatched(&Unmatched::Twice(field.name().clone())));
        }
        if matches!(value, Value::Null) && !field.is_nullable() {
            return Err(self.null(field, ""));
        }
        if let Err(why) = self.columns[column].append(value) {
            return Err(match why {
                Why::Null => self.null(field, " (inside its value)"),
                Why::Value(why) => self.refused(column, value, &why),
            });
        }
        if self.defaults[column].is_some() {
            self.left_out[column].push(false);
        }
        Ok(())
    }

    /// Ends the current row; `at` is its end in the text.
    pub(super) fn end_row(&mut self, at: usize) -> Result<(), Problem> {
        // So few bytes that the 32-bit offsets of a batch cannot overflow, unless a single row is huge.
        const ROWS: usize = 65_536;
        const BYTES: usize = 64 << 20;
        for column in 0..self.columns.len() {
            if std::mem::take(&mut self.given[column]) {
                continue;
            }
            if self.defaults[column].is_some() {
                self.left_out[column].push(true);
            } else if !self.spec.schema.field(column).is_nullable() {
                return Err(self.null(self.spec.schema.field(column), ", which the data leaves out"));
            }
            self.columns[column].append_null();
        }
        self.rows += 1;
        if self.rows == ROWS || at - self.begins >= BYTES {
            self.begins = at;
            self.end_batch();
        }
        Ok(())
    }

    /// Returns all rows.
    pub(super) fn finish(mut self) -> Vec<RecordBatch> {
        if self.rows > 0 {
            self.end_batch();
        }
        self.batches
    }

    fn end_batch(&mut self) {
        let finish = |((values, default), left_out): ((ArrayRef, &Option<ArrayRef>), &mut Vec<bool>)| match default {
            Some(default) if left_out.contains(&true) => {
                let left_out = BooleanArray::from(std::mem::take(left_out));
                zip(&left_out, &Scalar::new(Arc::clone(default)), &values).expect("two arrays of one type")
            }
            _ => {
                left_out.clear();
                values
            }
        };
        let values = self.columns.iter_mut().map(|column| column.finish());
        let columns = values.zip(&self.defaults).zip(&mut self.left_out).map(finish).collect();
        self.batches.push(with_columns(&self.spec.schema, columns, self.rows));
        self.before += self.rows;
        self.rows = 0;
    }

    fn null(&self, field: &Field, note: &str) -> Problem {
        let (column, relation) = (field.name(), &self.spec.name);
        Problem::Null(format!("NULL in column {column} of {relation}{note}: the column is NOT NULL"))
    }

    fn refused(&self, column: usize, value: &Value<'_>, why: &str) -> Problem {
        let (relation, data_type) = (&self.spec.name, self.spec.type_name(column));
        let column = self.spec.schema.field(column).name();
        let value = value.display();
        Problem::Unfit(format!("{value} cannot be stored in column {column} ({data_type}) of {relation}: {why}"))
    }
}
