//! The rows that a view leaves out because an expression fails on them.

use super::Session;
use crate::error::Error;
use crate::subscription::FailedRow;

impl Session {
    /// The last 1,000 rows that a maintained view made with `'on_error' = 'skip'` left out, in the order of their times,
    /// up to the last write that returned before the call; none of another view.
    pub fn left_out(&self, view: &str) -> Result<Vec<FailedRow>, Error> {
        self.database.check_usable()?;
        self.refuse_in_transaction("what a view leaves out is not known")?;
        let catalog = self.database.catalog();
        let entry = catalog.named(view)?;
        let Some(maintained) = &entry.maintained else {
            let (name, kind) = (entry.name(), entry.kind().keyword());
            return Err(Error::SchemaMismatch(format!("{name} is a {kind}: it leaves no rows out")));
        };
        // The answer of the workers says that the hub has been told of everything before.
        let pending = self.database.engine.snapshot_errors(&[maintained.id]);
        let told = pending.and_then(|mut pending| pending.wait(&self.cancel, None));
        self.database.ended_as(told.map_err(|error| Error::from(error).naming(view)))?;
        Ok(self.database.hub.left_out(maintained.id))
    }
}
