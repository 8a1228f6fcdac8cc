//! Prints plans as text: what EXPLAIN shows and what plan tests compare.

use std::fmt;

use arrow::datatypes::Schema;

use super::index::{needed, shared_indexes};
use crate::CollectionId;
use crate::plan::{Aggregate, Arrangement, DataflowPlan, NodeId, Operator, Output, OutputState, Step};

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
            Operator::Linear { input, steps } => steps.len() + self.linear_lines(*input),
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
        let schema = &self.node(node).schema;
        columns.iter().map(|c| schema.field(*c).name().as_str()).collect::<Vec<_>>().join(", ")
    }

    fn explain_node(
        &self,
        id: NodeId,
        depth: usize,
        name: &dyn Fn(CollectionId) -> String,
        out: &mut String,
    ) -> fmt::Result {
        use fmt::Write;
        write!(out, "{:indent$}", "", indent = 2 * depth)?;
        let mut inputs = Vec::new();
        match &self.node(id).operator {
            Operator::Input(collection) => writeln!(out, "Input {}", name(*collection))?,
            Operator::Constant(rows) => writeln!(out, "Constant rows={}", rows.num_rows())?,
            Operator::Linear { input, steps } => {
                let mut schema = &self.node(*input).schema;
                let mut lines = Vec::with_capacity(steps.len());
                for step in steps {
                    lines.push(step_text(step, schema));
                    if let Step::Project { schema: projected, .. } = step {
                        schema = projected;
                    }
                }
                for (position, line) in lines.iter().rev().enumerate() {
                    if position > 0 {
                        write!(out, "{:indent$}", "", indent = 2 * depth)?;
                    }
                    writeln!(out, "{line}")?;
                }
                inputs.push(*input);
            }
            Operator::Union(all) => {
                writeln!(out, "Union")?;
                inputs.extend(all);
            }
            Operator::Join(join) => {
                let (left, right) = (&self.arrangements[join.left.0], &self.arrangements[join.right.0]);
                let kind = if left.key.is_empty() { "CrossJoin" } else { "Join" };
                write!(
                    out,
                    "{kind} on [{}] = [{}]",
                    self.column_names(left.input, &left.key),
                    self.column_names(right.input, &right.key)
                )?;
                match &join.residual {
                    Some(residual) => writeln!(out, " where {}", named_text(residual.text(), &self.node(id).schema))?,
                    None => writeln!(out)?,
                }
                inputs.extend([left.input, right.input]);
            }
            Operator::SemiJoin(semi) => {
                let left = &self.arrangements[semi.left.0];
                writeln!(
                    out,
                    "{:?}Join on [{}] = [{}]",
                    semi.kind,
                    self.column_names(left.input, &left.key),
                    self.column_names(semi.right, &semi.right_key)
                )?;
                inputs.extend([left.input, semi.right]);
            }
            Operator::Reduce(reduce) => {
                let key = self.column_names(reduce.input, &reduce.key);
                if reduce.aggregates.is_empty() {
                    writeln!(out, "Distinct [{key}]")?;
                } else {
                    let aggregates: Vec<String> =
                        reduce.aggregates.iter().map(|a| self.aggregate_text(reduce.input, a)).collect();
                    let append_only = if reduce.monotonic { " append_only" } else { "" };
                    writeln!(out, "Reduce by [{key}] [{}]{append_only}", aggregates.join(", "))?;
                }
                inputs.push(reduce.input);
            }
            Operator::Set(set) => {
                writeln!(out, "{:?}", set.operator)?;
                inputs.extend([set.left, set.right]);
            }
            Operator::TopK(top_k) => {
                let order: Vec<String> = top_k
                    .order
                    .iter()
                    .map(|key| {
                        let direction = if key.descending { " desc" } else { "" };
                        let nulls = if key.nulls_first { " nulls first" } else { "" };
                        format!("{}{direction}{nulls}", self.column_names(top_k.input, &[key.column]))
                    })
                    .collect();
                write!(out, "TopK by [{}] order [{}]", self.column_names(top_k.input, &top_k.group), order.join(", "))?;
                if let Some(limit) = top_k.limit {
                    write!(out, " limit {limit}")?;
                }
                if top_k.offset > 0 {
                    write!(out, " offset {}", top_k.offset)?;
                }
                writeln!(out)?;
                inputs.push(top_k.input);
            }
        }
        for input in inputs {
            self.explain_node(input, depth + 1, name, out)?;
        }
        Ok(())
    }

    fn aggregate_text(&self, input: NodeId, aggregate: &Aggregate) -> String {
        let function = format!("{:?}", aggregate.function).to_lowercase();
        let distinct = if aggregate.distinct { "distinct " } else { "" };
        let argument = match aggregate.argument {
            Some(column) => self.column_names(input, &[column]),
            None => "*".to_owned(),
        };
        let filter = match aggregate.filter {
            Some(column) => format!(" filter {}", self.column_names(input, &[column])),
            None => String::new(),
        };
        format!("{function}({distinct}{argument}){filter}")
    }
}

/// Returns a step as text; `schema` is the schema of its input.
fn step_text(step: &Step, schema: &Schema) -> String {
    match step {
        Step::Filter(predicate) => format!("Filter {}", named_text(predicate.text(), schema)),
        Step::Project { columns, schema: projected } => {
            let columns = columns.iter().zip(projected.fields()).map(|(column, field)| {
                let text = named_text(column.text(), schema);
                if text == *field.name() { text } else { format!("{text} as {}", field.name()) }
            });
            format!("Project [{}]", columns.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Replaces column positions (`#0`) in the text of an expression by the names of the columns.
///
/// A name that several columns share keeps its position, as in `k#0`. Quoted text stays as it is.
pub fn named_text(text: &str, schema: &Schema) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        quoted ^= next == '\'';
        let after = &rest[next.len_utf8()..];
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let position = after[..digits].parse::<usize>().ok().filter(|_| next == '#' && !quoted);
        match position.filter(|position| *position < schema.fields().len()) {
            Some(position) => {
                let name = schema.field(position).name();
                let alone = schema.fields().iter().filter(|field| field.name() == name).count() == 1;
                out.push_str(name);
                if !alone {
                    out.push_str(&rest[..1 + digits]);
                }
                rest = &after[digits..];
            }
            None => {
                out.push(next);
                rest = after;
            }
        }
    }
    out
}
