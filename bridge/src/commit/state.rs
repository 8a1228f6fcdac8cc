//! `CommitState`: the state that the commit lock protects.

use std::collections::BTreeMap;

use crate::store::Store;

/// The store, the transaction under way, and the calls that wait to write.
#[derive(Default)]
pub(super) struct CommitState {
    pub(super) store: Store,
    pub(super) open: Option<Open>,
    pub(super) line: Line,
    /// Whether writers are held off, see [`super::Committer::hold`].
    pub(super) held: bool,
    /// Whether writing has ended for good. `open` then still says which transaction was rolled back.
    pub(super) ended: bool,
}

/// The caller of a committer method.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    /// The session, which never waits for its own turn.
    pub(crate) session: u64,
    /// The transaction that the session was in when the call began, if any. It may have ended since.
    pub(crate) transaction: Option<u64>,
}

/// The transaction under way, apart from its changes, which are in the store.
pub(super) struct Open {
    pub(super) id: u64,
    /// The session that began it.
    pub(super) session: u64,
}

/// The calls that wait for their turn to write.
#[derive(Default)]
pub(super) struct Line {
    /// Number of the last place that was taken.
    pub(super) last: u64,
    /// Session of each waiting call, by the number of its place: in order of arrival.
    pub(super) waiting: BTreeMap<u64, u64>,
}

impl CommitState {
    /// Returns whether a call is part of the transaction under way.
    pub(super) fn is_open_for(&self, actor: Actor) -> bool {
        // A call that came before its session began the transaction is part of it too; otherwise it would wait for its
        // own session. This happens when a signal handler begins a transaction while its thread waits in a write.
        let is_part = |open: &Open| open.session == actor.session || Some(open.id) == actor.transaction;
        self.open.as_ref().is_some_and(is_part)
    }

    /// Returns whether a call may write now: writers are not held off, and no transaction of another session is under
    /// way.
    pub(super) fn may_write(&self, actor: Actor) -> bool {
        !self.held && (self.open.is_none() || self.is_open_for(actor))
    }
}
