//! CREATE and DROP. Each statement is all or nothing: every step that can fail comes before those that cannot be
//! undone.
//!
//! `relation` creates sources and tables, `view` creates views; here is what they share, and DROP.

pub(super) mod relation;
mod view;

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_planner::catalog::RelationKind;
use laminardb_planner::statement::{Drop, Name};

use super::Session;
use super::outcome::Outcome;
use crate::catalog::{CatalogState, Entry};
use crate::commit::{Frozen, Record};
use crate::error::Error;
use crate::relation::check_name;
use crate::subscription::End;

/// What a CREATE statement finds under its name.
enum Existing {
    /// A relation that stays because of IF NOT EXISTS; holds its stored name.
    Kept(String),
    /// Nothing, or a relation that OR REPLACE replaces.
    Replaced(Option<Arc<Entry>>),
}

/// The entry of a new relation or view, and the first rows of a table that is created from a query.
struct Made<'a> {
    entry: Entry,
    rows: &'a [RecordBatch],
}

impl Made<'_> {
    fn empty(entry: Entry) -> Self {
        Made { entry, rows: &[] }
    }
}

impl Session {
    pub(super) fn drop_relation(&self, drop: &Drop) -> Result<Outcome, Error> {
        let ddl_type = match drop.kind {
            RelationKind::Source => "DROP SOURCE",
            RelationKind::Table => "DROP TABLE",
            RelationKind::View => "DROP VIEW",
            RelationKind::Stream => "DROP STREAM",
            RelationKind::MaterializedView => "DROP MATERIALIZED VIEW",
        };
        let _definitions = self.define()?;
        let catalog = self.database.catalog();
        let found = catalog.find(&drop.name.value, drop.name.quoted)?;
        let Some(entry) = found else {
            if drop.if_exists {
                return Ok(Outcome::Ddl { ddl_type, object: Some(drop.name.value.clone()) });
            }
            return Err(Error::TableNotFound(drop.name.value.clone()));
        };
        if !same_kind(entry.kind(), drop.kind) {
            let kind = entry.kind().keyword();
            return Err(Error::TableNotFound(format!("{} ({} is a {kind})", drop.name.value, entry.name())));
        }
        check_unread(&catalog, entry, drop.cascade)?;
        let dropped = catalog.cascade(entry.name());
        self.change_relations(&catalog, &dropped, |_| Ok(None))?;
        Ok(Outcome::Ddl { ddl_type, object: Some(entry.name().to_owned()) })
    }

    /// Adds what `make` returns to the catalog and removes `gone` from it, under the commit lock. `gone` lists each
    /// entry before all that it reads; nothing else may read them. If `make` fails, or the call is cancelled before
    /// that, nothing has changed.
    ///
    /// Changes of earlier writes are still delivered to the subscribers of `gone`; the call does not wait for them.
    fn change_relations<'a>(
        &self,
        catalog: &CatalogState,
        gone: &[Arc<Entry>],
        make: impl FnOnce(&mut Frozen<'_>) -> Result<Option<Made<'a>>, Error>,
    ) -> Result<(), Error> {
        let leaving = self.database.committer.frozen(|frozen| -> Result<_, Error> {
            let made = make(frozen)?;
            let names: Vec<&str> = gone.iter().map(|entry| entry.name()).collect();
            let kept = catalog.without(&names);
            let end = |name: &str| End::Dropped(name.to_owned());
            let Some(Made { entry, rows }) = made else {
                return Ok(self.database.replace_catalog(frozen, kept, &Record::Drop { gone }, gone, end));
            };
            let new = kept.with(entry);
            let made = Arc::clone(new.entries().last().expect("it was just added"));
            let record = Record::Define { made: &made, rows, gone };
            Ok(self.database.replace_catalog(frozen, new, &record, gone, end))
        });
        self.database.remove(leaving?)
    }
}

/// Returns what a CREATE statement finds under its name. Fails if the name is taken and neither IF NOT EXISTS nor OR
/// REPLACE applies, or if another relation reads the one to be replaced.
fn existing(
    catalog: &CatalogState,
    name: &Name,
    kind: RelationKind,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<Existing, Error> {
    check_name(&name.value)?;
    let Some(entry) = catalog.find(&name.value, name.quoted)? else { return Ok(Existing::Replaced(None)) };
    if if_not_exists {
        return Ok(Existing::Kept(entry.name().to_owned()));
    }
    if !or_replace || !same_kind(entry.kind(), kind) {
        return Err(Error::TableExists(entry.name().to_owned()));
    }
    check_unread(catalog, entry, false)?;
    Ok(Existing::Replaced(Some(Arc::clone(entry))))
}

/// Returns whether a statement for one kind applies to the other. A stream and a materialized view are the same thing.
fn same_kind(one: RelationKind, other: RelationKind) -> bool {
    use RelationKind::{MaterializedView, Stream};
    one == other || matches!((one, other), (Stream, MaterializedView) | (MaterializedView, Stream))
}

/// Fails if another relation reads `entry`, unless `cascade` is set.
fn check_unread(catalog: &CatalogState, entry: &Entry, cascade: bool) -> Result<(), Error> {
    let readers = catalog.readers(entry.name());
    if cascade || readers.is_empty() {
        return Ok(());
    }
    let (name, readers) = (entry.name(), readers.join(", "));
    Err(Error::QueryFailed(format!("{name} is read by {readers}; drop these first, or use CASCADE")))
}
