//! Takes checkpoints of the whole database and restores them.

use laminardb_bridge::RestoreFrom;
use pyo3::prelude::*;

use super::Connection;
use crate::checkpoint::CheckpointResult;
use crate::detach::interruptible;
use crate::error::checked;

#[pymethods]
impl Connection {
    /// Whether the configuration asks for checkpoints.
    #[getter]
    fn is_checkpoint_enabled(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.database(py)?.is_checkpoint_enabled())
    }

    /// Writes an image of the whole database to the storage directory, complete or not at all; gives its id.
    ///
    /// It holds the relations with their rows and watermarks, the views, and the logical time, all as of one moment;
    /// the newest three images are kept. Writers and readers do not wait for the disk. `CheckpointError` 700 when the
    /// configuration has no `checkpoint_interval_ms`, when the directory cannot be written to, or when another open
    /// connection uses it.
    ///
    /// >>> import tempfile
    /// >>> folder = tempfile.TemporaryDirectory()
    /// >>> config = laminardb.LaminarConfig(storage_dir=folder.name, checkpoint_interval_ms=0)
    /// >>> db = laminardb.open(":memory:", config=config)
    /// >>> db.checkpoint()
    /// CheckpointResult(checkpoint_id=1)
    /// >>> int(db.checkpoint())
    /// 2
    /// >>> db.close()
    /// >>> folder.cleanup()
    fn checkpoint(&self, py: Python<'_>) -> PyResult<CheckpointResult> {
        let session = self.session(py)?;
        let taken = interruptible(py, |cancel| session.with_cancel(cancel).checkpoint())?;
        checked(py, taken).map(CheckpointResult::new)
    }

    /// Replaces the whole database by a checkpoint, by default the newest; gives the id of the checkpoint.
    ///
    /// What was written or defined since is gone. Subscriptions end with `SubscriptionError` 501, and a `Writer` made
    /// before raises `SchemaError` 200. Logical times go on above all that were seen, here and in the image.
    /// `CheckpointError` 700 when there is no such checkpoint or its files are damaged: then nothing has changed.
    ///
    /// >>> import tempfile
    /// >>> folder = tempfile.TemporaryDirectory()
    /// >>> config = laminardb.LaminarConfig(storage_dir=folder.name, checkpoint_interval_ms=0)
    /// >>> db = laminardb.open(":memory:", config=config)
    /// >>> db.create_table("t", {"a": "int64"})
    /// >>> taken = db.checkpoint()
    /// >>> db.insert("t", {"a": 1})
    /// 1
    /// >>> db.restore(taken)
    /// 1
    /// >>> len(db.sql("SELECT * FROM t"))
    /// 0
    /// >>> db.close()
    /// >>> folder.cleanup()
    #[pyo3(signature = (checkpoint_id=None))]
    fn restore(&self, py: Python<'_>, checkpoint_id: Option<u64>) -> PyResult<u64> {
        let session = self.session(py)?;
        let which = checkpoint_id.map_or(RestoreFrom::Latest, RestoreFrom::Checkpoint);
        checked(py, interruptible(py, |cancel| session.with_cancel(cancel).restore(which))?)
    }
}
