//! Rewrites comparisons of row values `(a, b)` column by column, so that NULL means the same as for single columns.
//!
//! ```text
//! (a, b) = (c, d)    a = c AND b = d
//! (a, b) < (c, d)    a < c OR a = c AND b < d
//! (a, b) IN (S)      CASE WHEN EXISTS (S: a = x AND b = y) THEN true
//!                         WHEN EXISTS (S: (a = x AND b = y) IS NULL) THEN NULL ELSE false END
//! (a, b) = (S)       (SELECT a = x AND b = y FROM S)
//! ```

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Query, SelectItem, SetExpr, TableAliasColumnDef, TableFactor, TableWithJoins, UnaryOperator, Value,
    visit_expressions,
};

use super::from::invented_alias;
use super::scope::{exact, qualified};
use crate::bind::set_operation::select_all;
use crate::budget;
use crate::error::PlanError;

/// Rewrites `expr` if it compares row values, whose parts must be resolved. `invent` must return unused names.
pub(super) fn write_out(expr: &mut Expr, invent: impl FnMut() -> String) -> Result<(), PlanError> {
    if !may_compare(expr) {
        return Ok(());
    }
    let taken = std::mem::replace(expr, literal(Value::Null));
    *expr = RowRewriter { invent }.written_out(taken)?;
    // A part that is repeated, as `a` in `(a, b) < (c, d)`, may be such a comparison itself.
    let mut size = 0;
    let _: ControlFlow<()> = visit_expressions(expr, |_| {
        size += 1;
        ControlFlow::Continue(())
    });
    budget::spend(size)
}

/// Returns the values of a row, or `None` if `expr` is not a row value.
pub(super) fn row_of(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(values) => Some(values.clone()),
        Expr::Struct { values, fields } if fields.is_empty() => Some(values.clone()),
        Expr::Nested(inner) => row_of(inner),
        Expr::Function(function) => arguments_of_row(function),
        _ => None,
    }
}

/// Returns the arguments of `ROW(a, b)`.
fn arguments_of_row(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if function.over.is_some() || !function.name.to_string().eq_ignore_ascii_case("row") {
        return None;
    }
    let value = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    list.args.iter().map(value).collect()
}

/// Returns whether [`RowRewriter::written_out`] may change `expr`; a cheap test.
fn may_compare(expr: &Expr) -> bool {
    match expr {
        Expr::Tuple(_) => true,
        Expr::BinaryOp { left, op, right } => {
            Comparison::of(op).is_some() && (row_of(left).is_some() || row_of(right).is_some())
        }
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            row_of(left).is_some() || row_of(right).is_some()
        }
        Expr::InList { expr, .. }
        | Expr::InSubquery { expr, .. }
        | Expr::InUnnest { expr, .. }
        | Expr::Between { expr, .. }
        | Expr::AnyOp { left: expr, .. }
        | Expr::AllOp { left: expr, .. }
        | Expr::Case { operand: Some(expr), .. } => row_of(expr).is_some(),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Eq,
    NotEq,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Distinct,
    NotDistinct,
}

impl Comparison {
    fn of(op: &BinaryOperator) -> Option<Self> {
        Some(match op {
            BinaryOperator::Eq => Comparison::Eq,
            BinaryOperator::NotEq => Comparison::NotEq,
            BinaryOperator::Lt => Comparison::Lt,
            BinaryOperator::LtEq => Comparison::LtEq,
            BinaryOperator::Gt => Comparison::Gt,
            BinaryOperator::GtEq => Comparison::GtEq,
            _ => return None,
        })
    }

    /// Returns the comparison with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Comparison::Lt => Comparison::Gt,
            Comparison::LtEq => Comparison::GtEq,
            Comparison::Gt => Comparison::Lt,
            Comparison::GtEq => Comparison::LtEq,
            other => other,
        }
    }

    /// Returns the comparison for the parts before the last and the one for the last part; `None` for (in)equalities.
    fn of_order(self) -> Option<(BinaryOperator, BinaryOperator)> {
        match self {
            Comparison::Lt => Some((BinaryOperator::Lt, BinaryOperator::Lt)),
            Comparison::LtEq => Some((BinaryOperator::Lt, BinaryOperator::LtEq)),
            Comparison::Gt => Some((BinaryOperator::Gt, BinaryOperator::Gt)),
            Comparison::GtEq => Some((BinaryOperator::Gt, BinaryOperator::GtEq)),
            _ => None,
        }
    }
}

