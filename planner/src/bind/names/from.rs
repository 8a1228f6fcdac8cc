//! Resolves FROM: which columns exist and by which names.

use sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    Spanned, TableAlias, TableFactor, TableWithJoins,
};
use sqlparser::tokenizer::Span;

use super::scope::{Columns, Scope, at, exact};
use super::{Found, Names, renamed, shown};
use crate::error::PlanError;
use crate::statement::single_name;

/// Says which sides of a join keep all their rows, and which have columns in the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sides {
    Both,
    LeftRows,
    RightRows,
    AllRows,
    OnlyLeft,
    OnlyRight,
}

impl Names<'_> {
    /// Resolves the items that are separated by commas and returns their scope.
    pub(super) fn from(&mut self, tables: &mut [TableWithJoins]) -> Result<Scope, PlanError> {
        let mut scope = Scope::default();
        for table in tables {
            let tree = self.within(scope.clone(), |names| names.joined(table))?;
            scope.append(tree);
        }
        Ok(scope)
    }

    /// Resolves one item with its joins. The scope of the items before it must be innermost, for LATERAL.
    fn joined(&mut self, table: &mut TableWithJoins) -> Result<Scope, PlanError> {
        let mut left = self.factor(&mut table.relation, &Scope::default())?;
        for join in &mut table.joins {
            refuse_ignored_modifiers([(join.global, "GLOBAL JOIN")])
                .map_err(|error| located(error, join.relation.span()))?;
            // This must come before resolving names, because resolved names have no position.
            let sides = sides_of(&join.join_operator).map_err(|error| located(error, join.relation.span()))?;
            let right = self.factor(&mut join.relation, &left)?;
            left = self.join(join, sides, left, right)?;
        }
        Ok(left)
    }

    /// Resolves one table, subquery or parenthesised join. `before` is what LATERAL sees in addition to earlier items.
    fn factor(&mut self, factor: &mut TableFactor, before: &Scope) -> Result<Scope, PlanError> {
        let mut scope = Scope::default();
        let span = factor.span();
        match factor {
            TableFactor::Table { args: None, .. } => {
                refuse_ignored_modifiers(factor_modifiers(factor)).map_err(|error| located(error, span))?;
                let TableFactor::Table { name, alias, .. } = factor else { return Ok(scope) };
                let (qualifier, columns) = self.table(name, alias)?;
                scope.add(qualifier, columns);
            }
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                refuse_ignored_modifiers([(sample.is_some(), "TABLESAMPLE")]).map_err(|error| located(error, span))?;
                let columns = if *lateral {
                    self.within(before.clone(), |names| names.query(subquery))?
                } else {
                    self.without_from(|names| names.query(subquery))?
                };
                let alias = alias.get_or_insert_with(|| invented_alias(self.invent()));
                let columns = renamed(columns, alias)?;
                scope.add(alias.name.value.clone(), columns);
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                scope = self.joined(table_with_joins)?;
                if let Some(alias) = alias {
                    scope = aliased_join(&scope, alias)?;
                }
            }
            TableFactor::UNNEST { alias, array_exprs, .. } => {
                for expr in array_exprs {
                    self.within(before.clone(), |names| names.expr(expr))?;
                }
                let alias = alias.get_or_insert_with(|| invented_alias(self.invent()));
                let columns = renamed(None, alias)?;
                scope.add(alias.name.value.clone(), columns);
            }
            TableFactor::Function { args, alias, .. } => {
                self.table_function(args, alias.as_mut(), before, &mut scope)?;
            }
            TableFactor::Table { alias, args: Some(args), .. } => {
                self.table_function(&mut args.args, alias.as_mut(), before, &mut scope)?;
            }
            other => return Err(located(PlanError::invalid(format!("{other} in FROM is not supported")), span)),
        }
        Ok(scope)
    }

    /// Runs `work` without the innermost scope, because a derived table that is not LATERAL cannot see its neighbours.
    fn without_from<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, PlanError>) -> Result<T, PlanError> {
        let neighbours = self.scopes.pop();
        let result = work(self);
        self.scopes.extend(neighbours);
        result
    }

    fn table(&mut self, name: &mut ObjectName, alias: &mut Option<TableAlias>) -> Result<(String, Columns), PlanError> {
        let ident = only_ident(name)?;
        let Found { name: stored, qualifier, columns } = self.relation(&ident)?;
        if stored != qualifier && alias.is_none() {
            *alias = Some(invented_alias(qualifier.clone()));
        }
        *name = ObjectName::from(vec![exact(&stored)]);
        match alias {
            None => Ok((qualifier, columns)),
            Some(alias) => {
                let columns = renamed(columns, alias)?;
                Ok((alias.name.value.clone(), columns))
            }
        }
    }

    fn table_function(
        &mut self,
        args: &mut [FunctionArg],
        alias: Option<&mut TableAlias>,
        before: &Scope,
        scope: &mut Scope,
    ) -> Result<(), PlanError> {
        for arg in args {
            let (FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }) = arg
            else {
                continue;
            };
            self.within(before.clone(), |names| names.expr(expr))?;
        }
        match alias {
            Some(alias) => {
                let columns = renamed(None, alias)?;
                scope.add(alias.name.value.clone(), columns);
            }
            None => scope.add(self.invent(), None),
        }
        Ok(())
    }

    fn join(&mut self, join: &mut Join, sides: Sides, left: Scope, right: Scope) -> Result<Scope, PlanError> {
        let Some(constraint) = constraint_of(&mut join.join_operator) else {
            return Ok(combined(left, right, sides, &[]));
        };
        let common = match constraint {
            JoinConstraint::On(expr) => {
                let mut both = left.clone();
                both.append(right.clone());
                self.within(both, |names| names.expr(expr))?;
                Vec::new()
            }
            JoinConstraint::None => Vec::new(),
            JoinConstraint::Using(columns) => {
                let names = columns.iter().map(only_ident).collect::<Result<Vec<_>, _>>()?;
                common_columns(&left, &right, &names)?
            }
            JoinConstraint::Natural => {
                let names = natural_names(&left, &right)?;
                common_columns(&left, &right, &names)?
            }
        };
        if let Some(on) = equalities(&left, &right, &common) {
            *constraint = JoinConstraint::On(on);
        } else if matches!(constraint, JoinConstraint::Natural) {
            return Err(PlanError::invalid("NATURAL JOIN of tables without a common column"));
        }
        Ok(combined(left, right, sides, &common))
    }
}

