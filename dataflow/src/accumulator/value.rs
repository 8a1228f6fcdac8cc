//! Values of a column as keys that order and compare as SQL does: all NaNs are one value, the greatest, and -0.0 is
//! 0.0.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_row::{RowConverter, Rows, SortField};

use crate::interval;
use crate::ordered::{Bytes, Keys, Plain};
use crate::row_bytes::{EncodedRows, RowCodec};

/// How the values of one column are held as keys.
pub(super) trait Form: Send {
    /// A borrowed value.
    type Value: ?Sized + Ord + Hash + ToOwned<Owned = Self::Held>;
    /// An owned value, which is kept.
    type Held: Borrow<Self::Value> + Ord + Clone + Debug + Send;
    /// The encoded values of an array.
    type Batch;
    /// How ordered multisets keep the values.
    type Kept: Keys<Key = Self::Value>;

    /// Encodes all values of an array of the form's type; NULLs get an arbitrary encoding.
    fn encode(&self, array: &ArrayRef) -> Self::Batch;
    /// Returns the value of a row.
    fn value(batch: &Self::Batch, row: usize) -> &Self::Value;
    /// Returns an array of the values.
    fn decode(&self, values: &[Option<&Self::Value>]) -> ArrayRef;
    /// Returns the heap bytes of a held value.
    fn held_bytes(held: &Self::Held) -> usize;
}

