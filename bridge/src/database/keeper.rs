//! `Checkpoints`: the storage directory that holds the images of a database, and the thread that takes timed
//! checkpoints.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use laminardb_dataflow::Time;
use laminardb_dataflow::cancel::{CancelToken, Monitor};
use laminardb_dataflow::lock::{self, Condvar, Mutex, Rank};

use crate::catalog::CatalogState;
use crate::checkpoint::{Directory, ImageSource};
use crate::error::Error;

/// Configuration of a database's checkpoints.
#[derive(Clone)]
pub struct CheckpointConfig {
    /// Directory that holds the images; it is created on first use.
    pub directory: PathBuf,
    /// Time between two checkpoints while the database is running; one is skipped if nothing has changed since the
    /// last. Zero means that checkpoints are taken only on request.
    pub interval: Duration,
    /// Called with the reason when a timed checkpoint fails; not called again for the same reason until an attempt
    /// succeeds. Called on the thread of timed checkpoints, which holds no lock then.
    pub on_failure: Arc<dyn Fn(&Error) + Send + Sync>,
}

impl std::fmt::Debug for CheckpointConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CheckpointConfig { directory, interval, .. } = self;
        f.debug_struct("CheckpointConfig").field("directory", directory).field("interval", interval).finish()
    }
}

/// The checkpoints of a database; `None` if they are not enabled. Dropping it ends them.
pub(crate) struct Checkpoints(Option<Arc<Keeper>>);

/// State that a database shares with its thread of timed checkpoints.
pub(crate) struct Keeper {
    config: CheckpointConfig,
    /// The storage directory; `None` while a checkpoint or a restore uses it.
    state: Arc<Monitor<Option<Storage>>>,
    timer: Mutex<Timer>,
    wake: Condvar,
    /// Cancelled when the database is closed: no checkpoint begins any more, and those under way give up.
    over: CancelToken,
}

/// Exclusive use of the storage directory by one checkpoint or restore; ends on drop.
pub(crate) struct Held<'a> {
    keeper: &'a Keeper,
    state: Option<Storage>,
    _rank: lock::Held,
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

/// The storage directory, with the state of the database in its newest image.
pub(crate) struct Storage {
    pub(crate) directory: Directory,
    /// Number of times that a checkpoint or a restore has taken the directory.
    uses: u64,
    /// State of the database when this connection last wrote an image; before that, the state of an empty database.
    last: Mark,
}

impl Storage {
    /// Writes an image of the database in the state `mark`, and returns its id. If it fails, the image does not exist.
    pub(crate) fn write(&mut self, image: &ImageSource, mark: Mark, cancel: &CancelToken) -> Result<u64, Error> {
        let id = self.directory.write(image, cancel)?;
        self.last = mark;
        Ok(id)
    }
}

/// Whether the thread of timed checkpoints was started, and whether it must end.
#[derive(Default)]
struct Timer {
    is_started: bool,
    is_over: bool,
}

/// State of a database, compared with a later one to find out whether anything has changed.
#[derive(Default)]
pub(crate) struct Mark {
    pub(super) time: Time,
    pub(super) catalog: Arc<CatalogState>,
    pub(super) watermarks: Vec<Option<i64>>,
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        let relations = |mark: &Mark| mark.catalog.entries().len();
        // Empty catalogs are compared by their contents: the default mark has one of its own.
        let same_catalog = Arc::ptr_eq(&self.catalog, &other.catalog) || relations(self) + relations(other) == 0;
        self.time == other.time && same_catalog && self.watermarks == other.watermarks
    }
}

impl Checkpoints {
    pub(crate) fn new(config: Option<CheckpointConfig>) -> Self {
        Checkpoints(config.map(|config| {
            let directory = Directory::new(config.directory.clone());
            let state = Storage { directory, uses: 0, last: Mark::default() };
            Arc::new(Keeper {
                config,
                state: Monitor::new(Rank::DirectoryState, Some(state)),
                timer: Mutex::new(Rank::Leaf, Timer::default()),
                wake: Condvar::new(),
                over: CancelToken::new(),
            })
        }))
    }

