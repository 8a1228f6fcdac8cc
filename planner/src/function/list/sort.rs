//! The function `list_sort`, which puts NULLs last unless told otherwise.

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::elements::{Elements, built};
use crate::function::own::{Definition, is_text};

pub(in crate::function) static SORT: Definition = Definition {
    name: "array_sort",
    aliases: &["list_sort"],
    takes: |types| {
        let (list, words) = types.split_first()?;
        let taken = matches!(list, DataType::List(_) | DataType::Null) && words.len() <= 2 && words.iter().all(is_text);
        taken.then(|| [vec![list.clone()], vec![DataType::Utf8; words.len()]].concat())
    },
    gives: |call| Ok(call.types[0].clone()),
    values: sorted,
};

/// Sorts each list as the words in its row say; the result is NULL if the list or one of the words is.
fn sorted(args: &[ArrayRef], to: &DataType) -> Result<ArrayRef> {
    let Some(words) = args[1..].iter().map(|arg| arg.as_string_opt::<i32>()).collect::<Option<Vec<_>>>() else {
        return exec_err!("the order of a list is a text");
    };
    if to.is_null() {
        return Ok(ArrayRef::clone(&args[0]));
    }
    let lists = Elements::new(&args[0])?;
    let (mut picked, mut lengths): (Vec<u64>, _) = (Vec::new(), Vec::with_capacity(args[0].len()));
    for row in 0..args[0].len() {
        let said = words.iter().all(|words| words.is_valid(row));
        let Some(elements) = lists.range(row).filter(|_| said) else {
            lengths.push(None);
            continue;
        };
        let descending = words.first().map_or(Ok(false), |words| is_descending(words, row))?;
        let nulls_first = words.get(1).map_or(Ok(false), |words| are_nulls_first(words, row))?;
        lengths.push(Some(elements.len()));
        let (nulls, mut values): (Vec<usize>, Vec<usize>) = elements.partition(|at| lists.row(*at).is_none());
        if descending {
            values.sort_by_key(|at| std::cmp::Reverse(lists.row(*at)));
        } else {
            values.sort_by_key(|at| lists.row(*at));
        }
        let parts = if nulls_first { [nulls, values] } else { [values, nulls] };
        picked.extend(parts.concat().into_iter().map(|at| at as u64));
    }
    built(take(lists.values(), &UInt64Array::from(picked), None)?, &lengths, to)
}

fn is_descending(words: &StringArray, row: usize) -> Result<bool> {
    match words.value(row).to_uppercase().as_str() {
        "ASC" | "ASCENDING" => Ok(false),
        "DESC" | "DESCENDING" => Ok(true),
        _ => exec_err!("the order of a list is 'ASC' or 'DESC'"),
    }
}

fn are_nulls_first(words: &StringArray, row: usize) -> Result<bool> {
    match words.value(row).to_uppercase().as_str() {
        "NULLS FIRST" => Ok(true),
        "NULLS LAST" => Ok(false),
        _ => exec_err!("NULLs of a list come 'NULLS FIRST' or 'NULLS LAST'"),
    }
}
