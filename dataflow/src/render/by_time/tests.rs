//! Checks that the operators with a state of their own process a piece in each activation, whatever they are given.

use arrow::datatypes::DataType::{self, Float64, Int64, Utf8};
use timely::container::NoopBuilder;
use timely::dataflow::operators::probe::{Handle as ProbeHandle, Probe};
use timely::dataflow::{InputHandle, Stream};

use super::*;
use crate::failure::Failures;
use crate::fuel::{Fuel, Meter, PIECE_ROWS};
use crate::plan::{Aggregate, AggregateFunction, NodeId, Reduce, SetOperator, SortKey, TopK};
use crate::render::reduce::{ReduceState, reduce};
use crate::render::set::{SetState, set};
use crate::render::top_k::{TopKState, top_k};
use crate::testing::{Row, Value, apply_all, close_all, free_all, schema, to_batch};
use crate::work::Work;

const INPUT: [DataType; 3] = [Int64, Utf8, Float64];
/// Number of rows that change at once.
const MANY: i64 = 5000;

fn row(i: i64) -> Row {
    vec![Value::Int(i), Value::Text(format!("text {i}")), Value::float(i as f64 / 7.0)]
}

fn batch(rows: impl IntoIterator<Item = i64>, time: u64, diff: Diff) -> UpdateBatch {
    let rows: Vec<Row> = rows.into_iter().map(row).collect();
    let rows = to_batch(&schema(&INPUT), &rows.iter().collect::<Vec<_>>());
    UpdateBatch { rows, times: PerRow::Same(Time(time)), diffs: PerRow::Same(diff) }
}

/// Batches of some times, each with its input, in the order of their times.
fn large_times() -> Vec<Vec<(usize, UpdateBatch)>> {
    vec![
        vec![(0, batch(0..MANY, 1, 1))],
        vec![(0, batch(0..10, 2, 1))],
        vec![(0, batch(0..MANY, 3, 1)), (1, batch(0..MANY / 2, 3, 1))],
        (0..300).map(|i| (0, batch([i], 4, 1))).collect(),
        vec![(0, batch(0..MANY, 5, -1)), (0, batch(0..10, 5, -1))],
    ]
}

type Streams<'s> = Vec<Stream<'s, Time, UpdateBatch>>;

/// Runs an operator over the times of `script`, which arrive while earlier ones are being closed; returns the most rows
/// that it processed in an activation.
fn largest_piece<B>(script: Vec<Vec<(usize, UpdateBatch)>>, build: B) -> u64
where
    B: for<'s> Fn(Streams<'s>, Aside) -> Stream<'s, Time, UpdateBatch> + Send + Sync + 'static,
{
    timely::execute_directly(move |worker| {
        let meter = Meter::new();
        let fuel = Fuel::new(&meter);
        let mut inputs: Vec<InputHandle<Time, NoopBuilder<UpdateBatch>>> =
            (0..2).map(|_| InputHandle::new_with_builder()).collect();
        let probe = worker.dataflow::<Time, _, _>(|scope| {
            let streams = inputs.iter_mut().map(|input| input.to_stream(scope)).collect();
            let probe = ProbeHandle::new();
            let aside = Aside::new(Work::of("tested", &fuel), &Failures::default());
            build(streams, aside).probe_with(&probe);
            probe
        });
        let last = Time(script.len() as u64);
        for (time, batches) in (1..).zip(script) {
            inputs.iter_mut().for_each(|input| input.advance_to(Time(time)));
            for (input, mut batch) in batches {
                inputs[input].send_batch(&mut batch);
            }
            inputs.iter_mut().for_each(|input| input.advance_to(Time(time + 1)));
            for _ in 0..5 {
                worker.step();
                meter.look();
            }
            assert!(time != 1 || fuel.has_backlog() && probe.less_than(&Time(2)), "the first time is still processed");
        }
        let mut steps = 0;
        while probe.less_than(&(last + 1)) {
            worker.step();
            meter.look();
            steps += 1;
            assert!(steps < 10_000, "the operator activates itself until it is done");
        }
        assert!(!fuel.has_backlog());
        meter.take_largest()
    })
}