    pub(crate) fn keeper(&self) -> Result<&Arc<Keeper>, Error> {
        self.0.as_ref().ok_or_else(|| Error::CheckpointFailed("checkpoints are not enabled".to_owned()))
    }

    /// Starts the thread of timed checkpoints, if the configuration asks for one and it was neither started nor ended
    /// before. `image` takes an image of the database, and gives up when the token is cancelled.
    pub(crate) fn start(
        &self,
        image: impl Fn(&CancelToken) -> Result<(Mark, ImageSource), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let Some(keeper) = self.0.as_ref().filter(|keeper| !keeper.config.interval.is_zero()) else { return Ok(()) };
        let mut timer = keeper.timer.lock();
        if !timer.is_started && !timer.is_over {
            let keeper = Arc::clone(keeper);
            thread::Builder::new()
                .name("laminardb-checkpoints".to_owned())
                .spawn(move || keeper.take_by_time(&image))
                .map_err(|error| Error::CheckpointFailed(format!("no thread for timed checkpoints: {error}")))?;
            timer.is_started = true;
        }
        Ok(())
    }

    /// Ends timed checkpoints without waiting; one that is under way is still written.
    pub(crate) fn stop(&self) {
        if let Some(keeper) = &self.0 {
            keeper.timer.lock().is_over = true;
            keeper.wake.notify_all();
        }
    }

    /// Ends all checkpoints: those under way give up, and the directory is unlocked when this returns.
    pub(crate) fn end(&self) {
        let Some(keeper) = &self.0 else { return };
        keeper.over.cancel();
        self.stop();
        keeper.release();
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    /// Waits until no other checkpoint or restore uses the directory, then takes it. Fails if `cancel` is cancelled or
    /// the database is closed.
    pub(crate) fn hold(&self, cancel: &CancelToken) -> Result<Held<'_>, Error> {
        let rank = lock::Held::new(Rank::Directory);
        let cancel = CancelToken::child_of([cancel, &self.over]);
        match self.state.wait_for(&cancel, None, Option::take) {
            Ok((_, mut state)) if !self.over.is_cancelled() => {
                state.uses += 1;
                Ok(Held { keeper: self, state: Some(state), _rank: rank })
            }
            Ok((mut none, state)) => {
                *none = Some(state);
                Err(Error::ConnectionClosed)
            }
            Err(_) => self.ended(Err(Error::Interrupted)),
        }
    }

    /// Runs `work`, which uses the disk, with a token that is also cancelled when the database is closed.
    pub(crate) fn work<T>(
        &self,
        cancel: &CancelToken,
        work: impl FnOnce(&CancelToken) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.ended(work(&CancelToken::child_of([cancel, &self.over])))
    }

    /// Returns the result; an interruption by the closing of the database becomes [`Error::ConnectionClosed`].
    fn ended<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Err(Error::Interrupted) if self.over.is_cancelled() => Err(Error::ConnectionClosed),
            other => other,
        }
    }

    /// Unlocks the directory after waiting until nobody uses it.
    fn release(&self) {
        let release = |state: &mut Option<Storage>| state.as_mut().map(|state| state.directory.release());
        let released = self.state.wait_for(&CancelToken::new(), None, release);
        debug_assert!(released.is_ok(), "nobody cancels it");
    }

    /// Takes a checkpoint after each interval until timed checkpoints end.
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
    }

    /// Takes a checkpoint unless nothing has changed since the last one.
    fn take_if_changed(&self, image: &dyn Fn(&CancelToken) -> Result<(Mark, ImageSource), Error>) -> Result<(), Error> {
        let uses = self.hold(&self.over)?.storage().uses;
        // May drop the last handle of the database, which then waits until nobody uses the directory.
        let (mark, image) = image(&self.over)?;
        let mut held = self.hold(&self.over)?;
        // After a checkpoint or a restore that came between, this image is not the newest state any more.
        if held.storage().uses == uses + 1 && held.storage().last != mark {
            self.work(&self.over, |cancel| held.storage().write(&image, mark, cancel))?;
        }
        Ok(())
    }
}
