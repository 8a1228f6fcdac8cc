//! The aggregates of groups: what they read, the states they keep, and which of them share a state.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::accumulator::{Accumulator, Retractions, for_planned};
use crate::plan::{Aggregate, AggregateFunction};
use crate::row_bytes::column_type;
use crate::segments::Segments;
use crate::{DataflowError, Diff, Diffs, Evaluated};

/// The states of the aggregates of a [`Reduce`](crate::plan::Reduce) for each group, and the number of its rows.
pub(super) struct Aggregates {
    /// Number of rows of each group.
    rows: Segments<Diff>,
    states: Vec<State>,
    /// Where the result of each aggregate comes from, in the order of the plan.
    results: Vec<Source>,
    /// The aggregates as failures name them, in the same order.
    texts: Vec<String>,
}

/// An accumulator and the columns that it reads.
struct State {
    accumulator: Box<dyn Accumulator>,
    argument: Option<usize>,
    filter: Option<usize>,
}

/// What an aggregate is computed from.
enum Source {
    /// The numbers of rows.
    Rows,
    /// The accumulator of a state.
    State(usize),
    /// The accumulator of a state that was made for another function of the same arguments.
    Shared(usize, AggregateFunction),
}

impl Aggregates {
    /// Returns the states of no groups. Fails if an aggregate does not fit the schema of the input or has no accumulator.
    pub(super) fn new(
        planned: &[Aggregate],
        input: &SchemaRef,
        retractions: Retractions,
    ) -> Result<Self, DataflowError> {
        let mut aggregates =
            Aggregates { rows: Segments::default(), states: Vec::new(), results: Vec::new(), texts: Vec::new() };
        for aggregate in planned {
            let argument = aggregate.argument.map(|column| column_type(input, column)).transpose()?;
            if let Some(filter) = aggregate.filter
                && column_type(input, filter)? != DataType::Boolean
            {
                return Err(DataflowError::MalformedPlan(format!("column {filter} filters and is not a boolean")));
            }
            let accumulator = for_planned(aggregate, argument.as_ref(), retractions);
            let accumulator = accumulator.map_err(|error| DataflowError::MalformedPlan(error.to_string()))?;
            let source = aggregates.source(aggregate, accumulator);
            aggregates.results.push(source);
            aggregates.texts.push(text(aggregate, input));
        }
        Ok(aggregates)
    }

    /// Returns where the result of an aggregate comes from; keeps its accumulator if no state serves it.
    fn source(&mut self, aggregate: &Aggregate, accumulator: Box<dyn Accumulator>) -> Source {
        let Aggregate { function, argument, filter, .. } = *aggregate;
        let counts_rows = function == AggregateFunction::Count && argument.is_none() && filter.is_none();
        if counts_rows && aggregate.data_type == DataType::Int64 {
            return Source::Rows;
        }
        let serves =
            |state: &State| state.argument == argument && state.filter == filter && state.accumulator.holds(function);
        if let Some(state) = self.states.iter().position(serves) {
            return Source::Shared(state, function);
        }
        self.states.push(State { accumulator, argument, filter });
        Source::State(self.states.len() - 1)
    }

    /// Returns an aggregate as failures name it.
    pub(super) fn text(&self, aggregate: usize) -> &str {
        &self.texts[aggregate]
    }

    /// Returns the number of rows of a group.
    pub(super) fn rows(&self, group: u32) -> Diff {
        self.rows[group as usize]
    }

    /// Makes room for the groups below `groups`.
    pub(super) fn resize(&mut self, groups: usize) {
        self.rows.grow(groups, || 0);
        self.states.iter_mut().for_each(|state| state.accumulator.resize(groups));
    }

    /// Adds each of `rows` to its group.
    pub(super) fn update(&mut self, groups: &[u32], rows: &RecordBatch, diffs: &Diffs) {
        for (row, group) in groups.iter().enumerate() {
            self.rows[*group as usize] += diffs.at(row);
        }
        for State { accumulator, argument, filter } in &mut self.states {
            let argument = argument.map(|column| rows.column(column));
            let filter: Option<&BooleanArray> = filter.map(|column| rows.column(column).as_boolean());
            accumulator.update(groups, argument, diffs, filter);
        }
    }

    /// Returns the aggregates of each of `groups`, in the order of the plan.
    pub(super) fn evaluate(&self, groups: &[u32]) -> impl Iterator<Item = Evaluated> {
        self.results.iter().map(move |source| match source {
            Source::Rows => {
                let counts = groups.iter().map(|group| self.rows(*group));
                Evaluated { values: Arc::new(Int64Array::from_iter_values(counts)), errors: Vec::new() }
            }
            Source::State(state) => self.states[*state].accumulator.evaluate(groups),
            Source::Shared(state, function) => self.states[*state].accumulator.evaluate_as(*function, groups),
        })
    }

    /// Forgets the rows of a group, which can then be assigned again.
    pub(super) fn free(&mut self, group: u32) {
        self.states.iter_mut().for_each(|state| state.accumulator.free(group));
    }

    /// Drops a part of the states, which are no longer used: about `rows` values. Returns about how many, 0 if none are
    /// left.
    pub(super) fn discard(&mut self, rows: usize) -> usize {
        while let Some(last) = self.states.last_mut() {
            match last.accumulator.discard(rows) {
                0 => self.states.pop(),
                freed => return freed,
            };
        }
        self.rows.free(rows)
    }

    /// Returns approximately how many bytes of heap are held.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.states.iter().map(|state| state.accumulator.bytes()).sum::<usize>()
    }
}

/// Returns the text by which failures name an aggregate.
fn text(aggregate: &Aggregate, input: &SchemaRef) -> String {
    let distinct = if aggregate.distinct { "distinct " } else { "" };
    let argument = aggregate.argument.map_or("*", |column| input.field(column).name().as_str());
    format!("{}({distinct}{argument})", aggregate.function.name())
}
