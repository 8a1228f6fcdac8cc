//! Parts shared by the operators' tests: random updates, rows as plain values, and fragments of a dataflow run under
//! timely.
//!
//! A test compares an operator with its plain twin: at every time the operator's accumulated output must equal what the
//! twin computes from the accumulated input.

mod fragment;
mod random;
mod rows;
mod timed;

pub(crate) use fragment::{Fragment, FueledFragment, LateFragment, Script, run, run_in_pieces, run_late};
pub(crate) use random::{Random, Shape, cases, churning_script, random_script, seeds};
pub(crate) use rows::{Change, Row, Rows, Value, accumulate, changes_of, schema, times, to_batch};
pub(crate) use timed::{apply_all, close_all, free_all};

use crate::Time;

/// Compares the accumulated `changes` with the twin's rows at every time up to `last`.
pub(crate) fn assert_same_history(case: &str, changes: &[Change], last: Time, twin: impl Fn(Time) -> Rows) {
    assert_same_history_since(case, changes, Time::ZERO, last, twin);
}

/// Like `assert_same_history`, at times from `first` on.
pub(crate) fn assert_same_history_since(
    case: &str,
    changes: &[Change],
    first: Time,
    last: Time,
    twin: impl Fn(Time) -> Rows,
) {
    for time in times(first.0, last) {
        let (is, should) = (accumulate(changes, time), twin(time));
        assert_eq!(is, should, "{case}: contents at time {time} (left: operator, right: twin)");
    }
}
