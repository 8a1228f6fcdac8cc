//! A plan as operators on one worker: straight line code, every choice was made in the plan.

pub(crate) mod by_time;
pub(crate) mod context;
pub(crate) mod errors;
mod groups;
pub(crate) mod index;
pub(crate) mod join;
mod linear;
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
use timely::container::NoopBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator as _;

use crate::arrangement::{Layout, Trace, arrange};
use crate::check::checked;
use crate::input::CollectionInput;
use crate::output::{self, Frontier, ViewOutput, track};
use crate::plan::{ArrangementId, DataflowPlan, Join, NodeId, Operator, OutputState, Step};
use crate::state::{ArrangementState, TraceHandle, ViewState, layout_by};
use crate::{Time, UpdateBatch};
use context::{Context, Updates, Work};
use errors::FailureLedger;

/// A dataflow on one worker, as far as any kind of dataflow is the same.
pub(crate) struct Built {
    pub(crate) inputs: Vec<CollectionInput>,
    /// It is complete as far as the least of these.
    pub(crate) frontiers: Vec<Frontier>,
    /// Arrangements of its own.
    pub(crate) traces: Vec<TraceHandle>,
    pub(crate) work: Vec<Rc<Work>>,
}

/// A view on one worker.
pub(crate) struct Rendered {
    pub(crate) built: Built,
    pub(crate) output: Rc<RefCell<ViewOutput>>,
    pub(crate) failures: Rc<RefCell<FailureLedger>>,
    pub(crate) state: Option<Box<dyn ViewState>>,
}

/// Builds the dataflow of `plan`, which must have been checked, over contents as of `opening`. It reads `imports`
/// instead of building those arrangements; the failures of nodes whose text is in `covered` are counted elsewhere.
pub(crate) fn view(
    plan: &DataflowPlan,
    scope: Scope<'_, Time>,
    opening: Time,
    output: ViewOutput,
    imports: BTreeMap<ArrangementId, Trace>,
    covered: Vec<String>,
) -> Rendered {
    let mut context = Context::new(scope, plan, opening);
    (context.imports, context.covered) = (imports, covered);
    let rows = node(&mut context, plan.output.node);
    let mut frontiers = vec![output.frontier()];
    let output = Rc::new(RefCell::new(output));
    output::attach(rows.clone(), Rc::clone(&output), context.work("output"));
    let state = state(plan, rows, &mut frontiers);
    let (failures, frontier) = errors::collect(scope, std::mem::take(&mut context.failures));
    frontiers.push(frontier);
    let Context { inputs, traces, work, .. } = context;
    Rendered { built: Built { inputs, frontiers, traces, work }, output, failures, state }
}

/// What the view keeps for reads.
fn state(plan: &DataflowPlan, rows: Updates<'_>, frontiers: &mut Vec<Frontier>) -> Option<Box<dyn ViewState>> {
    match &plan.output.state {
        OutputState::Nothing => None,
        OutputState::Arrangement { key } => {
            let layout = layout_by(plan.schema(), key).expect("the plan was checked");
            let arranged = arrange(rows, &layout, "Output");
            frontiers.push(track(arranged.stream));
            Some(Box::new(ArrangementState::new(arranged.trace, layout, Arc::clone(plan.schema()), key)))
        }
        OutputState::Reduce(_) => unreachable!("the plan was checked for states that cannot be kept"),
    }
}

/// The rows of a node, built once however many read them.
fn node<'s>(context: &mut Context<'s, '_>, id: NodeId) -> Updates<'s> {
    if let Some(stream) = context.built.get(&id) {
        return stream.clone();
    }
    let plan = context.plan;
    let schema = Arc::clone(&plan.node(id).schema);
    let (name, rows) = match &plan.node(id).operator {
        Operator::Input(collection) => ("input", context.input(id, Some(*collection))),
        Operator::Constant(rows) => ("constant", context.constant(id, rows)),
        Operator::Linear { input, steps } => {
            let covered = index::source_text(plan, id).is_some_and(|text| context.covered.contains(&text));
            let input = node(context, *input);
            ("linear", linear(context, input, id, steps.clone(), covered))
        }
        Operator::Union(inputs) => {
            let inputs = inputs.iter().map(|input| node(context, *input)).collect();
            let work = context.work("union");
            ("union", union::union(context.scope, inputs, Arc::clone(&schema), work))
        }
        _ => unreachable!("the plan was checked for operators that cannot be built"),
    };
    let rows = checked(rows, name, schema);
    context.built.insert(id, rows.clone());
    rows
}

fn linear<'s>(
    context: &mut Context<'s, '_>,
    input: Updates<'s>,
    id: NodeId,
    steps: Vec<Step>,
    covered: bool,
) -> Updates<'s> {
    let work = context.work("linear");
    let (rows, failures) = linear::linear(input, steps, Arc::clone(&context.plan.node(id).schema), work);
    if !covered {
        context.failures.push(failures);
    }
    rows
}

/// Counts the rows that pass, for operators that cannot count for themselves.
fn count<'s>(rows: Updates<'s>, work: Rc<Work>) -> Updates<'s> {
    rows.unary::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "Count", move |_, _| {
        move |input, output| {
            input.for_each(|capability, batch| {
                work.received(batch.len());
                work.sent(batch.len());
                output.session_with_builder(&capability).give_container(batch);
            });
        }
    })
}
