//! Implements what DataFusion's binder requires: lookup of relations and functions, planning of types, options.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference, internal_err, plan_err};
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, RawWindowExpr, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF, cast, lit};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast;

use super::set_operation::SetOperationPlanner;
use super::with_query::WithQueryPlanner;
use crate::budget;
use crate::catalog::{Catalog, CatalogSource, WorkTable};
use crate::error::PlanError;
use crate::function::{self, Registry};
use crate::statement::sql_type;

/// Returns the options for all parts of DataFusion: UTC, plain strings, and NULLs last in every order.
pub fn config_options() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.default_null_ordering = "nulls_last".to_owned();
    // The order of a subquery can become the view's order; see `order`.
    options.sql_parser.enable_subquery_sort_elimination = false;
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = true;
    options
}

static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(config_options);

static EXPR_PLANNERS: LazyLock<Vec<Arc<dyn ExprPlanner>>> = LazyLock::new(|| {
    let mut planners: Vec<Arc<dyn ExprPlanner>> = vec![Arc::new(OperatorPlanner)];
    planners.extend(SessionStateDefaults::default_expr_planners());
    planners
});

static RELATION_PLANNERS: LazyLock<Vec<Arc<dyn RelationPlanner>>> =
    LazyLock::new(|| vec![Arc::new(SetOperationPlanner), Arc::new(WithQueryPlanner)]);

/// Gives DataFusion's binder the catalogue and the functions. Names are resolved already and match exactly.
pub(super) struct Context<'a> {
    catalog: &'a dyn Catalog,
    registry: &'static Registry,
}

impl<'a> Context<'a> {
    pub(super) fn new(catalog: &'a dyn Catalog) -> Self {
        Context { catalog, registry: function::registry() }
    }
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        budget::spend(1)?;
        match self.catalog.relation(name.table(), true)? {
            Some(relation) => Ok(Arc::new(CatalogSource::new(relation))),
            None => plan_err!("table {} does not exist", name.table()),
        }
    }

    fn get_table_function_source(&self, name: &str, _args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        Err(PlanError::invalid(format!("table function {name} is not supported")).into())
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(Arc::new(WorkTable { name: name.to_owned(), schema }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &EXPR_PLANNERS
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &RELATION_PLANNERS
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(SqlTypes))
    }

    /// Also returns `None` if planning must end, because this method has no error; what it ends with is asked for
    /// afterwards.
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let ours = function::of_syntax(name);
        budget::spend(usize::from(ours.is_none())).ok()?;
        ours.or_else(|| self.registry.scalar(name))
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.registry.aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.registry.window(name)
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        self.registry.scalar_names()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.registry.aggregate_names()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.registry.window_names()
    }
}

/// Maps SQL types to the types that we store.
#[derive(Debug)]
struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql: &ast::DataType) -> Result<Option<FieldRef>> {
        Ok(Some(Arc::new(Field::new("", sql_type(sql)?, true))))
    }
}

/// Plans operators and functions that have other types here than in DataFusion.
#[derive(Debug)]
struct OperatorPlanner;

impl ExprPlanner for OperatorPlanner {
    /// Plans `^` as power and `~` as a regular expression match. A date plus or minus an interval is a timestamp; plus
    /// or minus a number of days it is a date.
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        use ast::BinaryOperator::{Minus, PGExp, Plus, StringConcat};
        budget::spend(1)?;
        if expr.op == PGExp {
            let RawBinaryExpr { left, right, .. } = expr;
            return Ok(PlannerResult::Planned(called("power", vec![left, right])?));
        }
        if let Some((matches, flags)) = regular(&expr.op) {
            let flags = flags.map(lit);
            let found = called("regexp_like", [expr.left, expr.right].into_iter().chain(flags).collect())?;
            return Ok(PlannerResult::Planned(if matches { found } else { Expr::Not(Box::new(found)) }));
        }
        if !matches!(expr.op, Plus | Minus | StringConcat) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        if expr.op != StringConcat {
            return plan_time_op(expr, &left, &right);
        }
        let RawBinaryExpr { op, left: l, right: r } = expr;
        if function::joins_lists(&left, &right) {
            return Ok(PlannerResult::Planned(function::join_of_lists().call(vec![l, r])));
        }
        // DataFusion joins a date to a text, but not to a NULL without a type.
        let (l, r) = match (&left, &right) {
            (DataType::Date32, DataType::Null) => (l, cast(r, DataType::Utf8)),
            (DataType::Null, DataType::Date32) => (cast(l, DataType::Utf8), r),
            _ => (l, r),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }))
    }

    fn plan_extract(&self, mut args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        // A quoted part still has its quotes here.
        if let Some(Expr::Literal(ScalarValue::Utf8(Some(part)), _)) = args.first_mut() {
            *part = part.trim_matches('\'').to_owned();
        }
        Ok(PlannerResult::Planned(called("date_part", args)?))
    }

    fn plan_window(&self, expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        Ok(PlannerResult::Original(expr))
    }
}

