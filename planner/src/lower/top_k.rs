//! Lowers ORDER BY with LIMIT, DISTINCT ON, and ROW_NUMBER() with an upper bound: the first rows of each group.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, DistinctOn, Expr, FetchType, Filter, Limit, LogicalPlan, Operator as Comparison, Projection, SkipType,
    Sort, SortExpr, Window, lit,
};
use laminardb_dataflow::plan::{Operator, SortKey, TopK};

use crate::PlanError;
use crate::lower::relation::{
    Demand, Relation, column_scalar, compile, demand_of, demanded, plain_position, positional, project, with_values,
};
use crate::lower::{Lowering, refuse};

/// The rows from `offset` up to, but not including, `offset + limit`.
#[derive(Clone, Copy)]
struct Range {
    offset: u64,
    limit: Option<u64>,
}

/// The grouping, the order and the range of a top-k, over the logical columns of its input.
struct Ranking<'a> {
    group: &'a [Expr],
    order: &'a [SortExpr],
    range: Range,
}

/// A filter that puts an upper bound on ROW_NUMBER(), and the filter's other predicates.
struct RankedFilter<'a> {
    window: &'a Window,
    /// Maps logical columns of the filter's input to columns of the window.
    columns: Vec<usize>,
    limit: u64,
    rest: Vec<&'a Expr>,
}

impl Lowering {
    /// Lowers ORDER BY. Without LIMIT it orders reads, not the maintained rows, so it needs no operator.
    pub(super) fn lower_sort(&mut self, sort: &Sort, demand: &Demand) -> Result<Relation, PlanError> {
        match sort.fetch {
            Some(limit) => self.lower_sorted(sort, Range { offset: 0, limit: Some(limit as u64) }, demand),
            None => self.lower(&sort.input, demand),
        }
    }

    fn lower_sorted(&mut self, sort: &Sort, range: Range, demand: &Demand) -> Result<Relation, PlanError> {
        let inner = self.sort_limit(sort, range)?;
        self.lower_ranking(&sort.input, &Ranking { group: &[], order: &sort.expr, range: inner }, demand)
    }

    /// Combines `range` with the limit that the sort may have itself.
    fn sort_limit(&self, sort: &Sort, range: Range) -> Result<Range, PlanError> {
        let Some(fetch) = sort.fetch else { return Ok(range) };
        let left = (fetch as u64).saturating_sub(range.offset);
        Ok(Range { offset: range.offset, limit: Some(range.limit.map_or(left, |limit| limit.min(left))) })
    }

    pub(super) fn lower_limit(&mut self, limit: &Limit, demand: &Demand) -> Result<Relation, PlanError> {
        let range = literal_range(limit)?;
        self.lower_limited(&limit.input, range, demand)
    }

    /// Moves the limit below projections and aliases, which keep the order, to the sort that it limits.
    fn lower_limited(&mut self, plan: &LogicalPlan, range: Range, demand: &Demand) -> Result<Relation, PlanError> {
        match plan {
            LogicalPlan::Sort(sort) => self.lower_sorted(sort, range, demand),
            LogicalPlan::SubqueryAlias(alias) => self.lower_limited(&alias.input, range, demand),
            LogicalPlan::Projection(projection) if ends_in_sort(&projection.input) => {
                self.lower_limited_projection(projection, range, demand)
            }
            other => self.lower_ranking(other, &Ranking { group: &[], order: &[], range }, demand),
        }
    }

    fn lower_limited_projection(
        &mut self,
        projection: &Projection,
        range: Range,
        demand: &Demand,
    ) -> Result<Relation, PlanError> {
        let (exprs, below) = demanded(&projection.expr, projection.input.schema(), demand)?;
        let input = self.lower_limited(&projection.input, range, &below)?;
        self.compute(&input, exprs, |column| projection.schema.field(column).name().clone())
    }

    pub(super) fn lower_distinct_on(&mut self, distinct: &DistinctOn, demand: &Demand) -> Result<Relation, PlanError> {
        let (exprs, below) = demanded(&distinct.select_expr, distinct.input.schema(), demand)?;
        let order = distinct.sort_expr.as_deref().unwrap_or_default();
        let range = Range { offset: 0, limit: Some(1) };
        let ranking = Ranking { group: &distinct.on_expr, order, range };
        let input = self.lower_ranking(&distinct.input, &ranking, &below)?;
        self.compute(&input, exprs, |column| distinct.schema.field(column).name().clone())
    }

