//! `Room`: how large given Arrow data may be once its encodings are written out.
//!
//! A few bytes of Arrow can stand for any number of rows: one run, a number of NULLs, many views of one long text. The
//! columns of a relation have no encodings, so all of this would be written out. It is refused by its size, before any of
//! it is. Data without encodings has room: it is in memory already, as large as it will be.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use arrow::array::{Array, ArrayData};
use arrow::buffer::Buffer;
use arrow::datatypes::{ArrowNativeType, DataType};

/// Maximum number of values of one array, since the columns of a batch count them with 32 bits.
pub const MOST_ROWS: usize = i32::MAX as usize;

/// Number of bytes that the encoded data of one call may have when it is written out, beside those of its buffers.
const MOST_BYTES: u64 = 1 << 31;

/// What a value without a size of its own counts, such as NULL in a column of that type alone.
const SMALLEST: u64 = 8;

/// Counts what the encoded data of one call takes when it is written out.
#[derive(Default)]
pub struct Room {
    written: Cell<u64>,
    /// The lengths of the buffers that hold the data, by their addresses, since many arrays can share one.
    held: RefCell<BTreeMap<usize, usize>>,
}

impl Room {
    /// Counts an array, whose contents need not be valid; fails if there is no room for it.
    pub fn take(&self, array: &dyn Array) -> Result<(), String> {
        if !is_encoded(array.data_type()) {
            return Ok(());
        }
        let data = array.to_data();
        self.hold(&data);
        self.count(total(&data))
    }

    /// Counts rows that have no columns; fails if there is no room for them.
    pub fn take_rows(&self, rows: usize) -> Result<(), String> {
        self.count((rows as u64).saturating_mul(SMALLEST))
    }

    /// Counts bytes that stand for each other, so that they are in memory once; fails if there is no room for all.
    pub fn count(&self, bytes: u64) -> Result<(), String> {
        let written = self.written.get().saturating_add(bytes);
        self.written.set(written);
        let most = self.held.borrow().values().fold(MOST_BYTES, |sum, length| sum.saturating_add(*length as u64));
        if written <= most {
            return Ok(());
        }
        Err(format!(
            "the data would take {written} bytes once it is written out, more than the {most} that it may in one call"
        ))
    }

    fn hold(&self, data: &ArrayData) {
        for buffer in data.buffers() {
            let mut held = self.held.borrow_mut();
            let length = held.entry(buffer.as_ptr() as usize).or_default();
            *length = buffer.len().max(*length);
        }
        data.child_data().iter().for_each(|child| self.hold(child));
    }
}

/// Whether arrays of a type can stand for more than their buffers hold.
fn is_encoded(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::Map(field, _) => is_encoded(field.data_type()),
        DataType::FixedSizeList(field, _) => is_encoded(field.data_type()),
        DataType::Struct(fields) => fields.is_empty() || fields.iter().any(|field| is_encoded(field.data_type())),
        DataType::FixedSizeBinary(_) => false,
        other => {
            other.primitive_width().is_none()
                && !matches!(
                    other,
                    DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary
                )
        }
    }
}

/// The number of bytes that the first values of an array take, by the number of values.
type Before<'a> = Box<dyn Fn(usize) -> u64 + 'a>;

