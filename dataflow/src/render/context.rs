//! What operators are built in: a scope on one worker, and what is gathered beside the streams while building.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::{Scope, Stream};

use super::errors::Failures;
use super::reduce::ReduceState;
use crate::arrangement::{Layout, Trace};
use crate::input::CollectionInput;
use crate::plan::{ArrangementId, DataflowPlan, NodeId};
use crate::report::StateSize;
use crate::state::TraceHandle;
use crate::{CollectionId, Time, UpdateBatch};

/// Rows on an edge.
pub(crate) type Updates<'s> = Stream<'s, Time, UpdateBatch>;

/// Tells what an operator keeps.
pub(crate) type SizeOf = Box<dyn Fn() -> StateSize>;

/// Rows an operator has touched on this worker, ever.
#[derive(Debug)]
pub(crate) struct Work {
    operator: &'static str,
    received: Cell<u64>,
    sent: Cell<u64>,
}

impl Work {
    pub(crate) fn new(operator: &'static str) -> Rc<Self> {
        Rc::new(Work { operator, received: Cell::new(0), sent: Cell::new(0) })
    }

    /// The kind of operator.
    pub(crate) fn operator(&self) -> &'static str {
        self.operator
    }

    /// Counts rows in.
    pub(crate) fn received(&self, rows: usize) {
        self.received.set(self.received.get() + rows as u64);
    }

    /// Counts rows out.
    pub(crate) fn sent(&self, rows: usize) {
        self.sent.set(self.sent.get() + rows as u64);
    }

    /// Rows in and rows out.
    pub(crate) fn rows(&self) -> (u64, u64) {
        (self.received.get(), self.sent.get())
    }
}

/// The dataflow of a plan under construction.
pub(crate) struct Context<'s, 'p> {
    pub(crate) scope: Scope<'s, Time>,
    pub(crate) plan: &'p DataflowPlan,
    /// Time of the contents of the inputs.
    pub(crate) opening: Time,
    pub(crate) inputs: Vec<CollectionInput>,
    pub(crate) failures: Vec<Failures<'s>>,
    pub(crate) work: Vec<Rc<Work>>,
    /// Nodes that are built.
    pub(crate) built: BTreeMap<NodeId, Updates<'s>>,
    /// Arrangements that are built or imported.
    pub(crate) arranged: BTreeMap<ArrangementId, (Arranged<'s, Trace>, Arc<Layout>)>,
    /// Shared indexes to import.
    pub(crate) imports: BTreeMap<ArrangementId, Trace>,
    /// Texts of what the imported indexes hold; failures of these rows are counted there.
    pub(crate) covered: Vec<String>,
    /// Arrangements of this dataflow alone.
    pub(crate) traces: Vec<TraceHandle>,
    /// The groups of aggregates that are built.
    pub(crate) reduces: BTreeMap<NodeId, Rc<RefCell<ReduceState>>>,
    /// What operators keep outside arrangements.
    pub(crate) sizes: Vec<SizeOf>,
}

impl<'s, 'p> Context<'s, 'p> {
    pub(crate) fn new(scope: Scope<'s, Time>, plan: &'p DataflowPlan, opening: Time) -> Self {
        Context {
            scope,
            plan,
            opening,
            inputs: Vec::new(),
            failures: Vec::new(),
            work: Vec::new(),
            built: BTreeMap::new(),
            arranged: BTreeMap::new(),
            imports: BTreeMap::new(),
            covered: Vec::new(),
            traces: Vec::new(),
            reduces: BTreeMap::new(),
            sizes: Vec::new(),
        }
    }

    /// A counter for an operator of this kind.
    pub(crate) fn work(&mut self, operator: &'static str) -> Rc<Work> {
        let work = Work::new(operator);
        self.work.push(Rc::clone(&work));
        work
    }

    /// Rows that never change, as they enter for `node`.
    pub(crate) fn constant(&mut self, node: NodeId, rows: &RecordBatch) -> Updates<'s> {
        let stream = self.input(node, None);
        // Every worker has the input, one has the rows.
        let rows = (self.scope.worker().index() == 0).then(|| UpdateBatch::insert(rows.clone(), self.opening));
        self.inputs.last_mut().expect("just made").open(rows);
        stream
    }

    /// The changes of a collection, or rows that never change, as they enter for `node`.
    pub(crate) fn input(&mut self, node: NodeId, collection: Option<CollectionId>) -> Updates<'s> {
        let schema = Arc::clone(&self.plan.node(node).schema);
        let (input, stream) = CollectionInput::new(collection, schema, self.opening, self.scope);
        self.inputs.push(input);
        stream
    }
}
