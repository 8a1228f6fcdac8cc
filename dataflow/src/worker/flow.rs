//! A timely dataflow on one worker, and the numbers that identify dataflows.

use std::rc::Rc;

use crate::Time;
use crate::frontier::Frontier;
use crate::input::{CollectionInput, Pumped};
use crate::output::EventQueue;
use crate::render::context::SizeOf;
use crate::report::{OperatorWork, StateSize};
use crate::state::TraceHandle;
use crate::work::Work;

/// Identifies a dataflow. Dataflows are numbered in the order of commands, so the numbers agree on all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowId(u64);

impl FlowId {
    /// Returns the number after this one.
    pub(super) fn next(self) -> Self {
        FlowId(self.0 + 1)
    }
}

/// One timely dataflow and its inputs.
pub(super) struct Flow {
    /// Timely's index of the dataflow.
    pub(super) dataflow: usize,
    /// The time of the contents with which it began.
    pub(super) opening: Time,
    pub(super) inputs: Vec<CollectionInput>,
    /// Queues of the inputs that read another view, with the position of each input.
    pub(super) queues: Vec<(usize, EventQueue)>,
    /// The frontiers of its outputs; the flow is complete up to the least of these.
    pub(super) frontiers: Vec<Frontier>,
    /// Times of reads that hold the flow: no later time enters while such a read waits.
    pub(super) holds: Vec<Time>,
    /// Its own arrangements, which only this flow compacts.
    pub(super) traces: Vec<TraceHandle>,
    /// Functions that return the sizes of its other operators.
    pub(super) sizes: Vec<SizeOf>,
    pub(super) work: Vec<Rc<Work>>,
    /// The time through which history has been forgotten.
    pub(super) compacted: Time,
}

impl Flow {
    /// Returns the frontier of the flow: all times before it are complete.
    pub(super) fn frontier(&self) -> Time {
        self.frontiers.iter().map(Frontier::get).min().unwrap_or(Time::MAX)
    }

    /// Lets events enter the inputs, but none later than the reads that hold the flow.
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

    /// Moves what upstream views have published to the inputs that read it.
    pub(super) fn receive(&mut self) {
        for (position, queue) in &self.queues {
            for event in queue.borrow_mut().drain(..) {
                self.inputs[*position].push(event);
            }
        }
    }

    /// Forgets at which times changes through `since` happened.
    pub(super) fn compact(&mut self, since: Time) {
        self.compacted = since;
        for trace in &mut self.traces {
            trace.compact(since);
        }
    }

    /// Returns the size of the state that its operators keep.
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

    /// Returns the work that its operators have done.
    pub(super) fn work_report(&self) -> Vec<OperatorWork> {
        let report = self.work.iter().map(|work| {
            let (received, sent) = work.rows();
            OperatorWork { operator: work.operator(), received, sent }
        });
        report.collect()
    }
}
