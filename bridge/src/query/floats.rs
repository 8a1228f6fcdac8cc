//! Orders, join keys and groups in which -0.0 is 0.0 and all NaNs are one; DataFusion's go by the bits.

use std::mem::take;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use laminardb_planner::scalar::one_number;

/// Makes the keys of type DOUBLE and REAL by which `node` compares rows one number each.
pub(super) fn compare_one_number(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Sort(mut sort) => {
            let schema = Arc::clone(sort.input.schema());
            let mut changed = false;
            for key in &mut sort.expr {
                changed |= make_one(&mut key.expr, &schema)?;
            }
            Ok(transformed(LogicalPlan::Sort(sort), changed))
        }
        LogicalPlan::Join(mut join) => {
            let changed = make_keys_one(&mut join)?;
            Ok(transformed(LogicalPlan::Join(join), changed))
        }
        LogicalPlan::Aggregate(aggregate) => group_by_one_number(aggregate),
        other => Ok(Transformed::no(other)),
    }
}

fn transformed(plan: LogicalPlan, changed: bool) -> Transformed<LogicalPlan> {
    if changed { Transformed::yes(plan) } else { Transformed::no(plan) }
}

/// Makes `expr` one number if it is a float; whether it is.
pub(super) fn make_one(expr: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let is_float = is_float(expr, schema)?;
    if is_float {
        *expr = ONE_FLOAT.call(vec![take(expr)]);
    }
    Ok(is_float)
}

fn is_float(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(matches!(expr.get_type(schema)?, DataType::Float32 | DataType::Float64))
}

fn make_keys_one(join: &mut Join) -> Result<bool> {
    let mut changed = false;
    for (left, right) in &mut join.on {
        changed |= make_one(left, join.left.schema())?;
        changed |= make_one(right, join.right.schema())?;
    }
    Ok(changed)
}

/// Columns that are grouped by become one number below the aggregate, expressions in their place.
fn group_by_one_number(mut aggregate: Aggregate) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(aggregate.input.schema());
    let mut grouped: Vec<Column> = Vec::new();
    let mut changed = false;
    for key in &mut aggregate.group_expr {
        match key {
            Expr::GroupingSet(_) => return plan_err!("GROUPING SETS, ROLLUP and CUBE are not supported"),
            Expr::Column(column) => grouped.push(column.clone()),
            other => {
                let (relation, name) = other.qualified_name();
                if make_one(other, &schema)? {
                    *other = take(other).alias_qualified(relation, name);
                    changed = true;
                }
            }
        }
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for column in schema.columns() {
        let mut expr = Expr::Column(column.clone());
        if grouped.contains(&column) && make_one(&mut expr, &schema)? {
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

static ONE_FLOAT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(OneFloat { signature }))
});

/// Its argument with 0.0 for -0.0 and one NaN for all. Not registered: no query can call it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OneFloat {
    signature: Signature,
}

impl ScalarUDFImpl for OneFloat {
    fn name(&self) -> &str {
        "one_float"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args.swap_remove(0).into_array(args.number_rows)?;
        Ok(ColumnarValue::Array(one_number(&values)))
    }
}
