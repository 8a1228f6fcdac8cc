//! Translates columns to order-preserving row bytes and back, and hashes such bytes.
//!
//! Two rows have equal bytes exactly when they are equal in SQL's grouping sense: NULLs are equal, all NaNs are one
//! value, -0.0 is 0.0. Byte order is SQL order, with NULLs first and NaN as the greatest float. Inside lists and
//! structs it is SQL order only if an order was asked for ([`RowCodec::ordered`], [`order_bytes`]), and NULL is the
//! greatest value there. Columns delimit themselves and follow each other, so a prefix of columns is a prefix of bytes.
//!
//! Intervals follow these rules only in key columns, which come first and by which rows are compared: there 24 hours
//! equal 1 day and are read back as 1 day. In the other columns every interval keeps its exact value, since a date plus
//! 30 days is not the same as the date plus 1 month.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, FixedSizeListArray, GenericListArray,
    OffsetSizeTrait, PrimitiveArray, RecordBatch, StructArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, IntervalUnit, Schema};
use arrow::error::ArrowError;
use arrow_row::{RowConverter, RowParser, Rows, SortField};

use crate::{DataflowError, interval};

/// Translates columns of fixed types to row bytes and back.
#[derive(Debug)]
pub struct RowCodec {
    converter: RowConverter,
    parser: RowParser,
    types: Vec<DataType>,
    /// Number of key columns: the first columns, by which rows are compared.
    keys: usize,
    /// Whether a byte before a column says that it is NULL, because NULL must sort elsewhere than the NULLs inside
    /// values.
    marked: Vec<bool>,
    /// Whether equal values always have equal bits and no column is marked: then columns are encoded as they are.
    is_plain: bool,
    /// Number of bytes of every row, if the types alone determine it.
    width: Option<usize>,
}

impl RowCodec {
    /// Creates a codec for columns of these types, of which rows are compared by the first `keys`. Fails for types
    /// outside the engine's physical types.
    pub fn new(types: Vec<DataType>, keys: usize) -> Result<Self, DataflowError> {
        check_physical(&types)?;
        RowCodec::comparing(types, keys)
    }

