//! A timely dataflow on one worker, and the numbers that identify dataflows.
//!
//! A dataflow is *awake* from the moment that rows may reach it until all is done that follows from them. Asleep it is
//! not stepped, and times pass without it: it is complete through the last closed time, because nothing has changed.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::frontier::Frontier;
use crate::fuel::Fuel;
use crate::input::{CollectionInput, Event, Pumped};
use crate::output::EventQueue;
use crate::render::context::SizeOf;
use crate::report::{OperatorWork, StateSize};
use crate::state::{Free, TraceHandle};
use crate::work::Work;
use crate::{CollectionId, Time, ViewId};

/// Identifies a dataflow. Dataflows are numbered in the order of commands, so the numbers agree on all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowId(u64);

impl FlowId {
    /// Returns the number after this one.
    pub(super) fn next(self) -> Self {
        FlowId(self.0 + 1)
    }
}

/// Number of rounds of the worker after which it looks how long a dataflow is awake. Most are done before.
const LOOK_ROUNDS: u32 = 32;
/// How much longer a dataflow may take before it is slow.
const SLOW: Duration = Duration::from_millis(1);

/// How long a dataflow has been awake.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    rounds: u32,
    since: Option<Instant>,
}

impl Pace {
    /// Counts a round of the worker, after which the dataflow has more rows to process or has not.
    #[expect(clippy::disallowed_methods, reason = "how long others wait for a dataflow, not what it finds")]
    fn round(&mut self, has_more: bool) {
        self.rounds += 1;
        if self.since.is_none() && (has_more || self.rounds >= LOOK_ROUNDS) {
            self.since = Some(Instant::now());
        }
    }

    fn is_slow(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > SLOW)
    }
}

/// Whose dataflow it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    View(ViewId),
    /// An index, by its text.
    Index(String),
}

/// An input that reads another view.
pub(super) struct ViewInput {
    /// The position of the input.
    pub(super) position: usize,
    /// The dataflow of the view that is read.
    pub(super) from: FlowId,
    /// What that view publishes.
    pub(super) queue: EventQueue,
}

/// One timely dataflow and its inputs.
pub(super) struct Flow {
    pub(super) owner: Owner,
    /// Timely's index of the dataflow.
    pub(super) dataflow: usize,
    /// The time of the contents with which it began.
    pub(super) opening: Time,
    pub(super) inputs: Vec<CollectionInput>,
    /// The inputs among these that read another view.
    pub(super) view_inputs: Vec<ViewInput>,
    /// The dataflows of the indexes that it reads.
    pub(super) indexes: Vec<FlowId>,
    /// The dataflows that read what it changes.
    pub(super) readers: Vec<FlowId>,
    /// The last time that it has to complete.
    pub(super) through: Time,
    /// The time for which it was woken: it is complete before that.
    pub(super) woken: Time,
    /// How long it has been awake.
    pub(super) pace: Pace,
    /// Whether its inputs hold rows that did not enter in the last round.
    pub(super) holds_input: bool,
    /// The frontiers of its outputs; the flow is complete up to the least of these.
    pub(super) frontiers: Vec<Frontier>,
    /// Its own arrangements, which only this flow compacts.
    pub(super) traces: Vec<TraceHandle>,
    /// Functions that return the sizes of its other operators.
    pub(super) sizes: Vec<SizeOf>,
    /// Functions that free what these operators keep, when the dataflow is gone.
    pub(super) frees: Vec<Free>,
    pub(super) work: Vec<Rc<Work>>,
    /// The fuel that its operators share.
    pub(super) fuel: Rc<Fuel>,
    /// What the dataflow had allocated when it was last complete; kept while the memory limit is near.
    pub(super) settled: i64,
    /// The time through which history has been forgotten.
    pub(super) compacted: Time,
}

impl Flow {
    /// Returns the frontier of the flow: all times before it are complete. Asleep, the flow is complete beyond.
    pub(super) fn frontier(&self) -> Time {
        self.reached().max(self.woken)
    }

    /// Returns the frontier that its operators have reached: they are not told of times that pass while it is asleep.
    pub(super) fn reached(&self) -> Time {
        self.frontiers.iter().map(Frontier::get).min().unwrap_or(Time::MAX)
    }

    /// Whether all is done that has to be.
    pub(super) fn is_done(&self) -> bool {
        self.frontier() > self.through && self.inputs.iter().all(CollectionInput::is_empty)
    }

    /// Whether the flow still takes in its first contents.
    pub(super) fn is_opening(&self) -> bool {
        self.frontier() <= self.opening
    }

    /// Whether the flow takes in its first contents, and this is more than a piece of work.
    pub(super) fn is_hydrating(&self) -> bool {
        self.is_opening() && (self.holds_input || self.fuel.has_backlog())
    }

    /// Returns how many rows of its first contents have entered, and how many there are as far as is known.
    pub(super) fn taken_in(&self) -> (u64, u64) {
        let inputs = self.inputs.iter().map(CollectionInput::taken_in);
        inputs.fold((0, 0), |(entered, all), (e, a)| (entered + e, all + a))
    }

    /// Counts a round of the worker in which the flow is awake.
    pub(super) fn round(&mut self) {
        self.pace.round(self.holds_input || self.fuel.has_backlog());
    }

    /// Whether others should not wait for it: what it has to do takes longer than a change usually does.
    pub(super) fn is_slow(&self) -> bool {
        self.pace.is_slow()
    }

    /// Closes the times through `time` of all inputs but those that read a view, which closes them.
    pub(super) fn close(&mut self, time: Time) {
        for input in &mut self.inputs {
            if !matches!(input.collection(), Some(CollectionId::View(_))) {
                input.push(Event::Close(time));
            }
        }
    }

    /// Whether events may enter, or operators have rows left.
    pub(super) fn has_events(&self) -> bool {
        self.fuel.has_backlog() || self.inputs.iter().any(CollectionInput::has_events)
    }

    /// Lets events enter the inputs, at most `room` rows each, but nothing while operators have rows left. Returns
    /// whether it has more to do than the step that follows.
    pub(super) fn pump(&mut self, room: usize) -> bool {
        if self.fuel.has_backlog() {
            return true;
        }
        self.holds_input = false;
        for input in &mut self.inputs {
            self.holds_input |= input.pump(room) == Pumped::More;
        }
        self.holds_input
    }

    /// Moves what upstream views have published to the inputs that read it.
    pub(super) fn receive(&mut self) {
        for ViewInput { position, queue, .. } in &self.view_inputs {
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
