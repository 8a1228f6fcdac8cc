//! The operator that joins: it decides which batches meet, and works through them a piece at each activation.
//!
//! ```text
//! batch of one side, as it arrives --with all batches of the other side that arrived before--> queue of the side
//! queues --in turn, as far as the fuel goes--> pairs
//! ```
//!
//! Each batch meets the batches of the other side that were acknowledged before it arrived, so each pair of batches
//! meets once. What the traces hold at the start meets at once, as a single piece of work.

use std::collections::VecDeque;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::implementations::spine_fueled::SpineBatch as _;
use differential_dataflow::trace::{Span, TraceReader};
use timely::PartialOrder;
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{CapabilitySet, InputCapability};
use timely::progress::Antichain;
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

use super::matcher::{MatchFuel, Matcher};
use super::output::PairDecoder;
use crate::UpdateBatch;
use crate::arrangement::{ArrangementTime, Batch};
use crate::work::Work;

/// Joins two arrangements.
pub(super) fn drive<'scope, T, Left, Right>(
    left: Arranged<'scope, Left>,
    right: Arranged<'scope, Right>,
    decoder: PairDecoder,
    work: Rc<Work>,
) -> Stream<'scope, T, UpdateBatch<T>>
where
    T: ArrangementTime,
    Left: TraceReader<Time = T, Batch = Batch<T>> + 'static,
    Right: TraceReader<Time = T, Batch = Batch<T>> + 'static,
{
    let scope = left.stream.scope();
    let (left_trace, right_trace) = (left.trace, right.trace);
    left.stream.binary_frontier(right.stream, Pipeline, Pipeline, "Join", move |capability, info| {
        let (mut left, left_held) = Side::new(left_trace);
        let (mut right, right_held) = Side::new(right_trace);
        let mut queues = Queues { left: VecDeque::new(), right: VecDeque::new(), decoder, work };
        if !left_held.is_empty() && !right_held.is_empty() {
            let matcher = Matcher::new(left_held, right_held, *capability.time());
            queues.right.push_back((CapabilitySet::from_elem(capability), matcher));
        }
        let activator = scope.activator_for(info.address);
        move |(left_input, left_frontier), (right_input, right_frontier), output| {
            left_input.for_each(|capability, spans| {
                let (capabilities, meet) = held(&capability);
                for batch in spans.drain(..).filter_map(|span| left.acknowledge(span)) {
                    queues.work.tank().arrived(batch.len());
                    let matcher = Matcher::new(vec![batch], right.acknowledged_batches(), meet);
                    queues.left.push_back((capabilities.clone(), matcher));
                }
            });
            right_input.for_each(|capability, spans| {
                let (capabilities, meet) = held(&capability);
                for batch in spans.drain(..).filter_map(|span| right.acknowledge(span)) {
                    queues.work.tank().arrived(batch.len());
                    let matcher = Matcher::new(left.acknowledged_batches(), vec![batch], meet);
                    queues.right.push_back((capabilities.clone(), matcher));
                }
            });
            queues.work_and_send(&activator, output);
            left.maintain(right_frontier);
            right.maintain(left_frontier);
        }
    })
}

/// Returns the capabilities to send what a message brings, and a time that none of its updates is before.
fn held<T: ArrangementTime>(capability: &InputCapability<T>) -> (CapabilitySet<T>, T) {
    let meet = capability.stamp().iter().copied().reduce(|a, b| a.meet(&b));
    (capability.retain_stamp(0), meet.expect("updates travel with a time"))
}

/// One input of the join.
struct Side<Tr: TraceReader> {
    /// The history; `None` once the other side has ended, for then no batch arrives that would read it.
    trace: Option<Tr>,
    /// All batches through this frontier have arrived, or have no updates.
    acknowledged: Antichain<Tr::Time>,
    /// The batches through this frontier were in the trace at the start.
    preloaded: Antichain<Tr::Time>,
}

impl<T: ArrangementTime, Tr: TraceReader<Time = T, Batch = Batch<T>>> Side<Tr> {
    /// Returns the side and the batches that its trace holds.
    fn new(trace: Tr) -> (Self, Vec<Batch<T>>) {
        let mut acknowledged = Antichain::from_elem(T::minimum());
        let mut held = Vec::new();
        trace.map_spans(|span| {
            acknowledged.clone_from(span.upper());
            held.extend(span.inner.clone());
        });
        let preloaded = acknowledged.clone();
        (Side { trace: Some(trace), acknowledged, preloaded }, held)
    }

