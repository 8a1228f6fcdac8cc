//! The groups of one worker and their accumulators.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::aggregates::Aggregates;
use super::group_results::{GroupResults, pick, unchanged};
use crate::accumulator::Retractions;
use crate::failure::{RowFailure, failure};
use crate::plan::Reduce;
use crate::render::allowance::Allowance;
use crate::render::by_time::{Changes, TimedState};
use crate::render::groups::Groups;
use crate::report::StateSize;
use crate::row_bytes::KeyCodec;
use crate::segments::Segments;
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs};

/// Maximum number of rows in an output batch.
const BATCH: usize = 8192;
/// Number of touched groups from which on further ones are listed apart, to be closed apart.
const LIST: usize = if cfg!(test) { 7 } else { BATCH / 4 };

/// Groups, their accumulators, and what the current time has touched.
pub(crate) struct ReduceState {
    groups: Groups,
    aggregates: Aggregates,
    /// Whether one group exists even without rows: aggregates without a key, on the worker that holds their group.
    holds_all: bool,
    /// Whether the row of that group has been sent.
    announced: bool,
    /// Whether each group is touched.
    marks: Segments<bool>,
    /// Groups that have updates at the current time.
    touched: VecDeque<Touched>,
    /// Number of touched groups.
    touches: usize,
    /// The groups of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    schema: SchemaRef,
    key_schema: SchemaRef,
}

/// Some of the groups that have updates at the current time.
#[derive(Default)]
struct Touched {
    groups: Vec<u32>,
    /// What they were before the current time; the groups of the results are in the order of `groups`.
    before: Vec<GroupResults>,
}

