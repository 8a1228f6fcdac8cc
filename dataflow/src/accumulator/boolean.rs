//! BOOL_AND and BOOL_OR: from how often each of the two values occurs.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;

use super::Accumulator;
use super::selection::Selection;
use crate::segments::Segments;
use crate::{Diff, Diffs, Evaluated};

/// How truth values are combined.
#[derive(Clone, Copy, Debug)]
pub(super) enum Connective {
    And,
    Or,
}

/// Creates the connective over booleans, or returns `None` for other types.
pub(super) fn make(connective: Connective, argument: &DataType, data_type: &DataType) -> Option<Box<dyn Accumulator>> {
    let boolean = *argument == DataType::Boolean && *data_type == DataType::Boolean;
    boolean.then(|| Box::new(Truth { connective, counts: Segments::default() }) as Box<dyn Accumulator>)
}

struct Truth {
    connective: Connective,
    /// For each group, how many values are false and how many are true.
    counts: Segments<[Diff; 2]>,
}

impl Accumulator for Truth {
    fn resize(&mut self, groups: usize) {
        self.counts.grow(groups, || [0, 0]);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let values = argument.expect("the aggregate has an argument").as_boolean().values();
        Selection::new(groups.len(), argument, diffs, filter).for_each(|row, diff| {
            let count = &mut self.counts[groups[row] as usize][usize::from(values.value(row))];
            *count = count.wrapping_add(diff);
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let values: BooleanArray = groups
            .iter()
            .map(|group| match (self.counts[*group as usize], self.connective) {
                ([0, 0], _) => None,
                ([no, _], Connective::And) => Some(no == 0),
                ([_, yes], Connective::Or) => Some(yes != 0),
            })
            .collect();
        Evaluated { values: Arc::new(values), errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.counts[group as usize] = [0, 0];
    }

    fn discard(&mut self, rows: usize) -> usize {
        self.counts.free(rows)
    }

    fn bytes(&self) -> usize {
        self.counts.bytes()
    }
}
