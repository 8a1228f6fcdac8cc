//! Binds INSERT, UPDATE and DELETE as queries that return the affected rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan};
use laminardb_dataflow::Scalar;
use sqlparser::ast;

use super::{BoundQuery, Params, bind_query, literal};
use crate::catalog::{Catalog, EmptyCatalog, RelationInfo, RelationKind};
use crate::error::PlanError;
use crate::scalar::{self, OnFailure};
use crate::statement::{Delete, Insert, Name, OnConflict, Statement, Update, all_rows, type_name};

/// A bound INSERT.
#[derive(Clone, Debug)]
pub struct BoundInsert {
    /// The relation that is written to; never a view.
    pub target: Arc<RelationInfo>,
    /// For each column of `rows`, the column of the target that it goes to; the other columns get their defaults.
    pub columns: Vec<usize>,
    /// The rows to insert, not yet cast to the target's types.
    pub rows: BoundQuery,
    /// Says what happens to a row whose key exists already.
    pub conflict: BoundConflict,
}

/// Says what INSERT does with a row whose key exists already.
#[derive(Clone, Debug)]
pub enum BoundConflict {
    /// Refuse the statement.
    Fail,
    /// Replace the existing row.
    Replace,
    /// Skip the new row.
    DoNothing,
    /// Update the existing row.
    ///
    /// The expressions read a batch of the target's columns (the existing row) followed by the target's columns again
    /// (the new row, cast and with defaults filled in).
    DoUpdate {
        /// The target's columns to set, and their new values, not yet cast.
        assignments: Vec<(usize, Arc<dyn Scalar>)>,
        /// Only rows for which this is true are updated; the others stay as they are.
        selection: Option<Arc<dyn Scalar>>,
    },
}

/// A bound UPDATE.
#[derive(Clone, Debug)]
pub struct BoundUpdate {
    /// The relation that is written to; never a view or a source.
    pub target: Arc<RelationInfo>,
    /// For each matching row: all its current columns, then the new value of each of `columns`, not yet cast.
    pub rows: BoundQuery,
    /// The columns that are set.
    pub columns: Vec<usize>,
}

/// A bound DELETE.
#[derive(Clone, Debug)]
pub struct BoundDelete {
    /// The relation that is written to; never a view or a source.
    pub target: Arc<RelationInfo>,
    /// The rows to remove, with all their columns.
    pub rows: BoundQuery,
}

/// Binds an INSERT. Fails if the target is a view or unknown, or if columns and values do not fit each other.
pub fn bind_insert(insert: &Insert, catalog: &dyn Catalog, params: &Params) -> Result<BoundInsert, PlanError> {
    let target = target(&insert.table, catalog, "INSERT")?;
    let columns = match &insert.columns {
        None => (0..target.schema.fields().len()).collect(),
        Some(names) => distinct_columns(&target, names)?,
    };
    let mut source = ast::Query::clone(&insert.source);
    // Literals are adapted before the binder gives each column of VALUES one type, and checked after it.
    literal::store_rows(&mut source, &target, &columns);
    let rows = bind_query(&source, catalog, params)?;
    let (given, wanted) = (rows.schema.fields().len(), columns.len());
    if given != wanted {
        return Err(PlanError::invalid(format!(
            "INSERT into {} gives {given} values for {wanted} columns",
            target.name
        )));
    }
    literal::check_rows(&insert.source, &target, &columns, &rows.schema)?;
    let conflict = bind_conflict(&insert.conflict, &target, catalog, params)?;
    Ok(BoundInsert { target, columns, rows, conflict })
}

/// Binds an UPDATE. Fails if the target is a view, a source or unknown.
pub fn bind_update(update: &Update, catalog: &dyn Catalog, params: &Params) -> Result<BoundUpdate, PlanError> {
    let target = mutable(&update.table, catalog, "UPDATE")?;
    let (columns, values) = assignments(&update.assignments, &target)?;
    let mut query = all_rows(&target.name, update.alias.as_ref());
    let select = select_of(&mut query)?;
    select.projection.extend(values.into_iter().map(ast::SelectItem::UnnamedExpr));
    select.selection.clone_from(&update.selection);
    let rows = bind_query(&query, catalog, params)?;
    Ok(BoundUpdate { target, rows, columns })
}

/// Binds a DELETE. Fails if the target is a view, a source or unknown.
pub fn bind_delete(delete: &Delete, catalog: &dyn Catalog, params: &Params) -> Result<BoundDelete, PlanError> {
    let target = mutable(&delete.table, catalog, "DELETE")?;
    let mut query = all_rows(&target.name, delete.alias.as_ref());
    select_of(&mut query)?.selection.clone_from(&delete.selection);
    let rows = bind_query(&query, catalog, params)?;
    Ok(BoundDelete { target, rows })
}

