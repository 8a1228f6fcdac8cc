//! Wakes the dataflows that have something to do at a time, and lets the others sleep.
//!
//! ```text
//! rows of a relation --> dataflows that read it --> dataflows that read what those change: awake through the time
//!                                                      \--> other inputs and indexes of these: closed through the time
//! ```
//!
//! Which dataflows wake at a time depends on the commands alone, so all workers wake the same. When one sleeps again
//! depends on how far it is on this worker: one that waits for an input that reads a sleeping view closes that input
//! itself, since the view changes nothing until it is woken.

use std::collections::BTreeSet;

use super::flow::{Flow, FlowId, Pace};
use super::{InstalledView, Worker};
use crate::RelationId;
use crate::input::Event;
use crate::{Time, UpdateBatch};

impl Worker<'_> {
    /// Gives the rows of a commit to the dataflows that read their relations, and wakes all that they may reach.
    pub(super) fn commit(&mut self, time: Time, changes: Vec<(RelationId, Vec<UpdateBatch>)>) {
        assert!(time == self.closed + 1, "times are closed in order, each once");
        self.closed = time;
        let mut reached = Vec::new();
        for (relation, batches) in changes {
            let Some(readers) = self.readers.get(&relation) else { continue };
            for (id, position) in readers {
                let flow = self.flows.get_mut(id).expect("readers are of installed flows");
                for batch in &batches {
                    flow.inputs[*position].push(Event::Rows(time, batch.clone()));
                }
                reached.push(*id);
            }
        }
        let mut woken = BTreeSet::new();
        while let Some(id) = reached.pop() {
            if woken.insert(id) {
                reached.extend(&self.flows[&id].readers);
            }
        }
        for id in woken {
            self.wake(id, time);
        }
    }

    /// Has a dataflow complete the times through `time`. If it was asleep, it waits for its turn to begin.
    pub(super) fn wake(&mut self, id: FlowId, time: Time) {
        let was_asleep = self.is_asleep(id);
        let flow = self.flows.get_mut(&id).expect("only installed flows are woken");
        flow.through = time;
        flow.fuel.gate().reach(time);
        flow.close(time);
        if was_asleep {
            if !flow.is_opening() {
                flow.woken = time;
            }
            self.line.add(id);
        }
    }

    /// Lets a dataflow begin that was woken.
    pub(super) fn begin(&mut self, id: FlowId) {
        self.line.remove(id);
        self.awake.insert(id);
    }

    /// Whether a dataflow has nothing to do.
    pub(super) fn is_asleep(&self, id: FlowId) -> bool {
        !self.awake.contains(&id) && !self.line.contains(id)
    }

    /// Returns the frontier of a view: all times before it are complete on this worker, failures included.
    pub(super) fn frontier_of(&self, view: &InstalledView) -> Time {
        if self.is_asleep(view.flow) {
            return self.closed + 1;
        }
        // The indexes record the failures of the rows that they hold.
        let flow = &self.flows[&view.flow];
        let indexes = flow.indexes.iter().filter(|index| !self.is_asleep(**index)).map(|index| &self.flows[index]);
        indexes.chain([flow]).map(Flow::frontier).min().expect("there is the flow of the view")
    }

    /// Closes the inputs that waking dataflows wait for and that nobody else closes, and lets those sleep that are done.
    /// Returns whether something changed.
    pub(super) fn settle(&mut self) -> bool {
        let before = self.awake.len();
        let done = |id: &FlowId| self.flows[id].is_done();
        let slept: Vec<FlowId> = self.awake.iter().copied().filter(done).collect();
        for id in &slept {
            self.awake.remove(id);
            self.flows.get_mut(id).expect("found above").pace = Pace::default();
        }
        self.slept.extend(slept);
        let mut changed = self.awake.len() != before;
        // Readers come after what they read, so that in this order a dataflow that is woken here has its turn.
        let mut next = self.awake.last().copied();
        while let Some(id) = next {
            changed |= self.close_inputs(id);
            next = self.awake.range(..id).next_back().copied();
        }
        changed
    }

    /// Closes, through the time that a dataflow has to complete, its inputs that read sleeping views, and wakes the
    /// sleeping indexes that it reads so that they follow. Returns whether an index was woken.
    fn close_inputs(&mut self, id: FlowId) -> bool {
        let flow = &self.flows[&id];
        let through = flow.through;
        let behind = |index: &&FlowId| self.is_asleep(**index) && self.flows[*index].through < through;
        let behind: Vec<FlowId> = flow.indexes.iter().filter(behind).copied().collect();
        for index in &behind {
            self.wake(*index, through);
            self.begin(*index);
        }
        let flow = self.flows.get_mut(&id).expect("found above");
        flow.round();
        for input in &flow.view_inputs {
            if !self.awake.contains(&input.from) && !self.line.contains(input.from) {
                flow.inputs[input.position].push(Event::Close(through));
            }
        }
        !behind.is_empty()
    }
}
