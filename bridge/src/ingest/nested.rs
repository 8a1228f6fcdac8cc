//! Casts lists and structs by casting their contents.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MutableArrayData, StructArray, make_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use super::cast::{Refused, Why, cast, first_null, first_valid, reencode, refuse_all, with_nulls};
use super::{Unmatched, match_columns};

pub(super) fn to_list(array: &ArrayRef, element: &FieldRef) -> Result<ArrayRef, Refused> {
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

pub(super) fn to_struct(array: &ArrayRef, fields: &Fields) -> Result<ArrayRef, Refused> {
    let target = DataType::Struct(fields.clone());
    let DataType::Struct(given) = array.data_type() else {
        return refuse_all(array, &target, "only structs can be");
    };
    let Some(first) = first_valid(array) else { return Ok(new_null_array(&target, array.len())) };
    let places = match_columns(&Schema::new(given.clone()), &Schema::new(fields.clone()));
    let places = places.map_err(|why| Refused::new(first, unmatched(&why)))?;
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

pub(super) fn unmatched(why: &Unmatched) -> String {
    match why {
        Unmatched::Unknown(field) => format!("the column has no field {field}"),
        Unmatched::Ambiguous(field) => format!("several fields of the column match {field}"),
        Unmatched::Twice(field) => format!("field {field} is given twice"),
    }
}
