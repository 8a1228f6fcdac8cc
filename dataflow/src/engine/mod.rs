//! The handle of an engine: accepts commits, installs views, reads them. `Send + Sync`, cheap to call from any thread.
//!
//! ```text
//! commit --> open time --seal--> commands --> worker 0 .. n --> ChangeSink
//!                 ^                               |
//!                 +---------- progress -----------+
//! ```
//!
//! A commit made while the workers are busy stays in the open time, with all others made meanwhile, until the workers
//! are through with the times before it; whoever learns of that seals it. Everything else that is asked of the engine
//! seals the open time first, so that all of it happens in one order.

mod reading;
mod shared;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::Receiver;
use differential_dataflow::trace::ExertionLogic;
use parking_lot::Mutex;
use timely::WorkerConfig;
use timely::communication::{Allocator, WorkerGuards};

use crate::cancel::CancelToken;
use crate::check::check_plan;
use crate::command::{Command, Install, Reading};
use crate::plan::{DataflowPlan, OutputState};
use crate::report::EngineReport;
use crate::worker::Worker;
use crate::{CollectionId, DataflowError, Diffs, RelationId, Time, UpdateBatch, ViewId, panic_text};

pub use crate::render::errors::LiveError;
pub use reading::{PendingSnapshot, ViewSnapshot};
pub(crate) use shared::Shared;
use shared::share;

/// How an engine runs.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Threads that maintain views; rows are divided among them.
    pub workers: NonZeroUsize,
}

/// Where closed times go. Called on worker threads: must be quick, and must not call the engine.
pub trait ChangeSink: Send + Sync {
    /// Changes of a watched view at a time closed on this worker (of this worker's shard). They may come in several
    /// calls, all before `frontier` passes `time`; no row is both inserted and removed, over all calls.
    fn changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch);

    /// How many rows a view's changes have added and removed on this worker since the last call, whether or not the
    /// view is watched; the contents it was made over are not among them. A view that keeps an arrangement of its rows
    /// counts net changes of each time; others count what comes, before equal rows of one time cancel out. Called
    /// before `frontier` passes the times they are of.
    fn changed(&self, _worker: usize, _view: ViewId, _rows: u64) {}

    /// All times of the view before `frontier` are closed on this worker (`u64::MAX`: the view has ended).
    fn frontier(&self, worker: usize, view: ViewId, frontier: Time);

    /// The rows that fail in a view at a closed time, on this worker: called before `frontier` passes `time`, for the
    /// times at which they may have changed, whether or not the view is watched. A count may be negative where another
    /// worker saw the insertion; the sum over the workers never is.
    fn failures(&self, _worker: usize, _view: ViewId, _time: Time, _failures: Vec<LiveError>) {}

    /// The engine stopped on a broken invariant. Called once.
    fn stopped(&self, reason: &str);
}

/// Maintains views over relations whose contents the caller holds.
///
/// Dropped without [`Engine::shutdown`] it abandons what it is doing.
pub struct Engine {
    shared: Arc<Shared>,
    guards: Mutex<Option<WorkerGuards<()>>>,
}

impl Engine {
    /// Starts the workers.
    pub fn start(config: EngineConfig, sink: Arc<dyn ChangeSink>) -> Result<Engine, DataflowError> {
        let workers = config.workers.get();
        let (shared, receivers) = Shared::new(workers, sink);
        let communication = match workers {
            1 => timely::CommunicationConfig::Thread,
            n => timely::CommunicationConfig::Process(n),
        };
        let stopped = |reason| DataflowError::Stopped { reason };
        let (allocators, others) = communication.try_build().map_err(stopped)?;
        let receivers: Vec<_> = receivers.into_iter().map(Some).collect();
        let (receivers, worker_shared) = (Mutex::new(receivers), Arc::clone(&shared));
        let guards = timely::communication::initialize_from(allocators, others, move |allocator| {
            let commands = receivers.lock()[allocator.index()].take().expect("each worker starts once");
            run_worker(allocator, commands, &worker_shared);
        });
        let guards = guards.map_err(stopped)?;
        shared.set_threads(guards.guards().iter().map(|thread| thread.thread().clone()).collect());
        Ok(Engine { shared, guards: Mutex::new(Some(guards)) })
    }

    /// Adds changes to the open time and returns that time. Atomic: all changes of one call have one time, and every
    /// view sees all of them or none. Returns without waiting for the views.
    pub fn commit(&self, changes: Vec<(RelationId, RecordBatch, Diffs)>) -> Result<Time, DataflowError> {
        let mut state = self.shared.running()?;
        let time = state.add(changes);
        if state.is_idle() {
            state.seal();
            drop(state);
            self.shared.unpark();
        }
        Ok(time)
    }

    /// The last time a commit was given, 0 if there was none.
    pub fn last_time(&self) -> Time {
        self.shared.state().last_time()
    }

