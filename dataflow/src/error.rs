//! Errors of calls to the engine. A row on which an expression fails is data (see `scalar`), not an error.

use crate::ViewId;
use crate::cancel::Unready;
use crate::memory::OverLimit;

/// Failure of a call to the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataflowError {
    /// A broken invariant stopped the engine; every later call returns the same reason.
    #[error("the engine stopped: {reason}")]
    Stopped {
        /// The reason of the first failure.
        reason: String,
    },
    /// The engine was shut down by its owner.
    #[error("the engine is shut down")]
    ShutDown,
    /// No such view is installed.
    #[error("view {0:?} is not installed")]
    UnknownView(ViewId),
    /// A view with this id is already installed.
    #[error("view {0:?} is installed already")]
    AlreadyInstalled(ViewId),
    /// The first view cannot be dropped because the second reads it.
    #[error("view {0:?} is read by view {1:?}")]
    InUse(ViewId, ViewId),
    /// The view keeps no state that could be read: it is linear over relations.
    #[error("view {0:?} keeps no rows")]
    Stateless(ViewId),
    /// The plan cannot be rendered; the text says which node is wrong and why.
    #[error("plan is not well formed: {0}")]
    MalformedPlan(String),
    /// The view was ended because it, or the view `cause` below it, had grown when the memory limit was passed.
    #[error("view {view:?} was ended for view {cause:?}: {over}")]
    Ended {
        /// The view that was ended.
        view: ViewId,
        /// The view that had grown most: this one, or one that it reads.
        cause: ViewId,
        /// How much was in use then.
        over: OverLimit,
    },
    /// The call would pass the memory limit.
    #[error("{0}")]
    OverLimit(OverLimit),
    /// A wait reached its time limit.
    #[error("timed out")]
    TimedOut,
    /// The caller of a wait cancelled it.
    #[error("cancelled")]
    Cancelled,
}

impl From<Unready> for DataflowError {
    fn from(why: Unready) -> Self {
        match why {
            Unready::Cancelled => DataflowError::Cancelled,
            Unready::TimedOut => DataflowError::TimedOut,
        }
    }
}

/// Returns the message of a caught panic as a single line.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "a panic without a message",
    };
    text.replace('\n', " ")
}