    /// Takes note of a span that arrives; returns its batch if it has updates that were not in the trace at the start.
    ///
    /// A batch is returned even if `maintain` went past it: in the trace its updates may have been merged with others
    /// and vanished, which holds for readers of later times but not for the times of the batch.
    fn acknowledge(&mut self, span: Span<T, Batch<T>>) -> Option<Batch<T>> {
        let whole = |frontier: &Antichain<T>| {
            PartialOrder::less_equal(span.upper(), frontier) || PartialOrder::less_equal(frontier, span.lower())
        };
        assert!(whole(&self.preloaded) && whole(&self.acknowledged), "a span is on one side of a frontier");
        if PartialOrder::less_equal(span.upper(), &self.preloaded) {
            return None;
        }
        if PartialOrder::less_equal(&self.acknowledged, span.lower()) {
            self.acknowledged.clone_from(span.upper());
        }
        span.inner
    }

    /// Returns the batches that have arrived.
    fn acknowledged_batches(&mut self) -> Vec<Batch<T>> {
        let trace = self.trace.as_mut().expect("the other side has not ended");
        trace.batches_through(self.acknowledged.borrow()).expect("compaction is held back at this frontier")
    }

    /// Lets the trace be compacted as far as the other side, whose frontier is `other`, allows; drops it if that side
    /// has ended.
    fn maintain(&mut self, other: &MutableAntichain<T>) {
        let Some(trace) = &mut self.trace else { return };
        // Spans without updates are not sent.
        trace.advance_upper(&mut self.acknowledged);
        if other.is_empty() {
            self.trace = None;
        } else {
            trace.set_logical_compaction(other.frontier());
            trace.set_physical_compaction(self.acknowledged.borrow());
        }
    }
}

/// Batches that are to be joined, and the capabilities to send their pairs.
type Queue<T> = VecDeque<(CapabilitySet<T>, Matcher<T>)>;

/// The work that the operator has not done, by the side whose batch brought it.
struct Queues<T: ArrangementTime> {
    left: Queue<T>,
    right: Queue<T>,
    decoder: PairDecoder,
    work: Rc<Work>,
}

/// What the operator sends.
type Pairs<'a, T> = OutputBuilderSession<'a, T, NoopBuilder<UpdateBatch<T>>>;

impl<T: ArrangementTime> Queues<T> {
    /// Joins as much as one activation may, and sends the pairs. If work remains, says so and activates the operator.
    fn work_and_send(&mut self, activator: &Activator, output: &mut Pairs<'_, T>) {
        let tank = self.work.tank();
        if !tank.is_full() {
            // Half of the fuel for one side and what is then left for the other, so that both get turns.
            let half = MatchFuel { rows: tank.grant().div_ceil(2), pairs: tank.grant().div_ceil(2) };
            let mut fuel = half;
            drain(&mut self.left, &self.decoder, &mut fuel, &self.work, output);
            fuel = MatchFuel { rows: fuel.rows + half.rows, pairs: fuel.pairs + half.pairs };
            drain(&mut self.right, &self.decoder, &mut fuel, &self.work, output);
            drain(&mut self.left, &self.decoder, &mut fuel, &self.work, output);
        }
        let left = !self.left.is_empty() || !self.right.is_empty();
        // How many pairs there are is known when they are made.
        tank.leaves(usize::from(left));
        if left {
            activator.activate();
        }
    }
}

/// Works through a queue as far as the fuel goes.
fn drain<T: ArrangementTime>(
    queue: &mut Queue<T>,
    decoder: &PairDecoder,
    fuel: &mut MatchFuel,
    work: &Work,
    output: &mut Pairs<'_, T>,
) {
    let mut batches = Vec::new();
    while !fuel.is_empty()
        && let Some((capabilities, matcher)) = queue.front_mut()
    {
        let before = fuel.rows;
        let done = matcher.work(decoder, fuel, &mut batches);
        let pairs: usize = batches.iter().map(UpdateBatch::len).sum();
        work.received(before - fuel.rows);
        work.sent(pairs);
        work.tank().touched(before - fuel.rows + pairs);
        for mut batch in batches.drain(..) {
            output.session_with_builder(&*capabilities).give_container(&mut batch);
        }
        if done {
            queue.pop_front();
        }
    }
}
