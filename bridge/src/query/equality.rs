//! Makes sorts, joins and groups compare as SQL does: -0.0 equals 0.0, all NaNs are equal, a month is as long as 30
//! days, and inside lists and structs NULL is the greatest value. DataFusion compares bits, and takes NULL for the
//! least value there.
//!
//! For this, keys are wrapped in functions that return the same value for all values that are equal.

use std::hash::{Hash, Hasher};
use std::mem::take;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use laminardb_dataflow::interval::has_intervals;
use laminardb_planner::scalar::{compared, compared_type, grouped};

/// Rewrites the keys of `node` so that it treats rows as equal where SQL does.
pub(super) fn compare_as_sql(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Sort(mut sort) => {
            let schema = Arc::clone(sort.input.schema());
            let mut changed = false;
            for key in &mut sort.expr {
                changed |= make_compared(&mut key.expr, &schema)?;
            }
            Ok(transformed(LogicalPlan::Sort(sort), changed))
        }
        LogicalPlan::Join(mut join) => {
            let changed = make_keys_one(&mut join)?;
            Ok(transformed(LogicalPlan::Join(join), changed))
        }
        LogicalPlan::Aggregate(aggregate) => group_as_sql(aggregate),
        other => Ok(Transformed::no(other)),
    }
}

fn transformed(plan: LogicalPlan, changed: bool) -> Transformed<LogicalPlan> {
    if changed { Transformed::yes(plan) } else { Transformed::no(plan) }
}

/// Wraps `expr` so that equal values become one, and values compare as in SQL; the result is not for showing. Returns
/// whether the type needs it.
pub(super) fn make_compared(expr: &mut Expr, schema: &DFSchema) -> Result<bool> {
    make(&COMPARED, expr, schema)
}

/// Wraps `expr` so that equal values become one of them, which can be shown. Returns whether the type needs it.
fn make_grouped(expr: &mut Expr, schema: &DFSchema) -> Result<bool> {
    make(&GROUPED, expr, schema)
}

/// Wraps `expr` in `function` unless equal values of its type always have equal bits; returns whether it did.
fn make(function: &ScalarUDF, expr: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let data_type = expr.get_type(schema)?;
    let is_made = data_type.is_floating() || data_type.is_nested() || has_intervals(&data_type);
    if is_made {
        *expr = function.call(vec![take(expr)]);
    }
    Ok(is_made)
}

/// Wraps the keys of an equality join; returns whether any needed it.
fn make_keys_one(join: &mut Join) -> Result<bool> {
    let mut changed = false;
    for (left, right) in &mut join.on {
        changed |= make_compared(left, join.left.schema())?;
        changed |= make_compared(right, join.right.schema())?;
    }
    Ok(changed)
}

/// Wraps what an aggregate groups by. Columns are wrapped in a projection below the aggregate, so its functions see the
/// same values; other expressions are wrapped where they are.
fn group_as_sql(mut aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(aggregate.input.schema());
    let mut grouped: Vec<Column> = Vec::new();
    let mut changed = false;
    for key in &mut aggregate.group_expr {
        match key {
            Expr::Column(column) => grouped.push(column.clone()),
            other => {
                let (relation, name) = other.qualified_name();
                if make_grouped(other, &schema)? {
                    *other = take(other).alias_qualified(relation, name);
                    changed = true;
                }
            }
        }
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for column in schema.columns() {
        let mut expr = Expr::Column(column.clone());
        if grouped.contains(&column) && make_grouped(&mut expr, &schema)? {
            expr = expr.alias_qualified(column.relation, column.name);
            changed = true;
        }
        columns.push(expr);
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let input = LogicalPlanBuilder::from(aggregate.input).project(columns)?.build()?;
    let plan = Aggregate::try_new(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(plan)))
}

static COMPARED: LazyLock<ScalarUDF> = LazyLock::new(|| OneValue::function("compared", compared_type, compared));
static GROUPED: LazyLock<ScalarUDF> =
    LazyLock::new(|| OneValue::function("grouped", DataType::clone, |values| Ok(grouped(values))));

/// A function that returns one value for all arguments that are equal. It is not registered: no query can call it.
#[derive(Debug)]
struct OneValue {
    name: &'static str,
    signature: Signature,
    data_type: fn(&DataType) -> DataType,
    values: fn(&ArrayRef) -> Result<ArrayRef>,
}

impl OneValue {
    fn function(
        name: &'static str,
        data_type: fn(&DataType) -> DataType,
        values: fn(&ArrayRef) -> Result<ArrayRef>,
    ) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::new_from_impl(OneValue { name, signature, data_type, values })
    }
}

// Written out because functions have no equality; names are unique.
impl PartialEq for OneValue {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OneValue {}

impl Hash for OneValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for OneValue {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok((self.data_type)(&arguments[0]))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args.swap_remove(0).into_array(args.number_rows)?;
        Ok(ColumnarValue::Array((self.values)(&values)?))
    }
}
