//! The handle of an engine: accepts commits, installs views, reads them. It is `Send + Sync` and can be used from any
//! thread.
//!
//! ```text
//! commit --> open time --seal--> commands --> worker 0 .. n --> ChangeSink
//!                 ^                               |
//!                 +---------- progress -----------+
//! ```
//!
//! A commit made while the workers are busy stays in the open time, together with all others made meanwhile, until the
//! workers are done with the times before it; the thread that learns of this seals the open time. Every other call that
//! the workers must see in order seals the open time first, so that all commands have one order.
#![expect(clippy::disallowed_methods, reason = "timely asks for a clock, and waits have deadlines")]

mod reading;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::Receiver;
use timely::WorkerConfig;
use timely::communication::{Allocator, WorkerGuards};

use crate::cancel::CancelToken;
use crate::check::check_plan;
use crate::command::{Command, Install, Reading};
use crate::coordinator::{Coordinator, CoordinatorState, share};
use crate::lock::{Mutex, MutexGuard, Rank};
use crate::memory::MemoryLimit;
use crate::plan::{DataflowPlan, OutputState};
use crate::report::EngineReport;
use crate::sink::ChangeSink;
use crate::worker::Worker;
use crate::{CollectionId, DataflowError, Diffs, LiveError, RelationId, Time, ViewId, panic_text};

pub use reading::{PendingSnapshot, ViewSnapshot};

/// Configuration of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Number of threads that maintain views; rows are divided among them.
    pub workers: NonZeroUsize,
    /// The memory that the process may use; when it is passed, the view that has grown most is ended.
    pub memory_limit: Option<MemoryLimit>,
}

/// Maintains views over relations whose contents the caller holds.
///
/// Dropping it without [`Engine::shutdown`] abandons the work in progress.
pub struct Engine {
    coordinator: Arc<Coordinator>,
    guards: Mutex<Option<WorkerGuards<()>>>,
}

impl Engine {
    /// Starts the worker threads.
    pub fn start(config: EngineConfig, sink: Arc<dyn ChangeSink>) -> Result<Engine, DataflowError> {
        let workers = config.workers.get();
        let (coordinator, receivers) = Coordinator::new(workers, config.memory_limit, sink);
        let communication = match workers {
            1 => timely::CommunicationConfig::Thread,
            n => timely::CommunicationConfig::Process(n),
        };
        let stopped = |reason| DataflowError::Stopped { reason };
        let (allocators, others) = communication.try_build().map_err(stopped)?;
        let receivers: Vec<_> = receivers.into_iter().map(Some).collect();
        let (receivers, worker_coordinator) = (Mutex::new(Rank::Threads, receivers), Arc::clone(&coordinator));
        let guards = timely::communication::initialize_from(allocators, others, move |allocator| {
            let commands = receivers.lock()[allocator.index()].take().expect("each worker starts once");
            run_worker(allocator, commands, &worker_coordinator);
        });
        let guards = guards.map_err(stopped)?;
        coordinator.set_threads(guards.guards().iter().map(|thread| thread.thread().clone()).collect());
        Ok(Engine { coordinator, guards: Mutex::new(Rank::Threads, Some(guards)) })
    }

    /// Adds changes to the open time and returns that time, without waiting for the views. All changes of one call have
    /// the same time, so every view sees all of them or none.
    pub fn commit(&self, changes: Vec<(RelationId, RecordBatch, Diffs)>) -> Result<Time, DataflowError> {
        self.commit_with(changes, |_, _| ())
    }

    /// Does the same, and passes the time and the changes to `committed` under the lock that orders times: among calls,
    /// `committed` runs in the order of the times given. It must be short and must not call the engine.
    pub fn commit_with(
        &self,
        changes: Vec<(RelationId, RecordBatch, Diffs)>,
        committed: impl FnOnce(Time, &[(RelationId, RecordBatch, Diffs)]),
    ) -> Result<Time, DataflowError> {
        let mut state = self.coordinator.running()?;
        committed(state.next_time(), &changes);
        let time = state.add(changes);
        if state.is_idle() {
            state.seal();
            drop(state);
            self.coordinator.unpark();
        }
        Ok(time)
    }

    /// Returns the last time that was given to a commit, or 0 if there was none.
    pub fn last_time(&self) -> Time {
        self.coordinator.state().last_time()
    }

    /// Closes all times through `time` that are not closed yet, without changes, so that later commits get later times.
    /// Does nothing if the last commit was at `time` or later. `time` must leave room for the times to come.
    pub fn close_through(&self, time: Time) -> Result<(), DataflowError> {
        let mut state = self.coordinator.running()?;
        state.close_through(time);
        drop(state);
        self.coordinator.unpark();
        Ok(())
    }

