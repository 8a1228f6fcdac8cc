//! Parses INSERT, UPDATE, DELETE and TRUNCATE with sqlparser's grammar, and refuses what is not supported.

use sqlparser::ast::{self, FromTable, OnConflictAction, OnInsert, SqliteOnConflict, TableFactor, TableObject};
use sqlparser::tokenizer::Token;

use super::parser::{ParseResult, StatementParser, is_word};
use super::{Delete, Insert, Name, OnConflict, Statement, Update};
use crate::error::PlanError;

impl StatementParser<'_> {
    pub(super) fn insert(&mut self) -> ParseResult<Statement> {
        let word = self.parser.next_token();
        self.refuse_local()?;
        let ast::Statement::Insert(insert) = self.read(|parser| parser.parse_insert(word))? else {
            return Err(unsupported("INSERT", "this form").into());
        };
        Ok(Statement::Insert(Box::new(insert_of(insert)?)))
    }

    /// Refuses LOCAL before the table, which the parser would skip even if it is the table's name.
    fn refuse_local(&self) -> ParseResult<()> {
        let rest = self.rest();
        let at = rest.iter().take(3).position(|token| is_word(&token.token, "INTO")).map_or(0, |into| into + 1);
        match rest.get(at) {
            Some(token) if is_word(&token.token, "LOCAL") => {
                Err(unsupported("INSERT", r#"LOCAL, which names a table in quotes only ("local"),"#).into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn update(&mut self) -> ParseResult<Statement> {
        let word = self.parser.next_token();
        let ast::Statement::Update(update) = self.read(|parser| parser.parse_update(word))? else {
            return Err(unsupported("UPDATE", "this form").into());
        };
        Ok(Statement::Update(Box::new(update_of(update)?)))
    }

    pub(super) fn delete(&mut self) -> ParseResult<Statement> {
        let word = self.parser.next_token();
        let ast::Statement::Delete(delete) = self.read(|parser| parser.parse_delete(word))? else {
            return Err(unsupported("DELETE", "this form").into());
        };
        Ok(Statement::Delete(Box::new(delete_of(delete)?)))
    }

    pub(super) fn truncate(&mut self) -> ParseResult<Statement> {
        self.parser.advance_token();
        self.eat("TABLE");
        let name = self.name()?;
        if self.parser.peek_token_ref().token == Token::Comma {
            return Err(unsupported("TRUNCATE", "more than one table").into());
        }
        Ok(Statement::Truncate(name))
    }
}

fn unsupported(statement: &str, what: &str) -> PlanError {
    PlanError::invalid(format!("{statement} with {what} is not supported"))
}

/// Fails with the first part that is present.
fn refuse(statement: &str, parts: &[(bool, &str)]) -> Result<(), PlanError> {
    match parts.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(unsupported(statement, what)),
        None => Ok(()),
    }
}

/// Returns the only part of a name; fails if there are more.
pub(crate) fn single_name(name: &ast::ObjectName) -> Result<Name, PlanError> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] => Ok(Name::of(ident)),
        _ => Err(PlanError::invalid(format!("{name} is not known: names have no schema or catalog"))),
    }
}

fn insert_of(insert: ast::Insert) -> Result<Insert, PlanError> {
    refuse_insert_parts(&insert)?;
    let TableObject::TableName(table) = &insert.table else {
        return Err(unsupported("INSERT", "anything but a table's name"));
    };
    let columns: Vec<_> = insert.columns.iter().map(single_name).collect::<Result<_, _>>()?;
    let source = insert.source.ok_or_else(|| unsupported("INSERT", "DEFAULT VALUES"))?;
    let conflict = match (insert.or, insert.on) {
        (None, None) => OnConflict::Fail,
        (Some(SqliteOnConflict::Replace), None) => OnConflict::Replace,
        (Some(SqliteOnConflict::Ignore), None) => OnConflict::DoNothing { target: Vec::new() },
        (None, Some(OnInsert::OnConflict(conflict))) => on_conflict_of(conflict)?,
        _ => return Err(unsupported("INSERT", "this conflict clause")),
    };
    let columns = if columns.is_empty() { None } else { Some(columns) };
    Ok(Insert { table: single_name(table)?, columns, source, conflict })
}

