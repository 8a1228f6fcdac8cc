//! Builds the operators of a plan on one worker. The code is straight-line: every choice was made in the plan.

pub(crate) mod allowance;
mod aside;
pub(crate) mod by_time;
pub(crate) mod context;
mod edge;
mod groups;
pub(crate) mod index;
pub(crate) mod join;
pub(crate) mod linear;
pub(crate) mod reduce;
pub(crate) mod semi_join;
pub(crate) mod set;
pub(crate) mod top_k;
mod union;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Scope;

use crate::Time;
use crate::arrangement::{Layout, Trace, arrange};
use crate::failure::Failures;
use crate::frontier::{Frontier, track};
use crate::fuel::Fuel;
use crate::input::CollectionInput;
use crate::output::{self, ChangeCount, ViewOutput};
use crate::plan::{
    ArrangementId, DataflowPlan, Join, Node, NodeId, Operator, OutputState, Reduce, SemiJoin, SetOperation, Step, TopK,
    source_text,
};
use crate::state::{ArrangementState, Free, TraceHandle, ViewState, layout_by};
use crate::update::UpdateStream;
use crate::work::Work;
use context::{Context, SizeOf};
use edge::checked;
use reduce::GroupsState;
use semi_join::SemiJoinLayout;

/// The parts that all kinds of dataflows have, on one worker.
pub(crate) struct Built {
    pub(crate) inputs: Vec<CollectionInput>,
    /// The dataflow is complete up to the least of these.
    pub(crate) frontiers: Vec<Frontier>,
    /// Arrangements that belong to this dataflow alone.
    pub(crate) traces: Vec<TraceHandle>,
    /// The sizes of what other operators keep.
    pub(crate) sizes: Vec<SizeOf>,
    /// Functions that free what these operators keep, to be called until they return false once the dataflow is gone.
    pub(crate) frees: Vec<Free>,
    pub(crate) work: Vec<Rc<Work>>,
    pub(crate) fuel: Rc<Fuel>,
}

/// The dataflow of a view on one worker.
pub(crate) struct Rendered {
    pub(crate) built: Built,
    pub(crate) output: Rc<RefCell<ViewOutput>>,
    pub(crate) failures: Failures,
    pub(crate) state: Option<Box<dyn ViewState>>,
}

/// Builds the dataflow of `plan`, which must have been checked, over contents as of `opening`. Arrangements in
/// `imports` are imported, not built. Failures of nodes whose text is in `covered` are recorded elsewhere.
pub(crate) fn view(
    plan: &DataflowPlan,
    scope: Scope<'_, Time>,
    opening: Time,
    output: ViewOutput,
    imports: BTreeMap<ArrangementId, Trace>,
    covered: Vec<String>,
    fuel: Rc<Fuel>,
) -> Rendered {
    let mut context = Context::new(scope, plan, opening, fuel);
    (context.imports, context.covered) = (imports, covered);
    let rows = node(&mut context, plan.output.node);
    let mut frontiers = vec![output.frontier()];
    let changes = output.changes();
    let output = Rc::new(RefCell::new(output));
    output::attach(rows.clone(), Rc::clone(&output), context.work("output"));
    let state = state(&mut context, rows, changes, &mut frontiers);
    let Context { inputs, traces, sizes, frees, work, failures, fuel, .. } = context;
    Rendered { built: Built { inputs, frontiers, traces, sizes, frees, work, fuel }, output, failures, state }
}

/// Builds the state that the view keeps for reads; `changes` counts what an arrangement receives.
fn state<'s>(
    context: &mut Context<'s, '_>,
    rows: UpdateStream<'s>,
    changes: Rc<ChangeCount>,
    frontiers: &mut Vec<Frontier>,
) -> Option<Box<dyn ViewState>> {
    let plan = context.plan;
    match &plan.output.state {
        OutputState::Nothing => None,
        OutputState::Arrangement { key } => {
            let layout = layout_by(plan.schema(), key).expect("the plan was checked");
            let work = context.work("kept rows");
            let arranged = arrange(rows, &layout, "Output", work);
            frontiers.push(track(arranged.stream, move |spans| {
                spans.iter().filter_map(|span| span.inner.as_ref()).for_each(|batch| changes.arranged(batch));
            }));
            Some(Box::new(ArrangementState::new(arranged.trace, layout, Arc::clone(plan.schema()), key)))
        }
        OutputState::Reduce(id) => {
            let groups = context.reduces.remove(id).expect("the output node follows from the aggregate");
            let steps = plan.steps_between(*id, plan.output.node).expect("the plan was checked");
            Some(Box::new(GroupsState::new(groups, steps, Arc::clone(plan.schema()))))
        }
    }
}

