//! `CommitState`: the state that the commit lock protects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use laminardb_dataflow::{CancelToken, RelationId};

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
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// The session, which never waits for its own turn.
    pub(crate) session: u64,
    /// The transaction that the session was in when the call began, if any. It may have ended since.
    pub(crate) transaction: Option<u64>,
    /// What the call is, for those who wait for its transaction or look at who waits.
    pub(crate) call: Call,
}

/// A call, in words for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// The name of the program's part that made it, such as a thread, if it was given.
    pub(crate) by: Option<Arc<str>>,
    /// The statement or the call, if it is known.
    pub(crate) statement: Option<Arc<str>>,
}

/// The transaction under way, apart from its changes, which are in the store.
pub(super) struct Open {
    pub(super) id: u64,
    /// The session that began it.
    pub(super) session: u64,
    pub(super) since: SystemTime,
    /// Who began it, with its last statement.
    pub(super) call: Call,
}

/// A transaction under way, or a call that waits for one to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionInfo {
    /// Who holds or waits, as far as the session was told by [`crate::Session::named`].
    pub name: Option<String>,
    /// When the transaction began, or the wait.
    pub since: SystemTime,
    /// The last statement or call of the transaction, or the one that waits.
    pub statement: Option<String>,
    /// Whether this is the transaction under way; otherwise the call waits.
    pub holds: bool,
}

impl TransactionInfo {
    fn new(call: &Call, since: SystemTime, holds: bool) -> Self {
        let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        TransactionInfo { name: owned(&call.by), since, statement: owned(&call.statement), holds }
    }
}

/// The calls that wait for their turn to write.
#[derive(Default)]
pub(super) struct Line {
    /// Number of the last place that was taken.
    pub(super) last: u64,
    /// The waiting calls by the number of their place: in order of arrival.
    pub(super) waiting: BTreeMap<u64, Waiting>,
}

impl Line {
    /// Whether a call waits to begin a transaction.
    pub(super) fn is_beginning(&self) -> bool {
        self.waiting.values().any(|waiting| waiting.begins)
    }
}

/// A call that waits.
pub(super) struct Waiting {
    /// Whether it waits to begin a transaction.
    pub(super) begins: bool,
    pub(super) session: u64,
    pub(super) since: SystemTime,
    pub(super) call: Call,
    /// The token of the call.
    pub(super) cancel: CancelToken,
}

impl CommitState {
    /// Returns whether a call is part of the transaction under way.
    pub(super) fn is_open_for(&self, actor: &Actor) -> bool {
        // A call that came before its session began the transaction is part of it too; otherwise it would wait for its
        // own session. This happens when a signal handler begins a transaction while its thread waits in a write.
        let is_part = |open: &Open| open.session == actor.session || Some(open.id) == actor.transaction;
        self.open.as_ref().is_some_and(is_part)
    }

    /// Returns whether a call may write to `relations` now: writers are not held off, no transaction of another session
    /// is under way, and no long write has one of the relations.
    pub(super) fn may_write(&self, actor: &Actor, relations: &[RelationId]) -> bool {
        !self.held && (self.open.is_none() || self.is_open_for(actor)) && !self.store.is_lent(relations)
    }

    /// Returns the transaction under way and the calls that wait for their turn, in order of arrival.
    pub(super) fn transactions(&self) -> Vec<TransactionInfo> {
        let open = self.open.iter().map(|open| TransactionInfo::new(&open.call, open.since, true));
        let waiting = self.line.waiting.values();
        open.chain(waiting.map(|waiting| TransactionInfo::new(&waiting.call, waiting.since, false))).collect()
    }
}
