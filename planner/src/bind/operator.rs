//! Rewrites operators that are calls of our functions, and intervals, before DataFusion plans them.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Interval, ObjectName, ObjectNamePart, Query, SetExpr, UnaryOperator, Value, VisitMut,
    VisitorMut, visit_expressions_mut,
};

use super::callee;
use crate::function::{CAST, CELL};

/// Rewrites, at any depth, `x AT TIME ZONE z` to `timezone(z, x)`, `mod(x, y)` to `x % y`, `+NULL` to NULL and
/// `INTERVAL '1' DAY` to a cast of `'1 DAY'`; also marks the cells of VALUES, and calls functions by their own names.
pub(super) fn write_as_calls(query: &mut Query) {
    let visited = VisitMut::visit(query, &mut Operators);
    debug_assert!(visited.is_continue(), "the visitor does not end early");
}

/// Marks, at any depth, the casts of what is no literal, so that each has a name of its own.
pub(super) fn mark_casts(query: &mut Query) {
    let _: ControlFlow<()> = visit_expressions_mut(query, |expr| {
        let to = match &*expr {
            Expr::Cast { expr: arg, data_type, .. } if !matches!(**arg, Expr::Value(_)) => Some(data_type.to_string()),
            _ => None,
        };
        if let Some(to) = to {
            *expr = call(&format!("{CAST}{to}"), [taken(expr)]);
        }
        ControlFlow::Continue(())
    });
}

struct Operators;

impl VisitorMut for Operators {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        mark_values(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(written) = written(expr) {
            *expr = written;
        }
        if let Expr::Function(function) = expr {
            callee::rename(function);
        }
        ControlFlow::Continue(())
    }
}

/// Marks cells that are not literals, so that their own types can be distinguished from those that DataFusion casts
/// them to.
fn mark_values(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) if values.rows.len() > 1 => {
            for cell in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                if !matches!(cell, Expr::Value(_)) {
                    *cell = call(CELL, [taken(cell)]);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            mark_values(left);
            mark_values(right);
        }
        _ => {}
    }
}

/// Returns whether a call is the mark of a cell of VALUES.
pub(super) fn is_cell(function: &Function) -> bool {
    matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value == CELL)
}

fn written(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::AtTimeZone { timestamp, time_zone } => Some(call("timezone", [taken(time_zone), taken(timestamp)])),
        Expr::Interval(interval) => interval_text(interval).map(|text| Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(Expr::Value(Value::SingleQuotedString(text).into())),
            data_type: DataType::Interval { fields: None, precision: None },
            array: false,
            format: None,
        }),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } if is_null(expr) => Some(taken(expr)),
        Expr::Function(function) => {
            let [dividend, divisor] = plain_arguments(function, "mod")?;
            let (left, right) = (Box::new(dividend), Box::new(divisor));
            Some(Expr::Nested(Box::new(Expr::BinaryOp { left, op: BinaryOperator::Modulo, right })))
        }
        _ => None,
    }
}

/// Returns the text of an interval if it is a text or a number with at most one unit.
fn interval_text(interval: &Interval) -> Option<String> {
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let (Value::SingleQuotedString(text) | Value::Number(text, _)) = &value.value else { return None };
    if interval.leading_precision.is_some() || interval.last_field.is_some() {
        return None;
    }
    Some(match &interval.leading_field {
        Some(unit) => format!("{text} {unit}"),
        None => text.clone(),
    })
}

fn taken(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, Expr::Value(Value::Null.into()))
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_null(inner),
        Expr::Value(value) => value.value == Value::Null,
        _ => false,
    }
}

/// Returns the two arguments of a call of `name` without modifiers.
fn plain_arguments(function: &Function, name: &str) -> Option<[Expr; 2]> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_plain = list.duplicate_treatment.is_none()
        && list.clauses.is_empty()
        && function.over.is_none()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty();
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(left)), FunctionArg::Unnamed(FunctionArgExpr::Expr(right))]
            if is_plain && function.name.to_string().eq_ignore_ascii_case(name) =>
        {
            Some([left.clone(), right.clone()])
        }
        _ => None,
    }
}

fn call<const N: usize>(name: &str, arguments: [Expr; N]) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    Expr::Function(Function {
        name: ObjectName::from(Ident::new(name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