struct RowRewriter<F> {
    invent: F,
}

impl<F: FnMut() -> String> RowRewriter<F> {
    fn written_out(&mut self, expr: Expr) -> Result<Expr, PlanError> {
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let comparison = Comparison::of(&op).expect("only comparisons are taken");
                match self.sides(&left, comparison, &right)? {
                    Some(written) => Ok(written),
                    None => Ok(Expr::BinaryOp { left, op, right }),
                }
            }
            Expr::IsDistinctFrom(left, right) => match self.sides(&left, Comparison::Distinct, &right)? {
                Some(written) => Ok(written),
                None => Ok(Expr::IsDistinctFrom(left, right)),
            },
            Expr::IsNotDistinctFrom(left, right) => match self.sides(&left, Comparison::NotDistinct, &right)? {
                Some(written) => Ok(written),
                None => Ok(Expr::IsNotDistinctFrom(left, right)),
            },
            Expr::InList { expr, list, negated } => in_list(&expr, &list, negated),
            Expr::Between { expr, negated, low, high } => between(&expr, &low, &high, negated),
            Expr::InSubquery { expr, subquery, negated } => {
                let found = self.any(&values(&expr)?, Comparison::Eq, &subquery)?;
                Ok(if negated { not(found) } else { found })
            }
            Expr::AnyOp { left, compare_op, right, .. } => {
                let (comparison, subquery) = quantified(&compare_op, &right)?;
                self.any(&values(&left)?, comparison, subquery)
            }
            Expr::AllOp { left, compare_op, right } => {
                let (comparison, subquery) = quantified(&compare_op, &right)?;
                self.all(&values(&left)?, comparison, subquery)
            }
            Expr::InUnnest { .. } => Err(PlanError::invalid("IN of a row value takes a list of row values")),
            Expr::Case { case_token, end_token, operand, conditions, else_result } => {
                let operand = operand.map_or_else(|| literal(Value::Null), |operand| *operand);
                let conditions = conditions.into_iter().map(|CaseWhen { condition, result }| {
                    Ok(CaseWhen { condition: equal(operand.clone(), condition)?, result })
                });
                let conditions = conditions.collect::<Result<_, PlanError>>()?;
                Ok(Expr::Case { case_token, end_token, operand: None, conditions, else_result })
            }
            Expr::Tuple(values) => Ok(Expr::Struct { values, fields: Vec::new() }),
            other => Ok(other),
        }
    }

    /// Rewrites a comparison of which one side is a row; `None` if the other side is neither a row nor a subquery.
    fn sides(&mut self, left: &Expr, comparison: Comparison, right: &Expr) -> Result<Option<Expr>, PlanError> {
        Ok(Some(match (row_of(left), row_of(right)) {
            (Some(left), Some(right)) => compared(left, comparison, right)?,
            (Some(row), None) => match subquery_of(right) {
                Some(subquery) => self.with_row_of(row, comparison, subquery)?,
                None => return Ok(None),
            },
            (None, Some(row)) => match subquery_of(left) {
                Some(subquery) => self.with_row_of(row, comparison.flipped(), subquery)?,
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        }))
    }

    /// Compares `row` with the only row of a subquery; without such a row its columns are NULL.
    fn with_row_of(&mut self, row: Vec<Expr>, comparison: Comparison, subquery: &Query) -> Result<Expr, PlanError> {
        let (columns, table) = self.table(subquery, row.len())?;
        let nulls = vec![literal(Value::Null); row.len()];
        let without = match comparison {
            Comparison::Distinct | Comparison::NotDistinct => Some(compared(row.clone(), comparison, nulls)?),
            _ => None,
        };
        let value = compared(row, comparison, columns)?;
        let found = Expr::Subquery(Box::new(select(value, table, None)?));
        Ok(match without {
            None => found,
            Some(without) => case(vec![(Expr::IsNull(Box::new(found.clone())), without)], found),
        })
    }

    /// Rewrites `row comparison ANY (subquery)`.
    fn any(&mut self, row: &[Expr], comparison: Comparison, subquery: &Query) -> Result<Expr, PlanError> {
        let holds = self.exists(row, subquery, |columns| compared(row.to_vec(), comparison, columns))?;
        let unknown = self.unknown(row, comparison, subquery)?;
        Ok(case(vec![(holds, literal(Value::Boolean(true))), (unknown, null())], literal(Value::Boolean(false))))
    }

    /// Rewrites `row comparison ALL (subquery)`.
    fn all(&mut self, row: &[Expr], comparison: Comparison, subquery: &Query) -> Result<Expr, PlanError> {
        let fails = self.exists(row, subquery, |columns| Ok(not(compared(row.to_vec(), comparison, columns)?)))?;
        let unknown = self.unknown(row, comparison, subquery)?;
        Ok(case(vec![(fails, literal(Value::Boolean(false))), (unknown, null())], literal(Value::Boolean(true))))
    }

    /// Tests whether a comparison is unknown. Then a value on one side is NULL, which filters most rows beforehand.
    fn unknown(&mut self, row: &[Expr], comparison: Comparison, subquery: &Query) -> Result<Expr, PlanError> {
        let unknown = |columns: Vec<Expr>| compared(row.to_vec(), comparison, columns).map(is_null);
        let right = self
            .exists(row, subquery, |columns| Ok(binary(any_null(&columns), BinaryOperator::And, unknown(columns)?)))?;
        let left =
            self.exists(row, subquery, |columns| Ok(binary(any_null(row), BinaryOperator::And, unknown(columns)?)))?;
        Ok(binary(right, BinaryOperator::Or, left))
    }

    fn exists(
        &mut self,
        row: &[Expr],
        subquery: &Query,
        condition: impl FnOnce(Vec<Expr>) -> Result<Expr, PlanError>,
    ) -> Result<Expr, PlanError> {
        let (columns, table) = self.table(subquery, row.len())?;
        let query = select(literal(Value::Number("1".to_owned(), false)), table, Some(condition(columns)?))?;
        Ok(Expr::Exists { subquery: Box::new(query), negated: false })
    }

    /// Returns the subquery as a table of FROM, and its columns.
    fn table(&mut self, subquery: &Query, width: usize) -> Result<(Vec<Expr>, TableFactor), PlanError> {
        if let Some(there) = width_of(&subquery.body).filter(|there| *there != width) {
            return Err(PlanError::invalid(format!("a row of {width} is compared with a subquery of {there} columns")));
        }
        let name = (self.invent)();
        let names: Vec<String> = (0..width).map(|_| (self.invent)()).collect();
        let mut alias = invented_alias(name.clone());
        alias.columns = names.iter().map(|name| TableAliasColumnDef { name: exact(name), data_type: None }).collect();
        let subquery = Box::new(subquery.clone());
        let table = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
        Ok((names.iter().map(|column| qualified(&name, column)).collect(), table))
    }
}