    /// Installs a view over contents as of now and returns the time of the contents.
    ///
    /// `contents` holds, for each relation that the plan reads, its rows at this moment; the caller must allow no
    /// commit between taking them and this call. Not checked here, because the engine does not hold relations. Returns
    /// once the view is accepted: its rows enter piece by piece while other views continue.
    pub fn install(
        &self,
        view: ViewId,
        plan: Arc<DataflowPlan>,
        contents: Vec<(RelationId, Vec<(RecordBatch, Diffs)>)>,
    ) -> Result<Time, DataflowError> {
        check_plan(&plan)?;
        let mut state = self.coordinator.running()?;
        if state.views.contains_key(&view) {
            return Err(DataflowError::AlreadyInstalled(view));
        }
        for input in plan.inputs() {
            if let CollectionId::View(read) = input {
                let upstream = state.view(read)?;
                if upstream.output.state == OutputState::Nothing {
                    return Err(DataflowError::Stateless(read));
                }
            }
        }
        if let Some(limit) = self.coordinator.memory_limit() {
            limit.check(0).map_err(DataflowError::OverLimit)?;
        }
        let time = state.seal_open();
        let mut shares = share(contents, time, state.workers()).into_iter();
        state.views.insert(view, Arc::clone(&plan));
        state.installs += 1;
        state.send(|_| {
            let contents = shares.next().expect("one share a worker");
            Command::Install(Install { view, plan: Arc::clone(&plan), time, contents })
        });
        drop(state);
        self.coordinator.unpark();
        Ok(time)
    }

    /// Drops a view that no other view reads, together with its operators and the indexes that only it reads.
    pub fn drop_view(&self, view: ViewId) -> Result<(), DataflowError> {
        let state = self.coordinator.running()?;
        let read = |plan: &DataflowPlan| plan.inputs().contains(&CollectionId::View(view));
        if let Some((reader, _)) = state.views.iter().find(|(_, plan)| read(plan)) {
            return Err(DataflowError::InUse(view, *reader));
        }
        self.leave(state, view)
    }

    /// Drops a view as [`Engine::drop_view`] does as soon as no other view reads it, which may be at once.
    pub fn drop_when_unread(&self, view: ViewId) -> Result<(), DataflowError> {
        self.leave(self.coordinator.running()?, view)
    }

    fn leave(&self, mut state: MutexGuard<'_, CoordinatorState>, view: ViewId) -> Result<(), DataflowError> {
        if !state.views.contains_key(&view) {
            return Err(DataflowError::UnknownView(view));
        }
        state.leaving.insert(view);
        state.drop_unread();
        drop(state);
        self.coordinator.unpark();
        Ok(())
    }

    /// Returns why a view was ended by the engine; `None` if it was not, or is not installed.
    pub fn why_ended(&self, view: ViewId) -> Option<DataflowError> {
        self.coordinator.state().ended.get(&view).cloned()
    }

    /// Starts or stops calls of [`ChangeSink::changes`] for a view; returns the time after which this takes effect.
    pub fn watch(&self, view: ViewId, deliver: bool) -> Result<Time, DataflowError> {
        let mut state = self.coordinator.running()?;
        state.view(view)?;
        let time = state.seal_open();
        state.send(|_| if deliver { Command::Watch(view, time) } else { Command::Unwatch(view, time) });
        drop(state);
        self.coordinator.unpark();
        Ok(time)
    }

    /// Starts reading views, all as of the same time: the snapshot sees exactly the commits before this call.
    pub fn snapshot(&self, views: &[ViewId]) -> Result<PendingSnapshot, DataflowError> {
        self.read(views, Reading::Rows)
    }

    /// Starts reading the rows of a view that have one of `keys`. The columns of `keys` must be the key columns of the
    /// view's arrangement, or of its aggregate.
    pub fn lookup(&self, view: ViewId, keys: RecordBatch) -> Result<PendingSnapshot, DataflowError> {
        self.read(&[view], Reading::RowsOf(keys))
    }

    /// Returns the rows that fail in a view as of exactly the commits before this call, even if the view keeps no rows.
    pub fn errors(&self, view: ViewId) -> Result<Vec<LiveError>, DataflowError> {
        let mut snapshots = self.read(&[view], Reading::Errors)?.wait(&CancelToken::new(), None)?;
        Ok(snapshots.pop().expect("one snapshot a view").errors)
    }

    /// Starts reading the rows that fail in views: like [`Engine::errors`], for several views at one time.
    pub fn snapshot_errors(&self, views: &[ViewId]) -> Result<PendingSnapshot, DataflowError> {
        self.read(views, Reading::Errors)
    }

