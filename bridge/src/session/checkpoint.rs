//! CHECKPOINT and RESTORE: what is taken of a session, what is put back, and checkpoints taken by time.
//!
//! ```text
//! checkpoint: [ ddl, committer: catalog, scans, time ] -> write files
//! restore:    read, verify -> [ ddl: new relations, rows, new views beside the old -> swap the catalog -> drop the old ]
//! ```
//!
//! Nobody who reads or writes waits for the disk. The lock of the storage directory comes before `ddl`.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use arrow::array::RecordBatch;
use laminardb_dataflow::cancel::Monitor;
use laminardb_dataflow::{CancelToken, RelationId, Time, ViewId};
use laminardb_planner::statement::{CreateView, Name, RestoreFrom, parse_query};
use parking_lot::{Condvar, Mutex};

use super::Session;
use super::ddl::{Base, check_columns};
use crate::catalog::{CatalogState, Entry, ViewDefinition};
use crate::checkpoint::{self, Directory, Image, ImageSource, Item, Verified};
use crate::commit::Frozen;
use crate::database::{Database, Leaving, NewView};
use crate::error::Error;
use crate::subscription::End;
use crate::watermark::{Follow, NO_WATERMARK, Watermark};

/// Checkpoints as they are asked for when a session is opened.
#[derive(Clone)]
pub struct CheckpointConfig {
    /// Where images go; made on first use.
    pub directory: PathBuf,
    /// How often one is taken while the session is running, if anything changed; zero: only on request.
    pub interval: Duration,
    /// Told why a checkpoint that nobody asked for could not be taken: once, until the reason is another. Called
    /// without a lock, on a thread of its own.
    pub on_failure: Arc<dyn Fn(&Error) + Send + Sync>,
}

impl std::fmt::Debug for CheckpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CheckpointConfig { directory, interval, .. } = self;
        f.debug_struct("CheckpointConfig").field("directory", directory).field("interval", interval).finish()
    }
}

/// The checkpoints of a session; ends with it.
pub(crate) struct Checkpoints(Option<Arc<Keeper>>);

/// What the session and the thread of its timed checkpoints share.
struct Keeper {
    config: CheckpointConfig,
    /// `None` while a checkpoint or a restore uses it.
    state: Arc<Monitor<Option<State>>>,
    timer: Mutex<Timer>,
    wake: Condvar,
    /// Cancelled when nothing is begun any more, and what is under way has to give up.
    over: CancelToken,
}

/// The storage directory in the hands of one checkpoint or restore, until it is dropped.
struct Held<'a> {
    keeper: &'a Keeper,
    state: Option<State>,
}

impl Held<'_> {
    fn state(&mut self) -> &mut State {
        self.state.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.keeper.state.lock() = self.state.take();
        self.keeper.state.notify_all();
    }
}

struct State {
    directory: Directory,
    /// The session when it was last written.
    last: Mark,
}

#[derive(Default)]
struct Timer {
    thread: Option<ThreadId>,
    is_over: bool,
}

/// By which a change since a checkpoint is seen.
#[derive(Default)]
struct Mark {
    time: Time,
    catalog: Arc<CatalogState>,
    watermarks: Vec<Option<i64>>,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        let relations = |mark: &Mark| mark.catalog.entries().len();
        // Before the first definition there are several catalogs without any.
        let same_catalog = Arc::ptr_eq(&self.catalog, &other.catalog) || relations(self) + relations(other) == 0;
        self.time == other.time && same_catalog && self.watermarks == other.watermarks
    }
}

impl Session {
    /// Writes an image of the whole database; gives its id. A call that is cancelled leaves none.
    pub fn checkpoint(&self) -> Result<u64, Error> {
        self.database.check_usable()?;
        self.database.ended_as(self.write_image())
    }

    /// Replaces the whole database by an image, or changes nothing; gives the id of the image. Subscriptions end, when
    /// what was written before is delivered. If the call is cancelled in that wait, the image is in place.
    pub fn restore(&self, which: RestoreFrom) -> Result<u64, Error> {
        self.database.check_usable()?;
        self.database.ended_as(self.replace_by_image(which))
    }
}

