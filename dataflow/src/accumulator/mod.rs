//! Aggregate states that can be undone.
//!
//! An accumulator holds one state for each of many groups, in columns. Groups are small dense integers that the caller
//! assigns and takes back. What always holds:
//!
//! * a state is a function of the multiset of rows given to its group: neither their order nor their batches matter,
//!   and a row with the opposite diff undoes it exactly, floats included;
//! * nothing panics on data: a result that does not fit its type is an error of its group.
//!
//! ```text
//! choice.rs ─────┬─ count.rs       number of rows or arguments
//!                ├─ exact_sum.rs   sum and avg  ─┬─ whole.rs             integers and decimals, i128 and more
//!                ├─ moments.rs     var, stddev ──┴─ superaccumulator.rs  floats, every bit kept ── exact.rs
//!                ├─ boolean.rs     bool_and, bool_or
//!                ├─ min_max.rs     min and max ──┬─ value.rs             values as ordered keys
//!                └─ distinct.rs    any of them ──┘  over each value once
//! ```

mod boolean;
mod choice;
mod count;
mod distinct;
mod exact;
mod exact_sum;
mod min_max;
mod moments;
mod selection;
mod superaccumulator;
mod value;
mod whole;

use std::fmt;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;

use crate::plan::AggregateFunction;
use crate::{Diffs, Evaluated};

pub use choice::{for_aggregate, for_planned};

/// The states of one aggregate, one for each group.
pub trait Accumulator: Send {
    /// Makes room for the groups `0..groups`; new groups hold no rows. Never shrinks.
    fn resize(&mut self, groups: usize);

    /// Adds rows: row i is added to the group `groups[i]` `diffs.at(i)` times, and removed if that is negative.
    ///
    /// `argument` has one value per row, of the type the accumulator was made for; NULLs are ignored. With a `filter`,
    /// so are the rows where it is not true. Every group must be below the size given to `resize`.
    fn update(&mut self, groups: &[u32], argument: Option<&ArrayRef>, diffs: &Diffs, filter: Option<&BooleanArray>);

    /// Returns the aggregate of each of `groups`. Errors give the position in `groups`.
    fn evaluate(&self, groups: &[u32]) -> Evaluated;

    /// Whether the states hold what `function` of the same arguments needs, too.
    fn holds(&self, _function: AggregateFunction) -> bool {
        false
    }

    /// Returns a function that the states hold, as [`Accumulator::evaluate`] does. Panics for another function.
    fn evaluate_as(&self, function: AggregateFunction, _groups: &[u32]) -> Evaluated {
        panic!("the states do not hold {}", function.name())
    }

    /// Forgets all rows of `group`, which can then be assigned again.
    fn free(&mut self, group: u32);

    /// Drops a part of the states, which are no longer used: about `rows` values. Returns about how many, 0 if none are
    /// left.
    fn discard(&mut self, rows: usize) -> usize;

    /// Returns approximately how many bytes of heap are held.
    fn bytes(&self) -> usize;
}

/// An aggregate that has no accumulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unsupported {
    /// The function to be computed.
    pub function: AggregateFunction,
    /// The type of its argument.
    pub argument: Option<DataType>,
    /// The type of its result.
    pub data_type: DataType,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => {
                write!(f, "{} of {argument} as {} is not supported", self.function.name(), self.data_type)
            }
            None => write!(f, "{} without an argument as {} is not supported", self.function.name(), self.data_type),
        }
    }
}

/// Whether rows may be retracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retractions {
    /// Diffs may have either sign.
    Possible,
    /// All diffs are positive, so MIN and MAX keep only one value. A negative diff is a broken invariant and panics.
    Never,
}

#[cfg(test)]
mod tests;
