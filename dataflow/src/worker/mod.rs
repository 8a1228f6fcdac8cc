//! The thread that owns timely: it applies commands in order, feeds the inputs, steps timely and answers reads.
//!
//! ```text
//! loop: commands --> view queues, reads, compaction, progress --> inputs' backlogs --pump--> timely step
//! ```
//!
//! Nothing here blocks except `step_or_park`, and whoever sends a command unparks the thread. A read sees exactly the
//! commands before it: state with history is read as of the read's time; for state without history, the dataflow is
//! held at that time until the read is answered, while all other dataflows continue.

mod flow;
mod idle;
mod installation;
mod pending;
mod reads;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::command::Command;
use crate::coordinator::Coordinator;
use crate::failure::Failures;
use crate::input::{Event, Pumped};
use crate::output::ViewOutput;
use crate::report::{EngineReport, IndexReport, StateSize, ViewReport};
use crate::state::{TraceHandle, ViewState};
use crate::{CollectionId, RelationId, Time, UpdateBatch, ViewId};
use flow::{Flow, FlowId};
use idle::Idle;
pub use idle::LOOK_FOR;
use pending::{FlowHold, PendingRead};

/// An installed view.
struct InstalledView {
    flow: FlowId,
    /// Texts of the shared indexes it reads, each once.
    indexes: Vec<String>,
    output: Rc<RefCell<ViewOutput>>,
    /// Ledgers of failures: of its own operators, then of the indexes it reads.
    failures: Vec<Failures>,
    state: Option<Box<dyn ViewState>>,
}

/// An arrangement of a relation or view that several views may read.
struct Index {
    flow: FlowId,
    trace: TraceHandle,
    /// Text of the indexed rows, without the key: indexes of the same rows share it.
    source: String,
    failures: Failures,
    readers: usize,
}

/// The outcome of reporting progress to the handle.
enum Reported {
    /// There was no progress.
    Nothing,
    Progress,
    /// Everything before is done, and the next commit has arrived in the command channel.
    NextCommit,
}

/// One worker of an engine.
pub(crate) struct Worker<'t> {
    timely: &'t mut timely::worker::Worker,
    commands: Receiver<Command>,
    coordinator: Arc<Coordinator>,
    /// The last time that was closed.
    closed: Time,
    flows: BTreeMap<FlowId, Flow>,
    next_flow: FlowId,
    views: BTreeMap<ViewId, InstalledView>,
    indexes: BTreeMap<String, Index>,
    /// The inputs that read each relation, by flow and position.
    readers: BTreeMap<RelationId, Vec<(FlowId, usize)>>,
    reads: Vec<PendingRead>,
    /// Holds of reads that this worker has answered and others have not.
    holds: Vec<FlowHold>,
    next_hold: u64,
    /// Number of commands to install a view that this worker has run.
    installs: u64,
    /// The progress last reported to the handle: `paced`, `complete` and `installs`.
    reported: (Time, Time, u64),
    idle: Idle,
    ending: bool,
}

impl<'t> Worker<'t> {
    pub(crate) fn new(
        timely: &'t mut timely::worker::Worker,
        commands: Receiver<Command>,
        coordinator: Arc<Coordinator>,
    ) -> Self {
        Worker {
            timely,
            commands,
            coordinator,
            closed: Time::ZERO,
            flows: BTreeMap::new(),
            next_flow: FlowId::default(),
            views: BTreeMap::new(),
            indexes: BTreeMap::new(),
            readers: BTreeMap::new(),
            reads: Vec::new(),
            holds: Vec::new(),
            next_hold: 0,
            installs: 0,
            reported: (Time(1), Time(1), 0),
            idle: Idle::default(),
            ending: false,
        }
    }

    /// Works until told to end. Returns early if the engine is abandoned or another worker has panicked.
    pub(crate) fn run(&mut self) {
        while !self.coordinator.is_abandoned() {
            let mut busy = !self.commands.is_empty();
            while let Ok(command) = self.commands.try_recv() {
                self.apply(command);
            }
            // Everything that commands and the last step have made possible must happen before the thread may park.
            self.release_holds();
            self.flows.values_mut().for_each(Flow::receive);
            self.tell();
            self.answer_reads();
            // A subscriber that learns of a closed time may commit at once, so the handle is told of the progress right
            // after the sink.
            let reported = self.report_progress();
            // Compaction comes after `tell`, which still needs the failures of each time.
            self.compact();
            match reported {
                Reported::Nothing => {}
                Reported::Progress => busy = true,
                // A step before applying the commit would find nothing to do, since all views are complete.
                Reported::NextCommit => continue,
            }
            if self.ending && self.is_finished() {
                for view in self.views.values() {
                    view.output.borrow_mut().end();
                }
                return;
            }
            busy |= self.pump();
            let park = self.idle.park(busy);
            self.timely.step_or_park(park);
        }
    }

    /// Drops all dataflows, so that nothing is left to step.
    pub(crate) fn dismantle(&mut self) {
        self.reads.clear();
        self.views.clear();
        self.indexes.clear();
        for flow in std::mem::take(&mut self.flows).into_values() {
            self.timely.drop_dataflow(flow.dataflow);
        }
    }

