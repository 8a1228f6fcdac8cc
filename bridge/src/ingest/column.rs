//! `ColumnBuilder`: a column under construction, the same for the values of all sources. It takes each value exactly or
//! not at all.
//!
//! A column is reached through a vtable, since there are many types; what a value is, its source says by static calls.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, GenericByteBuilder, ListArray, NullBufferBuilder,
    PrimitiveBuilder, StringBuilder, StructArray, downcast_integer, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, ArrowTimestampType, ByteArrayType, DataType, Date32Type, Decimal128Type, FieldRef, Fields,
    Float32Type, Float64Type, Schema, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::cells::Cells;
use super::names::Unmatched;
use super::refused::{Reason, Why};

/// A column under construction.
pub trait ColumnBuilder<C: Cells> {
    /// Appends a value or NULL, and returns whether it is a value. The column must not be used after a refusal.
    fn append(&mut self, cell: &C::Cell<'_>) -> Result<bool, C::Refusal>;

    /// Appends NULL.
    fn append_null(&mut self);

    /// Returns the values as an array and leaves the column empty.
    fn finish(&mut self) -> ArrayRef;
}

/// Makes an empty column of `data_type` for values of the source `cells`, with room for about `rows` of them.
pub fn column_builder<C: Cells>(cells: C, data_type: &DataType, rows: usize) -> Box<dyn ColumnBuilder<C>> {
    macro_rules! integers {
        ($t:ty) => {
            primitive::<C, $t>(data_type, rows, move |cell| fit(cells.integer(cell)?, |number| number.integer()))
        };
    }
    macro_rules! floats {
        ($t:ty) => {
            primitive::<C, $t>(data_type, rows, move |cell| fit(cells.float(cell)?, |number| number.float()))
        };
    }
    downcast_integer! {
        data_type => (integers),
        DataType::Boolean => {
            leaf(BooleanBuilder::with_capacity(rows), BooleanBuilder::append_null, move |values, cell| {
                let value = cells.boolean(cell)?;
                values.append_option(value);
                Ok(value.is_some())
            })
        }
        DataType::Float32 => floats!(Float32Type),
        DataType::Float64 => floats!(Float64Type),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            primitive::<C, Decimal128Type>(data_type, rows, move |cell| {
                fit(cells.decimal(cell)?, |number| number.decimal(precision, scale))
            })
        }
        DataType::Utf8 => {
            let values = StringBuilder::with_capacity(rows, rows * VALUE_BYTES);
            leaf(values, StringBuilder::append_null, move |values, cell| append_bytes(values, cells.text(cell)?))
        }
        DataType::Binary => {
            let values = BinaryBuilder::with_capacity(rows, rows * VALUE_BYTES);
            leaf(values, BinaryBuilder::append_null, move |values, cell| append_bytes(values, cells.bytes(cell)?))
        }
        DataType::Date32 => {
            primitive::<C, Date32Type>(data_type, rows, move |cell| fit(cells.date(cell)?, |moment| moment.date()))
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<C, Time64MicrosecondType>(data_type, rows, move |cell| cells.time(cell))
        }
        DataType::Timestamp(unit, zone) => {
            let of_unit = match unit {
                TimeUnit::Second => timestamps::<C, TimestampSecondType>,
                TimeUnit::Millisecond => timestamps::<C, TimestampMillisecondType>,
                TimeUnit::Microsecond => timestamps::<C, TimestampMicrosecondType>,
                TimeUnit::Nanosecond => timestamps::<C, TimestampNanosecondType>,
            };
            of_unit(cells, data_type, rows, zone.is_some())
        }
        DataType::List(field) => Box::new(Lists::new(cells, field, rows)),
        DataType::Struct(fields) => Box::new(Structs::new(cells, fields, rows)),
        other => Box::new(Nulls { cells, data_type: other.clone(), rows: 0 }),
    }
}

/// Makes an empty column of text for values that JSON has.
pub fn json_builder<C: Cells>(cells: C, rows: usize) -> Box<dyn ColumnBuilder<C>> {
    let values = StringBuilder::with_capacity(rows, rows * VALUE_BYTES);
    leaf(values, StringBuilder::append_null, move |values, cell| append_bytes(values, cells.json(cell)?))
}

/// The room that a column reserves for each text or sequence of bytes.
const VALUE_BYTES: usize = 16;

/// Returns what the column stores for a value, or why it cannot.
#[inline]
fn fit<V, N, R: From<Why>>(value: Option<V>, exactly: impl FnOnce(V) -> Result<N, Reason>) -> Result<Option<N>, R> {
    value.map(exactly).transpose().map_err(|why| Why::from(why).into())
}

