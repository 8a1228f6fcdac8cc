//! Functions that search, intersect and concatenate lists, with the dialect's rules for NULL.
//!
//! Elements compare as values outside of lists do: all NaNs are equal, 0.0 equals -0.0, intervals compare by length.

mod elements;
mod sort;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field};
use arrow::row::Row;
use datafusion::common::Result;

use super::own::{Definition, is_text};
use crate::common_type::{comparison_type, union_type};
use elements::{Elements, built, rows_of};

pub(super) use sort::SORT;

pub(super) static HAS: Definition = Definition {
    name: "array_has",
    aliases: &["list_has", "array_contains", "list_contains"],
    takes: |types| match types {
        [DataType::List(of), element] => {
            let common = common(of.data_type(), element, comparison_type)?;
            Some(vec![list_of(common.clone()), common])
        }
        [DataType::Null, element] => Some(vec![list_of(element.clone()), element.clone()]),
        _ => None,
    },
    gives: |_| Ok(DataType::Boolean),
    values: has,
};

pub(super) static HAS_ANY: Definition = Definition {
    name: "array_has_any",
    aliases: &["list_has_any", "arrays_overlap"],
    takes: two_lists,
    gives: |_| Ok(DataType::Boolean),
    values: |args, _| of_both(args, |left, right| left.iter().any(|element| right.contains(element))),
};

pub(super) static HAS_ALL: Definition = Definition {
    name: "array_has_all",
    aliases: &["list_has_all"],
    takes: two_lists,
    gives: |_| Ok(DataType::Boolean),
    values: |args, _| of_both(args, |left, right| right.is_subset(left)),
};

pub(super) static INTERSECT: Definition = Definition {
    name: "array_intersect",
    aliases: &["list_intersect"],
    takes: two_lists,
    gives: |call| Ok(call.types[0].clone()),
    values: intersect,
};

pub(super) static CONCAT: Definition = Definition {
    name: "array_concat",
    aliases: &["array_cat", "list_concat", "list_cat"],
    takes: one_list_type,
    gives: |call| Ok(call.types[0].clone()),
    values: |args, to| concat(args, to, NullList::Empty),
};

/// The operator `||` on lists; it cannot be called by name.
pub(super) static JOIN: Definition = Definition {
    name: "||",
    aliases: &[],
    takes: |types| if types.len() == 2 { one_list_type(types) } else { None },
    gives: |call| Ok(call.types[0].clone()),
    values: |args, to| concat(args, to, NullList::Null),
};

/// The number of elements of a list, or of characters of a text.
pub(super) static LENGTH: Definition = Definition {
    name: "length",
    aliases: &["len"],
    takes: |types| match types {
        [list @ DataType::List(_)] => Some(vec![list.clone()]),
        [text] if is_text(text) => Some(vec![DataType::Utf8]),
        _ => None,
    },
    gives: |_| Ok(DataType::Int64),
    values: |args, _| {
        let lengths: Int64Array = match args[0].data_type() {
            DataType::List(_) => args[0].as_list::<i32>().iter().map(|list| Some(list?.len() as i64)).collect(),
            _ => args[0].as_string::<i32>().iter().map(|text| Some(text?.chars().count() as i64)).collect(),
        };
        Ok(Arc::new(lengths))
    },
};

/// Returns whether `||` of two types concatenates lists.
pub(crate) fn joins_lists(left: &DataType, right: &DataType) -> bool {
    let are_lists = matches!(left, DataType::List(_)) || matches!(right, DataType::List(_));
    are_lists && one_list_type(&[left.clone(), right.clone()]).is_some()
}

