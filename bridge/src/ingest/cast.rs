//! Casts one column to a relation's type exactly, or refuses it and names the first row that cannot be cast. Lists and
//! structs are cast by casting their contents.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MutableArrayData, StructArray, make_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};

use super::names::match_columns;
use super::refused::{Refused, Why, first_null, first_valid, reencode, refuse_all, with_nulls};
use super::{number, time};

/// Casts the values of `array` to `target`. NULL stays NULL.
pub(super) fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, Refused> {
    match array.data_type() {
        source if source == target => return Ok(Arc::clone(array)),
        DataType::Null => return Ok(new_null_array(target, array.len())),
        // Of no values the type does not matter, and Arrow cannot undo every encoding.
        _ if array.is_empty() => return Ok(new_null_array(target, 0)),
        DataType::Dictionary(_, values) if matches!(**values, DataType::Union(..)) => {
            return refuse_all(array, target, "no union can be");
        }
        DataType::Dictionary(_, values) => return cast(&reencode(array, values)?, target),
        DataType::RunEndEncoded(_, values) => return cast(&reencode(array, values.data_type())?, target),
        _ => {}
    }
    match target {
        DataType::Boolean => refuse_all(array, target, "only booleans can be"),
        whole if whole.is_integer() => number::to_integer(array, target),
        DataType::Float32 | DataType::Float64 => number::to_float(array, target),
        DataType::Decimal128(precision, scale) => number::to_decimal(array, *precision, *scale),
        DataType::Utf8 => match array.data_type() {
            DataType::LargeUtf8 | DataType::Utf8View => reencode(array, target),
            _ => refuse_all(array, target, "only text can be"),
        },
        DataType::Binary => match array.data_type() {
            DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => reencode(array, target),
            _ => refuse_all(array, target, "only bytes can be"),
        },
        DataType::Date32 => time::to_date(array),
        DataType::Time64(TimeUnit::Microsecond) => time::to_time(array),
        DataType::Timestamp(unit, None) => time::to_timestamp(array, *unit),
        DataType::Timestamp(unit, Some(_)) => time::to_instant(array, *unit, target),
        DataType::List(field) => to_list(array, field),
        DataType::Struct(fields) => to_struct(array, fields),
        _ => refuse_all(array, target, "no other type can be"),
    }
}

fn to_list(array: &ArrayRef, element: &FieldRef) -> Result<ArrayRef, Refused> {
    let target = DataType::List(Arc::clone(element));
    match array.data_type() {
        DataType::List(_) => {}
        DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => {
            return to_list(&reencode(array, &DataType::List(Arc::clone(field)))?, element);
        }
        _ => return refuse_all(array, &target, "only lists can be"),
    }
    let list = array.as_list::<i32>();
    let (offsets, elements) = compact(list);
    // An element belongs to the last row that begins at or before it: rows without elements come before that one.
    let row_of = |at: usize| offsets.partition_point(|offset| *offset as usize <= at) - 1;
    let elements = cast(&elements, element.data_type())
        .map_err(|refused| Refused { row: row_of(refused.row), why: refused.why })?;
    if !element.is_nullable()
        && let Some(at) = first_null(&elements)
    {
        return Err(Refused { row: row_of(at), why: Why::Null });
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::new(Arc::clone(element), offsets, elements, list.nulls().cloned())))
}

/// Returns offsets that start at 0, and the elements of all lists that are not NULL and no others.
fn compact(list: &ListArray) -> (Vec<i32>, ArrayRef) {
    let given = list.value_offsets();
    let hidden = |row: usize| list.is_null(row) && given[row] != given[row + 1];
    let first = given[0];
    if list.null_count() == 0 || !(0..list.len()).any(hidden) {
        let offsets = given.iter().map(|offset| offset - first).collect();
        return (offsets, list.values().slice(first as usize, (given[list.len()] - first) as usize));
    }
    let data = list.values().to_data();
    let mut elements = MutableArrayData::new(vec![&data], false, data.len());
    let mut offsets = vec![0];
    for row in 0..list.len() {
        if list.is_valid(row) {
            let (from, to) = (given[row] as usize, given[row + 1] as usize);
            elements.try_extend(0, from, to).expect("no longer than the original");
        }
        offsets.push(elements.len() as i32);
    }
    (offsets, make_array(elements.freeze()))
}

fn to_struct(array: &ArrayRef, fields: &Fields) -> Result<ArrayRef, Refused> {
    let target = DataType::Struct(fields.clone());
    let DataType::Struct(given) = array.data_type() else {
        return refuse_all(array, &target, "only structs can be");
    };
    let Some(first) = first_valid(array) else { return Ok(new_null_array(&target, array.len())) };
    let places = match_columns(&Schema::new(given.clone()), &Schema::new(fields.clone()));
    let places = places.map_err(|why| Refused::new(first, why.in_value()))?;
    let rows = array.as_struct();
    let fit = |(field, place): (&Arc<Field>, &Option<usize>)| {
        let column = match place {
            Some(given) => cast(&masked(rows.column(*given), rows.nulls()), field.data_type())?,
            None => new_null_array(field.data_type(), rows.len()),
        };
        let is_missing = |row: &usize| rows.is_valid(*row) && column.is_null(*row);
        if !field.is_nullable()
            && let Some(row) = (0..rows.len()).find(is_missing)
        {
            return Err(Refused { row, why: Why::Null });
        }
        Ok(column)
    };
    let columns = fields.iter().zip(&places).map(fit).collect::<Result<_, Refused>>()?;
    Ok(Arc::new(StructArray::new(fields.clone(), columns, rows.nulls().cloned())))
}

/// Returns a field's values, with NULL where the whole struct is NULL: the values there are meaningless.
fn masked(column: &ArrayRef, nulls: Option<&NullBuffer>) -> ArrayRef {
    match nulls {
        Some(nulls) if nulls.null_count() > 0 && *column.data_type() != DataType::Null => {
            with_nulls(column, NullBuffer::union(column.nulls(), Some(nulls)))
        }
        _ => Arc::clone(column),
    }
}