/// Returns the number of columns of a resolved query if its SELECT list determines it.
fn width_of(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => {
            let is_plain = |item: &SelectItem| super::item_expr(item).is_some();
            select.projection.iter().all(is_plain).then_some(select.projection.len())
        }
        SetExpr::Query(query) => width_of(&query.body),
        SetExpr::SetOperation { left, .. } => width_of(left),
        SetExpr::Values(values) => values.rows.first().map(|row| row.content.len()),
        _ => None,
    }
}

/// Returns the values of an expression that must be a row.
fn values(expr: &Expr) -> Result<Vec<Expr>, PlanError> {
    row_of(expr).ok_or_else(|| PlanError::invalid(format!("{expr} is not a row value")))
}

fn subquery_of(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => subquery_of(inner),
        _ => None,
    }
}

fn quantified<'a>(op: &BinaryOperator, right: &'a Expr) -> Result<(Comparison, &'a Query), PlanError> {
    match (Comparison::of(op), subquery_of(right)) {
        (Some(comparison), Some(subquery)) => Ok((comparison, subquery)),
        _ => Err(PlanError::invalid("ANY and ALL compare a row value with a subquery only")),
    }
}

fn in_list(expr: &Expr, list: &[Expr], negated: bool) -> Result<Expr, PlanError> {
    let row = values(expr)?;
    let equalities = list.iter().map(|other| compared(row.clone(), Comparison::Eq, values(other)?));
    let any = joined(equalities.collect::<Result<_, _>>()?, &BinaryOperator::Or);
    Ok(if negated { not(any) } else { any })
}

fn between(expr: &Expr, low: &Expr, high: &Expr, negated: bool) -> Result<Expr, PlanError> {
    let row = values(expr)?;
    let low = compared(row.clone(), Comparison::GtEq, values(low)?)?;
    let high = compared(row, Comparison::LtEq, values(high)?)?;
    let both = binary(low, BinaryOperator::And, high);
    Ok(if negated { not(both) } else { both })
}

