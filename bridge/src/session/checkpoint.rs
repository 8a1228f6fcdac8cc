//! CHECKPOINT and RESTORE: write an image of the database, or replace the database by an image.
//!
//! ```text
//! checkpoint: [ definitions, committer: catalog, scans, time ] -> write files
//! restore:    read, verify -> new relations, rows, plans of the views
//!             -> [ definitions: install the views beside the old -> swap the catalog ] -> drop the old
//! ```
//!
//! No reader, writer or definition waits for the disk, nor for rows that are loaded. The lock of the storage directory is taken before `definitions`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use laminardb_dataflow::{RelationId, Time, ViewId};
use laminardb_planner::stack::on_big_stack;
use laminardb_planner::statement::{CreateView, Name, RestoreFrom, parse_query};

use super::Session;
use super::ddl::relation::{NewRelation, check_columns};
use crate::catalog::{CatalogState, Entry, ViewDefinition};
use crate::checkpoint::{self, Item, Verified};
use crate::commit::Record;
use crate::database::{Leaving, NewView};
use crate::error::Error;
use crate::subscription::End;
use crate::watermark::Follow;

impl Session {
    /// Writes an image of the whole database and returns its id. A call that is cancelled leaves no image.
    pub fn checkpoint(&self) -> Result<u64, Error> {
        self.database.check_usable()?;
        self.database.ended_as(self.write_image())
    }

    /// Replaces the whole database by an image, or changes nothing; returns the id of the image. Subscriptions end when
    /// the changes of all earlier writes are delivered, for which the call does not wait.
    pub fn restore(&self, which: RestoreFrom) -> Result<u64, Error> {
        self.database.check_usable()?;
        self.database.ended_as(on_big_stack(|| self.replace_by_image(which)))
    }
}

impl Session {
    fn write_image(&self) -> Result<u64, Error> {
        self.refuse_in_transaction("checkpoints are not taken")?;
        let keeper = self.database.checkpoints.keeper()?;
        let mut held = keeper.hold(&self.cancel)?;
        let (mark, image) = self.database.take_image(&self.cancel)?;
        keeper.work(&self.cancel, |cancel| held.storage().write(&image, mark, cancel))
    }

    fn replace_by_image(&self, which: RestoreFrom) -> Result<u64, Error> {
        self.refuse_in_transaction("checkpoints are not restored")?;
        let keeper = self.database.checkpoints.keeper()?;
        let (id, image) = {
            let mut held = keeper.hold(&self.cancel)?;
            keeper.work(&self.cancel, |cancel| held.storage().directory.read(which, cancel))?
        };
        let time = image.time;
        let mut restored = Restored::default();
        let built = self.build(image, &mut restored);
        let placed = built.and_then(|()| {
            let _definitions = self.define()?;
            self.database.remove(self.put_in_place(&mut restored, id, time)?)
        });
        match placed {
            Ok(()) => Ok(id),
            // The old relations have gone already; what failed is the removal of their views.
            Err(error) if restored.is_placed => Err(error),
            Err(error) => {
                self.discard(&restored);
                // If the database has ended meanwhile, the image is not the cause of the failure.
                self.database.check_usable()?;
                Err(unbuildable(id, error))
            }
        }
    }

    /// Creates the relations of an image with their rows, and plans its views. No other call sees any of it yet.
    fn build(&self, image: Verified, restored: &mut Restored) -> Result<(), Error> {
        for item in image.items {
            let entry = match item {
                Item::Base { base, schema, defaults, rows } => {
                    let total_events = base.total_events;
                    let base = base_of(base, schema, defaults)?;
                    let (relation, entry) = self.database.committer.frozen(|frozen| self.new_base(frozen, base.0))?;
                    restored.relations.push((relation, total_events));
                    if let (Some(watermark), Some(reached)) = (&entry.watermark, base.1) {
                        watermark.advance(reached);
                    }
                    self.fill(relation, &entry, rows)?;
                    entry
                }
                Item::View { view, params } => {
                    self.cancel.check()?;
                    self.database.check_usable()?;
                    let name = view.name.clone();
                    let made_from = Arc::new(ViewDefinition { create: create_of(view)?, params });
                    let defined = self.define_view(&made_from, &restored.catalog, &made_from.params);
                    let (entry, view) = defined
                        .map_err(|error| Error::CheckpointFailed(format!("view {name} cannot be built: {error}")))?;
                    restored.views.extend(view);
                    entry
                }
            };
            if restored.catalog.entries().iter().any(|other| other.name() == entry.name()) {
                return Err(Error::CheckpointFailed(format!("there are two relations {}", entry.name())));
            }
            restored.catalog = restored.catalog.with(entry);
        }
        Ok(())
    }