    /// Closes all times through `time`, those after the last commit without changes, so that later commits have later
    /// times. Nothing if the last commit was at `time` or after it. `time` must leave room for the times to come.
    pub fn close_through(&self, time: Time) -> Result<(), DataflowError> {
        let mut state = self.shared.running()?;
        state.close_through(time);
        drop(state);
        self.shared.unpark();
        Ok(())
    }

    /// Installs a view over contents as of now and returns their time.
    ///
    /// `contents` gives for each relation the plan reads its rows at this moment; the caller must let no commit in
    /// between taking them and this call. Not checked here, because the engine does not hold relations. Returns when
    /// the view is accepted: its rows enter piece by piece while other views go on.
    pub fn install(
        &self,
        view: ViewId,
        plan: Arc<DataflowPlan>,
        contents: Vec<(RelationId, Vec<(RecordBatch, Diffs)>)>,
    ) -> Result<Time, DataflowError> {
        check_plan(&plan)?;
        let mut state = self.shared.running()?;
        if state.views.contains_key(&view) {
            return Err(DataflowError::AlreadyInstalled(view));
        }
        for input in plan.inputs() {
            if let CollectionId::View(read) = input {
                let upstream = state.views.get(&read).ok_or(DataflowError::UnknownView(read))?;
                if upstream.output.state == OutputState::Nothing {
                    return Err(DataflowError::Stateless(read));
                }
            }
        }
        let time = state.seal_open();
        let mut shares = share(contents, time, state.workers()).into_iter();
        state.views.insert(view, Arc::clone(&plan));
        state.send(|_| {
            let contents = shares.next().expect("one share a worker");
            Command::Install(Install { view, plan: Arc::clone(&plan), time, contents })
        });
        drop(state);
        self.shared.unpark();
        Ok(time)
    }

    /// Drops a view that no other view reads, with its operators and the indexes nobody else shares.
    pub fn drop_view(&self, view: ViewId) -> Result<(), DataflowError> {
        let mut state = self.shared.running()?;
        if !state.views.contains_key(&view) {
            return Err(DataflowError::UnknownView(view));
        }
        let read = |plan: &DataflowPlan| plan.inputs().contains(&CollectionId::View(view));
        if let Some((reader, _)) = state.views.iter().find(|(_, plan)| read(plan)) {
            return Err(DataflowError::InUse(view, *reader));
        }
        state.views.remove(&view);
        state.seal_open();
        state.send(|_| Command::Drop(view));
        drop(state);
        self.shared.unpark();
        Ok(())
    }

    /// Starts or stops calling [`ChangeSink::changes`] for a view; returns the time after which changes are delivered.
    pub fn watch(&self, view: ViewId, deliver: bool) -> Result<Time, DataflowError> {
        let mut state = self.shared.running()?;
        if !state.views.contains_key(&view) {
            return Err(DataflowError::UnknownView(view));
        }
        let time = state.seal_open();
        state.send(|_| if deliver { Command::Watch(view, time) } else { Command::Unwatch(view, time) });
        drop(state);
        self.shared.unpark();
        Ok(time)
    }

    /// Reads views, all as of the same time: exactly the commits before this call.
    pub fn snapshot(&self, views: &[ViewId]) -> Result<PendingSnapshot, DataflowError> {
        self.read(views, Reading::Rows)
    }

    /// Reads the rows of a view with one of the keys. The columns of `keys` are the key columns of the view's
    /// arrangement, or of its aggregate.
    pub fn lookup(&self, view: ViewId, keys: RecordBatch) -> Result<PendingSnapshot, DataflowError> {
        self.read(&[view], Reading::RowsOf(keys))
    }

    /// The live errors of a view, also of one that keeps no rows, as of exactly the commits before this call.
    pub fn errors(&self, view: ViewId) -> Result<Vec<LiveError>, DataflowError> {
        let mut snapshots = self.read(&[view], Reading::Errors)?.wait(&CancelToken::new(), None)?;
        Ok(snapshots.pop().expect("one snapshot a view").errors)
    }

    /// Starts reading the live errors of views: what [`Engine::errors`] gives, for several views at one time.
    pub fn snapshot_errors(&self, views: &[ViewId]) -> Result<PendingSnapshot, DataflowError> {
        self.read(views, Reading::Errors)
    }

    fn read(&self, views: &[ViewId], what: Reading) -> Result<PendingSnapshot, DataflowError> {
        let mut state = self.shared.running()?;
        for view in views {
            let plan = state.views.get(view).ok_or(DataflowError::UnknownView(*view))?;
            if plan.output.state == OutputState::Nothing && !matches!(what, Reading::Errors) {
                return Err(DataflowError::Stateless(*view));
            }
            if let Reading::RowsOf(keys) = &what {
                crate::check::check_keys(plan, keys)?;
            }
        }
        let time = state.seal_open();
        let pending = reading::send(&mut state, &self.shared, time, views, &what);
        drop(state);
        self.shared.unpark();
        Ok(pending)
    }

