//! Converts Python values into one Arrow column of a given type, by the exact rules for storing values.
//!
//! A column accepts a value only if it can hold exactly that value; otherwise the value is refused, and the caller
//! reports its position. Values of the exact class that the column expects take a shortcut past [`recognise`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int8Builder, Int16Builder, Int32Builder, Int64Array, Int64Builder, ListArray, NullArray, NullBufferBuilder,
    StringBuilder, StructArray, Time64MicrosecondBuilder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowTimestampType, DataType, FieldRef, Fields, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString, PyTimeAccess, PyTuple};

use super::decimal;
use super::scalar::{DAY_NANOS, Instant, Scalar, integer, recognise};

/// Why a value was refused.
pub(crate) enum Refusal {
    /// The column's type cannot hold the value.
    Unfit,
    /// Python code of the value's class raised an exception.
    Raised(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// What a float NaN means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nan {
    /// A value of float columns.
    Value,
    /// A missing value, as everywhere in pandas.
    Null,
}

impl Nan {
    /// Returns what NaN means in a column of `data_type`. A type without NaN treats it as a missing value, whatever
    /// carries it, because other Python libraries have nothing else for that.
    pub(crate) fn within(self, data_type: &DataType) -> Self {
        match data_type {
            DataType::Float32 | DataType::Float64 => self,
            _ => Self::Null,
        }
    }
}

/// A column under construction.
pub(crate) struct Column {
    kind: Kind,
    nan: Nan,
    nulls: usize,
}

enum Kind {
    Null(usize),
    Bool(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    UInt8(UInt8Builder),
    UInt16(UInt16Builder),
    UInt32(UInt32Builder),
    UInt64(UInt64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(Int64Builder, TimeUnit, Option<Arc<str>>),
    List(Box<Items>),
    Struct(Members),
}

struct Items {
    field: FieldRef,
    offsets: Vec<i32>,
    present: NullBufferBuilder,
    values: Column,
}

struct Members {
    fields: Fields,
    present: NullBufferBuilder,
    columns: Vec<Column>,
}

impl Column {
    /// Makes an empty column of `data_type` with room for about `rows` values.
    pub(crate) fn new(data_type: &DataType, rows: usize, nan: Nan) -> PyResult<Self> {
        let kind = match data_type {
            DataType::Null => Kind::Null(0),
            DataType::Boolean => Kind::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Kind::Int8(Int8Builder::with_capacity(rows)),
            DataType::Int16 => Kind::Int16(Int16Builder::with_capacity(rows)),
            DataType::Int32 => Kind::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Kind::Int64(Int64Builder::with_capacity(rows)),
            DataType::UInt8 => Kind::UInt8(UInt8Builder::with_capacity(rows)),
            DataType::UInt16 => Kind::UInt16(UInt16Builder::with_capacity(rows)),
            DataType::UInt32 => Kind::UInt32(UInt32Builder::with_capacity(rows)),
            DataType::UInt64 => Kind::UInt64(UInt64Builder::with_capacity(rows)),
            DataType::Float32 => Kind::Float32(Float32Builder::with_capacity(rows)),
            DataType::Float64 => Kind::Float64(Float64Builder::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => {
                let builder = Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone());
                Kind::Decimal(builder, *precision, *scale)
            }
            DataType::Utf8 => Kind::Text(StringBuilder::with_capacity(rows, rows * 16)),
            DataType::Binary => Kind::Binary(BinaryBuilder::with_capacity(rows, rows * 16)),
            DataType::Date32 => Kind::Date(Date32Builder::with_capacity(rows)),
            DataType::Time64(TimeUnit::Microsecond) => Kind::Time(Time64MicrosecondBuilder::with_capacity(rows)),
            DataType::Timestamp(unit, zone) => Kind::Timestamp(Int64Builder::with_capacity(rows), *unit, zone.clone()),
            DataType::List(field) => Kind::List(Box::new(Items {
                field: Arc::clone(field),
                offsets: vec![0],
                present: NullBufferBuilder::new(rows),
                values: Self::new(field.data_type(), rows, nan)?,
            })),
            DataType::Struct(fields) => Kind::Struct(Members {
                fields: fields.clone(),
                present: NullBufferBuilder::new(rows),
                columns: fields.iter().map(|field| Self::new(field.data_type(), rows, nan)).collect::<PyResult<_>>()?,
            }),
            other => return Err(PyTypeError::new_err(format!("values of type {other} cannot be given from Python"))),
        };
        Ok(Self { kind, nan: nan.within(data_type), nulls: 0 })
    }

    /// Appends `value`. The column must not be used after a refusal.
    pub(crate) fn append(&mut self, value: &Bound<'_, PyAny>) -> Result<(), Refusal> {
        if value.is_none() {
            self.append_null();
            return Ok(());
        }
        if self.append_exact(value)? {
            return Ok(());
        }
        let scalar = recognise(value)?;
        let no_value = match &scalar {
            Scalar::Null => true,
            Scalar::Float(value) => value.is_nan() && self.nan == Nan::Null,
            Scalar::Single(value) => value.is_nan() && self.nan == Nan::Null,
            _ => false,
        };
        if no_value {
            self.append_null();
            return Ok(());
        }
        self.append_scalar(&scalar)
    }

    /// Appends `value` if it has the one class that the column expects; returns whether it has.
    fn append_exact(&mut self, value: &Bound<'_, PyAny>) -> Result<bool, Refusal> {
        match &mut self.kind {
            Kind::Int64(builder) => {
                let Ok(value) = value.cast_exact::<PyInt>() else { return Ok(false) };
                builder.append_value(value.extract().map_err(|_| Refusal::Unfit)?);
            }
            Kind::Int32(builder) => {
                let Ok(value) = value.cast_exact::<PyInt>() else { return Ok(false) };
                builder.append_value(value.extract().map_err(|_| Refusal::Unfit)?);
            }
            Kind::Float64(builder) => {
                let Ok(value) = value.cast_exact::<PyFloat>() else { return Ok(false) };
                let value = value.value();
                if value.is_nan() && self.nan == Nan::Null {
                    return Ok(false);
                }
                builder.append_value(value);
            }
            Kind::Text(builder) => {
                let Ok(value) = value.cast_exact::<PyString>() else { return Ok(false) };
                // Lone surrogates cannot be encoded as UTF-8.
                builder.append_value(value.to_str().map_err(|_| Refusal::Unfit)?);
            }
            Kind::Bool(builder) => {
                let Ok(value) = value.cast_exact::<PyBool>() else { return Ok(false) };
                builder.append_value(value.is_true());
            }
            Kind::Binary(builder) => {
                let Ok(value) = value.cast_exact::<PyBytes>() else { return Ok(false) };
                builder.append_value(value.as_bytes());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Appends NULL.
    pub(crate) fn append_null(&mut self) {
        self.nulls += 1;
        match &mut self.kind {
            Kind::Null(rows) => *rows += 1,
            Kind::Bool(builder) => builder.append_null(),
            Kind::Int8(builder) => builder.append_null(),
            Kind::Int16(builder) => builder.append_null(),
            Kind::Int32(builder) => builder.append_null(),
            Kind::Int64(builder) => builder.append_null(),
            Kind::UInt8(builder) => builder.append_null(),
            Kind::UInt16(builder) => builder.append_null(),
            Kind::UInt32(builder) => builder.append_null(),
            Kind::UInt64(builder) => builder.append_null(),
            Kind::Float32(builder) => builder.append_null(),
            Kind::Float64(builder) => builder.append_null(),
            Kind::Decimal(builder, ..) => builder.append_null(),
            Kind::Text(builder) => builder.append_null(),
            Kind::Binary(builder) => builder.append_null(),
            Kind::Date(builder) => builder.append_null(),
            Kind::Time(builder) => builder.append_null(),
            Kind::Timestamp(builder, ..) => builder.append_null(),
            Kind::List(items) => {
                items.present.append_null();
                items.offsets.push(items.offsets[items.offsets.len() - 1]);
            }
            Kind::Struct(members) => {
                members.present.append_null();
                members.columns.iter_mut().for_each(Self::append_null);
            }
        }
    }

    fn append_scalar(&mut self, scalar: &Scalar<'_>) -> Result<(), Refusal> {
        match &mut self.kind {
            Kind::Null(_) => return Err(Refusal::Unfit),
            Kind::Bool(builder) => match scalar {
                Scalar::Bool(value) => builder.append_value(*value),
                _ => return Err(Refusal::Unfit),
            },
            Kind::Int8(builder) => builder.append_value(whole(scalar)?),
            Kind::Int16(builder) => builder.append_value(whole(scalar)?),
            Kind::Int32(builder) => builder.append_value(whole(scalar)?),
            Kind::Int64(builder) => builder.append_value(whole(scalar)?),
            Kind::UInt8(builder) => builder.append_value(whole(scalar)?),
            Kind::UInt16(builder) => builder.append_value(whole(scalar)?),
            Kind::UInt32(builder) => builder.append_value(whole(scalar)?),
            Kind::UInt64(builder) => builder.append_value(whole(scalar)?),
            Kind::Float32(builder) => builder.append_value(single(scalar)?),
            Kind::Float64(builder) => builder.append_value(double(scalar)?),
            Kind::Decimal(builder, precision, scale) => builder.append_value(decimal(scalar, *precision, *scale)?),
            Kind::Text(builder) => match scalar {
                Scalar::Text(value) => builder.append_value(value.to_str().map_err(|_| Refusal::Unfit)?),
                Scalar::TextOf(value) => builder.append_value(value),
                _ => return Err(Refusal::Unfit),
            },
            Kind::Binary(builder) => match scalar {
                Scalar::Bytes(value) => builder.append_value(value),
                _ => return Err(Refusal::Unfit),
            },
            Kind::Date(builder) => builder.append_value(date(scalar)?),
            Kind::Time(builder) => builder.append_value(time(scalar)?),
            Kind::Timestamp(builder, unit, zone) => builder.append_value(timestamp(scalar, *unit, zone.is_some())?),
            Kind::List(items) => items.append(scalar)?,
            Kind::Struct(members) => members.append(scalar)?,
        }
        Ok(())
    }

    /// Returns the finished column.
    pub(crate) fn finish(self) -> ArrayRef {
        match self.kind {
            Kind::Null(rows) => Arc::new(NullArray::new(rows)),
            Kind::Bool(mut builder) => Arc::new(builder.finish()),
            Kind::Int8(mut builder) => Arc::new(builder.finish()),
            Kind::Int16(mut builder) => Arc::new(builder.finish()),
            Kind::Int32(mut builder) => Arc::new(builder.finish()),
            Kind::Int64(mut builder) => Arc::new(builder.finish()),
            Kind::UInt8(mut builder) => Arc::new(builder.finish()),
            Kind::UInt16(mut builder) => Arc::new(builder.finish()),
            Kind::UInt32(mut builder) => Arc::new(builder.finish()),
            Kind::UInt64(mut builder) => Arc::new(builder.finish()),
            Kind::Float32(mut builder) => Arc::new(builder.finish()),
            Kind::Float64(mut builder) => Arc::new(builder.finish()),
            Kind::Decimal(mut builder, ..) => Arc::new(builder.finish()),
            Kind::Text(mut builder) => Arc::new(builder.finish()),
            Kind::Binary(mut builder) => Arc::new(builder.finish()),
            Kind::Date(mut builder) => Arc::new(builder.finish()),
            Kind::Time(mut builder) => Arc::new(builder.finish()),
            Kind::Timestamp(builder, unit, zone) => timestamps(builder, unit, zone),
            Kind::List(items) => items.finish(),
            Kind::Struct(members) => members.finish(),
        }
    }
}

impl Items {
    fn append(&mut self, scalar: &Scalar<'_>) -> Result<(), Refusal> {
        let Scalar::Sequence(values) = scalar else { return Err(Refusal::Unfit) };
        let mut end = self.offsets[self.offsets.len() - 1];
        let nulls = self.values.nulls;
        if let Ok(values) = values.cast::<PyList>() {
            for value in values.iter() {
                self.values.append(&value)?;
                end += 1;
            }
        } else {
            for value in values.cast::<PyTuple>().map_err(PyErr::from)?.iter() {
                self.values.append(&value)?;
                end += 1;
            }
        }
        if self.values.nulls > nulls && !self.field.is_nullable() {
            return Err(Refusal::Unfit);
        }
        self.present.append_non_null();
        self.offsets.push(end);
        Ok(())
    }

    fn finish(mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(self.offsets.into());
        Arc::new(ListArray::new(self.field, offsets, self.values.finish(), self.present.finish()))
    }
}

impl Members {
    fn append(&mut self, scalar: &Scalar<'_>) -> Result<(), Refusal> {
        let Scalar::Mapping(values) = scalar else { return Err(Refusal::Unfit) };
        let mut known = 0;
        for (field, column) in self.fields.iter().zip(&mut self.columns) {
            let nulls = column.nulls;
            match values.get_item(field.name())? {
                Some(value) => {
                    known += 1;
                    column.append(&value)?;
                }
                None => column.append_null(),
            }
            if column.nulls > nulls && !field.is_nullable() {
                return Err(Refusal::Unfit);
            }
        }
        if known != values.len() {
            return Err(Refusal::Unfit);
        }
        self.present.append_non_null();
        Ok(())
    }

    fn finish(mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = self.columns.into_iter().map(Column::finish).collect();
        Arc::new(StructArray::new(self.fields, columns, self.present.finish()))
    }
}

fn timestamps(mut builder: Int64Builder, unit: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    fn of<T: ArrowTimestampType>(counts: &Int64Array, zone: Option<Arc<str>>) -> ArrayRef {
        Arc::new(counts.reinterpret_cast::<T>().with_timezone_opt(zone))
    }
    let counts = builder.finish();
    match unit {
        TimeUnit::Second => of::<TimestampSecondType>(&counts, zone),
        TimeUnit::Millisecond => of::<TimestampMillisecondType>(&counts, zone),
        TimeUnit::Microsecond => of::<TimestampMicrosecondType>(&counts, zone),
        TimeUnit::Nanosecond => of::<TimestampNanosecondType>(&counts, zone),
    }
}

fn whole<T: TryFrom<i128>>(scalar: &Scalar<'_>) -> Result<T, Refusal> {
    integer(scalar).and_then(|value| T::try_from(value).ok()).ok_or(Refusal::Unfit)
}

fn double(scalar: &Scalar<'_>) -> Result<f64, Refusal> {
    match scalar {
        Scalar::Float(value) => Ok(*value),
        Scalar::Single(value) => Ok(f64::from(*value)),
        Scalar::Int(_) => {
            let value = integer(scalar).ok_or(Refusal::Unfit)?;
            let nearest = value as f64;
            // The bound excludes values whose cast back would saturate, and so might compare equal.
            if nearest.abs() < 1e38 && nearest as i128 == value { Ok(nearest) } else { Err(Refusal::Unfit) }
        }
        Scalar::Decimal(text) => finite_unless_said(text, text.parse::<f64>().ok(), f64::is_infinite),
        _ => Err(Refusal::Unfit),
    }
}

fn single(scalar: &Scalar<'_>) -> Result<f32, Refusal> {
    match scalar {
        Scalar::Single(value) => Ok(*value),
        Scalar::Float(value) => {
            let nearest = *value as f32;
            if nearest.is_infinite() && value.is_finite() { Err(Refusal::Unfit) } else { Ok(nearest) }
        }
        Scalar::Int(_) => {
            let value = integer(scalar).ok_or(Refusal::Unfit)?;
            let nearest = value as f32;
            if nearest.abs() < 1e38 && nearest as i128 == value { Ok(nearest) } else { Err(Refusal::Unfit) }
        }
        Scalar::Decimal(text) => finite_unless_said(text, text.parse::<f32>().ok(), f32::is_infinite),
        _ => Err(Refusal::Unfit),
    }
}

/// Returns the number read from the decimal `text`; refuses an infinity unless the text says so.
fn finite_unless_said<T: Copy>(text: &str, read: Option<T>, infinite: fn(T) -> bool) -> Result<T, Refusal> {
    match read {
        Some(value) if !infinite(value) || text.contains("Inf") => Ok(value),
        _ => Err(Refusal::Unfit),
    }
}

fn decimal(scalar: &Scalar<'_>, precision: u8, scale: i8) -> Result<i128, Refusal> {
    let exact = match scalar {
        Scalar::Int(_) => integer(scalar).and_then(|value| decimal::parse(&value.to_string(), precision, scale)),
        Scalar::Decimal(text) => decimal::parse(text, precision, scale),
        Scalar::Float(value) => decimal::of_float(*value).and_then(|text| decimal::parse(&text, precision, scale)),
        Scalar::Single(value) => decimal::of_single(*value).and_then(|text| decimal::parse(&text, precision, scale)),
        _ => None,
    };
    exact.ok_or(Refusal::Unfit)
}

/// Python's ordinal of 1970-01-01, where 0001-01-01 is day 1.
const EPOCH_ORDINAL: i32 = 719_163;

fn date(scalar: &Scalar<'_>) -> Result<i32, Refusal> {
    match scalar {
        Scalar::Date(value) => {
            let ordinal: i32 = value.call_method0(intern!(value.py(), "toordinal"))?.extract()?;
            Ok(ordinal - EPOCH_ORDINAL)
        }
        Scalar::Instant(Instant { nanos, zoned: false }) if nanos.rem_euclid(DAY_NANOS) == 0 => {
            i32::try_from(nanos / DAY_NANOS).map_err(|_| Refusal::Unfit)
        }
        _ => Err(Refusal::Unfit),
    }
}

fn time(scalar: &Scalar<'_>) -> Result<i64, Refusal> {
    let Scalar::Time(value) = scalar else { return Err(Refusal::Unfit) };
    if !value.getattr(intern!(value.py(), "tzinfo"))?.is_none() {
        return Err(Refusal::Unfit);
    }
    let seconds =
        i64::from(value.get_hour()) * 3600 + i64::from(value.get_minute()) * 60 + i64::from(value.get_second());
    Ok(seconds * 1_000_000 + i64::from(value.get_microsecond()))
}

fn timestamp(scalar: &Scalar<'_>, unit: TimeUnit, zoned: bool) -> Result<i64, Refusal> {
    let nanos = match scalar {
        Scalar::Instant(instant) if instant.zoned == zoned => instant.nanos,
        Scalar::Date(_) if !zoned => i128::from(date(scalar)?) * DAY_NANOS,
        _ => return Err(Refusal::Unfit),
    };
    let unit = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1000,
        TimeUnit::Nanosecond => 1,
    };
    if nanos % unit != 0 {
        return Err(Refusal::Unfit);
    }
    i64::try_from(nanos / unit).map_err(|_| Refusal::Unfit)
}
