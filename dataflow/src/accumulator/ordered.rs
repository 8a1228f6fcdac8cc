//! MIN and MAX: keeps the ordered multiset of a group's values, or only the best one if nothing is retracted.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;

use super::selection::Selection;
use super::value::{Decimals, Form, Intervals, Strings, Words};
use super::{Accumulator, Retractions};
use crate::{Diff, Diffs, Evaluated};

/// Which end of the order is the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Least,
    Greatest,
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
            Retractions::Possible => Box::new(Ordered { end, form, groups: Vec::new() }),
            Retractions::Never => Box::new(Best { end, form, groups: Vec::new() }),
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

struct Ordered<F: Form> {
    end: End,
    form: F,
    groups: Vec<Multiset<F::Held>>,
}

impl<F: Form> Accumulator for Ordered<F> {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(self.groups.len().max(groups), Multiset::default);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        let batch = self.form.encode(argument.expect("the aggregate has an argument"));
        Selection::new(groups.len(), argument, diffs, filter).for_each(|row, diff| {
            self.groups[groups[row] as usize].add(F::value(&batch, row), diff);
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let values: Vec<Option<&F::Value>> = groups
            .iter()
            .map(|group| {
                let values = &self.groups[*group as usize];
                let value = match self.end {
                    End::Least => values.least(),
                    End::Greatest => values.greatest(),
                };
                value.map(Borrow::borrow)
            })
            .collect();
        Evaluated { values: self.form.decode(&values), errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.groups[group as usize] = Multiset::default();
    }

    fn bytes(&self) -> usize {
        let values: usize = self.groups.iter().map(|values| values.bytes(F::held_bytes)).sum();
        self.groups.capacity() * size_of::<Multiset<F::Held>>() + values
    }
}

/// The best value of each group, for groups that lose no rows.
struct Best<F: Form> {
    end: End,
    form: F,
    groups: Vec<Option<F::Held>>,
}

impl<F: Form> Accumulator for Best<F> {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(self.groups.len().max(groups), None);
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
                *best = Some(value.to_owned());
            }
        });
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        let values: Vec<Option<&F::Value>> =
            groups.iter().map(|group| self.groups[*group as usize].as_ref().map(Borrow::borrow)).collect();
        Evaluated { values: self.form.decode(&values), errors: Vec::new() }
    }

    fn free(&mut self, group: u32) {
        self.groups[group as usize] = None;
    }

    fn bytes(&self) -> usize {
        let values: usize = self.groups.iter().flatten().map(F::held_bytes).sum();
        self.groups.capacity() * size_of::<Option<F::Held>>() + values
    }
}

/// Number of distinct values up to which a group keeps a sorted list; beyond it keeps a tree.
const FEW: usize = 32;

/// Values with their multiplicities, none of which is 0. Negative ones occur only within a time.
enum Multiset<K> {
    Few(Vec<(K, Diff)>),
    Many(BTreeMap<K, Diff>),
}

impl<K> Default for Multiset<K> {
    fn default() -> Self {
        Multiset::Few(Vec::new())
    }
}

impl<K: Ord> Multiset<K> {
    /// Adds `value` `diff` times.
    fn add<Q>(&mut self, value: &Q, diff: Diff)
    where
        Q: ?Sized + Ord + ToOwned<Owned = K>,
        K: Borrow<Q>,
    {
        match self {
            Multiset::Few(few) => match few.binary_search_by(|(held, _)| held.borrow().cmp(value)) {
                Ok(at) => {
                    few[at].1 += diff;
                    if few[at].1 == 0 {
                        few.remove(at);
                    }
                }
                Err(_) if few.len() == FEW => {
                    let mut many: BTreeMap<K, Diff> = std::mem::take(few).into_iter().collect();
                    many.insert(value.to_owned(), diff);
                    *self = Multiset::Many(many);
                }
                Err(at) => few.insert(at, (value.to_owned(), diff)),
            },
            Multiset::Many(many) => {
                let Some(count) = many.get_mut(value) else {
                    many.insert(value.to_owned(), diff);
                    return;
                };
                *count += diff;
                if *count == 0 {
                    many.remove(value);
                    if many.is_empty() {
                        *self = Multiset::default();
                    }
                }
            }
        }
    }

    fn least(&self) -> Option<&K> {
        match self {
            Multiset::Few(few) => few.first().map(|(value, _)| value),
            Multiset::Many(many) => many.first_key_value().map(|(value, _)| value),
        }
    }

    fn greatest(&self) -> Option<&K> {
        match self {
            Multiset::Few(few) => few.last().map(|(value, _)| value),
            Multiset::Many(many) => many.last_key_value().map(|(value, _)| value),
        }
    }

    fn bytes(&self, held_bytes: impl Fn(&K) -> usize) -> usize {
        match self {
            Multiset::Few(few) => {
                few.capacity() * size_of::<(K, Diff)>() + few.iter().map(|(value, _)| held_bytes(value)).sum::<usize>()
            }
            // B-tree nodes are two thirds full after random insertions.
            Multiset::Many(many) => {
                many.len() * size_of::<(K, Diff)>() * 3 / 2 + many.keys().map(held_bytes).sum::<usize>()
            }
        }
    }
}
