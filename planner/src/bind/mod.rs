//! Statements to logical plans: names resolved, types coerced, our semantics in place of DataFusion's.

mod casts;
mod coercion;
mod context;
mod dml;
mod expansion;
mod literal;
mod modifier;
mod names;
mod operator;
mod order;
mod params;
mod place;
mod semantics;
mod set_operation;

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use laminardb_dataflow::CollectionId;
use sqlparser::ast;

use self::context::Context;
use self::names::Names;
use self::place::Places;
use crate::catalog::{Catalog, CatalogSource};
use crate::error::PlanError;
use crate::stack;

pub use context::config_options;
pub use dml::{BoundConflict, BoundDelete, BoundInsert, BoundUpdate, bind_delete, bind_insert, bind_update};
pub use order::{ViewOrder, all_rows};
pub use params::Params;

/// A query with every name resolved and every type known.
#[derive(Clone)]
pub struct BoundQuery {
    /// Bound, coerced, decorrelated; not optimised. Column names are unique but otherwise of no meaning.
    pub logical: LogicalPlan,
    /// Names and types of the columns as the caller sees them; names may repeat.
    pub schema: SchemaRef,
    /// The relations and maintained views read, each once, in order of first use.
    pub inputs: Vec<CollectionId>,
    /// Names of the relations and views mentioned, of any kind, each once, also those inlined.
    pub relations: Vec<String>,
    /// A function whose value is not a function of the row (`random()`, `now()`), if there is one.
    pub volatile: Option<String>,
    /// Where things stand that a view may be refused for.
    pub(crate) places: Places,
}

impl fmt::Debug for BoundQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.logical.display_indent())
    }
}

/// Binds a query.
pub fn bind_query(query: &ast::Query, catalog: &dyn Catalog, params: &Params) -> Result<BoundQuery, PlanError> {
    let places = stack::on_big_stack(|| Places::of(query));
    let bound = places.planning(|| bind_here(query.clone(), catalog, params))?;
    Ok(BoundQuery { places, ..bound })
}

/// Binds on the caller's stack.
fn bind_here(mut query: ast::Query, catalog: &dyn Catalog, params: &Params) -> Result<BoundQuery, PlanError> {
    modifier::check(&query)?;
    let mut names = Names::new(catalog);
    let shown = names.resolve_query(&mut query)?;
    let relations = names.relations.iter().map(|relation| relation.name.clone()).collect();
    let values = params.number(&mut query)?;
    let plan = plan_query(query, catalog, &values)?;
    let plan = coerced(plan)?;
    bound(plan, shown, relations)
}

/// The plan with types made equal by casts, and our semantics.
fn coerced(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plan = coercion::apply(casts::check(plan)?)?;
    let plan = TypeCoercion::new().analyze(plan, &config_options())?;
    order::apply(semantics::apply(expansion::apply(plan)?)?)
}

/// Turns a resolved query into a plan.
fn plan_query(mut query: ast::Query, catalog: &dyn Catalog, values: &[ScalarValue]) -> Result<LogicalPlan, PlanError> {
    set_operation::set_apart(&mut query)?;
    operator::write_as_calls(&mut query);
    let context = Context::new(catalog);
    let options = ParserOptions::from(&context.options().sql_parser);
    let types = values.iter().map(|value| Some(Arc::new(Field::new("", value.data_type(), true)))).collect();
    let mut planner_context = PlannerContext::new().with_prepare_param_data_types(types);
    let statement = ast::Statement::Query(Box::new(query));
    let plan = SqlToRel::new_with_options(&context, options)
        .sql_statement_to_plan_with_context(statement, &mut planner_context)?;
    if values.is_empty() {
        return Ok(plan);
    }
    Ok(plan.replace_params_with_values(&ParamValues::from(values.to_vec()))?)
}

/// The plan with what callers want to know of it.
fn bound(plan: LogicalPlan, shown: Option<Vec<String>>, relations: Vec<String>) -> Result<BoundQuery, PlanError> {
    let logical = semantics::plain_output(plan)?;
    let fields = logical.schema().fields().iter().enumerate().map(|(idx, field)| {
        let name = shown.as_ref().map_or(field.name(), |names| &names[idx]);
        Field::new(name, field.data_type().clone(), field.is_nullable())
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let inputs = inputs_of(&logical)?;
    let volatile = volatile_function(&logical)?;
    Ok(BoundQuery { logical, schema, inputs, relations, volatile, places: Places::default() })
}

/// The collections that a plan reads, each once, in order of first use.
pub fn inputs_of(plan: &LogicalPlan) -> Result<Vec<CollectionId>, PlanError> {
    let mut inputs = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let Some(input) = CatalogSource::of_plan(node).and_then(|relation| relation.collection())
            && !inputs.contains(&input)
        {
            inputs.push(input);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(inputs)
}

/// A function in `plan` whose value is not a function of the row alone (`random()`, `now()`), if there is one.
pub fn volatile_function(plan: &LogicalPlan) -> Result<Option<String>, PlanError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found.get_or_insert_with(|| call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The one value of a constant expression (a DEFAULT, a watermark's delay) as an array of one row, of type `data_type`
/// when given.
pub fn default_value(expr: &ast::Expr, data_type: Option<&DataType>) -> Result<ArrayRef, PlanError> {
    dml::constant(expr, data_type)
}

#[cfg(test)]
mod tests;
