//! A timely dataflow on one worker, and the numbers by which dataflows are known.

use std::rc::Rc;

use crate::Time;
use crate::input::{CollectionInput, Pumped};
use crate::output::{Frontier, Queue};
use crate::render::context::SizeOf;
use crate::report::{OperatorWork, StateSize};
use crate::state::TraceHandle;
use crate::work::Work;

/// Dataflows are numbered in the order of commands, the same on every worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowId(u64);

impl FlowId {
    /// The number after this one.
    pub(super) fn next(self) -> Self {
        FlowId(self.0 + 1)
    }
}

/// One timely dataflow.
pub(super) struct Flow {
    /// What timely calls it.
    pub(super) dataflow: usize,
    /// Time of the contents it began with.
    pub(super) opening: Time,
    pub(super) inputs: Vec<CollectionInput>,
    /// Inputs that read another view, by position.
    pub(super) queues: Vec<(usize, Queue)>,
    /// The flow is complete as far as the least of these.
    pub(super) frontiers: Vec<Frontier>,
    /// No later time enters while a read of one of these waits.
    pub(super) holds: Vec<Time>,
    /// Arrangements of its own, which nobody else compacts.
    pub(super) traces: Vec<TraceHandle>,
    /// What its other operators keep.
    pub(super) sizes: Vec<SizeOf>,
    pub(super) work: Vec<Rc<Work>>,
    /// Through which time history was forgotten.
    pub(super) compacted: Time,
}

impl Flow {
    /// All times before this are complete.
    pub(super) fn frontier(&self) -> Time {
        self.frontiers.iter().map(Frontier::get).min().unwrap_or(Time::MAX)
    }

    /// Lets events enter, but none that a read has to come before.
    pub(super) fn pump(&mut self) -> Pumped {
        let hold = self.holds.iter().min().copied();
        let mut end = Pumped::Rest;
        for input in &mut self.inputs {
            if input.pump(hold) == Pumped::More {
                end = Pumped::More;
            }
        }
        end
    }

    /// Takes over what upstream views have published.
    pub(super) fn receive(&mut self) {
        for (position, queue) in &self.queues {
            for event in queue.borrow_mut().drain(..) {
                self.inputs[*position].push(event);
            }
        }
    }

    /// Forgets when changes through `since` came.
    pub(super) fn compact(&mut self, since: Time) {
        self.compacted = since;
        for trace in &mut self.traces {
            trace.compact(since);
        }
    }

    /// What its own operators keep.
    pub(super) fn size(&self) -> StateSize {
        let mut size = StateSize::default();
        for trace in &self.traces {
            size += trace.size();
        }
        for kept in &self.sizes {
            size += kept();
        }
        size
    }

    /// What its operators have done.
    pub(super) fn work_report(&self) -> Vec<OperatorWork> {
        let report = self.work.iter().map(|work| {
            let (received, sent) = work.rows();
            OperatorWork { operator: work.operator(), received, sent }
        });
        report.collect()
    }
}
