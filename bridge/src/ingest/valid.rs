//! Checks that Arrow data from elsewhere is what its types say, and copies it.
//!
//! Arrow data is not checked on the way in: whoever hands it over vouches for it. But all later code relies on text
//! being UTF-8, offsets lying within their buffers, decimals having no more digits than their type, and times lying
//! within a day. So all of this is checked once, here.
//!
//! The data is copied because its memory is not ours. It may change later, such as that of a numpy array behind
//! pyarrow; and releasing it may run code that waits for the interpreter, which a worker must not do.

use std::sync::Arc;

use arrow::array::{
    AnyDictionaryArray, Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MutableArrayData,
    OffsetSizeTrait, PrimitiveArray, make_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Time64MicrosecondType, TimeUnit};

use super::exact::MORE_DIGITS;
use super::refused::{Reason, reencode, with_nulls};
use super::room::Room;
use super::time::is_of_day;

const NOT_OF_DAY: Reason = "it is no time of day";

/// A row, and why it does not match its type.
type Invalid = (usize, String);

/// Why Arrow data cannot be taken over.
#[derive(Debug)]
pub enum Foreign {
    /// The row does not match its type, and why.
    Invalid(usize, String),
    /// There is no room for the data, and why.
    TooLarge(String),
}

/// Returns a copy of `array`, for which there must be `room`.
///
/// Of dictionaries and views only what says which are NULL is copied, since they are cast later: no column has such a
/// type, and casts make all else anew.
pub fn own(array: &ArrayRef, room: &Room) -> Result<ArrayRef, Foreign> {
    // Only what is no longer than it says can be measured, and only what is small enough can be checked: the check writes
    // out the encodings.
    let malformed = if array.is_empty() { None } else { first_malformed(array) };
    if malformed.is_none() {
        room.take(array).map_err(Foreign::TooLarge)?;
    }
    if let Some((row, why)) = malformed.or_else(|| first_invalid(array)) {
        return Err(Foreign::Invalid(row, why));
    }
    if matches!(array.data_type(), DataType::Dictionary(..) | DataType::Utf8View | DataType::BinaryView) {
        let nulls = array.nulls().map(|nulls| NullBuffer::new(nulls.iter().collect()));
        return Ok(with_nulls(array, nulls));
    }
    let data = array.to_data();
    let mut copy = MutableArrayData::new(vec![&data], false, data.len());
    copy.try_extend(0, 0, data.len()).map_err(|error| Foreign::Invalid(0, error.to_string()))?;
    Ok(make_array(copy.freeze()))
}

/// Returns the first row of `array` that does not match its type, and why. For data that is malformed as a whole this
/// is row 0; for a dictionary, the first row with its first invalid value.
fn first_invalid(array: &ArrayRef) -> Option<(usize, String)> {
    if array.is_empty() {
        return None;
    }
    first_malformed(array).or_else(|| match array.data_type() {
        DataType::Time64(TimeUnit::Microsecond) => {
            first(array.as_primitive::<Time64MicrosecondType>(), NOT_OF_DAY, |micros| !is_of_day(micros))
        }
        DataType::Decimal128(precision, _) => {
            let bound = 10_u128.pow((*precision).into());
            first(array.as_primitive::<Decimal128Type>(), MORE_DIGITS, |digits| digits.unsigned_abs() >= bound)
        }
        DataType::List(_) => in_lists(array.as_list::<i32>()),
        DataType::LargeList(_) => in_lists(array.as_list::<i64>()),
        DataType::FixedSizeList(..) => in_fixed_size_lists(array.as_fixed_size_list()),
        DataType::Struct(_) => array.as_struct().columns().iter().filter_map(first_invalid).min_by_key(|(row, _)| *row),
        DataType::Dictionary(..) => in_dictionary(array.as_any_dictionary()),
        DataType::ListView(field) | DataType::LargeListView(field) => {
            reencode(array, &DataType::List(Arc::clone(field))).ok().and_then(|lists| first_invalid(&lists))
        }
        DataType::RunEndEncoded(_, values) => {
            reencode(array, values.data_type()).ok().and_then(|values| first_invalid(&values))
        }
        // Types that no column has are checked by the casts.
        _ => None,
    })
}

fn first_malformed(array: &ArrayRef) -> Option<Invalid> {
    let mut why = malformed(array)?;
    // Binary search: the shortest malformed prefix ends with the malformed row.
    let (mut good, mut bad) = (0, array.len());
    while good + 1 < bad {
        let middle = good.midpoint(bad);
        match malformed(&array.slice(0, middle)) {
            Some(found) => (bad, why) = (middle, found),
            None => good = middle,
        }
    }
    Some((bad - 1, why))
}

fn malformed(array: &ArrayRef) -> Option<String> {
    let data = array.to_data();
    let checked = match array.data_type() {
        // The contents of these are checked separately: only then is it known which row is invalid.
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(..)
        | DataType::Struct(_)
        | DataType::Dictionary(..) => data.validate_data(),
        _ => data.validate_full(),
    };
    checked.err().map(|error| format!("it is no valid Arrow data: {error}"))
}

fn first<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    why: Reason,
    is_wrong: impl Fn(T::Native) -> bool,
) -> Option<Invalid> {
    let row = array.iter().position(|value| value.is_some_and(&is_wrong))?;
    Some((row, why.to_owned()))
}

