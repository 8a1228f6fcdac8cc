//! Long writes: they change their relations without the commit lock, so that others can write and read meanwhile.
//!
//! ```text
//! [ lock: lend ] apply [ lock: condition -> engine -> record -> show ] compact [ lock: take ]
//! ```
//!
//! Others find the rows before the write until the engine is given its changes, under the lock, so what they find is
//! what the engine knows at every moment. Writes to the same relations wait until they are taken back, as they would for
//! the lock. Transactions begin, and writers are held off, only when no relation is lent.

use laminardb_dataflow::RelationId;
use laminardb_planner::panics::caught;

use super::{Frozen, each_once};
use crate::error::Error;
use crate::store::{Applied, Finder, Prepared, rows_given};

impl Frozen<'_> {
    /// Applies writes if `condition` is true at the time at which they are made; otherwise returns `None`.
    pub(super) fn apply_if(
        mut self,
        prepared: Vec<Prepared>,
        condition: &dyn Fn(&Frozen<'_>) -> bool,
    ) -> Result<Option<Vec<Applied>>, Error> {
        if !condition(&self) {
            return Ok(None);
        }
        if self.may_lend() && self.state.store.is_long(&prepared) {
            let relations = each_once(prepared.iter().map(Prepared::relation));
            let made = self.apply_lent(&relations, |_| Ok((prepared, ())), condition)?;
            return Ok(made.map(|(applied, ())| applied));
        }
        self.apply(prepared).map(Some)
    }

    /// Whether a long write may have its relations lent. In a transaction all others wait for its end anyway, and
    /// calls that wait to begin one would wait for ever if there was always a long write.
    pub(super) fn may_lend(&self) -> bool {
        !self.in_transaction && !self.state.ended && !self.state.line.is_beginning()
    }

    /// Applies the writes that `make` returns to `relations` without the lock. Returns `None`, and has changed nothing,
    /// if `condition` is not true at the end.
    pub(super) fn apply_lent<T>(
        mut self,
        relations: &[RelationId],
        make: impl FnOnce(&Finder<'_>) -> Result<(Vec<Prepared>, T), Error>,
        condition: &dyn Fn(&Frozen<'_>) -> bool,
    ) -> Result<Option<(Vec<Applied>, T)>, Error> {
        let committer = self.committer;
        let mut loan = self.state.store.lend(relations)?;
        drop(self);
        // A panic must not keep the relations lent: their next writers would wait for ever.
        let prepared = caught(|| make(&loan.finder())).unwrap_or_else(|panic| Err(Error::Internal(panic)));
        let made = prepared.and_then(|(prepared, made)| {
            let (changes, applied) = loan.apply(&prepared)?;
            let given = rows_given(&prepared, &applied);
            let mut frozen = committer.lock(None);
            if frozen.state.ended {
                return Err(Error::Shutdown);
            }
            frozen.state.store.check_loan(&loan)?;
            if !condition(&frozen) {
                return Ok(None);
            }
            committer.send(changes, &given)?;
            frozen.state.store.show(&mut loan, &prepared);
            Ok(Some((applied, made)))
        });
        match made {
            Ok(Some(_)) => loan.tidy(),
            Ok(None) | Err(_) => loan.take_back(),
        }
        committer.frozen(|frozen| frozen.state.store.take(loan));
        committer.state.notify_all();
        made
    }
}
