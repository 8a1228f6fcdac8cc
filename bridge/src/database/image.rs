//! Takes an image of a database: all its relations, views and rows as of one moment.

use std::sync::Arc;

use laminardb_dataflow::CancelToken;

use super::Database;
use super::keeper::Mark;
use crate::catalog::{Entry, ViewDefinition};
use crate::checkpoint::{self, Image, ImageSource, Item};
use crate::commit::Frozen;
use crate::error::Error;
use crate::watermark::{Follow, NO_WATERMARK, Watermark};

impl Database {
    /// Takes an image of the whole database as of one moment, without the writes of a transaction under way. Waits for
    /// definitions under way. The image holds scans, whose rows are read when it is written.
    pub(crate) fn take_image(&self, cancel: &CancelToken) -> Result<(Mark, ImageSource), Error> {
        let _definitions = self.take_definitions(cancel, || self.check_usable())?;
        let catalog = self.catalog();
        let (time, items) = self.committer.frozen(|frozen| {
            let items = catalog.entries().iter().map(|entry| self.take_item(frozen, entry));
            (self.engine.last_time(), items.collect::<Result<Vec<_>, _>>())
        });
        let items = items?;
        // Read from the image, not from the relations: a write may have moved a watermark since the commit lock was
        // released.
        let watermarks = items.iter().map(watermark_in).collect();
        Ok((Mark { time, catalog, watermarks }, Image { time, items }))
    }

    /// Returns what an image holds of one entry; the rows of a base relation are a scan of its committed rows.
    fn take_item(&self, frozen: &mut Frozen<'_>, entry: &Entry) -> Result<Item<crate::store::Scan>, Error> {
        let gone = || Error::Internal(format!("the rows of {} are gone", entry.name()));
        if let Some(made_from) = &entry.made_from {
            let ViewDefinition { create, params } = &**made_from;
            let view = checkpoint::ViewImage {
                name: entry.name().to_owned(),
                kind: create.kind,
                columns: create.columns.iter().map(|column| column.value.clone()).collect(),
                query: create.query_text.clone(),
                placeholders_before: create.placeholders_before,
                on_error: create.on_error,
            };
            return Ok(Item::View { view, params: params.clone() });
        }
        let id = entry.relation_id().ok_or_else(gone)?;
        let (layout, rows) = (frozen.layout(id).ok_or_else(gone)?, frozen.scan(id).ok_or_else(gone)?);
        let spec = layout.spec();
        let watermark = watermark_of(entry);
        let total_events = self.accepted.rows(id);
        let base = checkpoint::BaseImage {
            name: entry.name().to_owned(),
            kind: entry.kind(),
            primary_key: spec.primary_key.clone(),
            json_columns: spec.json_columns.clone(),
            watermark: (watermark != NO_WATERMARK).then_some(watermark),
            follow: spec.follow.as_ref().map(Follow::column_and_delay),
            total_events,
        };
        Ok(Item::Base { base, schema: Arc::clone(&spec.schema), defaults: spec.defaults.clone(), rows })
    }
}

/// Returns the watermark that an image holds for an item; `None` for a view and if the watermark was never set.
fn watermark_in<T>(item: &Item<T>) -> Option<i64> {
    match item {
        Item::Base { base, .. } => base.watermark,
        Item::View { .. } => None,
    }
}

/// Returns the current watermark of a relation; [`NO_WATERMARK`] if it has none or it was never set.
fn watermark_of(entry: &Entry) -> i64 {
    entry.watermark.as_deref().map_or(NO_WATERMARK, Watermark::current)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use laminardb_planner::Params;

    use super::*;
    use crate::database::DatabaseConfig;

    #[test]
    fn a_watermark_that_moves_while_an_image_is_taken_is_in_the_mark_only_if_it_is_in_the_image() {
        let session = Database::open(DatabaseConfig::default()).expect("a database opens").session();
        for source in 0..50 {
            session.execute(&format!("CREATE SOURCE s{source} (a BIGINT)"), &Params::none()).expect("a good statement");
        }
        let writer = session.writer("s0").expect("it is there");
        let over = AtomicBool::new(false);
        let differing = thread::scope(|scope| {
            scope.spawn(|| {
                let mut reached = 0;
                while !over.load(Ordering::Relaxed) {
                    reached += 1;
                    writer.advance_watermark(reached).expect("the database is open");
                }
            });
            let mut differing = 0;
            for _ in 0..200 {
                let (mark, image) = session.database().take_image(&CancelToken::new()).expect("nothing is in the way");
                let Some(Item::Base { base, .. }) = image.items.first() else { unreachable!("s0 comes first") };
                differing += u32::from(mark.watermarks[0] != base.watermark);
            }
            over.store(true, Ordering::Relaxed);
            differing
        });
        assert_eq!(differing, 0);
    }
}
