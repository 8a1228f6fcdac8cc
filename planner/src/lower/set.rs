//! Lowers UNION ALL, EXCEPT and INTERSECT.

use datafusion::logical_expr::{self, LogicalPlan};
use laminardb_dataflow::plan::{NodeId, Operator, SetOperation, Union};

use crate::PlanError;
use crate::lower::relation::{Demand, Relation, compile, named_schema, position_column, project, row_marker};
use crate::lower::{Lowering, all_columns};
use crate::set_operation::SetOperationNode;

impl Lowering {
    pub(super) fn lower_union(&mut self, union: &logical_expr::Union, demand: &Demand) -> Result<Relation, PlanError> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        for input in &union.inputs {
            let relation = self.lower(input, demand)?;
            inputs.push(self.aligned(&relation, &union.schema, demand)?);
        }
        let node = self.unite(inputs);
        Ok(Relation { node, columns: demand.iter().enumerate().map(|(place, column)| (*column, place)).collect() })
    }

    /// Makes the union of nodes with equal column types; a single node is returned as it is.
    pub(super) fn unite(&mut self, inputs: Vec<NodeId>) -> NodeId {
        if let [only] = inputs[..] {
            return only;
        }
        let first = self.builder.schema(inputs[0]);
        let columns = first.fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
        let schema = named_schema(columns);
        self.builder.add(Operator::Union(Union { inputs }), schema)
    }

    /// Returns a node with the columns of `demand` in order, named and cast as in `schema`.
    fn aligned(
        &mut self,
        relation: &Relation,
        schema: &datafusion::common::DFSchema,
        demand: &Demand,
    ) -> Result<NodeId, PlanError> {
        let mut columns = Vec::with_capacity(demand.len());
        for column in demand {
            let field = schema.field(*column);
            let mut expr = position_column(*column);
            if self.builder.column_type(relation.node, relation.at(*column)) != field.data_type() {
                expr = logical_expr::cast(expr, field.data_type().clone());
            }
            let scalar = compile(&self.builder, relation.node, &expr, |at| relation.at(at))?;
            columns.push((scalar, field.name().clone()));
        }
        if columns.is_empty() {
            columns.push(row_marker(&self.builder, relation.node)?);
        }
        Ok(project(&mut self.builder, relation.node, columns))
    }

    pub(super) fn lower_set_operation(&mut self, set: &SetOperationNode) -> Result<Relation, PlanError> {
        let left = self.lower_aligned(&set.left, set.left.schema())?;
        let right = self.lower_aligned(&set.right, set.left.schema())?;
        let schema = self.builder.schema(left);
        let columns = schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
        let schema = named_schema(columns);
        let width = schema.fields().len();
        let node = self.builder.add(Operator::Set(SetOperation { left, right, operator: set.operator }), schema);
        Ok(Relation::whole(node, width))
    }

    fn lower_aligned(
        &mut self,
        plan: &LogicalPlan,
        schema: &datafusion::common::DFSchema,
    ) -> Result<NodeId, PlanError> {
        let demand = all_columns(plan);
        let relation = self.lower(plan, &demand)?;
        self.aligned(&relation, schema, &demand)
    }
}
