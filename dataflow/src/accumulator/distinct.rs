//! Aggregates over each distinct value once: counts how often a group has a value, and tells the inner aggregate only
//! when a value appears or disappears.

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
use crate::spread::Spread;
use crate::update::PerRow;
use crate::{Diff, Diffs, Evaluated, interval};

/// Makes `inner` aggregate each value of a group once; `None` if values of the argument's type cannot be held.
pub(super) fn make(inner: Box<dyn Accumulator>, argument: &DataType) -> Option<Box<dyn Accumulator>> {
    fn with_form<F: Form + 'static>(inner: Box<dyn Accumulator>, form: F) -> Box<dyn Accumulator> {
        Box::new(Distinct {
            inner,
            form,
            values: Spread::new(HashTable::new()),
            len: 0,
            heap: 0,
            hasher: DefaultHashBuilder::default(),
        })
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

/// Number of entries of a part of the table, on average.
const PART: usize = if cfg!(test) { 4 } else { 512 };

struct Distinct<F: Form> {
    inner: Box<dyn Accumulator>,
    form: F,
    /// Group, value and multiplicity. The multiplicity is never 0, so a group without rows has no entries.
    values: Spread<HashTable<(u32, F::Held, Diff)>>,
    /// Number of entries.
    len: usize,
    /// Heap bytes that the values refer to.
    heap: usize,
    /// Used only to find entries: nothing depends on their order.
    hasher: DefaultHashBuilder,
}

impl<F: Form> Accumulator for Distinct<F> {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>) {
        // Equal intervals get the same form, so the value that disappears is the one that appeared.
        let argument = &interval::map(argument.expect("the aggregate has an argument"), interval::plain);
        let batch = self.form.encode(argument);
        // The rows at which a value appears or disappears, their groups, and the changes.
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

    fn discard(&mut self, rows: usize) -> usize {
        let mut freed = 0;
        while freed < rows
            && let Some(part) = self.values.free()
        {
            freed += 1 + part.len();
        }
        if freed == 0 { self.inner.discard(rows) } else { freed }
    }

    fn bytes(&self) -> usize {
        let table: usize = self.values.iter().map(HashTable::allocation_size).sum();
        table + self.heap + self.inner.bytes()
    }
}

/// Returns the bits of a hash by which its part of the table is chosen; the table itself uses the others.
fn part_bits(hash: u64) -> u64 {
    hash >> 20
}

impl<F: Form> Distinct<F> {
    /// Adds `diff` to the count of a value; returns 1 if the value appeared, -1 if it disappeared, 0 otherwise.
    fn add(&mut self, group: u32, value: &F::Value, diff: Diff) -> Diff {
        let hash = self.hasher.hash_one((group, value));
        let same = |entry: &(u32, F::Held, Diff)| entry.0 == group && entry.1.borrow() == value;
        let hasher = &self.hasher;
        let number = self.values.number(part_bits(hash));
        let part = self.values.part_mut(number);
        match part.entry(hash, same, |entry| hasher.hash_one((entry.0, entry.1.borrow()))) {
            Entry::Vacant(entry) => {
                let value = value.to_owned();
                self.heap += F::held_bytes(&value);
                self.len += 1;
                entry.insert((group, value, diff));
                if self.len > PART * self.values.len() {
                    self.split();
                }
                Diff::from(diff > 0)
            }
            Entry::Occupied(mut entry) => {
                let before = entry.get().2;
                let after = before + diff;
                if after == 0 {
                    let ((_, value, _), _) = entry.remove();
                    self.heap -= F::held_bytes(&value);
                    self.len -= 1;
                    if 3 * self.len < PART * self.values.len() {
                        self.merge();
                    }
                } else {
                    entry.get_mut().2 = after;
                }
                Diff::from(after > 0) - Diff::from(before > 0)
            }
        }
    }

    /// Adds a part to the table.
    fn split(&mut self) {
        let from = self.values.split(HashTable::new());
        let part = std::mem::take(self.values.part_mut(from));
        self.place(part);
    }

    /// Removes a part of the table, if there is more than one.
    fn merge(&mut self) {
        if let Some((part, _)) = self.values.merge() {
            self.place(part);
        }
    }

    /// Puts entries that are not in the table where they belong.
    fn place(&mut self, entries: HashTable<(u32, F::Held, Diff)>) {
        let hasher = &self.hasher;
        let hash_of = |entry: &(u32, F::Held, Diff)| hasher.hash_one((entry.0, entry.1.borrow()));
        for entry in entries {
            let hash = hash_of(&entry);
            let number = self.values.number(part_bits(hash));
            self.values.part_mut(number).insert_unique(hash, entry, hash_of);
        }
    }
}
