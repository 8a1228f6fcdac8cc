//! Answers reads once their time is complete.
//!
//! State without history is kept as it is at the time of the read, by the gate of its dataflow. The hold ends once all
//! workers have read: a worker that continued earlier would send later rows to workers that have not read yet.

use std::sync::atomic::Ordering;

use super::Worker;
use super::flow::FlowId;
use super::pending::{FlowHold, PendingRead, Then};
use crate::command::{Read, Reading, Shard};
use crate::failure::failures_at;
use crate::update::PerRow;
use crate::{DataflowError, Time, UpdateBatch, ViewId};

impl Worker<'_> {
    /// Queues a read, which must be at the last closed time.
    pub(super) fn read(&mut self, read: Read) {
        let Read { time, views, what, reply } = read;
        assert!(time == self.closed, "reads see exactly the commits before them");
        self.add_read(time, views, Then::Reply(what, reply));
    }

    /// Queues a read to be answered once `views`, all installed, are complete through `time`, the last closed time.
    pub(super) fn add_read(&mut self, time: Time, views: Vec<ViewId>, then: Then) {
        let mut held = Vec::new();
        for view in &views {
            let view = &self.views[view];
            if view.state.as_ref().is_some_and(|state| !state.has_history()) {
                self.flows[&view.flow].fuel.gate().hold(time);
                held.push(view.flow);
            }
        }
        let mut hold = None;
        if !held.is_empty() {
            let number = self.next_hold;
            self.next_hold += 1;
            hold = Some(FlowHold { time, flows: held, number, answers: self.coordinator.answers(number) });
        }
        self.reads.push(PendingRead::new(time, views, then, hold));
    }

    /// Counts this worker's answer to a held read. The hold lasts until all workers have answered.
    fn answered(&mut self, hold: Option<FlowHold>) {
        let Some(hold) = hold else { return };
        if hold.answers.fetch_add(1, Ordering::AcqRel) + 1 == self.timely.peers() {
            self.coordinator.forget_answers(hold.number);
            self.coordinator.unpark();
        }
        self.holds.push(hold);
    }

    /// Releases the flows of reads that all workers have answered.
    pub(super) fn release_holds(&mut self) {
        let peers = self.timely.peers();
        for hold in self.holds.extract_if(.., |hold| hold.answers.load(Ordering::Acquire) == peers) {
            for id in &hold.flows {
                if let Some(flow) = self.flows.get(id) {
                    flow.fuel.gate().release(hold.time);
                }
            }
        }
    }

    /// Reads on where the time is complete: a piece of rows, shared by the reads. Answers the reads that are finished.
    /// Returns whether some go on.
    pub(super) fn answer_reads(&mut self) -> bool {
        if self.reads.is_empty() {
            return false;
        }
        let mut under_way = false;
        let room = self.meter.part_of_piece(self.reads.len());
        for mut read in std::mem::take(&mut self.reads) {
            if read.views.iter().any(|view| self.frontier_of(&self.views[view]) <= read.time) {
                self.reads.push(read);
                continue;
            }
            match self.read_piece(&mut read, room) {
                Ok(true) => self.answer(read),
                Ok(false) => {
                    under_way = true;
                    self.reads.push(read);
                }
                Err(error) => self.refuse(read, &error),
            }
        }
        under_way
    }

    /// Reads about `room` rows. Returns whether this was the last. Fails if the rows would pass the memory limit.
    fn read_piece(&mut self, read: &mut PendingRead, mut room: usize) -> Result<bool, DataflowError> {
        if let Then::Open(flow, _) = &read.then {
            // What is read counts as allocated by the dataflow that reads it.
            self.flows[flow].fuel.works();
        }
        loop {
            if let Some(rest) = &mut read.rest {
                let Some(rows) = rest.next(room) else {
                    read.rest = None;
                    continue;
                };
                let count: usize = rows.iter().map(|(rows, _)| rows.num_rows()).sum();
                self.meter.touched(count);
                room = room.saturating_sub(count.max(1));
                read.shards.last_mut().expect("begun with the rest").rows.extend(rows);
            } else if let Some(view) = read.views.get(read.shards.len()) {
                if matches!(read.then, Then::Reply(..)) {
                    self.check_room(*view, read.reading())?;
                }
                let view = self.views.get_mut(view).expect("reads of dropped views are gone");
                read.shards.push(Shard { rows: Vec::new(), failures: failures_at(&view.failures, read.time) });
                read.rest = match (read.reading(), &mut view.state) {
                    (Reading::Errors, _) => None,
                    (Reading::Rows, Some(state)) => Some(state.start(read.time)),
                    (Reading::RowsOf(keys), Some(state)) => Some(state.start_of(keys, read.time)),
                    (_, None) => unreachable!("the handle refuses reads of views that keep nothing"),
                };
            } else {
                return Ok(true);
            }
            if room == 0 {
                return Ok(false);
            }
        }
    }

    fn answer(&mut self, read: PendingRead) {
        self.answered(read.hold);
        let mut shards = read.shards;
        match read.then {
            Then::Reply(_, reply) => {
                // The caller may have gone; then it needs no answer.
                let _ = reply.send(Ok(shards));
            }
            Then::Open(flow, position) => {
                let rows = shards.pop().expect("one view is read").rows;
                let contents = rows.into_iter().map(|(rows, diffs)| {
                    let times = PerRow::Same(read.time);
                    UpdateBatch { rows, times, diffs }
                });
                self.flows.get_mut(&flow).expect("reads of dropped flows are gone").inputs[position].open(contents);
            }
        }
    }

    /// Fails if a copy of the rows of a view would pass the memory limit.
    fn check_room(&self, view: ViewId, what: &Reading) -> Result<(), DataflowError> {
        let (Reading::Rows, Some(limit), Some(state)) =
            (what, self.coordinator.memory_limit(), &self.views[&view].state)
        else {
            return Ok(());
        };
        limit.check_of(0, state.size().bytes).map_err(DataflowError::OverLimit)
    }

    /// Answers all reads of a view with an error.
    pub(super) fn refuse_reads(&mut self, view: ViewId, error: &DataflowError) {
        let refused: Vec<PendingRead> = self.reads.extract_if(.., |read| read.views.contains(&view)).collect();
        for read in refused {
            self.refuse(read, error);
        }
    }

    fn refuse(&mut self, read: PendingRead, error: &DataflowError) {
        self.answered(read.hold);
        if let Then::Reply(_, reply) = read.then {
            // The caller may have gone; then it needs no answer.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// Drops the reads that were to fill the inputs of a flow.
    pub(super) fn forget_opening(&mut self, id: FlowId) {
        let for_flow = |read: &mut PendingRead| matches!(read.then, Then::Open(flow, _) if flow == id);
        let forgotten: Vec<PendingRead> = self.reads.extract_if(.., for_flow).collect();
        for read in forgotten {
            self.answered(read.hold);
        }
    }
}
