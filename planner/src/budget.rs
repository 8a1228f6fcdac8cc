//! The bound on the work of planning a statement, and how planning notices that its call was cancelled.
//!
//! Planning counts its steps: an expression that is resolved or coerced, a rule that looks at a node of the plan, a node
//! that is lowered or made. It takes longer than linear in the length of the statement only by making more steps, so the
//! bound on steps bounds the time. Steps that take no time to speak of, literals above all, are not counted; they hear
//! of a cancelled call all the same.

use std::cell::RefCell;

use laminardb_dataflow::CancelToken;

use crate::error::PlanError;

/// The number of steps at which planning is given up.
const MOST_STEPS: usize = 1_000_000;

/// The planning that a thread is doing.
struct Planning {
    cancel: CancelToken,
    steps: usize,
    /// The steps of other planning inside this one, which has a budget of its own.
    inside: usize,
    most: usize,
}

thread_local! {
    static PLANNING: RefCell<Option<Planning>> = const { RefCell::new(None) };
}

/// Ends the planning of a thread, and takes up the one around it, if any.
struct Outer(Option<Planning>);

impl Drop for Outer {
    fn drop(&mut self) {
        let mut outer = self.0.take();
        PLANNING.with_borrow_mut(|planning| {
            if let (Some(outer), Some(done)) = (&mut outer, &planning) {
                outer.inside += done.steps + done.inside;
            }
            *planning = outer;
        });
    }
}

/// Runs `work`, in which all planning on this thread counts as one and fails with [`PlanError::Interrupted`] soon after
/// `cancel` is cancelled. The token is not polled.
pub fn planning<R>(cancel: &CancelToken, work: impl FnOnce() -> R) -> R {
    let most = PLANNING.with_borrow(|outer| outer.as_ref().map_or(MOST_STEPS, |outer| outer.most));
    within(most, cancel, work)
}

/// Does the same as [`planning`] with `most` as the bound on steps, of `work` and of each planning inside it.
#[doc(hidden)]
pub fn within<R>(most: usize, cancel: &CancelToken, work: impl FnOnce() -> R) -> R {
    let new = Planning { cancel: cancel.clone(), steps: 0, inside: 0, most };
    let _outer = Outer(PLANNING.replace(Some(new)));
    work()
}

/// Runs `work`; returns its result and the number of steps that planning in it made.
#[doc(hidden)]
pub fn counted<R>(work: impl FnOnce() -> R) -> (R, usize) {
    planning(&CancelToken::new(), || {
        let result = work();
        let steps = |planning: &Planning| planning.steps + planning.inside;
        (result, PLANNING.with_borrow(|planning| planning.as_ref().map_or(0, steps)))
    })
}

/// Counts `steps` more steps; 0 only looks whether planning must end. Fails if there were too many steps or the call was
/// cancelled; outside of [`planning`] it never fails.
pub fn spend(steps: usize) -> Result<(), PlanError> {
    PLANNING.with_borrow_mut(|planning| {
        let Some(planning) = planning else { return Ok(()) };
        planning.steps = planning.steps.saturating_add(steps);
        if planning.steps > planning.most {
            return Err(PlanError::invalid(format!(
                "the query is too large to plan: with the views that it reads it takes more than {} steps; make a \
                 materialized view of a part of it",
                planning.most
            )));
        }
        if planning.cancel.is_cancelled() { Err(PlanError::Interrupted) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_the_bound_and_when_the_call_is_cancelled() {
        assert_eq!(spend(usize::MAX), Ok(()));
        let cancel = CancelToken::new();
        planning(&cancel, || {
            assert_eq!(spend(MOST_STEPS), Ok(()));
            assert_eq!(planning(&cancel, || spend(1)), Ok(()));
            assert!(spend(1).expect_err("one too many").to_string().contains("too large to plan"));
        });
        cancel.cancel();
        assert_eq!(planning(&cancel, || spend(1)), Err(PlanError::Interrupted));
        assert_eq!(counted(|| spend(3)), (Ok(()), 3));
        let other = CancelToken::new();
        assert_eq!(counted(|| spend(3).and(planning(&other, || spend(4)))), (Ok(()), 7));
    }
}
