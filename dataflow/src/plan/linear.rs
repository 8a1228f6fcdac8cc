//! Filters and projections.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::id::NodeId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};
use super::text::named_text;
use crate::Scalar;

/// Applies filters and projections, without state.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The node it reads.
    pub input: NodeId,
    /// The steps, in the order in which they are applied.
    pub steps: Vec<Step>,
}

/// One stateless step over a batch.
#[derive(Clone, Debug)]
pub enum Step {
    /// Keeps the rows where a boolean expression is true.
    Filter(Arc<dyn Scalar>),
    /// Replaces the columns by computed ones.
    Project {
        /// One expression per new column.
        columns: Vec<Arc<dyn Scalar>>,
        /// Names and types of the new columns.
        schema: SchemaRef,
    },
}

impl Step {
    /// Returns the number of columns after the step, given their number before it.
    fn width(&self, width: usize) -> usize {
        match self {
            Step::Filter(_) => width,
            Step::Project { columns, .. } => columns.len(),
        }
    }

    /// Whether rows of `width` columns that differ before the step are certain to differ after it, because it keeps all
    /// columns.
    fn keeps_distinct(&self, width: usize) -> bool {
        match self {
            Step::Filter(_) => true,
            Step::Project { columns, .. } => {
                (0..width).all(|position| columns.iter().any(|column| column.column() == Some(position)))
            }
        }
    }
    /// Whether there can be a row on which the step fails.
    fn can_fail(&self) -> bool {
        let computes = |scalar: &Arc<dyn Scalar>| scalar.column().is_none();
        match self {
            Step::Filter(predicate) => computes(predicate),
            Step::Project { columns, .. } => columns.iter().any(computes),
        }
    }

    /// Returns the step as text; `schema` is the schema of its input.
    fn explain(&self, schema: &Schema) -> String {
        match self {
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

    /// Returns a text that two steps share exactly when they compute the same.
    fn identity(&self) -> String {
        match self {
            Step::Filter(predicate) => format!(" filter {:?}", predicate.text()),
            Step::Project { columns, .. } => {
                let column = |column: &Arc<dyn Scalar>| format!(" {:?}: {}", column.text(), column.data_type());
                format!(" project{}", columns.iter().map(column).collect::<String>())
            }
        }
    }
}

impl OperatorKind for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Node(self.input)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.input = map.node(self.input);
    }

    fn net(&self, plan: &dyn Nodes) -> Net {
        let mut width = plan.schema_of(self.input).fields().len();
        let keeps_distinct = self.steps.iter().all(|step| {
            let keeps = step.keeps_distinct(width);
            width = step.width(width);
            keeps
        });
        if keeps_distinct { Net::Like(self.input) } else { Net::Unknown }
    }

    fn can_fail(&self) -> bool {
        self.steps.iter().any(Step::can_fail)
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        let mut schema = explaining.plan.schema_of(self.input);
        let mut lines = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            lines.push(step.explain(schema));
            if let Step::Project { schema: projected, .. } = step {
                schema = projected;
            }
        }
        lines.reverse();
        lines
    }

    fn identity(&self) -> Option<String> {
        let steps: String = self.steps.iter().map(Step::identity).collect();
        Some(format!("linear {:?}{steps}", self.input))
    }

    fn rename(&mut self, renamed: &SchemaRef) {
        let last = self.steps.iter_mut().rev().find_map(|step| match step {
            Step::Filter(_) => None,
            Step::Project { schema, .. } => Some(schema),
        });
        if let Some(schema) = last {
            *schema = Arc::clone(renamed);
        }
    }
}
