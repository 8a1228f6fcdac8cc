//! Builds `SELECT *` from one relation as a tree, from names and from conditions that are parsed separately.
//!
//! A condition inserted into SQL text could end the statement around it; in a tree it cannot.

use sqlparser::ast::{Expr, ObjectName, Query, SetExpr, TableAlias, TableFactor};
use sqlparser::parser::Parser;

use super::parser::{ParseResult, StatementParser, parse, parse_part};
use super::{Name, Parsed, Statement};
use crate::error::PlanError;

/// Selects all rows of the relation stored as `relation`, or those for which the condition `filter` is true.
pub fn select_all(relation: &str, filter: Option<&str>) -> Result<Parsed, PlanError> {
    let mut query = all_rows(relation, None);
    if let (SetExpr::Select(select), Some(filter)) = (query.body.as_mut(), filter) {
        select.selection = Some(parse_condition(filter)?);
    }
    let text = query.to_string();
    Ok(Parsed { statement: Statement::Query(query), text, parameters: Vec::new() })
}

/// Makes `SELECT *` from the relation stored as `relation`, under an alias if one is given.
pub(crate) fn all_rows(relation: &str, alias: Option<&Name>) -> Box<Query> {
    let parsed = parse("SELECT * FROM t AS a").map(|mut statements| statements.swap_remove(0).statement);
    let Ok(Statement::Query(mut query)) = parsed else { unreachable!("the text is a query") };
    if let SetExpr::Select(select) = query.body.as_mut()
        && let [from] = &mut select.from[..]
        && let TableFactor::Table { name, alias: known_as, .. } = &mut from.relation
    {
        *name = ObjectName::from(vec![quoted(relation)]);
        *known_as = alias
            .and_then(|alias| known_as.take().map(|known_as| TableAlias { name: quoted(&alias.value), ..known_as }));
    }
    query
}

fn quoted(name: &str) -> sqlparser::ast::Ident {
    sqlparser::ast::Ident::with_quote('"', name)
}

/// Parses one expression, which must be the whole text. Positions in errors refer to `text`.
pub fn parse_condition(text: &str) -> Result<Expr, PlanError> {
    parse_part(text, |parser| parser.condition())
}

impl StatementParser<'_> {
    /// Parses an expression, which must be all there is.
    fn condition(mut self) -> ParseResult<Expr> {
        let condition = self.read(Parser::parse_expr)?;
        if self.is_at_end() { Ok(condition) } else { self.expected("the end of the condition") }
    }
}