    /// Creates a codec that only compares rows, also rows of types that the engine cannot keep. It must not decode.
    /// Fails for types that have no row bytes.
    pub fn comparing(types: Vec<DataType>, keys: usize) -> Result<Self, DataflowError> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let marked = vec![false; types.len()];
        RowCodec::of_fields(types, fields, marked, keys)
    }

    /// Creates a codec whose byte order is that of `options`, one per column, with NULL the greatest value inside lists
    /// and structs. It decodes only what such a codec encoded.
    pub fn ordered(types: Vec<DataType>, options: Vec<SortOptions>, keys: usize) -> Result<Self, DataflowError> {
        check_physical(&types)?;
        let (mut fields, mut marked) = (Vec::new(), Vec::new());
        for (data_type, mut options) in types.iter().zip(options) {
            // The bytes of nested values place the NULLs inside them where they place NULL itself.
            let is_marked = data_type.is_nested() && options.nulls_first != options.descending;
            if is_marked {
                let mark = SortOptions { descending: options.nulls_first, nulls_first: false };
                fields.push(SortField::new_with_options(DataType::Boolean, mark));
                options.nulls_first = options.descending;
            }
            fields.push(SortField::new_with_options(data_type.clone(), options));
            marked.push(is_marked);
        }
        RowCodec::of_fields(types, fields, marked, keys)
    }

    fn of_fields(
        types: Vec<DataType>,
        fields: Vec<SortField>,
        marked: Vec<bool>,
        keys: usize,
    ) -> Result<Self, DataflowError> {
        let converter = RowConverter::new(fields).map_err(|e| DataflowError::MalformedPlan(e.to_string()))?;
        let parser = converter.parser();
        let is_plain = !marked.contains(&true)
            && !types.iter().any(has_floats)
            && !types[..keys].iter().any(interval::has_intervals);
        let mut codec = RowCodec { converter, parser, types, keys, marked, is_plain, width: None };
        codec.width = codec.fixed_width();
        Ok(codec)
    }

    /// Returns the number of bytes of every row, if the types alone determine it.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Returns the types of the columns.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Creates an empty buffer with room for `rows` rows of `bytes` bytes altogether.
    pub fn buffer(&self, rows: usize, bytes: usize) -> EncodedRows {
        let encoded = if self.types.is_empty() {
            Encoded::Nothing
        } else {
            Encoded::Rows(self.converter.empty_rows(rows, bytes))
        };
        EncodedRows { encoded, rows: 0 }
    }

    /// Appends `rows` rows of `columns`, which must have the codec's types, to a buffer that is not packed.
    pub fn append(&self, to: &mut EncodedRows, columns: &[ArrayRef], rows: usize) {
        to.rows += rows;
        let encoded = match &mut to.encoded {
            Encoded::Nothing => return,
            Encoded::Rows(encoded) => encoded,
            Encoded::Packed { .. } => panic!("no rows are appended to packed ones"),
        };
        if self.is_plain {
            self.converter.append(encoded, columns).expect("columns have the codec's types");
            return;
        }
        let mut columns: Vec<ArrayRef> = columns.iter().map(normalise).collect();
        for key in &mut columns[..self.keys] {
            *key = interval::map(key, interval::ordered);
        }
        let columns = self.with_marks(columns);
        self.converter.append(encoded, &columns).expect("columns have the codec's types");
    }

    /// Encodes `rows` rows of `columns`, which must have the codec's types.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> EncodedRows {
        let mut encoded = self.buffer(rows, 0);
        self.append(&mut encoded, columns, rows);
        self.packed(encoded)
    }

    /// Returns the same rows in the form in which each is found fastest. None can be appended to it.
    pub fn packed(&self, rows: EncodedRows) -> EncodedRows {
        let EncodedRows { encoded, rows: count } = rows;
        let encoded = match (encoded, self.width) {
            (Encoded::Rows(encoded), Some(width))
                if count.checked_mul(width).is_some_and(|b| b <= i32::MAX as usize) =>
            {
                let binary = encoded.try_into_binary().expect("arrays of binaries hold as many bytes");
                Encoded::Packed { bytes: binary.into_parts().1, width }
            }
            (encoded, _) => encoded,
        };
        EncodedRows { encoded, rows: count }
    }

    /// Decodes the columns of rows that a codec of the same types encoded.
    pub fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        if self.types.is_empty() {
            return Vec::new();
        }
        let rows = rows.into_iter().map(|row| self.parser.parse(row));
        let columns = self.converter.convert_rows(rows).expect("row bytes come from a codec of the same types");
        let mut columns = self.without_marks(columns);
        for key in &mut columns[..self.keys] {
            // Keys hold intervals in the form that sorts by length; readers get the plain one.
            *key = interval::map(key, interval::plain);
        }
        columns
    }

    /// Inserts before each marked column a column that says whether it is NULL.
    fn with_marks(&self, columns: Vec<ArrayRef>) -> Vec<ArrayRef> {
        let mut all = Vec::with_capacity(columns.len());
        for (column, is_marked) in columns.into_iter().zip(&self.marked) {
            if *is_marked {
                let is_null = |nulls: NullBuffer| !nulls.inner();
                let nulls = column.logical_nulls().map_or_else(|| BooleanBuffer::new_unset(column.len()), is_null);
                all.push(Arc::new(BooleanArray::new(nulls, None)) as ArrayRef);
            }
            all.push(column);
        }
        all
    }

    fn without_marks(&self, all: Vec<ArrayRef>) -> Vec<ArrayRef> {
        let mut all = all.into_iter();
        let column = |is_marked: &bool| if *is_marked { all.nth(1) } else { all.next() };
        self.marked.iter().filter_map(column).collect()
    }

    fn fixed_width(&self) -> Option<usize> {
        let fixed = |t: &DataType| t.is_primitive() || matches!(t, DataType::Boolean | DataType::FixedSizeBinary(_));
        if !self.types.iter().all(fixed) {
            return None;
        }
        // A NULL of these types takes as many bytes as a value.
        let nulls: Vec<ArrayRef> = self.types.iter().map(|t| new_null_array(t, 1)).collect();
        Some(self.encode(&nulls, 1).row(0).len())
    }
}

/// Rows as bytes, in the order they were appended.
#[derive(Debug)]
pub struct EncodedRows {
    encoded: Encoded,
    rows: usize,
}

