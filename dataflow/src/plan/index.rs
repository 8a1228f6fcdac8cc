//! Shared indexes: arrangements of a relation or view, with at most filters and projections, built once for all views.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Arrangement, ArrangementId, DataflowPlan, InputId, Linear, Node, NodeId, Operator, Output, OutputState, Step,
};

/// A shared index as data, extracted from the plan of a view.
pub(crate) struct IndexPlan {
    /// Identifies the index: equal exactly when two indexes are the same.
    pub(crate) text: String,
    /// Identifies the indexed rows, whatever the key.
    pub(crate) source: String,
    /// The plan whose output rows are indexed.
    pub(crate) plan: DataflowPlan,
    /// Columns by which rows are found.
    pub(crate) key: Vec<usize>,
    /// Columns held in addition to the key.
    pub(crate) value: Vec<usize>,
}

/// Returns the shared indexes that the output of `plan` needs.
pub(crate) fn shared_indexes(plan: &DataflowPlan) -> BTreeMap<ArrangementId, IndexPlan> {
    needed(plan).into_iter().filter_map(|id| Some((id, index_plan(plan, &plan.arrangements[id.0])?))).collect()
}

/// Returns the arrangements that the output of `plan` needs, whether they are shared or its own.
pub(super) fn needed(plan: &DataflowPlan) -> BTreeSet<ArrangementId> {
    let mut needed = Needed::default();
    needed.node(plan, plan.output.node);
    needed.arrangements
}

/// Returns a text that identifies the rows of a node, if they are those of a relation or view with at most filters and
/// projections.
pub(crate) fn source_text(plan: &DataflowPlan, id: NodeId) -> Option<String> {
    match &plan.node(id).operator {
        Operator::Input(collection) => Some(format!("{collection:?}")),
        Operator::Linear(Linear { input, steps }) => {
            let Operator::Input(collection) = &plan.node(*input).operator else { return None };
            let mut text = format!("{collection:?}");
            for step in steps {
                match step {
                    Step::Filter(predicate) => text += &format!(" filter {:?}", predicate.text()),
                    Step::Project { columns, .. } => {
                        let columns: Vec<&str> = columns.iter().map(|c| c.text()).collect();
                        text += &format!(" project {columns:?}");
                    }
                }
            }
            Some(text)
        }
        _ => None,
    }
}

fn index_plan(plan: &DataflowPlan, arrangement: &Arrangement) -> Option<IndexPlan> {
    let source = source_text(plan, arrangement.input)?;
    let Arrangement { input, key, value } = arrangement;
    let text = format!("{source} by {key:?} holding {value:?}");
    let indexed = plan.node(*input);
    let nodes = match &indexed.operator {
        Operator::Linear(Linear { input, steps }) => {
            let operator = Operator::Linear(Linear { input: NodeId(0), steps: steps.clone() });
            vec![plan.node(*input).clone(), Node { operator, schema: Arc::clone(&indexed.schema) }]
        }
        _ => vec![indexed.clone()],
    };
    let output = Output { node: NodeId(nodes.len() - 1), unique_key: None, state: OutputState::Nothing };
    let plan = DataflowPlan { nodes, arrangements: Vec::new(), output };
    Some(IndexPlan { text, source, plan, key: key.clone(), value: value.clone() })
}

/// The nodes and arrangements of a plan that its output needs.
#[derive(Default)]
struct Needed {
    nodes: BTreeSet<NodeId>,
    arrangements: BTreeSet<ArrangementId>,
}

impl Needed {
    fn node(&mut self, plan: &DataflowPlan, id: NodeId) {
        if !self.nodes.insert(id) {
            return;
        }
        for input in plan.node(id).operator.input_ids() {
            match input {
                InputId::Node(input) => self.node(plan, input),
                InputId::Arrangement(arrangement) => self.arrangement(plan, arrangement),
            }
        }
    }

    fn arrangement(&mut self, plan: &DataflowPlan, id: ArrangementId) {
        if self.arrangements.insert(id) {
            self.node(plan, plan.arrangements[id.0].input);
        }
    }
}
