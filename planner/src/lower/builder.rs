//! Builds a `DataflowPlan` in which equal subtrees, of one query or of views inlined into it, appear only once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::CollectionId;
use laminardb_dataflow::plan::{
    Arrangement, ArrangementId, DataflowPlan, Linear, MapInputs, Node, NodeId, Operator, Output, OutputState, Step,
};

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
        self.add(Operator::Linear(Linear { input, steps: vec![step] }), schema)
    }

    /// Renames the columns of `id`, which must be the output of the plan and must not be an input.
    pub(super) fn rename(&mut self, id: NodeId, names: &Schema) {
        let fields = self.schema(id).fields().iter().zip(names.fields());
        let fields: Vec<Field> = fields.map(|(field, name)| field.as_ref().clone().with_name(name.name())).collect();
        let schema = Arc::new(Schema::new(fields));
        let node = &mut self.nodes[id.0];
        node.operator.rename(&schema);
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
            let Operator::Linear(Linear { input, steps }) = &self.nodes[position].operator else { continue };
            let Operator::Linear(first) = &self.nodes[input.0].operator else { continue };
            if readers[input.0] == 1 {
                let steps = first.steps.iter().chain(steps).cloned().collect();
                self.nodes[position].operator = Operator::Linear(Linear { input: first.input, steps });
            }
        }
    }

    fn inputs(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        self.nodes[id.0].operator.inputs(&self.arrangements)
    }

    /// Returns the nodes that `output` depends on, itself included, in ascending order.
    fn reachable(&self, output: NodeId) -> Vec<NodeId> {
        let mut needed = vec![false; self.nodes.len()];
        needed[output.0] = true;
        // Inputs always have smaller ids than their readers, so one pass from the end visits every dependency.
        for position in (0..=output.0).rev() {
            if needed[position] {
                self.inputs(NodeId(position)).for_each(|input| needed[input.0] = true);
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
        for (position, mut node) in self.nodes.into_iter().enumerate() {
            if renumbering.places[position].0 != usize::MAX {
                node.operator.map_inputs(&mut renumbering);
                nodes.push(node);
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

impl MapInputs for Renumbering {
    fn node(&mut self, id: NodeId) -> NodeId {
        self.places[id.0]
    }

    fn arrangement(&mut self, id: ArrangementId) -> ArrangementId {
        if let Some(moved) = self.moved[id.0] {
            return moved;
        }
        let old = &self.old[id.0];
        let moved = ArrangementId(self.arrangements.len());
        self.arrangements.push(Arrangement { input: self.places[old.input.0], ..old.clone() });
        self.moved[id.0] = Some(moved);
        moved
    }
}

/// Returns a text that two nodes share exactly when they produce the same rows of the same types. An operator without
/// an identity is the only one with its text, which contains `next`.
fn fingerprint(operator: &Operator, schema: &Schema, next: usize) -> String {
    let mut text = operator.identity().unwrap_or_else(|| format!("{} {next}", operator.name()));
    for field in schema.fields() {
        write!(text, " {}", field.data_type()).expect("writing to a string");
    }
    text
}
