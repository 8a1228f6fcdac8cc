//! Counts the subscriptions of each view, so that the engine delivers only changes that a subscription follows, and
//! drops a view that was installed for one subscription together with it.

use laminardb_dataflow::{Time, ViewId};

use super::Database;
use crate::error::Error;
use crate::subscription::End;

impl Database {
    /// Counts a new subscription of `view`, and has the engine deliver the view's changes to the hub. Returns the time
    /// after which it delivers them.
    pub(crate) fn watch(&self, view: ViewId) -> Result<Time, Error> {
        let mut watched = self.watched.lock();
        let time = self.engine.watch(view, true)?;
        *watched.entry(view).or_default() += 1;
        Ok(time)
    }

    /// Removes a subscription of `view` from the count. After the last one, the engine stops delivering the view's
    /// changes or, if the view is `anonymous` (installed for this subscription), drops it. Does not wait, so a
    /// destructor may call it.
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
        // Still under the lock, so that no new subscription watches the view in between. An error means that the engine
        // has ended or a statement has dropped the view; then nothing is left to undo.
        if !anonymous {
            let _ = self.engine.watch(view, false);
            return;
        }
        // `anonymous` comes before `watched` in the order of locks.
        drop(watched);
        let mut views = self.anonymous.lock();
        // A view that is not listed any more is removed by the statement that has taken it.
        let found = views.iter().position(|(other, _)| *other == view);
        if let Some(position) = found {
            views.remove(position);
            // Still under the lock: a statement that drops what the view reads finds either the view in the list, or
            // nothing of it in the engine.
            let _ = self.engine.drop_view(view);
            drop(views);
            self.hub.end(view, &End::Finished);
        }
    }

    /// Removes the views of subscriptions that read `name` from the list, and returns them. The caller must remove them
    /// from the engine.
    pub(crate) fn take_anonymous(&self, name: &str) -> Vec<ViewId> {
        let mut views = self.anonymous.lock();
        let reads = |(_, reads): &mut (ViewId, Vec<String>)| reads.iter().any(|read| read == name);
        views.extract_if(.., reads).map(|(view, _)| view).collect()
    }
}
