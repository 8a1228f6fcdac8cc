//! Adds casts to our common types (see `common_type`) before DataFusion's coercion adds its own.
//!
//! A quotient of decimals is computed in DOUBLE, as in DuckDB; DataFusion would keep six digits only.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Case, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, Union, Values, cast,
};

use crate::budget;
use crate::common_type::{Wider, wider, wider_column, widest};
use crate::error::PlanError;
use crate::function::in_cell;
use crate::scope::scope_of;
use crate::statement::type_name;

/// DataFusion's functions whose arguments must have one type, and the position of the first such argument.
const UNIFORM: [(&str, usize); 5] = [("coalesce", 0), ("ifnull", 0), ("make_array", 0), ("nvl", 0), ("nvl2", 1)];

/// Adds the casts in `plan` and its subqueries.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let mut any = false;
    let coerced = plan.transform_up_with_subqueries(flat_union)?.data.transform_up_with_subqueries(|node| {
        let coerced = match node {
            LogicalPlan::Union(union) => of_union(union),
            LogicalPlan::Values(values) => of_values(values),
            other => of_expressions(other),
        }?;
        any |= coerced.transformed;
        if !any {
            return Ok(coerced);
        }
        // Readers must see the new types of a node. If DataFusion still has to coerce it, it cannot be recomputed yet.
        Ok(match coerced.data.clone().recompute_schema() {
            Ok(plan) => Transformed::new(plan, true, coerced.tnr),
            Err(_) => coerced,
        })
    })?;
    Ok(coerced.data)
}

fn of_expressions(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = scope_of(&node);
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| of_expr(expr, &schema))?.update_data(|expr| name.restore(expr)))
    })
}

/// Casts the columns of VALUES to their common types and removes the marks around the cells.
///
/// While planning, DataFusion has cast the cells to its own choice; its casts around marks and literals are removed.
fn of_values(values: Values) -> Result<Transformed<LogicalPlan>> {
    let written = |cell: &Expr| match cell {
        Expr::Cast(cast) if in_cell(&cast.expr).is_some() || matches!(cast.expr.as_ref(), Expr::Literal(..)) => {
            in_cell(&cast.expr).unwrap_or(&cast.expr).clone()
        }
        cell => in_cell(cell).unwrap_or(cell).clone(),
    };
    let (schema, mut rows) = (Arc::clone(&values.schema), values.values);
    let mut differs = false;
    for column in 0..schema.fields().len() {
        let mut cells: Vec<Expr> = rows.iter().map(|row| written(&row[column])).collect();
        let of_column = schema.field(column).data_type();
        if unify(&mut cells, wider_column, &DFSchema::empty()) {
            differs = true;
        } else {
            for cell in &mut cells {
                if cell.get_type(&DFSchema::empty())? != *of_column {
                    *cell = cast(std::mem::take(cell), of_column.clone());
                }
            }
        }
        rows.iter_mut().zip(cells).for_each(|(row, cell)| row[column] = cell);
    }
    let plan = match differs {
        true => LogicalPlanBuilder::values(rows)?.build()?,
        false => LogicalPlan::Values(Values { schema, values: rows }),
    };
    Ok(Transformed::yes(plan))
}

/// Makes one union of a union and of those among its inputs: the types of all inputs are compared in the order in which
/// they are written, however the unions are nested.
fn flat_union(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Union(union) if union.inputs.iter().any(|input| matches!(**input, LogicalPlan::Union(_))) => {
            let inputs = union.inputs.into_iter().flat_map(|input| match Arc::unwrap_or_clone(input) {
                LogicalPlan::Union(inner) => inner.inputs,
                other => vec![Arc::new(other)],
            });
            Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect())?)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Casts the columns of a union's inputs to their common types.
