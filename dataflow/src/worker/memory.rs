//! Watches the memory of the process: when the limit is passed, the view that has grown most is ended.
//!
//! ```text
//! each look: far below the limit --> nothing
//!            near it             --> what each dataflow has allocated since it was last complete
//!            passed              --> the view that grew most: the coordinator has all workers end it
//! ```
//!
//! A view grows while it takes in its first contents, or the changes of a time. A view that is complete does not grow,
//! and is left alone however large it is: if only such views are there, it is the writes that are refused.

use std::sync::atomic::Ordering;

use super::Worker;
use super::flow::FlowId;
use crate::command::Ending;
use crate::memory::{MemoryLimit, OverLimit};
use crate::{DataflowError, ViewId};

/// A part of the limit by which it may be passed before a view is ended whose growth is small.
const MARGIN: u64 = 16;

impl Worker<'_> {
    /// Ends the view that has grown most, if the limit is passed.
    pub(super) fn watch_memory(&mut self) {
        let Some(limit) = self.coordinator.memory_limit() else { return };
        if !limit.is_near() {
            self.is_near_limit = false;
            return;
        }
        if let Err(over) = limit.check(0)
            && !self.coordinator.is_ending()
            && let Some(view) = self.grown_most(limit, over)
        {
            self.coordinator.end_view(view, over);
        }
        let first = !std::mem::replace(&mut self.is_near_limit, true);
        for (id, flow) in &mut self.flows {
            // What a dataflow has allocated long ago is not known, except while it takes in its first contents.
            if !self.awake.contains(id) || (first && !flow.is_opening()) {
                flow.settled = flow.fuel.bytes();
            }
        }
    }

    /// Returns the view that has grown most since it was last complete, if it has grown by more than the part of the
    /// limit that nobody is ended for, or the limit is passed by far.
    fn grown_most(&self, limit: MemoryLimit, over: OverLimit) -> Option<ViewId> {
        let (view, grown) =
            self.views.keys().map(|view| (*view, self.growth(*view))).max_by_key(|(_, grown)| *grown)?;
        let grown = u64::try_from(grown).unwrap_or(0);
        // Each worker sees its own part of a view alone.
        let is_large = grown.saturating_mul(self.timely.peers() as u64) > limit.part();
        let is_far = over.used > limit.bytes().saturating_add(limit.bytes() / MARGIN).saturating_add(limit.part());
        (is_large || (is_far && grown > limit.part() / 16)).then_some(view)
    }

    /// Returns the bytes that a view has allocated since it was last complete, with the indexes of which it is the
    /// newest reader.
    fn growth(&self, view: ViewId) -> i64 {
        let of_flow = |id: &FlowId| self.flows[id].fuel.bytes() - self.flows[id].settled;
        let installed = &self.views[&view];
        let newest = |text: &&String| {
            let reads = |(_, other): &(&ViewId, &super::InstalledView)| other.indexes.contains(*text);
            self.views.iter().rev().find(reads).is_some_and(|(id, _)| *id == view)
        };
        let indexes = installed.indexes.iter().filter(newest);
        of_flow(&installed.flow) + indexes.map(|text| of_flow(&self.indexes[text].flow)).sum::<i64>()
    }

    /// Removes views that were ended for their memory; the sink is told why.
    pub(super) fn end_views(&mut self, ending: &Ending) {
        for view in &ending.views {
            let why = DataflowError::Ended { view: *view, cause: ending.cause, over: ending.over };
            self.views[view].output.borrow_mut().ended(&why);
            self.remove_view(*view, &why);
        }
        // Until what they held is freed, the limit may still be passed, and nobody else is to blame for it.
        for flow in self.flows.values_mut() {
            flow.settled = flow.fuel.bytes();
        }
        ending.workers.fetch_sub(1, Ordering::AcqRel);
    }
}
