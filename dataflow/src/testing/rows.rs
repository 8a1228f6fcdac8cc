//! Rows as plain values, and their conversion to and from record batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};

use crate::{Diff, Time, UpdateBatch};

/// A value; equal to another exactly when SQL groups them together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// The bits of a float. It is neither -0.0 nor a NaN other than `f64::NAN`.
    Float(u64),
    Text(String),
}

impl Value {
    pub(crate) fn float(x: f64) -> Self {
        let x = if x.is_nan() { f64::NAN } else { x + 0.0 };
        Value::Float(x.to_bits())
    }
}

pub(crate) type Row = Vec<Value>;
/// Rows with their multiplicities, none of which is 0.
pub(crate) type Rows = BTreeMap<Row, Diff>;
/// An update.
pub(crate) type Change = (Row, Time, Diff);

/// Returns the times from `first` to `last`.
pub(crate) fn times(first: u64, last: Time) -> impl DoubleEndedIterator<Item = Time> {
    (first..=last.0).map(Time)
}

/// Returns the sum of the updates up to `time`.
pub(crate) fn accumulate(changes: &[Change], time: Time) -> Rows {
    let mut rows = Rows::new();
    for (row, at, diff) in changes {
        if *at <= time {
            *rows.entry(row.clone()).or_default() += diff;
        }
    }
    rows.retain(|_, diff| *diff != 0);
    rows
}

/// Returns a schema of nullable columns c0, c1, ...
pub(crate) fn schema(types: &[DataType]) -> SchemaRef {
    let field = |(i, t): (usize, &DataType)| Field::new(format!("c{i}"), t.clone(), true);
    Arc::new(Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// Returns the rows as a batch; zeros and NaNs take several forms, which must make no difference.
pub(crate) fn to_batch(schema: &SchemaRef, rows: &[&Row]) -> RecordBatch {
    let column = |c: usize| -> ArrayRef {
        let values = rows.iter().map(|row| &row[c]);
        match schema.field(c).data_type() {
            DataType::Boolean => Arc::new(values.map(to_bool).collect::<BooleanArray>()),
            DataType::Int64 => Arc::new(values.map(to_int).collect::<Int64Array>()),
            DataType::Float64 => Arc::new(values.enumerate().map(to_float).collect::<Float64Array>()),
            DataType::Utf8 => Arc::new(values.map(to_text).collect::<StringArray>()),
            other => panic!("no test values of type {other}"),
        }
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("columns of the schema")
}

fn to_bool(value: &Value) -> Option<bool> {
    if let Value::Bool(x) = value { Some(*x) } else { None }
}

fn to_int(value: &Value) -> Option<i64> {
    if let Value::Int(x) = value { Some(*x) } else { None }
}

fn to_text(value: &Value) -> Option<&str> {
    if let Value::Text(x) = value { Some(x) } else { None }
}

fn to_float((position, value): (usize, &Value)) -> Option<f64> {
    let Value::Float(bits) = value else { return None };
    let x = f64::from_bits(*bits);
    let odd = position % 2 == 1;
    Some(if x.is_nan() && odd {
        f64::from_bits(bits ^ 1)
    } else if x == 0.0 && odd {
        -0.0
    } else {
        x
    })
}

/// Returns the updates of a batch as plain values.
pub(crate) fn changes_of(batch: &UpdateBatch) -> Vec<Change> {
    let row = |i: usize| batch.rows.columns().iter().map(|column| value_at(column, i)).collect();
    (0..batch.len()).map(|i| (row(i), batch.times.at(i), batch.diffs.at(i))).collect()
}

fn value_at(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
        other => panic!("no test values of type {other}"),
    }
}
