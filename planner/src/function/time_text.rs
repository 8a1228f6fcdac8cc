//! Conversions of times to and from texts and numbers: `to_char`, the `to_timestamp` functions, `to_unixtime`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::own::{Definition, is_text};
use super::time::TIMESTAMP;
use crate::calendar::{SECOND, in_unit, micros, of_counts, per_second};
use crate::scalar::{OnFailure, cast_array};

pub(super) static TO_CHAR: Definition = Definition {
    name: "to_char",
    aliases: &["date_format"],
    takes: |types| match types {
        [of, format] if is_text(format) => {
            let of = match of {
                // A pattern may ask for the time of day even if the argument is a date.
                DataType::Date32 | DataType::Null => TIMESTAMP,
                DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => {
                    of.clone()
                }
                _ => return None,
            };
            Some(vec![of, DataType::Utf8])
        }
        _ => None,
    },
    gives: |_| Ok(DataType::Utf8),
    values: to_char,
};

fn to_char(args: &[ArrayRef], _to: &DataType) -> Result<ArrayRef> {
    let (times, formats) = (&args[0], args[1].as_string::<i32>());
    let mut texts = StringBuilder::with_capacity(times.len(), times.len() * 16);
    let mut row = 0;
    while row < times.len() {
        // Consecutive rows with the same format are written together; usually these are all rows.
        let same = |other: &usize| {
            formats.is_valid(*other) == formats.is_valid(row) && formats.value(*other) == formats.value(row)
        };
        let end = (row..times.len()).take_while(same).last().map_or(row + 1, |last| last + 1);
        if formats.is_null(row) {
            texts.append_nulls(end - row);
        } else {
            write_run(&times.slice(row, end - row), formats.value(row), &mut texts)?;
        }
        row = end;
    }
    Ok(Arc::new(texts.finish()))
}

fn write_run(times: &ArrayRef, format: &str, texts: &mut StringBuilder) -> Result<()> {
    let iso = "ISO8601".eq_ignore_ascii_case(format);
    let options = FormatOptions::default()
        .with_timestamp_format(Some(format))
        .with_timestamp_tz_format(Some(format))
        .with_time_format(Some(format))
        .with_duration_format(if iso { DurationFormat::ISO8601 } else { DurationFormat::Pretty });
    let formatter = ArrayFormatter::try_new(times.as_ref(), &options)?;
    for row in 0..times.len() {
        if times.is_null(row) {
            texts.append_null();
        } else {
            let text = formatter.value(row).try_to_string();
            texts.append_value(text.map_err(|_| exec_datafusion_err!("to_char: '{format}' is no pattern for this"))?);
        }
    }
    Ok(())
}

macro_rules! to_timestamps {
    ($($function:ident, $name:literal, $unit:ident;)*) => { $(
        pub(super) static $function: Definition = Definition {
            name: $name,
            aliases: &[],
            takes: timestamp_arguments,
            gives: |_| Ok(DataType::Timestamp(TimeUnit::$unit, None)),
            values: timestamps,
        };
    )* };
}
to_timestamps! {
    TO_TIMESTAMP_SECONDS, "to_timestamp_seconds", Second;
    TO_TIMESTAMP_MILLIS, "to_timestamp_millis", Millisecond;
    TO_TIMESTAMP_MICROS, "to_timestamp_micros", Microsecond;
    TO_TIMESTAMP_NANOS, "to_timestamp_nanos", Nanosecond;
}

pub(super) static TO_TIMESTAMP: Definition = Definition {
    name: "to_timestamp",
    aliases: &[],
    takes: timestamp_arguments,
    gives: |_| Ok(TIMESTAMP),
    values: |args, to| match args[0].data_type() {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => of_counts(seconds_as_micros(&args[0])?, to),
        _ => timestamps(args, to),
    },
};

pub(super) static TO_UNIXTIME: Definition = Definition {
    name: "to_unixtime",
    aliases: &[],
    takes: timestamp_arguments,
    gives: |_| Ok(DataType::Int64),
    values: |args, _| match args[0].data_type() {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(..) => {
            cast_array(&args[0], &DataType::Int64, OnFailure::Error)
        }
        _ => {
            let micros = micros(&timestamps(args, &TIMESTAMP)?)?;
            Ok(Arc::new(micros.unary::<_, Int64Type>(|micros| micros.div_euclid(SECOND))))
        }
    },
};

