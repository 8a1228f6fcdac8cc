//! One SELECT: its list becomes columns with unique internal names, its clauses see the right scopes.

use sqlparser::ast::{
    self, Distinct, ExcludeSelectItem, Expr, GroupByExpr, Ident, NamedWindowExpr, Select, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::from::only_ident;
use super::scope::{Column, Columns, Entry, Scope, at, exact, qualified, unknown};
use super::{Names, item_expr, shown, sort_exprs};
use crate::catalog::find_name;
use crate::error::PlanError;
use crate::statement::Name;

/// An item of the SELECT list after `*` was taken apart.
struct Output {
    shown: String,
    expr: Expr,
    /// As it stood in the text, to find it again in ORDER BY; nothing for what came from `*`.
    written: Option<Expr>,
}

impl Names<'_> {
    pub(super) fn select(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<Columns, PlanError> {
        refuse_ignored_parts(select)?;
        let scope = self.from(&mut select.from)?;
        self.within(scope, |names| names.clauses(select, order_by))
    }

    /// Everything but FROM, whose scope is innermost.
    fn clauses(&mut self, select: &mut Select, order_by: Option<&mut ast::OrderBy>) -> Result<Columns, PlanError> {
        if let Some(selection) = &mut select.selection {
            self.expr(selection)?;
        }
        let outputs = self.outputs(std::mem::take(&mut select.projection))?;
        let columns = match outputs {
            Ok(outputs) => self.named_outputs(select, outputs, order_by)?,
            Err(projection) => self.opaque_outputs(select, projection, order_by)?,
        };
        Ok(columns)
    }

    fn named_outputs(
        &mut self,
        select: &mut Select,
        outputs: Vec<Output>,
        order_by: Option<&mut ast::OrderBy>,
    ) -> Result<Columns, PlanError> {
        let columns = shown::unique(outputs.iter().map(|output| output.shown.clone()).collect());
        let written: Vec<_> = outputs.iter().map(|output| output.written.clone()).collect();
        let scope = self.innermost();
        select.projection =
            outputs.into_iter().zip(&columns).map(|(output, column)| item(output.expr, column, scope)).collect();
        self.other_clauses(select, &columns)?;
        if let Some(order_by) = order_by {
            for expr in sort_exprs(order_by)? {
                self.sort_expr(expr, &columns, &written)?;
            }
        }
        Ok(Some(columns))
    }

    /// A SELECT list with a `*` that only DataFusion can take apart; only the rest of it is resolved.
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

    /// GROUP BY, HAVING, QUALIFY, WINDOW and DISTINCT ON: columns of FROM first, then names of the SELECT list.
    fn other_clauses(&mut self, select: &mut Select, columns: &[Column]) -> Result<(), PlanError> {
        self.innermost().aliases = columns.to_vec();
        if let GroupByExpr::Expressions(exprs, modifiers) = &mut select.group_by {
            if !modifiers.is_empty() {
                return Err(PlanError::invalid("GROUP BY ... WITH is not supported; use GROUPING SETS"));
            }
            for expr in exprs {
                self.expr(expr)?;
            }
        }
        for expr in select.having.iter_mut().chain(&mut select.qualify) {
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
        Ok(())
    }

    /// A sort key: a name of the SELECT list, or an expression of it, is that column; else it is of FROM's columns.
    fn sort_expr(&mut self, expr: &mut Expr, columns: &[Column], written: &[Option<Expr>]) -> Result<(), PlanError> {
        if let Expr::Identifier(ident) = expr {
            let name = Name::of(ident);
            let shown = columns.iter().map(|column| column.shown.as_str());
            // A name that several columns have is left to FROM, which may know only one.
            if let Ok(Some(idx)) = find_name(shown, &name.value, name.quoted) {
                *expr = Expr::Identifier(exact(&columns[idx].internal));
                return Ok(());
            }
        } else if !matches!(expr, Expr::Value(_))
            && let Some(idx) = written.iter().position(|other| other.as_ref() == Some(expr))
        {
            *expr = Expr::Identifier(exact(&columns[idx].internal));
            return Ok(());
        }
        self.expr(expr)
    }

    /// The SELECT list with every `*` taken apart, or the list itself when one cannot be.
    fn outputs(&mut self, projection: Vec<SelectItem>) -> Result<Result<Vec<Output>, Vec<SelectItem>>, PlanError> {
        let scope = self.innermost().clone();
        let stars = projection.iter().any(|item| item_expr(item).is_none());
        if stars && scope.is_opaque() {
            return Ok(Err(projection));
        }
        let mut outputs = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => outputs.push(self.unnamed(expr, &scope)?),
                SelectItem::ExprWithAlias { mut expr, alias } => {
                    let written = Some(expr.clone());
                    self.expr(&mut expr)?;
                    outputs.push(Output { shown: Name::of(&alias).value, expr, written });
                }
                SelectItem::Wildcard(options) => {
                    if scope.items.is_empty() {
                        return Err(PlanError::invalid("SELECT * without FROM"));
                    }
                    self.star(scope.entries.clone(), options, &mut outputs)?;
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    self.star(qualified_entries(&scope, &kind)?, options, &mut outputs)?;
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(PlanError::invalid("several aliases for one expression are not supported"));
                }
            }
        }
        Ok(Ok(outputs))
    }

    /// A column keeps its stored name, a field its own, an expression shows its text.
    fn unnamed(&mut self, mut expr: Expr, scope: &Scope) -> Result<Output, PlanError> {
        let written = Some(expr.clone());
        let text = shown::expr_text(&expr);
        let shown = match unwrapped(&expr) {
            Expr::Identifier(ident) => scope.entry(ident)?.map(|idx| scope.entries[idx].shown.clone()),
            Expr::CompoundIdentifier(idents) => compound_name(scope, idents)?,
            _ => None,
        };
        self.expr(&mut expr)?;
        Ok(Output { shown: shown.unwrap_or(text), expr, written })
    }

    fn star(
        &mut self,
        mut entries: Vec<Entry>,
        options: WildcardAdditionalOptions,
        outputs: &mut Vec<Output>,
    ) -> Result<(), PlanError> {
        if options.opt_ilike.is_some() || options.opt_rename.is_some() || options.opt_alias.is_some() {
            return Err(PlanError::invalid("* takes EXCLUDE and REPLACE only"));
        }
        let mut excluded = Vec::new();
        match options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => excluded.push(name),
            Some(ExcludeSelectItem::Multiple(names)) => excluded.extend(names),
            None => {}
        }
        for name in &excluded {
            let idx = starred(&entries, &only_ident(name)?, "EXCLUDE")?;
            entries.remove(idx);
        }
        for element in options.opt_replace.into_iter().flat_map(|replace| replace.items) {
            let idx = starred(&entries, &element.column_name, "REPLACE")?;
            let mut expr = element.expr;
            self.expr(&mut expr)?;
            entries[idx].expr = expr;
        }
        outputs.extend(entries.into_iter().map(|Entry { shown, expr }| Output { shown, expr, written: None }));
        Ok(())
    }
}