fn of_union(mut union: Union) -> Result<Transformed<LogicalPlan>> {
    let types = |column: usize| -> Vec<DataType> {
        union.inputs.iter().map(|input| input.schema().field(column).data_type().clone()).collect()
    };
    let same_width = union.inputs.iter().all(|input| input.schema().fields().len() == union.schema.fields().len());
    if !same_width {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let common: Vec<Option<DataType>> =
        (0..union.schema.fields().len()).map(|column| widest(&types(column), wider_column)).collect();
    if common.iter().all(Option::is_none) {
        // The types of the union are those that the first input had when the union was made.
        let first = types_of(union.inputs[0].schema());
        if first.eq(types_of(&union.schema)) {
            return Ok(Transformed::no(LogicalPlan::Union(union)));
        }
        return Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)));
    }
    for input in &mut union.inputs {
        let columns = input.schema().iter().zip(input.schema().columns()).zip(&common);
        let exprs = columns.map(|(((qualifier, field), column), common)| match common {
            Some(data_type) if data_type != field.data_type() => {
                cast(Expr::Column(column), data_type.clone()).alias_qualified(qualifier.cloned(), field.name())
            }
            _ => Expr::Column(column),
        });
        let exprs: Vec<Expr> = exprs.collect();
        *input = Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(exprs)?.build()?);
    }
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)))
}

fn types_of(schema: &DFSchema) -> impl Iterator<Item = &DataType> {
    schema.fields().iter().map(|field| field.data_type())
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(binary) => Ok(of_operator(binary, schema)),
        Expr::Between(mut between) => {
            let exprs = [between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()];
            let any = unify(exprs, wider, schema);
            Ok(changed(Expr::Between(between), any))
        }
        Expr::InList(mut list) => {
            let any = unify(std::iter::once(list.expr.as_mut()).chain(&mut list.list), wider, schema);
            Ok(changed(Expr::InList(list), any))
        }
        Expr::Case(case) => of_case(case, schema),
        Expr::ScalarFunction(mut call) => {
            refuse_text_of_nested(&call, schema)?;
            let first = UNIFORM.iter().find(|(name, _)| *name == call.func.name()).map(|(_, first)| *first);
            let any = first.is_some_and(|first| unify(call.args.iter_mut().skip(first), wider_column, schema));
            Ok(changed(Expr::ScalarFunction(call), any))
        }
        Expr::InSubquery(InSubquery { mut expr, subquery, negated }) => {
            let (subquery, any) = of_subquery(&mut expr, subquery, schema)?;
            Ok(changed(Expr::InSubquery(InSubquery { expr, subquery, negated }), any))
        }
        Expr::SetComparison(SetComparison { mut expr, subquery, op, quantifier }) => {
            let (subquery, any) = of_subquery(&mut expr, subquery, schema)?;
            Ok(changed(Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }), any))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Coerces a CASE. If its WHENs have several types, the operand is compared with each in the common type of these two.
fn of_case(mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut any = false;
    // The operand is repeated in each WHEN, so it must not be volatile.
    if let Some(operand) = case.expr.take_if(|operand| !operand.is_volatile() && differ(&case.when_then_expr, schema)) {
        let size = size(&operand)?;
        for (when, _) in &mut case.when_then_expr {
            budget::spend(size)?;
            let equal = BinaryExpr::new(operand.clone(), Operator::Eq, std::mem::take(when));
            **when = of_operator(equal, schema).data;
        }
        any = true;
    } else if let Some(operand) = &mut case.expr {
        let whens = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
        any = unify(std::iter::once(operand.as_mut()).chain(whens), wider, schema);
    }
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| then.as_mut());
    any |= unify(thens.chain(case.else_expr.iter_mut().map(AsMut::as_mut)), wider_column, schema);
    Ok(changed(Expr::Case(case), any))
}

