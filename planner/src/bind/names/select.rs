//! Resolves one SELECT: its list becomes columns with unique internal names, and its clauses see the right scopes.

use sqlparser::ast::{
    self, Distinct, ExcludeSelectItem, Expr, GroupByExpr, Ident, NamedWindowExpr, Select, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::from::only_ident;
use super::order_by::SelectColumn;
use super::scope::{Column, Columns, Scope, ScopeColumn, at, exact, qualified, unknown};
use super::{Names, item_expr, shown, sort_exprs};
use crate::catalog::find_name;
use crate::error::PlanError;
use crate::statement::Name;

/// An item of the SELECT list after `*` was expanded.
struct Item {
    shown: String,
    expr: Expr,
    /// The expression as written, to find it again in ORDER BY; `None` for an item that came from `*`.
    written: Option<Expr>,
}

/// The columns of a SELECT, and the name of the derived table that it must become for its order, if it must.
pub(super) type Selected = (Columns, Option<String>);

impl Names<'_> {
    pub(super) fn select(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<Selected, PlanError> {
        refuse_ignored_parts(select)?;
        let scope = self.from(&mut select.from)?;
        self.within(scope, |names| names.clauses(select, order_by))
    }

    /// Resolves all clauses except FROM, whose scope must be innermost.
    fn clauses(&mut self, select: &mut Select, order_by: Option<&mut ast::OrderBy>) -> Result<Selected, PlanError> {
        if let Some(selection) = &mut select.selection {
            self.expr(selection)?;
        }
        match self.items(std::mem::take(&mut select.projection))? {
            Ok(items) => self.named_outputs(select, items, order_by),
            Err(projection) => Ok((self.opaque_outputs(select, projection, order_by)?, None)),
        }
    }

    fn named_outputs(
        &mut self,
        select: &mut Select,
        items: Vec<Item>,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<Selected, PlanError> {
        let columns = shown::unique(items.iter().map(|item| item.shown.clone()).collect());
        let outputs: Vec<SelectColumn> = items
            .into_iter()
            .zip(&columns)
            .map(|(Item { expr, written, .. }, column)| SelectColumn { column: column.clone(), written, expr })
            .collect();
        let scope = self.innermost();
        select.projection = outputs.iter().map(|output| item(output.expr.clone(), &output.column, scope)).collect();
        self.other_clauses(select, &outputs)?;
        let around = match order_by {
            Some(order_by) => self.order_select(select, order_by, &outputs)?,
            None => None,
        };
        Ok((Some(columns), around))
    }

    /// Resolves a SELECT list with a `*` that only DataFusion can expand; only the other items are resolved.
    fn opaque_outputs(
        &mut self,
        select: &mut Select,
        mut projection: Vec<SelectItem>,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<Columns, PlanError> {
        for item in &mut projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                self.expr(expr)?;
            }
        }
        select.projection = projection;
        self.other_clauses(select, &[])?;
        if let Some(order_by) = order_by {
            for expr in sort_exprs(order_by)? {
                self.expr(expr)?;
            }
        }
        Ok(None)
    }

    /// Resolves GROUP BY, HAVING, QUALIFY, WINDOW and DISTINCT ON. Columns of FROM take precedence over list names.
    fn other_clauses(&mut self, select: &mut Select, outputs: &[SelectColumn]) -> Result<(), PlanError> {
        let alias = |output: &SelectColumn, expr: Expr| ScopeColumn { shown: output.column.shown.clone(), expr };
        self.innermost().aliases = outputs.iter().map(|output| alias(output, output.expr.clone())).collect();
        if let GroupByExpr::Expressions(exprs, modifiers) = &mut select.group_by {
            if !modifiers.is_empty() {
                return Err(PlanError::invalid("GROUP BY ... WITH is not supported; use GROUPING SETS"));
            }
            self.group_by(exprs, outputs)?;
        }
        if let Some(expr) = &mut select.having {
            self.expr(expr)?;
        }
        if let Some(Distinct::On(exprs)) = &mut select.distinct {
            for expr in exprs {
                self.expr(expr)?;
            }
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                let sorts = spec.order_by.iter_mut().map(|sort| &mut sort.expr);
                for expr in spec.partition_by.iter_mut().chain(sorts) {
                    self.expr(expr)?;
                }
            }
        }
        // DataFusion substitutes named windows in the SELECT list only, so QUALIFY has to refer to its columns by name.
        let named = outputs.iter().map(|output| alias(output, Expr::Identifier(exact(&output.column.internal))));
        self.innermost().aliases = named.collect();
        if let Some(expr) = &mut select.qualify {
            self.expr(expr)?;
        }
        Ok(())
    }

    /// Expands every `*` of the SELECT list; returns the list itself as `Err` if one cannot be expanded.
    fn items(&mut self, projection: Vec<SelectItem>) -> Result<Result<Vec<Item>, Vec<SelectItem>>, PlanError> {
        let scope = self.innermost().clone();
        let stars = projection.iter().any(|item| item_expr(item).is_none());
        if stars && scope.is_opaque() {
            return Ok(Err(projection));
        }
        let mut items = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => items.push(self.unnamed(expr, &scope)?),
                SelectItem::ExprWithAlias { mut expr, alias } => {
                    let written = Some(expr.clone());
                    self.expr(&mut expr)?;
                    items.push(Item { shown: Name::of(&alias).value, expr, written });
                }
                SelectItem::Wildcard(options) => {
                    if scope.items.is_empty() {
                        return Err(PlanError::invalid("SELECT * without FROM"));
                    }
                    self.star(scope.columns.clone(), options, &mut items)?;
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    self.star(qualified_columns(&scope, &kind)?, options, &mut items)?;
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(PlanError::invalid("several aliases for one expression are not supported"));
                }
            }
        }
        Ok(Ok(items))
    }

    /// Names an item without an alias: a column has its stored name, a field its own, and an expression its text.
    fn unnamed(&mut self, mut expr: Expr, scope: &Scope) -> Result<Item, PlanError> {
        let written = Some(expr.clone());
        let text = shown::expr_text(&expr);
        let shown = match unwrapped(&expr) {
            Expr::Identifier(ident) => scope.column(ident)?.map(|idx| scope.columns[idx].shown.clone()),
            Expr::CompoundIdentifier(idents) => compound_name(scope, idents)?,
            _ => None,
        };
        self.expr(&mut expr)?;
        Ok(Item { shown: shown.unwrap_or(text), expr, written })
    }

    fn star(
        &mut self,
        mut columns: Vec<ScopeColumn>,
        options: WildcardAdditionalOptions,
        items: &mut Vec<Item>,
    ) -> Result<(), PlanError> {
        let WildcardAdditionalOptions {
            wildcard_token: _,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        if opt_ilike.is_some() || opt_except.is_some() || opt_rename.is_some() || opt_alias.is_some() {
            return Err(PlanError::invalid("* takes EXCLUDE and REPLACE only"));
        }
        let mut excluded = Vec::new();
        match opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => excluded.push(name),
            Some(ExcludeSelectItem::Multiple(names)) => excluded.extend(names),
            None => {}
        }
        for name in &excluded {
            let idx = starred(&columns, &only_ident(name)?, "EXCLUDE")?;
            columns.remove(idx);
        }
        for element in opt_replace.into_iter().flat_map(|replace| replace.items) {
            let idx = starred(&columns, &element.column_name, "REPLACE")?;
            let mut expr = element.expr;
            self.expr(&mut expr)?;
            columns[idx].expr = expr;
        }
        items.extend(columns.into_iter().map(|ScopeColumn { shown, expr }| Item { shown, expr, written: None }));
        Ok(())
    }
}

