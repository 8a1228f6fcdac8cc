//! Failed rows as data: counted per view, beside its rows.
//!
//! A row on which an expression fails leaves the stream of rows and is counted as a failure with its diff, so that its
//! retraction takes the failure back. What remains counted is live: the rows that fail now.
//!
//! Operators write into their dataflow's ledger as they meet failures. All operators of a dataflow lead to its end, so
//! when the end is complete through a time, all of the ledger's entries through it are there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Diff, Time, short_text, short_value};

/// A row and the expression that failed on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowFailure {
    /// Text of the expression, with names of columns.
    pub(crate) expression: String,
    /// Why it failed.
    pub(crate) message: String,
    /// The row it failed on, as text.
    pub(crate) row: String,
}

/// A failure that stands: its rows are in the input now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveError {
    /// Text of the expression, with names of columns.
    pub expression: String,
    /// Why it failed.
    pub message: String,
    /// The row it failed on, as text.
    pub row: String,
    /// How often the row is there.
    pub count: Diff,
}

impl LiveError {
    pub(crate) fn new(failure: RowFailure, count: Diff) -> Self {
        let RowFailure { expression, message, row } = failure;
        LiveError { expression, message, row, count }
    }
}

/// A change of a failure's multiplicity.
pub(crate) type FailureUpdate = (RowFailure, Time, Diff);

/// The failures of one dataflow on one worker.
pub(crate) type Failures = Rc<RefCell<FailureLedger>>;

/// The failure of `expression` on row `row` of `rows`.
pub(crate) fn failure(expression: &str, message: String, rows: &RecordBatch, row: usize) -> RowFailure {
    // Failures are kept as long as their rows are there.
    let (expression, message) = (short_text(expression).into_owned(), short_text(&message).into_owned());
    RowFailure { expression, message, row: row_text(rows, row) }
}

/// A row as `(1, a, NULL)`, long values cut.
fn row_text(rows: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("NULL").with_display_error(true);
    let values: Vec<String> = rows
        .columns()
        .iter()
        .map(|column| match ArrayFormatter::try_new(column, &options) {
            Ok(formatter) => short_value(&formatter.value(row).to_string()).into_owned(),
            Err(_) => format!("<{}>", column.data_type()),
        })
        .collect();
    short_text(&format!("({})", values.join(", "))).into_owned()
}

/// The failures of a view on one worker, as of any time from the last compaction on.
#[derive(Debug, Default)]
pub(crate) struct FailureLedger {
    settled: BTreeMap<RowFailure, Diff>,
    recent: Vec<FailureUpdate>,
    /// Updates ever received.
    pub(crate) received: u64,
}

impl FailureLedger {
    /// Takes note of failures, whose times must not be closed at the end of the dataflow.
    pub(crate) fn record(&mut self, updates: &mut Vec<FailureUpdate>) {
        self.received += updates.len() as u64;
        self.recent.append(updates);
    }

    /// Multiplicities at `time`; a worker alone may have negative ones.
    pub(crate) fn at(&self, time: Time) -> BTreeMap<RowFailure, Diff> {
        let mut live = self.settled.clone();
        for (failure, t, diff) in &self.recent {
            if *t <= time {
                *live.entry(failure.clone()).or_default() += diff;
            }
        }
        live.retain(|_, count| *count != 0);
        live
    }

    /// Times at which failures came, since the last compaction.
    pub(crate) fn recent_times(&self) -> impl Iterator<Item = Time> + '_ {
        self.recent.iter().map(|(_, time, _)| *time)
    }

    /// Takes out what came at times before `frontier`.
    #[cfg(test)]
    pub(crate) fn take_before(&mut self, frontier: Time) -> Vec<FailureUpdate> {
        self.recent.extract_if(.., |(_, time, _)| *time < frontier).collect()
    }

    /// Forgets when failures through `time` came; no earlier time is read again.
    pub(crate) fn compact(&mut self, time: Time) {
        let mut kept = Vec::new();
        for (failure, t, diff) in self.recent.drain(..) {
            if t > time {
                kept.push((failure, t, diff));
                continue;
            }
            *self.settled.entry(failure).or_default() += diff;
        }
        self.recent = kept;
        self.settled.retain(|_, count| *count != 0);
    }
}

/// Multiplicities at `time` over several ledgers of one view.
pub(crate) fn failures_at(ledgers: &[Failures], time: Time) -> BTreeMap<RowFailure, Diff> {
    let mut all = BTreeMap::new();
    for ledger in ledgers {
        for (failure, count) in ledger.borrow().at(time) {
            *all.entry(failure).or_default() += count;
        }
    }
    all
}