/// Refuses the parts of an INSERT that other dialects have.
fn refuse_insert_parts(insert: &ast::Insert) -> Result<(), PlanError> {
    // Destructured in full so that a part added by a later version of the parser cannot be overlooked.
    let ast::Insert {
        insert_token: _,
        optimizer_hints,
        or: _,
        ignore,
        into: _,
        table: _,
        table_alias,
        columns: _,
        overwrite,
        source: _,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword: _,
        on: _,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    let is_multi_table = multi_table_insert_type.is_some()
        || !multi_table_into_clauses.is_empty()
        || !multi_table_when_clauses.is_empty()
        || multi_table_else_clause.is_some();
    refuse(
        "INSERT",
        &[
            (!optimizer_hints.is_empty(), "a hint"),
            (*ignore, "IGNORE"),
            (table_alias.is_some() || insert_alias.is_some(), "an alias"),
            (*overwrite, "OVERWRITE"),
            (partitioned.is_some() || !after_columns.is_empty(), "PARTITION"),
            (returning.is_some(), "RETURNING"),
            (output.is_some(), "OUTPUT"),
            (!assignments.is_empty(), "SET"),
            (*replace_into, "REPLACE INTO"),
            (priority.is_some(), "a priority"),
            (settings.is_some(), "SETTINGS"),
            (format_clause.is_some(), "FORMAT"),
            (is_multi_table, "several tables"),
        ],
    )
}

fn on_conflict_of(conflict: ast::OnConflict) -> Result<OnConflict, PlanError> {
    let ast::OnConflict { conflict_target, action } = conflict;
    let target = match conflict_target {
        None => Vec::new(),
        Some(ast::ConflictTarget::Columns(columns)) => columns.iter().map(Name::of).collect(),
        Some(ast::ConflictTarget::OnConstraint(_)) => return Err(unsupported("INSERT", "ON CONSTRAINT")),
    };
    Ok(match action {
        OnConflictAction::DoNothing => OnConflict::DoNothing { target },
        OnConflictAction::DoUpdate(ast::DoUpdate { assignments, selection }) => {
            OnConflict::DoUpdate { target, assignments, selection: selection.map(Box::new) }
        }
    })
}

/// Returns the table and alias of `FROM table [AS alias]`; fails if there is anything else.
fn plain_table(statement: &str, table: ast::TableWithJoins) -> Result<(Name, Option<Name>), PlanError> {
    let ast::TableWithJoins { relation, joins } = table;
    let not_plain = || unsupported(statement, "anything but one table");
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = relation
    else {
        return Err(not_plain());
    };
    if args.is_some() || !joins.is_empty() {
        return Err(not_plain());
    }
    refuse(
        statement,
        &[
            (!with_hints.is_empty() || !index_hints.is_empty(), "a table hint"),
            (version.is_some(), "FOR SYSTEM_TIME"),
            (with_ordinality, "WITH ORDINALITY"),
            (!partitions.is_empty(), "PARTITION"),
            (json_path.is_some(), "a JSON path"),
            (sample.is_some(), "TABLESAMPLE"),
        ],
    )?;
    let alias = match alias {
        None => None,
        Some(ast::TableAlias { explicit: _, name, columns, at: None }) if columns.is_empty() => Some(Name::of(&name)),
        Some(_) => return Err(unsupported(statement, "names for the columns of its table")),
    };
    Ok((single_name(&name)?, alias))
}

fn update_of(update: ast::Update) -> Result<Update, PlanError> {
    let ast::Update {
        update_token: _,
        optimizer_hints,
        table,
        assignments,
        from,
        selection,
        returning,
        output,
        or,
        order_by,
        limit,
    } = update;
    refuse(
        "UPDATE",
        &[
            (!optimizer_hints.is_empty(), "a hint"),
            (from.is_some(), "FROM"),
            (returning.is_some(), "RETURNING"),
            (output.is_some(), "OUTPUT"),
            (or.is_some(), "OR"),
            (!order_by.is_empty(), "ORDER BY"),
            (limit.is_some(), "LIMIT"),
        ],
    )?;
    let (table, alias) = plain_table("UPDATE", table)?;
    Ok(Update { table, alias, assignments, selection })
}

fn delete_of(delete: ast::Delete) -> Result<Delete, PlanError> {
    let ast::Delete {
        delete_token: _,
        optimizer_hints,
        tables,
        from,
        using,
        selection,
        returning,
        output,
        order_by,
        limit,
    } = delete;
    refuse(
        "DELETE",
        &[
            (!optimizer_hints.is_empty(), "a hint"),
            (!tables.is_empty(), "more than one table"),
            (using.is_some(), "USING"),
            (returning.is_some(), "RETURNING"),
            (output.is_some(), "OUTPUT"),
            (!order_by.is_empty(), "ORDER BY"),
            (limit.is_some(), "LIMIT"),
        ],
    )?;
    let (FromTable::WithFromKeyword(mut from) | FromTable::WithoutKeyword(mut from)) = from;
    if from.len() != 1 {
        return Err(unsupported("DELETE", "more than one table"));
    }
    let (table, alias) = plain_table("DELETE", from.remove(0))?;
    Ok(Delete { table, alias, selection })
}