/// Returns the column of `*` that an option such as EXCLUDE names.
fn starred(columns: &[ScopeColumn], ident: &Ident, option: &str) -> Result<usize, PlanError> {
    let name = Name::of(ident);
    match find_name(columns.iter().map(|column| column.shown.as_str()), &name.value, name.quoted) {
        Ok(Some(idx)) => Ok(idx),
        _ => {
            let at = at(ident.span.start);
            Err(PlanError::invalid(format!("column {name} of {option} is unknown or ambiguous{at}")))
        }
    }
}

/// Returns the expression without enclosing parentheses.
fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unwrapped(inner),
        other => other,
    }
}

/// Returns the stored name of `table.column`, or else the name of the last field.
fn compound_name(scope: &Scope, idents: &[Ident]) -> Result<Option<String>, PlanError> {
    let last = idents.last().map(|ident| Name::of(ident).value);
    let Some(item) = scope.item(&idents[0])? else { return Ok(last) };
    match &item.columns {
        Some(columns) if idents.len() == 2 => {
            Ok(super::scope::find_column(columns, &idents[1])?.map(|column| column.shown.clone()))
        }
        _ => Ok(last),
    }
}

/// Makes an item of the list under its internal name; a column of `scope` with that name needs no alias.
///
/// A column of an outer query needs one, because DataFusion names it differently.
fn item(expr: Expr, column: &Column, scope: &Scope) -> SelectItem {
    let named = matches!(&expr, Expr::CompoundIdentifier(path) if path.len() == 2
        && path[1].value == column.internal
        && scope.items.iter().any(|item| item.qualifier == path[0].value));
    if named {
        SelectItem::UnnamedExpr(expr)
    } else {
        SelectItem::ExprWithAlias { expr, alias: exact(&column.internal) }
    }
}

fn qualified_columns(scope: &Scope, kind: &SelectItemQualifiedWildcardKind) -> Result<Vec<ScopeColumn>, PlanError> {
    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
        return Err(PlanError::invalid("* of an expression is not supported"));
    };
    let ident = only_ident(name)?;
    let item = scope.item(&ident)?.ok_or_else(|| unknown("table", &ident))?;
    let columns = item.columns.iter().flatten();
    Ok(columns
        .map(|column| ScopeColumn { shown: column.shown.clone(), expr: qualified(&item.qualifier, &column.internal) })
        .collect())
}

/// Refuses parts that DataFusion would accept and ignore, or does not support.
fn refuse_ignored_parts(select: &Select) -> Result<(), PlanError> {
    // Destructured in full so that a part added by a later version of the parser cannot be overlooked.
    let Select {
        select_token: _,
        optimizer_hints,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let ignored = [
        (!optimizer_hints.is_empty(), "a hint"),
        (into.is_some(), "SELECT INTO"),
        (top.is_some(), "TOP"),
        (prewhere.is_some(), "PREWHERE"),
        (exclude.is_some(), "EXCLUDE after the list"),
        (value_table_mode.is_some(), "SELECT AS"),
        (select_modifiers.is_some(), "a SELECT modifier"),
        (!connect_by.is_empty(), "CONNECT BY"),
        (!lateral_views.is_empty(), "LATERAL VIEW"),
        (!cluster_by.is_empty(), "CLUSTER BY"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!sort_by.is_empty(), "SORT BY"),
    ];
    match ignored.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(PlanError::invalid(format!("{what} is not supported"))),
        None => Ok(()),
    }
}
