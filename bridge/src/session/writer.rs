//! `Writer`: writes to one relation and moves its watermark.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use laminardb_dataflow::RelationId;
use laminardb_planner::RelationInfo;

use super::Session;
use super::dml::not_writable;
use crate::commit::Record;
use crate::database::Database;
use crate::error::Error;
use crate::relation::Operation;
use crate::watermark::Watermark;

/// Writes to one source or table until it or its database is closed; keeps the database alive. Any session of the
/// database may write through it.
pub struct Writer {
    database: Arc<Database>,
    relation: RelationId,
    info: Arc<RelationInfo>,
    watermark: Arc<Watermark>,
    closed: AtomicBool,
}

impl Session {
    /// Makes a writer to a source or table; fails for a view.
    pub fn writer(&self, table: &str) -> Result<Writer, Error> {
        self.database.check_usable()?;
        let catalog = self.database.catalog();
        let entry = catalog.named(table)?;
        let (Some(relation), Some(watermark)) = (entry.relation_id(), &entry.watermark) else {
            return Err(not_writable(entry));
        };
        Ok(Writer {
            database: Arc::clone(&self.database),
            relation,
            info: Arc::clone(&entry.info),
            watermark: Arc::clone(watermark),
            closed: AtomicBool::new(false),
        })
    }
}

impl Writer {
    /// Returns whether neither the writer nor its database is closed.
    pub fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire) && !self.database.is_closed()
    }

    /// Returns the relation that is written to.
    pub fn relation(&self) -> Result<&Arc<RelationInfo>, Error> {
        self.check_open()?;
        Ok(&self.info)
    }

    /// Returns the relation's watermark.
    pub fn current_watermark(&self) -> Result<i64, Error> {
        self.check_open()?;
        Ok(self.watermark.current())
    }

    /// Moves the relation's watermark forward; a lower value has no effect. Fails if the relation was dropped or
    /// replaced.
    pub fn advance_watermark(&self, to: i64) -> Result<(), Error> {
        self.check_open()?;
        self.database.check_usable()?;
        self.check_there()?;
        // Under the commit lock, so that the record is in order with those of writes.
        self.database.committer.frozen(|frozen| {
            self.watermark.advance(to);
            frozen.record(&Record::Watermark { relation: self.relation, to });
        });
        Ok(())
    }

    /// Stores rows as a call of `session`, as [`Session::insert`] does. Fails if the relation was dropped or replaced.
    pub fn insert(&self, session: &Session, rows: Vec<RecordBatch>) -> Result<u64, Error> {
        self.check_open()?;
        self.database.check_usable()?;
        self.check_there()?;
        session.write_to(self.relation, Operation::Insert, rows).map_err(|error| match error {
            Error::Dropped(_) => self.check_there().err().unwrap_or(error),
            other => other,
        })
    }

    /// Waits until all writes that returned before the call are through all views.
    pub fn flush(&self, session: &Session) -> Result<(), Error> {
        self.check_open()?;
        session.wait(None).map(|_| ())
    }

    /// Closes the writer, then waits as [`Writer::flush`] does. Calling it again does nothing.
    pub fn close(&self, session: &Session) -> Result<(), Error> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        match session.wait(None) {
            // A database that is closed or shut down has nothing left to wait for.
            Err(Error::ConnectionClosed | Error::Shutdown) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Fails if the relation was dropped, or replaced by another one of its name.
    fn check_there(&self) -> Result<(), Error> {
        let catalog = self.database.catalog();
        let entries = catalog.entries();
        let name = &self.info.name;
        if entries.iter().any(|entry| entry.relation_id() == Some(self.relation)) {
            Ok(())
        } else if entries.iter().any(|entry| entry.name() == name) {
            Err(Error::TableNotFound(format!("{name} was replaced since the writer was made")))
        } else {
            Err(Error::TableNotFound(name.clone()))
        }
    }

    /// Fails if the writer or its database is closed.
    fn check_open(&self) -> Result<(), Error> {
        if self.is_open() { Ok(()) } else { Err(Error::WriterClosed) }
    }
}
