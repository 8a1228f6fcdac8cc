//! Looks up the relation that a call writes to, before its data is converted.

use std::sync::Arc;

use laminardb_planner::RelationInfo;

use super::Session;
use super::dml::not_writable;
use crate::error::Error;
use crate::relation::{Operation, StorageKind};

impl Session {
    /// Returns the source or table that a name in a call refers to; fails if there is none, it is a view, or it does
    /// not allow `operation`.
    pub fn writable(&self, table: &str, operation: Operation) -> Result<Arc<RelationInfo>, Error> {
        self.database.check_usable()?;
        let catalog = self.database.catalog();
        let entry = catalog.named(table)?;
        if entry.relation_id().is_none() {
            return Err(not_writable(entry));
        }
        StorageKind::of(entry.kind(), &entry.info.primary_key).check(operation, entry.name())?;
        Ok(Arc::clone(&entry.info))
    }
}
