//! The rows that a view leaves out because an expression fails on them.

use super::read::{dropped, wait_for};
use super::{Interrupted, Session};
use crate::error::Error;
use crate::subscription::FailedRow;

impl Session {
    /// The last 1,000 rows that a maintained view made with `'on_error' = 'skip'` left out, in the order of their times,
    /// up to the last write that returned before the call; none of another view.
    pub fn left_out(&self, view: &str, interrupted: Interrupted<'_>) -> Result<Vec<FailedRow>, Error> {
        let shared = &self.shared;
        shared.check_usable()?;
        shared.refuse_in_transaction("what a view leaves out is not known")?;
        let catalog = shared.catalog();
        let entry = catalog.named(view)?;
        let Some(maintained) = &entry.maintained else {
            let (name, kind) = (entry.name(), entry.kind().keyword());
            return Err(Error::SchemaMismatch(format!("{name} is a {kind}: it leaves no rows out")));
        };
        // The answer of the workers says that the hub has been told of everything before.
        let pending = shared.engine.snapshot_errors(&[maintained.id]).map_err(dropped);
        let told = pending.and_then(|pending| wait_for(pending, &|| interrupted().then_some(Error::Interrupted)));
        shared.ended_as(told)?;
        Ok(shared.hub.left_out(maintained.id))
    }
}
