//! The thread that owns timely: it applies commands in order, feeds the inputs, steps timely and answers reads.
//!
//! ```text
//! loop: commands --> view queues, reads, compaction, progress --> inputs' backlogs --pump--> timely step
//! ```
//!
//! Nothing in the loop takes long: inputs and operators take a piece of their rows a round (`fuel`), and only dataflows
//! that have something to do are looked at (`wake`). So a change that touches a small view passes between the pieces of
//! a large one, whatever that one is busy with.
//!
//! Nothing here blocks except `step_or_park`, and whoever sends a command unparks the thread. A read sees exactly the
//! commands before it: state with history is read as of the read's time; for state without history, the dataflow is
//! held at that time until the read is answered, while all other dataflows continue.

mod debris;
mod flow;
mod idle;
mod installation;
mod line;
mod memory;
mod pending;
mod reads;
mod wake;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Receiver;

use crate::command::Command;
use crate::coordinator::Coordinator;
use crate::coordinator::Progress;
use crate::failure::Failures;
use crate::fuel::Meter;
use crate::output::ViewOutput;
use crate::report::{EngineReport, IndexReport, StateSize, ViewReport};
use crate::state::{TraceHandle, ViewState};
use crate::{RelationId, Time, ViewId};
use debris::Debris;
use flow::{Flow, FlowId, Owner};
use idle::Idle;
pub use idle::LOOK_FOR;
use line::Line;
use pending::{FlowHold, PendingRead};

/// Greatest number of dataflows that begin in a round. A dataflow takes a few microseconds to pass on a row.
const FLOWS: usize = 32;
/// Number of dataflows under way up to which others begin; beyond, only [`FEW`] begin in a round. A row passes through a
/// dataflow in several rounds, each of which takes as long as all those under way.
const UNDER_WAY: usize = 64;
const FEW: usize = 4;

