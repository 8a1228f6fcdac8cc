//! Makes sure that the literals of INSERT ... VALUES and of SET are stored as they are written.
//!
//! A number with a point is a DOUBLE, and each column of VALUES has one type: DOUBLE if an integer is beside such a
//! number, BIGINT if a text is beside an integer. Values would be rounded or reinterpreted silently. So a number for a
//! DECIMAL column becomes a decimal, and one without a fraction for an integer column becomes an integer. A literal
//! that the type of its VALUES column would still change is refused.

use arrow::datatypes::{DataType, Schema};
use sqlparser::ast;

use crate::catalog::RelationInfo;
use crate::error::PlanError;
use crate::numeral::{MOST_DIGITS, Numeral, Rounding};
use crate::statement::type_name;

/// Returns whether `expr` is a literal, with at most a sign or a type. Such an expression is no step of planning: a
/// statement may have many, and each takes little time.
pub(super) fn is_plain(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Value(_) | ast::Expr::TypedString(_) => true,
        ast::Expr::UnaryOp { expr, .. } | ast::Expr::Cast { expr, .. } => matches!(**expr, ast::Expr::Value(_)),
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LiteralKind {
    Integer,
    /// A number with a point or an exponent.
    Decimal,
    Text,
    Boolean,
}

/// A literal; the text of a number includes its sign.
struct Literal {
    kind: LiteralKind,
    text: String,
    span: sqlparser::tokenizer::Span,
}

impl Literal {
    /// Returns the literal if `expr` is one. NULL does not count: it fits every type.
    fn of(expr: &ast::Expr) -> Option<Self> {
        match expr {
            ast::Expr::Value(ast::ValueWithSpan { value, span }) => {
                let (kind, text) = match value {
                    ast::Value::Number(text, _) => {
                        // SQL allows underscores between the digits.
                        let text = text.replace('_', "");
                        let is_integer = text.bytes().all(|byte| byte.is_ascii_digit());
                        (if is_integer { LiteralKind::Integer } else { LiteralKind::Decimal }, text)
                    }
                    ast::Value::SingleQuotedString(text) => (LiteralKind::Text, text.clone()),
                    ast::Value::Boolean(value) => (LiteralKind::Boolean, value.to_string()),
                    _ => return None,
                };
                Some(Literal { kind, text, span: *span })
            }
            ast::Expr::Nested(expr) => Literal::of(expr),
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Plus, expr } => Literal::of(expr).filter(Literal::is_number),
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => {
                let number =
                    Literal::of(expr).filter(|literal| literal.is_number() && !literal.text.starts_with('-'))?;
                Some(Literal { text: format!("-{}", number.text), ..number })
            }
            _ => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.kind, LiteralKind::Integer | LiteralKind::Decimal)
    }

    /// Returns the digits of the number without the point, and how many of them are behind it; `None` if they are more
    /// than a decimal can have.
    fn digits(&self) -> Option<(String, usize)> {
        let number = Numeral::parse(&self.text)?;
        let (_, scale) = number.shape()?;
        let digits = number.to_scaled(MOST_DIGITS, scale, Rounding::Exact)?.unsigned_abs();
        let sign = if number.is_negative() { "-" } else { "" };
        let scale = usize::from(scale.unsigned_abs());
        Some((format!("{sign}{digits:0>width$}", width = scale + 1), scale))
    }

    /// Returns the expression that replaces the literal for a column of this type, or `None` to keep it.
    fn stored(&self, data_type: &DataType) -> Option<ast::Expr> {
        match data_type {
            DataType::Decimal128(_, column_scale) if self.is_number() => {
                let (mut digits, scale) = self.digits()?;
                // At least the column's scale, so that rows with no more digits than the column all get one type.
                let wanted = scale.max(usize::try_from(*column_scale).unwrap_or(0));
                digits.insert(digits.len() - scale, '.');
                let info = ast::ExactNumberInfo::PrecisionAndScale(u64::from(MOST_DIGITS), wanted as i64);
                Some(ast::Expr::Cast {
                    kind: ast::CastKind::Cast,
                    expr: Box::new(self.value(ast::Value::SingleQuotedString(digits))),
                    data_type: ast::DataType::Decimal(info),
                    array: false,
                    format: None,
                })
            }
            data_type if data_type.is_integer() && self.kind == LiteralKind::Decimal => match self.digits()? {
                (digits, 0) => Some(match digits.strip_prefix('-') {
                    Some(positive) => ast::Expr::UnaryOp {
                        op: ast::UnaryOperator::Minus,
                        expr: Box::new(self.value(ast::Value::Number(positive.to_owned(), false))),
                    },
                    None => self.value(ast::Value::Number(digits, false)),
                }),
                _ => None,
            },
            _ => None,
        }
    }

    fn value(&self, value: ast::Value) -> ast::Expr {
        ast::Expr::Value(ast::ValueWithSpan { value, span: self.span })
    }

    /// Returns whether the literal keeps its value as type `bound`, on its way to a column of type `stored`.
    fn is_kept_by(&self, bound: &DataType, stored: &DataType) -> bool {
        match self.kind {
            LiteralKind::Text => matches!(bound, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
            LiteralKind::Boolean => bound == &DataType::Boolean,
            LiteralKind::Integer if stored.is_floating() => self.digits().is_some_and(|(digits, _)| match stored {
                DataType::Float32 => digits.parse().is_ok_and(|float: f32| format!("{float:.0}") == digits),
                _ => digits.parse().is_ok_and(|float: f64| format!("{float:.0}") == digits),
            }),
            _ if stored.is_decimal() => match (self.digits(), bound) {
                (Some((_, scale)), DataType::Decimal128(_, bound_scale)) => i64::from(*bound_scale) >= scale as i64,
                _ => false,
            },
            LiteralKind::Integer => bound.is_integer() || bound.is_decimal(),
            LiteralKind::Decimal if stored.is_integer() && !bound.is_floating() => {
                self.digits().is_some_and(|(_, scale)| scale == 0) && (bound.is_integer() || bound.is_decimal())
            }
            LiteralKind::Decimal => bound.is_floating(),
        }
    }
}

/// Replaces the literals of VALUES by what the target's columns store.
pub(super) fn store_rows(query: &mut ast::Query, target: &RelationInfo, columns: &[usize]) {
    let ast::SetExpr::Values(values) = query.body.as_mut() else { return };
    for row in &mut values.rows {
        for (expr, column) in row.content.iter_mut().zip(columns) {
            store(expr, target.schema.field(*column).data_type());
        }
    }
}

/// Replaces a literal by what a column of this type stores.
pub(super) fn store(expr: &mut ast::Expr, data_type: &DataType) {
    if let Some(stored) = Literal::of(expr).and_then(|literal| literal.stored(data_type)) {
        *expr = stored;
    }
}

/// Refuses VALUES with a literal whose value changes when it gets the type of its column of the list.
pub(super) fn check_rows(
    query: &ast::Query,
    target: &RelationInfo,
    columns: &[usize],
    bound: &Schema,
) -> Result<(), PlanError> {
    let ast::SetExpr::Values(values) = query.body.as_ref() else { return Ok(()) };
    for (position, column) in columns.iter().enumerate() {
        let (bound, field) = (bound.field(position).data_type(), target.schema.field(*column));
        for (row, exprs) in values.rows.iter().enumerate() {
            let Some(literal) = exprs.content.get(position).and_then(Literal::of) else { continue };
            if !literal.is_kept_by(bound, field.data_type()) {
                let (name, table, stored) = (field.name(), &target.name, type_name(field.data_type()));
                let (expr, bound) = (&exprs.content[position], type_name(bound));
                return Err(PlanError::invalid(format!(
                    "row {row}: {expr} cannot be stored in column {name} ({stored}) of {table}: VALUES makes a {bound} of it"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::parse_condition;

    /// Returns what a literal becomes for a column of this type; `as it is` if it stays.
    fn stored(literal: &str, data_type: &DataType) -> String {
        let expr = parse_condition(literal).expect("an expression");
        let literal = Literal::of(&expr).expect("a literal");
        literal.stored(data_type).map_or("as it is".to_owned(), |expr| expr.to_string())
    }

    /// Which literals are stored as decimals or integers: literal, for a DECIMAL(10,2), for a BIGINT.
    #[test]
    fn numbers_are_stored_as_written() {
        let cases = [
            ("0", "CAST('0.' AS DECIMAL(38,2))", "as it is"),
            ("-0", "CAST('-0.' AS DECIMAL(38,2))", "as it is"),
            ("-0.0", "CAST('-0.' AS DECIMAL(38,2))", "-0"),
            ("007", "CAST('7.' AS DECIMAL(38,2))", "as it is"),
            ("1.", "CAST('1.' AS DECIMAL(38,2))", "1"),
            (".5", "CAST('0.5' AS DECIMAL(38,2))", "as it is"),
            ("-.50", "CAST('-0.5' AS DECIMAL(38,2))", "as it is"),
            ("1.5e3", "CAST('1500.' AS DECIMAL(38,2))", "1500"),
            ("1E-3", "CAST('0.001' AS DECIMAL(38,3))", "as it is"),
            ("1.250e+3", "CAST('1250.' AS DECIMAL(38,2))", "1250"),
            ("12e-1", "CAST('1.2' AS DECIMAL(38,2))", "as it is"),
            (
                "1e37",
                "CAST('10000000000000000000000000000000000000.' AS DECIMAL(38,2))",
                "10000000000000000000000000000000000000",
            ),
            ("1e38", "as it is", "as it is"),
            ("1e-38", "CAST('0.00000000000000000000000000000000000001' AS DECIMAL(38,38))", "as it is"),
            ("1e-39", "as it is", "as it is"),
            ("0e38", "CAST('0.' AS DECIMAL(38,2))", "0"),
            ("0e2147483648", "CAST('0.' AS DECIMAL(38,2))", "0"),
            ("0e99999999999999999999", "CAST('0.' AS DECIMAL(38,2))", "0"),
            ("1e2147483648", "as it is", "as it is"),
            ("1e-99999999999999999999", "as it is", "as it is"),
            ("1_000", "CAST('1000.' AS DECIMAL(38,2))", "as it is"),
            ("1_000.5", "CAST('1000.5' AS DECIMAL(38,2))", "as it is"),
            (
                "99999999999999999999999999999999999999",
                "CAST('99999999999999999999999999999999999999.' AS DECIMAL(38,2))",
                "as it is",
            ),
            (
                "099999999999999999999999999999999999999.0",
                "CAST('99999999999999999999999999999999999999.' AS DECIMAL(38,2))",
                "99999999999999999999999999999999999999",
            ),
            ("100000000000000000000000000000000000000", "as it is", "as it is"),
            (
                "0.99999999999999999999999999999999999999",
                "CAST('0.99999999999999999999999999999999999999' AS DECIMAL(38,38))",
                "as it is",
            ),
            ("1.99999999999999999999999999999999999999", "as it is", "as it is"),
        ];
        for (literal, decimal, integer) in cases {
            assert_eq!(stored(literal, &DataType::Decimal128(10, 2)), decimal, "{literal} in a DECIMAL(10,2)");
            assert_eq!(stored(literal, &DataType::Int64), integer, "{literal} in a BIGINT");
        }
    }

    /// The text with underscores was no decimal, and 1_000 was taken for a number with a fraction, which a column of
    /// VALUES with integers alone does not keep.
    #[test]
    fn underscores_do_not_change_what_a_literal_is() {
        for (plain, with_underscores) in
            [("1000", "1_000"), ("-1000", "-1_000"), ("1000.5", "1_000.5"), ("1000e1", "1_000e1")]
        {
            let [plain, with_underscores] = [plain, with_underscores].map(|text| {
                let literal = parse_condition(text).ok().and_then(|expr| Literal::of(&expr)).expect("a literal");
                let kept = |bound: DataType| literal.is_kept_by(&bound, &DataType::Float64);
                (literal.kind, literal.digits(), kept(DataType::Int64), kept(DataType::Float64))
            });
            assert_eq!(plain, with_underscores);
        }
    }
}
