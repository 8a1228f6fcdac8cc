//! COUNT: the number of rows, or of arguments that are not NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, UInt64Array};
use arrow::datatypes::DataType;

use super::Accumulator;
use super::selection::Selection;
use crate::segments::Segments;
use crate::{Diff, Diffs, Evaluated};

/// Creates a count with results of `data_type`, if that is an integer type of 64 bits.
pub(super) fn make(_argument: Option<&DataType>, data_type: &DataType) -> Option<Box<dyn Accumulator>> {
    match data_type {
        DataType::Int64 => Some(Box::new(Count { counts: Segments::default(), signed: true })),
        DataType::UInt64 => Some(Box::new(Count { counts: Segments::default(), signed: false })),
        _ => None,
    }
}

struct Count {
    counts: Segments<Diff>,
    signed: bool,
}

impl Accumulator for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.grow(groups, || 0);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let counts = &mut self.counts;
        Selection::new(groups.len(), argument, diffs, filter).for_each(|row, diff| {
            let count = &mut counts[groups[row] as usize];
            *count = count.wrapping_add(diff);
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let counts = groups.iter().map(|group| self.counts[*group as usize]);
        let values: ArrayRef = if self.signed {
            Arc::new(Int64Array::from_iter_values(counts))
        } else {
            Arc::new(UInt64Array::from_iter_values(counts.map(|count| u64::try_from(count).unwrap_or(0))))
        };
        Evaluated { values, errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.counts[group as usize] = 0;
    }

    fn discard(&mut self, rows: usize) -> usize {
        self.counts.free(rows)
    }

    fn bytes(&self) -> usize {
        self.counts.bytes()
    }
}