/// Number of hurried rounds in a row. After them comes one that is not, so that dataflows that take long go on although
/// there is always a short one.
const HURRIED: u32 = 64;

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
    /// The flows that were woken and have not begun.
    line: Line,
    /// The flows that have begun and are not done.
    awake: BTreeSet<FlowId>,
    /// The flows that fell asleep in this round.
    slept: Vec<FlowId>,
    /// The last closed time of which the sink was told for views that sleep.
    told: Time,
    /// Whether somebody has begun to watch a view since then.
    newly_watched: bool,
    next_flow: FlowId,
    views: BTreeMap<ViewId, InstalledView>,
    indexes: BTreeMap<String, Index>,
    /// The inputs that read each relation, by flow and position.
    readers: BTreeMap<RelationId, Vec<(FlowId, usize)>>,
    reads: Vec<PendingRead>,
    /// What dropped dataflows kept, to be freed.
    debris: Debris,
    /// Holds of reads that this worker has answered and others have not.
    holds: Vec<FlowHold>,
    next_hold: u64,
    /// Number of commands to install a view that this worker has run.
    installs: u64,
    /// The progress last reported to the handle.
    reported: Progress,
    idle: Idle,
    /// What the dataflows process between two looks at the commands.
    meter: Rc<Meter>,
    /// Number of hurried rounds in a row.
    hurried: u32,
    /// Whether there is work that takes many rounds.
    works_long: bool,
    /// Whether so much memory was in use at the last look that the limit was near.
    is_near_limit: bool,
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
            line: Line::default(),
            awake: BTreeSet::new(),
            slept: Vec::new(),
            told: Time::ZERO,
            newly_watched: false,
            next_flow: FlowId::default(),
            views: BTreeMap::new(),
            indexes: BTreeMap::new(),
            readers: BTreeMap::new(),
            reads: Vec::new(),
            debris: Debris::default(),
            holds: Vec::new(),
            next_hold: 0,
            installs: 0,
            reported: Progress::START,
            idle: Idle::default(),
            meter: Meter::new(),
            hurried: 0,
            works_long: false,
            is_near_limit: false,
            ending: false,
        }
    }

    /// Works until told to end. Returns early if the engine is abandoned or another worker has panicked.
    pub(crate) fn run(&mut self) {
        if let Some(limit) = self.coordinator.memory_limit() {
            limit.keep_on_thread();
        }
        while !self.coordinator.is_abandoned() {
            self.meter.look();
            self.watch_memory();
            let mut busy = !self.commands.is_empty();
            while let Ok(command) = self.commands.try_recv() {
                self.apply(command);
            }
            // Everything that commands and the last step have made possible must happen before the thread may park.
            self.release_holds();
            self.receive();
            busy |= self.settle();
            self.pace();
            self.tell();
            busy |= self.answer_reads();
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
            if self.ending {
                self.give_up_hydrating();
                if self.is_finished() {
                    self.views.values().for_each(|view| view.output.borrow_mut().end());
                    return;
                }
            }
            busy |= self.pump();
            busy |= self.debris.free_piece(&self.meter);
            let park = self.idle.park(busy);
            self.timely.step_or_park(park);
            if self.works_long {
                // Whoever waits for a short change may wait for this core, too: without this, for several milliseconds.
                std::thread::yield_now();
            }
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
        self.reads.is_empty() && self.awake.is_empty() && self.line.is_empty()
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Commit { time, changes } => self.commit(time, changes),
            Command::CloseThrough(time) => {
                assert!(time > self.closed, "a time is closed once");
                self.closed = time;
            }
            Command::Install(install) => {
                self.install(install);
                self.installs += 1;
            }
            Command::Drop(view) => self.drop_view(view),
            Command::End(ending) => self.end_views(&ending),
            Command::Watch(view, after) => {
                if let Some(view) = self.views.get(&view) {
                    view.output.borrow_mut().watch(after);
                    self.newly_watched = true;
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

    /// Moves what views have published to the inputs that read them.
    fn receive(&mut self) {
        for id in &self.awake {
            self.flows.get_mut(id).expect("only installed flows are awake").receive();
        }
    }

    /// Decides whether the round is hurried: there are flows that take long, and others that do not.
    fn pace(&mut self) {
        let (mut short, mut slow) = (false, false);
        for id in &self.awake {
            let flow = &self.flows[id];
            let is_slow = flow.is_slow() || flow.is_opening();
            flow.fuel.set_slow(is_slow);
            short |= !is_slow;
            slow |= is_slow;
        }
        self.works_long = slow || !self.debris.is_empty() || !self.reads.is_empty();
        self.hurried = if short && self.works_long && self.hurried < HURRIED { self.hurried + 1 } else { 0 };
        self.meter.hurry(self.hurried > 0);
    }

    /// Lets events enter flows; returns whether more may enter, or operators have rows left.
    ///
    /// Only so many flows begin that the step which follows is short: half of them those that were woken last, so that a
    /// change that reaches few does not wait for one that reaches many.
    fn pump(&mut self) -> bool {
        let begin = UNDER_WAY.saturating_sub(self.awake.len()).clamp(FEW, FLOWS);
        self.awake.extend(self.line.take(begin));
        let mut more = !self.line.is_empty();
        let waiting = |id: &FlowId| self.flows[id].has_events();
        let entering: Vec<FlowId> = self.awake.iter().copied().filter(waiting).collect();
        for id in &entering {
            let flow = self.flows.get_mut(id).expect("only installed flows are awake");
            more |= flow.pump(flow.fuel.room(entering.len()));
        }
        more
    }

    /// Tells the sink how far views are complete: those that are or were awake, and of the others those that are
    /// watched, when a time was closed or somebody has begun to watch.
    fn tell(&mut self) {
        for id in self.awake.iter().chain(&self.slept) {
            if let Owner::View(view) = &self.flows[id].owner {
                self.tell_of(&self.views[view]);
            }
        }
        if std::mem::replace(&mut self.told, self.closed) < self.closed || std::mem::take(&mut self.newly_watched) {
            for view in self.views.values().filter(|view| view.output.borrow().is_watched()) {
                self.tell_of(view);
            }
        }
    }

    fn tell_of(&self, view: &InstalledView) {
        view.output.borrow_mut().tell(self.frontier_of(view), &view.failures);
    }

    /// Forgets history before the oldest waiting read, in the flows that are or were awake.
    fn compact(&mut self) {
        let oldest = self.reads.iter().map(|read| read.time).min().unwrap_or(Time::MAX);
        for id in self.awake.iter().chain(&self.slept) {
            let flow = self.flows.get_mut(id).expect("only installed flows are awake");
            let since = flow.reached().min(flow.through + 1).previous().unwrap_or_default().min(oldest);
            if since <= flow.compacted {
                continue;
            }
            flow.compact(since);
            match &flow.owner {
                Owner::View(view) => {
                    let view = self.views.get_mut(view).expect("flows have owners");
                    view.failures[0].borrow_mut().compact(since);
                    if let Some(state) = &mut view.state {
                        state.compact(since);
                    }
                }
                Owner::Index(text) => {
                    let index = self.indexes.get_mut(text).expect("flows have owners");
                    index.trace.compact(since);
                    index.failures.borrow_mut().compact(since);
                }
            }
        }
        self.slept.clear();
    }

    /// Tells the handle how far this worker is.
    fn report_progress(&mut self) -> Reported {
        let end = self.closed + 1;
        // Of those that have not begun, the one that was woken first is the furthest behind.
        let begins = self.line.first().map_or(end, |id| self.flows[&id].frontier().min(end));
        let mut progress = Progress { paced: begins, through: begins, complete: begins, installs: self.installs };
        for id in &self.awake {
            let flow = &self.flows[id];
            let frontier = flow.frontier().min(end);
            progress.complete = progress.complete.min(frontier);
            // Views that still take in their contents must not delay commits.
            if !flow.is_opening() {
                progress.through = progress.through.min(frontier);
                if !flow.is_slow() {
                    progress.paced = progress.paced.min(frontier);
                }
            }
        }
        if self.reported == progress {
            return Reported::Nothing;
        }
        self.reported = progress;
        let sent = self.coordinator.progress(self.timely.index(), progress);
        if sent && progress.complete > self.closed { Reported::NextCommit } else { Reported::Progress }
    }

    fn report(&self) -> EngineReport {
        let views = self.views.iter().map(|(id, view)| self.report_of(*id, view));
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
            largest_piece: self.meter.take_largest(),
        }
    }

    fn report_of(&self, id: ViewId, view: &InstalledView) -> ViewReport {
        let flow = &self.flows[&view.flow];
        let reads = flow.indexes.iter().map(|index| &self.flows[index]).chain([flow]);
        let taken_in = reads.clone().map(Flow::taken_in).fold((0, 0), |(entered, all), (e, a)| (entered + e, all + a));
        ViewReport {
            view: id,
            state: view.state.as_ref().map_or(StateSize::default(), |state| state.size()),
            operators: flow.size(),
            hydrating: !self.is_asleep(view.flow) && reads.clone().any(Flow::is_opening),
            taken_in: taken_in.0,
            to_take_in: taken_in.1,
            failures: view.failures.iter().map(|ledger| ledger.borrow().received).sum(),
            work: flow.work_report(),
        }
    }
}
