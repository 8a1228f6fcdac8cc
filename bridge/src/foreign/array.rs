//! Reads a C array: checks what its structs say, and makes Arrow data of its buffers, which are not copied.
//!
//! Afterwards all buffers and children are there, none is shorter than the lengths and last offsets say, and all are
//! aligned. What the buffers hold is not checked here, but with the values, so that messages can name the row.
//!
//! How long a buffer is, the interface does not say: a buffer that is there is as long as the array says it is.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use arrow::array::{ArrayData, ArrayDataBuilder, layout};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, IntervalUnit, UnionMode};
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowArray;

use super::cut::{Parts, children_by_place};
use super::part::{failure, part, parts};
use crate::ingest::MOST_ROWS;

/// No buffer is longer: it is the size of the address space.
const MOST_BYTES: usize = 1 << 47;

/// Maximum number of buffers of one array: views have any number of them.
const MOST_BUFFERS: usize = 1 << 24;

/// Returns the data of an array whose type is `data_type`.
pub(super) fn read(array: FFI_ArrowArray, data_type: &DataType) -> Result<ArrayData, ArrowError> {
    if array.is_released() {
        return Err(failure("the array was released already"));
    }
    let owner = Arc::new(array);
    let mut data = Part { array: &owner, data_type, owner: &owner }.read()?;
    data.align_buffers();
    Ok(data)
}

/// Returns a buffer that begins at a multiple of `to` bytes, copied if it did not.
fn aligned(buffer: Buffer, to: usize) -> Buffer {
    if buffer.as_ptr().align_offset(to) == 0 { buffer } else { Buffer::from_slice_ref(&buffer) }
}

/// An array, or one that is a part of it.
struct Part<'a> {
    array: &'a FFI_ArrowArray,
    data_type: &'a DataType,
    /// Releases the memory of all parts when it is dropped.
    owner: &'a Arc<FFI_ArrowArray>,
}

