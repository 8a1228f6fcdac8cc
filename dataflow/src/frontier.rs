//! `Frontier`: how far something on a worker is complete.

use std::cell::Cell;
use std::rc::Rc;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use crate::Time;

/// The frontier of something on this worker: all times before it are complete. `Time::MAX` when it has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frontier(Rc<Cell<Time>>);

impl Frontier {
    pub(crate) fn get(&self) -> Time {
        self.0.get()
    }

    pub(crate) fn set(&self, time: Time) {
        self.0.set(time);
    }
}

/// Returns the frontier of `stream`; `take` is called with every container that arrives.
pub(crate) fn track<C: timely::Container>(stream: Stream<'_, Time, C>, mut take: impl FnMut(&C) + 'static) -> Frontier {
    let frontier = Frontier::default();
    let seen = frontier.clone();
    stream.sink(Pipeline, "Frontier", move |(input, progress)| {
        input.for_each(|_, arrived| take(arrived));
        seen.set(progress.frontier().as_option().copied().unwrap_or(Time::MAX));
    });
    frontier
}
