//! What a call writes to, known before its data is looked at.

use std::sync::Arc;

use laminardb_planner::RelationInfo;

use super::Session;
use super::dml::not_writable;
use crate::error::Error;
use crate::relation::{Operation, StorageKind};

impl Session {
    /// The source or table that a call means, if it allows `operation`.
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
