//! Runs operators that keep their own state and process times in order.
//!
//! ```text
//! inputs --exchange by key--> pending by time --in order--> state --at the close of a time--> rows
//! ```
//!
//! Updates of the least open time are applied to the state as they arrive, later ones wait: so a large load neither
//! piles up nor is processed all at once. The changes of a time are sent once the frontier has passed it. This is valid
//! because times are totally ordered, as the bounds say: when the frontier is at a time, all earlier times have been
//! processed.
//!
//! An activation applies or sends about as many rows as its fuel allows. Until the last change of a time is sent, the
//! capability of the time is kept and nothing of a later time is applied.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use arrow::array::RecordBatch;
use timely::container::NoopBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{OutputBuilder, OutputBuilderSession};
use timely::order::TotalOrder;
use timely::progress::Timestamp;
use timely::progress::timestamp::Refines;

use super::allowance::Allowance;
use super::aside::Aside;
use crate::arrangement::KeyExchange;
use crate::failure::RowFailure;
use crate::report::StateSize;
use crate::update::{PerRow, UpdateStream};
use crate::{Diff, Diffs, Time, UpdateBatch};

/// An input stream of an operator, and how its updates are distributed over workers.
pub(crate) struct Input<'s, T: Timestamp = Time> {
    pub(crate) updates: UpdateStream<'s, T>,
    pub(crate) exchange: KeyExchange,
}

/// The state of an operator on one worker.
pub(crate) trait TimedState: 'static {
    /// Applies updates of one time of input `input`, the first of them in any case and then as many as the allowance
    /// allows; returns how many it applied. Times do not decrease, and `close` is called between two times.
    fn apply(&mut self, input: usize, rows: &RecordBatch, diffs: &Diffs, allowance: &mut Allowance) -> usize;

    /// Returns the next part of what a time changed, as much as the allowance allows. Called when all updates of the
    /// time are applied, and again until no part is left.
    fn close(&mut self, allowance: &mut Allowance) -> Changes;

    /// Returns the size of the state; the bytes are approximate.
    fn size(&self) -> StateSize;

    /// Frees a part of a state that is no longer used, about as many rows as the allowance allows; returns whether more
    /// may be left.
    fn free(&mut self, allowance: &mut Allowance) -> bool;
}

/// A part of what an operator sends at one time.
#[derive(Default)]
pub(crate) struct Changes {
    /// Changed rows with their diffs; batches may be empty.
    pub(crate) rows: Vec<(RecordBatch, Diffs)>,
    /// Changes of the multiplicities of failures.
    pub(crate) failures: Vec<(RowFailure, Diff)>,
    /// Number of groups or rows whose changes are still to come; 0 in the last part of a time.
    pub(crate) left: usize,
}

/// What an operator has received and not sent yet.
struct Timeline<T: Timestamp> {
    /// The times that have updates, without the one that is being closed.
    waiting: BTreeMap<T, Pending<T>>,
    /// The capability of the time that is being closed, and what is left of it.
    closing: Option<(Capability<T>, usize)>,
}

/// The updates of a time, and the capability to send what they change.
struct Pending<T: Timestamp> {
    capability: Capability<T>,
    /// The batches, all of this time, and the input of each.
    batches: VecDeque<(usize, UpdateBatch<T>)>,
    /// Number of rows of the first batch that have been applied.
    applied: usize,
    /// Number of rows that are not applied yet.
    rows: usize,
}

impl<T: Timestamp + TotalOrder + Copy> Timeline<T> {
    /// Returns what waits at `time`; if nothing does, `capability` must return the capability of the time.
    fn hold(&mut self, time: T, capability: impl FnOnce() -> Capability<T>) -> &mut Pending<T> {
        let new = || Pending { capability: capability(), batches: VecDeque::new(), applied: 0, rows: 0 };
        self.waiting.entry(time).or_insert_with(new)
    }

    /// Applies updates to `state` and closes times, in order, as long as there is allowance, no earlier time is open and
    /// the time is admitted. Calls `send` with the parts of the changes. A `frontier` of `None` means that no time is
    /// open. Returns how many rows could be processed at once; at least 1 if there is anything to do.
    fn advance(
        &mut self,
        state: &mut impl TimedState,
        frontier: Option<T>,
        admits: impl Fn(&T) -> bool,
        allowance: &mut Allowance,
        mut send: impl FnMut(&Capability<T>, Changes),
    ) -> usize {
        while allowance.left() > 0 {
            let before = allowance.spent();
            if let Some((capability, left)) = &mut self.closing {
                let changes = state.close(allowance);
                *left = changes.left;
                send(capability, changes);
                if *left == 0 {
                    self.closing = None;
                }
                allowance.end_step(before);
                continue;
            }
            let Some(mut first) = self.waiting.first_entry() else { break };
            let time = *first.key();
            if frontier.is_some_and(|frontier| frontier < time) {
                break;
            }
            if !admits(&time) {
                return 0;
            }
            if first.get().batches.is_empty() {
                if frontier == Some(time) {
                    break;
                }
                self.closing = Some((first.remove().capability, 1));
                continue;
            }
            first.get_mut().apply(state, allowance);
            allowance.end_step(before);
        }
        self.ready(frontier)
    }

