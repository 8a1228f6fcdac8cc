//! The aggregates of groups at one moment: rows, or failures where an aggregate did not fit its type.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, concat, interleave, take};

use super::aggregates::Aggregates;

/// What the aggregates of some groups evaluate to.
pub(super) struct GroupResults {
    /// The groups that have a row, each once.
    pub(super) groups: Vec<u32>,
    /// One column per aggregate, with one value per group.
    pub(super) columns: Vec<ArrayRef>,
    /// The group, the aggregate and the reason of each failure.
    pub(super) failures: Vec<(u32, usize, String)>,
}

impl GroupResults {
    /// Evaluates `groups`; a group with a failure has no row.
    pub(super) fn of(groups: Vec<u32>, aggregates: &Aggregates) -> GroupResults {
        let (mut columns, mut failures) = (Vec::new(), Vec::new());
        let mut has_row = vec![true; groups.len()];
        for (aggregate, evaluated) in aggregates.evaluate(&groups).enumerate() {
            for error in evaluated.errors {
                has_row[error.row] = false;
                failures.push((groups[error.row], aggregate, error.message));
            }
            columns.push(evaluated.values);
        }
        if failures.is_empty() {
            return GroupResults { groups, columns, failures };
        }
        let kept: Vec<u32> = (0..groups.len() as u32).filter(|position| has_row[*position as usize]).collect();
        let groups = kept.iter().map(|position| groups[*position as usize]).collect();
        let kept = UInt32Array::from(kept);
        let columns = columns.iter().map(|column| rows_of(column, &kept)).collect();
        GroupResults { groups, columns, failures }
    }

    /// Concatenates the results of different groups; `None` if there are none.
    pub(super) fn concatenate(mut parts: Vec<GroupResults>) -> Option<GroupResults> {
        if parts.len() <= 1 {
            return parts.pop();
        }
        let column = |c: usize| {
            let columns: Vec<&dyn Array> = parts.iter().map(|part| part.columns[c].as_ref()).collect();
            concat(&columns).expect("an aggregate's columns are of one type")
        };
        let columns = (0..parts[0].columns.len()).map(column).collect();
        let groups = parts.iter().flat_map(|part| part.groups.iter().copied()).collect();
        let failures = parts.into_iter().flat_map(|part| part.failures).collect();
        Some(GroupResults { groups, columns, failures })
    }
}

fn rows_of(column: &ArrayRef, positions: &UInt32Array) -> ArrayRef {
    take(column, positions, None).expect("positions are in range")
}

/// Returns for each pair of positions in `old` and `new` whether the rows there are the same.
pub(super) fn unchanged(old: &GroupResults, new: &GroupResults, pairs: &[(u32, u32)]) -> BooleanArray {
    // Often all groups existed before and still exist: then the columns are compared as they are.
    let aligned = pairs.len() == new.groups.len() && old.groups == new.groups;
    if let (true, [_]) = (aligned, pairs) {
        // For a single row, the kernel takes longer than everything else that is done with it.
        return BooleanArray::from(vec![old.columns == new.columns]);
    }
    let positions = (!aligned).then(|| {
        let olds = UInt32Array::from_iter_values(pairs.iter().map(|pair| pair.0));
        (olds, UInt32Array::from_iter_values(pairs.iter().map(|pair| pair.1)))
    });
    let columns = old.columns.iter().zip(&new.columns).map(|(old, new)| match &positions {
        None => not_distinct(old, new),
        Some((olds, news)) => not_distinct(&rows_of(old, olds), &rows_of(new, news)),
    });
    let columns = columns.map(|same| same.expect("accumulators give comparable types"));
    let all = columns.reduce(|one, other| and(&one, &other).expect("both have one value a pair"));
    all.unwrap_or_else(|| BooleanArray::from(vec![true; pairs.len()]))
}

/// Returns the columns of chosen rows of two results, given by which of the two (0 or 1) and the position there.
pub(super) fn pick(from: [&GroupResults; 2], positions: &[(usize, usize)]) -> Vec<ArrayRef> {
    let column = |c: usize| {
        let columns = [from[0].columns[c].as_ref(), from[1].columns[c].as_ref()];
        interleave(&columns, positions).expect("both columns are of one type")
    };
    (0..from[1].columns.len()).map(column).collect()
}