fn aggregates() -> Vec<Aggregate> {
    let aggregate =
        |function, argument, data_type, distinct| Aggregate { function, argument, distinct, filter: None, data_type };
    vec![
        aggregate(AggregateFunction::Count, None, Int64, false),
        aggregate(AggregateFunction::Max, Some(1), Utf8, false),
        aggregate(AggregateFunction::Sum, Some(2), Float64, false),
        aggregate(AggregateFunction::StddevPop, Some(2), Float64, false),
        aggregate(AggregateFunction::Count, Some(1), Int64, true),
    ]
}

fn reduce_plan(key: &[usize]) -> (Reduce, arrow::datatypes::SchemaRef) {
    let plan = Reduce { input: NodeId(0), key: key.to_vec(), aggregates: aggregates(), monotonic: false };
    let keys = key.iter().map(|column| INPUT[*column].clone());
    let output = schema(&keys.chain(plan.aggregates.iter().map(|a| a.data_type.clone())).collect::<Vec<_>>());
    (plan, output)
}

#[test]
fn a_reduce_processes_a_piece_at_a_time() {
    for key in [&[0, 1][..], &[1], &[]] {
        let largest = largest_piece(large_times(), move |streams, aside| {
            let (plan, output) = reduce_plan(key);
            let input = streams.into_iter().next().expect("two inputs");
            reduce(input, &plan, &schema(&INPUT), &output, Time::ZERO, aside).expect("the plan fits").0
        });
        assert!(largest <= 3 * PIECE_ROWS as u64, "{largest} rows, {key:?}");
    }
}

#[test]
fn a_set_operation_processes_a_piece_at_a_time() {
    for operator in [SetOperator::Except, SetOperator::IntersectAll] {
        let largest = largest_piece(large_times(), move |streams, aside| {
            let mut streams = streams.into_iter();
            let mut next = || streams.next().expect("two inputs");
            set(next(), next(), operator, &schema(&INPUT), aside).expect("plain types").0
        });
        assert!(largest <= 2 * PIECE_ROWS as u64, "{largest} rows, {operator:?}");
    }
}

fn top_k_plan(group: &[usize], limit: Option<u64>, offset: u64) -> TopK {
    let order = vec![SortKey { column: 2, descending: true, nulls_first: false }];
    TopK { input: NodeId(0), group: group.to_vec(), order, limit, offset, monotonic: false }
}

#[test]
fn a_top_k_processes_a_piece_at_a_time() {
    for (group, limit, offset) in
        [(&[0][..], Some(1), 0), (&[], Some(20), 5), (&[], None, 3), (&[], Some(1), 60), (&[], Some(MANY as u64), 0)]
    {
        let largest = largest_piece(large_times(), move |streams, aside| {
            let input = streams.into_iter().next().expect("two inputs");
            top_k(input, &top_k_plan(group, limit, offset), &schema(&INPUT), aside).expect("plain types").0
        });
        assert!(largest <= 4 * PIECE_ROWS as u64, "{largest} rows, {group:?} {limit:?} {offset}");
    }
}

#[test]
fn states_are_freed_in_pieces() {
    let UpdateBatch { rows, diffs, .. } = batch(0..MANY, 1, 1);
    for key in [&[0, 1][..], &[2], &[]] {
        let (plan, output) = reduce_plan(key);
        let mut state = ReduceState::new(&plan, &schema(&INPUT), &output).expect("the plan fits");
        apply_all(&mut state, 0, &rows, &diffs);
        close_all(&mut state);
        assert!(free_all(state) > 100, "{key:?}");
    }
    let mut state = SetState::new(SetOperator::Except, &schema(&INPUT)).expect("plain types");
    apply_all(&mut state, 0, &rows, &diffs);
    close_all(&mut state);
    assert!(free_all(state) > 100);
    for group in [&[1][..], &[]] {
        let mut state = TopKState::new(&top_k_plan(group, Some(3), 0), &schema(&INPUT)).expect("plain types");
        apply_all(&mut state, 0, &rows, &diffs);
        close_all(&mut state);
        assert!(free_all(state) > 100, "{group:?}");
    }
}