#[derive(Debug)]
enum Encoded {
    /// The rows have no columns.
    Nothing,
    Rows(Rows),
    /// Rows of one width, one after another.
    Packed {
        bytes: Buffer,
        width: usize,
    },
}

impl EncodedRows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the bytes of row `row`, which must be in range.
    #[inline]
    pub fn row(&self, row: usize) -> &[u8] {
        match &self.encoded {
            Encoded::Packed { bytes, width } => &bytes[row * width..][..*width],
            Encoded::Rows(rows) => rows.row(row).data(),
            Encoded::Nothing => &[],
        }
    }

    /// Returns the hash of each row.
    pub fn hashes(&self) -> Vec<u64> {
        (0..self.rows).map(|row| hash_bytes(self.row(row))).collect()
    }

    /// Returns the number of bytes of all rows together.
    pub fn byte_len(&self) -> usize {
        match &self.encoded {
            Encoded::Packed { bytes, .. } => bytes.len(),
            Encoded::Rows(rows) => rows.lengths().sum(),
            Encoded::Nothing => 0,
        }
    }
}

/// Encodes the key of record batches with one schema: some of their columns.
#[derive(Debug)]
pub struct KeyCodec {
    columns: Vec<usize>,
    codec: RowCodec,
}

impl KeyCodec {
    /// Creates a codec for these columns of `schema`. Fails if one does not exist or has a type without row bytes.
    pub fn new(schema: &Schema, columns: &[usize]) -> Result<Self, DataflowError> {
        let types = columns.iter().map(|c| column_type(schema, *c)).collect::<Result<Vec<_>, _>>()?;
        Ok(KeyCodec { columns: columns.to_vec(), codec: RowCodec::new(types, columns.len())? })
    }

    /// Returns the codec of the key's columns.
    pub fn codec(&self) -> &RowCodec {
        &self.codec
    }

    /// Returns the key columns of `batch`.
    pub fn select(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|c| Arc::clone(batch.column(*c))).collect()
    }

    /// Encodes the keys of `batch`.
    pub fn encode(&self, batch: &RecordBatch) -> EncodedRows {
        self.codec.encode(&self.select(batch), batch.num_rows())
    }

    /// Returns the hashes of the keys of `batch`. Equal keys have equal hashes, whatever their batch, schema or
    /// process.
    pub fn hashes(&self, batch: &RecordBatch) -> Vec<u64> {
        self.encode(batch).hashes()
    }
}

/// Returns the type of a column, or an error that names the missing column.
pub(crate) fn column_type(schema: &Schema, column: usize) -> Result<DataType, DataflowError> {
    match schema.fields().get(column) {
        Some(field) => Ok(field.data_type().clone()),
        None => {
            let columns = schema.fields().len();
            Err(DataflowError::MalformedPlan(format!("column {column} of {columns} columns")))
        }
    }
}

fn check_physical(types: &[DataType]) -> Result<(), DataflowError> {
    match types.iter().find(|t| !is_physical(t)) {
        Some(unsupported) => {
            Err(DataflowError::MalformedPlan(format!("no row bytes for columns of type {unsupported}")))
        }
        None => Ok(()),
    }
}

/// Whether rows may have columns of this type. Each logical type has one physical type, or equal values would differ.
pub fn is_physical(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => is_physical(f.data_type()),
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|f| is_physical(f.data_type())),
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 => true,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => true,
        DataType::Interval(unit) => *unit == IntervalUnit::MonthDayNano,
        other => other.is_primitive(),
    }
}

/// Returns bytes that compare as the values do, with NULL the greatest value inside lists and structs; NULL for NULL.
pub fn order_bytes(values: &ArrayRef) -> Result<BinaryArray, ArrowError> {
    let options = SortOptions { descending: false, nulls_first: false };
    let converter = RowConverter::new(vec![SortField::new_with_options(values.data_type().clone(), options)])?;
    let rows = converter.convert_columns(&[interval::map(&normalise(values), interval::ordered)])?;
    let (offsets, bytes, _) = rows.try_into_binary()?.into_parts();
    BinaryArray::try_new(offsets, bytes, values.logical_nulls())
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => has_floats(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_floats(f.data_type())),
        other => other.is_floating(),
    }
}

