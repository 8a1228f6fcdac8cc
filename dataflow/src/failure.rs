//! Failed rows as data: they are counted per view, beside its rows.
//!
//! A row on which an expression fails leaves the stream of rows and is counted as a failure with its diff, so that its
//! retraction takes the failure back. The failures that remain counted are live: their rows are in the input now.
//!
//! Operators record failures in their dataflow's ledger as they meet them. All operators of a dataflow lead to its end,
//! so once the end is complete through a time, the ledger has all entries through that time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::{Diff, Time, short_text, short_value};

/// A row and the expression that failed on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowFailure {
    /// The text of the expression, with column names.
    pub(crate) expression: String,
    /// Why it failed on the row.
    pub(crate) message: String,
    /// The row it failed on, as text.
    pub(crate) row: String,
}

/// A failure that is live: its rows are in the input now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveError {
    /// The text of the expression, with column names.
    pub expression: String,
    /// Why it failed on the row.
    pub message: String,
    /// The row it failed on, as text.
    pub row: String,
    /// How often the row is in the input.
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

/// Describes the failure of `expression` on row `row` of `rows`.
pub(crate) fn failure(expression: &str, message: String, rows: &RecordBatch, row: usize) -> RowFailure {
    // Texts are shortened because a failure is kept as long as its row is in the input.
    let (expression, message) = (short_text(expression).into_owned(), short_text(&message).into_owned());
    RowFailure { expression, message, row: row_text(rows, row) }
}

/// Returns a row as `(1, a, NULL)`, with long values shortened.
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

/// The failures of a dataflow on one worker, as of any time since the last compaction.
#[derive(Debug, Default)]
pub(crate) struct FailureLedger {
    settled: BTreeMap<RowFailure, Diff>,
    recent: Vec<FailureUpdate>,
    /// Number of updates received so far.
    pub(crate) received: u64,
}

impl FailureLedger {
    /// Records failures; their times must not be closed yet at the end of the dataflow.
    pub(crate) fn record(&mut self, updates: &mut Vec<FailureUpdate>) {
        self.received += updates.len() as u64;
        self.recent.append(updates);
    }

    /// Returns the multiplicities at `time`; those of a single worker may be negative.
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

    /// Returns the times of the failures recorded since the last compaction.
    pub(crate) fn recent_times(&self) -> impl Iterator<Item = Time> + '_ {
        self.recent.iter().map(|(_, time, _)| *time)
    }

    /// Removes and returns the failures with times before `frontier`.
    #[cfg(test)]
    pub(crate) fn take_before(&mut self, frontier: Time) -> Vec<FailureUpdate> {
        self.recent.extract_if(.., |(_, time, _)| *time < frontier).collect()
    }

    /// Forgets at which times failures through `time` were recorded; no earlier time may be read afterwards.
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

/// Returns the multiplicities at `time`, summed over several ledgers of one view.
pub(crate) fn failures_at(ledgers: &[Failures], time: Time) -> BTreeMap<RowFailure, Diff> {
    let mut all = BTreeMap::new();
    for ledger in ledgers {
        for (failure, count) in ledger.borrow().at(time) {
            *all.entry(failure).or_default() += count;
        }
    }
    all
}
