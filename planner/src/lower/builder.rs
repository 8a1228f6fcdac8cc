//! Builds a `DataflowPlan` in which equal subtrees, of one query or of views inlined into it, appear only once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::plan::{
    Arrangement, ArrangementId, DataflowPlan, Node, NodeId, Operator, Output, OutputState, Step,
};
use laminardb_dataflow::{CollectionId, Scalar};

use crate::property::{Known, Properties};

/// The plan built so far.
#[derive(Default)]
pub(super) struct PlanBuilder {
    nodes: Vec<Node>,
    properties: Vec<Properties>,
    arrangements: Vec<Arrangement>,
    /// Maps the structural text of each node to its id; the text contains the types of columns but not their names.
    known: BTreeMap<String, NodeId>,
}

impl PlanBuilder {
    pub(super) fn schema(&self, id: NodeId) -> &SchemaRef {
        &self.nodes[id.0].schema
    }

    pub(super) fn operator(&self, id: NodeId) -> &Operator {
        &self.nodes[id.0].operator
    }

    pub(super) fn properties(&self, id: NodeId) -> &Properties {
        &self.properties[id.0]
    }

    /// Gives access to a node's properties, to state facts that do not follow from its operator alone.
    pub(super) fn properties_mut(&mut self, id: NodeId) -> &mut Properties {
        &mut self.properties[id.0]
    }

    pub(super) fn column_type(&self, id: NodeId, column: usize) -> &DataType {
        self.schema(id).field(column).data_type()
    }

    pub(super) fn width(&self, id: NodeId) -> usize {
        self.schema(id).fields().len()
    }

    /// Adds an input that reads `collection`, whose properties are given; returns the existing node if there is one.
    pub(super) fn input(&mut self, collection: CollectionId, schema: SchemaRef, properties: Properties) -> NodeId {
        let count = self.nodes.len();
        let id = self.add(Operator::Input(collection), schema);
        // A node that existed already keeps its properties.
        if id.0 == count {
            self.properties[id.0] = properties;
        }
        id
    }

