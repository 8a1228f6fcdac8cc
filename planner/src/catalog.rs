//! What binding must know about relations, and the face DataFusion's binder sees of it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableSource};
use laminardb_dataflow::{CollectionId, RelationId, ViewId};

use crate::bind::{BoundQuery, ViewOrder};
use crate::error::PlanError;

/// Kinds of named things a query can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// Append-only base relation.
    Source,
    /// Mutable base relation.
    Table,
    /// A named query; nothing is kept.
    View,
    /// A maintained view, by its other name.
    Stream,
    /// A maintained view.
    MaterializedView,
}

impl RelationKind {
    /// The words of SQL for it.
    pub fn keyword(self) -> &'static str {
        match self {
            RelationKind::Source => "SOURCE",
            RelationKind::Table => "TABLE",
            RelationKind::View => "VIEW",
            RelationKind::Stream => "STREAM",
            RelationKind::MaterializedView => "MATERIALIZED VIEW",
        }
    }

    /// Whether it is derived from others.
    pub fn is_view(self) -> bool {
        matches!(self, RelationKind::View | RelationKind::Stream | RelationKind::MaterializedView)
    }
}

/// Where the rows of a relation come from.
#[derive(Clone, Debug)]
pub enum Definition {
    /// The store.
    Base(RelationId),
    /// A maintained view with state: read, and built on, by its id.
    Maintained(ViewId),
    /// A plain VIEW, or a maintained view that is linear over relations: readers inline this query.
    Inline {
        /// Its columns are the relation's, by position.
        query: Arc<BoundQuery>,
        /// The maintained view, if it is one.
        view: Option<ViewId>,
    },
}

/// One relation as the binder sees it.
#[derive(Clone, Debug)]
pub struct RelationInfo {
    /// Stored name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Columns, with unique non-empty names.
    pub schema: SchemaRef,
    /// Positions of the key columns of a keyed table, in key order; else empty.
    pub primary_key: Vec<usize>,
    /// Whether rows are never taken back.
    pub append_only: bool,
    /// The order in which the rows of a maintained view are read.
    pub order: ViewOrder,
    /// Where the rows come from.
    pub definition: Definition,
}

impl RelationInfo {
    /// The collection to read, unless readers inline its query.
    pub fn collection(&self) -> Option<CollectionId> {
        match &self.definition {
            Definition::Base(id) => Some(CollectionId::Relation(*id)),
            Definition::Maintained(id) => Some(CollectionId::View(*id)),
            Definition::Inline { .. } => None,
        }
    }

    /// Position of the column that an identifier means: quoted ones are exact; of unquoted ones the lower-case
    /// spelling first, else the only column equal but for case.
    pub fn column(&self, name: &str, quoted: bool) -> Result<Option<usize>, PlanError> {
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        find_name(names, name, quoted)
            .map_err(|_| PlanError::invalid(format!("column {name} of {} is ambiguous", self.name)))
    }
}

/// Several names are equal to an unquoted identifier but for case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// The name rule of SQL identifiers over any list of names; equal names beyond the first count as ambiguous.
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

/// The relations there are.
pub trait Catalog: Send + Sync {
    /// The relation an identifier of SQL means: unquoted names fold to lower case, then the single relation equal
    /// but for case; quoted ones are exact. More than one match is an error.
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError>;
}

/// A catalog without relations.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyCatalog;

impl Catalog for EmptyCatalog {
    fn relation(&self, _name: &str, _quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        Ok(None)
    }
}

/// What a `TableScan` of a bound plan reads: a relation with rows of its own (never an inlined one).
#[derive(Clone)]
pub struct CatalogSource {
    relation: Arc<RelationInfo>,
}

impl CatalogSource {
    /// A source of `relation`.
    pub fn new(relation: Arc<RelationInfo>) -> Self {
        CatalogSource { relation }
    }

    /// The relation.
    pub fn relation(&self) -> &Arc<RelationInfo> {
        &self.relation
    }

    /// The relation that `scan` reads, if it is one of ours (else it is the work table of a recursive CTE).
    pub fn of(scan: &TableScan) -> Option<&Arc<RelationInfo>> {
        scan.source.downcast_ref::<CatalogSource>().map(CatalogSource::relation)
    }

    /// The relation read when `plan` is a scan.
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

    /// The query of an inlined view, its columns under the relation's names.
    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        let Definition::Inline { query, .. } = &self.relation.definition else { return None };
        let columns = query.logical.schema().columns().into_iter().zip(self.relation.schema.fields());
        let named = columns.map(|(column, field)| Expr::Column(column).alias(field.name()));
        let plan = LogicalPlanBuilder::from(query.logical.clone()).project(named).and_then(LogicalPlanBuilder::build);
        Some(Cow::Owned(plan.expect("columns of a bound query can be projected under unique names")))
    }
}

/// Stands for the self-reference inside a recursive CTE.
#[derive(Debug)]
pub struct WorkTable {
    /// Name of the CTE.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
}

impl TableSource for WorkTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