/// Calls `$body!(Type)` with the Arrow primitive type of `$data_type` if its values fit 64 bits, else returns `$other`.
macro_rules! with_word_type {
    ($data_type:expr, $body:ident, $other:expr) => {
        match $data_type {
            DataType::Int8 => $body!(Int8Type),
            DataType::Int16 => $body!(Int16Type),
            DataType::Int32 => $body!(Int32Type),
            DataType::Int64 => $body!(Int64Type),
            DataType::UInt8 => $body!(UInt8Type),
            DataType::UInt16 => $body!(UInt16Type),
            DataType::UInt32 => $body!(UInt32Type),
            DataType::UInt64 => $body!(UInt64Type),
            DataType::Float32 => $body!(Float32Type),
            DataType::Float64 => $body!(Float64Type),
            DataType::Decimal32(..) => $body!(Decimal32Type),
            DataType::Decimal64(..) => $body!(Decimal64Type),
            DataType::Date32 => $body!(Date32Type),
            DataType::Date64 => $body!(Date64Type),
            DataType::Time32(TimeUnit::Second) => $body!(Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => $body!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => $body!(Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => $body!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => $body!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => $body!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => $body!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => $body!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => $body!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => $body!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => $body!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => $body!(DurationNanosecondType),
            _ => $other,
        }
    };
}

/// The form of types whose values order as unsigned words.
#[derive(Clone, Debug)]
pub(super) struct Words {
    data_type: DataType,
}

impl Words {
    /// Returns the form of `data_type`, if it is one of these types.
    pub(super) fn of(data_type: &DataType) -> Option<Words> {
        macro_rules! yes {
            ($type:ty) => {
                true
            };
        }
        let held = *data_type == DataType::Boolean || with_word_type!(data_type, yes, false);
        held.then(|| Words { data_type: data_type.clone() })
    }
}

impl Form for Words {
    type Value = u64;
    type Held = u64;
    type Batch = Vec<u64>;
    type Kept = Plain<u64>;

    fn encode(&self, array: &ArrayRef) -> Vec<u64> {
        macro_rules! encode {
            ($type:ty) => {
                array.as_primitive::<$type>().values().iter().map(|value| value.to_word()).collect()
            };
        }
        match &self.data_type {
            DataType::Boolean => array.as_boolean().values().iter().map(u64::from).collect(),
            other => with_word_type!(other, encode, unreachable!("made for types that fit words")),
        }
    }

    fn value(batch: &Vec<u64>, row: usize) -> &u64 {
        &batch[row]
    }

    fn decode(&self, values: &[Option<&u64>]) -> ArrayRef {
        macro_rules! decode {
            ($type:ty) => {
                decode_words::<$type>(values, &self.data_type)
            };
        }
        match &self.data_type {
            DataType::Boolean => Arc::new(values.iter().map(|v| v.map(|v| *v == 1)).collect::<BooleanArray>()),
            other => with_word_type!(other, decode, unreachable!("made for types that fit words")),
        }
    }

    fn held_bytes(_: &u64) -> usize {
        0
    }
}

fn decode_words<T: ArrowPrimitiveType<Native: Word>>(values: &[Option<&u64>], data_type: &DataType) -> ArrayRef {
    let values: PrimitiveArray<T> = values.iter().map(|value| value.map(|word| T::Native::from_word(*word))).collect();
    Arc::new(values.with_data_type(data_type.clone()))
}

/// The form of decimals of 128 bits.
#[derive(Clone, Debug)]
pub(super) struct Decimals {
    data_type: DataType,
}

impl Decimals {
    /// Returns the form of `data_type`, if it is one of these types.
    pub(super) fn of(data_type: &DataType) -> Option<Decimals> {
        matches!(data_type, DataType::Decimal128(..)).then(|| Decimals { data_type: data_type.clone() })
    }
}

impl Form for Decimals {
    type Value = i128;
    type Held = i128;
    type Batch = arrow::buffer::ScalarBuffer<i128>;
    type Kept = Plain<i128>;

    fn encode(&self, array: &ArrayRef) -> Self::Batch {
        array.as_primitive::<Decimal128Type>().values().clone()
    }

    fn value(batch: &Self::Batch, row: usize) -> &i128 {
        &batch[row]
    }

    fn decode(&self, values: &[Option<&i128>]) -> ArrayRef {
        let values: PrimitiveArray<Decimal128Type> = values.iter().map(|value| value.copied()).collect();
        Arc::new(values.with_data_type(self.data_type.clone()))
    }

    fn held_bytes(_: &i128) -> usize {
        0
    }
}

/// The form of intervals, ordered by their length in nanoseconds and then by how they are written, so that the least of
/// equal intervals does not depend on the order of rows.
#[derive(Clone, Debug)]
pub(super) struct Intervals;

impl Intervals {
    /// Returns the form of `data_type`, if it is this type.
    pub(super) fn of(data_type: &DataType) -> Option<Intervals> {
        (*data_type == DataType::Interval(IntervalUnit::MonthDayNano)).then_some(Intervals)
    }
}

impl Form for Intervals {
    type Value = (i128, IntervalMonthDayNano);
    type Held = (i128, IntervalMonthDayNano);
    type Batch = Vec<(i128, IntervalMonthDayNano)>;
    type Kept = Plain<(i128, IntervalMonthDayNano)>;

    fn encode(&self, array: &ArrayRef) -> Self::Batch {
        let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
        intervals.values().iter().map(|value| (interval::length(*value), *value)).collect()
    }

    fn value(batch: &Self::Batch, row: usize) -> &Self::Value {
        &batch[row]
    }

    fn decode(&self, values: &[Option<&Self::Value>]) -> ArrayRef {
        let values: Vec<_> = values.iter().map(|value| value.map(|(_, interval)| *interval)).collect();
        Arc::new(PrimitiveArray::<IntervalMonthDayNanoType>::from(values))
    }

    fn held_bytes(_: &Self::Held) -> usize {
        0
    }
}

/// The form of texts and byte strings, as row bytes.
#[derive(Debug)]
pub(super) struct Strings {
    converter: RowConverter,
    data_type: DataType,
}

impl Strings {
    /// Returns the form of `data_type`, if it is one of these types.
    pub(super) fn of(data_type: &DataType) -> Option<Strings> {
        let held = data_type.is_string() || data_type.is_binary();
        let converter = held.then(|| RowConverter::new(vec![SortField::new(data_type.clone())]))?.ok()?;
        Some(Strings { converter, data_type: data_type.clone() })
    }
}

impl Form for Strings {
    type Value = [u8];
    type Held = Vec<u8>;
    type Batch = Rows;
    type Kept = Bytes;

    fn encode(&self, array: &ArrayRef) -> Rows {
        let columns = [Arc::clone(array)];
        self.converter.convert_columns(&columns).expect("the array has the form's type")
    }

    fn value(batch: &Rows, row: usize) -> &[u8] {
        batch.row(row).data()
    }

    fn decode(&self, values: &[Option<&[u8]>]) -> ArrayRef {
        let null = self.encode(&arrow::array::new_null_array(&self.data_type, 1));
        let parser = self.converter.parser();
        let rows = values.iter().map(|value| parser.parse(value.unwrap_or(null.row(0).data())));
        let mut columns = self.converter.convert_rows(rows).expect("the bytes came from this converter");
        columns.swap_remove(0)
    }

    fn held_bytes(held: &Vec<u8>) -> usize {
        held.capacity()
    }
}

/// The form of lists and structs, as row bytes in which all NaNs are one value and -0.0 is 0.0.
#[derive(Debug)]
pub(super) struct Nested {
    codec: RowCodec,
    data_type: DataType,
}

impl Nested {
    /// Returns the form of `data_type`, if it is one of these types.
    pub(super) fn of(data_type: &DataType) -> Option<Nested> {
        let codec = data_type.is_nested().then(|| RowCodec::new(vec![data_type.clone()], 1))?.ok()?;
        Some(Nested { codec, data_type: data_type.clone() })
    }
}

impl Form for Nested {
    type Value = [u8];
    type Held = Vec<u8>;
    type Batch = EncodedRows;
    type Kept = Bytes;

    fn encode(&self, array: &ArrayRef) -> EncodedRows {
        self.codec.encode(&[Arc::clone(array)], array.len())
    }

    fn value(batch: &EncodedRows, row: usize) -> &[u8] {
        batch.row(row)
    }

    fn decode(&self, values: &[Option<&[u8]>]) -> ArrayRef {
        let null = self.encode(&arrow::array::new_null_array(&self.data_type, 1));
        let mut columns = self.codec.decode(values.iter().map(|value| value.unwrap_or(null.row(0))));
        columns.swap_remove(0)
    }

    fn held_bytes(held: &Vec<u8>) -> usize {
        held.capacity()
    }
}

/// A native value that can be translated to a word of the same order.
trait Word: Copy {
    fn to_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

macro_rules! word {
    (unsigned $($native:ty),*) => { $(
        impl Word for $native {
            fn to_word(self) -> u64 { u64::from(self) }
            fn from_word(word: u64) -> Self { word as $native }
        }
    )* };
    (signed $($native:ty),*) => { $(
        impl Word for $native {
            fn to_word(self) -> u64 { i64::from(self).cast_unsigned() ^ (1 << 63) }
            fn from_word(word: u64) -> Self { (word ^ (1 << 63)).cast_signed() as $native }
        }
    )* };
}
word!(unsigned u8, u16, u32, u64);
word!(signed i8, i16, i32, i64);

impl Word for f64 {
    fn to_word(self) -> u64 {
        if self.is_nan() {
            return u64::MAX;
        }
        // Adding 0.0 turns -0.0 into 0.0 and changes nothing else.
        let bits = (self + 0.0).to_bits();
        // Bits of negative floats ascend with their magnitude, so they are inverted; the others are placed above them.
        if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
    }

    fn from_word(word: u64) -> Self {
        match word {
            u64::MAX => f64::NAN,
            word if word >> 63 == 1 => f64::from_bits(word & !(1 << 63)),
            word => f64::from_bits(!word),
        }
    }
}

impl Word for f32 {
    fn to_word(self) -> u64 {
        f64::from(self).to_word()
    }

    fn from_word(word: u64) -> Self {
        f64::from_word(word) as f32
    }
}
