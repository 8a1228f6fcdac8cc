//! Directories for the checkpoints of databases.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use laminardb_bridge::{CheckpointConfig, DatabaseConfig};

use crate::Database;

/// A storage directory that nobody else has. It is removed in the end.
pub struct Storage(pub PathBuf);

impl Storage {
    /// Returns a directory that does not exist yet.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Storage(std::env::temp_dir().join(format!("laminardb-restore-{}-{number}", std::process::id())))
    }

    /// Opens a database with `workers` workers that keeps its checkpoints here; none is taken without being asked for.
    pub fn open(&self, workers: usize) -> Database {
        let workers = NonZeroUsize::new(workers).expect("at least one worker");
        let checkpoints = CheckpointConfig {
            directory: self.0.clone(),
            interval: Duration::ZERO,
            on_failure: Arc::new(|error| panic!("no checkpoint is timed: {error}")),
        };
        Database::open(DatabaseConfig { workers, checkpoints: Some(checkpoints), ..DatabaseConfig::default() })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // What was never made need not be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
