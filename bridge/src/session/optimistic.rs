//! Statements that write what a query has read: UPDATE and DELETE.
//!
//! The query runs without any lock, as every query does: it may take long, and may wait for views. Then its rows are
//! written, if nothing that it has read was written to until they are; otherwise it runs again. After
//! a few such attempts it runs while other writers are held off, so it cannot be kept from its end for ever.

use laminardb_dataflow::RelationId;
use laminardb_planner::BoundQuery;

use super::Session;
use super::outcome::QueryOutput;
use super::read::TRIES;
use crate::catalog::CatalogState;
use crate::commit::{Frozen, Write};
use crate::error::Error;

impl Session {
    /// Runs a query and makes the writes to `relation` that `make` returns for its rows; no other write comes in
    /// between. In a transaction of the session, both see its writes. Returns the number of rows of the query.
    pub(super) fn write_what_is_read(
        &self,
        catalog: &CatalogState,
        query: &BoundQuery,
        relation: RelationId,
        make: impl Fn(&QueryOutput) -> Result<Vec<Write>, Error>,
    ) -> Result<u64, Error> {
        let committer = &self.database.committer;
        let bases = query.relations.iter().filter_map(|name| catalog.named(name).ok());
        let bases: Vec<RelationId> =
            bases.flat_map(|entry| catalog.bases(entry)).filter_map(|entry| entry.relation_id()).collect();
        let writes = |frozen: &Frozen<'_>| bases.iter().map(|id| frozen.writes(*id)).collect::<Vec<u64>>();
        for _ in 0..TRIES {
            // A transaction of another session may be about to write what the query reads.
            drop(committer.wait_for_turn(self.actor(), &self.cancel)?);
            if self.in_transaction() {
                // Such writes are not counted until the end. A query there reads no view, so it does not wait.
                return committer.writing(self.actor(), relation, &self.cancel, |frozen| {
                    let rows = self.run_bound(catalog, query, "UPDATE", |taking| taking(frozen))?;
                    frozen.write(make(&rows)?).map_err(Error::in_statement)?;
                    Ok(rows.num_rows() as u64)
                });
            }
            let mut before = Vec::new();
            let rows = self.run_bound(catalog, query, "UPDATE", |taking| {
                committer.frozen(|frozen| {
                    before = writes(frozen);
                    taking(frozen)
                })
            })?;
            let same = |frozen: &Frozen<'_>| writes(frozen) == before && !frozen.in_transaction();
            let written = committer.commit_if(self.actor(), &make(&rows)?, &self.cancel, &same);
            if written.map_err(Error::in_statement)?.is_some() {
                return Ok(rows.num_rows() as u64);
            }
        }
        let _definitions = self.define()?;
        let hold = committer.hold(&self.cancel)?;
        let rows = self.run_bound(catalog, query, "UPDATE", |taking| committer.frozen(taking))?;
        let writes = make(&rows)?;
        committer.frozen(|frozen| {
            let written = frozen.write(writes);
            frozen.release(hold);
            written.map_err(Error::in_statement)?;
            Ok(rows.num_rows() as u64)
        })
    }
}