    /// Waits until all views are complete through `time`, or `timeout` is over or the wait is cancelled, which are errors.
    pub fn wait(&self, time: Time, timeout: Option<Duration>, cancel: &CancelToken) -> Result<(), DataflowError> {
        self.send_through(time)?;
        self.shared.wait_until(timeout, cancel, |state| state.is_complete(time))
    }

    /// Waits until what was committed through `time` is through all views but those that are still taking in their first
    /// contents.
    pub fn wait_for_commits(&self, time: Time, cancel: &CancelToken) -> Result<(), DataflowError> {
        self.send_through(time)?;
        self.shared.wait_until(None, cancel, |state| state.is_through(time))
    }

    /// Lets the workers have the commits through `time`.
    fn send_through(&self, time: Time) -> Result<(), DataflowError> {
        let mut state = self.shared.running()?;
        if time > state.sealed() {
            state.seal_open();
            drop(state);
            self.shared.unpark();
        }
        Ok(())
    }

    /// Rows of a relation that were committed and are not yet through all views (but for those that are still taking
    /// in their first contents).
    pub fn rows_pending(&self, relation: RelationId) -> u64 {
        self.shared.state().rows_pending(relation)
    }

    /// Waits until at most `rows` of a relation are pending, see [`Engine::rows_pending`].
    pub fn wait_for_room(
        &self,
        relation: RelationId,
        rows: u64,
        timeout: Option<Duration>,
        cancel: &CancelToken,
    ) -> Result<(), DataflowError> {
        self.shared.wait_until(timeout, cancel, |state| state.rows_pending(relation) <= rows)
    }

    /// What is held and what has been done, by all commands before this one.
    pub fn report(&self) -> Result<EngineReport, DataflowError> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let workers = {
            let mut state = self.shared.running()?;
            state.seal_open();
            state.send(|_| Command::Report(sender.clone()));
            state.workers()
        };
        drop(sender);
        self.shared.unpark();
        let mut report = EngineReport::default();
        for _ in 0..workers {
            report.add(self.shared.answer_of(&receiver, &CancelToken::new(), None)?);
        }
        Ok(report)
    }

    /// Discards what was accepted and is not through all views: the workers leave at their next step. Every call that
    /// waits, a shutdown included, returns at once, and every later call fails. Does not wait for the threads:
    /// [`Engine::shutdown`] does.
    pub fn abandon(&self) {
        self.shared.abandon();
    }

    /// Finishes what was accepted, unless it was abandoned, and ends the threads. Every later call fails; a second
    /// shutdown does nothing.
    pub fn shutdown(&self) {
        self.shared.shut_down();
        let Some(guards) = self.guards.lock().take() else { return };
        let current = std::thread::current().id();
        if guards.guards().iter().any(|thread| thread.thread().id() == current) {
            // A worker that drops the last handle cannot wait for itself.
            std::mem::forget(guards);
        } else {
            // Workers catch their panics; there is nothing to learn from how they ended.
            drop(guards.join());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.abandon();
        // Dropping the guards would wait for the workers.
        std::mem::forget(self.guards.lock().take());
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("last_time", &self.last_time()).finish_non_exhaustive()
    }
}

/// A worker thread from start to end. A panic stops the engine with its reason.
fn run_worker(allocator: Allocator, commands: Receiver<Command>, shared: &Arc<Shared>) {
    let worked = catch_unwind(AssertUnwindSafe(|| {
        // Without a clock timely takes every worker for busy, and none would ever park.
        let clock = Some(Instant::now());
        let mut timely = timely::worker::Worker::new(worker_config(), allocator, clock);
        let mut worker = Worker::new(&mut timely, commands, Arc::clone(shared));
        let worked = catch_unwind(AssertUnwindSafe(|| worker.run()));
        if let Err(panic) = worked {
            shared.stop(&panic_text(panic.as_ref()));
        }
        worker.dismantle();
    }));
    if let Err(panic) = worked {
        shared.stop(&panic_text(panic.as_ref()));
    }
    shared.leave();
}

fn worker_config() -> WorkerConfig {
    // Timely's own search for work does not see commands; `worker::idle` does both.
    let mut config = WorkerConfig::default().idle_spin(Duration::ZERO);
    let logic: ExertionLogic = Arc::new(merge_when_idle);
    config.set("differential/default_exert_logic".to_owned(), logic);
    config
}

/// Rows that an idle worker merges between two looks at its commands.
const IDLE_MERGE_ROWS: usize = 1 << 12;

/// How much to merge of an arrangement of which each layer is given as level, batches, rows. Idle workers finish the
/// merges that are under way, and go on until small batches are few beside the largest; to merge to the last row would
/// copy everything for every small change.
fn merge_when_idle(layers: &[(usize, usize, usize)]) -> Option<usize> {
    let under_way = layers.iter().any(|(_, batches, _)| *batches > 1);
    let total: usize = layers.iter().map(|(_, _, rows)| rows).sum();
    let largest = layers.iter().map(|(_, _, rows)| *rows).max().unwrap_or(0);
    (under_way || (total - largest) * 4 > largest).then_some(IDLE_MERGE_ROWS)
}

/// When a wait that began now is over.
fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}
