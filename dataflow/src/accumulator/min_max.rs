//! MIN and MAX: keeps the ordered multiset of a group's values, or only the best one if nothing is retracted.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hint::black_box;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;

use super::selection::Selection;
use super::value::{Decimals, Form, Intervals, Strings, Words};
use super::{Accumulator, Retractions};
use crate::ordered::{Held, Multiset};
use crate::plan::AggregateFunction;
use crate::segments::Segments;
use crate::{Diffs, Evaluated};

/// Which end of the order is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
}

impl End {
    /// Returns the end that is the result of `function`; `None` if that is neither MIN nor MAX.
    fn of(function: AggregateFunction) -> Option<End> {
        match function {
            AggregateFunction::Min => Some(End::Least),
            AggregateFunction::Max => Some(End::Greatest),
            _ => None,
        }
    }
}

/// Creates MIN or MAX, if values of the type have an order; the result must have the argument's type.
pub(super) fn make(
    end: End,
    argument: &DataType,
    data_type: &DataType,
    retractions: Retractions,
) -> Option<Box<dyn Accumulator>> {
    fn with_form<F: Form + 'static>(end: End, form: F, retractions: Retractions) -> Box<dyn Accumulator> {
        match retractions {
            Retractions::Possible => {
                Box::new(Ordered { end, form, groups: Segments::default(), held: Held::default() })
            }
            Retractions::Never => Box::new(Best { end, form, groups: Segments::default(), heap: 0 }),
        }
    }
    if argument != data_type {
        return None;
    }
    if let Some(form) = Words::of(argument) {
        return Some(with_form(end, form, retractions));
    }
    if let Some(form) = Decimals::of(argument) {
        return Some(with_form(end, form, retractions));
    }
    if let Some(form) = Intervals::of(argument) {
        return Some(with_form(end, form, retractions));
    }
    Strings::of(argument).map(|form| with_form(end, form, retractions))
}

/// How many rows ahead of the current one its group is read, and twice as far where that is.
const AHEAD: usize = 8;

struct Ordered<F: Form> {
    end: End,
    form: F,
    groups: Segments<Multiset<F::Kept>>,
    /// What the multisets hold altogether.
    held: Held,
}

impl<F: Form> Accumulator for Ordered<F> {
    fn resize(&mut self, groups: usize) {
        self.groups.grow(groups, Multiset::default);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let batch = self.form.encode(argument.expect("the aggregate has an argument"));
        Selection::new(groups.len(), argument, diffs, filter).for_each(|row, diff| {
            // Memory serves these reads, of which nothing is used, while the row is added: later rows need not wait.
            if let (Some(near), Some(far)) = (groups.get(row + AHEAD), groups.get(row + 2 * AHEAD)) {
                black_box(self.groups[*near as usize].warm());
                black_box(self.groups[*far as usize].is_empty());
            }
            self.groups[groups[row] as usize].add(F::value(&batch, row), diff, &mut self.held);
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        self.ends(self.end, groups)
    }

    fn holds(&self, function: AggregateFunction) -> bool {
        End::of(function).is_some()
    }

    fn evaluate_as(&self, function: AggregateFunction, groups: &[u32]) -> Evaluated {
        self.ends(End::of(function).expect("only the ends are held"), groups)
    }

    fn free(&mut self, group: u32) {
        self.held.forget(&std::mem::take(&mut self.groups[group as usize]));
    }

    fn discard(&mut self, rows: usize) -> usize {
        let mut freed = 0;
        while freed < rows
            && let Some(last) = self.groups.last_mut()
        {
            freed += last.discard(rows - freed);
            if last.is_empty() {
                self.groups.pop();
                freed += 1;
            }
        }
        freed
    }

    fn bytes(&self) -> usize {
        self.groups.bytes() + self.held.bytes::<F::Kept>()
    }
}

impl<F: Form> Ordered<F> {
    /// Returns the values of `groups` at one end.
    fn ends(&self, end: End, groups: &[u32]) -> Evaluated {
        let value = |group: &u32| {
            let values = &self.groups[*group as usize];
            let value = match end {
                End::Least => values.first(),
                End::Greatest => values.last(),
            };
            value.map(|(value, _)| value)
        };
        let values: Vec<Option<&F::Value>> = groups.iter().map(value).collect();
        Evaluated { values: self.form.decode(&values), errors: Vec::new() }
    }
}

/// The best value of each group, for groups that lose no rows.
struct Best<F: Form> {
    end: End,
    form: F,
    groups: Segments<Option<F::Held>>,
    /// Heap bytes that the values refer to.
    heap: usize,
}

impl<F: Form> Accumulator for Best<F> {
    fn resize(&mut self, groups: usize) {
        self.groups.grow(groups, || None);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let batch = self.form.encode(argument.expect("the aggregate has an argument"));
        let better = match self.end {
            End::Least => Ordering::Less,
            End::Greatest => Ordering::Greater,
        };
        Selection::new(groups.len(), argument, diffs, filter).for_each(|row, diff| {
            assert!(diff > 0, "a row was taken back from an input that only grows");
            let best = &mut self.groups[groups[row] as usize];
            let value = F::value(&batch, row);
            let improves = best.as_ref().is_none_or(|best| value.cmp(best.borrow()) == better);
            if improves {
                let value = value.to_owned();
                self.heap += F::held_bytes(&value);
                self.heap -= best.replace(value).as_ref().map_or(0, F::held_bytes);
            }
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let values: Vec<Option<&F::Value>> =
            groups.iter().map(|group| self.groups[*group as usize].as_ref().map(Borrow::borrow)).collect();
        Evaluated { values: self.form.decode(&values), errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.heap -= self.groups[group as usize].take().as_ref().map_or(0, F::held_bytes);
    }

    fn discard(&mut self, rows: usize) -> usize {
        self.groups.free(rows)
    }

    fn bytes(&self) -> usize {
        self.groups.bytes() + self.heap
    }
}