/// Returns the number of operations in an expression.
fn size(expr: &Expr) -> Result<usize> {
    let mut size = 0;
    expr.apply(|_| {
        size += 1;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(size)
}

/// Returns whether the WHENs have more than one type.
fn differ(when_then: &[(Box<Expr>, Box<Expr>)], schema: &DFSchema) -> bool {
    let types = when_then.iter().map(|(when, _)| when.get_type(schema)).collect::<Result<Vec<_>>>();
    let mut typed = types.unwrap_or_default().into_iter().filter(|data_type| !data_type.is_null());
    typed.next().is_some_and(|first| typed.any(|data_type| data_type != first))
}

/// Refuses a call for which DataFusion would convert a list or a struct to text, and then measure or cut that text.
fn refuse_text_of_nested(call: &ScalarFunction, schema: &DFSchema) -> Result<()> {
    let fields = call.args.iter().map(|arg| Ok(arg.to_field(schema)?.1)).collect::<Result<Vec<_>>>();
    // If an argument is wrong, or the function cannot be called so, DataFusion reports it later.
    let Ok(fields) = fields else { return Ok(()) };
    if !fields.iter().any(|field| field.data_type().is_nested()) {
        return Ok(());
    }
    let Ok(taken) = fields_with_udf(&fields, call.func.as_ref()) else { return Ok(()) };
    let is_written = |(from, to): (&FieldRef, &FieldRef)| from.data_type().is_nested() && to.data_type().is_string();
    if !fields.iter().zip(&taken).any(is_written) {
        return Ok(());
    }
    let types: Vec<_> = fields.iter().map(|field| type_name(field.data_type())).collect();
    plan_err!("there is no function {}({})", call.func.name(), types.join(", "))
}

fn changed(expr: Expr, any: bool) -> Transformed<Expr> {
    if any { Transformed::yes(expr) } else { Transformed::no(expr) }
}

fn of_operator(mut binary: BinaryExpr, schema: &DFSchema) -> Transformed<Expr> {
    use Operator::{
        Divide, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus,
    };
    let any = match binary.op {
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | Plus | Multiply | Modulo | Minus => {
            unify([binary.left.as_mut(), binary.right.as_mut()], wider, schema)
        }
        Divide => {
            divides_decimals(&binary, schema) && {
                let left = cast_to(&mut binary.left, &DataType::Float64, schema);
                cast_to(&mut binary.right, &DataType::Float64, schema) || left
            }
        }
        _ => false,
    };
    changed(Expr::BinaryExpr(binary), any)
}

/// Returns whether both sides of a quotient are numeric and at least one is a decimal.
fn divides_decimals(binary: &BinaryExpr, schema: &DFSchema) -> bool {
    let (Ok(left), Ok(right)) = (binary.left.get_type(schema), binary.right.get_type(schema)) else { return false };
    left.is_numeric() && right.is_numeric() && (left.is_decimal() || right.is_decimal())
}

/// Casts all `exprs` to their common type where DataFusion would choose another; returns whether it cast any.
fn unify<'a>(exprs: impl IntoIterator<Item = &'a mut Expr>, wider: Wider, schema: &DFSchema) -> bool {
    let exprs: Vec<&mut Expr> = exprs.into_iter().collect();
    // If a type is not known yet, DataFusion reports what is wrong with it.
    let Ok(types) = exprs.iter().map(|expr| expr.get_type(schema)).collect::<Result<Vec<_>>>() else { return false };
    let typed: Vec<DataType> = types.into_iter().filter(|data_type| *data_type != DataType::Null).collect();
    let Some(common) = widest(&typed, wider) else { return false };
    let mut any = false;
    for expr in exprs {
        any |= cast_to(expr, &common, schema);
    }
    any
}

fn cast_to(expr: &mut Expr, data_type: &DataType, schema: &DFSchema) -> bool {
    if expr.get_type(schema).is_ok_and(|from| from == *data_type || from == DataType::Null) {
        return false;
    }
    *expr = cast(std::mem::take(expr), data_type.clone());
    true
}

/// Casts a value and the first column of the subquery that it is compared with to their common type.
fn of_subquery(expr: &mut Expr, subquery: Subquery, schema: &DFSchema) -> Result<(Subquery, bool)> {
    let Some((qualifier, field)) = subquery.subquery.schema().iter().next() else { return Ok((subquery, false)) };
    let common = expr.get_type(schema).ok().and_then(|data_type| wider(&data_type, field.data_type()));
    let Some(common) = common else { return Ok((subquery, false)) };
    cast_to(expr, &common, schema);
    let column = Expr::Column((qualifier, field.as_ref()).into());
    let column = cast(column, common).alias_qualified(qualifier.cloned(), field.name());
    let plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone()).project([column])?.build()?;
    Ok((subquery.with_plan(Arc::new(plan)), true))
}
