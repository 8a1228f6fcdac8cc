//! Prints plans as text: what EXPLAIN shows and what plan tests compare.

use std::fmt;

use super::index::{needed, shared_indexes};
use super::operator_kind::{Explaining, Nodes, names};
use super::{Arrangement, DataflowPlan, Linear, Node, NodeId, Operator, Output, OutputState};
use crate::CollectionId;

impl DataflowPlan {
    /// Returns the plan as indented text, the output first. `name` must return the names of relations and views.
    pub fn explain(&self, name: &dyn Fn(CollectionId) -> String) -> String {
        let mut text = String::new();
        self.explain_output(&mut text).expect("writing to a string");
        self.explain_node(self.output.node, 1, name, &mut text).expect("writing to a string");
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
        let mut lines: Vec<String> = Vec::new();
        for id in needed(self) {
            let Arrangement { input, key, value } = &self.arrangements[id.0];
            let (key, value) = (self.column_names(*input, key), self.column_names(*input, value));
            let mut rows = String::new();
            self.explain_node(*input, 0, name, &mut rows).expect("writing to a string");
            let mut rows: Vec<&str> = rows.lines().map(str::trim).collect();
            let whose = match shared.get(&id).map(|index| readers(&index.text)) {
                Some(readers) if readers.is_empty() => String::new(),
                Some(readers) => format!(", shared with {}", readers.join(", ")),
                None => {
                    // Only the first operator below the filters and projections is shown.
                    rows.truncate(self.linear_lines(*input) + 1);
                    ", its own".to_owned()
                }
            };
            let line = format!("Arrangement of {} by [{key}] holding [{value}]{whose}\n", rows.join(" of "));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.concat()
    }

    /// Counts the lines of the filters and projections at the top of a node.
    fn linear_lines(&self, id: NodeId) -> usize {
        match &self.node(id).operator {
            Operator::Linear(Linear { input, steps }) => steps.len() + self.linear_lines(*input),
            _ => 0,
        }
    }

    /// Returns the texts of the shared indexes that the view reads. Two texts are equal exactly when the indexes are
    /// the same.
    pub fn index_texts(&self) -> Vec<String> {
        shared_indexes(self).into_values().map(|index| index.text).collect()
    }

    fn explain_output(&self, out: &mut String) -> fmt::Result {
        use fmt::Write;
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

    /// Appends the text of a node, then those of the nodes it reads, which are indented one step more.
    fn explain_node(
        &self,
        id: NodeId,
        depth: usize,
        name: &dyn Fn(CollectionId) -> String,
        out: &mut String,
    ) -> fmt::Result {
        use fmt::Write;
        let Node { operator, schema } = self.node(id);
        for line in operator.explain(&Explaining { plan: self, schema, name }) {
            writeln!(out, "{:indent$}{line}", "", indent = 2 * depth)?;
        }
        operator.inputs(&self.arrangements).try_for_each(|input| self.explain_node(input, depth + 1, name, out))
    }
}