impl Checkpoints {
    pub(crate) fn new(config: Option<CheckpointConfig>) -> Self {
        Checkpoints(config.map(|config| {
            let state = State { directory: Directory::new(config.directory.clone()), last: Mark::default() };
            Arc::new(Keeper {
                config,
                state: Monitor::new(Some(state)),
                timer: Mutex::default(),
                wake: Condvar::new(),
                over: CancelToken::new(),
            })
        }))
    }

    fn keeper(&self) -> Result<&Arc<Keeper>, Error> {
        self.0.as_ref().ok_or_else(|| Error::CheckpointFailed("checkpoints are not enabled".to_owned()))
    }

    /// Begins to take checkpoints by time, if the session was opened so.
    pub(crate) fn start(&self, session: Weak<Database>) -> Result<(), Error> {
        let Some(keeper) = self.0.as_ref().filter(|keeper| !keeper.config.interval.is_zero()) else { return Ok(()) };
        let mut timer = keeper.timer.lock();
        if timer.thread.is_none() && !timer.is_over {
            let keeper = Arc::clone(keeper);
            let started = thread::Builder::new()
                .name("laminardb-checkpoints".to_owned())
                .spawn(move || keeper.take_by_time(&session))
                .map_err(|error| Error::CheckpointFailed(format!("no thread for timed checkpoints: {error}")))?;
            timer.thread = Some(started.thread().id());
        }
        Ok(())
    }

    /// Ends checkpoints by time; one that is under way is still written.
    pub(crate) fn stop(&self) {
        if let Some(keeper) = &self.0 {
            keeper.timer.lock().is_over = true;
            keeper.wake.notify_all();
        }
    }

    /// Ends all: what is under way gives up, and the directory is free when this returns.
    pub(crate) fn end(&self) {
        let Some(keeper) = &self.0 else { return };
        keeper.over.cancel();
        self.stop();
        // The thread of timed checkpoints comes here when it held the last handle; it lets go itself when it ends.
        let on_timer = keeper.timer.lock().thread == Some(thread::current().id());
        if !on_timer {
            keeper.release();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    /// Waits until nobody else uses the directory.
    fn hold(&self, cancel: &CancelToken) -> Result<Held<'_>, Error> {
        let cancel = CancelToken::child_of([cancel, &self.over]);
        match self.state.wait_for(&cancel, None, Option::take) {
            Ok((_, state)) if !self.over.is_cancelled() => Ok(Held { keeper: self, state: Some(state) }),
            Ok((mut none, state)) => {
                *none = Some(state);
                Err(Error::ConnectionClosed)
            }
            Err(_) => self.ended(Err(Error::Interrupted)),
        }
    }

    /// Runs work on the disk, which ends with the database.
    fn work<T>(&self, cancel: &CancelToken, work: impl FnOnce(&CancelToken) -> Result<T, Error>) -> Result<T, Error> {
        self.ended(work(&CancelToken::child_of([cancel, &self.over])))
    }

    /// What was interrupted because the database is closed says so.
    fn ended<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Err(Error::Interrupted) if self.over.is_cancelled() => Err(Error::ConnectionClosed),
            other => other,
        }
    }

    /// Lets go of the directory, once nobody uses it.
    fn release(&self) {
        let release = |state: &mut Option<State>| state.as_mut().map(|state| state.directory.release());
        let released = self.state.wait_for(&CancelToken::new(), None, release);
        debug_assert!(released.is_ok(), "nobody cancels it");
    }

    /// Takes a checkpoint whenever the interval is over, until the session ends.
    fn take_by_time(&self, session: &Weak<Database>) {
        let mut told = None;
        loop {
            let mut timer = self.timer.lock();
            self.wake.wait_while_for(&mut timer, |timer| !timer.is_over, self.config.interval);
            let is_over = timer.is_over;
            drop(timer);
            if is_over {
                break;
            }
            match self.take_if_changed(session) {
                Ok(()) => told = None,
                Err(Error::ConnectionClosed | Error::Shutdown | Error::Interrupted) => {}
                Err(error) if told.as_ref() == Some(&error) => {}
                Err(error) => {
                    (self.config.on_failure)(&error);
                    told = Some(error);
                }
            }
        }
        if self.over.is_cancelled() {
            self.release();
        }
    }

    fn take_if_changed(&self, database: &Weak<Database>) -> Result<(), Error> {
        let mut held = self.hold(&self.over)?;
        let Some(database) = database.upgrade() else { return Err(Error::ConnectionClosed) };
        database.check_usable()?;
        let (mark, image) = database.session().with_cancel(&self.over).take_image()?;
        // A database that nobody else holds ends here, and with it this checkpoint.
        drop(database);
        if mark == held.state().last {
            return Ok(());
        }
        self.work(&self.over, |cancel| held.state().directory.write(&image, cancel))?;
        held.state().last = mark;
        Ok(())
    }
}

