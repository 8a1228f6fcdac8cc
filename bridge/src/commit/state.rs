//! `CommitState`: what the commit lock protects.

use std::collections::BTreeMap;

use crate::store::Store;

/// The store, the transaction under way, and who waits to write.
#[derive(Default)]
pub(super) struct CommitState {
    pub(super) store: Store,
    pub(super) open: Option<Open>,
    pub(super) line: Line,
    /// Whether all who want to write wait, see [`super::Committer::hold`].
    pub(super) held: bool,
    /// Whether nothing is written any more. `open` still says which transaction was rolled back.
    pub(super) ended: bool,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    /// The session, which does not wait for its own turn.
    pub(crate) session: u64,
    /// The transaction that the session was in when the call began, if any. It may have ended.
    pub(crate) transaction: Option<u64>,
}

/// The transaction under way, beyond what the store has of it.
pub(super) struct Open {
    pub(super) id: u64,
    /// The session that began it.
    pub(super) session: u64,
}

/// Who waits for a turn.
#[derive(Default)]
pub(super) struct Line {
    pub(super) last: u64,
    /// Their sessions, in the order in which they came.
    pub(super) waiting: BTreeMap<u64, u64>,
}

impl CommitState {
    /// Whether the transaction under way is the one that a call is part of.
    pub(super) fn is_open_for(&self, actor: Actor) -> bool {
        // A call that came before its session began the transaction is part of it too: it would wait for its own
        // session, as a write does while which a signal handler of its thread begins a transaction.
        let is_part = |open: &Open| open.session == actor.session || Some(open.id) == actor.transaction;
        self.open.as_ref().is_some_and(is_part)
    }

    /// Whether a call may write now.
    pub(super) fn may_write(&self, actor: Actor) -> bool {
        !self.held && (self.open.is_none() || self.is_open_for(actor))
    }
}
