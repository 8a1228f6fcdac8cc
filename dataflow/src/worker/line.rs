//! `Line`: the dataflows that were woken and wait for their turn to begin.

use std::collections::BTreeMap;

use super::flow::FlowId;

/// Dataflows in the order in which they were woken.
#[derive(Default)]
pub(super) struct Line {
    flows: BTreeMap<u64, FlowId>,
    places: BTreeMap<FlowId, u64>,
    last: u64,
}

impl Line {
    /// Adds a dataflow behind all others, if it is not there.
    pub(super) fn add(&mut self, flow: FlowId) {
        if !self.contains(flow) {
            self.last += 1;
            self.flows.insert(self.last, flow);
            self.places.insert(flow, self.last);
        }
    }

    /// Removes a dataflow; returns whether it was there.
    pub(super) fn remove(&mut self, flow: FlowId) -> bool {
        let place = self.places.remove(&flow);
        place.is_some_and(|place| self.flows.remove(&place).is_some())
    }

    pub(super) fn contains(&self, flow: FlowId) -> bool {
        self.places.contains_key(&flow)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Returns the dataflow that was woken first.
    pub(super) fn first(&self) -> Option<FlowId> {
        self.flows.first_key_value().map(|(_, flow)| *flow)
    }

    /// Removes at most `count` dataflows: half of them those that were woken last, and half those woken first.
    pub(super) fn take(&mut self, count: usize) -> Vec<FlowId> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let next = if taken.len() % 2 == 0 { self.flows.pop_last() } else { self.flows.pop_first() };
            let Some((_, flow)) = next else { break };
            self.places.remove(&flow);
            taken.push(flow);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_the_oldest_have_their_turns() {
        let flows: Vec<FlowId> =
            std::iter::successors(Some(FlowId::default()), |flow| Some(flow.next())).take(6).collect();
        let mut line = Line::default();
        for flow in &flows {
            line.add(*flow);
        }
        line.add(flows[0]);
        assert!(line.remove(flows[1]) && !line.remove(flows[1]) && !line.contains(flows[1]));
        assert_eq!((line.first(), line.take(3)), (Some(flows[0]), vec![flows[5], flows[0], flows[4]]));
        assert_eq!((line.first(), line.take(3)), (Some(flows[2]), vec![flows[3], flows[2]]));
        assert!(line.is_empty() && line.take(1).is_empty());
    }
}
