//! Arrow data of another library through the C interfaces, some of them malformed in ways that can be checked.
//!
//! What is read is copied and stored as an insertion does it, in columns of the types that fit best. Then all memory of
//! the producer is given back, and the rows are read: they must be valid, and be the same when they are written as JSON
//! and read again.

mod array;
mod input;
mod memory;
mod node;
mod producer;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowArray;
use laminardb_bridge::foreign::{self, ForeignStream};
use laminardb_bridge::ingest::{Extra, Foreign, Room, conform, from_json, nan_as_null, own};
use laminardb_bridge::relation::{Spec, StorageKind};

use self::input::Input;
use self::memory::Memory;
use self::node::Node;
use self::producer::Producer;
use super::{check, written};

/// Number of rows of an array.
const MOST_ROWS: usize = 9;

/// Draws a schema and arrays from the input, passes them on, and checks what is stored.
pub fn target(input: &[u8]) {
    let mut input = Input::new(input);
    let mut memory = Memory::default();
    let (kind, node) = (input.below(8), Node::rows(&mut input));
    let rows = match kind {
        0 => read_schema(&node, &mut memory),
        1..3 => read_array(&node, &mut input, &mut memory),
        _ => read_stream(&node, &mut input, &mut memory),
    };
    drop(memory);
    rows.iter().for_each(check_stored);
}

/// Rows as they are stored, and for what relation.
struct Stored {
    spec: Spec,
    batch: RecordBatch,
}

#[expect(unsafe_code, reason = "the C data interface is pointers")]
fn read_schema(node: &Node, memory: &mut Memory) -> Vec<Stored> {
    let schema = node.schema(memory);
    // SAFETY: what it points to is in the memory, which is kept.
    if let Err(error) = unsafe { foreign::schema(&schema) } {
        check_malformed(&error);
    }
    Vec::new()
}

#[expect(unsafe_code, reason = "the C data interface is pointers")]
fn read_array(node: &Node, input: &mut Input<'_>, memory: &mut Memory) -> Vec<Stored> {
    let (schema, released) = (node.schema(memory), AtomicUsize::new(0));
    let length = input.below(MOST_ROWS);
    let array = counted(array::array(node, length, input, memory), &released);
    let counts = usize::from(array.release.is_some());
    // SAFETY: what they point to is in the memory, which is kept, and buffers are as long as they must be.
    let stored = match unsafe { foreign::array(&schema, array) } {
        Ok((field, array)) => store(&field, std::iter::once(Ok(array))),
        Err(error) => {
            check_malformed(&error);
            Vec::new()
        }
    };
    assert_eq!(released.into_inner(), counts, "an array is released once");
    stored
}

#[expect(unsafe_code, reason = "the C stream interface is pointers and functions of C")]
fn read_stream(node: &Node, input: &mut Input<'_>, memory: &mut Memory) -> Vec<Stored> {
    let (released, streams) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let schema = node.schema(memory);
    let mut arrays = Vec::new();
    for _ in 0..input.below(3) {
        let length = input.below(MOST_ROWS);
        arrays.push(counted(array::array(node, length, input, memory), &released));
    }
    let counts = arrays.iter().filter(|array| array.release.is_some()).count();
    let mut producer = Producer::new(schema, arrays, input, memory);
    let stream = producer.stream(&streams, input);
    // SAFETY: what it gives points to the memory, which is kept, and buffers are as long as they must be.
    let stored = match unsafe { ForeignStream::new(stream) } {
        Ok(stream) => store(&stream.field(), stream),
        Err(error) => {
            check_malformed(&error);
            Vec::new()
        }
    };
    drop(producer);
    assert_eq!((released.into_inner(), streams.into_inner()), (counts, 1), "arrays and streams are released once");
    stored
}

/// Has the releases of an array counted at `released`.
fn counted(mut array: FFI_ArrowArray, released: &AtomicUsize) -> FFI_ArrowArray {
    array.private_data = (&raw const *released).cast_mut().cast();
    array
}

fn check_malformed(error: &ArrowError) {
    assert!(!error.to_string().is_empty(), "{error:?}");
}

/// Copies and converts the arrays as an insertion does, up to the first that is refused.
fn store(field: &FieldRef, arrays: impl Iterator<Item = Result<ArrayRef, ArrowError>>) -> Vec<Stored> {
    let fields = match field.data_type() {
        DataType::Struct(fields) => fields.clone(),
        // A single column, which is given as a value of a dict.
        _ => Fields::from(vec![Field::new("v", field.data_type().clone(), true)]),
    };
    let (room, mut all) = (Room::default(), Vec::new());
    for array in arrays {
        let array = match array {
            Ok(array) => array,
            Err(error) => {
                check_malformed(&error);
                break;
            }
        };
        match stored(&fields, field, &array, &room) {
            Some(stored) => all.push(stored),
            None => break,
        }
    }
    all
}

