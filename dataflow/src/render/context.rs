//! The context in which operators are built: a scope on one worker, and what is collected besides the streams.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Scope;

use super::allowance::Allowance;
use super::aside::Aside;
use super::by_time::TimedState;
use super::reduce::ReduceState;
use crate::arrangement::{Layout, Trace};
use crate::failure::Failures;
use crate::fuel::Fuel;
use crate::input::CollectionInput;
use crate::plan::{ArrangementId, DataflowPlan, NodeId};
use crate::report::StateSize;
use crate::state::{Free, TraceHandle};
use crate::update::UpdateStream;
use crate::work::Work;
use crate::{CollectionId, Time, UpdateBatch};

/// Returns the size of the state that an operator keeps.
pub(crate) type SizeOf = Box<dyn Fn() -> StateSize>;

/// The dataflow of a plan while it is being built.
pub(crate) struct Context<'s, 'p> {
    pub(crate) scope: Scope<'s, Time>,
    pub(crate) plan: &'p DataflowPlan,
    /// The time of the inputs' contents.
    pub(crate) opening: Time,
    pub(crate) inputs: Vec<CollectionInput>,
    /// The ledger of the dataflow's failures.
    pub(crate) failures: Failures,
    pub(crate) work: Vec<Rc<Work>>,
    /// The fuel that the operators share.
    pub(crate) fuel: Rc<Fuel>,
    /// The streams of the nodes built so far.
    pub(crate) built: BTreeMap<NodeId, UpdateStream<'s>>,
    /// The arrangements built or imported so far.
    pub(crate) arranged: BTreeMap<ArrangementId, (Arranged<'s, Trace>, Arc<Layout>)>,
    /// The traces of shared indexes to import.
    pub(crate) imports: BTreeMap<ArrangementId, Trace>,
    /// Texts of the rows that the imported indexes hold; the indexes record the failures of these rows.
    pub(crate) covered: Vec<String>,
    /// Arrangements that belong to this dataflow alone.
    pub(crate) traces: Vec<TraceHandle>,
    /// The groups of the aggregates built so far.
    pub(crate) reduces: BTreeMap<NodeId, Rc<RefCell<ReduceState>>>,
    /// The sizes of what operators keep outside arrangements.
    pub(crate) sizes: Vec<SizeOf>,
    /// Functions that free what operators keep outside arrangements.
    pub(crate) frees: Vec<Free>,
}

impl<'s, 'p> Context<'s, 'p> {
    pub(crate) fn new(scope: Scope<'s, Time>, plan: &'p DataflowPlan, opening: Time, fuel: Rc<Fuel>) -> Self {
        Context {
            scope,
            plan,
            opening,
            inputs: Vec::new(),
            failures: Failures::default(),
            work: Vec::new(),
            fuel,
            built: BTreeMap::new(),
            arranged: BTreeMap::new(),
            imports: BTreeMap::new(),
            covered: Vec::new(),
            traces: Vec::new(),
            reduces: BTreeMap::new(),
            sizes: Vec::new(),
            frees: Vec::new(),
        }
    }

    /// Creates a counter for an operator of this kind.
    pub(crate) fn work(&mut self, operator: &'static str) -> Rc<Work> {
        let work = Work::of(operator, &self.fuel);
        self.work.push(Rc::clone(&work));
        work
    }

    /// Creates a counter for an operator of this kind, together with the ledger of its failures.
    pub(crate) fn aside(&mut self, operator: &'static str) -> Aside {
        Aside::new(self.work(operator), &self.failures)
    }

    /// Creates a counter for the operator of a node, named for its kind.
    pub(crate) fn work_of(&mut self, id: NodeId) -> Rc<Work> {
        self.work(self.plan.node(id).operator.name())
    }

    /// Creates a counter for the operator of a node, named for its kind, together with the ledger of its failures.
    pub(crate) fn aside_of(&mut self, id: NodeId) -> Aside {
        self.aside(self.plan.node(id).operator.name())
    }

    /// Has the size of what an operator keeps reported, and has it freed in pieces when its dataflow is gone.
    pub(crate) fn keeps(&mut self, state: Rc<RefCell<impl TimedState>>) {
        self.frees(Rc::clone(&state));
        self.sizes.push(Box::new(move || state.borrow().size()));
    }

    /// Has what an operator keeps freed in pieces when its dataflow is gone.
    pub(crate) fn frees(&mut self, state: Rc<RefCell<impl TimedState>>) {
        self.frees.push(Box::new(move |rows| state.borrow_mut().free(&mut Allowance::new(rows))));
    }

    /// Creates an input of rows that never change for `node` and returns its stream.
    pub(crate) fn constant(&mut self, node: NodeId, rows: &RecordBatch) -> UpdateStream<'s> {
        let stream = self.input(node, None);
        // Every worker has the input, but only one has the rows.
        let rows = (self.scope.worker().index() == 0).then(|| UpdateBatch::insert(rows.clone(), self.opening));
        self.inputs.last_mut().expect("just made").open(rows);
        stream
    }

    /// Creates an input for `node` and returns its stream. It reads a collection, or with `None` rows that never
    /// change.
    pub(crate) fn input(&mut self, node: NodeId, collection: Option<CollectionId>) -> UpdateStream<'s> {
        let schema = Arc::clone(&self.plan.node(node).schema);
        let (input, stream) = CollectionInput::new(collection, schema, self.opening, self.scope);
        self.inputs.push(input);
        stream
    }
}
