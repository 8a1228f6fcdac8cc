//! `Time`: the logical time of an engine.

use std::fmt;
use std::ops::{Add, Sub};

use differential_dataflow::lattice::Lattice;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use timely::order::{PartialOrder, TotalOrder};
use timely::progress::Timestamp;
use timely::progress::timestamp::{PathSummary, Refines};

/// Logical time, counted from 1. One commit, or several that arrived while the workers were busy, share a time; 0 is
/// before everything.
///
/// A number of times can be added or subtracted; there is no other arithmetic of times, so that they are not taken for
/// counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The time before everything.
    pub const ZERO: Time = Time(0);
    /// The time after everything, at which nothing changes: the frontier of what has ended.
    pub const MAX: Time = Time(u64::MAX);

    /// Returns the time before this one, if there is one.
    pub fn previous(self) -> Option<Time> {
        self.0.checked_sub(1).map(Time)
    }
}

impl Add<u64> for Time {
    type Output = Time;

    #[inline]
    fn add(self, times: u64) -> Time {
        Time(self.0 + times)
    }
}

impl Sub<u64> for Time {
    type Output = Time;

    #[inline]
    fn sub(self, times: u64) -> Time {
        Time(self.0 - times)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialOrder for Time {
    #[inline]
    fn less_than(&self, other: &Self) -> bool {
        self < other
    }

    #[inline]
    fn less_equal(&self, other: &Self) -> bool {
        self <= other
    }
}

impl TotalOrder for Time {}

impl Lattice for Time {
    #[inline]
    fn join(&self, other: &Self) -> Self {
        *self.max(other)
    }

    #[inline]
    fn meet(&self, other: &Self) -> Self {
        *self.min(other)
    }
}

impl Timestamp for Time {
    type Summary = Time;

    fn minimum() -> Self {
        Time::ZERO
    }
}

/// A path on which times grow by as much as the summary.
impl PathSummary<Time> for Time {
    #[inline]
    fn results_in(&self, src: &Time) -> Option<Time> {
        self.0.checked_add(src.0).map(Time)
    }

    #[inline]
    fn followed_by(&self, other: &Time) -> Option<Time> {
        self.results_in(other)
    }
}

impl Refines<()> for Time {
    fn to_inner((): ()) -> Time {
        Time::ZERO
    }

    fn to_outer(self) {}

    fn summarize(_: Time) {}
}

/// Timely asks for this, but calls it only between processes.
impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Time)
    }
}
