//! What operators are built in: a scope on one worker, and what is gathered beside the streams while building.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::RecordBatch;
use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::{Scope, Stream};

use super::errors::{FailureUpdate, Failures};
use super::reduce::ReduceState;
use crate::arrangement::{Layout, Trace};
use crate::input::CollectionInput;
use crate::plan::{ArrangementId, DataflowPlan, NodeId};
use crate::report::StateSize;
use crate::state::TraceHandle;
use crate::work::Work;
use crate::{CollectionId, Time, UpdateBatch};

/// Rows on an edge.
pub(crate) type Updates<'s> = Stream<'s, Time, UpdateBatch>;

/// Tells what an operator keeps.
pub(crate) type SizeOf = Box<dyn Fn() -> StateSize>;

/// What an operator tells beside its rows.
#[derive(Clone)]
pub(crate) struct Aside {
    /// Where its failures are counted; `None` if they are counted elsewhere.
    pub(crate) failures: Option<Failures>,
    /// The rows it touches.
    pub(crate) work: Rc<Work>,
}

impl Aside {
    /// Of an operator of this kind.
    pub(crate) fn new(operator: &'static str, failures: &Failures) -> Self {
        Aside { failures: Some(Rc::clone(failures)), work: Work::new(operator) }
    }

    /// Takes note of failures, before the operator lets go of their times.
    pub(crate) fn failed(&self, updates: &mut Vec<FailureUpdate>) {
        if let Some(failures) = self.failures.as_ref().filter(|_| !updates.is_empty()) {
            failures.borrow_mut().record(updates);
        }
    }
}

/// The dataflow of a plan under construction.
pub(crate) struct Context<'s, 'p> {
    pub(crate) scope: Scope<'s, Time>,
    pub(crate) plan: &'p DataflowPlan,
    /// Time of the contents of the inputs.
    pub(crate) opening: Time,
    pub(crate) inputs: Vec<CollectionInput>,
    /// What fails in it.
    pub(crate) failures: Failures,
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
            failures: Failures::default(),
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

    /// A counter for an operator of this kind, and where its failures go.
    pub(crate) fn aside(&mut self, operator: &'static str) -> Aside {
        let aside = Aside::new(operator, &self.failures);
        self.work.push(Rc::clone(&aside.work));
        aside
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