    /// Adds a node with `operator`, or returns the existing equal node.
    pub(super) fn add(&mut self, operator: Operator, schema: SchemaRef) -> NodeId {
        if let Some(id) = self.equal_constant(&operator, &schema) {
            return id;
        }
        let text = fingerprint(&operator, &schema, self.nodes.len());
        if let Some(id) = self.known.get(&text) {
            return *id;
        }
        let known = Known { nodes: &self.properties, arrangements: &self.arrangements };
        self.properties.push(known.derive(&operator, schema.fields().len()));
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { operator, schema });
        self.known.insert(text, id);
        id
    }

    /// Finds an equal constant. Rows are compared as arrays because the text of a large batch is abbreviated.
    fn equal_constant(&self, operator: &Operator, schema: &SchemaRef) -> Option<NodeId> {
        let Operator::Constant(rows) = operator else { return None };
        let same = |node: &Node| matches!(&node.operator, Operator::Constant(other) if other.columns() == rows.columns() && other.num_rows() == rows.num_rows());
        let types = |schema: &Schema| schema.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        let found = self.nodes.iter().position(|node| same(node) && types(&node.schema) == types(schema));
        found.map(NodeId)
    }

    /// Adds an arrangement of `input` by `key` that also holds `value`, or returns the existing equal one.
    pub(super) fn arrange(&mut self, input: NodeId, key: Vec<usize>, value: Vec<usize>) -> ArrangementId {
        let arrangement = Arrangement { input, key, value };
        let found = self.arrangements.iter().position(|other| *other == arrangement);
        ArrangementId(found.unwrap_or_else(|| {
            self.arrangements.push(arrangement);
            self.arrangements.len() - 1
        }))
    }

    /// Adds a linear node that applies one step to `input`.
    pub(super) fn step(&mut self, input: NodeId, step: Step) -> NodeId {
        let schema = match &step {
            Step::Filter(_) => Arc::clone(self.schema(input)),
            Step::Project { schema, .. } => Arc::clone(schema),
        };
        self.add(Operator::Linear { input, steps: vec![step] }, schema)
    }

    /// Renames the columns of `id`, which must be the output of the plan and must not be an input.
    pub(super) fn rename(&mut self, id: NodeId, names: &Schema) {
        let fields = self.schema(id).fields().iter().zip(names.fields());
        let fields: Vec<Field> = fields.map(|(field, name)| field.as_ref().clone().with_name(name.name())).collect();
        let schema = Arc::new(Schema::new(fields));
        let node = &mut self.nodes[id.0];
        match &mut node.operator {
            Operator::Constant(rows) => {
                let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                let columns = rows.columns().to_vec();
                *rows = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                    .expect("only names differ");
            }
            Operator::Linear { steps, .. } => {
                if let Some(Step::Project { schema: last, .. }) =
                    steps.iter_mut().rfind(|step| matches!(step, Step::Project { .. }))
                {
                    *last = Arc::clone(&schema);
                }
            }
            _ => {}
        }
        node.schema = schema;
    }

    /// Returns the plan that ends in `node`: chains of linear nodes become one, and unread nodes are dropped.
    pub(super) fn finish(mut self, node: NodeId, unique_key: Option<Vec<usize>>, state: OutputState) -> DataflowPlan {
        self.fuse(node, &state);
        self.prune(Output { node, unique_key, state })
    }

    /// Fuses linear nodes: a node takes over the steps of its linear input if it is the only reader of that input.
    fn fuse(&mut self, output: NodeId, state: &OutputState) {
        let mut readers = vec![0usize; self.nodes.len()];
        for id in self.reachable(output) {
            for input in self.inputs(id) {
                readers[input.0] += 1;
            }
        }
        // The consumers of the output and of the kept reduce are readers too, so these nodes are not fused away.
        readers[output.0] += 1;
        if let OutputState::Reduce(id) = state {
            readers[id.0] += 1;
        }
        for position in 0..self.nodes.len() {
            let Operator::Linear { input, steps } = &self.nodes[position].operator else { continue };
            let Operator::Linear { input: source, steps: first } = &self.nodes[input.0].operator else { continue };
            if readers[input.0] == 1 {
                let steps = first.iter().chain(steps).cloned().collect();
                self.nodes[position].operator = Operator::Linear { input: *source, steps };
            }
        }
    }

    fn inputs(&self, id: NodeId) -> Vec<NodeId> {
        match &self.nodes[id.0].operator {
            Operator::Input(_) | Operator::Constant(_) => Vec::new(),
            Operator::Linear { input, .. } => vec![*input],
            Operator::Union(inputs) => inputs.clone(),
            Operator::Join(join) => {
                vec![self.arrangements[join.left.0].input, self.arrangements[join.right.0].input]
            }
            Operator::SemiJoin(semi) => vec![self.arrangements[semi.left.0].input, semi.right],
            Operator::Reduce(reduce) => vec![reduce.input],
            Operator::Set(set) => vec![set.left, set.right],
            Operator::TopK(top_k) => vec![top_k.input],
        }
    }

    /// Returns the nodes that `output` depends on, itself included, in ascending order.
    fn reachable(&self, output: NodeId) -> Vec<NodeId> {
        let mut needed = vec![false; self.nodes.len()];
        needed[output.0] = true;
        // Inputs always have smaller ids than their readers, so one pass from the end visits every dependency.
        for position in (0..=output.0).rev() {
            if needed[position] {
                self.inputs(NodeId(position)).iter().for_each(|input| needed[input.0] = true);
            }
        }
        (0..self.nodes.len()).filter(|position| needed[*position]).map(NodeId).collect()
    }

    fn prune(self, output: Output) -> DataflowPlan {
        let kept = self.reachable(output.node);
        let mut places = vec![NodeId(usize::MAX); self.nodes.len()];
        kept.iter().enumerate().for_each(|(place, id)| places[id.0] = NodeId(place));
        let mut renumbering =
            Renumbering { places, arrangements: Vec::new(), old: self.arrangements, moved: Vec::new() };
        renumbering.moved.resize(renumbering.old.len(), None);
        let mut nodes = Vec::with_capacity(kept.len());
        for (position, node) in self.nodes.into_iter().enumerate() {
            if renumbering.places[position].0 != usize::MAX {
                nodes.push(Node { operator: renumbering.operator(node.operator), schema: node.schema });
            }
        }
        let state = match output.state {
            OutputState::Reduce(id) => OutputState::Reduce(renumbering.node(id)),
            other => other,
        };
        let output = Output { node: renumbering.node(output.node), unique_key: output.unique_key, state };
        DataflowPlan { nodes, arrangements: renumbering.arrangements, output }
    }
}

