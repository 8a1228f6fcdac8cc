//! Converts values given as text into columns of a relation's own types, exactly or not at all.
//!
//! JSON and CSV are cut into [`Value`]s, which are still text: a number reaches its column as digits and is parsed
//! there once, as the column's type. [`Rows`] collects the values by column and makes the batches.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBuilder, ListArray, NullBufferBuilder, PrimitiveBuilder, RecordBatch, Scalar,
    StringBuilder, StructArray, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use laminardb_planner::numeral::Numeral;
use laminardb_planner::statement::type_name;

use super::cast::{OUT_OF_RANGE, Reason, Why, cast};
use super::number::{FRACTION, MORE_DIGITS, NOT_EXACT, NUMBERS_ONLY};
use super::{Unmatched, decimal, display, iso, json, match_name, nested, unmatched};
use crate::error::Error;
use crate::store::{Spec, with_columns};
use laminardb_dataflow::CancelToken;

/// A value cut out of a text but not parsed yet.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A JSON number, as written.
    Number(&'a str),
    /// The text of a JSON string.
    Text(Cow<'a, str>),
    /// A JSON string, as written, that is not valid text: it has half of a surrogate pair.
    Torn(&'a str),
    /// A JSON list, as written.
    List(&'a str),
    /// A JSON object, as written.
    Object(&'a str),
    /// A CSV field: text for whatever type its column has.
    Field(&'a str),
}

impl Value<'_> {
    /// Formats the value for messages.
    fn display(&self) -> String {
        const LONGEST: usize = 200;
        let (text, quoted) = match self {
            Value::Null => return "NULL".to_owned(),
            Value::Bool(value) => return value.to_string(),
            Value::Number(text) | Value::Torn(text) | Value::List(text) | Value::Object(text) => (*text, false),
            Value::Text(text) => (&**text, true),
            Value::Field(text) => (*text, true),
        };
        let text = match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text.to_owned(),
        };
        if quoted { format!("'{text}'") } else { text }
    }
}

/// A column under construction.
pub(super) trait Column {
    /// Appends a value other than NULL.
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why>;

    fn null(&mut self);

    /// Returns the values as an array and leaves the column empty.
    fn finish(&mut self) -> ArrayRef;

    fn append(&mut self, value: &Value<'_>) -> Result<(), Why> {
        match value {
            Value::Null => self.null(),
            Value::Torn(_) => return Err(Why::Value("it has half of a surrogate pair, which is no text".to_owned())),
            value => self.take(value)?,
        }
        Ok(())
    }
}

/// Makes an empty column of `data_type`.
pub(super) fn column(data_type: &DataType) -> Box<dyn Column> {
    match data_type {
        DataType::Boolean => Box::new(Booleans(BooleanBuilder::new())),
        DataType::Int8 => primitive::<Int8Type>(data_type, integer),
        DataType::Int16 => primitive::<Int16Type>(data_type, integer),
        DataType::Int32 => primitive::<Int32Type>(data_type, integer),
        DataType::Int64 => primitive::<Int64Type>(data_type, integer),
        DataType::UInt8 => primitive::<UInt8Type>(data_type, integer),
        DataType::UInt16 => primitive::<UInt16Type>(data_type, integer),
        DataType::UInt32 => primitive::<UInt32Type>(data_type, integer),
        DataType::UInt64 => primitive::<UInt64Type>(data_type, integer),
        DataType::Float32 => primitive::<Float32Type>(data_type, float),
        DataType::Float64 => primitive::<Float64Type>(data_type, float),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            primitive::<Decimal128Type>(data_type, move |value| exact_decimal(value, precision, scale))
        }
        DataType::Utf8 => Box::new(Texts(StringBuilder::new())),
        DataType::Date32 => primitive::<Date32Type>(data_type, |value| iso::date(written(value)?)),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(data_type, |value| iso::time(written(value)?))
        }
        DataType::Timestamp(unit, zone) => {
            let read = if zone.is_some() { iso::instant } else { iso::timestamp };
            match unit {
                TimeUnit::Second => timestamps::<TimestampSecondType>(data_type, read),
                TimeUnit::Millisecond => timestamps::<TimestampMillisecondType>(data_type, read),
                TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(data_type, read),
                TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(data_type, read),
            }
        }
        DataType::List(field) => Box::new(Lists {
            field: Arc::clone(field),
            elements: column(field.data_type()),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }),
        DataType::Struct(fields) => Box::new(Structs {
            fields: fields.clone(),
            schema: Schema::new(fields.clone()),
            columns: fields.iter().map(|field| column(field.data_type())).collect(),
            nulls: NullBufferBuilder::new(0),
        }),
        other => Box::new(Nulls { data_type: other.clone(), rows: 0 }),
    }
}

/// A column of fixed-width values; `read` parses one.
struct Primitive<T: ArrowPrimitiveType, F> {
    values: PrimitiveBuilder<T>,
    read: F,
}

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    read: impl Fn(&Value<'_>) -> Result<T::Native, Reason> + 'static,
) -> Box<dyn Column> {
    Box::new(Primitive { values: PrimitiveBuilder::<T>::new().with_data_type(data_type.clone()), read })
}

fn timestamps<T: ArrowTimestampType>(
    data_type: &DataType,
    read: fn(&str, TimeUnit) -> Result<i64, Reason>,
) -> Box<dyn Column> {
    primitive::<T>(data_type, move |value| read(written(value)?, T::UNIT))
}

impl<T: ArrowPrimitiveType, F: Fn(&Value<'_>) -> Result<T::Native, Reason>> Column for Primitive<T, F> {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let value = (self.read)(value).map_err(|why| Why::Value(why.to_owned()))?;
        self.values.append_value(value);
        Ok(())
    }

    fn null(&mut self) {
        self.values.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.values.finish())
    }
}

