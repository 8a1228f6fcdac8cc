//! Reads in progress: each worker answers with its shard, and the caller combines the shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use crossbeam_channel::Receiver;

use crate::cancel::{CancelToken, deadline};
use crate::command::{Command, Read, Reading, Reply, Shard};
use crate::coordinator::{Coordinator, CoordinatorState};
use crate::failure::{LiveError, RowFailure};
use crate::{DataflowError, Diff, Diffs, Time, ViewId};

/// The contents of a view as of a time.
#[derive(Clone, Debug)]
pub struct ViewSnapshot {
    /// The time of the last commit that the snapshot sees.
    pub time: Time,
    /// The rows with their multiplicities, consolidated within each worker.
    pub rows: Vec<(RecordBatch, Diffs)>,
    /// The rows that failed; `rows` does not contain them.
    pub errors: Vec<LiveError>,
}

/// A read that the workers have not all answered yet.
pub struct PendingSnapshot {
    time: Time,
    views: usize,
    missing: usize,
    shards: Vec<Vec<Shard>>,
    replies: Receiver<Reply>,
    coordinator: Arc<Coordinator>,
}

/// Sends a read to all workers.
pub(super) fn send(
    state: &mut CoordinatorState,
    coordinator: &Arc<Coordinator>,
    time: Time,
    views: &[ViewId],
    what: &Reading,
) -> PendingSnapshot {
    let (reply, replies) = crossbeam_channel::unbounded();
    state.send(|_| Command::Read(Read { time, views: views.to_vec(), what: what.clone(), reply: reply.clone() }));
    let missing = state.workers();
    PendingSnapshot {
        time,
        views: views.len(),
        missing,
        shards: Vec::new(),
        replies,
        coordinator: Arc::clone(coordinator),
    }
}

impl PendingSnapshot {
    /// Returns the time of the last commit that the snapshot sees.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Waits for the workers; gives one snapshot a view, in the order asked for. A wait that was cancelled, or that was
    /// over before, can be taken up again.
    pub fn wait(
        &mut self,
        cancel: &CancelToken,
        timeout: Option<Duration>,
    ) -> Result<Vec<ViewSnapshot>, DataflowError> {
        self.arrive(cancel, timeout)?;
        Ok(self.finish())
    }

    /// Waits as [`PendingSnapshot::wait`] does, which then has nothing left to wait for.
    pub fn arrive(&mut self, cancel: &CancelToken, timeout: Option<Duration>) -> Result<(), DataflowError> {
        let deadline = deadline(timeout);
        while self.missing > 0 {
            let reply = self.coordinator.answer_of(&self.replies, cancel, deadline)?;
            self.shards.push(reply?);
            self.missing -= 1;
        }
        Ok(())
    }

    fn finish(&mut self) -> Vec<ViewSnapshot> {
        let mut rows: Vec<Vec<(RecordBatch, Diffs)>> = vec![Vec::new(); self.views];
        let mut failures: Vec<BTreeMap<RowFailure, Diff>> = vec![BTreeMap::new(); self.views];
        for shard in std::mem::take(&mut self.shards) {
            for (position, shard) in shard.into_iter().enumerate() {
                rows[position].extend(shard.rows);
                for (failure, count) in shard.failures {
                    *failures[position].entry(failure).or_default() += count;
                }
            }
        }
        let snapshots = rows.into_iter().zip(failures).map(|(rows, failures)| {
            let live = failures.into_iter().filter(|(_, count)| *count != 0);
            ViewSnapshot { time: self.time, rows, errors: live.map(|(f, count)| LiveError::new(f, count)).collect() }
        });
        snapshots.collect()
    }
}

impl std::fmt::Debug for PendingSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingSnapshot").field("time", &self.time).finish_non_exhaustive()
    }
}