/// Looks up the relation that is written to; fails if it is unknown or a view.
fn target(name: &Name, catalog: &dyn Catalog, statement: &str) -> Result<Arc<RelationInfo>, PlanError> {
    let found = catalog.relation(&name.value, name.quoted)?;
    let target = found.ok_or_else(|| PlanError::invalid(format!("table {name} does not exist")))?;
    if target.kind.is_view() {
        let (name, kind) = (&target.name, target.kind.keyword());
        return Err(PlanError::invalid(format!("{statement} is not possible on {name}: it is a {kind}")));
    }
    Ok(target)
}

/// Looks up a relation whose rows are changed; fails if it is unknown, a view or a source.
fn mutable(name: &Name, catalog: &dyn Catalog, statement: &str) -> Result<Arc<RelationInfo>, PlanError> {
    let target = target(name, catalog, statement)?;
    if target.kind == RelationKind::Source {
        return Err(PlanError::invalid(format!("{statement} is not possible on source {name}: its rows are kept")));
    }
    Ok(target)
}

fn column(target: &RelationInfo, name: &Name) -> Result<usize, PlanError> {
    let found = target.column(&name.value, name.quoted)?;
    found.ok_or_else(|| PlanError::invalid(format!("column {name} of {} does not exist", target.name)))
}

fn distinct_columns(target: &RelationInfo, names: &[Name]) -> Result<Vec<usize>, PlanError> {
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = column(target, name)?;
        if columns.contains(&column) {
            return Err(PlanError::invalid(format!("column {name} is given twice")));
        }
        columns.push(column);
    }
    Ok(columns)
}

/// Returns the columns that SET names, and their new values.
fn assignments(
    assignments: &[ast::Assignment],
    target: &RelationInfo,
) -> Result<(Vec<usize>, Vec<ast::Expr>), PlanError> {
    let mut names = Vec::with_capacity(assignments.len());
    for assignment in assignments {
        let ast::AssignmentTarget::ColumnName(name) = &assignment.target else {
            return Err(PlanError::invalid("SET of several columns at once is not supported"));
        };
        let last = name.0.last().and_then(|part| part.as_ident());
        names.push(Name::of(last.ok_or_else(|| PlanError::invalid(format!("{name} is not a column")))?));
    }
    let columns = distinct_columns(target, &names)?;
    let value = |(assignment, column): (&ast::Assignment, &usize)| {
        let mut value = assignment.value.clone();
        literal::store(&mut value, target.schema.field(*column).data_type());
        value
    };
    let values = assignments.iter().zip(&columns).map(value).collect();
    Ok((columns, values))
}

fn query_of(text: &str) -> Result<ast::Query, PlanError> {
    match crate::statement::parse(text)?.pop().map(|parsed| parsed.statement) {
        Some(Statement::Query(query)) => Ok(*query),
        _ => unreachable!("the text is a query"),
    }
}

fn select_of(query: &mut ast::Query) -> Result<&mut ast::Select, PlanError> {
    match query.body.as_mut() {
        ast::SetExpr::Select(select) => Ok(select),
        _ => unreachable!("the query is a SELECT"),
    }
}

fn bind_conflict(
    conflict: &OnConflict,
    target: &Arc<RelationInfo>,
    catalog: &dyn Catalog,
    params: &Params,
) -> Result<BoundConflict, PlanError> {
    let named = match conflict {
        OnConflict::Fail => return Ok(BoundConflict::Fail),
        OnConflict::Replace => &[][..],
        OnConflict::DoNothing { target } | OnConflict::DoUpdate { target, .. } => target,
    };
    if target.primary_key.is_empty() {
        let name = &target.name;
        return Err(PlanError::invalid(format!(
            "{name} has no primary key, so there is nothing to be in conflict with"
        )));
    }
    let mut key = distinct_columns(target, named)?;
    key.sort_unstable();
    let mut primary_key = target.primary_key.clone();
    primary_key.sort_unstable();
    if !named.is_empty() && key != primary_key {
        return Err(PlanError::invalid(format!("ON CONFLICT must name the primary key of {}", target.name)));
    }
    match conflict {
        OnConflict::DoUpdate { assignments, selection, .. } => {
            bind_do_update(assignments, selection.as_deref(), target, catalog, params)
        }
        OnConflict::DoNothing { .. } => Ok(BoundConflict::DoNothing),
        OnConflict::Fail | OnConflict::Replace => Ok(BoundConflict::Replace),
    }
}

