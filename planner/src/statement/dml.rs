//! INSERT, UPDATE, DELETE, TRUNCATE: sqlparser's grammar, less what we do not do.

use sqlparser::ast::{self, FromTable, OnConflictAction, OnInsert, SqliteOnConflict, TableFactor, TableObject};
use sqlparser::tokenizer::Token;

use super::parser::{Read, StatementParser};
use super::{Delete, Insert, Name, OnConflict, Statement, Update};
use crate::error::PlanError;

impl StatementParser<'_> {
    pub(super) fn insert(&mut self) -> Read<Statement> {
        let word = self.parser.next_token();
        let ast::Statement::Insert(insert) = self.read(|parser| parser.parse_insert(word))? else {
            return Err(unsupported("INSERT", "this form").into());
        };
        Ok(Statement::Insert(Box::new(insert_of(insert)?)))
    }

    pub(super) fn update(&mut self) -> Read<Statement> {
        let word = self.parser.next_token();
        let ast::Statement::Update(update) = self.read(|parser| parser.parse_update(word))? else {
            return Err(unsupported("UPDATE", "this form").into());
        };
        Ok(Statement::Update(Box::new(update_of(update)?)))
    }

    pub(super) fn delete(&mut self) -> Read<Statement> {
        let word = self.parser.next_token();
        let ast::Statement::Delete(delete) = self.read(|parser| parser.parse_delete(word))? else {
            return Err(unsupported("DELETE", "this form").into());
        };
        Ok(Statement::Delete(Box::new(delete_of(delete)?)))
    }

    pub(super) fn truncate(&mut self) -> Read<Statement> {
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

/// Fails when one of the parts is there.
fn refuse(statement: &str, parts: &[(bool, &str)]) -> Result<(), PlanError> {
    match parts.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(unsupported(statement, what)),
        None => Ok(()),
    }
}

/// The only part of a name.
pub(crate) fn single_name(name: &ast::ObjectName) -> Result<Name, PlanError> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(ident)] => Ok(Name::of(ident)),
        _ => Err(PlanError::invalid(format!("{name} is not known: names have no schema or catalog"))),
    }
}

fn insert_of(insert: ast::Insert) -> Result<Insert, PlanError> {
    refuse(
        "INSERT",
        &[
            (insert.table_alias.is_some(), "an alias"),
            (insert.overwrite, "OVERWRITE"),
            (insert.partitioned.is_some(), "PARTITION"),
            (insert.returning.is_some(), "RETURNING"),
            (insert.output.is_some(), "OUTPUT"),
            (!insert.assignments.is_empty(), "SET"),
            (insert.source.is_none(), "DEFAULT VALUES"),
        ],
    )?;
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

fn on_conflict_of(conflict: ast::OnConflict) -> Result<OnConflict, PlanError> {
    let target = match conflict.conflict_target {
        None => Vec::new(),
        Some(ast::ConflictTarget::Columns(columns)) => columns.iter().map(Name::of).collect(),
        Some(ast::ConflictTarget::OnConstraint(_)) => return Err(unsupported("INSERT", "ON CONSTRAINT")),
    };
    Ok(match conflict.action {
        OnConflictAction::DoNothing => OnConflict::DoNothing { target },
        OnConflictAction::DoUpdate(update) => {
            OnConflict::DoUpdate { target, assignments: update.assignments, selection: update.selection.map(Box::new) }
        }
    })
}

/// The table and alias of `FROM table [AS alias]` with nothing more.
fn plain_table(statement: &str, table: ast::TableWithJoins) -> Result<(Name, Option<Name>), PlanError> {
    match table.relation {
        TableFactor::Table { name, alias, args: None, .. } if table.joins.is_empty() => {
            Ok((single_name(&name)?, alias.map(|alias| Name::of(&alias.name))))
        }
        _ => Err(unsupported(statement, "anything but one table")),
    }
}

fn update_of(update: ast::Update) -> Result<Update, PlanError> {
    refuse(
        "UPDATE",
        &[
            (update.from.is_some(), "FROM"),
            (update.returning.is_some(), "RETURNING"),
            (update.output.is_some(), "OUTPUT"),
            (update.or.is_some(), "OR"),
            (!update.order_by.is_empty(), "ORDER BY"),
            (update.limit.is_some(), "LIMIT"),
        ],
    )?;
    let (table, alias) = plain_table("UPDATE", update.table)?;
    Ok(Update { table, alias, assignments: update.assignments, selection: update.selection })
}

fn delete_of(delete: ast::Delete) -> Result<Delete, PlanError> {
    refuse(
        "DELETE",
        &[
            (!delete.tables.is_empty(), "more than one table"),
            (delete.using.is_some(), "USING"),
            (delete.returning.is_some(), "RETURNING"),
            (delete.output.is_some(), "OUTPUT"),
            (!delete.order_by.is_empty(), "ORDER BY"),
            (delete.limit.is_some(), "LIMIT"),
        ],
    )?;
    let (FromTable::WithFromKeyword(mut from) | FromTable::WithoutKeyword(mut from)) = delete.from;
    if from.len() != 1 {
        return Err(unsupported("DELETE", "more than one table"));
    }
    let (table, alias) = plain_table("DELETE", from.remove(0))?;
    Ok(Delete { table, alias, selection: delete.selection })
}
