//! What the binder must know about relations, and the form in which DataFusion's binder sees them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource};
use laminardb_dataflow::{CollectionId, RelationId, ViewId};

use crate::bind::{BoundQuery, ViewOrder};
use crate::error::PlanError;
use crate::statement::type_name;

/// The kinds of named objects that a query can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// An append-only base relation.
    Source,
    /// A base relation whose rows can be replaced and deleted.
    Table,
    /// A named query; no rows are kept.
    View,
    /// A maintained view; another name for `MaterializedView`.
    Stream,
    /// A maintained view.
    MaterializedView,
}

impl RelationKind {
    /// Returns the SQL keywords of the kind.
    pub fn keyword(self) -> &'static str {
        match self {
            RelationKind::Source => "SOURCE",
            RelationKind::Table => "TABLE",
            RelationKind::View => "VIEW",
            RelationKind::Stream => "STREAM",
            RelationKind::MaterializedView => "MATERIALIZED VIEW",
        }
    }

    /// Returns whether relations of this kind are derived from others.
    pub fn is_view(self) -> bool {
        matches!(self, RelationKind::View | RelationKind::Stream | RelationKind::MaterializedView)
    }
}

/// Says where the rows of a relation come from.
#[derive(Clone, Debug)]
pub enum Definition {
    /// The rows are in the store.
    Base(RelationId),
    /// A maintained view with state; readers use its id, and so do views on top of it.
    Maintained(ViewId),
    /// A plain VIEW, or a maintained view that is linear over relations; readers inline this query.
    Inline {
        /// The query; its columns correspond to the relation's by position.
        query: Arc<BoundQuery>,
        /// The id of the maintained view; `None` for a plain VIEW.
        view: Option<ViewId>,
    },
}

/// A relation as the binder sees it.
#[derive(Clone, Debug)]
pub struct RelationInfo {
    /// The name as stored in the catalogue.
    pub name: String,
    /// The kind of relation.
    pub kind: RelationKind,
    /// The columns; their names are unique and not empty.
    pub schema: SchemaRef,
    /// Positions of the primary key columns, in key order; empty for a relation without a key.
    pub primary_key: Vec<usize>,
    /// Positions of the columns that were declared JSON, ascending; writes store what JSON has as text there.
    pub json_columns: Vec<usize>,
    /// Whether rows are never deleted.
    pub append_only: bool,
    /// The order in which the rows of a maintained view are read.
    pub order: ViewOrder,
    /// Says where the rows come from.
    pub definition: Definition,
}

impl RelationInfo {
    /// Returns the collection to read, or `None` if readers inline the relation's query.
    pub fn collection(&self) -> Option<CollectionId> {
        match &self.definition {
            Definition::Base(id) => Some(CollectionId::Relation(*id)),
            Definition::Maintained(id) => Some(CollectionId::View(*id)),
            Definition::Inline { .. } => None,
        }
    }

    /// Returns the SQL name of the type of a column, as it was declared.
    pub fn type_name(&self, column: usize) -> String {
        let is_json = self.json_columns.contains(&column);
        if is_json { "JSON".to_owned() } else { type_name(self.schema.field(column).data_type()) }
    }

    /// Returns the position of the column that an identifier names, by the rule of [`find_name`]; fails on several.
    pub fn column(&self, name: &str, quoted: bool) -> Result<Option<usize>, PlanError> {
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        find_name(names, name, quoted)
            .map_err(|_| PlanError::invalid(format!("column {name} of {} is ambiguous", self.name)))
    }
}

/// The error when more than one name matches an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Looks up a SQL identifier in a list of names and returns its position.
///
/// A quoted identifier must match exactly. An unquoted one matches its lower-case spelling, or else the only name that
/// is equal except for case. Several equally good matches are an error, even if the names are the same.
pub fn find_name<'a>(
    names: impl IntoIterator<Item = &'a str>,
    name: &str,
    quoted: bool,
) -> Result<Option<usize>, Ambiguous> {
    let folded = if quoted { name.to_owned() } else { name.to_lowercase() };
    let (mut exact, mut similar) = (Vec::new(), Vec::new());
    for (idx, candidate) in names.into_iter().enumerate() {
        if candidate == folded {
            exact.push(idx);
        } else if !quoted && candidate.to_lowercase() == folded {
            similar.push(idx);
        }
    }
    let matches = if exact.is_empty() { similar } else { exact };
    match matches.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        _ => Err(Ambiguous),
    }
}

/// Gives the binder access to the relations that exist.
pub trait Catalog: Send + Sync {
    /// Returns the relation that a SQL identifier names, by the rule of [`find_name`]; more than one match is an error.
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError>;
}

/// A catalogue without relations.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyCatalog;

impl Catalog for EmptyCatalog {
    fn relation(&self, _name: &str, _quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        Ok(None)
    }
}

/// The table source of a `TableScan` in a bound plan. It is never an inlined relation: binding replaces those.
#[derive(Clone)]
pub struct CatalogSource {
    relation: Arc<RelationInfo>,
}

impl CatalogSource {
    /// Makes a source that reads `relation`.
    pub fn new(relation: Arc<RelationInfo>) -> Self {
        CatalogSource { relation }
    }

    /// Returns the relation that is read.
    pub fn relation(&self) -> &Arc<RelationInfo> {
        &self.relation
    }

    /// Returns the relation that `scan` reads, or `None` if it reads the work table of a recursive CTE.
    pub fn of(scan: &TableScan) -> Option<&Arc<RelationInfo>> {
        scan.source.downcast_ref::<CatalogSource>().map(CatalogSource::relation)
    }

    /// Returns the relation that `plan` reads, if `plan` is a scan.
    pub fn of_plan(plan: &LogicalPlan) -> Option<&Arc<RelationInfo>> {
        match plan {
            LogicalPlan::TableScan(scan) => CatalogSource::of(scan),
            _ => None,
        }
    }
}

impl fmt::Debug for CatalogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogSource({})", self.relation.name)
    }
}

impl TableSource for CatalogSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.schema)
    }

    /// Returns the query of an inlined view, with its columns renamed to the relation's; `None` for other relations.
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        let Definition::Inline { query, .. } = &self.relation.definition else { return None };
        let columns = query.logical.schema().columns().into_iter().zip(self.relation.schema.fields());
        let named = columns.map(|(column, field)| Expr::Column(column).alias(field.name()));
        let plan = LogicalPlanBuilder::from(query.logical.clone()).project(named).and_then(LogicalPlanBuilder::build);
        Some(Cow::Owned(plan.expect("columns of a bound query can be projected under unique names")))
    }
}

/// The table source of the self-reference inside a recursive CTE.
#[derive(Debug)]
pub struct WorkTable {
    /// The name of the CTE.
    pub name: String,
    /// The columns of the CTE.
    pub schema: SchemaRef,
}

impl TableSource for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