/// A column of values without parts.
struct Leaf<B, F> {
    values: B,
    append_null: fn(&mut B),
    append: F,
}

fn leaf<C: Cells, B: ArrayBuilder>(
    values: B,
    append_null: fn(&mut B),
    append: impl Fn(&mut B, &C::Cell<'_>) -> Result<bool, C::Refusal> + 'static,
) -> Box<dyn ColumnBuilder<C>> {
    Box::new(Leaf { values, append_null, append })
}

impl<C, B, F> ColumnBuilder<C> for Leaf<B, F>
where
    C: Cells,
    B: ArrayBuilder,
    F: Fn(&mut B, &C::Cell<'_>) -> Result<bool, C::Refusal>,
{
    fn append(&mut self, cell: &C::Cell<'_>) -> Result<bool, C::Refusal> {
        (self.append)(&mut self.values, cell)
    }

    fn append_null(&mut self) {
        (self.append_null)(&mut self.values);
    }

    fn finish(&mut self) -> ArrayRef {
        self.values.finish()
    }
}

/// Makes a column of values of fixed width, each of which `read` returns.
fn primitive<C: Cells, T: ArrowPrimitiveType>(
    data_type: &DataType,
    rows: usize,
    read: impl Fn(&C::Cell<'_>) -> Result<Option<T::Native>, C::Refusal> + 'static,
) -> Box<dyn ColumnBuilder<C>> {
    let values = PrimitiveBuilder::<T>::with_capacity(rows).with_data_type(data_type.clone());
    leaf(values, PrimitiveBuilder::append_null, move |values, cell| {
        let value = read(cell)?;
        values.append_option(value);
        Ok(value.is_some())
    })
}

fn timestamps<C: Cells, T: ArrowTimestampType>(
    cells: C,
    data_type: &DataType,
    rows: usize,
    is_zoned: bool,
) -> Box<dyn ColumnBuilder<C>> {
    primitive::<C, T>(data_type, rows, move |cell| {
        fit(cells.timestamp(cell)?, |moment| moment.timestamp(T::UNIT, is_zoned))
    })
}

#[inline]
fn append_bytes<T: ByteArrayType<Offset = i32, Native: ToOwned>, R: From<Why>>(
    values: &mut GenericByteBuilder<T>,
    value: Option<Cow<'_, T::Native>>,
) -> Result<bool, R> {
    let Some(value) = value else {
        values.append_null();
        return Ok(false);
    };
    let bytes: &[u8] = (*value).as_ref();
    if values.values_slice().len() + bytes.len() > i32::MAX as usize {
        return Err(Why::from("the batch holds more than the 2 GiB that one can").into());
    }
    values.append_value(&*value);
    Ok(true)
}

/// A column of a type of which no values can be given.
struct Nulls<C> {
    cells: C,
    data_type: DataType,
    rows: usize,
}

impl<C: Cells> ColumnBuilder<C> for Nulls<C> {
    fn append(&mut self, cell: &C::Cell<'_>) -> Result<bool, C::Refusal> {
        self.cells.null(cell)?;
        self.rows += 1;
        Ok(false)
    }

    fn append_null(&mut self) {
        self.rows += 1;
    }

    fn finish(&mut self) -> ArrayRef {
        new_null_array(&self.data_type, std::mem::take(&mut self.rows))
    }
}

struct Lists<C: Cells> {
    cells: C,
    field: FieldRef,
    elements: Box<dyn ColumnBuilder<C>>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl<C: Cells> Lists<C> {
    fn new(cells: C, field: &FieldRef, rows: usize) -> Self {
        let elements = column_builder(cells, field.data_type(), rows);
        Lists { cells, field: Arc::clone(field), elements, offsets: vec![0], nulls: NullBufferBuilder::new(rows) }
    }

    /// Returns the number of elements of all lists.
    fn end(&self) -> i32 {
        self.offsets.last().copied().unwrap_or_default()
    }
}

impl<C: Cells> ColumnBuilder<C> for Lists<C> {
    fn append(&mut self, cell: &C::Cell<'_>) -> Result<bool, C::Refusal> {
        let (elements, is_nullable) = (&mut self.elements, self.field.is_nullable());
        let mut count = 0_usize;
        let is_value = self.cells.elements(cell, |element| {
            count += 1;
            if elements.append(element)? || is_nullable { Ok(()) } else { Err(Why::Null.into()) }
        })?;
        if !is_value {
            self.append_null();
            return Ok(false);
        }
        let end = i32::try_from(count).ok().and_then(|count| self.end().checked_add(count));
        self.offsets.push(end.ok_or_else(|| Why::from("its list is too long"))?);
        self.nulls.append_non_null();
        Ok(true)
    }

    fn append_null(&mut self) {
        self.offsets.push(self.end());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        Arc::new(ListArray::new(Arc::clone(&self.field), offsets, self.elements.finish(), self.nulls.finish()))
    }
}

struct Structs<C: Cells> {
    cells: C,
    schema: Schema,
    columns: Vec<Box<dyn ColumnBuilder<C>>>,
    nulls: NullBufferBuilder,
    /// Whether the struct that is appended has each field.
    given: Vec<bool>,
}

impl<C: Cells> Structs<C> {
    fn new(cells: C, fields: &Fields, rows: usize) -> Self {
        Structs {
            cells,
            schema: Schema::new(fields.clone()),
            columns: fields.iter().map(|field| column_builder(cells, field.data_type(), rows)).collect(),
            nulls: NullBufferBuilder::new(rows),
            given: vec![false; fields.len()],
        }
    }
}

impl<C: Cells> ColumnBuilder<C> for Structs<C> {
    fn append(&mut self, cell: &C::Cell<'_>) -> Result<bool, C::Refusal> {
        let Structs { cells, schema, columns, given, .. } = self;
        given.fill(false);
        let is_value = cells.members(cell, schema, |place, member| {
            let field = schema.field(place);
            if std::mem::replace(&mut given[place], true) {
                return Err(Why::Value(Unmatched::Twice(field.name().clone()).in_value()).into());
            }
            if columns[place].append(member)? || field.is_nullable() { Ok(()) } else { Err(Why::Null.into()) }
        })?;
        if !is_value {
            self.append_null();
            return Ok(false);
        }
        for ((column, field), given) in columns.iter_mut().zip(schema.fields()).zip(given) {
            if !*given && !field.is_nullable() {
                return Err(Why::Null.into());
            }
            if !*given {
                column.append_null();
            }
        }
        self.nulls.append_non_null();
        Ok(true)
    }

    fn append_null(&mut self) {
        self.columns.iter_mut().for_each(|column| column.append_null());
        self.nulls.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        let (columns, rows) = (self.columns.iter_mut().map(|column| column.finish()).collect(), self.nulls.len());
        let structs =
            StructArray::try_new_with_length(self.schema.fields().clone(), columns, self.nulls.finish(), rows);
        Arc::new(structs.expect("every column has a value or NULL for each struct"))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::super::text_cells::TextCells;
    use super::super::value::Value;
    use super::*;

    fn list(is_nullable: bool) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(DataType::Int64, is_nullable)))
    }

    #[test]
    fn a_finished_column_begins_again() {
        let mut column = column_builder(TextCells, &list(true), 0);
        for (text, expected) in [("[1, null]", vec![Some(1), None]), ("[2]", vec![Some(2)])] {
            assert!(column.append(&Value::List(text)).expect("fits"));
            assert!(!column.append(&Value::Null).expect("fits"));
            let lists = column.finish();
            let lists = lists.as_list::<i32>();
            assert_eq!((lists.len(), lists.is_null(1)), (2, true));
            assert_eq!(lists.value(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn parts_that_must_not_be_null_refuse_it() {
        let fields = |is_nullable| {
            let given = Field::new("given", DataType::Int64, true);
            DataType::Struct(Fields::from(vec![given, Field::new("left_out", DataType::Int64, is_nullable)]))
        };
        for value in [Value::List("[1, null]"), Value::Object(r#"{"given": 1}"#)] {
            let of = if matches!(value, Value::List(_)) { list } else { fields };
            assert!(matches!(column_builder(TextCells, &of(true), 0).append(&value), Ok(true)), "{value:?}");
            assert!(matches!(column_builder(TextCells, &of(false), 0).append(&value), Err(Why::Null)), "{value:?}");
            assert!(matches!(column_builder(TextCells, &of(false), 0).append(&Value::Null), Ok(false)), "{value:?}");
        }
    }

    #[test]
    fn structs_without_fields_are_counted() {
        let mut column = column_builder(TextCells, &DataType::Struct(Fields::empty()), 0);
        for (value, is_value) in [(Value::Object("{}"), true), (Value::Null, false)] {
            assert_eq!(column.append(&value).expect("fits"), is_value);
        }
        assert!(column.append(&Value::Object(r#"{"a": 1}"#)).is_err());
        let structs = column.finish();
        assert_eq!((structs.len(), structs.is_null(0), structs.is_null(1)), (2, false, true));
    }

    #[test]
    fn types_without_values_hold_null_alone() {
        let mut column = column_builder(TextCells, &DataType::Null, 0);
        assert!(!column.append(&Value::Null).expect("fits"));
        assert!(matches!(column.append(&Value::Field("")), Err(Why::Value(why)) if why == "no text can be"));
        assert_eq!(column.finish().len(), 1);
    }
}
