//! Aggregates over each value once: counts how often a group has a value, and tells the inner aggregate only when a
//! value comes or goes.

use std::borrow::Borrow;
use std::hash::BuildHasher;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::Accumulator;
use super::selection::Selection;
use super::value::{Decimals, Form, Intervals, Nested, Strings, Words};
use crate::update::PerRow;
use crate::{Diff, Diffs, Evaluated, interval};

/// `inner` over each of the values of a group once.
pub(super) fn make(inner: Box<dyn Accumulator>, argument: &DataType) -> Option<Box<dyn Accumulator>> {
    fn with_form<F: Form + 'static>(inner: Box<dyn Accumulator>, form: F) -> Box<dyn Accumulator> {
        Box::new(Distinct { inner, form, values: HashTable::new(), hasher: DefaultHashBuilder::default() })
    }
    if let Some(form) = Words::of(argument) {
        return Some(with_form(inner, form));
    }
    if let Some(form) = Decimals::of(argument) {
        return Some(with_form(inner, form));
    }
    if let Some(form) = Intervals::of(argument) {
        return Some(with_form(inner, form));
    }
    if let Some(form) = Nested::of(argument) {
        return Some(with_form(inner, form));
    }
    Strings::of(argument).map(|form| with_form(inner, form))
}

struct Distinct<F: Form> {
    inner: Box<dyn Accumulator>,
    form: F,
    /// Group, value, how often; never 0 times, so a group without rows has no entries.
    values: HashTable<(u32, F::Held, Diff)>,
    /// Only finds entries: nothing depends on their order.
    hasher: DefaultHashBuilder,
}

impl<F: Form> Accumulator for Distinct<F> {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        // Equal intervals are written alike, so the one that goes is the one that came.
        let argument = &interval::map(argument.expect("the aggregate has an argument"), interval::plain);
        let batch = self.form.encode(argument);
        // Rows at which a value comes or goes, their groups and by how much.
        let (mut rows, mut changed, mut by) = (Vec::new(), Vec::new(), Vec::new());
        Selection::new(groups.len(), Some(argument), diffs, filter).for_each(|row, diff| {
            let change = self.add(groups[row], F::value(&batch, row), diff);
            if change != 0 {
                rows.push(row as u32);
                changed.push(groups[row]);
                by.push(change);
            }
        });
        if !rows.is_empty() {
            let values = take(argument, &UInt32Array::from(rows), None).expect("positions of rows of the argument");
            self.inner.update(&changed, Some(&values), &PerRow::from_vec(by), None);
        }
    }

    fn evaluate(&self, groups: &[u32]) -> Evaluated {
        self.inner.evaluate(groups)
    }

    fn free(&mut self, group: u32) {
        self.inner.free(group);
    }

    fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(|(_, held, _)| F::held_bytes(held)).sum();
        self.values.allocation_size() + values + self.inner.bytes()
    }
}

impl<F: Form> Distinct<F> {
    /// Counts a value, and says whether it came (1), went (-1) or neither (0).
    fn add(&mut self, group: u32, value: &F::Value, diff: Diff) -> Diff {
        let hash = self.hasher.hash_one((group, value));
        let same = |entry: &(u32, F::Held, Diff)| entry.0 == group && entry.1.borrow() == value;
        let hasher = &self.hasher;
        match self.values.entry(hash, same, |entry| hasher.hash_one((entry.0, entry.1.borrow()))) {
            Entry::Vacant(entry) => {
                entry.insert((group, value.to_owned(), diff));
                Diff::from(diff > 0)
            }
            Entry::Occupied(mut entry) => {
                let before = entry.get().2;
                let after = before + diff;
                if after == 0 {
                    entry.remove();
                } else {
                    entry.get_mut().2 = after;
                }
                Diff::from(after > 0) - Diff::from(before > 0)
            }
        }
    }
}