/// Accepts a number, a date, a timestamp, or a text with optional patterns.
fn timestamp_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    let (of, formats) = types.split_first()?;
    if !formats.iter().all(is_text) || (!formats.is_empty() && !is_text(of)) {
        return None;
    }
    let of = match of {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Decimal128(..) => of.clone(),
        integer if integer.is_integer() => DataType::Int64,
        float if float.is_floating() => DataType::Float64,
        text if is_text(text) => DataType::Utf8,
        _ => return None,
    };
    Some(std::iter::once(of).chain(formats.iter().map(|_| DataType::Utf8)).collect())
}

/// Converts arguments to timestamps; a number counts in the unit of the result.
fn timestamps(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, _) = to else { return exec_err!("{to} is not a timestamp") };
    match args[0].data_type() {
        DataType::Int64 => of_counts(args[0].as_primitive::<Int64Type>().clone(), to),
        DataType::Float64 | DataType::Decimal128(..) => {
            let counts = cast_array(&args[0], &DataType::Int64, OnFailure::Error)?;
            of_counts(counts.as_primitive::<Int64Type>().clone(), to)
        }
        DataType::Utf8 if args.len() > 1 => by_patterns(args, *unit, to),
        _ => cast_array(&args[0], to, OnFailure::Error),
    }
}

/// Reads each text by the first of its patterns that fits.
fn by_patterns(args: &[ArrayRef], unit: TimeUnit, to: &DataType) -> Result<ArrayRef> {
    let texts = args[0].as_string::<i32>();
    let patterns: Vec<&StringArray> = args[1..].iter().map(|arg| arg.as_string::<i32>()).collect();
    let read = |(row, text): (usize, Option<&str>)| {
        let Some(text) = text else { return Ok(None) };
        let mut given = patterns.iter().filter(|pattern| pattern.is_valid(row)).map(|pattern| pattern.value(row));
        let read = given.find_map(|pattern| by_pattern(text, pattern));
        let Some(moment) = read else { return exec_err!("no pattern reads the timestamp '{text}'") };
        let (seconds, nanoseconds) = (moment.and_utc().timestamp(), moment.and_utc().timestamp_subsec_nanos());
        let fraction = in_unit(nanoseconds.into(), TimeUnit::Nanosecond, unit);
        let whole = seconds.checked_mul(per_second(unit));
        match whole.zip(fraction).and_then(|(whole, fraction)| whole.checked_add(fraction)) {
            Some(count) => Ok(Some(count)),
            None => exec_err!("the timestamp '{text}' is out of range"),
        }
    };
    of_counts(texts.iter().enumerate().map(read).collect::<Result<Int64Array>>()?, to)
}

fn by_pattern(text: &str, pattern: &str) -> Option<NaiveDateTime> {
    let zoned = || DateTime::parse_from_str(text, pattern).ok().map(|moment| moment.naive_utc());
    let date = || NaiveDate::parse_from_str(text, pattern).ok()?.and_hms_opt(0, 0, 0);
    zoned().or_else(|| NaiveDateTime::parse_from_str(text, pattern).ok()).or_else(date)
}

/// Converts seconds, possibly with a fraction, to the nearest microseconds.
fn seconds_as_micros(seconds: &ArrayRef) -> Result<Int64Array> {
    let out_of_range = || exec_datafusion_err!("the number of seconds is out of range of TIMESTAMP");
    match seconds.data_type() {
        DataType::Int64 => seconds
            .as_primitive::<Int64Type>()
            .try_unary(|seconds| seconds.checked_mul(SECOND).ok_or_else(out_of_range)),
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            seconds.as_primitive::<Decimal128Type>().try_unary(|value| {
                // Whole seconds are converted separately: a number of 38 digits times a million would overflow.
                let whole = i64::try_from(value / unit).map_err(|_| out_of_range())?;
                let fraction = (value % unit) as f64 / unit as f64 * SECOND as f64;
                let whole = whole.checked_mul(SECOND).ok_or_else(out_of_range)?;
                whole.checked_add(fraction.round() as i64).ok_or_else(out_of_range)
            })
        }
        _ => seconds.as_primitive::<Float64Type>().try_unary(|seconds| {
            let micros = (seconds * SECOND as f64).round();
            if micros.abs() < i64::MAX as f64 { Ok(micros as i64) } else { Err(out_of_range()) }
        }),
    }
}
