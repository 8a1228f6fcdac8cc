//! Prints plans as text: what EXPLAIN shows and what plan tests compare.
//!
//! A plan is a graph: a node that several others read is printed where it is met first, and by its name from then on.
//! Printed as a tree, the text of a plan could be exponential in the number of its nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use super::index::{needed, shared_indexes};
use super::operator_kind::{Explaining, Nodes, names};
use super::{Arrangement, DataflowPlan, Linear, NodeId, Operator, Output, OutputState};
use crate::CollectionId;

impl DataflowPlan {
    /// Returns the plan as indented text, the output first. `name` must return the names of relations and views.
    ///
    /// The first line of a node that is read more than once ends in `as part N`; where it is read again, `Part N` stands
    /// for the node and all below it.
    pub fn explain(&self, name: &dyn Fn(CollectionId) -> String) -> String {
        let mut text = String::new();
        self.explain_output(&mut text).expect("writing to a string");
        let mut tree = Tree { plan: self, name, shared: self.shared(), parts: BTreeMap::new() };
        tree.write(self.output.node, 1, &mut text).expect("writing to a string");
        text
    }

    /// Describes each arrangement that joins read in one line. `readers` must return the names of the views that read
    /// the shared index with a given text, which is one of their [`DataflowPlan::index_texts`].
    ///
    /// An arrangement of a relation or view, with at most filters and projections, is shared; others belong to the
    /// view.
    pub fn explain_arrangements(
        &self,
        name: &dyn Fn(CollectionId) -> String,
        readers: &dyn Fn(&str) -> Vec<String>,
    ) -> String {
        let shared = shared_indexes(self);
        let (mut text, mut seen) = (String::new(), BTreeSet::new());
        for id in needed(self) {
            let Arrangement { input, key, value } = &self.arrangements[id.0];
            let (key, value) = (self.column_names(*input, key), self.column_names(*input, value));
            let rows = self.explain_rows(*input, name).join(" of ");
            let whose = match shared.get(&id).map(|index| readers(&index.text)) {
                Some(readers) if readers.is_empty() => String::new(),
                Some(readers) => format!(", shared with {}", readers.join(", ")),
                None => ", its own".to_owned(),
            };
            let line = format!("Arrangement of {rows} by [{key}] holding [{value}]{whose}\n");
            if !seen.contains(&line) {
                text.push_str(&line);
                seen.insert(line);
            }
        }
        text
    }

    /// Returns the lines of the filters and projections at the top of a node, and the first line of what they read.
    fn explain_rows(&self, id: NodeId, name: &dyn Fn(CollectionId) -> String) -> Vec<String> {
        let (mut id, mut lines) = (id, Vec::new());
        loop {
            let own = self.explain_operator(id, name);
            let Operator::Linear(Linear { input, .. }) = &self.node(id).operator else {
                lines.extend(own.into_iter().take(1));
                return lines;
            };
            lines.extend(own);
            id = *input;
        }
    }

    /// Returns the texts of the shared indexes that the view reads. Two texts are equal exactly when the indexes are
    /// the same.
    pub fn index_texts(&self) -> Vec<String> {
        shared_indexes(self).into_values().map(|index| index.text).collect()
    }

    fn explain_output(&self, out: &mut String) -> fmt::Result {
        let Output { node, unique_key, state } = &self.output;
        let names = |columns: &[usize]| self.column_names(*node, columns);
        write!(out, "Output")?;
        if let Some(key) = unique_key {
            write!(out, " unique_key=[{}]", names(key))?;
        }
        match state {
            OutputState::Nothing => writeln!(out, " keeps=nothing"),
            OutputState::Arrangement { key } => writeln!(out, " keeps=arrangement by [{}]", names(key)),
            OutputState::Reduce(_) => writeln!(out, " keeps=the aggregate's own state"),
        }
    }

    fn column_names(&self, node: NodeId, columns: &[usize]) -> String {
        names(self.schema_of(node), columns)
    }

    /// Returns the lines of a node's operator, without those of what it reads.
    fn explain_operator(&self, id: NodeId, name: &dyn Fn(CollectionId) -> String) -> Vec<String> {
        let node = self.node(id);
        node.operator.explain(&Explaining { plan: self, schema: &node.schema, name })
    }

    /// Returns the nodes that are read more than once, directly or through arrangements. A node that reads nothing is
    /// not one of them, because its name would be no shorter than its line.
    fn shared(&self) -> BTreeSet<NodeId> {
        let (mut read, mut shared) = (BTreeSet::new(), BTreeSet::new());
        let mut waiting = vec![self.output.node];
        while let Some(id) = waiting.pop() {
            if read.insert(id) {
                waiting.extend(self.node(id).operator.inputs(&self.arrangements));
            } else if !self.node(id).operator.input_ids().is_empty() {
                shared.insert(id);
            }
        }
        shared
    }
}

/// The text of a plan while it is written.
struct Tree<'a> {
    plan: &'a DataflowPlan,
    name: &'a dyn Fn(CollectionId) -> String,
    /// The nodes that are read more than once.
    shared: BTreeSet<NodeId>,
    /// The numbers of the shared nodes that have been written.
    parts: BTreeMap<NodeId, usize>,
}

impl Tree<'_> {
    /// Appends the text of a node, then those of the nodes it reads, which are indented one step more.
    fn write(&mut self, id: NodeId, depth: usize, out: &mut String) -> fmt::Result {
        let indent = 2 * depth;
        if let Some(part) = self.parts.get(&id) {
            return writeln!(out, "{:indent$}Part {part}", "");
        }
        let mut lines = self.plan.explain_operator(id, self.name);
        if self.shared.contains(&id) {
            let part = self.parts.len() + 1;
            self.parts.insert(id, part);
            if let Some(first) = lines.first_mut() {
                write!(first, " as part {part}")?;
            }
        }
        for line in lines {
            writeln!(out, "{:indent$}{line}", "")?;
        }
        let plan = self.plan;
        plan.node(id).operator.inputs(&plan.arrangements).try_for_each(|input| self.write(input, depth + 1, out))
    }
}