/// Translates node and arrangement ids to those after pruning.
struct Renumbering {
    places: Vec<NodeId>,
    arrangements: Vec<Arrangement>,
    old: Vec<Arrangement>,
    moved: Vec<Option<ArrangementId>>,
}

impl Renumbering {
    fn node(&self, id: NodeId) -> NodeId {
        self.places[id.0]
    }

    fn arrangement(&mut self, id: ArrangementId) -> ArrangementId {
        if let Some(moved) = self.moved[id.0] {
            return moved;
        }
        let old = &self.old[id.0];
        let moved = ArrangementId(self.arrangements.len());
        self.arrangements.push(Arrangement { input: self.node(old.input), ..old.clone() });
        self.moved[id.0] = Some(moved);
        moved
    }

    fn operator(&mut self, operator: Operator) -> Operator {
        match operator {
            Operator::Input(_) | Operator::Constant(_) => operator,
            Operator::Linear { input, steps } => Operator::Linear { input: self.node(input), steps },
            Operator::Union(inputs) => Operator::Union(inputs.into_iter().map(|input| self.node(input)).collect()),
            Operator::Join(mut join) => {
                join.left = self.arrangement(join.left);
                join.right = self.arrangement(join.right);
                Operator::Join(join)
            }
            Operator::SemiJoin(mut semi) => {
                semi.left = self.arrangement(semi.left);
                semi.right = self.node(semi.right);
                Operator::SemiJoin(semi)
            }
            Operator::Reduce(mut reduce) => {
                reduce.input = self.node(reduce.input);
                Operator::Reduce(reduce)
            }
            Operator::Set(mut set) => {
                set.left = self.node(set.left);
                set.right = self.node(set.right);
                Operator::Set(set)
            }
            Operator::TopK(mut top_k) => {
                top_k.input = self.node(top_k.input);
                Operator::TopK(top_k)
            }
        }
    }
}

/// Returns a text that two nodes share exactly when they produce the same rows of the same types. The text of a
/// constant contains `next`, so no two are equal.
fn fingerprint(operator: &Operator, schema: &Schema, next: usize) -> String {
    let mut text = String::new();
    match operator {
        Operator::Constant(_) => write!(text, "constant {next}"),
        Operator::Linear { input, steps } => {
            write!(text, "linear {input:?}").and_then(|()| steps.iter().try_for_each(|step| step_text(&mut text, step)))
        }
        Operator::Join(join) => {
            let residual = join.residual.as_deref().map(Scalar::text);
            write!(text, "join {:?} {:?} {:?} {residual:?}", join.left, join.right, join.output)
        }
        other => write!(text, "{other:?}"),
    }
    .expect("writing to a string");
    for field in schema.fields() {
        write!(text, " {}", field.data_type()).expect("writing to a string");
    }
    text
}

fn step_text(text: &mut String, step: &Step) -> std::fmt::Result {
    match step {
        Step::Filter(predicate) => write!(text, " filter {:?}", predicate.text()),
        Step::Project { columns, .. } => {
            write!(text, " project")?;
            columns.iter().try_for_each(|column| write!(text, " {:?}: {}", column.text(), column.data_type()))
        }
    }
}