/// Plans a sum or difference of operands of types `left` and `right`, of which one may be a date or time.
fn plan_time_op(expr: RawBinaryExpr, left: &DataType, right: &DataType) -> Result<PlannerResult<RawBinaryExpr>> {
    let RawBinaryExpr { op, left: l, right: r } = expr;
    let is_sum = op == ast::BinaryOperator::Plus;
    let is_days = |data_type: &DataType| data_type.is_integer() || data_type.is_null();
    let (l, r) = match (left, right) {
        (DataType::Date32, days) if is_days(days) => {
            let days = cast(r, DataType::Int64);
            let days = if is_sum { days } else { Expr::Negative(Box::new(days)) };
            return Ok(PlannerResult::Planned(called("add_days", vec![l, days])?));
        }
        (days, DataType::Date32) if is_sum && is_days(days) => {
            return Ok(PlannerResult::Planned(called("add_days", vec![r, cast(l, DataType::Int64)])?));
        }
        (DataType::Date32, DataType::Time64(_)) if is_sum => {
            return Ok(PlannerResult::Planned(called("add_time", vec![l, r])?));
        }
        (DataType::Time64(_), DataType::Date32) if is_sum => {
            return Ok(PlannerResult::Planned(called("add_time", vec![r, l])?));
        }
        (DataType::Timestamp(..), DataType::Null) => (l, cast(r, INTERVAL)),
        (DataType::Null, DataType::Timestamp(..)) if is_sum => (cast(l, INTERVAL), r),
        (time, DataType::Interval(_) | DataType::Duration(_)) => (in_micros(l, time), r),
        (DataType::Interval(_) | DataType::Duration(_), time) if is_sum => (l, in_micros(r, time)),
        (DataType::Date32 | DataType::Timestamp(..), DataType::Timestamp(..))
        | (DataType::Timestamp(..), DataType::Date32)
            if !is_sum =>
        {
            (in_micros(l, left), in_micros(r, right))
        }
        _ => (l, r),
    };
    Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }))
}

/// For a regular expression operator, returns whether the text must match and the flags; `None` for other operators.
fn regular(op: &ast::BinaryOperator) -> Option<(bool, Option<&'static str>)> {
    use ast::BinaryOperator as Op;
    match op {
        Op::PGRegexMatch => Some((true, None)),
        Op::PGRegexNotMatch => Some((false, None)),
        Op::PGRegexIMatch => Some((true, Some("i"))),
        Op::PGRegexNotIMatch => Some((false, Some("i"))),
        _ => None,
    }
}

/// Makes a call of one of our functions.
fn called(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match function::registry().scalar(name) {
        Some(function) => Ok(function.call(args)),
        None => internal_err!("there is no function {name}"),
    }
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Casts an operand of date or time arithmetic to microseconds if it is a date or a coarser timestamp, so that no
/// digits are lost. DataFusion would cast a date beside a timestamp to nanoseconds, which end in 2262.
fn in_micros(expr: Expr, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Date32 => cast(expr, DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, zone) => {
            cast(expr, DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))
        }
        _ => expr,
    }
}
