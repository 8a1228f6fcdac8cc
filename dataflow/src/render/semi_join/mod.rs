//! Selects the rows of an arrangement by whether the other side has their key: semi and anti join.
//!
//! ```text
//! left arrangement ------------------\
//!                                     semi join: left rows, and again those of keys that appear or vanish
//! right rows --exchange by key hash--/     (the count of each right key)
//! ```
//!
//! Times are totally ordered, and processed one after another once they are closed on both sides. At each time, the
//! keys whose presence changes first add or retract their left rows as of just before the time; then the left side's
//! own changes at the time are selected by the new presence. Of the right side only the counts are kept. A time is
//! processed in pieces, over several activations if need be.

mod gather;
mod layout;
mod presence;
mod steps;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::TraceReader;
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch as _;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::CapabilitySet;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::Operator;
use timely::progress::frontier::MutableAntichain;

use crate::arrangement::{Batch, exchange_by};
use crate::report::StateSize;
use crate::work::Work;
use crate::{Time, UpdateBatch};

pub(crate) use layout::SemiJoinLayout;
use steps::Steps;

/// Returns the rows of `left` whose key `right` has, or does not have; and the size of the state, updated as it
/// changes.
pub(crate) fn semi_join<'scope, Left>(
    left: Arranged<'scope, Left>,
    right: Stream<'scope, Time, UpdateBatch>,
    layout: SemiJoinLayout,
    work: Rc<Work>,
) -> (Stream<'scope, Time, UpdateBatch>, Rc<Cell<StateSize>>)
where
    Left: TraceReader<Time = Time, Batch = Batch> + 'static,
{
    let size = Rc::new(Cell::new(StateSize::default()));
    let reported = Rc::clone(&size);
    let exchange = exchange_by(Arc::clone(layout.right.key()));
    let Arranged { stream, trace } = left;
    let scope = stream.scope();
    let rows = stream.binary_frontier(right, Pipeline, exchange, "SemiJoin", move |_, info| {
        let mut steps = Steps::new(trace, layout, &work);
        let mut capabilities = CapabilitySet::new();
        let activator = scope.activator_for(info.address);
        move |(left, left_frontier), (right, right_frontier), output| {
            left.for_each(|capability, spans| {
                capability.retain_stamp(0).iter().for_each(|c| capabilities.insert(c.clone()));
                for batch in spans.drain(..).filter_map(|span| span.inner) {
                    work.received(batch.len());
                    steps.receive_left(&batch);
                }
            });
            right.for_each(|capability, batch| {
                capability.retain_stamp(0).iter().for_each(|c| capabilities.insert(c.clone()));
                work.received(batch.len());
                steps.receive_right(std::mem::take(batch));
            });
            let mut fuel = work.tank().grant();
            let divided = steps.divide(&mut fuel);
            if work.tank().is_full() {
                // One key can bring many rows of the other side.
                fuel = 0;
            }
            let done = divided
                && give(&mut steps, closed(left_frontier, right_frontier), &capabilities, &work, &mut fuel, output);
            if divided {
                // Output can come only from updates that still wait for their time to close.
                match steps.next_time() {
                    Some(time) => capabilities.downgrade([time]),
                    None => capabilities = CapabilitySet::new(),
                }
                steps.compact(first(left_frontier), first(right_frontier));
            }
            // How many rows a step reads is known when it has read them.
            work.tank().leaves(usize::from(!done));
            if !done {
                activator.activate();
            }
            reported.set(steps.size());
        }
    });
    (rows, size)
}

/// Processes the closed times as far as the fuel goes, and sends their changes. Returns whether no closed time is left.
fn give<Left: TraceReader<Time = Time, Batch = Batch>>(
    steps: &mut Steps<Left>,
    closed: Option<Time>,
    capabilities: &CapabilitySet<Time>,
    work: &Work,
    fuel: &mut usize,
    output: &mut OutputBuilderSession<'_, Time, NoopBuilder<UpdateBatch>>,
) -> bool {
    while let Some(time) = steps.next_time().filter(|time| closed.is_none_or(|frontier| *time < frontier)) {
        if *fuel == 0 {
            return false;
        }
        let capability = capabilities.delayed(&time);
        let mut session = output.session_with_builder(&capability);
        steps.step(time, fuel, &mut |mut batch| {
            work.sent(batch.len());
            session.give_container(&mut batch);
        });
    }
    true
}

fn first(frontier: &MutableAntichain<Time>) -> Option<Time> {
    frontier.frontier().as_option().copied()
}

/// Returns the least time that is open on either side; `None` if all times are closed.
fn closed(left: &MutableAntichain<Time>, right: &MutableAntichain<Time>) -> Option<Time> {
    first(left).into_iter().chain(first(right)).min()
}

#[cfg(test)]
mod tests;
