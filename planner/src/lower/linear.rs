//! Lowers filters and projections.

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use laminardb_dataflow::plan::Step;

use crate::PlanError;
use crate::lower::Lowering;
use crate::lower::join_graph::is_inner_join;
use crate::lower::refuse;
use crate::lower::relation::{Demand, Relation, compile, demand_of, demanded, plain_position, positional, project};

impl Lowering {
    pub(super) fn lower_projection(&mut self, projection: &Projection, demand: &Demand) -> Result<Relation, PlanError> {
        let (exprs, below) = demanded(&projection.expr, projection.input.schema(), demand)?;
        let input = self.lower(&projection.input, &below)?;
        let name = |column: usize| projection.schema.field(column).name().clone();
        self.compute(&input, exprs, name)
    }

    /// Computes expressions over the columns of `input`; each expression comes with its logical column in the result.
    pub(super) fn compute(
        &mut self,
        input: &Relation,
        exprs: Vec<(usize, Expr)>,
        name: impl Fn(usize) -> String,
    ) -> Result<Relation, PlanError> {
        let plain = exprs.iter().map(|(column, expr)| Some((*column, input.at(plain_position(expr)?)))).collect();
        // If all expressions are plain columns, only the mapping changes and no operator is needed.
        if let Some(columns) = plain {
            return Ok(Relation { node: input.node, columns });
        }
        let mut scalars = Vec::with_capacity(exprs.len());
        for (column, expr) in &exprs {
            scalars.push((compile(&self.builder, input.node, expr, |at| input.at(at))?, name(*column)));
        }
        if let Some(constant) = self.compute_constant(input.node, &scalars) {
            let columns = exprs.iter().enumerate().map(|(place, (column, _))| (*column, place)).collect();
            return Ok(Relation { node: constant, columns });
        }
        let node = project(&mut self.builder, input.node, scalars);
        // These facts about literals are stated here because `derive` looks at no scalar but plain columns.
        for (place, (_, expr)) in exprs.iter().enumerate() {
            if let Expr::Literal(value, _) = expr.clone().unalias_nested().data {
                let properties = self.builder.properties_mut(node);
                properties.constant[place] = true;
                properties.nullable[place] = value.is_null();
            }
        }
        Ok(Relation { node, columns: exprs.iter().enumerate().map(|(place, (column, _))| (*column, place)).collect() })
    }

    pub(super) fn lower_filter(
        &mut self,
        plan: &LogicalPlan,
        filter: &Filter,
        demand: &Demand,
    ) -> Result<Relation, PlanError> {
        if is_inner_join(plan) {
            return self.lower_inner_joins(plan, demand);
        }
        if let Some(relation) = self.lower_ranked_filter(filter, demand)? {
            return Ok(relation);
        }
        refuse::expression(&filter.predicate)?;
        let schema = filter.input.schema();
        let mut below = demand.clone();
        demand_of(&filter.predicate, schema, &mut below)?;
        let input = self.lower(&filter.input, &below)?;
        let predicates = split_conjunction(&filter.predicate);
        let predicates = predicates
            .into_iter()
            .map(|predicate| positional(predicate, schema, |at| at))
            .collect::<Result<Vec<_>, _>>()?;
        self.filter(input, &predicates)
    }

    /// Keeps the rows for which all `predicates`, over logical columns, are true.
    ///
    /// All predicates form one step: `a <> 0 AND 10 / a > 1` must not compute its right side where the left is false.
    pub(super) fn filter(&mut self, relation: Relation, predicates: &[Expr]) -> Result<Relation, PlanError> {
        let Some(predicate) = predicates.iter().cloned().reduce(Expr::and) else { return Ok(relation) };
        let predicate = compile(&self.builder, relation.node, &predicate, |column| relation.at(column))?;
        let node = self.builder.step(relation.node, Step::Filter(predicate));
        Ok(Relation { node, ..relation })
    }

    /// Keeps the rows whose values in `places` (columns of the node) are not NULL.
    pub(super) fn filter_not_null(&mut self, relation: Relation, places: &[usize]) -> Result<Relation, PlanError> {
        let nullable = &self.builder.properties(relation.node).nullable;
        let places: Vec<usize> = places.iter().copied().filter(|place| nullable[*place]).collect();
        let tests = places.iter().map(|place| crate::lower::relation::position_column(*place).is_not_null());
        let Some(predicate) = tests.reduce(Expr::and) else { return Ok(relation) };
        let predicate = compile(&self.builder, relation.node, &predicate, |place| place)?;
        let before = self.builder.properties(relation.node).clone();
        // A NOT NULL test says little about selectivity, so the estimates stay as they were.
        let node = self.builder.step(relation.node, Step::Filter(predicate));
        let properties = self.builder.properties_mut(node);
        (properties.rows, properties.kept) = (before.rows, before.kept);
        places.iter().for_each(|place| properties.nullable[*place] = false);
        Ok(Relation { node, ..relation })
    }
}