/// Binds the expressions in a query over pairs of rows, then takes them out of its plan.
fn bind_do_update(
    set: &[ast::Assignment],
    selection: Option<&ast::Expr>,
    target: &Arc<RelationInfo>,
    catalog: &dyn Catalog,
    params: &Params,
) -> Result<BoundConflict, PlanError> {
    let (columns, values) = assignments(set, target)?;
    let name = target.name.replace('"', "\"\"");
    let mut query = query_of(&format!("SELECT 1 FROM \"{name}\" CROSS JOIN \"{name}\" AS excluded"))?;
    // Unqualified columns mean the existing row.
    let own = ast::Ident::with_quote('"', &target.name);
    let qualified = values.into_iter().chain(selection.cloned()).map(|mut expr| {
        qualify(&mut expr, &own);
        ast::SelectItem::UnnamedExpr(expr)
    });
    select_of(&mut query)?.projection = qualified.collect();
    let bound = bind_query(&query, catalog, params)?;
    let mut scalars = expressions(&bound.logical)?;
    let selection = match selection {
        Some(_) => match bound.schema.fields().last().map(|field| field.data_type()) {
            Some(DataType::Boolean) => scalars.pop(),
            // NULL is never true, so no row is updated.
            Some(DataType::Null) => return Ok(BoundConflict::DoNothing),
            other => {
                let found = other.map_or_else(String::new, type_name);
                return Err(PlanError::invalid(format!(
                    "the condition of ON CONFLICT is of type {found}, not BOOLEAN"
                )));
            }
        },
        None => None,
    };
    Ok(BoundConflict::DoUpdate { assignments: columns.into_iter().zip(scalars).collect(), selection })
}

/// Puts `qualifier` before every unqualified column name.
fn qualify(expr: &mut ast::Expr, qualifier: &ast::Ident) {
    let _: std::ops::ControlFlow<()> = ast::visit_expressions_mut(expr, |expr| {
        if let ast::Expr::Identifier(name) = expr {
            *expr = ast::Expr::CompoundIdentifier(vec![qualifier.clone(), name.clone()]);
        }
        std::ops::ControlFlow::Continue(())
    });
}

/// Returns the columns of a chain of projections over a join as expressions over the rows of that join.
fn expressions(plan: &LogicalPlan) -> Result<Vec<Arc<dyn Scalar>>, PlanError> {
    let LogicalPlan::Projection(top) = plan else {
        return Err(PlanError::invalid("ON CONFLICT DO UPDATE with a subquery is not supported"));
    };
    let (mut exprs, mut input) = (top.expr.clone(), &top.input);
    while let LogicalPlan::Projection(below) = input.as_ref() {
        exprs = exprs.into_iter().map(|expr| substitute(expr, below)).collect::<Result<_, _>>()?;
        input = &below.input;
    }
    if !matches!(input.as_ref(), LogicalPlan::Join(_)) {
        return Err(PlanError::invalid("ON CONFLICT DO UPDATE with a subquery is not supported"));
    }
    exprs.iter().map(|expr| scalar::compile(&expr.clone().unalias_nested().data, input.schema())).collect()
}

/// Rewrites `expr`, which reads the output of the projection `below`, to read the projection's input.
fn substitute(expr: Expr, below: &datafusion::logical_expr::Projection) -> Result<Expr, PlanError> {
    let replaced = expr.transform(|expr| match &expr {
        Expr::Column(column) => {
            let position = below.schema.index_of_column(column)?;
            Ok(Transformed::yes(below.expr[position].clone().unalias_nested().data))
        }
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(replaced.data)
}

/// Evaluates a constant expression to an array of one row. If it is to be stored as `stored`, a literal is read as one of
/// INSERT ... VALUES is, and text for a column of another type is cast; anything else keeps its own type.
pub(super) fn constant(expr: &ast::Expr, stored: Option<&DataType>) -> Result<ArrayRef, PlanError> {
    let mut adapted = expr.clone();
    if let Some(stored) = stored {
        literal::store(&mut adapted, stored);
    }
    let mut query = query_of("SELECT 1")?;
    select_of(&mut query)?.projection = vec![ast::SelectItem::UnnamedExpr(adapted)];
    let bound = bind_query(&query, &EmptyCatalog, &Params::none())?;
    if let Some(function) = &bound.volatile {
        return Err(PlanError::invalid(format!("{expr} is not constant: it calls {function}")));
    }
    let not_constant = || PlanError::invalid(format!("{expr} is not a constant expression"));
    let LogicalPlan::Projection(projection) = &bound.logical else { return Err(not_constant()) };
    let [value] = &projection.expr[..] else { return Err(not_constant()) };
    let compiled = scalar::compile(&value.clone().unalias_nested().data, projection.input.schema())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .expect("a batch without columns");
    let evaluated = compiled.evaluate(&row);
    if let Some(error) = evaluated.errors.first() {
        return Err(PlanError::invalid(format!("{expr} fails: {}", error.message)));
    }
    match stored {
        Some(stored) if evaluated.values.data_type() == &DataType::Utf8 => {
            scalar::cast_array(&evaluated.values, stored, OnFailure::Error)
                .map_err(|error| PlanError::invalid(format!("{expr} is no {}: {error}", type_name(stored))))
        }
        _ => Ok(evaluated.values),
    }
}
