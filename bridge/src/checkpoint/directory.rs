//! The storage directory: locks it, lists its images, and adds and removes them.
//!
//! The name of an image says whether it is complete: it is written as `incomplete_<id>`, flushed to disk, and then
//! renamed to `checkpoint_<id>`; an old one is renamed back before it is removed. So an image under its own name is
//! always complete, even after a crash.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use laminardb_planner::statement::RestoreFrom;

use super::file::{failed, sync_folder, write_bytes};
use super::{ImageSource, Verified, image};
use crate::error::Error;
use laminardb_dataflow::CancelToken;

/// Number of images that are kept.
const KEPT: usize = 3;

const LOCK: &str = "laminardb.lock";
const LAST: &str = "last_checkpoint";
const COMPLETE: &str = "checkpoint_";
const INCOMPLETE: &str = "incomplete_";

/// A storage directory, locked from its first use until it is released.
pub(crate) struct Directory {
    path: PathBuf,
    lock: Option<File>,
    /// The last id that this connection gave out.
    last_id: u64,
}

impl Directory {
    /// Makes the directory for `path` without touching the disk.
    pub(crate) fn new(path: PathBuf) -> Self {
        Directory { path, lock: None, last_id: 0 }
    }

    /// Unlocks the directory, so that another connection can use it.
    pub(crate) fn release(&mut self) {
        if let Some(lock) = self.lock.take() {
            // A forked child has the same open file: closing ours would leave it locked, unlocking does not. If it
            // fails, closing is all that can be done.
            let _ = lock.unlock();
        }
    }

    /// Writes an image and returns its id, which no image had before. If it fails, the image does not exist.
    pub(crate) fn write(&mut self, image: &ImageSource, cancel: &CancelToken) -> Result<u64, Error> {
        fs::create_dir_all(&self.path).map_err(|error| failed("make the directory", &self.path, &error))?;
        self.claim()?;
        let id = self.next_id()?;
        self.remove_leftovers()?;
        let (incomplete, complete) = (self.path.join(format!("{INCOMPLETE}{id}")), self.image_path(id));
        let written = self.write_as(id, image, &incomplete, &complete, cancel);
        if written.is_err() {
            // What could not be removed is removed at the next checkpoint.
            let _ = fs::remove_dir_all(&incomplete);
        }
        written?;
        self.last_id = id;
        self.remove_old();
        Ok(id)
    }

