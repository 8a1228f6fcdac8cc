//! A join in a loop, at times of which not all are ordered: counts the walks through a changing graph without cycles.
//!
//! ```text
//! roots --enter--> reached --arrange--> join --one round later--> back to reached
//! edges --enter------------arrange----/
//! ```

use std::collections::BTreeMap;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Concatenate, ConnectLoop, Enter, Feedback, Leave, Probe};
use timely::dataflow::{InputHandle, Scope};
use timely::order::Product;
use timely::progress::frontier::AntichainRef;

use super::*;
use crate::Diff;
use crate::arrangement::{Trace, snapshot};
use crate::testing::{Change, Value, changes_of, times, to_batch};
use crate::update::{PerRow, UpdateStream};

/// The times in the loop: a time outside, and a round.
type At = Product<Time, u32>;

const NODES: usize = 9;

/// Returns the updates at the times of the loop that `at` gives for those they have.
fn retimed<'s, T: timely::progress::Timestamp + Copy>(
    updates: Stream<'s, At, UpdateBatch<T>>,
    at: impl Fn(T) -> At + 'static,
) -> UpdateStream<'s, At>
where
    UpdateBatch<T>: timely::Container,
{
    updates.unary::<NoopBuilder<UpdateBatch<At>>, _, _, _>(Pipeline, "Retime", move |_, _| {
        move |input, output| {
            input.for_each(|capability, batch| {
                let times = PerRow::from_vec((0..batch.len()).map(|row| at(batch.times.at(row))).collect());
                let mut batch = UpdateBatch { rows: batch.rows.clone(), times, diffs: batch.diffs.clone() };
                output.session_with_builder(&capability).give_container(&mut batch);
            });
        }
    })
}

/// Builds the loop in `scope`. Returns the trace of the nodes reached in each round, and what tells when it is complete.
fn walks<'s>(
    scope: Scope<'s, Time>,
    roots: UpdateStream<'s>,
    edges: UpdateStream<'s>,
) -> (Trace<At>, timely::dataflow::ProbeHandle<Time>) {
    let (node, edge) = (schema(&[Int64]), schema(&[Int64, Int64]));
    let by_node = Layout::new(&node, &[0], &[]).expect("supported types");
    let by_source = Layout::new(&edge, &[0], &[1]).expect("supported types");
    let layout = JoinLayout::new(&by_node, &by_source, &[JoinColumn::Right(0)], &node).expect("the layouts fit");
    let probe = timely::dataflow::ProbeHandle::new();
    let trace = scope.iterative::<u32, _, _>(|inner| {
        let enter = |updates: UpdateStream<'s>| retimed(updates.enter(inner), |time| Product::new(time, 0));
        let (again, next) = inner.feedback(Product::new(Time(0), 1));
        let reached = inner.concatenate([enter(roots), next]);
        let reached = arrange(reached, &by_node, "Reached", Work::new("arrange"));
        let edges = arrange(enter(edges), &by_source, "Edges", Work::new("arrange"));
        let trace = reached.trace.clone();
        let found = join(reached, edges, layout, Work::new("join"));
        let found = retimed(found, |at: At| Product::new(at.outer, at.inner + 1));
        found.clone().connect_loop(again);
        found.leave(scope).probe_with(&probe);
        trace
    });
    (trace, probe)
}

/// Returns edges that come and go, from lesser to greater nodes, and the nodes from which the walks start.
fn random_graph(random: &mut Random, last: Time) -> [Vec<Change>; 2] {
    let node = |number: usize| Value::Int(number as i64);
    let mut changes = [vec![], vec![]];
    for (changes, is_edge) in changes.iter_mut().zip([false, true]) {
        let mut live: Vec<Row> = Vec::new();
        for time in times(1, last) {
            for _ in 0..random.below(if is_edge { 9 } else { 3 }) {
                if !live.is_empty() && random.once_in(3) {
                    changes.push((live.swap_remove(random.below(live.len())), time, -1));
                } else {
                    let from = random.below(NODES - 1);
                    let to = from + 1 + random.below(NODES - 1 - from);
                    let row = if is_edge { vec![node(from), node(to)] } else { vec![node(from)] };
                    live.push(row.clone());
                    changes.push((row, time, 1));
                }
            }
        }
    }
    changes
}