/// Returns the rows of a node, which is built once however many nodes read it.
fn node<'s>(context: &mut Context<'s, '_>, id: NodeId) -> UpdateStream<'s> {
    if let Some(stream) = context.built.get(&id) {
        return stream.clone();
    }
    let plan = context.plan;
    let Node { operator, schema } = plan.node(id);
    let rows = match operator {
        Operator::Input(collection) => context.input(id, Some(*collection)),
        Operator::Constant(rows) => context.constant(id, rows),
        Operator::Linear(linear) => {
            let covered = source_text(plan, id).is_some_and(|text| context.covered.contains(&text));
            let input = node(context, linear.input);
            linear_node(context, input, id, linear.steps.clone(), covered)
        }
        Operator::Union(union) => {
            let inputs = union.inputs.iter().map(|input| node(context, *input)).collect();
            let work = context.work_of(id);
            union::union(context.scope, inputs, Arc::clone(schema), work)
        }
        Operator::Join(join) => join_node(context, id, join),
        Operator::SemiJoin(semi) => semi_join_node(context, id, semi),
        Operator::Reduce(reduce) => reduce_node(context, id, reduce),
        Operator::Set(set) => set_node(context, id, set),
        Operator::TopK(top_k) => top_k_node(context, id, top_k),
    };
    let rows = checked(rows, operator.name(), Arc::clone(schema));
    context.built.insert(id, rows.clone());
    rows
}

fn linear_node<'s>(
    context: &mut Context<'s, '_>,
    input: UpdateStream<'s>,
    id: NodeId,
    steps: Vec<Step>,
    covered: bool,
) -> UpdateStream<'s> {
    let mut aside = context.aside("linear");
    // The index that holds these rows records their failures.
    if covered {
        aside.failures = None;
    }
    linear::linear(input, steps, Arc::clone(&context.plan.node(id).schema), aside)
}

fn join_node<'s>(context: &mut Context<'s, '_>, id: NodeId, join: &Join) -> UpdateStream<'s> {
    let (left, left_layout) = arrangement(context, join.left);
    let (right, right_layout) = arrangement(context, join.right);
    let schema = &context.plan.node(id).schema;
    let layout =
        join::JoinLayout::new(&left_layout, &right_layout, &join.output, schema).expect("the plan was checked");
    let work = context.work_of(id);
    let rows = join::join(left, right, layout, work);
    match &join.residual {
        Some(residual) => linear_node(context, rows, id, vec![Step::Filter(Arc::clone(residual))], false),
        None => rows,
    }
}

fn semi_join_node<'s>(context: &mut Context<'s, '_>, id: NodeId, semi: &SemiJoin) -> UpdateStream<'s> {
    let plan = context.plan;
    let (left, layout) = arrangement(context, semi.left);
    let right = node(context, semi.right);
    let schema = &plan.node(id).schema;
    let right_schema = &plan.node(semi.right).schema;
    let layout = SemiJoinLayout::new(&layout, right_schema, &semi.right_key, semi.kind, schema);
    let layout = layout.expect("the plan was checked");
    let work = context.work_of(id);
    let (rows, size) = semi_join::semi_join(left, right, layout, work);
    context.sizes.push(Box::new(move || size.get()));
    rows
}

fn reduce_node<'s>(context: &mut Context<'s, '_>, id: NodeId, reduce: &Reduce) -> UpdateStream<'s> {
    let plan = context.plan;
    let input = node(context, reduce.input);
    let aside = context.aside_of(id);
    let input_schema = &plan.node(reduce.input).schema;
    // Imported history may be older than the opening, so the group of all rows exists from time 0 on.
    let (rows, groups) = reduce::reduce(input, reduce, input_schema, &plan.node(id).schema, Time::ZERO, aside)
        .expect("the plan was checked");
    context.reduces.insert(id, Rc::clone(&groups));
    if plan.output.state != OutputState::Reduce(id) {
        context.keeps(groups);
    } else {
        context.frees(groups);
    }
    rows
}

fn set_node<'s>(context: &mut Context<'s, '_>, id: NodeId, operation: &SetOperation) -> UpdateStream<'s> {
    let left = node(context, operation.left);
    let right = node(context, operation.right);
    let aside = context.aside_of(id);
    let schema = &context.plan.node(id).schema;
    let (rows, state) = set::set(left, right, operation.operator, schema, aside).expect("the plan was checked");
    context.keeps(state);
    rows
}

fn top_k_node<'s>(context: &mut Context<'s, '_>, id: NodeId, top_k: &TopK) -> UpdateStream<'s> {
    let input = node(context, top_k.input);
    let aside = context.aside_of(id);
    let schema = &context.plan.node(id).schema;
    let (rows, state) = top_k::top_k(input, top_k, schema, aside).expect("the plan was checked");
    context.keeps(state);
    rows
}

/// Returns an arrangement of the plan, which is built or imported once however many nodes read it.
fn arrangement<'s>(context: &mut Context<'s, '_>, id: ArrangementId) -> (Arranged<'s, Trace>, Arc<Layout>) {
    if let Some((arranged, layout)) = context.arranged.get(&id) {
        return (arranged.clone(), Arc::clone(layout));
    }
    let plan = context.plan;
    let arrangement = &plan.arrangements[id.0];
    let schema = &plan.node(arrangement.input).schema;
    let layout = Layout::new(schema, &arrangement.key, &arrangement.value).expect("the plan was checked");
    let arranged = match context.imports.remove(&id) {
        // The button that is left out could end the import alone; here the whole dataflow is dropped instead.
        Some(mut trace) => trace.import_core(context.scope, "Import").0,
        None => {
            let rows = node(context, arrangement.input);
            let work = context.work("arrange");
            let arranged = arrange(rows, &layout, "Arrange", work);
            context.traces.push(TraceHandle::new(arranged.trace.clone()));
            arranged
        }
    };
    context.arranged.insert(id, (arranged.clone(), Arc::clone(&layout)));
    (arranged, layout)
}
