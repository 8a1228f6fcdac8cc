//! Which views of the engine deliver their changes, and the views that only subscriptions have.

use laminardb_dataflow::{Time, ViewId};

use super::Database;
use crate::error::Error;
use crate::subscription::End;

impl Database {
    /// Lets the changes of `view` come to the hub; gives the time after which they do.
    pub(crate) fn watch(&self, view: ViewId) -> Result<Time, Error> {
        let mut watched = self.watched.lock();
        let time = self.engine.watch(view, true)?;
        *watched.entry(view).or_default() += 1;
        Ok(time)
    }

    /// A subscription of `view` is over. Does not wait; may be called by a destructor.
    pub(crate) fn release(&self, view: ViewId, anonymous: bool) {
        let mut watched = self.watched.lock();
        let left = watched.get_mut(&view).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left > 0 {
            return;
        }
        watched.remove(&view);
        // The engine may have ended, or the view been dropped by a statement: then there is nothing left to undo.
        if !anonymous {
            let _ = self.engine.watch(view, false);
            return;
        }
        drop(watched);
        let mut views = self.anonymous.lock();
        let found = views.iter().position(|(other, _)| *other == view);
        if let Some(position) = found {
            views.remove(position);
            drop(views);
            let _ = self.engine.drop_view(view);
            self.hub.end(view, &End::Finished);
        }
    }

    /// Forgets the views of subscriptions that read `name`; gives them.
    pub(crate) fn take_anonymous(&self, name: &str) -> Vec<ViewId> {
        let mut views = self.anonymous.lock();
        let reads = |(_, reads): &mut (ViewId, Vec<String>)| reads.iter().any(|read| read == name);
        views.extract_if(.., reads).map(|(view, _)| view).collect()
    }
}
