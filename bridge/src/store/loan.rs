//! Long writes: the relations that a long write changes are lent to it, so that it changes them without the store.
//!
//! ```text
//! lend --> apply (without the store) --> show --> tidy (without the store) --> take
//!                                   \--> take_back (without the store) ------> take
//! ```
//!
//! Meanwhile readers find the rows before the write, and from `show` on those after it. The caller lets no other write
//! to these relations begin before `take`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use laminardb_dataflow::{RelationId, panic_text};

use super::Store;
use super::layout::Prepared;
use super::relations::{Finder, Lent, Made, Relations, stopped};
use super::storage::Undo;
use crate::error::Error;

/// The number of rows from which on a write is long.
const LONG: usize = if cfg!(test) { 4 } else { 1 << 11 };

/// Relations that are lent to a write.
pub(crate) struct Loan {
    relations: Relations,
    /// Undoes the changes that were made.
    undo: Vec<(RelationId, Undo)>,
    /// Set when the write broke an invariant half way.
    broken: Option<String>,
}

impl Store {
    /// Whether applying the writes takes long, so that others should not wait for it.
    pub(crate) fn is_long(&self, writes: &[Prepared]) -> bool {
        let rows = |write: &Prepared| {
            let storage = self.relations.get(write.relation()).map(|relation| &relation.storage);
            storage.map_or(0, |storage| storage.work(write.operation, write.rows()))
        };
        writes.iter().map(rows).sum::<usize>() >= LONG
    }

    /// Whether a change of `rows` rows takes long.
    pub(crate) fn is_long_change(rows: usize) -> bool {
        rows >= LONG
    }

    /// Whether one of the relations is lent.
    pub(crate) fn is_lent(&self, relations: &[RelationId]) -> bool {
        !self.lent.is_empty() && relations.iter().any(|id| self.lent.contains_key(id))
    }

    /// Whether any relation is lent.
    pub(crate) fn is_any_lent(&self) -> bool {
        !self.lent.is_empty()
    }

    /// Lends relations, none of which may be lent, until [`Store::take`]. Fails if one does not exist.
    pub(crate) fn lend(&mut self, relations: &[RelationId]) -> Result<Loan, Error> {
        assert!(self.open.is_none() && !self.is_lent(relations), "one write at a time has a relation");
        self.check()?;
        if relations.iter().any(|id| self.relations.get(*id).is_none()) {
            return Err(Error::Dropped("the relation".to_owned()));
        }
        let mut loan = Loan { relations: Relations::default(), undo: Vec::new(), broken: None };
        for id in relations {
            if let Some(relation) = self.relations.0.remove(id) {
                loan.relations.0.insert(*id, relation);
            }
        }
        self.show_all(&mut loan, true);
        Ok(loan)
    }

    /// Fails if a relation of the loan was dropped meanwhile, or the store can no longer be trusted.
    pub(crate) fn check_loan(&self, loan: &Loan) -> Result<(), Error> {
        self.check()?;
        let dropped = loan.relations.0.iter().find(|(id, _)| !self.lent.contains_key(id));
        dropped.map_or(Ok(()), |(_, relation)| Err(Error::Dropped(relation.layout.spec.name.clone())))
    }

    /// Completes the writes of a loan but for [`Loan::tidy`], so that readers find their rows from now on.
    pub(crate) fn show(&mut self, loan: &mut Loan, writes: &[Prepared]) {
        loan.relations.settle(writes);
        self.show_all(loan, false);
    }

    /// Lets readers find the rows that the lent relations have now, apart from those that were dropped meanwhile.
    fn show_all(&mut self, loan: &mut Loan, is_new: bool) {
        for (id, relation) in &mut loan.relations.0 {
            if is_new || self.lent.contains_key(id) {
                let lent = Lent {
                    layout: Arc::clone(&relation.layout),
                    scan: relation.storage.scan(),
                    bytes: relation.storage.bytes(),
                    writes: relation.writes,
                };
                self.lent.insert(*id, lent);
            }
        }
    }

    /// Ends a loan. What it has of relations that were dropped meanwhile is freed by [`Store::take_dropped`].
    pub(crate) fn take(&mut self, loan: Loan) {
        self.broken = self.broken.take().or(loan.broken);
        for (id, relation) in loan.relations.0 {
            match self.lent.remove(&id) {
                Some(_) => {
                    self.relations.0.insert(id, relation);
                }
                None => self.dropped.push(relation),
            }
        }
    }
}

impl Loan {
    /// Returns access to the rows of the lent relations by key.
    pub(crate) fn finder(&self) -> Finder<'_> {
        Finder(&self.relations)
    }

    /// Applies writes in order, all or none, to the lent relations.
    pub(crate) fn apply(&mut self, writes: &[Prepared]) -> Result<Made, Error> {
        let made = self.guarded(|loan| loan.relations.apply_to_tables(writes, &mut loan.undo));
        if made.is_err() {
            self.take_back();
        }
        made
    }

    /// Undoes what was applied.
    pub(crate) fn take_back(&mut self) {
        // If that breaks an invariant, `take` reports it.
        let _ = self.guarded(|loan| {
            let undo = std::mem::take(&mut loan.undo);
            loan.relations.take_back(undo);
            Ok(())
        });
    }

    /// Rewrites sparse segments of the lent relations; nothing can be undone afterwards.
    pub(crate) fn tidy(&mut self) {
        // If that breaks an invariant, `take` reports it.
        let _ = self.guarded(|loan| {
            // May free a whole table that was truncated.
            loan.undo.clear();
            loan.relations.0.values_mut().for_each(|relation| relation.storage.settle());
            Ok(())
        });
    }

    /// Runs work that may break an invariant half way, and notes if it does.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Loan) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(reason) = &self.broken {
            return Err(Error::Internal(reason.clone()));
        }
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        done.unwrap_or_else(|panic| {
            let reason = stopped(&panic_text(panic.as_ref()));
            self.broken = Some(reason.clone());
            Err(Error::Internal(reason))
        })
    }
}