impl Part<'_> {
    fn read(&self) -> Result<ArrayData, ArrowError> {
        let (length, offset) = (self.number(self.array.length, "length")?, self.number(self.array.offset, "offset")?);
        if length > MOST_ROWS {
            return Err(failure(&format!("an array has {length} values, more than the {MOST_ROWS} that one can")));
        }
        if length == 0 {
            return Ok(ArrayData::new_empty(self.data_type));
        }
        let end = length + offset;
        let mut pointers = self.pointers()?;
        let nulls = self.nulls(&mut pointers, length, end)?;
        let buffers = self.buffers(pointers, end)?;
        let mut children = self.children(end)?;
        children.extend(self.dictionary()?);
        if let Some(by) = children_by_place(self.data_type) {
            let nulls = nulls.map(|nulls| NullBuffer::new(BooleanBuffer::new(nulls, offset, length)));
            let parts = Parts { by, nulls, type_ids: buffers.into_iter().next(), children };
            return Ok(parts.cut(self.data_type, offset, length));
        }
        let data = ArrayDataBuilder::new(self.data_type.clone()).len(length).offset(offset).null_bit_buffer(nulls);
        let data = data.buffers(buffers).child_data(children);
        // SAFETY: all buffers and children are there and long enough. That their contents are valid is checked before
        // they are used.
        #[expect(unsafe_code, reason = "the contents are checked later, row by row")]
        Ok(unsafe { data.build_unchecked() })
    }

    /// Returns a number of values.
    fn number(&self, number: i64, what: &str) -> Result<usize, ArrowError> {
        let number = usize::try_from(number).ok().filter(|number| *number <= MOST_BYTES);
        number.ok_or_else(|| self.wrong(&format!("the {what} is out of range")))
    }

    fn wrong(&self, why: &str) -> ArrowError {
        failure(&format!("an array of type {} is malformed: {why}", self.data_type))
    }

    /// Returns the pointers to the buffers, of which there must be as many as the type has.
    #[expect(unsafe_code, reason = "the C data interface is pointers")]
    fn pointers(&self) -> Result<Vec<*const c_void>, ArrowError> {
        // A producer's null arrays may have a buffer for validity, as those of polars do.
        if *self.data_type == DataType::Null {
            return Ok(Vec::new());
        }
        let layout = layout(self.data_type);
        let least = layout.buffers.len() + usize::from(layout.can_contain_null_mask) + usize::from(layout.variadic);
        let found = usize::try_from(self.array.n_buffers).unwrap_or_default();
        let fits = if layout.variadic { (least..=MOST_BUFFERS).contains(&found) } else { found == least };
        if !fits {
            return Err(self.wrong(&format!("it has {} buffers", self.array.n_buffers)));
        }
        if found == 0 {
            return Ok(Vec::new());
        }
        if self.array.buffers.is_null() {
            return Err(self.wrong("its buffers are missing"));
        }
        // SAFETY: by the protocol, there are as many pointers as the array says.
        Ok((0..found).map(|place| unsafe { self.array.buffers.add(place).read_unaligned() }).collect())
    }

    /// Takes the buffer of validity from the front of the pointers.
    fn nulls(
        &self,
        pointers: &mut Vec<*const c_void>,
        length: usize,
        end: usize,
    ) -> Result<Option<Buffer>, ArrowError> {
        if !layout(self.data_type).can_contain_null_mask {
            return Ok(None);
        }
        let pointer = pointers.remove(0);
        // The count is not used, but for telling a missing buffer from one that is not needed.
        match self.array.null_count {
            0 => Ok(None),
            count if count < -1 || usize::try_from(count).is_ok_and(|count| count > length) => {
                Err(self.wrong("the number of NULLs is out of range"))
            }
            -1 if pointer.is_null() => Ok(None),
            _ => self.buffer(pointer, end.div_ceil(8)).map(Some),
        }
    }

    /// Returns the buffers without that of validity, each as long as `end` values need.
    fn buffers(&self, pointers: Vec<*const c_void>, end: usize) -> Result<Vec<Buffer>, ArrowError> {
        let stored = match self.data_type {
            DataType::Dictionary(keys, _) => keys.as_ref(),
            other => other,
        };
        let wide = |width: usize| self.bytes(end, width);
        let lengths = match stored {
            DataType::Boolean => vec![end.div_ceil(8)],
            DataType::FixedSizeBinary(width) => vec![wide(*width as usize)?],
            DataType::Utf8 | DataType::Binary => vec![wide(4)? + 4, self.last_offset::<i32>(&pointers, end)?],
            DataType::LargeUtf8 | DataType::LargeBinary => vec![wide(8)? + 8, self.last_offset::<i64>(&pointers, end)?],
            DataType::List(_) | DataType::Map(..) => vec![wide(4)? + 4],
            DataType::LargeList(_) => vec![wide(8)? + 8],
            DataType::ListView(_) => vec![wide(4)?; 2],
            DataType::LargeListView(_) => vec![wide(8)?; 2],
            DataType::Utf8View | DataType::BinaryView => return self.views(pointers, wide(16)?),
            DataType::Union(_, UnionMode::Sparse) => vec![end],
            DataType::Union(_, UnionMode::Dense) => vec![end, wide(4)?],
            other => match other.primitive_width() {
                Some(width) => vec![wide(width)?],
                None => Vec::new(),
            },
        };
        let buffers = pointers.into_iter().zip(lengths).map(|(pointer, length)| self.buffer(pointer, length));
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        // Arrow aligns these to 4 bytes, as their fields are, but copies them as numbers of 8.
        if *self.data_type == DataType::Interval(IntervalUnit::DayTime) {
            return Ok(buffers.into_iter().map(|buffer| aligned(buffer, align_of::<i64>())).collect());
        }
        Ok(buffers)
    }

    /// Returns the size of `count` values of `width` bytes.
    fn bytes(&self, count: usize, width: usize) -> Result<usize, ArrowError> {
        let bytes = count.checked_mul(width).filter(|bytes| *bytes <= MOST_BYTES);
        bytes.ok_or_else(|| self.wrong("it is longer than any memory"))
    }

    /// Returns the last offset of an array of texts or bytes, which is the length of the buffer that holds these.
    fn last_offset<T: Copy + TryInto<usize>>(
        &self,
        pointers: &[*const c_void],
        end: usize,
    ) -> Result<usize, ArrowError> {
        let offset: T = self.number_at(pointers[0], end)?;
        let offset = offset.try_into().ok().filter(|offset| *offset <= MOST_BYTES);
        offset.ok_or_else(|| self.wrong("an offset is out of range"))
    }

    #[expect(unsafe_code, reason = "the C data interface is pointers")]
    fn number_at<T: Copy>(&self, numbers: *const c_void, place: usize) -> Result<T, ArrowError> {
        if numbers.is_null() {
            return Err(self.wrong("a buffer is missing"));
        }
        // SAFETY: by the protocol, a buffer that is there has as many numbers as its array has values.
        Ok(unsafe { numbers.cast::<T>().add(place).read_unaligned() })
    }

    /// Returns the buffers of an array of views: the views and what they point to. The last pointer is to their lengths.
    fn views(&self, mut pointers: Vec<*const c_void>, of_views: usize) -> Result<Vec<Buffer>, ArrowError> {
        let lengths = pointers.pop().unwrap_or(std::ptr::null());
        let each = pointers.into_iter().enumerate().map(|(place, pointer)| match place.checked_sub(1) {
            None => self.buffer(pointer, of_views),
            Some(place) => self.buffer(pointer, self.number(self.number_at(lengths, place)?, "length of a buffer")?),
        });
        each.collect()
    }

    #[expect(unsafe_code, reason = "the C data interface is pointers")]
    fn buffer(&self, pointer: *const c_void, length: usize) -> Result<Buffer, ArrowError> {
        // A buffer without bytes may be anywhere.
        if length == 0 {
            return Ok(Buffer::from(Vec::<u8>::new()));
        }
        let pointer = NonNull::new(pointer.cast_mut().cast()).ok_or_else(|| self.wrong("a buffer is missing"))?;
        // SAFETY: by the protocol, the buffer is as long as the array says and stays until the owner is released.
        Ok(unsafe { Buffer::from_custom_allocation(pointer, length, Arc::<FFI_ArrowArray>::clone(self.owner)) })
    }

    /// Returns the data of the children, which must be long enough for `end` values.
    fn children(&self, end: usize) -> Result<Vec<ArrayData>, ArrowError> {
        let (types, least): (Vec<&DataType>, usize) = match self.data_type {
            DataType::List(item) | DataType::LargeList(item) | DataType::Map(item, _) => (vec![item.data_type()], 0),
            DataType::ListView(item) | DataType::LargeListView(item) => (vec![item.data_type()], 0),
            DataType::FixedSizeList(item, size) => (vec![item.data_type()], self.bytes(end, *size as usize)?),
            DataType::Struct(fields) => (fields.iter().map(|field| field.data_type()).collect(), end),
            DataType::Union(fields, mode) => (
                fields.iter().map(|(_, field)| field.data_type()).collect(),
                usize::from(*mode == UnionMode::Sparse) * end,
            ),
            DataType::RunEndEncoded(ends, values) => (vec![ends.data_type(), values.data_type()], 1),
            _ => (Vec::new(), 0),
        };
        let children = parts(self.array.children, self.array.n_children, types.len(), "array")?;
        if children.len() != types.len() {
            return Err(self.wrong(&format!("it has {} children", children.len())));
        }
        let children = children.into_iter().zip(types).map(|(child, data_type)| self.part(child, data_type));
        let children = children.collect::<Result<Vec<_>, _>>()?;
        if children.iter().any(|child| child.len() < least) {
            return Err(self.wrong("a child is shorter than it"));
        }
        if let DataType::RunEndEncoded(..) = self.data_type
            && (children[0].nulls().is_some() || children[0].len() != children[1].len())
        {
            return Err(self.wrong("its run ends are not those of its values"));
        }
        Ok(children)
    }

    fn dictionary(&self) -> Result<Option<ArrayData>, ArrowError> {
        match (self.data_type, part(self.array.dictionary)?) {
            (DataType::Dictionary(_, values), Some(dictionary)) => self.part(dictionary, values).map(Some),
            (DataType::Dictionary(..), None) => Err(self.wrong("its dictionary is missing")),
            (_, Some(_)) => Err(self.wrong("it has a dictionary")),
            (_, None) => Ok(None),
        }
    }

    fn part(&self, array: &FFI_ArrowArray, data_type: &DataType) -> Result<ArrayData, ArrowError> {
        if array.is_released() {
            return Err(self.wrong("a part of it was released already"));
        }
        Part { array, data_type, owner: self.owner }.read()
    }
}
