//! Makes plans without one of the rules, for the test that no rule changes an answer.

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::optimizer::OptimizerRule;

thread_local! {
    static LEFT_OUT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` while this thread plans without the rule of the given name.
#[doc(hidden)]
pub fn without_rule<R>(name: &str, work: impl FnOnce() -> R) -> R {
    LEFT_OUT.set(Some(name.to_owned()));
    let result = work();
    LEFT_OUT.set(None);
    result
}

/// Returns the rules that are not left out.
pub(super) fn kept(rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    LEFT_OUT.with_borrow(|left_out| match left_out {
        Some(name) => rules.into_iter().filter(|rule| rule.name() != name).collect(),
        None => rules,
    })
}
