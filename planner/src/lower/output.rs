//! Plans a query as a view: its dataflow plan and what is kept of its rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use laminardb_dataflow::plan::{DataflowPlan, NodeId, Operator, OutputState, Step};

use crate::catalog::Catalog;
use crate::lower::relation::{column_scalar, project};
use crate::lower::{Lowering, all_columns, refuse};
use crate::rewrite;
use crate::{BoundQuery, PlanError};

/// A query planned as a view.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// The dataflow to maintain; its columns are those of `schema`, by position and name.
    pub plan: Arc<DataflowPlan>,
    /// The columns of the view.
    pub schema: SchemaRef,
    /// Columns on which no two rows agree, if any are known.
    pub unique_key: Option<Vec<usize>>,
    /// Whether rows are never deleted.
    pub append_only: bool,
    /// Whether the view keeps no rows: it only filters, projects and unites relations, so readers inline it.
    pub linear: bool,
}

/// Plans `query` as a view; errors carry their position in the statement where it is known.
pub fn plan_view(query: &BoundQuery, _catalog: &dyn Catalog) -> Result<ViewPlan, PlanError> {
    query.places.planning(|| plan_logical(&query.logical, &query.schema)).map_err(|error| query.places.locate(error))
}

/// Plans the bound query `logical` as a view whose output columns have the names in `schema`.
pub(crate) fn plan_logical(logical: &LogicalPlan, schema: &SchemaRef) -> Result<ViewPlan, PlanError> {
    refuse::query(logical)?;
    let optimised = rewrite::optimise_plan(logical.clone())?;
    let mut lowering = Lowering::default();
    let node = lowering.lower_output(&optimised, schema)?;
    let properties = lowering.builder.properties(node).clone();
    let unique_key = properties.best_key().cloned();
    let state = lowering.output_state(node, unique_key.as_ref());
    let linear = properties.linear;
    let plan = lowering.builder.finish(node, unique_key.clone(), state);
    refuse::types(&plan)?;
    Ok(ViewPlan {
        plan: Arc::new(plan),
        schema: Arc::clone(schema),
        unique_key,
        append_only: properties.append_only,
        linear,
    })
}

impl Lowering {
    /// Lowers `plan` to a node with exactly its columns, named as in `schema`.
    fn lower_output(&mut self, plan: &LogicalPlan, schema: &SchemaRef) -> Result<NodeId, PlanError> {
        let relation = self.lower(plan, &all_columns(plan))?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (position, field) in schema.fields().iter().enumerate() {
            let scalar = column_scalar(&self.builder, relation.node, relation.at(position))?;
            columns.push((scalar, field.name().clone()));
        }
        let node = project(&mut self.builder, relation.node, columns);
        let named = self.builder.schema(node).fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name());
        if named {
            return Ok(node);
        }
        let node = match self.builder.operator(node) {
            // An input has the names of its relation, so the view's names need a node of their own.
            Operator::Input(_) => {
                let columns = (0..self.builder.width(node)).map(|column| column_scalar(&self.builder, node, column));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                let schema = Arc::clone(self.builder.schema(node));
                self.builder.step(node, Step::Project { columns, schema })
            }
            _ => node,
        };
        self.builder.rename(node, schema);
        Ok(node)
    }

    fn output_state(&self, node: NodeId, unique_key: Option<&Vec<usize>>) -> OutputState {
        if self.builder.properties(node).linear {
            return OutputState::Nothing;
        }
        let mut source = node;
        // A reduce under linear nodes already keeps its groups; reads apply the linear nodes to them.
        while let Operator::Linear(linear) = self.builder.operator(source) {
            source = linear.input;
        }
        if let Operator::Reduce(_) = self.builder.operator(source) {
            return OutputState::Reduce(source);
        }
        let whole_row = || (0..self.builder.width(node)).collect();
        OutputState::Arrangement { key: unique_key.cloned().unwrap_or_else(whole_row) }
    }
}