/// Makes `left = right`; either can be a row.
fn equal(left: Expr, right: Expr) -> Result<Expr, PlanError> {
    match (row_of(&left), row_of(&right)) {
        (Some(left), Some(right)) => compared(left, Comparison::Eq, right),
        _ => Ok(binary(left, BinaryOperator::Eq, right)),
    }
}

fn compared(left: Vec<Expr>, comparison: Comparison, right: Vec<Expr>) -> Result<Expr, PlanError> {
    if left.len() != right.len() {
        let (left, right) = (left.len(), right.len());
        return Err(PlanError::invalid(format!("a row of {left} is compared with a row of {right}")));
    }
    if let Some((before, last)) = comparison.of_order() {
        return ordered(left, &before, last, right);
    }
    let pairs = left.into_iter().zip(right);
    Ok(match comparison {
        Comparison::Distinct | Comparison::NotDistinct => {
            let differ = pairs.map(|(left, right)| match (row_of(&left), row_of(&right)) {
                (Some(left), Some(right)) => compared(left, Comparison::Distinct, right),
                _ => Ok(Expr::IsDistinctFrom(Box::new(left), Box::new(right))),
            });
            let differ = joined(differ.collect::<Result<_, _>>()?, &BinaryOperator::Or);
            if comparison == Comparison::Distinct { differ } else { not(differ) }
        }
        _ => {
            let equalities = pairs.map(|(left, right)| equal(left, right)).collect::<Result<_, _>>()?;
            let all = joined(equalities, &BinaryOperator::And);
            if comparison == Comparison::NotEq { not(all) } else { all }
        }
    })
}

/// Rewrites an ordering comparison: the first parts that differ decide.
fn ordered(
    left: Vec<Expr>,
    before: &BinaryOperator,
    last: BinaryOperator,
    right: Vec<Expr>,
) -> Result<Expr, PlanError> {
    let mut pairs = left.into_iter().zip(right).rev();
    let part = |left: Expr, op: BinaryOperator, right: Expr| match (row_of(&left), row_of(&right)) {
        (Some(left), Some(right)) => {
            let comparison = Comparison::of(&op).expect("an order is a comparison");
            compared(left, comparison, right)
        }
        _ => Ok(binary(left, op, right)),
    };
    let Some((l, r)) = pairs.next() else { return Err(PlanError::invalid("a row without values")) };
    let mut rest = part(l, last, r)?;
    for (l, r) in pairs {
        let decided = part(l.clone(), before.clone(), r.clone())?;
        rest = binary(decided, BinaryOperator::Or, binary(equal(l, r)?, BinaryOperator::And, rest));
    }
    Ok(rest)
}

/// Makes `SELECT value FROM table WHERE condition`.
fn select(value: Expr, table: TableFactor, condition: Option<Expr>) -> Result<Query, PlanError> {
    let mut query = select_all()?;
    let SetExpr::Select(select) = query.body.as_mut() else { unreachable!("the text is a SELECT") };
    select.projection = vec![SelectItem::ExprWithAlias { expr: value, alias: exact("value") }];
    select.from = vec![TableWithJoins { relation: table, joins: Vec::new() }];
    select.selection = condition;
    Ok(query)
}

fn literal(value: Value) -> Expr {
    Expr::Value(value.into())
}

/// Makes a NULL of type BOOLEAN.
fn null() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(literal(Value::Null)),
        data_type: DataType::Boolean,
        array: false,
        format: None,
    }
}

fn is_null(expr: Expr) -> Expr {
    Expr::IsNull(Box::new(expr))
}

/// Tests whether any value of a row, or of a row inside it, is NULL.
fn any_null(values: &[Expr]) -> Expr {
    let tests = values.iter().map(|value| match row_of(value) {
        Some(values) => any_null(&values),
        None => is_null(value.clone()),
    });
    joined(tests.collect(), &BinaryOperator::Or)
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

/// Joins `exprs` with `op`, as a balanced tree so that it does not nest deeply.
fn joined(mut exprs: Vec<Expr>, op: &BinaryOperator) -> Expr {
    while exprs.len() > 1 {
        let mut pairs = exprs.into_iter();
        let mut next = Vec::new();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => binary(left, op.clone(), right),
                None => left,
            });
        }
        exprs = next;
    }
    exprs.pop().unwrap_or_else(null)
}

fn case(conditions: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let conditions = conditions.into_iter().map(|(condition, result)| CaseWhen { condition, result });
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions.collect(),
        else_result: Some(Box::new(otherwise)),
    }
}