/// What a NULL means among lists that are concatenated.
#[derive(Clone, Copy, PartialEq)]
enum NullList {
    /// NULL counts as a list without elements.
    Empty,
    /// NULL makes the result NULL.
    Null,
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

/// Returns the common type of elements; a text only goes with texts, and a list only with lists.
fn common(left: &DataType, right: &DataType, of: fn(&DataType, &DataType) -> Option<DataType>) -> Option<DataType> {
    match (left, right) {
        _ if left == right => Some(left.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        _ if is_text(left) != is_text(right) || left.is_nested() != right.is_nested() => None,
        (DataType::List(left), DataType::List(right)) => {
            Some(list_of(common(left.data_type(), right.data_type(), of)?))
        }
        _ => of(left, right),
    }
}

/// Accepts two lists whose elements can be compared; a bare NULL is taken for a list of the other's type.
fn two_lists(types: &[DataType]) -> Option<Vec<DataType>> {
    let [left, right] = types else { return None };
    let element = match (left, right) {
        (DataType::List(left), DataType::List(right)) => common(left.data_type(), right.data_type(), comparison_type)?,
        (DataType::List(of), DataType::Null) | (DataType::Null, DataType::List(of)) => of.data_type().clone(),
        (DataType::Null, DataType::Null) => DataType::Null,
        _ => return None,
    };
    Some(vec![list_of(element); 2])
}

/// Accepts lists with a common type, some of which may be bare NULLs; the type is Null if all are.
fn one_list_type(types: &[DataType]) -> Option<Vec<DataType>> {
    let mut element: Option<DataType> = None;
    for data_type in types {
        element = match (element, data_type) {
            (element, DataType::Null) => element,
            (None, DataType::List(of)) => Some(of.data_type().clone()),
            (Some(element), DataType::List(of)) => Some(common(&element, of.data_type(), union_type)?),
            _ => return None,
        };
    }
    let taken = element.map_or(DataType::Null, list_of);
    (!types.is_empty()).then(|| vec![taken; types.len()])
}

/// Returns whether a list has an element. For a NULL element it is NULL, or false if the list is empty.
fn has(args: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
    let lists = Elements::new(&args[0])?;
    let wanted = rows_of(&args[1])?;
    let found = |row: usize| {
        let elements = lists.range(row)?;
        if args[1].is_valid(row) && !args[1].data_type().is_null() {
            return Some(elements.into_iter().any(|at| lists.row(at) == Some(wanted.row(row))));
        }
        elements.is_empty().then_some(false)
    };
    Ok(Arc::new((0..args[0].len()).map(found).collect::<BooleanArray>()))
}

/// Tests a condition on the non-NULL elements of two lists; the result is NULL if one of the lists is.
fn of_both(args: &[ArrayRef], holds: fn(&HashSet<Row<'_>>, &HashSet<Row<'_>>) -> bool) -> Result<ArrayRef> {
    let (left, right) = (Elements::new(&args[0])?, Elements::new(&args[1])?);
    let answer = |row: usize| Some(holds(&left.set(row)?, &right.set(row)?));
    Ok(Arc::new((0..args[0].len()).map(answer).collect::<BooleanArray>()))
}

/// Returns the elements that both lists have, each once, without NULLs, in the order of the longer list.
fn intersect(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let (left, right) = (Elements::new(&args[0])?, Elements::new(&args[1])?);
    let (mut picked, mut lengths) = (Vec::new(), Vec::new());
    for row in 0..args[0].len() {
        let Some(of_left) = left.range(row) else {
            lengths.push(None);
            continue;
        };
        let before = picked.len();
        if let Some(of_right) = right.range(row) {
            let from_left = of_left.len() > of_right.len();
            let (source, from, mut wanted) =
                if from_left { (&left, of_left, right.set(row)) } else { (&right, of_right, left.set(row)) };
            let wanted = wanted.get_or_insert_default();
            let is_wanted = |at: &usize| source.row(*at).is_some_and(|element| wanted.remove(&element));
            picked.extend(from.filter(is_wanted).map(|at| (usize::from(!from_left), at)));
        }
        lengths.push(Some(picked.len() - before));
    }
    let values = interleave(&[left.values().as_ref(), right.values().as_ref()], &picked)?;
    built(values, &lengths, to)
}

/// Concatenates the lists of each row.
fn concat(args: &[ArrayRef], to: &DataType, null: NullList) -> Result<ArrayRef> {
    let rows = args[0].len();
    if to.is_null() {
        return Ok(new_null_array(to, rows));
    }
    let lists = args.iter().map(|arg| arg.as_list::<i32>()).collect::<Vec<_>>();
    let (mut picked, mut lengths) = (Vec::new(), Vec::new());
    for row in 0..rows {
        if null == NullList::Null && lists.iter().any(|list| list.is_null(row)) {
            lengths.push(None);
            continue;
        }
        let before = picked.len();
        for (source, list) in lists.iter().enumerate().filter(|(_, list)| list.is_valid(row)) {
            let [start, end] = [row, row + 1].map(|at| list.value_offsets()[at] as usize);
            picked.extend((start..end).map(|at| (source, at)));
        }
        lengths.push(Some(picked.len() - before));
    }
    let sources: Vec<&dyn Array> = lists.iter().map(|list| list.values().as_ref()).collect();
    built(interleave(&sources, &picked)?, &lengths, to)
}