/// The column of `*` that an option of it names.
fn starred(entries: &[Entry], ident: &Ident, option: &str) -> Result<usize, PlanError> {
    let name = Name::of(ident);
    match find_name(entries.iter().map(|entry| entry.shown.as_str()), &name.value, name.quoted) {
        Ok(Some(idx)) => Ok(idx),
        _ => {
            let at = at(ident.span.start);
            Err(PlanError::invalid(format!("column {name} of {option} is unknown or ambiguous{at}")))
        }
    }
}

/// An expression without parentheses around it.
fn unwrapped(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => unwrapped(inner),
        other => other,
    }
}

/// The stored name of `table.column`, or the last field's name.
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

/// An item of the list under its internal name; a column of `scope` that has it needs no alias.
///
/// A column of an outer query does: DataFusion calls it something else.
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

fn qualified_entries(scope: &Scope, kind: &SelectItemQualifiedWildcardKind) -> Result<Vec<Entry>, PlanError> {
    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
        return Err(PlanError::invalid("* of an expression is not supported"));
    };
    let ident = only_ident(name)?;
    let item = scope.item(&ident)?.ok_or_else(|| unknown("table", &ident))?;
    let columns = item.columns.iter().flatten();
    Ok(columns
        .map(|column| Entry { shown: column.shown.clone(), expr: qualified(&item.qualifier, &column.internal) })
        .collect())
}

/// Refuses what DataFusion would accept and ignore, or does not have.
fn refuse_ignored_parts(select: &Select) -> Result<(), PlanError> {
    let ignored = [
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP"),
        (select.prewhere.is_some(), "PREWHERE"),
        (select.exclude.is_some(), "EXCLUDE after the list"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.select_modifiers.is_some(), "a SELECT modifier"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
    ];
    match ignored.into_iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(PlanError::invalid(format!("{what} is not supported"))),
        None => Ok(()),
    }
}
