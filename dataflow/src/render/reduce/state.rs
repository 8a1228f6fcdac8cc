//! The groups of one worker and their accumulators.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::group_results::{GroupResults, pick, unchanged};
use crate::accumulator::{Accumulator, Retractions, for_planned};
use crate::failure::{RowFailure, failure};
use crate::plan::{Aggregate, Reduce};
use crate::render::by_time::{Changes, TimedState};
use crate::render::groups::Groups;
use crate::report::StateSize;
use crate::row_bytes::{KeyCodec, column_type};
use crate::update::PerRow;
use crate::{DataflowError, Diff, Diffs};

/// Maximum number of rows in an output batch.
const BATCH: usize = 8192;
/// Number of groups that are evaluated together at the close of a time.
const SLICE: usize = if cfg!(test) { 7 } else { 1 << 16 };

/// Groups, their accumulators, and what the current time has touched.
pub(crate) struct ReduceState {
    groups: Groups,
    accumulators: Vec<Box<dyn Accumulator>>,
    inputs: Vec<AggregateInput>,
    /// Number of rows of each group.
    rows: Vec<Diff>,
    /// Whether one group exists even without rows: aggregates without a key, on the worker that holds their group.
    holds_all: bool,
    /// Whether the row of that group has been sent.
    announced: bool,
    /// For each group, its position in `touched` plus 1; 0 if it is not touched.
    marks: Vec<u32>,
    /// Groups that have updates at the current time.
    touched: Vec<u32>,
    /// What touched groups were before the current time.
    before: Vec<GroupResults>,
    /// The groups of the rows of the current batch; kept to reuse the allocation.
    assigned: Vec<u32>,
    schema: SchemaRef,
    key_schema: SchemaRef,
}

/// The columns an aggregate reads, and its text.
struct AggregateInput {
    argument: Option<usize>,
    filter: Option<usize>,
    text: String,
}

