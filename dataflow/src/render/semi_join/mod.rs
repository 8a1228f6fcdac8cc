//! Rows of an arrangement by whether a key is present on the other side: semi and anti join.
//!
//! ```text
//! left arrangement ------------------\
//!                                     semi join: left rows, those of keys that come or go again
//! right rows --exchange by key hash--/     (how often each right key is there)
//! ```
//!
//! Times are totally ordered and taken one after the other once they are closed on both sides: first the keys whose
//! presence changes at a time give or take back their left rows as of just before it, then the left side's own changes
//! at the time pass by the presence that now holds. Of the right side only the counts are kept.

mod presence;
mod steps;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
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

use crate::arrangement::{Batch, Layout, exchange_by};
use crate::plan::SemiJoinKind;
use crate::row_bytes::KeyCodec;
use crate::work::Work;
use crate::{DataflowError, Time, UpdateBatch};

pub(crate) use presence::PresenceSize;
use steps::Steps;

/// What a semi or anti join reads and gives.
#[derive(Clone, Debug)]
pub(crate) struct SemiJoinLayout {
    left: Arc<Layout>,
    right_key: Arc<KeyCodec>,
    kind: SemiJoinKind,
    schema: SchemaRef,
}

impl SemiJoinLayout {
    /// The rows of an arrangement of layout `left` by the presence of `right_key`, under `schema`. An error if the keys
    /// or the schema do not fit.
    pub(crate) fn new(
        left: &Arc<Layout>,
        right_key: &Arc<KeyCodec>,
        kind: SemiJoinKind,
        schema: &SchemaRef,
    ) -> Result<Self, DataflowError> {
        let (left_types, right_types) = (left.key().codec().types(), right_key.codec().types());
        if left_types != right_types {
            let message = format!("semi join of keys of types {left_types:?} and {right_types:?}");
            return Err(DataflowError::MalformedPlan(message));
        }
        if !schema.fields().iter().map(|f| f.data_type()).eq(left.row().types()) {
            let message = format!("rows of types {:?} are not under {schema:?}", left.row().types());
            return Err(DataflowError::MalformedPlan(message));
        }
        let (left, right_key) = (Arc::clone(left), Arc::clone(right_key));
        Ok(SemiJoinLayout { left, right_key, kind, schema: Arc::clone(schema) })
    }
}

/// The rows of `left` whose key `right` has, or has not; and the size of what is kept, as it changes.
pub(crate) fn semi_join<'scope, Left>(
    left: Arranged<'scope, Left>,
    right: Stream<'scope, Time, UpdateBatch>,
    layout: SemiJoinLayout,
    work: Rc<Work>,
) -> (Stream<'scope, Time, UpdateBatch>, Rc<Cell<PresenceSize>>)
where
    Left: TraceReader<Time = Time, Batch = Batch> + 'static,
{
    let size = Rc::new(Cell::new(PresenceSize::default()));
    let reported = Rc::clone(&size);
    let exchange = exchange_by(Arc::clone(&layout.right_key));
    let Arranged { stream, trace } = left;
    let rows = stream.binary_frontier(right, Pipeline, exchange, "SemiJoin", move |_, _| {
        let mut steps = Steps::new(trace, layout);
        let mut capabilities = CapabilitySet::new();
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
            give(&mut steps, closed(left_frontier, right_frontier), &capabilities, &work, output);
            match steps.next_time() {
                Some(time) => capabilities.downgrade([time]),
                None => capabilities = CapabilitySet::new(),
            }
            steps.compact(first(left_frontier), first(right_frontier));
            reported.set(steps.size());
        }
    });
    (rows, size)
}

/// Takes the steps of closed times and sends what comes out.
fn give<Left: TraceReader<Time = Time, Batch = Batch>>(
    steps: &mut Steps<Left>,
    closed: Option<Time>,
    capabilities: &CapabilitySet<Time>,
    work: &Work,
    output: &mut OutputBuilderSession<'_, Time, NoopBuilder<UpdateBatch>>,
) {
    while let Some(time) = steps.next_time().filter(|time| closed.is_none_or(|frontier| *time < frontier)) {
        let capability = capabilities.delayed(&time);
        let mut session = output.session_with_builder(&capability);
        steps.step(time, &mut |mut batch| {
            work.sent(batch.len());
            session.give_container(&mut batch);
        });
    }
}

fn first(frontier: &MutableAntichain<Time>) -> Option<Time> {
    frontier.frontier().first().copied()
}

/// The least time that is open on a side; `None` when all are closed.
fn closed(left: &MutableAntichain<Time>, right: &MutableAntichain<Time>) -> Option<Time> {
    first(left).into_iter().chain(first(right)).min()
}

#[cfg(test)]
mod tests;
