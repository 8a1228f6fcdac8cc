//! What the engine's handle and the workers share: the open time, the command channels, progress, and how the engine
//! ends.

mod share;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender};

use crate::cancel::{CancelToken, Monitor, Received, deadline};
use crate::command::{Command, Ending};
use crate::lock::{Mutex, MutexGuard, Rank};
use crate::memory::{MemoryLimit, OverLimit};
use crate::plan::DataflowPlan;
use crate::sink::ChangeSink;
use crate::update::PerRow;
use crate::{CollectionId, DataflowError, Diffs, RelationId, Time, UpdateBatch, ViewId};
use share::{divide, group};

pub(crate) use share::share;

/// Whether the engine answers calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    ShutDown,
    Stopped(String),
}

/// Brings the handle and the workers together; `CoordinatorState` is the part under the lock.
pub(crate) struct Coordinator {
    state: Arc<Monitor<CoordinatorState>>,
    sink: Arc<dyn ChangeSink>,
    abandoned: AtomicBool,
    /// Cancelled when the engine is abandoned, to wake those who wait for an answer.
    over: CancelToken,
    /// Reads that hold back dataflows: how many workers have answered each.
    answered: Mutex<BTreeMap<u64, Arc<AtomicUsize>>>,
    threads: OnceLock<Vec<Thread>>,
    memory_limit: Option<MemoryLimit>,
    /// Number of workers that have not removed the views ended last.
    ending: Arc<AtomicUsize>,
}

impl Coordinator {
    /// Creates the shared state, and each worker's end of its command channel.
    pub(crate) fn new(
        workers: usize,
        memory_limit: Option<MemoryLimit>,
        sink: Arc<dyn ChangeSink>,
    ) -> (Arc<Self>, Vec<Receiver<Command>>) {
        let (commands, receivers) = (0..workers).map(|_| crossbeam_channel::unbounded()).unzip();
        let state = CoordinatorState {
            status: Status::Running,
            commands,
            views: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ended: BTreeMap::new(),
            open: None,
            sealed: Time::ZERO,
            progress: vec![Progress::START; workers],
            installs: 0,
            rows: VecDeque::new(),
            pending: BTreeMap::new(),
            working: workers,
        };
        let coordinator = Coordinator {
            state: Monitor::new(Rank::Engine, state),
            sink,
            abandoned: AtomicBool::new(false),
            over: CancelToken::new(),
            answered: Mutex::new(Rank::Answers, BTreeMap::new()),
            threads: OnceLock::new(),
            memory_limit,
            ending: Arc::default(),
        };
        (Arc::new(coordinator), receivers)
    }

    pub(crate) fn set_threads(&self, threads: Vec<Thread>) {
        self.threads.set(threads).expect("threads are started once");
    }

    pub(crate) fn sink(&self) -> &Arc<dyn ChangeSink> {
        &self.sink
    }

    pub(crate) fn memory_limit(&self) -> Option<MemoryLimit> {
        self.memory_limit
    }