/// Returns the number of bytes that all values of an array take when they are written out.
///
/// Offsets, lengths and indices may be anything: what does not exist takes no bytes.
fn total(data: &ArrayData) -> u64 {
    match data.data_type() {
        DataType::Utf8View
        | DataType::BinaryView
        | DataType::Dictionary(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => {
            let size = size_of_each(data);
            (0..data.len()).fold(0, |sum, row| sum.saturating_add(size(row)))
        }
        _ => before(data)(data.len()),
    }
}

fn before(data: &ArrayData) -> Before<'_> {
    let (start, children) = (data.offset(), data.child_data());
    match data.data_type() {
        DataType::Boolean => Box::new(|count| count.div_ceil(8) as u64),
        DataType::Utf8 | DataType::Binary => {
            let end = integers::<i32>(data.buffers(), start);
            Box::new(move |count| end(count).saturating_sub(end(0)).saturating_add(4_u64.saturating_mul(count as u64)))
        }
        DataType::LargeUtf8 | DataType::LargeBinary => {
            let end = integers::<i64>(data.buffers(), start);
            Box::new(move |count| end(count).saturating_sub(end(0)).saturating_add(8_u64.saturating_mul(count as u64)))
        }
        DataType::List(_) | DataType::Map(..) => in_lists(integers::<i32>(data.buffers(), start), &children[0]),
        DataType::LargeList(_) => in_lists(integers::<i64>(data.buffers(), start), &children[0]),
        DataType::FixedSizeList(_, size) => {
            let (size, items) = (usize::try_from(*size).unwrap_or_default(), before(&children[0]));
            let end = move |row: usize| row.saturating_mul(size);
            Box::new(move |count| items(end(start.saturating_add(count))).saturating_sub(items(end(start))))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let columns: Vec<Before<'_>> = children.iter().map(before).collect();
            Box::new(move |count| {
                let size = |column: &Before<'_>| column(start.saturating_add(count)).saturating_sub(column(start));
                columns.iter().fold(0, |sum, column| sum.saturating_add(size(column)))
            })
        }
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => in_runs(integers::<i16>(children[0].buffers(), children[0].offset()), data),
            DataType::Int32 => in_runs(integers::<i32>(children[0].buffers(), children[0].offset()), data),
            _ => in_runs(integers::<i64>(children[0].buffers(), children[0].offset()), data),
        },
        DataType::Utf8View | DataType::BinaryView | DataType::Dictionary(..) => summed(data),
        DataType::ListView(_) | DataType::LargeListView(_) => summed(data),
        DataType::FixedSizeBinary(width) => Box::new(|count| (*width as u64).saturating_mul(count as u64)),
        other => {
            let width = other.primitive_width().map_or(SMALLEST, |width| width as u64);
            Box::new(move |count| width.saturating_mul(count as u64))
        }
    }
}

/// Sums the sizes of values that can only be looked up one by one.
fn summed(data: &ArrayData) -> Before<'_> {
    let size = size_of_each(data);
    let mut sum = 0_u64;
    let mut sums = vec![0];
    sums.extend((0..data.len()).map(|row| {
        sum = sum.saturating_add(size(row));
        sum
    }));
    Box::new(move |count| sums[count.min(sums.len() - 1)])
}

/// Returns the size of a row of an array of views or with a dictionary.
fn size_of_each(data: &ArrayData) -> Before<'_> {
    let (start, buffers) = (data.offset(), data.buffers());
    let keys: Before<'_> = match data.data_type() {
        DataType::ListView(_) => {
            return viewed(
                integers::<i32>(buffers, start),
                integers::<i32>(&buffers[1..], start),
                &data.child_data()[0],
            );
        }
        DataType::LargeListView(_) => {
            return viewed(
                integers::<i64>(buffers, start),
                integers::<i64>(&buffers[1..], start),
                &data.child_data()[0],
            );
        }
        DataType::Dictionary(keys, _) => match keys.as_ref() {
            DataType::Int8 => integers::<i8>(buffers, start),
            DataType::UInt8 => integers::<u8>(buffers, start),
            DataType::Int16 => integers::<i16>(buffers, start),
            DataType::UInt16 => integers::<u16>(buffers, start),
            DataType::Int32 => integers::<i32>(buffers, start),
            DataType::UInt32 => integers::<u32>(buffers, start),
            DataType::Int64 => integers::<i64>(buffers, start),
            _ => integers::<u64>(buffers, start),
        },
        // The length of a view is its lowest 32 bits.
        _ => {
            let views: &[i128] = buffers.first().map_or(&[], |buffer| buffer.typed_data());
            return Box::new(move |row| {
                views.get(start + row).map_or(0, |view| u64::from(*view as u32)).saturating_add(4)
            });
        }
    };
    let values = before(&data.child_data()[0]);
    Box::new(move |row| {
        if data.nulls().is_some_and(|nulls| nulls.is_null(row)) {
            return SMALLEST;
        }
        let key = usize::try_from(keys(row)).unwrap_or(usize::MAX - 1);
        values(key.saturating_add(1)).saturating_sub(values(key))
    })
}

/// Returns the size of a row of an array of list views.
fn viewed<'a>(offsets: Before<'a>, sizes: Before<'a>, child: &'a ArrayData) -> Before<'a> {
    let items = before(child);
    Box::new(move |row| {
        let from = offsets(row) as usize;
        items(from.saturating_add(sizes(row) as usize)).saturating_sub(items(from)).saturating_add(4)
    })
}

fn in_lists<'a>(end: Before<'a>, child: &'a ArrayData) -> Before<'a> {
    let items = before(child);
    Box::new(move |count| {
        let size = items(end(count) as usize).saturating_sub(items(end(0) as usize));
        size.saturating_add(4_u64.saturating_mul(count as u64))
    })
}

