//! Columns under construction: each parses the values of a text as its type, exactly or not at all.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, ListArray, NullBufferBuilder, PrimitiveBuilder, StringBuilder, StructArray,
    downcast_integer, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, DataType, Date32Type, Decimal128Type, FieldRef, Fields, Float32Type,
    Float64Type, Schema, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use super::decimal::{self, is_number};
use super::iso;
use super::names::{Unmatched, match_name};
use super::number::{FRACTION, MORE_DIGITS, NOT_EXACT, NUMBERS_ONLY};
use super::refused::{OUT_OF_RANGE, Reason, Why};
use super::value::Value;
use super::walk::{elements, is_json, members};

/// A column under construction.
pub(super) trait ColumnBuilder {
    /// Appends a value other than NULL, or says why it cannot be stored.
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
pub(super) fn column_builder(data_type: &DataType) -> Box<dyn ColumnBuilder> {
    macro_rules! integers {
        ($t:ty) => {
            primitive::<$t>(data_type, integer)
        };
    }
    downcast_integer! {
        data_type => (integers),
        DataType::Boolean => Box::new(Booleans(BooleanBuilder::new())),
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
            elements: column_builder(field.data_type()),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }),
        DataType::Struct(fields) => Box::new(Structs {
            fields: fields.clone(),
            schema: Schema::new(fields.clone()),
            columns: fields.iter().map(|field| column_builder(field.data_type())).collect(),
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
) -> Box<dyn ColumnBuilder> {
    Box::new(Primitive { values: PrimitiveBuilder::<T>::new().with_data_type(data_type.clone()), read })
}

fn timestamps<T: ArrowTimestampType>(
    data_type: &DataType,
    read: fn(&str, TimeUnit) -> Result<i64, Reason>,
) -> Box<dyn ColumnBuilder> {
    primitive::<T>(data_type, move |value| read(written(value)?, T::UNIT))
}

impl<T: ArrowPrimitiveType, F: Fn(&Value<'_>) -> Result<T::Native, Reason>> ColumnBuilder for Primitive<T, F> {
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

impl ColumnBuilder for Booleans {
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

impl ColumnBuilder for Texts {
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

impl ColumnBuilder for Nulls {
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
    elements: Box<dyn ColumnBuilder>,
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

impl ColumnBuilder for Lists {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let text = match value {
            Value::List(text) => text,
            Value::Field(text) if is_json(text) && text.trim_start().starts_with('[') => text,
            _ => return Err(Why::Value("only lists can be".to_owned())),
        };
        let mut count = 0;
        for value in elements(text) {
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
    columns: Vec<Box<dyn ColumnBuilder>>,
    nulls: NullBufferBuilder,
}

impl ColumnBuilder for Structs {
    fn take(&mut self, value: &Value<'_>) -> Result<(), Why> {
        let text = match value {
            Value::Object(text) => text,
            Value::Field(text) if is_json(text) && text.trim_start().starts_with('{') => text,
            _ => return Err(Why::Value("only structs can be".to_owned())),
        };
        let unfit = |why: Unmatched| Why::Value(why.in_value());
        let mut given = vec![false; self.columns.len()];
        for (place, (name, value)) in members(text).enumerate() {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