    /// Whether some worker has not removed the views yet that were ended last.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire) > 0
    }

    /// Has all workers end a view, and those that read it, because of its memory. Does nothing if the workers are still
    /// ending others.
    pub(crate) fn end_view(&self, cause: ViewId, over: OverLimit) {
        let mut state = self.state.lock();
        if state.status != Status::Running || !state.views.contains_key(&cause) || self.is_ending() {
            return;
        }
        let views = state.standing_on(cause);
        for view in &views {
            state.ended.insert(*view, DataflowError::Ended { view: *view, cause, over });
        }
        self.ending.store(state.workers(), Ordering::Release);
        let ending = Ending { cause, views, over, workers: Arc::clone(&self.ending) };
        state.send(|_| Command::End(ending.clone()));
        drop(state);
        self.unpark();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, CoordinatorState> {
        self.state.lock()
    }

    /// Locks the state if the engine still answers calls; otherwise returns why it does not.
    pub(crate) fn running(&self) -> Result<MutexGuard<'_, CoordinatorState>, DataflowError> {
        let state = self.state.lock();
        match state.failure() {
            None => Ok(state),
            Some(error) => Err(error),
        }
    }

    /// Returns why a worker did not answer.
    pub(crate) fn ended(&self) -> DataflowError {
        self.state.lock().failure().unwrap_or(DataflowError::ShutDown)
    }

    /// What a worker answers. Fails when the engine ends, or is abandoned, first; or the wait is cancelled or too long.
    pub(crate) fn answer_of<T>(
        &self,
        replies: &Receiver<T>,
        cancel: &CancelToken,
        deadline: Option<Instant>,
    ) -> Result<T, DataflowError> {
        match CancelToken::child_of([cancel, &self.over]).receive(replies, deadline) {
            Received::Message(reply) => Ok(reply),
            Received::Cancelled if !self.is_abandoned() => Err(DataflowError::Cancelled),
            Received::Disconnected | Received::Cancelled => Err(self.ended()),
            Received::TimedOut => Err(DataflowError::TimedOut),
        }
    }

    /// Returns the counter of workers that have answered read `number`. All workers give a read the same number.
    pub(crate) fn answers(&self, number: u64) -> Arc<AtomicUsize> {
        Arc::clone(self.answered.lock().entry(number).or_default())
    }

    /// Removes the counter of a read that all workers have answered.
    pub(crate) fn forget_answers(&self, number: u64) {
        self.answered.lock().remove(&number);
    }

    /// Wakes parked workers so that they look at their commands.
    pub(crate) fn unpark(&self) {
        for thread in self.threads.get().into_iter().flatten() {
            thread.unpark();
        }
    }

    /// Records how far a worker is. Returns whether this sealed the open time and sent it to the workers.
    pub(crate) fn progress(&self, worker: usize, progress: Progress) -> bool {
        let mut state = self.state.lock();
        state.progress[worker] = progress;
        state.settle_rows();
        let seals = state.status == Status::Running && state.is_idle() && state.open.is_some();
        if seals {
            state.seal();
        }
        drop(state);
        if seals {
            self.unpark();
        }
        self.state.notify_all();
        seals
    }

    /// Waits for `done`. Fails when the engine ends first; or the wait is cancelled or too long.
    pub(crate) fn wait_until(
        &self,
        timeout: Option<Duration>,
        cancel: &CancelToken,
        done: impl Fn(&CoordinatorState) -> bool,
    ) -> Result<(), DataflowError> {
        let ended = |state: &mut CoordinatorState| {
            if let Status::Stopped(reason) = &state.status {
                return Some(Err(DataflowError::Stopped { reason: reason.clone() }));
            }
            if done(state) {
                return Some(Ok(()));
            }
            (state.working == 0 || self.is_abandoned()).then_some(Err(DataflowError::ShutDown))
        };
        self.state.wait_for(cancel, deadline(timeout), ended)?.1
    }

    /// Whether the workers should exit without finishing.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Lets the workers finish the accepted work and exit.
    pub(crate) fn shut_down(&self) {
        let mut state = self.state.lock();
        if state.status == Status::Running {
            state.seal_open();
            state.status = Status::ShutDown;
            state.send(|_| Command::Shutdown);
        }
        drop(state);
        self.unpark();
    }

    /// Drops a view that no other view reads, unless that has happened.
    pub(crate) fn give_up(&self, view: ViewId) {
        if self.state.lock().views.remove(&view).is_some() {
            // Before a worker can drop the view, and without the lock, since it may wake subscribers.
            self.sink.given_up(view);
            self.state.lock().send(|_| Command::Drop(view));
            self.unpark();
        }
    }

    /// Lets the workers exit at once, and tells waiting callers that there is nothing left to wait for.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.status == Status::Running {
            state.status = Status::ShutDown;
        }
        // Set under the lock, so that nobody starts to wait between this and the call that wakes all waiters.
        self.abandoned.store(true, Ordering::Release);
        drop(state);
        self.dismiss();
    }

    /// Wakes the workers, which are to exit, and all callers that wait for them.
    fn dismiss(&self) {
        self.over.cancel();
        self.unpark();
        self.state.notify_all();
    }

    /// Stops the engine because an invariant is broken. Only the first reason is kept.
    pub(crate) fn stop(&self, reason: &str) {
        let mut state = self.state.lock();
        let first = !matches!(state.status, Status::Stopped(_));
        if first {
            state.status = Status::Stopped(reason.to_owned());
        }
        drop(state);
        self.abandoned.store(true, Ordering::Release);
        if first {
            self.sink.stopped(reason);
        }
        self.dismiss();
    }

    /// Records that a worker has ended.
    pub(crate) fn leave(&self) {
        let mut state = self.state.lock();
        state.working -= 1;
        drop(state);
        self.state.notify_all();
    }
}

