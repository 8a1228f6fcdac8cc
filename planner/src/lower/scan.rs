//! Lowers scans of relations and views.

use std::sync::Arc;

use datafusion::logical_expr::TableScan;
use laminardb_dataflow::CollectionId;

use crate::PlanError;
use crate::catalog::{CatalogSource, Definition, RelationKind};
use crate::lower::Lowering;
use crate::lower::refuse;
use crate::lower::relation::Relation;
use crate::part::Part;
use crate::property::Properties;

impl Lowering {
    pub(super) fn lower_scan(&mut self, scan: &TableScan) -> Result<Relation, PlanError> {
        if let Some(part) = Part::of(scan) {
            return self.lower_part(part, scan.projection.as_deref());
        }
        let info =
            CatalogSource::of(scan).ok_or_else(|| refuse::construct(format!("the relation {}", scan.table_name)))?;
        if scan.fetch.is_some() || !scan.filters.is_empty() {
            return Err(refuse::construct("a scan that filters"));
        }
        let collection = match &info.definition {
            Definition::Base(id) => CollectionId::Relation(*id),
            Definition::Maintained(id) => CollectionId::View(*id),
            Definition::Inline { .. } => return Err(refuse::construct("a view that was not inlined")),
        };
        // A view has the unique key that its own plan found, but NOT NULL holds only where the store checks it.
        let key = (!info.primary_key.is_empty()).then_some(info.primary_key.as_slice());
        let mut properties = Properties::of_collection(collection, &info.schema, key, info.append_only);
        if !matches!(info.kind, RelationKind::Source | RelationKind::Table) {
            properties.nullable.fill(true);
        }
        let node = self.builder.input(collection, Arc::clone(&info.schema), properties);
        let columns = match &scan.projection {
            Some(projection) => projection.iter().copied().enumerate().collect(),
            None => (0..info.schema.fields().len()).map(|column| (column, column)).collect(),
        };
        Ok(Relation { node, columns })
    }

    /// Lowers a part when it is first read; returns the columns that `projection` lists, or all.
    fn lower_part(&mut self, part: &Part, projection: Option<&[usize]>) -> Result<Relation, PlanError> {
        let relation = match self.parts.get(&part.id) {
            Some(relation) => relation.clone(),
            None => {
                let relation = self.lower(&part.plan, &part.read)?;
                self.parts.insert(part.id, relation.clone());
                relation
            }
        };
        let Some(projection) = projection else { return Ok(relation) };
        let place = |(at, column): (usize, &usize)| Some((at, *relation.columns.get(column)?));
        Ok(Relation { node: relation.node, columns: projection.iter().enumerate().filter_map(place).collect() })
    }
}