    fn lower_ranking(
        &mut self,
        input: &LogicalPlan,
        ranking: &Ranking<'_>,
        demand: &Demand,
    ) -> Result<Relation, PlanError> {
        let schema = input.schema();
        let Range { offset, limit } = ranking.range;
        let mut below = demand.clone();
        let keys = ranking.group.iter().chain(ranking.order.iter().map(|sort| &sort.expr));
        let mut exprs = Vec::new();
        for expr in keys {
            refuse::expression(expr)?;
            demand_of(expr, schema, &mut below)?;
            exprs.push((positional(expr, schema, |at| at)?, expr.schema_name().to_string()));
        }
        let relation = self.lower(input, &below)?;
        if limit.is_none() && offset == 0 {
            return Ok(relation);
        }
        if limit == Some(0) {
            // This does not read the input, so `finish` drops the input unless something else reads it.
            let rows = RecordBatch::new_empty(Arc::clone(self.builder.schema(relation.node)));
            return Ok(Relation { node: self.constant(rows), ..relation });
        }
        let (relation, places) = with_values(&mut self.builder, &relation, &exprs, demand)?;
        let (relation, places) = self.narrowed(relation, places, demand)?;
        let (group, order) = places.split_at(ranking.group.len());
        let top_k = TopK {
            input: relation.node,
            group: distinct_places(group),
            order: sort_keys(order, ranking.order, group),
            limit,
            offset,
            monotonic: self.builder.properties(relation.node).append_only,
        };
        let schema = Arc::clone(self.builder.schema(relation.node));
        let node = self.builder.add(Operator::TopK(top_k), schema);
        Ok(Relation { node, ..relation })
    }

    /// Drops the columns that are not read, because a top-k keeps whole rows.
    fn narrowed(
        &mut self,
        relation: Relation,
        places: Vec<usize>,
        demand: &Demand,
    ) -> Result<(Relation, Vec<usize>), PlanError> {
        let mut needed: Vec<usize> = demand.iter().map(|column| relation.at(*column)).chain(places.clone()).collect();
        needed.sort_unstable();
        needed.dedup();
        if needed.is_empty() || needed.len() == self.builder.width(relation.node) {
            return Ok((relation, places));
        }
        let node = crate::lower::relation::select(&mut self.builder, relation.node, &needed)?;
        let moved = |place: usize| needed.binary_search(&place).expect("every place read was collected");
        let columns = demand.iter().map(|column| (*column, moved(relation.at(*column)))).collect();
        Ok((Relation { node, columns }, places.into_iter().map(moved).collect()))
    }

    /// Lowers `Filter(row_number <= k)` over a window of one ROW_NUMBER(): the first k rows of each partition.
    ///
    /// Returns `None` if the filter does not have this form.
    pub(super) fn lower_ranked_filter(
        &mut self,
        filter: &Filter,
        demand: &Demand,
    ) -> Result<Option<Relation>, PlanError> {
        let Some(ranked) = ranked_filter(filter)? else { return Ok(None) };
        let schema = filter.input.schema();
        let number = ranked.window.input.schema().fields().len();
        let mut wanted = demand.clone();
        let mut rest = Vec::with_capacity(ranked.rest.len());
        for predicate in &ranked.rest {
            refuse::expression(predicate)?;
            demand_of(predicate, schema, &mut wanted)?;
            rest.push(positional(predicate, schema, |at| at)?);
        }
        let numbered: Vec<usize> = wanted.iter().copied().filter(|column| ranked.columns[*column] == number).collect();
        // Only for k = 1 the number is known without being maintained: it is 1.
        if !numbered.is_empty() && ranked.limit != 1 {
            return Err(refuse::construct_with_hint(
                "OVER",
                "the number itself cannot be in the result: leave it out of the SELECT list",
            ));
        }
        let below = wanted.iter().map(|column| ranked.columns[*column]).filter(|column| *column != number).collect();
        let window = row_number(ranked.window).expect("a ranked filter is over ROW_NUMBER()");
        let range = Range { offset: 0, limit: Some(ranked.limit) };
        let ranking = Ranking { group: &window.params.partition_by, order: &window.params.order_by, range };
        let top = self.lower_ranking(&ranked.window.input, &ranking, &below)?;
        let relation = self.number_rows(&ranked, &top, &wanted, &numbered)?;
        Ok(Some(self.filter(relation, &rest)?))
    }

    /// Adds the columns of the filter's input to `top`. If the row number is read it is the constant 1, as k is 1 then.
    fn number_rows(
        &mut self,
        ranked: &RankedFilter<'_>,
        top: &Relation,
        wanted: &Demand,
        numbered: &[usize],
    ) -> Result<Relation, PlanError> {
        let at = |column: &usize| top.at(ranked.columns[*column]);
        let columns = wanted.iter().filter(|column| !numbered.contains(column)).map(|c| (*c, at(c))).collect();
        let mut relation = Relation { node: top.node, columns };
        if numbered.is_empty() {
            return Ok(relation);
        }
        let mut scalars = Vec::new();
        for column in 0..self.builder.width(top.node) {
            let name = self.builder.schema(top.node).field(column).name().clone();
            scalars.push((column_scalar(&self.builder, top.node, column)?, name));
        }
        let one = compile(&self.builder, top.node, &lit(1i64), |at| at)?;
        scalars.push((one, "row_number".to_owned()));
        numbered.iter().for_each(|column| {
            relation.columns.insert(*column, scalars.len() - 1);
        });
        relation.node = project(&mut self.builder, top.node, scalars);
        Ok(relation)
    }
}

