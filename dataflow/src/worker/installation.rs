//! Installs and drops views, together with the shared indexes that they read.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::flow::{Flow, FlowId, Owner, Pace, ViewInput};
use super::pending::Then;
use super::{Index, InstalledView, Worker};
use crate::arrangement::Trace;
use crate::command::Install;
use crate::fuel::Fuel;
use crate::output::ViewOutput;
use crate::plan::{ArrangementId, DataflowPlan, IndexPlan, shared_indexes};
use crate::render::{self, Built};
use crate::state::{Free, TraceHandle};
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
        let fuel = Fuel::new(&self.meter);
        let rendered = self.timely.dataflow_named::<Time, _, _>(&format!("View {}", view.0), |scope| {
            render::view(&plan, scope, time, output, imports, covered, fuel)
        });
        let flow = self.add_flow(Owner::View(view), dataflow, time, rendered.built, &contents);
        for text in &indexes {
            let index = self.indexes[text].flow;
            self.flows.get_mut(&index).expect("indexes have flows").readers.push(flow);
            self.flows.get_mut(&flow).expect("just added").indexes.push(index);
        }
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
        let fuel = Fuel::new(&self.meter);
        let rendered = self
            .timely
            .dataflow_named::<Time, _, _>(&plan.text, |scope| render::index::render(plan, scope, time, fuel));
        let trace = TraceHandle::new(rendered.trace);
        let flow = self.add_flow(Owner::Index(plan.text.clone()), dataflow, time, rendered.built, contents);
        let (source, failures) = (plan.source.clone(), rendered.failures);
        self.indexes.insert(plan.text.clone(), Index { flow, trace, source, failures, readers: 0 });
    }

    /// Registers a dataflow and opens its inputs.
    fn add_flow(
        &mut self,
        owner: Owner,
        dataflow: usize,
        opening: Time,
        built: Built,
        contents: &[(RelationId, Vec<UpdateBatch>)],
    ) -> FlowId {
        let id = self.next_flow;
        self.next_flow = id.next();
        let Built { mut inputs, frontiers, traces, sizes, frees, work, fuel } = built;
        let mut view_inputs = Vec::new();
        for (position, input) in inputs.iter_mut().enumerate() {
            match input.collection() {
                Some(CollectionId::Relation(relation)) => {
                    let of_relation = contents.iter().filter(|(r, _)| *r == relation);
                    input.open(of_relation.flat_map(|(_, batches)| batches.iter().cloned()));
                    self.readers.entry(relation).or_default().push((id, position));
                }
                Some(CollectionId::View(view)) => {
                    let upstream = self.views.get(&view).expect("the handle checked that the view is installed");
                    let (from, queue) = (upstream.flow, upstream.output.borrow_mut().subscribe(opening));
                    view_inputs.push(ViewInput { position, from, queue });
                    self.flows.get_mut(&from).expect("views have flows").readers.push(id);
                    self.add_read(opening, vec![view], Then::Open(id, position));
                }
                None => {}
            }
        }
        let flow = Flow {
            owner,
            dataflow,
            opening,
            inputs,
            view_inputs,
            indexes: Vec::new(),
            readers: Vec::new(),
            through: opening,
            woken: Time::ZERO,
            pace: Pace::default(),
            holds_input: false,
            frontiers,
            traces,
            sizes,
            frees,
            work,
            fuel,
            settled: 0,
            compacted: opening,
        };
        self.flows.insert(id, flow);
        self.wake(id, opening);
        self.begin(id);
        id
    }

    /// Has all workers drop the views that take in their first contents and have rows left to process, and those that
    /// read them: they may take long, and nobody will read them.
    pub(super) fn give_up_hydrating(&self) {
        let mut reached: Vec<FlowId> = self.awake.iter().copied().filter(|id| self.flows[id].is_hydrating()).collect();
        let mut hopeless = BTreeSet::new();
        while let Some(id) = reached.pop() {
            if hopeless.insert(id) {
                reached.extend(&self.flows[&id].readers);
            }
        }
        // Readers come after what they read.
        for id in hopeless.into_iter().rev() {
            if let Owner::View(view) = self.flows[&id].owner {
                self.coordinator.give_up(view);
            }
        }
    }

    /// Drops a view that nothing reads, and the indexes that nothing else reads.
    pub(super) fn drop_view(&mut self, id: ViewId) {
        self.remove_view(id, &DataflowError::UnknownView(id));
    }

    /// Removes a view like [`Worker::drop_view`]; reads of it that wait fail with `why`.
    pub(super) fn remove_view(&mut self, id: ViewId, why: &DataflowError) {
        let view = self.views.remove(&id).expect("the handle checked that the view is installed");
        view.output.borrow_mut().end();
        self.refuse_reads(id, why);
        let InstalledView { flow, indexes, output, state, .. } = view;
        let state = state.and_then(|state| state.into_debris());
        drop(output);
        self.remove_flow(flow, state);
        for text in &indexes {
            let index = self.indexes.get_mut(text).expect("views count as readers of their indexes");
            index.readers -= 1;
            if index.readers == 0 {
                let index = self.indexes.remove(text).expect("just found");
                self.remove_flow(index.flow, Some(index.trace.into_debris()));
            }
        }
        for view in self.views.values() {
            view.output.borrow_mut().prune();
        }
    }

    /// Drops a dataflow. What it kept, and `state` that was made of it, are freed later.
    fn remove_flow(&mut self, id: FlowId, state: Option<Free>) {
        for readers in self.readers.values_mut() {
            readers.retain(|(flow, _)| *flow != id);
        }
        self.readers.retain(|_, readers| !readers.is_empty());
        self.forget_opening(id);
        self.awake.remove(&id);
        self.line.remove(id);
        self.slept.retain(|slept| *slept != id);
        let flow = self.flows.remove(&id).expect("flows are removed once");
        for read in flow.indexes.iter().chain(flow.view_inputs.iter().map(|input| &input.from)) {
            self.flows.get_mut(read).expect("what is read is dropped later").readers.retain(|reader| *reader != id);
        }
        let Flow { dataflow, traces, frees, .. } = flow;
        let traces: Vec<Free> = traces.into_iter().map(TraceHandle::into_debris).collect();
        self.timely.drop_dataflow(dataflow);
        self.debris.add(traces.into_iter().chain(frees).chain(state));
    }
}