    fn write_as(
        &self,
        id: u64,
        image: &ImageSource,
        incomplete: &Path,
        complete: &Path,
        cancel: &CancelToken,
    ) -> Result<(), Error> {
        fs::create_dir(incomplete).map_err(|error| failed("make the directory", incomplete, &error))?;
        image::write(incomplete, id, image, cancel)?;
        self.note_last(id)?;
        fs::rename(incomplete, complete).map_err(|error| failed("write", complete, &error))?;
        let synced = sync_folder(&self.path);
        if synced.is_err() || cancel.check().is_err() {
            // Nobody is told of the image, so it must not be there.
            fs::rename(complete, incomplete).map_err(|error| failed("remove", complete, &error))?;
            synced?;
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    /// Reads an image and returns it with its id. Writes nothing to the disk, except for the lock file if there are
    /// images.
    pub(crate) fn read(&mut self, which: RestoreFrom, cancel: &CancelToken) -> Result<(u64, Verified), Error> {
        let shown = self.path.display().to_string();
        let none = || Error::CheckpointFailed(format!("there is no checkpoint in {shown}"));
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(Error::CheckpointFailed(format!("{shown} is not a directory"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            Err(error) => return Err(failed("read", &self.path, &error)),
        }
        // Checked before the lock, which makes a file: a directory without images is left untouched.
        if self.ids(COMPLETE)?.is_empty() {
            return Err(none());
        }
        self.claim()?;
        // Listed again under the lock: another connection may have removed images in the meantime.
        let ids = self.ids(COMPLETE)?;
        let id = match which {
            RestoreFrom::Latest => *ids.last().ok_or_else(none)?,
            RestoreFrom::Checkpoint(id) if ids.contains(&id) => id,
            RestoreFrom::Checkpoint(id) => {
                let there = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::CheckpointFailed(format!("checkpoint {id} not found; there are {there}")));
            }
        };
        Ok((id, image::read(&self.image_path(id), id, cancel)?))
    }

    fn image_path(&self, id: u64) -> PathBuf {
        self.path.join(format!("{COMPLETE}{id}"))
    }

    /// Locks the directory until it is released. Fails if another connection uses it.
    fn claim(&mut self) -> Result<(), Error> {
        let path = self.path.join(LOCK);
        if self.lock.as_ref().is_some_and(|lock| is_at(lock, &path)) {
            return Ok(());
        }
        // The directory may have been removed, and the locked file with it.
        self.release();
        let opened = File::options().write(true).create(true).truncate(false).open(&path);
        let lock = opened.map_err(|error| failed("lock", &path, &error))?;
        match lock.try_lock() {
            Ok(()) => {
                self.lock = Some(lock);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => {
                let path = self.path.display();
                Err(Error::CheckpointFailed(format!("{path} is in use by another connection")))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
        }
    }

    /// Returns an id above all that are known to have been given out.
    fn next_id(&self) -> Result<u64, Error> {
        let noted = fs::read_to_string(self.path.join(LAST)).ok().and_then(|text| text.trim().parse().ok());
        let seen = self.ids(COMPLETE)?.into_iter().chain(self.ids(INCOMPLETE)?).chain(noted);
        let last = seen.max().unwrap_or(0).max(self.last_id);
        last.checked_add(1).ok_or_else(|| Error::CheckpointFailed("there are no more checkpoint ids".to_owned()))
    }

    /// Records `id` as given out, so that no other image gets it even if this one is lost.
    fn note_last(&self, id: u64) -> Result<(), Error> {
        let (path, new) = (self.path.join(LAST), self.path.join(format!("{LAST}.new")));
        write_bytes(&new, format!("{id}\n").as_bytes())?;
        fs::rename(&new, &path).map_err(|error| failed("write", &path, &error))
    }

    /// Returns the ids of the entries named `prefix` followed by an id, ascending.
    fn ids(&self, prefix: &str) -> Result<Vec<u64>, Error> {
        let unreadable = |error: io::Error| failed("read", &self.path, &error);
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|id| id.parse::<u64>().ok());
            // Other spellings of the number are not ours.
            ids.extend(id.filter(|id| name.to_str() == Some(&format!("{prefix}{id}"))));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Removes what killed processes left behind.
    fn remove_leftovers(&self) -> Result<(), Error> {
        for id in self.ids(INCOMPLETE)? {
            let path = self.path.join(format!("{INCOMPLETE}{id}"));
            // We only make folders, so anything else is not ours.
            if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
                fs::remove_dir_all(&path).map_err(|error| failed("remove", &path, &error))?;
            }
        }
        Ok(())
    }

    /// Removes all but the newest images. Those that cannot be removed now are tried again at the next checkpoint.
    fn remove_old(&self) {
        let ids = self.ids(COMPLETE).unwrap_or_default();
        for id in &ids[..ids.len().saturating_sub(KEPT)] {
            let incomplete = self.path.join(format!("{INCOMPLETE}{id}"));
            if fs::rename(self.image_path(*id), &incomplete).is_ok() {
                let _ = fs::remove_dir_all(&incomplete);
            }
        }
    }
}

/// Whether `lock` is still the file at `path`.
fn is_at(lock: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        match (lock.metadata().map(place), fs::metadata(path).map(place)) {
            (Ok(held), Ok(there)) => held == there,
            _ => false,
        }
    }
    // Elsewhere an open file cannot be replaced.
    #[cfg(not(unix))]
    {
        let _ = lock;
        path.exists()
    }
}