/// Adds the position of the refused construct to an error.
fn located(error: PlanError, span: Span) -> PlanError {
    PlanError::invalid(format!("{error}{}", at(span.start)))
}

/// Makes a table alias that is not in the statement.
pub(super) fn invented_alias(name: String) -> TableAlias {
    TableAlias { explicit: true, name: exact(&name), columns: Vec::new(), at: None }
}

fn factor_modifiers(factor: &TableFactor) -> [(bool, &'static str); 6] {
    match factor {
        TableFactor::Table {
            with_hints, version, with_ordinality, partitions, json_path, sample, index_hints, ..
        } => [
            (!with_hints.is_empty() || !index_hints.is_empty(), "a table hint"),
            (version.is_some(), "FOR SYSTEM_TIME"),
            (*with_ordinality, "WITH ORDINALITY"),
            (!partitions.is_empty(), "PARTITION"),
            (json_path.is_some(), "a JSON path in FROM"),
            (sample.is_some(), "TABLESAMPLE"),
        ],
        _ => [(false, ""); 6],
    }
}

fn refuse_ignored_modifiers<const N: usize>(modifiers: [(bool, &'static str); N]) -> Result<(), PlanError> {
    match modifiers.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(PlanError::invalid(format!("{what} is not supported"))),
        None => Ok(()),
    }
}

/// Makes the scope of a parenthesised join with an alias; fails if its column names repeat.
fn aliased_join(scope: &Scope, alias: &mut TableAlias) -> Result<Scope, PlanError> {
    let mut columns = Vec::new();
    for item in &scope.items {
        let Some(known) = &item.columns else {
            return Err(PlanError::invalid("a table function in a parenthesised join with an alias is not supported"));
        };
        columns.extend(known.iter().cloned());
    }
    let unique = shown::unique(columns.iter().map(|column| column.internal.clone()).collect());
    if unique.iter().any(|column| column.shown != column.internal) {
        let name = &alias.name.value;
        return Err(PlanError::invalid(format!("columns of the parenthesised join {name} repeat; use a subquery")));
    }
    let columns = renamed(Some(columns), alias)?;
    let mut named = Scope::default();
    named.add(alias.name.value.clone(), columns);
    Ok(named)
}

fn sides_of(operator: &JoinOperator) -> Result<Sides, PlanError> {
    Ok(match operator {
        JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => Sides::Both,
        JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Sides::LeftRows,
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Sides::RightRows,
        JoinOperator::FullOuter(_) => Sides::AllRows,
        JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_) => Sides::OnlyLeft,
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => Sides::OnlyRight,
        JoinOperator::Semi(_) | JoinOperator::Anti(_) => {
            return Err(PlanError::invalid("SEMI JOIN and ANTI JOIN are not supported; use EXISTS"));
        }
        JoinOperator::AsOf { .. } => return Err(PlanError::invalid("ASOF JOIN is not supported")),
        _ => return Err(PlanError::invalid("this kind of JOIN is not supported")),
    })
}

fn constraint_of(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

/// Returns the names that both sides have, in the left side's order.
fn natural_names(left: &Scope, right: &Scope) -> Result<Vec<Ident>, PlanError> {
    if left.is_opaque() || right.is_opaque() {
        return Err(PlanError::invalid("NATURAL JOIN of a table function is not supported"));
    }
    let mut names: Vec<Ident> = Vec::new();
    for column in &left.columns {
        let name = exact(&column.shown);
        if right.columns.iter().any(|other| other.shown == column.shown) && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Returns, for each name, its columns in the left and in the right scope.
fn common_columns(left: &Scope, right: &Scope, names: &[Ident]) -> Result<Vec<(usize, usize)>, PlanError> {
    if left.is_opaque() || right.is_opaque() {
        return Err(PlanError::invalid("USING with a table function is not supported"));
    }
    let find = |scope: &Scope, name: &Ident, side: &str| {
        let missing = || {
            let at = at(name.span.start);
            PlanError::invalid(format!("column {} of USING does not exist in the {side} table{at}", name.value))
        };
        scope.column(name)?.ok_or_else(missing)
    };
    names.iter().map(|name| Ok((find(left, name, "left")?, find(right, name, "right")?))).collect()
}

/// Returns the identifier of a name with only one part.
pub(super) fn only_ident(name: &ObjectName) -> Result<Ident, PlanError> {
    single_name(name)?;
    Ok(name.0[0].as_ident().expect("a single name is an identifier").clone())
}

fn equalities(left: &Scope, right: &Scope, common: &[(usize, usize)]) -> Option<Expr> {
    let equal = |(l, r): &(usize, usize)| Expr::BinaryOp {
        left: Box::new(left.columns[*l].expr.clone()),
        op: BinaryOperator::Eq,
        right: Box::new(right.columns[*r].expr.clone()),
    };
    common.iter().map(equal).reduce(|all, next| Expr::BinaryOp {
        left: Box::new(all),
        op: BinaryOperator::And,
        right: Box::new(next),
    })
}

/// Combines the scopes of a join: the left side's columns, with common ones in their place, then the right side's
/// others.
fn combined(left: Scope, right: Scope, sides: Sides, common: &[(usize, usize)]) -> Scope {
    match sides {
        Sides::OnlyLeft => return left,
        Sides::OnlyRight => return right,
        _ => {}
    }
    let mut columns = left.columns;
    for (l, r) in common {
        let right = right.columns[*r].expr.clone();
        let column = &mut columns[*l];
        // A common column takes its value from the side whose rows are all kept, since the other side can be NULL.
        column.expr = match sides {
            Sides::RightRows => right,
            Sides::AllRows => coalesce(column.expr.clone(), right),
            _ => continue,
        };
    }
    let others = right.columns.into_iter().enumerate().filter(|(idx, _)| !common.iter().any(|(_, r)| r == idx));
    columns.extend(others.map(|(_, column)| column));
    let items = left.items.into_iter().chain(right.items).collect();
    Scope { items, columns, aliases: Vec::new() }
}

fn coalesce(left: Expr, right: Expr) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(ast::Function {
        name: ObjectName::from(vec![exact("coalesce")]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![argument(left), argument(right)],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