/// How far a worker is: all times before these are complete there, in the views of the first `installs` commands to
/// install one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Ignores slow views and those that still take in their first contents: the next commit does not wait for them.
    pub(crate) paced: Time,
    /// Ignores views that still take in their first contents.
    pub(crate) through: Time,
    /// Ignores no view.
    pub(crate) complete: Time,
    pub(crate) installs: u64,
}

impl Progress {
    /// The progress of a worker that has done nothing.
    pub(crate) const START: Progress = Progress { paced: Time(1), through: Time(1), complete: Time(1), installs: 0 };
}

/// The part of a [`Coordinator`] under its lock. The thread that holds the lock decides the order of commands.
pub(crate) struct CoordinatorState {
    status: Status,
    commands: Vec<Sender<Command>>,
    pub(crate) views: BTreeMap<ViewId, Arc<DataflowPlan>>,
    /// The views among `views` that are dropped as soon as no other one reads them.
    pub(crate) leaving: BTreeSet<ViewId>,
    /// The views among `views` that the workers do not have any more, with the reason.
    pub(crate) ended: BTreeMap<ViewId, DataflowError>,
    /// Changes of the time after `sealed`, if that time has been given to a commit.
    open: Option<Vec<(RelationId, UpdateBatch)>>,
    /// The last time that was sent to the workers.
    sealed: Time,
    progress: Vec<Progress>,
    /// Number of commands to install a view that were sent.
    pub(crate) installs: u64,
    /// Rows committed at each time that the workers have not finished yet, by relation.
    rows: VecDeque<(Time, BTreeMap<RelationId, u64>)>,
    /// The sum of `rows` over all times.
    pending: BTreeMap<RelationId, u64>,
    /// Number of workers that have not ended.
    working: usize,
}

impl CoordinatorState {
    fn failure(&self) -> Option<DataflowError> {
        match &self.status {
            Status::Running => None,
            Status::ShutDown => Some(DataflowError::ShutDown),
            Status::Stopped(reason) => Some(DataflowError::Stopped { reason: reason.clone() }),
        }
    }

    /// Returns the plan of a view that the workers maintain; otherwise why there is none.
    pub(crate) fn view(&self, view: ViewId) -> Result<&Arc<DataflowPlan>, DataflowError> {
        match (self.ended.get(&view), self.views.get(&view)) {
            (Some(why), _) => Err(why.clone()),
            (None, Some(plan)) => Ok(plan),
            (None, None) => Err(DataflowError::UnknownView(view)),
        }
    }

    /// Returns `view` and the views that read it, directly or through others, that have not ended, the newest first.
    fn standing_on(&self, view: ViewId) -> Vec<ViewId> {
        let mut found = BTreeSet::from([view]);
        // A view may have a lower id than one that it reads, so each pass may find more.
        loop {
            let reads = |plan: &DataflowPlan| {
                plan.inputs().iter().any(|input| matches!(input, CollectionId::View(view) if found.contains(view)))
            };
            let more: Vec<ViewId> = self.views.iter().filter(|(_, plan)| reads(plan)).map(|(id, _)| *id).collect();
            let before = found.len();
            found.extend(more);
            if found.len() == before {
                return found.into_iter().rev().filter(|view| !self.ended.contains_key(view)).collect();
            }
        }
    }

    pub(crate) fn workers(&self) -> usize {
        self.commands.len()
    }

