//! Answers reads once their time is complete.
//!
//! State without history is read while its dataflow is held at the time of the read. The hold ends once all workers
//! have read: a worker that continued earlier would send later rows to workers that have not read yet.

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
                held.push(view.flow);
                held.extend(view.indexes.iter().map(|text| self.indexes[text].flow));
            }
        }
        let mut hold = None;
        if !held.is_empty() {
            for flow in &held {
                self.flows.get_mut(flow).expect("views and indexes have flows").holds.push(time);
            }
            let number = self.next_hold;
            self.next_hold += 1;
            hold = Some(FlowHold { time, flows: held, number, answers: self.coordinator.answers(number) });
        }
        self.reads.push(PendingRead { time, views, then, hold });
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
                let Some(flow) = self.flows.get_mut(id) else { continue };
                let position = flow.holds.iter().position(|time| *time == hold.time).expect("held since the read");
                flow.holds.swap_remove(position);
            }
        }
    }

    /// Answers the reads whose time is complete.
    pub(super) fn answer_reads(&mut self) {
        if self.reads.is_empty() {
            return;
        }
        let reads = std::mem::take(&mut self.reads);
        for read in reads {
            if read.views.iter().all(|view| self.is_complete(*view, read.time)) {
                self.answer(read);
            } else {
                self.reads.push(read);
            }
        }
    }

    fn is_complete(&self, view: ViewId, time: Time) -> bool {
        let view = &self.views[&view];
        let indexes = view.indexes.iter().map(|text| self.indexes[text].flow);
        indexes.chain([view.flow]).all(|flow| self.flows[&flow].frontier() > time)
    }

    fn answer(&mut self, read: PendingRead) {
        self.answered(read.hold);
        match read.then {
            Then::Reply(what, reply) => {
                let shards = read.views.iter().map(|view| self.shard(*view, read.time, &what)).collect();
                // The caller may have gone; then it needs no answer.
                let _ = reply.send(Ok(shards));
            }
            Then::Open(flow, position) => {
                let rows = self.shard(read.views[0], read.time, &Reading::Rows).rows;
                let contents = rows.into_iter().map(|(rows, diffs)| {
                    let times = PerRow::Same(read.time);
                    UpdateBatch { rows, times, diffs }
                });
                self.flows.get_mut(&flow).expect("reads of dropped flows are gone").inputs[position].open(contents);
            }
        }
    }

    fn shard(&mut self, view: ViewId, time: Time, what: &Reading) -> Shard {
        let view = self.views.get_mut(&view).expect("reads of dropped views are gone");
        let failures = failures_at(&view.failures, time);
        let rows = match (what, &mut view.state) {
            (Reading::Errors, _) => Vec::new(),
            (Reading::Rows, Some(state)) => state.rows(time),
            (Reading::RowsOf(keys), Some(state)) => state.rows_of(keys, time),
            (_, None) => unreachable!("the handle refuses reads of views that keep nothing"),
        };
        Shard { rows, failures }
    }

    /// Answers all reads of a view with an error.
    pub(super) fn refuse_reads(&mut self, view: ViewId, error: DataflowError) {
        let refused: Vec<PendingRead> = self.reads.extract_if(.., |read| read.views.contains(&view)).collect();
        for read in refused {
            self.answered(read.hold);
            if let Then::Reply(_, reply) = read.then {
                // The caller may have gone; then it needs no answer.
                let _ = reply.send(Err(error.clone()));
            }
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