/// The plain twin: the number of walks to each node with at most `rounds` edges.
fn twin([roots, edges]: &[Vec<Change>; 2], time: Time, rounds: u32) -> Rows {
    let (roots, edges) = (accumulate(roots, time), accumulate(edges, time));
    let (mut ends, mut all) = (roots.clone(), roots);
    for _ in 0..rounds {
        let mut next = BTreeMap::new();
        for (edge, copies) in &edges {
            if let Some(walks) = ends.get(&edge[..1]) {
                *next.entry(vec![edge[1].clone()]).or_default() += walks * copies;
            }
        }
        next.iter().for_each(|(node, walks)| *all.entry(node.clone()).or_default() += walks);
        ends = next;
    }
    all
}

fn rows_at(trace: &mut Trace<At>, at: At) -> Rows {
    let layout = Layout::new(&schema(&[Int64]), &[0], &[]).expect("supported types");
    let mut rows = Rows::new();
    for (batch, diffs) in snapshot(trace, &layout, at) {
        let updates = UpdateBatch { rows: batch, times: PerRow::Same(Time(0)), diffs };
        changes_of(&updates).into_iter().for_each(|(row, _, diff)| *rows.entry(row).or_insert(0 as Diff) += diff);
    }
    rows
}

#[test]
fn a_join_in_a_loop_counts_walks() {
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let (last, workers) = (Time(12), *random.pick(&[1, 1, 2, 4]));
        let changes = random_graph(&mut random, last);
        // After some times the workers finish what is in flight; otherwise the rounds of several times mix.
        let drained: Vec<Time> = times(1, last).filter(|time| random.once_in(3) || *time == last).collect();
        let expected = changes.clone();
        let counted: Arc<parking_lot::Mutex<BTreeMap<(Time, u32), Rows>>> = Arc::default();
        let counts = Arc::clone(&counted);
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let mut inputs: [InputHandle<Time, NoopBuilder<UpdateBatch>>; 2] =
                std::array::from_fn(|_| InputHandle::new_with_builder());
            let (mut trace, probe) = worker.dataflow::<Time, _, _>(|scope| {
                let [roots, edges] = inputs.each_mut().map(|input| input.to_stream(scope));
                walks(scope, roots, edges)
            });
            for time in times(1, last) {
                for (handle, changes) in inputs.iter_mut().zip(&changes) {
                    handle.advance_to(time);
                    let now = changes.iter().filter(|(_, at, _)| *at == time);
                    for (row, _, diff) in now.skip(worker.index()).step_by(worker.peers()) {
                        let types = vec![Int64; row.len()];
                        let rows = to_batch(&schema(&types), &[row]);
                        let diffs = PerRow::Same(*diff);
                        handle.send_batch(&mut UpdateBatch { rows, times: PerRow::Same(time), diffs });
                    }
                    handle.advance_to(time + 1);
                }
                if !drained.contains(&time) {
                    continue;
                }
                worker.step_or_park_while(None, || probe.less_than(&(time + 1)));
                for rounds in 2..=NODES as u32 {
                    let mut counts = counts.lock();
                    let sum = counts.entry((time, rounds)).or_default();
                    for (row, diff) in rows_at(&mut trace, Product::new(time, rounds)) {
                        *sum.entry(row).or_default() += diff;
                    }
                }
                // Reads of this time may still follow, so the trace is advanced to two times of which none is the first.
                let since = [Product::new(time + 1, 0), Product::new(time, 2)];
                trace.set_logical_compaction(AntichainRef::new(&since));
                trace.set_physical_compaction(AntichainRef::new(&[Product::new(time + 1, 0)]));
            }
        });
        drop(guards.expect("timely starts"));
        let counted = counted.lock();
        assert!(!counted.is_empty());
        for ((time, rounds), counts) in &*counted {
            assert_eq!(*counts, twin(&expected, *time, *rounds), "seed {seed}, {workers} workers: {time}, {rounds}");
        }
    }
}