    pub(crate) fn sealed(&self) -> Time {
        self.sealed
    }

    pub(crate) fn last_time(&self) -> Time {
        self.sealed + u64::from(self.open.is_some())
    }

    /// Whether the workers are ready for the next commit: they have finished everything sent to them, or only slow views
    /// have something left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.progress.iter().all(|p| p.paced > self.sealed)
    }

    /// Whether all views are complete through `time`; for a time that is not given out yet, through all commits.
    pub(crate) fn is_complete(&self, time: Time) -> bool {
        let time = time.min(self.last_time());
        // What a worker reported before it installed a view says nothing about the contents of that view.
        self.progress.iter().all(|p| p.complete > time && p.installs == self.installs)
    }

    pub(crate) fn rows_pending(&self, relation: RelationId) -> u64 {
        self.pending.get(&relation).copied().unwrap_or(0)
    }

    /// Returns the time that the next commit is given.
    pub(crate) fn next_time(&self) -> Time {
        self.sealed + 1
    }

    /// Adds changes to the open time and returns that time.
    pub(crate) fn add(&mut self, changes: Vec<(RelationId, RecordBatch, Diffs)>) -> Time {
        let time = self.next_time();
        let open = self.open.get_or_insert_default();
        if self.rows.back().is_none_or(|(t, _)| *t != time) {
            self.rows.push_back((time, BTreeMap::new()));
        }
        let (_, rows) = self.rows.back_mut().expect("just added");
        for (relation, batch, diffs) in changes {
            let count = batch.num_rows() as u64;
            if count > 0 {
                *rows.entry(relation).or_default() += count;
                *self.pending.entry(relation).or_default() += count;
                open.push((relation, UpdateBatch { rows: batch, times: PerRow::Same(time), diffs }));
            }
        }
        time
    }

    /// Subtracts the rows of times that the workers have finished from the pending rows.
    fn settle_rows(&mut self) {
        let through = self.progress.iter().map(|p| p.through).min().unwrap_or(Time::MAX);
        while let Some((_, rows)) = self.rows.pop_front_if(|(time, _)| *time < through) {
            for (relation, count) in rows {
                *self.pending.get_mut(&relation).expect("counted when added") -= count;
            }
        }
    }

    /// Sends the open time to the workers if there is one; returns the last time sent.
    pub(crate) fn seal_open(&mut self) -> Time {
        if self.open.is_some() {
            self.seal();
        }
        self.sealed
    }

    /// Sends the open time to the workers. A commit must have been given that time.
    pub(crate) fn seal(&mut self) {
        let changes = self.open.take().expect("a time is sealed after it was given out");
        let time = self.sealed + 1;
        self.sealed = time;
        let mut shares = divide(group(changes), time, self.workers()).into_iter();
        self.send(|_| Command::Commit { time, changes: shares.next().expect("one share a worker") });
    }

    /// Drops the views that leave and that no other view reads, until there are none.
    pub(crate) fn drop_unread(&mut self) {
        let is_unread = |state: &Self, view: ViewId| {
            state.views.values().all(|plan| !plan.inputs().contains(&CollectionId::View(view)))
        };
        while let Some(view) = self.leaving.iter().copied().find(|view| is_unread(self, *view)) {
            self.leaving.remove(&view);
            self.views.remove(&view);
            // A view that was ended the workers have removed, or are told to already.
            if self.ended.remove(&view).is_none() {
                self.seal_open();
                self.send(|_| Command::Drop(view));
            }
        }
    }

    /// Seals the open time, and closes the later times through `time`, which have no changes.
    pub(crate) fn close_through(&mut self, time: Time) {
        if self.seal_open() < time {
            self.sealed = time;
            self.send(|_| Command::CloseThrough(time));
        }
    }

    /// Sends a command to every worker. Sending to a worker that has ended fails silently: callers that wait for its
    /// answer get an error.
    pub(crate) fn send(&self, mut command: impl FnMut(usize) -> Command) {
        for (worker, channel) in self.commands.iter().enumerate() {
            let _ = channel.send(command(worker));
        }
    }
}