    /// Loads the rows of a relation batch by batch; checks in between whether the call was cancelled.
    fn fill(&self, relation: RelationId, entry: &Entry, rows: Vec<RecordBatch>) -> Result<(), Error> {
        for batch in rows {
            self.cancel.check()?;
            self.database.check_usable()?;
            // Rows that have the relation's own schema are stored as they are, without casts.
            let batch = crate::batch::with_columns(&entry.info.schema, batch.columns().to_vec(), batch.num_rows());
            self.database.committer.load(relation, &[batch])?;
        }
        Ok(())
    }

    /// Installs the new views and replaces the catalog by that of the image, under the commit lock. Returns the views
    /// of the old catalog, which the caller must remove from the engine.
    fn put_in_place(&self, restored: &mut Restored, id: u64, time: Time) -> Result<Leaving, Error> {
        self.database.committer.frozen(|frozen| {
            for view in std::mem::take(&mut restored.views) {
                let view_id = view.maintained.id;
                self.database.install(view, frozen)?;
                restored.installed.push(view_id);
            }
            // Time continues with that of the image, or with a new one if that has passed: the contents change here.
            let last = self.database.engine.last_time();
            self.database.engine.close_through(if time > last { time } else { last + 1 })?;
            let new = std::mem::take(&mut restored.catalog);
            // In reverse order of creation, each entry comes before all that it reads.
            let gone: Vec<_> = self.database.catalog().entries().iter().rev().map(Arc::clone).collect();
            let record = Record::Restore { checkpoint: id, relations: &restored.relations, gone: &gone };
            restored.is_placed = true;
            Ok(self.database.replace_catalog(frozen, new, &record, &gone, |_| End::Restored(id)))
        })
    }

    /// Removes what a failed restore has made.
    fn discard(&self, restored: &Restored) {
        for view in restored.installed.iter().rev() {
            // An error means that the engine has ended; then nothing is left to remove.
            let _ = self.database.uninstall(*view, &End::Finished);
        }
        self.database
            .committer
            .frozen(|frozen| restored.relations.iter().for_each(|(relation, _)| frozen.drop(*relation)));
    }
}

/// What a restore has made so far.
#[derive(Default)]
struct Restored {
    catalog: CatalogState,
    /// The new relations, each with the number of rows given for it before the checkpoint.
    relations: Vec<(RelationId, u64)>,
    /// Views that are not installed yet, each after all that it reads.
    views: Vec<NewView>,
    /// Views that are installed already, in the same order.
    installed: Vec<ViewId>,
    /// Whether all of it is in the catalog.
    is_placed: bool,
}

/// Returns a relation of an image as a new relation, with the watermark that it had.
fn base_of(
    base: checkpoint::BaseImage,
    schema: arrow::datatypes::SchemaRef,
    defaults: Vec<Option<arrow::array::ArrayRef>>,
) -> Result<(NewRelation, Option<i64>), Error> {
    let checkpoint::BaseImage { name, kind, primary_key, json_columns, watermark, follow, .. } = base;
    check_columns(&name, &schema)?;
    let follow = match follow {
        Some((column, delay)) => {
            let field = schema.field(column);
            Some(Follow::behind(column, field.name(), field.data_type(), delay)?)
        }
        None => None,
    };
    let column = follow.as_ref().map(|follow| schema.field(follow.column_and_delay().0).name().clone());
    let watermark_column = column;
    Ok((NewRelation { name, kind, schema, primary_key, json_columns, defaults, watermark_column, follow }, watermark))
}

/// Returns the statement that creates a view of an image.
fn create_of(view: checkpoint::ViewImage) -> Result<CreateView, Error> {
    let checkpoint::ViewImage { name, kind, columns, query: query_text, placeholders_before, on_error } = view;
    let exact = |value| Name { value, quoted: true };
    Ok(CreateView {
        query: parse_query(&query_text, placeholders_before)?,
        name: exact(name),
        kind,
        columns: columns.into_iter().map(exact).collect(),
        query_text,
        placeholders_before,
        or_replace: false,
        if_not_exists: false,
        on_error,
    })
}

/// Returns the error as that of a failed restore, unless it is one that ends any call.
fn unbuildable(id: u64, error: Error) -> Error {
    match error {
        Error::Interrupted | Error::ConnectionClosed | Error::Shutdown | Error::Internal(_) => error,
        other => Error::CheckpointFailed(format!("checkpoint {id} cannot be restored: {other}")),
    }
}