/// Returns the same values with one representation of NaN and of zero. Copies only columns of floats that have others.
pub fn normalise(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        other if !has_floats(other) => Arc::clone(array),
        DataType::Float16 => normalise_floats::<Float16Type>(
            array,
            |x| x.is_nan() || x.to_bits() == 1 << 15,
            |x| {
                if x.is_nan() { F16::NAN } else { F16::ZERO }
            },
        ),
        DataType::Float32 => normalise_floats::<Float32Type>(
            array,
            |x| x.is_nan() || x.to_bits() == 1 << 31,
            |x| {
                if x.is_nan() { f32::NAN } else { 0.0 }
            },
        ),
        DataType::Float64 => normalise_floats::<Float64Type>(
            array,
            |x| x.is_nan() || x.to_bits() == 1 << 63,
            |x| {
                if x.is_nan() { f64::NAN } else { 0.0 }
            },
        ),
        DataType::List(_) => normalise_list::<i32>(array),
        DataType::LargeList(_) => normalise_list::<i64>(array),
        DataType::FixedSizeList(field, size) => {
            let list = array.as_fixed_size_list();
            let values = normalise(list.values());
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *size, values, list.nulls().cloned()))
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(normalise).collect();
            // A struct with floats has fields.
            Arc::new(StructArray::new(fields.clone(), columns, array.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

type F16 = <Float16Type as ArrowPrimitiveType>::Native;

fn normalise_floats<F: ArrowPrimitiveType>(
    array: &ArrayRef,
    odd: impl Fn(F::Native) -> bool,
    canonical: impl Fn(F::Native) -> F::Native,
) -> ArrayRef {
    let floats = array.as_primitive::<F>();
    if !floats.values().iter().any(|x| odd(*x)) {
        return Arc::clone(array);
    }
    let floats: PrimitiveArray<F> = floats.unary(|x| if odd(x) { canonical(x) } else { x });
    Arc::new(floats)
}

fn normalise_list<O: OffsetSizeTrait>(array: &ArrayRef) -> ArrayRef {
    let (field, offsets, values, nulls) = array.as_list::<O>().clone().into_parts();
    Arc::new(GenericListArray::<O>::new(field, offsets, normalise(&values), nulls))
}

/// Hashes row bytes. The hash depends on the bytes alone, in every process and on every machine, since it determines
/// which worker has a key. All 64 bits are well distributed.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    collide(wyhash(bytes))
}

/// In this crate's tests a quarter of all keys share eight hashes, so that every test meets collisions.
#[inline]
fn collide(hash: u64) -> u64 {
    if cfg!(test) && hash & 3 == 0 { hash & (7 << 61) } else { hash }
}

const SECRETS: [u64; 4] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3];

/// Hashes by folded multiplication over blocks of 16 bytes, after wyhash.
#[inline]
fn wyhash(bytes: &[u8]) -> u64 {
    let mut state = SECRETS[0];
    let (a, b) = if bytes.len() <= 16 { short_words(bytes) } else { long_words(bytes, &mut state) };
    fold(SECRETS[1] ^ bytes.len() as u64, fold(a ^ SECRETS[1], b ^ state))
}

/// Returns two words that contain all bytes of a string of at most 16.
#[inline]
fn short_words(bytes: &[u8]) -> (u64, u64) {
    let n = bytes.len();
    if n >= 8 {
        (word(bytes, 0), word(bytes, n - 8))
    } else if n >= 4 {
        (half_word(bytes, 0), half_word(bytes, n - 4))
    } else if n > 0 {
        (u64::from(bytes[0]) << 16 | u64::from(bytes[n / 2]) << 8 | u64::from(bytes[n - 1]), 0)
    } else {
        (0, 0)
    }
}

/// Folds all blocks but the last into the state and returns the last 16 bytes.
#[inline]
fn long_words(bytes: &[u8], state: &mut u64) -> (u64, u64) {
    let n = bytes.len();
    let mut at = 0;
    while at + 16 < n {
        *state = fold(word(bytes, at) ^ SECRETS[2], word(bytes, at + 8) ^ *state);
        at += 16;
    }
    *state ^= SECRETS[3];
    (word(bytes, n - 16), word(bytes, n - 8))
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[inline]
fn half_word(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests;