fn stored(fields: &Fields, field: &Field, array: &ArrayRef, room: &Room) -> Option<Stored> {
    let columns = match field.data_type() {
        DataType::Struct(_) => {
            let rows = array.as_struct();
            if rows.null_count() > 0 || room.take_rows(rows.len()).is_err() {
                return None;
            }
            rows.columns().to_vec()
        }
        _ => vec![Arc::clone(array)],
    };
    let owned = |column: &ArrayRef| match own(column, room) {
        Ok(owned) => Some(owned),
        Err(Foreign::Invalid(row, why)) => {
            assert!(row < column.len().max(1) && !why.is_empty(), "row {row} of {}: {why}", column.len());
            None
        }
        Err(Foreign::TooLarge(why)) => {
            assert!(why.contains("more than"), "{why}");
            None
        }
    };
    let columns = columns.iter().map(owned).collect::<Option<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(array.len()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields.clone())), columns, &options).ok()?;
    assert_eq!(nan_as_null(&batch).num_rows(), batch.num_rows());
    let spec = spec_of(fields);
    match conform(&batch, &spec, 0) {
        Ok(rows) => {
            assert_eq!(rows.num_rows(), batch.num_rows());
            for (given, stored) in batch.columns().iter().zip(rows.columns()) {
                check_nulls(given, stored);
            }
            Some(Stored { spec, batch: rows })
        }
        Err(error) => {
            check(&error, "");
            assert!(matches!(error.code(), 300 | 302), "{}", error.message());
            None
        }
    }
}

/// Checks that a column has NULL where it was given.
fn check_nulls(given: &ArrayRef, stored: &ArrayRef) {
    let nulls = given.logical_nulls();
    for row in 0..given.len() {
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        assert_eq!(stored.is_null(row), is_null, "row {row} of {given:?}, stored as {stored:?}");
    }
}

/// Checks that rows are valid and read back as they are written, after the producer is gone.
fn check_stored(stored: &Stored) {
    for column in stored.batch.columns() {
        column.to_data().validate_full().expect("the rows that are stored are valid");
    }
    let names: Vec<&str> = stored.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    if !are_distinct(&names) || stored.batch.num_rows() == 0 {
        return;
    }
    if let Some(text) = written::json_lines(&stored.batch) {
        let again = from_json(&text, &stored.spec, Extra::Refuse, &|| Ok(()));
        assert_eq!(again.as_deref(), Ok([stored.batch.clone()].as_slice()), "{text}");
    }
}

fn spec_of(fields: &Fields) -> Spec {
    let column = |field: &FieldRef| {
        let data_type = storable(field.data_type()).unwrap_or(DataType::Utf8);
        Field::new(field.name(), data_type, true)
    };
    let columns: Vec<Field> = fields.iter().map(column).collect();
    Spec {
        name: "t".to_owned(),
        kind: StorageKind::Bag,
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        defaults: vec![None; columns.len()],
        schema: Arc::new(Schema::new(columns)),
        follow: None,
    }
}

/// Returns the type of the columns that fit best for values of a type; `None` if none does.
fn storable(given: &DataType) -> Option<DataType> {
    let list = |item: &Field| Some(DataType::List(Arc::new(Field::new("item", storable(item.data_type())?, true))));
    Some(match given {
        DataType::Null => DataType::Int64,
        DataType::Float16 => DataType::Float64,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => DataType::Decimal128(38, (*scale).max(0)),
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, (*scale).max(0)),
        DataType::Decimal256(_, scale) => DataType::Decimal128(38, (*scale).clamp(0, 38)),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::Dictionary(_, values) => storable(values)?,
        DataType::RunEndEncoded(_, values) => storable(values.data_type())?,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => list(item)?,
        DataType::Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            let column = |field: &FieldRef| Some(Field::new(field.name(), storable(field.data_type())?, true));
            let columns = fields.iter().map(column).collect::<Option<Vec<_>>>()?;
            are_distinct(&names).then(|| DataType::Struct(columns.into()))?
        }
        DataType::Map(..) | DataType::Union(..) | DataType::Interval(_) | DataType::Duration(_) => return None,
        other => other.clone(),
    })
}

/// Whether names are not empty and differ in more than case.
fn are_distinct(names: &[&str]) -> bool {
    let mut folded: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    folded.sort_unstable();
    folded.windows(2).all(|pair| pair[0] != pair[1]) && folded.first().is_none_or(|name| !name.is_empty())
}
