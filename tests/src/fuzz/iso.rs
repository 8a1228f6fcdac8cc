//! Text of dates, times, timestamps and intervals: in a cast of SQL, and in a field of CSV or a value of JSON.
//!
//! A value that was read is written as SQL and as ISO 8601 write it, and both must read back as the same value. What
//! the two readers both accept, they must read alike.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNanoType, IntervalUnit, Schema, TimeUnit};
use laminardb_bridge::Error;
use laminardb_bridge::ingest::{Extra, from_csv, from_json, write_json_text};
use laminardb_bridge::relation::{Spec, StorageKind};
use laminardb_planner::scalar::{OnFailure, cast_array};

use super::{check, written};

/// Reads a text as every type of dates and times.
pub fn target(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let zone = Some("UTC".into());
    let stamps = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let stamps =
        stamps.iter().flat_map(|unit| [DataType::Timestamp(*unit, None), DataType::Timestamp(*unit, zone.clone())]);
    for data_type in [DataType::Date32, DataType::Time64(TimeUnit::Microsecond)].into_iter().chain(stamps) {
        let (cast, ingested) = (by_cast(&text, &data_type), by_ingest(&text, &data_type));
        if let (Some(cast), Some(ingested)) = (cast, ingested) {
            assert_eq!(cast.as_ref(), ingested.as_ref(), "{text:?} as {data_type}");
        }
    }
    by_cast(&text, &DataType::Interval(IntervalUnit::MonthDayNano));
}

/// Returns the value that a cast makes of a text, which must read back as it is printed.
fn by_cast(text: &str, data_type: &DataType) -> Option<ArrayRef> {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let tried = cast_array(&texts, data_type, OnFailure::Null).expect("TRY_CAST never fails");
    let value = cast_array(&texts, data_type, OnFailure::Error).ok();
    assert_eq!(value.is_some(), tried.is_valid(0), "CAST and TRY_CAST agree on {text:?} as {data_type}");
    let value = value?;
    assert_eq!(value.as_ref(), tried.as_ref());
    let printed = cast_array(&value, &DataType::Utf8, OnFailure::Error).expect("all values have text");
    if is_finer_than_text(&value) {
        return Some(value);
    }
    let again = cast_array(&printed, data_type, OnFailure::Null).expect("TRY_CAST never fails");
    assert_eq!(again.as_ref(), value.as_ref(), "{text:?} as {data_type}, printed as {printed:?}");
    Some(value)
}

/// Whether a value is an interval of nanoseconds: text with a fraction means whole microseconds, as in DuckDB.
fn is_finer_than_text(value: &ArrayRef) -> bool {
    let interval = value.as_primitive_opt::<IntervalMonthDayNanoType>().map(|values| values.value(0));
    interval.is_some_and(|interval| interval.nanoseconds % 1_000 != 0)
}

/// Returns the value that a column has for a text, which must read back as ISO 8601 writes it.
fn by_ingest(text: &str, data_type: &DataType) -> Option<ArrayRef> {
    let spec = Spec {
        name: "t".to_owned(),
        kind: StorageKind::Bag,
        schema: Arc::new(Schema::new(vec![Field::new("v", data_type.clone(), true)])),
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        defaults: vec![None],
        follow: None,
    };
    let value = of_csv(text, &spec);
    if let Some(value) = &value
        && let Some(text) = written::iso(value, 0)
    {
        assert_eq!(of_csv(&text, &spec).as_ref(), Some(value), "{text} as {data_type}");
    }
    value
}

/// Returns the value of a column for a field of CSV, which must be that for a text of JSON.
fn of_csv(text: &str, spec: &Spec) -> Option<ArrayRef> {
    let csv = from_csv(&format!("v\n\"{}\"", text.replace('"', "\"\"")), spec, Extra::Refuse, &|| Ok(()));
    let mut json = "{\"v\":".to_owned();
    write_json_text(&mut json, text);
    let json = from_json(&(json + "}"), spec, Extra::Refuse, &|| Ok(()));
    match (csv, json) {
        (Ok(csv), Ok(json)) => {
            assert_eq!(csv, json, "{text:?}");
            Some(Arc::clone(csv.first()?.column(0)))
        }
        (Err(csv), Err(json)) => {
            let why = |error: &Error| error.to_string().split_once("): ").map(|(_, why)| why.to_owned());
            assert_eq!(why(&csv), why(&json), "{text:?}");
            check(&csv, text);
            None
        }
        (csv, json) => panic!("{text:?} is {csv:?} in CSV and {json:?} in JSON"),
    }
}
