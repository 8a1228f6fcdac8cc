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

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::RecordBatch;
use timely::container::NoopBuilder;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::order::TotalOrder;
use timely::progress::Timestamp;
use timely::progress::timestamp::Refines;

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
    /// Applies updates of one time of input `input`. Times do not decrease, and `close` is called between two times.
    fn apply(&mut self, input: usize, rows: &RecordBatch, diffs: &Diffs);

    /// Called when all updates of a time are applied; returns what the time changed.
    fn close(&mut self) -> Changes;

    /// Returns the size of the state; the bytes are approximate.
    fn size(&self) -> StateSize;
}

/// What an operator sends at one time.
#[derive(Default)]
pub(crate) struct Changes {
    /// Changed rows with their diffs; batches may be empty.
    pub(crate) rows: Vec<(RecordBatch, Diffs)>,
    /// Changes of the multiplicities of failures.
    pub(crate) failures: Vec<(RowFailure, Diff)>,
}

/// The times that have updates and are not closed yet.
struct Waiting<T: Timestamp>(BTreeMap<T, Pending<T>>);

/// The updates of a time, and the capability to send what they change.
struct Pending<T: Timestamp> {
    capability: Capability<T>,
    /// The batches, all of this time, and the input of each.
    batches: Vec<(usize, UpdateBatch<T>)>,
}

impl<T: Timestamp + TotalOrder + Copy> Waiting<T> {
    /// Returns what waits at `time`; if nothing does, `capability` must return the capability of the time.
    fn hold(&mut self, time: T, capability: impl FnOnce() -> Capability<T>) -> &mut Pending<T> {
        self.0.entry(time).or_insert_with(|| Pending { capability: capability(), batches: Vec::new() })
    }

    /// Applies to `state` the updates that wait at the least time, unless times before it are open. Returns the
    /// capability of the time if it is closed: then its changes can be sent.
    fn apply_next(&mut self, state: &mut impl TimedState, frontier: Option<T>) -> Option<Capability<T>> {
        let mut first = self.0.first_entry()?;
        let time = *first.key();
        if frontier.is_some_and(|frontier| frontier < time) {
            return None;
        }
        for (input, batch) in first.get_mut().batches.drain(..) {
            state.apply(input, &batch.rows, &batch.diffs);
        }
        (frontier != Some(time)).then(|| first.remove().capability)
    }
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
    builder.build(move |capabilities| {
        let mut waiting = Waiting(BTreeMap::new());
        if let Some(opening) = opening {
            waiting.hold(opening, || capabilities[0].delayed(&opening));
        }
        drop(capabilities);
        move |frontiers| {
            for (input, handle) in handles.iter_mut().enumerate() {
                handle.for_each(|capability, batch| {
                    aside.work.received(batch.len());
                    for (time, batch) in std::mem::take(batch).by_time() {
                        waiting.hold(time, || capability.delayed(&time, 0)).batches.push((input, batch));
                    }
                });
            }
            // `None` means that the inputs have ended and all times are closed.
            let frontier = frontiers.iter().filter_map(|frontier| frontier.frontier().as_option().copied()).min();
            let mut output = output.activate();
            let mut state = state.borrow_mut();
            while let Some(capability) = waiting.apply_next(&mut *state, frontier) {
                let time = *capability.time();
                let Changes { rows, failures } = state.close();
                for (changed, diffs) in rows {
                    if changed.num_rows() > 0 {
                        aside.work.sent(changed.num_rows());
                        let mut batch = UpdateBatch { rows: changed, times: PerRow::Same(time), diffs };
                        output.session_with_builder(&capability).give_container(&mut batch);
                    }
                }
                let outside = time.to_outer();
                aside.failed(&mut failures.into_iter().map(|(failure, diff)| (failure, outside, diff)).collect());
            }
        }
    });
    stream
}
