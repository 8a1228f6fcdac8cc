//! `ChangeSink`: where the workers send what happens to views.

use crate::failure::LiveError;
use crate::{DataflowError, Time, UpdateBatch, ViewId};

/// Receives the changes of closed times. Called on worker threads: implementations must be quick and must not call the
/// engine.
pub trait ChangeSink: Send + Sync {
    /// Receives changes of a watched view at a time that is closed on this worker, for this worker's shard of the view.
    /// They may come in several calls, all before `frontier` passes `time`; over all calls, no row is both inserted and
    /// removed.
    fn changes(&self, worker: usize, view: ViewId, time: Time, changes: &UpdateBatch);

    /// Receives how many rows a view's changes have added and removed on this worker since the last call, whether or
    /// not the view is watched. The contents over which the view was made do not count. A view that keeps an
    /// arrangement of its rows counts the net changes of each time; others count changes before equal rows of one time
    /// cancel out. Called before `frontier` passes the times of the changes.
    fn changed(&self, _worker: usize, _view: ViewId, _rows: u64) {}

    /// All times of the view before `frontier` are closed on this worker; `Time::MAX` means that the view has ended.
    fn frontier(&self, worker: usize, view: ViewId, frontier: Time);

    /// Receives the rows that fail in a view at a closed time, on this worker. Called before `frontier` passes `time`,
    /// for each time at which they may have changed, whether or not the view is watched. A count may be negative where
    /// another worker received the insertion; the sum over all workers never is.
    fn failures(&self, _worker: usize, _view: ViewId, _time: Time, _failures: Vec<LiveError>) {}

    /// The engine ends a view by itself, because of its memory. Called before `frontier` says that the view has ended.
    fn ended(&self, _worker: usize, _view: ViewId, _why: &DataflowError) {}

    /// The engine shuts down and will not finish the first contents of a view. Called once, before `frontier` says that
    /// the view has ended.
    fn given_up(&self, _view: ViewId) {}

    /// The engine has stopped on a broken invariant. Called once.
    fn stopped(&self, reason: &str);
}