/// Counts the values of each run by its length.
fn in_runs<'a>(ends: Before<'a>, data: &'a ArrayData) -> Before<'a> {
    let (values, length) = (before(&data.child_data()[1]), data.child_data()[0].len());
    let size = move |run: usize| values(run + 1).saturating_sub(values(run));
    // The ends of all runs, and what the values before each end take.
    let mut runs = vec![(0, 0_u64)];
    for run in 0..length {
        let (from, sum) = runs[run];
        let to = ends(run).max(from);
        runs.push((to, sum.saturating_add(size(run).saturating_mul(to - from))));
    }
    let start = data.offset() as u64;
    let until = move |row: u64| {
        let run = runs.partition_point(|(end, _)| *end <= row) - 1;
        let (from, sum) = runs[run];
        if run == length { sum } else { sum.saturating_add(size(run).saturating_mul(row - from)) }
    };
    Box::new(move |count| until(start.saturating_add(count as u64)).saturating_sub(until(start)))
}

/// Returns the numbers of the first buffer from the place `start` on; 0 for those that are negative or not there.
fn integers<T: ArrowNativeType + TryInto<u64>>(buffers: &[Buffer], start: usize) -> Before<'_> {
    let numbers: &[T] = buffers.first().map_or(&[], |buffer| buffer.typed_data());
    Box::new(move |place| {
        let number = start.checked_add(place).and_then(|place| numbers.get(place));
        number.and_then(|number| (*number).try_into().ok()).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, DictionaryArray, Int8Array, Int32Array, Int64Array, ListArray, ListViewArray, NullArray, RunArray,
        StringArray, StringViewArray, StructArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn runs(ends: Vec<i32>, values: ArrayRef) -> ArrayRef {
        Arc::new(RunArray::<Int32Type>::try_new(&Int32Array::from(ends), &values).expect("runs"))
    }

    fn field(array: &ArrayRef) -> Arc<Field> {
        Arc::new(Field::new("item", array.data_type().clone(), true))
    }

    #[test]
    fn each_encoding_is_measured_as_it_is_written_out() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "bcde"]));
        let ten_runs = runs(vec![4, 9, 10], Arc::clone(&numbers));
        let keys = Int8Array::from(vec![Some(1), None, Some(1), Some(0)]);
        let views =
            ListViewArray::new(field(&numbers), vec![0, 1].into(), vec![3, 2].into(), Arc::clone(&numbers), None);
        let view = StringViewArray::from(vec!["a text of 22 characters", "b"]);
        let in_lists = ListArray::new(
            field(&ten_runs),
            arrow::buffer::OffsetBuffer::from_lengths([3, 4]),
            ten_runs.slice(0, 7),
            None,
        );
        let expected: [(ArrayRef, u64); 9] = [
            (Arc::new(NullArray::new(5)), 5 * 8),
            (ten_runs.slice(2, 5), 5 * 8),
            (ten_runs, 10 * 8),
            (runs(vec![2, 3], Arc::clone(&texts)), 2 * 5 + 8),
            (Arc::new(DictionaryArray::new(keys, texts)), 8 + 8 + 8 + 5),
            (Arc::new(views), 5 * 8 + 2 * 4),
            (Arc::new(view), 23 + 1 + 2 * 4),
            (Arc::new(in_lists), 7 * 8 + 2 * 4),
            (Arc::new(StructArray::new_empty_fields(3, None)), 3 * 8),
        ];
        for (array, bytes) in expected {
            assert!(is_encoded(array.data_type()), "{array:?}");
            assert_eq!(total(&array.to_data()), bytes, "{array:?}");
        }
        assert!(!is_encoded(numbers.data_type()));
    }

    #[test]
    fn what_is_too_large_is_refused_once_all_of_it_is_counted() {
        let run = |rows: i32| runs(vec![rows], Arc::new(Int64Array::from(vec![7])));
        let room = Room::default();
        assert_eq!(room.take(&run(1 << 27)), Ok(()));
        let why = room.take(&run((1 << 27) + 100)).expect_err("both take more than 2 GiB");
        assert!(
            why.starts_with("the data would take 2147484448 bytes once it is written out, more than the "),
            "{why}"
        );
        assert!(Room::default().take(&NullArray::new(MOST_ROWS)).is_err());
        assert!(Room::default().take_rows(MOST_ROWS).is_err());
        assert_eq!(Room::default().take_rows(1000), Ok(()));
    }
}