/// Returns the text of a number.
fn number<'a>(value: &'a Value<'_>) -> Result<&'a str, Reason> {
    match value {
        Value::Number(text) => Ok(text),
        Value::Field(text) if is_number(text) => Ok(text),
        Value::Field(_) => Err("it is no number"),
        _ => Err(NUMBERS_ONLY),
    }
}

/// Whether `text` is an optional sign, digits with or without a point, and an optional exponent.
fn is_number(text: &str) -> bool {
    Numeral::parse(text).is_some()
}

fn integer<N: TryFrom<i128>>(value: &Value<'_>) -> Result<N, Reason> {
    let text = number(value)?;
    // Integers with an exponent, a zero fraction or more digits than an i64 take the slow way.
    let exact = match text.parse::<i64>() {
        Ok(value) => value.into(),
        Err(_) => decimal::parse(text, 38, 0).ok_or_else(|| {
            let is_small = text.parse::<f64>().is_ok_and(|value| value.abs() < 1e38);
            if is_small { FRACTION } else { OUT_OF_RANGE }
        })?,
    };
    N::try_from(exact).map_err(|_| OUT_OF_RANGE)
}

/// Returns the nearest float; an integer must be represented exactly.
fn float<F: FromStr + Into<f64> + Copy>(value: &Value<'_>) -> Result<F, Reason> {
    const WRITTEN: Reason = "it is no number";
    if let Value::Field(text) = value
        && !is_number(text)
    {
        // Only NaN and the infinities are left.
        return text.parse().map_err(|_| WRITTEN);
    }
    let text = number(value)?;
    let float: F = text.parse().map_err(|_| WRITTEN)?;
    let wide: f64 = float.into();
    if wide.is_infinite() {
        return Err(OUT_OF_RANGE);
    }
    let digits = text.trim_start_matches(['+', '-']);
    // All integers of at most 7 digits are exact floats, double and single.
    if digits.len() > 7 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let digits = digits.trim_start_matches('0');
        if format!("{:.0}", wide.abs()) != if digits.is_empty() { "0" } else { digits } {
            return Err(NOT_EXACT);
        }
    }
    Ok(float)
}

fn exact_decimal(value: &Value<'_>, precision: u8, scale: i8) -> Result<i128, Reason> {
    let text = match value {
        // Programs write decimals as strings because JSON readers may turn numbers into doubles.
        Value::Text(text) if is_number(text) => text,
        value => number(value)?,
    };
    decimal::parse(text, precision, scale).ok_or(MORE_DIGITS)
}