impl Session {
    fn write_image(&self) -> Result<u64, Error> {
        self.refuse_in_transaction("checkpoints are not taken")?;
        let keeper = self.database.checkpoints.keeper()?;
        let mut held = keeper.hold(&self.cancel)?;
        let (mark, image) = self.take_image()?;
        let id = keeper.work(&self.cancel, |cancel| held.state().directory.write(&image, cancel))?;
        held.state().last = mark;
        Ok(id)
    }

    /// The whole database at one moment, without what a transaction under way has done so far; its rows are read later.
    fn take_image(&self) -> Result<(Mark, ImageSource), Error> {
        let _definitions = self.definitions()?;
        let catalog = self.database.catalog();
        let (time, items) = self.database.committer.frozen(|frozen| {
            let items = catalog.entries().iter().map(|entry| self.take_item(frozen, entry));
            (self.database.engine.last_time(), items.collect::<Result<Vec<_>, _>>())
        });
        let items = items?;
        // What the image has, and not what they are now: a watermark moves without a lock.
        let watermarks = items.iter().map(watermark_in).collect();
        Ok((Mark { time, catalog, watermarks }, Image { time, items }))
    }

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
        // All rows that a source accepted are there; a table's writes are counted after they are made.
        let total_events =
            if entry.info.append_only { rows.rows() as u64 } else { self.database.accepted.lock().rows(id) };
        let base = checkpoint::BaseImage {
            name: entry.name().to_owned(),
            kind: entry.kind(),
            primary_key: spec.primary_key.clone(),
            watermark: (watermark != NO_WATERMARK).then_some(watermark),
            follow: spec.follow.as_ref().map(Follow::column_and_delay),
            total_events,
        };
        Ok(Item::Base { base, schema: Arc::clone(&spec.schema), defaults: spec.defaults.clone(), rows })
    }

    fn replace_by_image(&self, which: RestoreFrom) -> Result<u64, Error> {
        self.refuse_in_transaction("checkpoints are not restored")?;
        let keeper = self.database.checkpoints.keeper()?;
        let (id, image) = {
            let mut held = keeper.hold(&self.cancel)?;
            keeper.work(&self.cancel, |cancel| held.state().directory.read(which, cancel))?
        };
        let _definitions = self.define()?;
        let time = image.time;
        let mut restored = Restored::default();
        let built = self.build(image, &mut restored);
        let leaving = match built.and_then(|()| self.put_in_place(&mut restored, id, time)) {
            Ok(leaving) => leaving,
            Err(error) => {
                self.discard(&restored);
                self.database.check_usable()?;
                return Err(unbuildable(id, error));
            }
        };
        self.database.remove(leaving, &self.cancel)?;
        Ok(id)
    }

    /// Makes the relations of an image with their rows, and plans its views; nobody sees any of it.
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

    fn fill(&self, relation: RelationId, entry: &Entry, rows: Vec<RecordBatch>) -> Result<(), Error> {
        for batch in rows {
            self.cancel.check()?;
            self.database.check_usable()?;
            // Of the relation's own schema, rows are taken as they are.
            let batch = crate::batch::with_columns(&entry.info.schema, batch.columns().to_vec(), batch.num_rows());
            self.database.committer.load(relation, &[batch])?;
        }
        Ok(())
    }

    /// Installs the new views and makes the catalog the image's, between two commits; gives the views it had before.
    fn put_in_place(&self, restored: &mut Restored, id: u64, time: Time) -> Result<Leaving, Error> {
        // What was written before is still delivered.
        self.wait_for(self.database.engine.last_time(), None)?;
        self.database.committer.frozen(|frozen| {
            for view in std::mem::take(&mut restored.views) {
                let view_id = view.maintained.id;
                self.database.install(view, frozen)?;
                restored.installed.push(view_id);
            }
            // The image's own time, unless it has passed here: then one of its own, for the contents are others now.
            let last = self.database.engine.last_time();
            self.database.engine.close_through(if time > last { time } else { last + 1 })?;
            {
                let mut accepted = self.database.accepted.lock();
                accepted.rows.extend(restored.relations.iter().copied());
            }
            let new = Arc::new(std::mem::take(&mut restored.catalog));
            let old = std::mem::replace(&mut *self.database.catalog.write(), new);
            let topmost_first: Vec<_> = old.entries().iter().rev().map(Arc::clone).collect();
            Ok(self.database.leave(frozen, &topmost_first, |_| End::Restored(id)))
        })
    }

    /// Takes back what a restore that failed has made.
    fn discard(&self, restored: &Restored) {
        for view in restored.installed.iter().rev() {
            // The engine may have ended; then there is nothing to take back.
            let _ = self.database.uninstall(*view, End::Finished);
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
    /// With the number of rows in their accepted writes.
    relations: Vec<(RelationId, u64)>,
    /// Still to be installed, each after all it reads.
    views: Vec<NewView>,
    installed: Vec<ViewId>,
}

/// A relation of an image as a new one, and where its watermark was.
fn base_of(
    base: checkpoint::BaseImage,
    schema: arrow::datatypes::SchemaRef,
    defaults: Vec<Option<arrow::array::ArrayRef>>,
) -> Result<(Base, Option<i64>), Error> {
    let checkpoint::BaseImage { name, kind, primary_key, watermark, follow, .. } = base;
    check_columns(&name, &schema)?;
    let follow = match follow {
        Some((column, delay)) => {
            let field = schema.field(column);
            Some(Follow::behind(column, field.name(), field.data_type(), delay)?)
        }
        None => None,
    };
    let column = follow.as_ref().map(|follow| schema.field(follow.column_and_delay().0).name().clone());
    Ok((Base { name, kind, schema, primary_key, defaults, watermark_column: column, follow }, watermark))
}

/// The statement that made a view.
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

/// What is wrong with an image is a failed checkpoint; what ends every call is what it is.
fn unbuildable(id: u64, error: Error) -> Error {
    match error {
        Error::Interrupted | Error::ConnectionClosed | Error::Shutdown | Error::Internal(_) => error,
        other => Error::CheckpointFailed(format!("checkpoint {id} cannot be restored: {other}")),
    }
}

/// How far an image has a relation's watermark; views have none.
fn watermark_in<T>(item: &Item<T>) -> Option<i64> {
    match item {
        Item::Base { base, .. } => base.watermark,
        Item::View { .. } => None,
    }
}

fn watermark_of(entry: &Entry) -> i64 {
    entry.watermark.as_deref().map_or(NO_WATERMARK, Watermark::current)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

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
                let (mark, image) = session.take_image().expect("nothing is in the way");
                let Some(Item::Base { base, .. }) = image.items.first() else { unreachable!("s0 comes first") };
                differing += u32::from(mark.watermarks[0] != base.watermark);
            }
            over.store(true, Ordering::Relaxed);
            differing
        });
        assert_eq!(differing, 0);
    }
}
