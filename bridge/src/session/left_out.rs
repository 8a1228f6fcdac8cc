//! Reads the rows that a view leaves out because an expression fails on them.

use super::Session;
use crate::error::Error;
use crate::subscription::FailedRow;

impl Session {
    /// Returns the last 1,000 rows that a maintained view created with `'on_error' = 'skip'` has left out, in the order
    /// of their times. They include those of every write that returned before the call. Returns none for other
    /// maintained views; fails for a relation that is not maintained.
    pub fn left_out(&self, view: &str) -> Result<Vec<FailedRow>, Error> {
        self.database.check_usable()?;
        self.refuse_in_transaction("what a view leaves out is not known")?;
        let catalog = self.database.catalog();
        let entry = catalog.named(view)?;
        let Some(maintained) = &entry.maintained else {
            let (name, kind) = (entry.name(), entry.kind().keyword());
            return Err(Error::SchemaMismatch(format!("{name} is a {kind}: it leaves no rows out")));
        };
        // When the workers have answered, the hub has received everything that came before.
        let pending = self.database.engine.snapshot_errors(&[maintained.id]);
        let told = pending.and_then(|mut pending| pending.wait(&self.cancel, None));
        self.database.ended_as(told.map_err(|error| Error::from(error).naming(view)))?;
        Ok(self.database.hub.left_out(maintained.id))
    }
}