/// Returns the text of a date or time.
fn written<'a>(value: &'a Value<'_>) -> Result<&'a str, Reason> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Field(text) => Ok(text),
        _ => Err("only ISO 8601 text can be"),
    }
}

struct Booleans(BooleanBuilder);

impl Column for Booleans {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let is = |text: &str, names: [&str; 3]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
        self.0.append_value(match value {
            Value::Bool(value) => *value,
            Value::Field(text) if is(text, ["true", "t", "1"]) => true,
            Value::Field(text) if is(text, ["false", "f", "0"]) => false,
            Value::Field(_) => return Err(Why::Value("only true, false, t, f, 1 and 0 can be".to_owned())),
            _ => return Err(Why::Value("only booleans can be".to_owned())),
        });
        Ok(())
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

struct Texts(StringBuilder);

impl Column for Texts {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let text = match value {
            Value::Text(text) => text,
            Value::Field(text) => *text,
            _ => return Err(Why::Value("only text can be".to_owned())),
        };
        if self.0.values_slice().len() + text.len() > i32::MAX as usize {
            return Err(Why::Value("the batch holds more than the 2 GiB that one can".to_owned()));
        }
        self.0.append_value(text);
        Ok(())
    }

    fn null(&mut self) {
        self.0.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// A column of a type that has no text form, mainly bytes: it can only be NULL.
struct Nulls {
    data_type: DataType,
    rows: usize,
}

impl Column for Nulls {
    fn take(&mut self, _value: &Value<'_>) -> Result<(), Why> {
        let bytes = self.data_type == DataType::Binary;
        Err(Why::Value(if bytes { "only bytes can be, and text has none" } else { "no text can be" }.to_owned()))
    }

    fn null(&mut self) {
        self.rows += 1;
    }

    fn finish(&mut self) -> ArrayRef {
        new_null_array(&self.data_type, std::mem::take(&mut self.rows))
    }
}

/// A column of lists, written in JSON, also in CSV fields.
struct Lists {
    field: FieldRef,
    elements: Box<dyn Column>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Lists {
    fn end(&mut self, count: usize) -> Result<(), Why> {
        let last = self.offsets.last().copied().unwrap_or_default();
        let end = i32::try_from(count).ok().and_then(|count| last.checked_add(count));
        self.offsets.push(end.ok_or_else(|| Why::Value("its list is too long".to_owned()))?);
        Ok(())
    }
}

impl Column for Lists {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let text = match value {
            Value::List(text) => text,
            Value::Field(text) if json::is_json(text) && text.trim_start().starts_with('[') => text,
            _ => return Err(Why::Value("only lists can be".to_owned())),
        };
        let mut count = 0;
        for value in json::elements(text) {
            if matches!(value, Value::Null) && !self.field.is_nullable() {
                return Err(Why::Null);
            }
            self.elements.append(&value)?;
            count += 1;
        }
        self.nulls.append_non_null();
        self.end(count)
    }

    fn null(&mut self) {
        let last = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(last);
        self.nulls.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        Arc::new(ListArray::new(Arc::clone(&self.field), offsets, self.elements.finish(), self.nulls.finish()))
    }
}

/// A column of structs, written as JSON objects, also in CSV fields.
struct Structs {
    fields: Fields,
    schema: Schema,
    columns: Vec<Box<dyn Column>>,
    nulls: NullBufferBuilder,
}

impl Column for Structs {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let text = match value {
            Value::Object(text) => text,
            Value::Field(text) if json::is_json(text) && text.trim_start().starts_with('{') => text,
            _ => return Err(Why::Value("only structs can be".to_owned())),
        };
        let unfit = |why: Unmatched| Why::Value(nested::unmatched(&why));
        let mut given = vec![false; self.columns.len()];
        for (place, (name, value)) in json::members(text).enumerate() {
            let name = name.map_err(|torn| unfit(Unmatched::Unknown(torn.to_owned())))?;
            let field = match_name(&name, place, &self.schema).map_err(unfit)?;
            if std::mem::replace(&mut given[field], true) {
                return Err(unfit(Unmatched::Twice(self.fields[field].name().clone())));
            }
            if matches!(value, Value::Null) && !self.fields[field].is_nullable() {
                return Err(Why::Null);
            }
            self.columns[field].append(&value)?;
        }
        for (field, column) in self.columns.iter_mut().enumerate().filter(|(field, _)| !given[*field]) {
            if !self.fields[field].is_nullable() {
                return Err(Why::Null);
            }
            column.null();
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn null(&mut self) {
        self.columns.iter_mut().for_each(|column| column.null());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(|column| column.finish()).collect();
        Arc::new(StructArray::new(self.fields.clone(), columns, self.nulls.finish()))
    }
}

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
            Problem::Null(why) => Error::IngestionFailed(place(why)),
            Problem::Unfit(why) => Error::BatchSchemaMismatch(place(why)),
        }
    }
}

