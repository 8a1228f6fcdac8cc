//! Writes rows as text that reads back as the same rows: JSON values, and ISO 8601 dates and times.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType, Float32Type, Float64Type, Int64Type, Time64MicrosecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt64Type,
};
use laminardb_bridge::ingest::write_json_text;
use laminardb_planner::calendar::{Civil, SECONDS_A_DAY, per_second};
use laminardb_planner::scalar::{OnFailure, cast_array};

/// Returns the rows of a batch as lines of JSON; `None` if a value has no text there: a number that is not finite,
/// bytes, or a year of more than nine digits.
pub(super) fn json_lines(batch: &RecordBatch) -> Option<String> {
    let mut lines = String::new();
    for row in 0..batch.num_rows() {
        let fields = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(batch.columns());
        object(&mut lines, fields, row)?;
        lines.push('\n');
    }
    Some(lines)
}

/// Returns the rows of a batch as CSV with a header; `None` if a value has no text there.
pub(super) fn csv(batch: &RecordBatch) -> Option<String> {
    let names = batch.schema_ref().fields().iter().map(|field| quoted(field.name())).collect::<Vec<_>>();
    let mut lines = names.join(",") + "\n";
    for row in 0..batch.num_rows() {
        let fields = batch.columns().iter().map(|column| field(column, row)).collect::<Option<Vec<_>>>()?;
        lines += &(fields.join(",") + "\n");
    }
    Some(lines)
}

/// Returns a field of CSV: without quotes only for NULL.
fn field(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return Some(String::new());
    }
    let text = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Float32 => {
            float(column.as_primitive::<Float32Type>().value(row).into(), &|value| format!("{:?}", value as f32))
        }
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row), &|value| format!("{value:?}")),
        DataType::List(_) | DataType::Struct(_) => value_text(column, row)?,
        _ => value_text(column, row)?.trim_matches('"').to_owned(),
    };
    Some(quoted(&text))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Returns the text of a float, with the sign of one that is no number.
fn float(value: f64, finite: &dyn Fn(f64) -> String) -> String {
    match value.is_nan() && value.is_sign_negative() {
        true => "-NaN".to_owned(),
        false => finite(value),
    }
}

fn value_text(column: &ArrayRef, row: usize) -> Option<String> {
    let mut text = String::new();
    value(&mut text, column, row)?;
    Some(text)
}

fn object<'a>(out: &mut String, fields: impl Iterator<Item = (&'a str, &'a ArrayRef)>, row: usize) -> Option<()> {
    out.push('{');
    for (place, (name, column)) in fields.enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_json_text(out, name);
        out.push(':');
        value(out, column, row)?;
    }
    out.push('}');
    Some(())
}

/// Writes a value as JSON.
fn value(out: &mut String, column: &ArrayRef, row: usize) -> Option<()> {
    if column.is_null(row) {
        out.push_str("null");
        return Some(());
    }
    match column.data_type() {
        DataType::Boolean => write!(out, "{}", column.as_boolean().value(row)).ok(),
        DataType::Utf8 => {
            write_json_text(out, column.as_string::<i32>().value(row));
            Some(())
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push(',');
                }
                value(out, &items, item)?;
            }
            out.push(']');
            Some(())
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            object(out, fields.iter().map(|field| field.name().as_str()).zip(columns), row)
        }
        data_type if data_type.is_numeric() => number(out, column, row),
        _ => write!(out, "\"{}\"", iso(column, row)?).ok(),
    }
}

fn number(out: &mut String, column: &ArrayRef, row: usize) -> Option<()> {
    match column.data_type() {
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            value.is_finite().then(|| write!(out, "{value:?}").ok())?
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            value.is_finite().then(|| write!(out, "{value:?}").ok())?
        }
        DataType::Decimal128(precision, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            write!(out, "{}", Decimal128Type::format_decimal(value, *precision, *scale)).ok()
        }
        DataType::UInt64 => write!(out, "{}", column.as_primitive::<UInt64Type>().value(row)).ok(),
        integer if integer.is_integer() => {
            let wide = cast_array(&column.slice(row, 1), &DataType::Int64, OnFailure::Error).expect("it is no larger");
            write!(out, "{}", wide.as_primitive::<Int64Type>().value(0)).ok()
        }
        _ => None,
    }
}

/// Returns the ISO 8601 text of a date, time of day or timestamp; `None` for a year of more than nine digits, and for
/// values of other types.
pub(super) fn iso(column: &ArrayRef, row: usize) -> Option<String> {
    let count = |unit| {
        Some(match unit {
            TimeUnit::Second => column.as_primitive_opt::<TimestampSecondType>()?.value(row),
            TimeUnit::Millisecond => column.as_primitive_opt::<TimestampMillisecondType>()?.value(row),
            TimeUnit::Microsecond => column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row),
            TimeUnit::Nanosecond => column.as_primitive_opt::<TimestampNanosecondType>()?.value(row),
        })
    };
    match column.data_type() {
        DataType::Date32 => date(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Time64(TimeUnit::Microsecond) => {
            Some(time(column.as_primitive::<Time64MicrosecondType>().value(row), 1_000_000))
        }
        DataType::Timestamp(unit, zone) => {
            let (second, count) = (per_second(*unit), count(*unit)?);
            let days = count.div_euclid(SECONDS_A_DAY * second);
            let of_day = time(count.rem_euclid(SECONDS_A_DAY * second), second);
            Some(format!("{}T{of_day}{}", date(days)?, if zone.is_some() { "Z" } else { "" }))
        }
        _ => None,
    }
}

fn date(days: i64) -> Option<String> {
    let Civil { year, month, day } = Civil::of_days(days);
    let year = if (0..10_000).contains(&year) { format!("{year:04}") } else { format!("{year:+05}") };
    (year.len() <= 10).then(|| format!("{year}-{month:02}-{day:02}"))
}

/// Returns the text of a time of day that is a number of units, of which `second` make a second.
fn time(count: i64, second: i64) -> String {
    let (seconds, fraction) = (count / second, count % second);
    let digits = second.ilog10() as usize;
    let fraction = if digits == 0 { String::new() } else { format!(".{fraction:0digits$}") };
    format!("{:02}:{:02}:{:02}{fraction}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
