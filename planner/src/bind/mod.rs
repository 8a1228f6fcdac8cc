//! Binds statements to logical plans: resolves names, coerces types, and replaces DataFusion's semantics by ours.

mod brief;
mod callee;
mod casts;
mod coercion;
mod context;
mod dml;
mod expansion;
mod grouping_sets;
mod growth;
mod literal;
mod modifier;
mod names;
mod operator;
mod order;
mod params;
mod place;
mod semantics;
mod set_operation;
mod with_query;

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ParamValues, ScalarValue, SchemaError};
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
use crate::{budget, part, stack};

pub use context::config_options;
pub use dml::{BoundConflict, BoundDelete, BoundInsert, BoundUpdate, bind_delete, bind_insert, bind_update};
pub use order::{ViewOrder, all_rows};
pub use params::Params;

/// A query in which every name is resolved and every type is known.
#[derive(Clone)]
pub struct BoundQuery {
    /// The plan: bound, coerced and decorrelated, but not optimised. Its column names are unique but have no meaning.
    pub logical: LogicalPlan,
    /// Names and types of the columns as the caller sees them; names may repeat.
    pub schema: SchemaRef,
    /// The relations and maintained views that are read, each once, in order of first use.
    pub inputs: Vec<CollectionId>,
    /// Names of all relations and views that are mentioned, each once, including inlined ones.
    pub relations: Vec<String>,
    /// The name of a function whose value does not depend on the row alone (`random()`, `now()`), if there is one.
    pub volatile: Option<String>,
    /// Positions in the statement of the constructs that can be refused in a view.
    pub(crate) places: Places,
}

impl fmt::Debug for BoundQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", part::display(&self.logical))
    }
}

/// Binds a query. Errors have the position in the statement where it is known.
pub fn bind_query(query: &ast::Query, catalog: &dyn Catalog, params: &Params) -> Result<BoundQuery, PlanError> {
    let places = stack::on_big_stack(|| Places::of(query));
    let bound = places.planning(|| bind_here(query.clone(), catalog, params))?;
    Ok(BoundQuery { places, ..bound })
}

/// Binds the query on the caller's stack.
fn bind_here(mut query: ast::Query, catalog: &dyn Catalog, params: &Params) -> Result<BoundQuery, PlanError> {
    modifier::check(&query)?;
    let mut names = Names::new(catalog);
    let shown = names.resolve_query(&mut query)?;
    let relations = names.relations.iter().map(|relation| relation.name.clone()).collect();
    let values = params.number(&mut query)?;
    let plan = plan_query(query, catalog, &values)?;
    bound(plan, shown, relations)
}

/// Adds the casts that make types equal, and applies our semantics.
fn coerced(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plan = grouping_sets::apply(plan, &coerced)?;
    let coerced = brief::with_marks(plan, |plan| {
        // Our casts come first, so that DataFusion's coercion finds equal types; our semantics need coerced types.
        let plan = coercion::apply(casts::check(plan)?)?;
        Ok(TypeCoercion::new().analyze(plan, &config_options())?)
    })?;
    order::apply(semantics::apply(expansion::apply(coerced)?)?)
}

/// Turns a resolved query into a coerced plan, with `values` in place of its parameters.
fn plan_query(mut query: ast::Query, catalog: &dyn Catalog, values: &[ScalarValue]) -> Result<LogicalPlan, PlanError> {
    set_operation::set_apart(&mut query)?;
    with_query::set_apart(&mut query)?;
    operator::write_as_calls(&mut query);
    growth::spend(&query)?;
    let planned = plan_prepared(query.clone(), catalog, values);
    // DataFusion calls a cast what it calls its argument, so that `min(x)` and `min(CAST(x AS DATE))` cannot stand side
    // by side. Marked casts are planned otherwise in many places, so only queries that need it have them.
    if planned.as_ref().is_err_and(is_name_taken) {
        operator::mark_casts(&mut query);
        return coerced(plan_prepared(query, catalog, values)?);
    }
    coerced(planned?)
}

/// Returns whether two columns of a node have one name.
fn is_name_taken(error: &DataFusionError) -> bool {
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return false };
    matches!(**error, SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. })
}

/// Plans a query that has been rewritten for DataFusion. What it repeats is coerced, the rest is not.
fn plan_prepared(
    query: ast::Query,
    catalog: &dyn Catalog,
    values: &[ScalarValue],
) -> datafusion::common::Result<LogicalPlan> {
    let context = Context::new(catalog);
    let options = ParserOptions::from(&context.options().sql_parser);
    let types = values.iter().map(|value| Some(Arc::new(Field::new("", value.data_type(), true)))).collect();
    let mut planner_context = PlannerContext::new().with_prepare_param_data_types(types);
    let statement = ast::Statement::Query(Box::new(query));
    let planned = SqlToRel::new_with_options(&context, options)
        .sql_statement_to_plan_with_context(statement, &mut planner_context);
    // If planning has run out of steps or was cancelled, the binder's error is only what came of that.
    budget::spend(0)?;
    let plan = planned?;
    let with_values = |plan: LogicalPlan| match values.is_empty() {
        true => Ok(plan),
        false => plan.replace_params_with_values(&ParamValues::from(values.to_vec())),
    };
    with_values(part::cut(plan, &|part| Ok(coerced(with_values(part)?)?))?)
}

/// Collects the facts that callers need about the bound plan.
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

/// Returns the collections that a plan reads, each once, in order of first use.
pub fn inputs_of(plan: &LogicalPlan) -> Result<Vec<CollectionId>, PlanError> {
    let mut inputs = Vec::new();
    part::apply_with_parts(plan, &mut |node| {
        if let Some(input) = CatalogSource::of_plan(node).and_then(|relation| relation.collection())
            && !inputs.contains(&input)
        {
            inputs.push(input);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(inputs)
}

/// Returns the name of a function in `plan` whose value does not depend on the row alone (`random()`, `now()`), if any.
pub fn volatile_function(plan: &LogicalPlan) -> Result<Option<String>, PlanError> {
    let mut found = None;
    part::apply_with_parts(plan, &mut |node| {
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

/// Evaluates a constant expression (a DEFAULT, a watermark's delay) to an array of one row. For a DEFAULT, `stored` is the
/// type of the column: a literal is read as one of INSERT ... VALUES is, and text for a column of another type is cast.
/// Whoever stores the value casts it to the column.
pub fn default_value(expr: &ast::Expr, stored: Option<&DataType>) -> Result<ArrayRef, PlanError> {
    dml::constant(expr, stored)
}

#[cfg(test)]
mod tests;