/// Rows of a relation under construction.
pub(super) struct Rows<'s> {
    spec: &'s Spec,
    columns: Vec<Box<dyn Column>>,
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

impl<'s> Rows<'s> {
    pub(super) fn new(spec: &'s Spec) -> Result<Self, Error> {
        let fields = spec.schema.fields();
        let default = |(column, field): (usize, &FieldRef)| {
            let Some(value) = spec.defaults.get(column).and_then(Option::as_ref) else { return Ok(None) };
            let fit = cast(value, field.data_type()).map_err(|_| {
                let (name, column, value) = (&spec.name, field.name(), display(value, 0));
                Error::BatchSchemaMismatch(format!("the DEFAULT {value} of column {column} of {name} does not fit it"))
            })?;
            Ok(Some(fit).filter(|value| value.is_valid(0)))
        };
        Ok(Rows {
            spec,
            columns: fields.iter().map(|field| column(field.data_type())).collect(),
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

    /// Finds the column called `name`; looks at position `likely` first.
    pub(super) fn find(&self, name: &str, likely: usize) -> Result<usize, Problem> {
        match_name(name, likely, &self.spec.schema).map_err(|why| self.unmatched(&why))
    }

    pub(super) fn unmatched(&self, why: &Unmatched) -> Problem {
        Problem::Unfit(unmatched(why, self.spec).to_string())
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
                Why::Value(why) => self.refused(field, value, &why),
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
            self.columns[column].null();
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
        let parts = self.columns.iter_mut().zip(&self.defaults).zip(&mut self.left_out);
        let finish = |((column, default), left_out): ((&mut Box<dyn Column>, &Option<ArrayRef>), &mut Vec<bool>)| {
            let values = column.finish();
            match default {
                Some(default) if left_out.contains(&true) => {
                    let left_out = BooleanArray::from(std::mem::take(left_out));
                    zip(&left_out, &Scalar::new(Arc::clone(default)), &values).expect("two arrays of one type")
                }
                _ => {
                    left_out.clear();
                    values
                }
            }
        };
        let columns = parts.map(finish).collect();
        self.batches.push(with_columns(&self.spec.schema, columns, self.rows));
        self.before += self.rows;
        self.rows = 0;
    }

    fn null(&self, field: &Field, note: &str) -> Problem {
        let (column, relation) = (field.name(), &self.spec.name);
        Problem::Null(format!("NULL in column {column} of {relation}{note}: the column is NOT NULL"))
    }

    fn refused(&self, field: &Field, value: &Value<'_>, why: &str) -> Problem {
        let (column, relation, data_type) = (field.name(), &self.spec.name, type_name(field.data_type()));
        let value = value.display();
        Problem::Unfit(format!("{value} cannot be stored in column {column} ({data_type}) of {relation}: {why}"))
    }
}

/// Polls for interruption while a text is worked through, once per megabyte.
pub(super) struct Pace<'a> {
    cancel: &'a CancelToken,
    next: usize,
}

impl<'a> Pace<'a> {
    pub(super) fn new(cancel: &'a CancelToken) -> Self {
        Pace { cancel, next: 0 }
    }

    /// Notes that the work has reached `at` in the text; fails if it is interrupted.
    pub(super) fn at(&mut self, at: usize) -> Result<(), Error> {
        const BYTES: usize = 1 << 20;
        if at < self.next {
            return Ok(());
        }
        self.next = at + BYTES;
        Ok(self.cancel.check()?)
    }
}

/// Returns `text` without a leading byte order mark.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Returns line and column of a position in a text, counted from 1; the column counts characters.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..at.min(text.len())];
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    // Counts the first byte of each character; the others are 10xxxxxx.
    let column = before[line..].iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count();
    (lines + 1, column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits() {
        for text in ["0", "-1", "+1", "007", "1.", ".5", "1.5e3", "1E-3", "1e+3"] {
            assert!(is_number(text), "{text}");
        }
        for text in
            ["", "-", ".", "e1", "1e", "1e+", "--1", "1_0", " 1", "1 ", "0x1", "NaN", "inf", "1.2.3", "١", "1e1.5"]
        {
            assert!(!is_number(text), "{text}");
        }
    }

    #[test]
    fn integers_are_never_doubles() {
        let read = |text: &str| integer::<i64>(&Value::Number(text));
        assert_eq!(read("9223372036854775807"), Ok(i64::MAX));
        assert_eq!(read("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(read("9223372036854775807.0"), Ok(i64::MAX));
        assert_eq!(read("92233720368547758.07e2"), Ok(i64::MAX));
        assert_eq!(read("9223372036854775808"), Err(OUT_OF_RANGE));
        assert_eq!(read("1e400"), Err(OUT_OF_RANGE));
        assert_eq!(read("1e99999999999999999999"), Err(OUT_OF_RANGE));
        assert_eq!(read("-0"), Ok(0));
        assert_eq!(read("1.5"), Err(FRACTION));
        assert_eq!(integer::<u64>(&Value::Number("18446744073709551615")), Ok(u64::MAX));
        assert_eq!(integer::<u64>(&Value::Number("-1")), Err(OUT_OF_RANGE));
    }

    #[test]
    fn integers_are_floats_only_exactly() {
        let read = |text: &str| float::<f64>(&Value::Number(text));
        assert_eq!(read("9007199254740992"), Ok(9_007_199_254_740_992.0));
        assert_eq!(read("9007199254740993"), Err(NOT_EXACT));
        assert_eq!(read("9007199254740993.0"), Ok(9_007_199_254_740_992.0));
        assert_eq!(read("100000000000000000000"), Ok(1e20));
        assert_eq!(read("100000000000000000001"), Err(NOT_EXACT));
        assert_eq!(read(&"0".repeat(20)), Ok(0.0));
        assert_eq!(read("-0").map(f64::to_bits), Ok((-0.0_f64).to_bits()));
        assert_eq!(read("1e400"), Err(OUT_OF_RANGE));
        assert_eq!(read("0.1"), Ok(0.1));
        assert_eq!(float::<f32>(&Value::Number("16777217")), Err(NOT_EXACT));
        assert_eq!(float::<f32>(&Value::Number("1e39")), Err(OUT_OF_RANGE));
        assert!(float::<f64>(&Value::Field("NaN")).is_ok_and(f64::is_nan));
        assert_eq!(float::<f64>(&Value::Field("-inf")), Ok(f64::NEG_INFINITY));
        assert!(float::<f64>(&Value::Field("")).is_err());
    }

    #[test]
    fn decimals_are_exact() {
        let read = |value: Value<'_>| exact_decimal(&value, 5, 2);
        assert_eq!(read(Value::Number("1.25")), Ok(125));
        assert_eq!(read(Value::Text("1.250".into())), Ok(125));
        assert_eq!(read(Value::Field("-1e2")), Ok(-10_000));
        assert_eq!(read(Value::Number("1.251")), Err(MORE_DIGITS));
        assert_eq!(read(Value::Number("1000")), Err(MORE_DIGITS));
        assert_eq!(read(Value::Text("x".into())), Err(NUMBERS_ONLY));
        assert_eq!(read(Value::Bool(true)), Err(NUMBERS_ONLY));
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(place("aä\nöb", 0), (1, 1));
        assert_eq!(place("aä\nöb", 3), (1, 3));
        assert_eq!(place("aä\nöb", 6), (2, 2));
        assert_eq!(place("aä\nöb", 99), (2, 3));
    }
}