impl ReduceState {
    /// Creates a state without groups. Fails if the plan does not fit the schemas, or has an aggregate without an
    /// accumulator.
    pub(crate) fn new(plan: &Reduce, input: &SchemaRef, schema: &SchemaRef) -> Result<Self, DataflowError> {
        let key = KeyCodec::new(input, &plan.key)?;
        let retractions = if plan.monotonic { Retractions::Never } else { Retractions::Possible };
        let (mut accumulators, mut inputs) = (Vec::new(), Vec::new());
        let mut types = key.codec().types().to_vec();
        for aggregate in &plan.aggregates {
            let argument = aggregate.argument.map(|column| column_type(input, column)).transpose()?;
            if let Some(filter) = aggregate.filter
                && column_type(input, filter)? != DataType::Boolean
            {
                return Err(DataflowError::MalformedPlan(format!("column {filter} filters and is not a boolean")));
            }
            let accumulator = for_planned(aggregate, argument.as_ref(), retractions);
            accumulators.push(accumulator.map_err(|error| DataflowError::MalformedPlan(error.to_string()))?);
            inputs.push(AggregateInput {
                argument: aggregate.argument,
                filter: aggregate.filter,
                text: text(aggregate, input),
            });
            types.push(aggregate.data_type.clone());
        }
        let found: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        if found != types {
            let message = format!("an aggregation gives columns of types {types:?}, not {found:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        let key_fields: Vec<_> = schema.fields()[..plan.key.len()].to_vec();
        Ok(ReduceState {
            groups: Groups::new(key),
            accumulators,
            inputs,
            rows: Vec::new(),
            holds_all: false,
            announced: false,
            marks: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
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

    /// Returns the rows of all groups except those that failed.
    pub(crate) fn all_rows(&self) -> Vec<(RecordBatch, Diffs)> {
        self.rows_of_groups(self.groups.ids())
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
            let GroupResults { groups, columns, .. } = GroupResults::of(groups.to_vec(), &self.accumulators);
            (self.batch(&groups, columns), PerRow::Same(1))
        };
        existing.chunks(BATCH).map(batch).filter(|(rows, _)| rows.num_rows() > 0).collect()
    }

    /// Whether a group was in the output before the current time; must be called before its rows change.
    fn existed(&self, group: u32) -> bool {
        if self.holds_all { self.announced } else { self.rows[group as usize] > 0 }
    }

    fn exists(&self, group: u32) -> bool {
        self.holds_all || self.rows[group as usize] > 0
    }

    /// Makes room for the states of new groups.
    fn make_room(&mut self) {
        let capacity = self.groups.capacity();
        if capacity > self.rows.len() {
            self.rows.resize(capacity, 0);
            self.marks.resize(capacity, 0);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(capacity));
        }
    }

    /// Saves what groups were before the current time, when it first touches them.
    fn touch(&mut self, groups: &[u32]) {
        let first = self.touched.len();
        for group in groups {
            let mark = &mut self.marks[*group as usize];
            if *mark == 0 {
                self.touched.push(*group);
                *mark = u32::try_from(self.touched.len()).expect("a worker has less than 2^32 groups");
            }
        }
        let fresh = self.touched[first..].iter().copied();
        let existing: Vec<u32> = fresh.filter(|group| self.existed(*group)).collect();
        if !existing.is_empty() {
            self.before.push(GroupResults::of(existing, &self.accumulators));
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

    /// Returns the position in `results` of each touched group of `range`; `u32::MAX` for groups that are not in it.
    fn positions(&self, results: &GroupResults, range: &Range<usize>) -> Vec<u32> {
        let mut positions = vec![u32::MAX; range.len()];
        for (position, group) in results.groups.iter().enumerate() {
            positions[self.marks[*group as usize] as usize - 1 - range.start] = position as u32;
        }
        positions
    }

    /// Returns the changed rows of the touched groups of `range`, retractions before insertions for each group. `olds`
    /// are the positions in `old` of all touched groups; `new` holds the groups of the range.
    fn changed_rows(
        &self,
        range: Range<usize>,
        old: &GroupResults,
        olds: &[u32],
        new: &GroupResults,
    ) -> Vec<(RecordBatch, Diffs)> {
        let (olds, news) = (&olds[range.clone()], self.positions(new, &range));
        let both = olds.iter().zip(&news).filter(|(o, n)| **o != u32::MAX && **n != u32::MAX);
        let pairs: Vec<(u32, u32)> = both.map(|(o, n)| (*o, *n)).collect();
        let same = unchanged(old, new, &pairs);
        let mut pair = 0;
        let (mut groups, mut picked, mut diffs) = (Vec::new(), Vec::new(), Vec::new());
        for (touch, group) in self.touched[range].iter().enumerate() {
            let (o, n) = (olds[touch], news[touch]);
            if o != u32::MAX && n != u32::MAX {
                pair += 1;
                if same.value(pair - 1) {
                    continue;
                }
            }
            for (side, position, diff) in [(0, o, -1), (1, n, 1)] {
                if position != u32::MAX {
                    groups.push(*group);
                    picked.push((side, position as usize));
                    diffs.push(diff);
                }
            }
        }
        let starts = (0..groups.len()).step_by(BATCH);
        let batch = |start: usize| {
            let range = start..groups.len().min(start + BATCH);
            let rows = self.batch(&groups[range.clone()], pick([old, new], &picked[range.clone()]));
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
            *net.entry(failure(&self.inputs[*aggregate].text, message.clone(), &key, 0)).or_default() += diff;
        }
    }

    /// Ends the current time, and removes groups without rows.
    fn settle(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for group in touched.drain(..) {
            self.marks[group as usize] = 0;
            assert!(self.rows[group as usize] >= 0, "a row was taken back that was not there");
            if !self.exists(group) {
                self.groups.remove(group);
                self.accumulators.iter_mut().for_each(|accumulator| accumulator.free(group));
            }
        }
        // The list of a large load must not keep its memory.
        touched.shrink_to(BATCH);
        self.touched = touched;
        self.announced = self.holds_all;
    }
}

impl TimedState for ReduceState {
    fn apply(&mut self, _input: usize, rows: &RecordBatch, diffs: &Diffs) {
        let mut groups = std::mem::take(&mut self.assigned);
        self.groups.assign(rows, &mut groups);
        self.make_room();
        // What groups were before must be saved before their counts and accumulators change.
        self.touch(&groups);
        for (row, group) in groups.iter().enumerate() {
            self.rows[*group as usize] += diffs.at(row);
        }
        for (accumulator, input) in self.accumulators.iter_mut().zip(&self.inputs) {
            let argument = input.argument.map(|column| rows.column(column));
            let filter: Option<&BooleanArray> = input.filter.map(|column| rows.column(column).as_boolean());
            accumulator.update(&groups, argument, diffs, filter);
        }
        self.assigned = groups;
    }

    fn close(&mut self) -> Changes {
        if self.touched.is_empty() {
            return Changes::default();
        }
        let none = || GroupResults::of(Vec::new(), &self.accumulators);
        let old = GroupResults::concatenate(std::mem::take(&mut self.before)).unwrap_or_else(none);
        let olds = self.positions(&old, &(0..self.touched.len()));
        let (mut rows, mut failures) = (Vec::new(), BTreeMap::new());
        self.add_failures(&old, -1, &mut failures);
        for start in (0..self.touched.len()).step_by(SLICE) {
            let range = start..self.touched.len().min(start + SLICE);
            let slice = self.touched[range.clone()].iter().copied();
            let new = GroupResults::of(slice.filter(|group| self.exists(*group)).collect(), &self.accumulators);
            rows.extend(self.changed_rows(range, &old, &olds, &new));
            self.add_failures(&new, 1, &mut failures);
        }
        failures.retain(|_, diff| *diff != 0);
        let changes = Changes { rows, failures: failures.into_iter().collect() };
        self.settle();
        changes
    }

    fn size(&self) -> StateSize {
        let accumulators: usize = self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum();
        let beside = self.rows.capacity() * size_of::<Diff>()
            + (self.marks.capacity() + self.touched.capacity() + self.assigned.capacity()) * size_of::<u32>();
        StateSize::new(self.groups.len(), self.groups.bytes() + accumulators + beside)
    }
}

/// Returns the text by which failures name an aggregate.
fn text(aggregate: &Aggregate, input: &SchemaRef) -> String {
    let distinct = if aggregate.distinct { "distinct " } else { "" };
    let argument = aggregate.argument.map_or("*", |column| input.field(column).name().as_str());
    format!("{}({distinct}{argument})", aggregate.function.name())
}
