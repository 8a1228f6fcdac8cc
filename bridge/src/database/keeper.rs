//! `Checkpoints`: the storage directory that holds the images of a database, and the thread that takes images by time.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use laminardb_dataflow::Time;
use laminardb_dataflow::cancel::{CancelToken, Monitor};
use parking_lot::{Condvar, Mutex};

use crate::catalog::CatalogState;
use crate::checkpoint::{Directory, ImageSource};
use crate::error::Error;

/// How checkpoints are configured when a database is opened.
#[derive(Clone)]
pub struct CheckpointConfig {
    /// Where images go; made on first use.
    pub directory: PathBuf,
    /// How often one is taken while the database is running, if anything changed; zero: only on request.
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

/// The checkpoints of a database, which end with it.
pub(crate) struct Checkpoints(Option<Arc<Keeper>>);

/// What a database and the thread of its timed checkpoints share.
pub(crate) struct Keeper {
    config: CheckpointConfig,
    /// `None` while a checkpoint or a restore uses it.
    state: Arc<Monitor<Option<Storage>>>,
    timer: Mutex<Timer>,
    wake: Condvar,
    /// Cancelled when nothing is begun any more, and what is under way has to give up.
    over: CancelToken,
}

/// The storage directory in the hands of one checkpoint or restore, until it is dropped.
pub(crate) struct Held<'a> {
    keeper: &'a Keeper,
    state: Option<Storage>,
}

impl Held<'_> {
    pub(crate) fn storage(&mut self) -> &mut Storage {
        self.state.as_mut().expect("there until it is dropped")
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.keeper.state.lock() = self.state.take();
        self.keeper.state.notify_all();
    }
}

/// The storage directory, and what is in it.
pub(crate) struct Storage {
    pub(crate) directory: Directory,
    /// The database when it was last written.
    pub(crate) last: Mark,
}

#[derive(Default)]
struct Timer {
    thread: Option<ThreadId>,
    is_over: bool,
}

/// By which a change since a checkpoint is seen.
#[derive(Default)]
pub(crate) struct Mark {
    pub(super) time: Time,
    pub(super) catalog: Arc<CatalogState>,
    pub(super) watermarks: Vec<Option<i64>>,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        let relations = |mark: &Mark| mark.catalog.entries().len();
        // Before the first definition there are several catalogs without any.
        let same_catalog = Arc::ptr_eq(&self.catalog, &other.catalog) || relations(self) + relations(other) == 0;
        self.time == other.time && same_catalog && self.watermarks == other.watermarks
    }
}

impl Checkpoints {
    pub(crate) fn new(config: Option<CheckpointConfig>) -> Self {
        Checkpoints(config.map(|config| {
            let state = Storage { directory: Directory::new(config.directory.clone()), last: Mark::default() };
            Arc::new(Keeper {
                config,
                state: Monitor::new(Some(state)),
                timer: Mutex::default(),
                wake: Condvar::new(),
                over: CancelToken::new(),
            })
        }))
    }

    pub(crate) fn keeper(&self) -> Result<&Arc<Keeper>, Error> {
        self.0.as_ref().ok_or_else(|| Error::CheckpointFailed("checkpoints are not enabled".to_owned()))
    }

    /// Begins to take checkpoints by time, if the database was opened so.
    /// `image` takes an image of the database now, unless the token is cancelled.
    pub(crate) fn start(
        &self,
        image: impl Fn(&CancelToken) -> Result<(Mark, ImageSource), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let Some(keeper) = self.0.as_ref().filter(|keeper| !keeper.config.interval.is_zero()) else { return Ok(()) };
        let mut timer = keeper.timer.lock();
        if timer.thread.is_none() && !timer.is_over {
            let keeper = Arc::clone(keeper);
            let started = thread::Builder::new()
                .name("laminardb-checkpoints".to_owned())
                .spawn(move || keeper.take_by_time(&image))
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
    pub(crate) fn hold(&self, cancel: &CancelToken) -> Result<Held<'_>, Error> {
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
    pub(crate) fn work<T>(
        &self,
        cancel: &CancelToken,
        work: impl FnOnce(&CancelToken) -> Result<T, Error>,
    ) -> Result<T, Error> {
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
        let release = |state: &mut Option<Storage>| state.as_mut().map(|state| state.directory.release());
        let released = self.state.wait_for(&CancelToken::new(), None, release);
        debug_assert!(released.is_ok(), "nobody cancels it");
    }

    /// Takes a checkpoint whenever the interval is over, until the database ends.
    fn take_by_time(&self, image: &dyn Fn(&CancelToken) -> Result<(Mark, ImageSource), Error>) {
        let mut told = None;
        loop {
            let mut timer = self.timer.lock();
            self.wake.wait_while_for(&mut timer, |timer| !timer.is_over, self.config.interval);
            let is_over = timer.is_over;
            drop(timer);
            if is_over {
                break;
            }
            match self.take_if_changed(image) {
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

    fn take_if_changed(&self, image: &dyn Fn(&CancelToken) -> Result<(Mark, ImageSource), Error>) -> Result<(), Error> {
        let mut held = self.hold(&self.over)?;
        let (mark, image) = image(&self.over)?;
        if mark == held.storage().last {
            return Ok(());
        }
        self.work(&self.over, |cancel| held.storage().directory.write(&image, cancel))?;
        held.storage().last = mark;
        Ok(())
    }
}