    fn is_finished(&self) -> bool {
        self.reads.is_empty() && self.flows.values().all(|flow| flow.frontier() > self.closed)
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Commit { time, changes } => self.commit(time, changes),
            Command::CloseThrough(time) => {
                assert!(time > self.closed, "a time is closed once");
                self.close(time);
            }
            Command::Install(install) => {
                self.install(install);
                self.installs += 1;
            }
            Command::Drop(view) => self.drop_view(view),
            Command::Watch(view, after) => {
                if let Some(view) = self.views.get(&view) {
                    view.output.borrow_mut().watch(after);
                }
            }
            Command::Unwatch(view, after) => {
                if let Some(view) = self.views.get(&view) {
                    view.output.borrow_mut().unwatch(after);
                }
            }
            Command::Read(read) => self.read(read),
            Command::Report(reply) => {
                // The caller may have gone; then it needs no answer.
                let _ = reply.send(self.report());
            }
            Command::Shutdown => self.ending = true,
        }
    }

    fn commit(&mut self, time: Time, changes: Vec<(RelationId, Vec<UpdateBatch>)>) {
        assert!(time == self.closed + 1, "times are closed in order, each once");
        for (relation, batches) in changes {
            let Some(readers) = self.readers.get(&relation) else { continue };
            for (flow, position) in readers {
                let flow = self.flows.get_mut(flow).expect("readers are of installed flows");
                for batch in &batches {
                    flow.inputs[*position].push(Event::Rows(time, batch.clone()));
                }
            }
        }
        self.close(time);
    }

    /// Closes all times through `time`.
    fn close(&mut self, time: Time) {
        for input in self.flows.values_mut().flat_map(|flow| &mut flow.inputs) {
            if !matches!(input.collection(), Some(CollectionId::View(_))) {
                input.push(Event::Close(time));
            }
        }
        self.closed = time;
    }

    /// Lets events enter all flows; returns whether more events may enter.
    fn pump(&mut self) -> bool {
        let mut more = false;
        for flow in self.flows.values_mut() {
            more |= flow.pump() == Pumped::More;
        }
        more
    }

    /// Tells the sink how far each view is complete.
    fn tell(&self) {
        for view in self.views.values() {
            let indexes = view.indexes.iter().map(|text| self.indexes[text].flow);
            let frontiers = indexes.chain([view.flow]).map(|flow| self.flows[&flow].frontier());
            view.output.borrow_mut().tell(frontiers.min().unwrap_or(Time::MAX), &view.failures);
        }
    }

    /// Forgets history before the oldest waiting read.
    fn compact(&mut self) {
        let oldest = self.reads.iter().map(|read| read.time).min().unwrap_or(Time::MAX);
        let closed = self.closed;
        let since = |flow: &Flow| flow.frontier().min(closed + 1).previous().unwrap_or_default().min(oldest);
        for view in self.views.values_mut() {
            let flow = self.flows.get_mut(&view.flow).expect("views have flows");
            let since = since(flow);
            if since > flow.compacted {
                flow.compact(since);
                view.failures[0].borrow_mut().compact(since);
                if let Some(state) = &mut view.state {
                    state.compact(since);
                }
            }
        }
        for index in self.indexes.values_mut() {
            let flow = self.flows.get_mut(&index.flow).expect("indexes have flows");
            let since = since(flow);
            if since > flow.compacted {
                flow.compact(since);
                index.trace.compact(since);
                index.failures.borrow_mut().compact(since);
            }
        }
    }

    /// Tells the handle how far this worker is.
    fn report_progress(&mut self) -> Reported {
        let mut complete = self.closed + 1;
        let mut paced = self.closed + 1;
        for flow in self.flows.values() {
            let frontier = flow.frontier();
            complete = complete.min(frontier);
            // Views that still take in their contents must not delay commits.
            if frontier > flow.opening {
                paced = paced.min(frontier);
            }
        }
        let reported = (paced, complete, self.installs);
        if self.reported == reported {
            return Reported::Nothing;
        }
        self.reported = reported;
        let sent = self.coordinator.progress(self.timely.index(), paced, complete, self.installs);
        if sent && complete > self.closed { Reported::NextCommit } else { Reported::Progress }
    }

    fn report(&self) -> EngineReport {
        let views = self.views.iter().map(|(id, view)| ViewReport {
            view: *id,
            state: view.state.as_ref().map_or(StateSize::default(), |state| state.size()),
            operators: self.flows[&view.flow].size(),
            failures: view.failures.iter().map(|ledger| ledger.borrow().received).sum(),
            work: self.flows[&view.flow].work_report(),
        });
        let indexes = self.indexes.iter().map(|(text, index)| IndexReport {
            text: text.clone(),
            readers: index.readers,
            size: index.trace.size(),
            work: self.flows[&index.flow].work_report(),
        });
        EngineReport {
            time: self.closed,
            workers: 1,
            views: views.collect(),
            indexes: indexes.collect(),
            dataflows: self.flows.len(),
        }
    }
}
