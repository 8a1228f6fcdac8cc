//! The SQL dialect: DuckDB's grammar, which is PostgreSQL's with additions.

use std::any::TypeId;
use std::cell::Cell;

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, DuckDbDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::budget;

/// Precedence of the power operator: higher than that of a product, which is 40.
const POWER: u8 = 43;

/// Precedence of AT TIME ZONE.
const AT_TIME_ZONE: u8 = 45;

/// Precedence of a sign: lower than that of a cast by `::`, which is 50.
const SIGN: u8 = 46;

/// Returns the number of tokens of `^` or `**`, if one of them is next.
fn is_power(parser: &Parser) -> Option<usize> {
    let next = |nth| parser.peek_nth_token_ref(nth).token.clone();
    match next(0) {
        Token::Caret => Some(1),
        Token::Mul if next(1) == Token::Mul => Some(2),
        _ => None,
    }
}

/// DuckDB's dialect without trailing commas and FROM-first syntax, and with PostgreSQL's string escapes.
///
/// It counts the expressions that a parser begins, because the parser reads some forms more than once: where it knows
/// several for the same words, it tries one after the other, at each level of nesting. A statement of a hundred
/// characters could take hours.
#[derive(Debug, Default)]
pub(super) struct LaminarDialect {
    /// Number of expressions that may still be begun.
    steps: Cell<usize>,
}

impl LaminarDialect {
    /// Makes a dialect whose parser may begin `steps` expressions, and none after the call was cancelled. It fails at
    /// every one after them, so it ends soon.
    pub(super) fn with_steps(steps: usize) -> Self {
        LaminarDialect { steps: Cell::new(steps) }
    }

    /// Returns whether all steps were taken.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.get() == 0
    }
}

impl Dialect for LaminarDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<DuckDbDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '$' || ch == '_'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_dollar_placeholder(&self) -> bool {
        true
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    /// As in PostgreSQL and DuckDB, a power binds tighter than a product, a sign tighter than a power, and AT TIME ZONE
    /// tighter than all binary operators.
    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::AtTz => AT_TIME_ZONE,
            other => DuckDbDialect {}.prec_value(other),
        }
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        is_power(parser).map(|_| Ok(POWER))
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let left = self.steps.get().checked_sub(1).filter(|_| budget::spend(0).is_ok());
        self.steps.set(left.unwrap_or(0));
        if left.is_none() {
            return Some(Err(ParserError::RecursionLimitExceeded));
        }
        let op = match parser.peek_token_ref().token {
            Token::Minus => UnaryOperator::Minus,
            Token::Plus => UnaryOperator::Plus,
            _ => return None,
        };
        parser.advance_token();
        let operand = parser.parse_subexpr(SIGN);
        Some(operand.map(|expr| Expr::UnaryOp { op, expr: Box::new(expr) }))
    }

    /// The parser itself takes everything after IS DISTINCT FROM, including `AND` and `OR`, for the right side, and
    /// does not accept IN without parentheses.
    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if let Some(negated) = is_in_placeholder(parser) {
            return Some(in_list_parameter(parser, expr, negated));
        }
        if let Some(tokens) = is_power(parser) {
            (0..tokens).for_each(|_| parser.advance_token());
            let right = parser.parse_subexpr(precedence);
            let power = |right| Expr::BinaryOp {
                left: Box::new(expr.clone()),
                op: BinaryOperator::PGExp,
                right: Box::new(right),
            };
            return Some(right.map(power));
        }
        if parser.peek_token_ref().token == Token::Sharp {
            return Some(parser.expected("an operator, such as xor(a, b) in place of a # b", parser.peek_token()));
        }
        let make = if parser.parse_keywords(&[Keyword::IS, Keyword::DISTINCT, Keyword::FROM]) {
            Expr::IsDistinctFrom
        } else if parser.parse_keywords(&[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM]) {
            Expr::IsNotDistinctFrom
        } else {
            return None;
        };
        let right = parser.parse_subexpr(precedence);
        Some(right.map(|right| make(Box::new(expr.clone()), Box::new(right))))
    }
}

/// Tests whether `IN` or `NOT IN` and a placeholder come next; the value says whether it is `NOT IN`.
fn is_in_placeholder(parser: &Parser) -> Option<bool> {
    let word = |n, keyword| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(word) if word.keyword == keyword);
    let negated = word(0, Keyword::NOT);
    let at = usize::from(negated);
    let is_placeholder = matches!(parser.peek_nth_token_ref(at + 1).token, Token::Placeholder(_));
    (word(at, Keyword::IN) && is_placeholder).then_some(negated)
}

/// Parses what [`is_in_placeholder`] has found.
fn in_list_parameter(parser: &mut Parser, expr: &Expr, negated: bool) -> Result<Expr, ParserError> {
    for _ in 0..=usize::from(negated) {
        parser.advance_token();
    }
    let array_expr = Box::new(Expr::Value(parser.parse_value()?));
    Ok(Expr::InUnnest { expr: Box::new(expr.clone()), array_expr, negated })
}
