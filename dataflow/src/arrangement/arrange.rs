//! The operator that arranges: it receives updates and, when the frontier advances, seals those before it into a batch.
//!
//! ```text
//! updates --> batcher --frontier advances--> seal (a piece at each activation) --whole--> spine, stream of batches
//! ```
//!
//! While a seal is under way the operator holds the capabilities and the frontier that it had before: to everybody else,
//! the times of the batch are open until the batch is whole. Updates that arrive meanwhile stay in the batcher, and a
//! frontier that advances meanwhile waits for its turn.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use differential_dataflow::operators::arrange::agent::trace_box::TraceBox;
use differential_dataflow::operators::arrange::arrangement::Arranged;
use differential_dataflow::operators::arrange::{TraceAgent, TraceWriter};
use differential_dataflow::trace::{Description, Span};
use timely::container::NoopBuilder;
use timely::dataflow::Stream;
use timely::dataflow::operators::generic::OutputBuilderSession;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Capability, CapabilitySet};
use timely::progress::frontier::{AntichainRef, MutableAntichain};
use timely::progress::{Antichain, Stamp};
use timely::scheduling::Activator;

use super::batch::Batch;
use super::batcher::{Seal, Sealed, UpdateBatcher};
use super::exchange::exchange_by;
use super::layout::Layout;
use super::spine::Spine;
use super::time::ArrangementTime;
use super::trace::Trace;
use crate::UpdateBatch;
use crate::work::Work;

/// Indexes a collection by the layout's key, each key on one worker; `work` counts the rows.
///
/// The trace of the result holds back compaction: its owner must advance both of its frontiers as time goes on, or drop
/// it.
pub fn arrange<'scope, T: ArrangementTime>(
    stream: Stream<'scope, T, UpdateBatch<T>>,
    layout: &Arc<Layout>,
    name: &str,
    work: Rc<Work>,
) -> Arranged<'scope, Trace<T>> {
    let (scope, mut reader) = (stream.scope(), None);
    let batches = stream.unary_frontier(exchange_by(Arc::clone(layout.key())), name, |_, info| {
        let activator = || scope.activator_for(Rc::clone(&info.address));
        let spine = Spine::of(Rc::clone(&work), Some(activator()));
        let (trace, writer) = TraceAgent::new(spine, info.clone(), None);
        let mut arranger = Arranger {
            batcher: UpdateBatcher::new(Arc::clone(layout), Rc::clone(&work)),
            seal: None,
            sealed: Antichain::from_elem(T::minimum()),
            capabilities: Antichain::new(),
            writer,
            spine: Rc::downgrade(&trace.trace_box_unstable()),
            work,
            activator: activator(),
        };
        reader = Some(trace);
        move |(input, frontier), output| {
            input.for_each(|capability, batch| {
                arranger.capabilities.extend(capability.retain_stamp(0).iter().cloned());
                arranger.work.received(batch.len());
                arranger.batcher.insert(std::mem::take(batch));
            });
            arranger.work(frontier, output);
        }
    });
    Arranged { stream: batches, trace: reader.expect("the operator was built") }
}

/// The state of the operator.
struct Arranger<T: ArrangementTime> {
    batcher: UpdateBatcher<T>,
    /// The seal that is under way.
    seal: Option<Seal<T>>,
    /// All updates before this frontier are in the trace.
    sealed: Antichain<T>,
    /// Capabilities for all updates that are not in the trace.
    capabilities: Antichain<Capability<T>>,
    writer: TraceWriter<Spine<T>>,
    /// The trace that the writer writes; gone when nobody reads it.
    spine: Weak<RefCell<TraceBox<Spine<T>>>>,
    work: Rc<Work>,
    activator: Activator,
}

/// The batches that the operator sends.
type Batches<'a, T> = OutputBuilderSession<'a, T, NoopBuilder<Vec<Span<T, Batch<T>>>>>;

impl<T: ArrangementTime> Arranger<T> {
    /// Processes about a grant of updates: sorts runs, and seals batches.
    fn work(&mut self, frontier: &MutableAntichain<T>, output: &mut Batches<'_, T>) {
        let mut fuel = self.work.tank().grant();
        while fuel > 0 && self.batcher.has_run() {
            fuel = fuel.saturating_sub(self.batcher.sort_run());
        }
        let mut unsealed = self.seal.is_some() || self.sealed.borrow() != frontier.frontier();
        while fuel > 0 && unsealed {
            self.seal_more(frontier.frontier(), &mut fuel, output);
            unsealed = self.seal.is_some() || self.sealed.borrow() != frontier.frontier();
        }
        self.writer.exert();
        let overdue = self.spine.upgrade().map_or(0, |spine| spine.borrow().trace().overdue());
        let sealing = if unsealed { self.seal.as_ref().map_or(1, Seal::left) } else { 0 };
        let left = sealing + if self.batcher.has_run() { self.batcher.pending_rows() } else { 0 };
        if left > 0 {
            self.activator.activate();
        }
        self.work.tank().leaves(left + overdue);
    }

    /// Continues the seal that is under way, or begins one of the updates before `frontier`.
    fn seal_more(&mut self, frontier: AntichainRef<'_, T>, fuel: &mut usize, output: &mut Batches<'_, T>) {
        let seal = match self.seal.take() {
            Some(seal) => seal,
            None if self.capabilities.iter().any(|held| !frontier.less_equal(held.time())) => {
                self.batcher.seal(frontier.to_owned())
            }
            None => {
                // No capability is held for a time before the frontier, so there is no update before it either.
                self.sealed = frontier.to_owned();
                self.writer.seal(self.sealed.clone());
                return;
            }
        };
        let upper = seal.upper().clone();
        match seal.work(&mut self.batcher, fuel) {
            Sealed::Unfinished(seal) => self.seal = Some(seal),
            Sealed::Whole(batch) => self.publish(upper, batch, output),
        }
    }

    /// Writes the batch of all updates between the sealed frontier and `upper` to the trace and sends it.
    fn publish(&mut self, upper: Antichain<T>, batch: Option<Batch<T>>, output: &mut Batches<'_, T>) {
        let retired: CapabilitySet<T> =
            self.capabilities.iter().filter(|held| !upper.less_equal(held.time())).cloned().collect();
        self.work.sent(batch.iter().flat_map(|batch| &batch.chunks).map(|chunk| chunk.range().len()).sum());
        let lower = std::mem::replace(&mut self.sealed, upper.clone());
        let description = Description::new(lower, upper, Antichain::from_elem(T::minimum()));
        let span = Span::new(description, batch);
        self.writer.insert(span.clone(), retired.iter().map(|held| *held.time()).collect::<Stamp<T>>());
        output.session_with_builder(&retired).give_container(&mut vec![span]);
        let capability_of = |time: &T| {
            let held = self.capabilities.iter().find(|held| held.time().less_equal(time));
            held.expect("updates arrive with capabilities").delayed(time)
        };
        self.capabilities = self.batcher.least().iter().map(capability_of).collect();
    }
}