    fn read(&self, views: &[ViewId], what: Reading) -> Result<PendingSnapshot, DataflowError> {
        let mut state = self.coordinator.running()?;
        for view in views {
            let plan = state.view(*view)?;
            if plan.output.state == OutputState::Nothing && !matches!(what, Reading::Errors) {
                return Err(DataflowError::Stateless(*view));
            }
            if let Reading::RowsOf(keys) = &what {
                crate::check::check_keys(plan, keys)?;
            }
        }
        let time = state.seal_open();
        let pending = reading::send(&mut state, &self.coordinator, time, views, &what);
        drop(state);
        self.coordinator.unpark();
        Ok(pending)
    }

    /// Waits until all views are complete through `time`, or `timeout` is over or the wait is cancelled, which are errors.
    pub fn wait(&self, time: Time, timeout: Option<Duration>, cancel: &CancelToken) -> Result<(), DataflowError> {
        self.send_through(time)?;
        self.coordinator.wait_until(timeout, cancel, |state| state.is_complete(time))
    }

    /// Sends the commits through `time` to the workers if they do not have them yet.
    pub fn send_through(&self, time: Time) -> Result<(), DataflowError> {
        let mut state = self.coordinator.running()?;
        if time > state.sealed() {
            state.seal_open();
            drop(state);
            self.coordinator.unpark();
        }
        Ok(())
    }

    /// Returns how many committed rows of a relation have not yet passed through all views, ignoring views that still
    /// take in their first contents.
    pub fn rows_pending(&self, relation: RelationId) -> u64 {
        self.coordinator.state().rows_pending(relation)
    }

    /// Waits until at most `rows` rows of a relation are pending, as [`Engine::rows_pending`] counts them.
    pub fn wait_for_room(
        &self,
        relation: RelationId,
        rows: u64,
        timeout: Option<Duration>,
        cancel: &CancelToken,
    ) -> Result<(), DataflowError> {
        self.coordinator.wait_until(timeout, cancel, |state| state.rows_pending(relation) <= rows)
    }

    /// Returns the sizes of all state and the work done, as of the commands before this one.
    pub fn report(&self) -> Result<EngineReport, DataflowError> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let workers = {
            let mut state = self.coordinator.running()?;
            state.seal_open();
            state.send(|_| Command::Report(sender.clone()));
            state.workers()
        };
        drop(sender);
        self.coordinator.unpark();
        let mut report = EngineReport::default();
        for _ in 0..workers {
            report.add(self.coordinator.answer_of(&receiver, &CancelToken::new(), None)?);
        }
        Ok(report)
    }

    /// Discards accepted work that has not passed through all views: the workers exit at their next step. Every waiting
    /// call, including a shutdown, returns at once, and every later call fails. Does not wait for the threads to exit;
    /// [`Engine::shutdown`] does.
    pub fn abandon(&self) {
        self.coordinator.abandon();
    }

    /// Finishes the accepted work, unless it was abandoned, and ends the threads. Every later call fails; a second
    /// shutdown does nothing.
    pub fn shutdown(&self) {
        self.coordinator.shut_down();
        let Some(guards) = self.guards.lock().take() else { return };
        let current = std::thread::current().id();
        if guards.guards().iter().any(|thread| thread.thread().id() == current) {
            // A worker thread that drops the last handle cannot join itself.
            std::mem::forget(guards);
        } else {
            // Workers catch their panics, so how a thread ended says nothing.
            drop(guards.join());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.coordinator.abandon();
        // Dropping the guards would join the worker threads.
        std::mem::forget(self.guards.lock().take());
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("last_time", &self.last_time()).finish_non_exhaustive()
    }
}

/// Runs a worker thread from start to end. A panic stops the engine with the panic's message as its reason.
fn run_worker(allocator: Allocator, commands: Receiver<Command>, coordinator: &Arc<Coordinator>) {
    let worked = catch_unwind(AssertUnwindSafe(|| {
        // Without a clock timely considers every worker busy, and none would ever park.
        let clock = Some(Instant::now());
        let mut timely = timely::worker::Worker::new(worker_config(), allocator, clock);
        let mut worker = Worker::new(&mut timely, commands, Arc::clone(coordinator));
        let worked = catch_unwind(AssertUnwindSafe(|| worker.run()));
        if let Err(panic) = worked {
            coordinator.stop(&panic_text(panic.as_ref()));
        }
        worker.dismantle();
    }));
    if let Err(panic) = worked {
        coordinator.stop(&panic_text(panic.as_ref()));
    }
    coordinator.leave();
}

fn worker_config() -> WorkerConfig {
    // Timely's own search for work does not look at commands; `worker::idle` looks at both.
    WorkerConfig::default().idle_spin(Duration::ZERO)
}