fn in_lists<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> Option<Invalid> {
    let offsets = lists.value_offsets();
    let (from, to) = (offsets[0].as_usize(), offsets[lists.len()].as_usize());
    let (item, why) = first_invalid(&lists.values().slice(from, to - from))?;
    // The item is in the last list that begins at or before it.
    let row = offsets.partition_point(|offset| offset.as_usize() <= from + item) - 1;
    Some((row, why))
}

fn in_fixed_size_lists(lists: &FixedSizeListArray) -> Option<Invalid> {
    let size = usize::try_from(lists.value_length()).expect("the type is valid");
    let (item, why) = first_invalid(&lists.values().slice(0, lists.len() * size))?;
    Some((item / size, why))
}

fn in_dictionary(array: &dyn AnyDictionaryArray) -> Option<Invalid> {
    let (invalid, why) = first_invalid(array.values())?;
    let keys = array.normalized_keys();
    let row = keys.iter().enumerate().position(|(row, key)| *key == invalid && array.is_valid(row));
    Some((row.unwrap_or(0), why))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayData, Decimal128Array, DictionaryArray, Int32Array, ListArray, StringArray, StringViewArray, StructArray,
        Time64MicrosecondArray, make_array,
    };
    use arrow::buffer::{Buffer, OffsetBuffer};
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn text(bytes: &[u8], offsets: &[i32]) -> ArrayRef {
        let data = ArrayData::builder(DataType::Utf8)
            .len(offsets.len() - 1)
            .add_buffer(Buffer::from_slice_ref(offsets))
            .add_buffer(Buffer::from_slice_ref(bytes));
        // SAFETY: the unsound contents are what the test looks for, and nothing reads them before they are found.
        #[expect(unsafe_code, reason = "only a caller's promise can be broken")]
        make_array(unsafe { data.build_unchecked() })
    }

    #[test]
    fn what_is_valid_has_no_invalid_row() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(StringArray::from(vec![Some("ä"), None, Some("")])),
            Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999)])),
            Arc::new(Decimal128Array::from(vec![999, -999]).with_precision_and_scale(3, 1).expect("a decimal type")),
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None])),
        ];
        for array in arrays {
            assert_eq!(first_invalid(&array), None, "{array:?}");
            assert_eq!(first_invalid(&array.slice(1, 1)), None);
            assert_eq!(first_invalid(&array.slice(0, 0)), None);
        }
    }

    #[test]
    fn the_first_invalid_row_is_found() {
        let row = |array: &ArrayRef| first_invalid(array).map(|(row, _)| row);
        assert_eq!(row(&text(b"ab\xffc\xfe", &[0, 1, 2, 3, 4, 5])), Some(2));
        // The halves of one character are not text, although the whole buffer is.
        assert_eq!(row(&text("aä".as_bytes(), &[0, 1, 2, 3])), Some(1));
        assert_eq!(row(&text(b"ab", &[0, 1, 9])), Some(1));
        let times: ArrayRef =
            Arc::new(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_400_000_000), Some(-1)]));
        assert_eq!(row(&times), Some(2));
        assert_eq!(row(&times.slice(3, 1)), Some(0));
        let field = Arc::new(Field::new("t", times.data_type().clone(), true));
        assert_eq!(row(&(Arc::new(StructArray::from(vec![(field, times)])) as ArrayRef)), Some(2));
        let digits = Decimal128Array::from(vec![999, 1000]).with_precision_and_scale(3, 1).expect("a decimal type");
        assert_eq!(row(&(Arc::new(digits) as ArrayRef)), Some(1));
    }

    #[test]
    fn nulls_of_dictionaries_and_views_are_copied() {
        let coded: DictionaryArray<Int32Type> = [Some("a"), None].into_iter().collect();
        let arrays: [ArrayRef; 2] = [Arc::new(coded), Arc::new(StringViewArray::from(vec![Some("a"), None]))];
        for array in arrays {
            let owned = own(&array, &Room::default()).expect("is valid");
            assert_eq!(&owned, &array);
            let place = |array: &ArrayRef| array.nulls().expect("one is NULL").buffer().as_ptr();
            assert_ne!(place(&owned), place(&array), "{array:?}");
        }
    }

    #[test]
    fn what_lists_and_dictionaries_hold_is_found_in_its_row() {
        let row = |array: ArrayRef| first_invalid(&array).map(|(row, _)| row);
        let words = text(b"ab\xffc", &[0, 1, 2, 3, 4]);
        let field = Arc::new(Field::new("item", words.data_type().clone(), true));
        let lists = |offsets: &[i32]| {
            let offsets = OffsetBuffer::new(offsets.to_vec().into());
            ListArray::new(Arc::clone(&field), offsets, Arc::clone(&words), None)
        };
        assert_eq!(row(Arc::new(lists(&[0, 1, 2, 2, 4]))), Some(3));
        assert_eq!(row(Arc::new(lists(&[0, 1, 2, 2, 4]).slice(0, 3))), None, "no list has it");
        assert_eq!(row(Arc::new(lists(&[0, 3, 4]))), Some(0));
        let pairs = FixedSizeListArray::new(Arc::clone(&field), 2, Arc::clone(&words), None);
        assert_eq!(row(Arc::new(pairs)), Some(1));
        let keys = Int32Array::from(vec![Some(1), None, Some(0), Some(2)]);
        assert_eq!(row(Arc::new(DictionaryArray::new(keys, Arc::clone(&words)))), Some(3));
    }
}
