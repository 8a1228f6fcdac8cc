//! Turns subqueries in SELECT lists, grouping keys, aggregates, window functions, orders and VALUES into columns of the
//! input.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SortExpr, Values, Window,
    cast,
};

use crate::PlanError;
use crate::decorrelate::outer_reference::has_subquery;
use crate::decorrelate::{Decorrelation, called_as, columns, named, names};

impl Decorrelation {
    pub(super) fn rewrite_projection(&mut self, projection: Projection) -> Result<LogicalPlan> {
        let (input, exprs) = self.extract_all(projection.input, projection.expr)?;
        let exprs = exprs.into_iter().zip(names(&projection.schema));
        let exprs: Vec<Expr> = exprs.map(|(expr, (qualifier, name))| named(expr, qualifier, name)).collect();
        LogicalPlanBuilder::from(input).project(exprs)?.build()
    }

    pub(super) fn rewrite_aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let (input, group) = self.extract_all(aggregate.input, aggregate.group_expr)?;
        let (input, calls) = self.extract_all(Arc::new(input), aggregate.aggr_expr)?;
        let grouped = Aggregate::try_new(Arc::new(input), group, calls)?;
        called_as(LogicalPlan::Aggregate(grouped), &aggregate.schema)
    }

    pub(super) fn rewrite_window(&mut self, window: Window) -> Result<LogicalPlan> {
        // `extract_all` adds columns to the input; only the original ones and the results are kept.
        let mut kept = columns(&window.input);
        let (input, calls) = self.extract_all(window.input, window.window_expr)?;
        let width = input.schema().fields().len();
        let plan = LogicalPlanBuilder::from(input).window(calls)?.build()?;
        kept.extend(columns(&plan).split_off(width));
        let plan = LogicalPlanBuilder::from(plan).project(kept)?.build()?;
        called_as(plan, &window.schema)
    }

    pub(super) fn rewrite_sort(&mut self, sort: Sort) -> Result<LogicalPlan> {
        // `extract_sorts` adds columns to the input, which are dropped again after the sort.
        let kept = columns(&sort.input);
        let (input, keys) = self.extract_sorts(sort.input, sort.expr)?;
        let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::new(input), fetch: sort.fetch });
        LogicalPlanBuilder::from(sorted).project(kept)?.build()
    }

    pub(super) fn rewrite_distinct_on(&mut self, distinct: DistinctOn) -> Result<LogicalPlan> {
        let (input, on) = self.extract_all(distinct.input, distinct.on_expr)?;
        let (input, select) = self.extract_all(Arc::new(input), distinct.select_expr)?;
        let select = select.into_iter().zip(names(&distinct.schema));
        let select = select.map(|(expr, (qualifier, name))| named(expr, qualifier, name)).collect();
        let (input, sort) = match distinct.sort_expr {
            Some(sort) => {
                let (input, sort) = self.extract_sorts(Arc::new(input), sort)?;
                (input, Some(sort))
            }
            None => (input, None),
        };
        Ok(LogicalPlan::Distinct(Distinct::On(DistinctOn::try_new(on, select, sort, Arc::new(input))?)))
    }

    /// Rewrites VALUES as a union in which each row is a SELECT list without FROM.
    pub(super) fn rewrite_values(&mut self, values: Values) -> Result<LogicalPlan> {
        let mut rows: Option<LogicalPlanBuilder> = None;
        for row in values.values {
            let exprs = row.into_iter().zip(values.schema.iter()).map(|(expr, (qualifier, field))| {
                cast(expr, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name())
            });
            let exprs: Vec<Expr> = exprs.collect();
            let row = self.rewrite(LogicalPlanBuilder::empty(true).project(exprs)?.build()?)?;
            rows = Some(match rows {
                None => LogicalPlanBuilder::from(row),
                Some(others) => others.union(row)?,
            });
        }
        match rows {
            Some(rows) => called_as(rows.build()?, &values.schema),
            None => Err(PlanError::invalid("VALUES without rows").into()),
        }
    }

    /// Turns the subqueries of `exprs` into columns of `input`; returns both.
    fn extract_all(&mut self, input: Arc<LogicalPlan>, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
        // A subquery needs the rows themselves and, for its domain, up to two copies of them.
        let copies = 2 * exprs.iter().filter(|expr| has_subquery(expr)).count();
        let mut input = self.copied(Arc::unwrap_or_clone(input), copies)?;
        let rows = input.clone();
        let mut extracted = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let (extended, expr) = self.extract(&rows, input, expr)?;
            input = extended;
            extracted.push(expr);
        }
        Ok((input, extracted))
    }

    fn extract_sorts(&mut self, input: Arc<LogicalPlan>, sorts: Vec<SortExpr>) -> Result<(LogicalPlan, Vec<SortExpr>)> {
        let exprs = sorts.iter().map(|sort| sort.expr.clone()).collect();
        let (input, exprs) = self.extract_all(input, exprs)?;
        let sorts = sorts.into_iter().zip(exprs).map(|(sort, expr)| SortExpr { expr, ..sort });
        Ok((input, sorts.collect()))
    }
}