fn literal_range(limit: &Limit) -> Result<Range, PlanError> {
    let offset = match limit.get_skip_type().map_err(PlanError::from)? {
        SkipType::Literal(offset) => offset as u64,
        SkipType::UnsupportedExpr => return Err(refuse::construct("OFFSET of an expression")),
    };
    let limit = match limit.get_fetch_type().map_err(PlanError::from)? {
        FetchType::Literal(limit) => limit.map(|limit| limit as u64),
        FetchType::UnsupportedExpr => return Err(refuse::construct("LIMIT of an expression")),
    };
    Ok(Range { offset, limit })
}

fn ends_in_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::SubqueryAlias(alias) => ends_in_sort(&alias.input),
        LogicalPlan::Projection(projection) => ends_in_sort(&projection.input),
        _ => false,
    }
}

fn distinct_places(places: &[usize]) -> Vec<usize> {
    let mut distinct: Vec<usize> = Vec::new();
    for place in places {
        if !distinct.contains(place) {
            distinct.push(*place);
        }
    }
    distinct
}

/// Returns the order within groups, without columns that decide nothing: those of the group and repeated ones.
fn sort_keys(places: &[usize], order: &[SortExpr], group: &[usize]) -> Vec<SortKey> {
    let mut keys: Vec<SortKey> = Vec::new();
    for (place, sort) in places.iter().zip(order) {
        if !group.contains(place) && keys.iter().all(|key| key.column != *place) {
            keys.push(SortKey { column: *place, descending: !sort.asc, nulls_first: sort.nulls_first });
        }
    }
    keys
}

/// Returns the window function if the window has only one and it is ROW_NUMBER() without modifiers.
fn row_number(window: &Window) -> Option<&WindowFunction> {
    let [expr] = window.window_expr.as_slice() else { return None };
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::WindowFunction(function) = expr else { return None };
    let WindowFunctionDefinition::WindowUDF(definition) = &function.fun else { return None };
    let plain = function.params.filter.is_none() && !function.params.distinct;
    (plain && definition.name() == "row_number").then_some(function.as_ref())
}

/// Follows renamings from the filter down to a window; `None` if the filter is not one on ROW_NUMBER().
fn ranked_filter(filter: &Filter) -> Result<Option<RankedFilter<'_>>, PlanError> {
    let mut plan = filter.input.as_ref();
    let mut columns: Vec<usize> = (0..plan.schema().fields().len()).collect();
    let window = loop {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => plan = &alias.input,
            LogicalPlan::Projection(projection) => {
                for column in &mut columns {
                    let expr = positional(&projection.expr[*column], projection.input.schema(), |at| at);
                    let Ok(Some(below)) = expr.map(|expr| plain_position(&expr)) else { return Ok(None) };
                    *column = below;
                }
                plan = &projection.input;
            }
            LogicalPlan::Window(window) => break window,
            _ => return Ok(None),
        }
    };
    if row_number(window).is_none() {
        return Ok(None);
    }
    let number = window.input.schema().fields().len();
    let mut limit: Option<u64> = None;
    let mut rest = Vec::new();
    for predicate in split_conjunction(&filter.predicate) {
        let expr = positional(predicate, filter.input.schema(), |at| columns[at])?;
        match upper_bound(&expr, number) {
            Some(bound) => limit = Some(limit.map_or(bound, |limit| limit.min(bound))),
            None => rest.push(predicate),
        }
    }
    Ok(limit.map(|limit| RankedFilter { window, columns, limit, rest }))
}

/// Returns k if the predicate says exactly that the row number is at most k.
fn upper_bound(predicate: &Expr, number: usize) -> Option<u64> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else { return None };
    let (column, op, literal) = match (plain_position(left), plain_position(right)) {
        (Some(column), None) => (column, *op, integer(right)?),
        (None, Some(column)) => (column, op.swap()?, integer(left)?),
        _ => return None,
    };
    if column != number {
        return None;
    }
    match op {
        Comparison::LtEq => Some(literal),
        Comparison::Lt => literal.checked_sub(1),
        Comparison::Eq if literal <= 1 => Some(literal),
        _ => None,
    }
}

/// Returns a literal count; a negative one becomes 0, as both keep no row.
fn integer(expr: &Expr) -> Option<u64> {
    match expr {
        Expr::Literal(ScalarValue::UInt64(Some(value)), _) => Some(*value),
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some(u64::try_from(*value).unwrap_or(0)),
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(u64::try_from(*value).unwrap_or(0)),
        _ => None,
    }
}
