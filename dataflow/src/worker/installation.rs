//! Installs and drops views, together with the shared indexes that they read.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::flow::{Flow, FlowId};
use super::pending::Then;
use super::{Index, InstalledView, Worker};
use crate::arrangement::Trace;
use crate::command::Install;
use crate::output::ViewOutput;
use crate::plan::{ArrangementId, DataflowPlan, IndexPlan, shared_indexes};
use crate::render::{self, Built};
use crate::state::TraceHandle;
use crate::{CollectionId, DataflowError, RelationId, Time, UpdateBatch, ViewId};

impl Worker<'_> {
    /// Builds a view over contents as of the last closed time.
    pub(super) fn install(&mut self, install: Install) {
        let Install { view, plan, time, contents } = install;
        assert!(time == self.closed, "a view is installed at the last closed time");
        let (imports, indexes) = self.index(&plan, &contents);
        let covered: Vec<String> = indexes.iter().map(|text| self.indexes[text].source.clone()).collect();
        let output = ViewOutput::new(self.timely.index(), view, &plan, time, Arc::clone(self.coordinator.sink()));
        let dataflow = self.timely.next_dataflow_index();
        let rendered = self.timely.dataflow_named::<Time, _, _>(&format!("View {}", view.0), |scope| {
            render::view(&plan, scope, time, output, imports, covered)
        });
        let flow = self.add_flow(dataflow, time, rendered.built, &contents);
        let mut failures = vec![rendered.failures];
        let mut sources = Vec::new();
        for text in &indexes {
            let index = &self.indexes[text];
            // Two indexes of the same rows record the same failures; count them once.
            if !sources.contains(&&index.source) {
                sources.push(&index.source);
                failures.push(Rc::clone(&index.failures));
            }
        }
        self.views
            .insert(view, InstalledView { flow, indexes, output: rendered.output, failures, state: rendered.state });
    }

    /// Returns the traces of the shared indexes that `plan` reads and the texts of these indexes. Missing indexes are
    /// built, and the view is counted as a reader of each.
    fn index(
        &mut self,
        plan: &DataflowPlan,
        contents: &[(RelationId, Vec<UpdateBatch>)],
    ) -> (BTreeMap<ArrangementId, Trace>, Vec<String>) {
        let (mut imports, mut texts) = (BTreeMap::new(), Vec::new());
        for (id, index_plan) in shared_indexes(plan) {
            if !self.indexes.contains_key(&index_plan.text) {
                self.add_index(&index_plan, contents);
            }
            let index = self.indexes.get_mut(&index_plan.text).expect("just made");
            imports.insert(id, index.trace.share());
            if !texts.contains(&index_plan.text) {
                index.readers += 1;
                texts.push(index_plan.text);
            }
        }
        (imports, texts)
    }

    fn add_index(&mut self, plan: &IndexPlan, contents: &[(RelationId, Vec<UpdateBatch>)]) {
        let time = self.closed;
        let dataflow = self.timely.next_dataflow_index();
        let rendered =
            self.timely.dataflow_named::<Time, _, _>(&plan.text, |scope| render::index::render(plan, scope, time));
        let trace = TraceHandle::new(rendered.trace);
        let flow = self.add_flow(dataflow, time, rendered.built, contents);
        let (source, failures) = (plan.source.clone(), rendered.failures);
        self.indexes.insert(plan.text.clone(), Index { flow, trace, source, failures, readers: 0 });
    }

    /// Registers a dataflow and opens its inputs.
    fn add_flow(
        &mut self,
        dataflow: usize,
        opening: Time,
        built: Built,
        contents: &[(RelationId, Vec<UpdateBatch>)],
    ) -> FlowId {
        let id = self.next_flow;
        self.next_flow = id.next();
        let Built { mut inputs, frontiers, traces, sizes, work } = built;
        let (mut queues, mut on_views) = (Vec::new(), Vec::new());
        for (position, input) in inputs.iter_mut().enumerate() {
            match input.collection() {
                Some(CollectionId::Relation(relation)) => {
                    let of_relation = contents.iter().filter(|(r, _)| *r == relation);
                    input.open(of_relation.flat_map(|(_, batches)| batches.iter().cloned()));
                    self.readers.entry(relation).or_default().push((id, position));
                }
                Some(CollectionId::View(view)) => {
                    let upstream = self.views.get(&view).expect("the handle checked that the view is installed");
                    queues.push((position, upstream.output.borrow_mut().subscribe(opening)));
                    on_views.push((view, position));
                }
                None => {}
            }
        }
        let (holds, compacted) = (Vec::new(), opening);
        let flow = Flow { dataflow, opening, inputs, queues, frontiers, holds, traces, sizes, work, compacted };
        self.flows.insert(id, flow);
        for (view, position) in on_views {
            self.add_read(opening, vec![view], Then::Open(id, position));
        }
        id
    }

    /// Drops a view that nothing reads, and the indexes that nothing else reads.
    pub(super) fn drop_view(&mut self, id: ViewId) {
        let view = self.views.remove(&id).expect("the handle checked that the view is installed");
        view.output.borrow_mut().end();
        self.refuse_reads(id, DataflowError::UnknownView(id));
        self.remove_flow(view.flow);
        for text in &view.indexes {
            let index = self.indexes.get_mut(text).expect("views count as readers of their indexes");
            index.readers -= 1;
            if index.readers == 0 {
                let index = self.indexes.remove(text).expect("just found");
                self.remove_flow(index.flow);
            }
        }
        for view in self.views.values() {
            view.output.borrow_mut().prune();
        }
    }

    fn remove_flow(&mut self, id: FlowId) {
        for readers in self.readers.values_mut() {
            readers.retain(|(flow, _)| *flow != id);
        }
        self.readers.retain(|_, readers| !readers.is_empty());
        self.forget_opening(id);
        let flow = self.flows.remove(&id).expect("flows are removed once");
        let dataflow = flow.dataflow;
        drop(flow);
        self.timely.drop_dataflow(dataflow);
    }
}