impl ReduceState {
    /// Creates a state without groups. Fails if the plan does not fit the schemas, or has an aggregate without an
    /// accumulator.
    pub(crate) fn new(plan: &Reduce, input: &SchemaRef, schema: &SchemaRef) -> Result<Self, DataflowError> {
        let key = KeyCodec::new(input, &plan.key)?;
        let retractions = if plan.monotonic { Retractions::Never } else { Retractions::Possible };
        let aggregates = Aggregates::new(&plan.aggregates, input, retractions)?;
        let mut types = key.codec().types().to_vec();
        types.extend(plan.aggregates.iter().map(|aggregate| aggregate.data_type.clone()));
        let found: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        if found != types {
            let message = format!("an aggregation gives columns of types {types:?}, not {found:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        let key_fields: Vec<_> = schema.fields()[..plan.key.len()].to_vec();
        Ok(ReduceState {
            groups: Groups::new(key),
            aggregates,
            holds_all: false,
            announced: false,
            marks: Segments::default(),
            touched: VecDeque::new(),
            touches: 0,
            assigned: Vec::new(),
            schema: Arc::clone(schema),
            key_schema: Arc::new(Schema::new(key_fields)),
        })
    }

    /// Creates a group of all rows that always exists; its row is sent at the next close. The key must have no columns.
    pub(crate) fn hold_group_of_all(&mut self) {
        self.holds_all = true;
        let group = self.groups.id(&[]);
        self.make_room();
        self.touch(&[group]);
    }

    /// Returns the rows of about `rows` more groups from position `from` on, except those that failed, and the position
    /// after them; `None` at the end. The groups must not change from the first call, at position 0, to the last.
    pub(crate) fn rows_from(&self, from: usize, rows: usize) -> Option<(Vec<(RecordBatch, Diffs)>, usize)> {
        let end = self.groups.capacity();
        if from >= end {
            return None;
        }
        let mut groups = Vec::new();
        let mut next = from;
        // To pass an id without a group takes little, but not nothing.
        while next < end && groups.len() < rows && next - from < 8 * rows {
            let id = next as u32;
            if self.existed(id) {
                groups.push(id);
            }
            next += 1;
        }
        Some((self.rows_of_groups(groups), next))
    }

    /// Returns the rows of the groups with one of `keys`, whose columns are the key columns.
    pub(crate) fn rows_of(&self, keys: &RecordBatch) -> Vec<(RecordBatch, Diffs)> {
        let mut groups = self.groups.find(keys);
        groups.sort_unstable();
        groups.dedup();
        self.rows_of_groups(groups)
    }

    fn rows_of_groups(&self, groups: Vec<u32>) -> Vec<(RecordBatch, Diffs)> {
        // Until its row is first sent, the group of all rows counts as touched; it has no row to read yet.
        assert!(self.touched.is_empty() || !self.announced && self.holds_all, "groups are read between times");
        let existing: Vec<u32> = groups.into_iter().filter(|group| self.existed(*group)).collect();
        let batch = |groups: &[u32]| {
            let GroupResults { groups, columns, .. } = GroupResults::of(groups.to_vec(), &self.aggregates);
            (self.batch(&groups, columns), PerRow::Same(1))
        };
        existing.chunks(BATCH).map(batch).filter(|(rows, _)| rows.num_rows() > 0).collect()
    }

    /// Whether a group was in the output before the current time; must be called before its rows change.
    fn existed(&self, group: u32) -> bool {
        if self.holds_all { self.announced } else { self.aggregates.rows(group) > 0 }
    }

    fn exists(&self, group: u32) -> bool {
        self.holds_all || self.aggregates.rows(group) > 0
    }

    /// Makes room for the states of new groups.
    fn make_room(&mut self) {
        let capacity = self.groups.capacity();
        if capacity > self.marks.len() {
            self.marks.grow(capacity, || false);
            self.aggregates.resize(capacity);
        }
    }

    /// Saves what groups were before the current time, when it first touches them.
    fn touch(&mut self, groups: &[u32]) {
        let mut touched = match self.touched.pop_back() {
            Some(last) if last.groups.len() < LIST => last,
            full => {
                self.touched.extend(full);
                Touched::default()
            }
        };
        let first = touched.groups.len();
        for group in groups {
            if !std::mem::replace(&mut self.marks[*group as usize], true) {
                touched.groups.push(*group);
            }
        }
        let fresh = &touched.groups[first..];
        self.touches += fresh.len();
        let existing: Vec<u32> = fresh.iter().copied().filter(|group| self.existed(*group)).collect();
        if !existing.is_empty() {
            touched.before.push(GroupResults::of(existing, &self.aggregates));
        }
        if !touched.groups.is_empty() {
            self.touched.push_back(touched);
        }
    }

    /// Builds the rows of groups: their keys, then their aggregates.
    fn batch(&self, groups: &[u32], aggregates: Vec<ArrayRef>) -> RecordBatch {
        let mut columns = self.groups.key().codec().decode(groups.iter().map(|group| self.groups.key_of(*group)));
        columns.extend(aggregates);
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("aggregates of groups fit the schema")
    }

    /// Returns the changed rows of `groups`, retractions before insertions for each group. `old` and `new` hold the
    /// results of some of these groups, in the same order.
    fn changed_rows(&self, groups: &[u32], old: &GroupResults, new: &GroupResults) -> Vec<(RecordBatch, Diffs)> {
        let pairs = pairs(groups, old, new);
        let same = unchanged(old, new, &pairs);
        let mut pair = 0;
        let (mut next_old, mut next_new) = (0, 0);
        let (mut changed, mut picked, mut diffs) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups {
            let was = old.groups.get(next_old) == Some(group);
            let is = new.groups.get(next_new) == Some(group);
            let is_changed = !(was && is && same.value(pair));
            pair += usize::from(was && is);
            for (side, there, position, diff) in [(0, was, &mut next_old, -1), (1, is, &mut next_new, 1)] {
                if there && is_changed {
                    changed.push(*group);
                    picked.push((side, *position));
                    diffs.push(diff);
                }
                *position += usize::from(there);
            }
        }
        let starts = (0..changed.len()).step_by(BATCH);
        let batch = |start: usize| {
            let range = start..changed.len().min(start + BATCH);
            let rows = self.batch(&changed[range.clone()], pick([old, new], &picked[range.clone()]));
            (rows, PerRow::from_vec(diffs[range].to_vec()))
        };
        starts.map(batch).collect()
    }

    /// Adds the failures among `results` to `net`, each `diff` times.
    fn add_failures(&self, results: &GroupResults, diff: Diff, net: &mut BTreeMap<RowFailure, Diff>) {
        for (group, aggregate, message) in &results.failures {
            let key = self.groups.key().codec().decode([self.groups.key_of(*group)]);
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            let key = RecordBatch::try_new_with_options(Arc::clone(&self.key_schema), key, &options);
            let key = key.expect("the key of a group fits its schema");
            *net.entry(failure(self.aggregates.text(*aggregate), message.clone(), &key, 0)).or_default() += diff;
        }
    }

    /// Adds what the current time changed in some of the touched groups to `changes`.
    fn close_groups(&mut self, touched: Touched, changes: &mut Changes) {
        let Touched { groups, before } = touched;
        let none = || GroupResults::of(Vec::new(), &self.aggregates);
        let old = GroupResults::concatenate(before).unwrap_or_else(none);
        let existing = groups.iter().copied().filter(|group| self.exists(*group)).collect();
        let new = GroupResults::of(existing, &self.aggregates);
        changes.rows.extend(self.changed_rows(&groups, &old, &new));
        let mut failures = BTreeMap::new();
        self.add_failures(&old, -1, &mut failures);
        self.add_failures(&new, 1, &mut failures);
        changes.failures.extend(failures.into_iter().filter(|(_, diff)| *diff != 0));
        self.settle(&groups);
    }

    /// Ends the current time for some groups, and removes those without rows.
    fn settle(&mut self, groups: &[u32]) {
        for group in groups {
            self.marks[*group as usize] = false;
            assert!(self.aggregates.rows(*group) >= 0, "a row was taken back that was not there");
            if !self.exists(*group) {
                self.groups.remove(*group);
                self.aggregates.free(*group);
            }
        }
    }
}

/// Returns the positions in `old` and `new` of each group that is in both; both hold some of `groups`, in that order.
fn pairs(groups: &[u32], old: &GroupResults, new: &GroupResults) -> Vec<(u32, u32)> {
    let (mut next_old, mut next_new) = (0, 0);
    let mut pairs = Vec::with_capacity(old.groups.len().min(new.groups.len()));
    for group in groups {
        let was = old.groups.get(next_old) == Some(group);
        let is = new.groups.get(next_new) == Some(group);
        if was && is {
            pairs.push((next_old as u32, next_new as u32));
        }
        next_old += usize::from(was);
        next_new += usize::from(is);
    }
    pairs
}

impl TimedState for ReduceState {
    fn apply(&mut self, _input: usize, rows: &RecordBatch, diffs: &Diffs, allowance: &mut Allowance) -> usize {
        let mut groups = std::mem::take(&mut self.assigned);
        self.groups.assign(rows, &mut groups);
        self.make_room();
        // What groups were before must be saved before their counts and accumulators change.
        self.touch(&groups);
        self.aggregates.update(&groups, rows, diffs);
        self.assigned = groups;
        allowance.spend(rows.num_rows());
        rows.num_rows()
    }

    fn close(&mut self, allowance: &mut Allowance) -> Changes {
        let mut changes = Changes::default();
        while allowance.left() > 0
            && let Some(touched) = self.touched.pop_front()
        {
            self.touches -= touched.groups.len();
            allowance.spend(touched.groups.len());
            self.close_groups(touched, &mut changes);
        }
        changes.left = self.touches;
        if self.touches == 0 {
            self.announced = self.holds_all;
        }
        changes
    }

    fn free(&mut self, allowance: &mut Allowance) -> bool {
        while allowance.left() > 0 {
            let freed = match self.aggregates.discard(allowance.left()) {
                0 => match self.groups.discard(allowance.left()) {
                    0 => self.marks.free(allowance.left()),
                    freed => freed,
                },
                freed => freed,
            };
            if freed == 0 {
                return false;
            }
            allowance.spend(freed);
        }
        true
    }

    fn size(&self) -> StateSize {
        let beside = self.marks.bytes() + (self.touches + self.assigned.capacity()) * size_of::<u32>();
        StateSize::new(self.groups.len(), self.groups.bytes() + self.aggregates.bytes() + beside)
    }
}