    fn ready(&self, frontier: Option<T>) -> usize {
        let closing = self.closing.as_ref().map_or(0, |(_, left)| *left);
        let open = |time: &T| frontier.is_some_and(|frontier| frontier <= *time);
        let early = self.waiting.iter().take_while(|(time, _)| frontier.is_none_or(|frontier| **time <= frontier));
        let applicable: usize = early.map(|(_, pending)| pending.rows).sum();
        let closable = self.waiting.first_key_value().is_some_and(|(time, _)| !open(time));
        (closing + applicable).max(usize::from(closable))
    }
}

impl<T: Timestamp + Copy> Pending<T> {
    fn push(&mut self, input: usize, batch: UpdateBatch<T>) {
        self.rows += batch.len();
        self.batches.push_back((input, batch));
    }

    /// Applies a piece of the first batch to `state`.
    fn apply(&mut self, state: &mut impl TimedState, allowance: &mut Allowance) {
        let Some((input, batch)) = self.batches.front() else { return };
        let rest = batch.len() - self.applied;
        let offered = rest.min(allowance.left());
        let applied = if offered < batch.len() {
            let piece = batch.slice(self.applied, offered);
            state.apply(*input, &piece.rows, &piece.diffs, allowance)
        } else {
            state.apply(*input, &batch.rows, &batch.diffs, allowance)
        };
        self.rows -= applied;
        self.applied += applied;
        if applied == rest {
            self.batches.pop_front();
            self.applied = 0;
        }
    }
}

/// Sends a part of what a time changed.
fn send<T: Timestamp + Refines<Time> + Copy + Default>(
    output: &mut OutputBuilderSession<'_, T, NoopBuilder<UpdateBatch<T>>>,
    capability: &Capability<T>,
    changes: Changes,
    aside: &Aside,
) {
    let time = *capability.time();
    for (changed, diffs) in changes.rows {
        if changed.num_rows() > 0 {
            aside.work.sent(changed.num_rows());
            let mut batch = UpdateBatch { rows: changed, times: PerRow::Same(time), diffs };
            output.session_with_builder(capability).give_container(&mut batch);
        }
    }
    let outside = time.to_outer();
    aside.failed(&mut changes.failures.into_iter().map(|(failure, diff)| (failure, outside, diff)).collect());
}

/// Builds the operator `name` around `state`. The time `opening`, if given, is closed even if no updates arrive at it.
///
/// Failures are recorded at the times outside the operator's scope, which are those of the dataflow.
pub(crate) fn by_time<'s, T, S>(
    name: &str,
    inputs: Vec<Input<'s, T>>,
    state: Rc<RefCell<S>>,
    opening: Option<T>,
    aside: Aside,
) -> UpdateStream<'s, T>
where
    T: Timestamp + TotalOrder + Refines<Time> + Copy + Default + Sync,
    S: TimedState,
{
    let scope = inputs.first().expect("operators have inputs").updates.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let mut handles: Vec<_> =
        inputs.into_iter().map(|input| builder.new_input(input.updates, input.exchange)).collect();
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, NoopBuilder<UpdateBatch<T>>>::from(output);
    let activator = scope.activator_for(builder.operator_info().address);
    builder.build(move |capabilities| {
        let mut timeline = Timeline { waiting: BTreeMap::new(), closing: None };
        if let Some(opening) = opening {
            timeline.hold(opening, || capabilities[0].delayed(&opening));
        }
        drop(capabilities);
        move |frontiers| {
            for (input, handle) in handles.iter_mut().enumerate() {
                handle.for_each(|capability, batch| {
                    aside.work.received(batch.len());
                    for (time, batch) in std::mem::take(batch).by_time() {
                        timeline.hold(time, || capability.delayed(&time, 0)).push(input, batch);
                    }
                });
            }
            // `None` means that the inputs have ended and all times are closed.
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().as_option().copied()).min();
            let mut output = output.activate();
            let tank = aside.work.tank();
            let mut allowance = Allowance::new(tank.grant());
            let admits = |time: &T| tank.gate().admits(time.to_outer(), || activator.clone());
            let send = |capability: &Capability<T>, changes| send(&mut output, capability, changes, &aside);
            let left = timeline.advance(&mut *state.borrow_mut(), frontier, admits, &mut allowance, send);
            tank.touched(allowance.spent());
            tank.leaves(left);
            if left > 0 {
                activator.activate();
            }
        }
    });
    stream
}

#[cfg(test)]
mod tests;
