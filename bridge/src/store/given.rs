//! Counting the rows that a commit was given, for the record of it.

use laminardb_dataflow::RelationId;

use super::delta::Applied;
use super::layout::Prepared;
use crate::relation::Operation;

/// Rows given to relations, in the order in which they were first written to.
pub(crate) type Given = Vec<(RelationId, u64)>;

/// Returns the number of rows given for each relation that `writes` are made to.
///
/// A statement that replaces rows removes the old ones and adds the new ones: the row counts once.
pub(crate) fn rows_given(writes: &[Prepared], applied: &[Applied]) -> Given {
    let mut given: Vec<(RelationId, u64, u64)> = Vec::with_capacity(1);
    for (write, applied) in writes.iter().zip(applied) {
        let relation = write.relation();
        let position = given.iter().position(|(other, ..)| *other == relation).unwrap_or_else(|| {
            given.push((relation, 0, 0));
            given.len() - 1
        });
        let (_, added, removed) = &mut given[position];
        match write.operation {
            Operation::Delete | Operation::Truncate => *removed += applied.given,
            Operation::Insert | Operation::Upsert | Operation::InsertNew | Operation::InsertMissing => {
                *added += applied.given;
            }
        }
    }
    given.into_iter().map(|(relation, added, removed)| (relation, added.max(removed))).collect()
}

/// Adds the rows of a further commit to those of the commits before.
pub(super) fn add(total: &mut Given, given: Given) {
    for (relation, rows) in given {
        match total.iter_mut().find(|(other, _)| *other == relation) {
            Some((_, sum)) => *sum += rows,
            None => total.push((relation, rows)),
        }
    }
}
