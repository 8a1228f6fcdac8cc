//! Compares GROUP BY with groups that are aggregated anew, and checks what its state holds and touches.

use arrow::array::Int64Array;
use arrow::datatypes::DataType::{self, Boolean, Float64, Int64, Utf8};
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator as _;

use super::*;
use crate::accumulator::{Retractions, for_planned};
use crate::failure::Failures;
use crate::plan::{Aggregate, AggregateFunction as F, NodeId};
use crate::render::allowance::Allowance;
use crate::render::by_time::TimedState;
use crate::testing::{
    Fragment, Random, Row, Rows, Script, Shape, Value, accumulate, apply_all, assert_same_history, changes_of,
    close_all, random_script, run, schema, seeds, times, to_batch,
};
use crate::update::PerRow;
use crate::work::Work;

const INPUT: [DataType; 5] = [Int64, Utf8, Float64, Boolean, Int64];

fn aggregate(function: F, argument: Option<usize>, data_type: DataType) -> Aggregate {
    Aggregate { function, argument, distinct: false, filter: None, data_type }
}

fn all_aggregates() -> Vec<Aggregate> {
    let mut all = vec![
        aggregate(F::Count, None, Int64),
        aggregate(F::Count, Some(1), Int64),
        aggregate(F::Sum, Some(4), Int64),
        aggregate(F::Sum, Some(2), Float64),
        aggregate(F::Avg, Some(4), Float64),
        aggregate(F::Min, Some(1), Utf8),
        aggregate(F::Max, Some(2), Float64),
        aggregate(F::Min, Some(4), Int64),
        aggregate(F::StddevSamp, Some(2), Float64),
        aggregate(F::VarPop, Some(0), Float64),
        aggregate(F::BoolAnd, Some(3), Boolean),
        aggregate(F::BoolOr, Some(3), Boolean),
    ];
    let mut others = all.clone();
    others.iter_mut().for_each(|a| a.filter = Some(3));
    all.extend(others);
    for function in [F::Count, F::Sum] {
        let mut distinct = aggregate(function, Some(4), Int64);
        distinct.distinct = true;
        all.push(distinct);
    }
    all
}

fn random_plan(random: &mut Random) -> Reduce {
    let keys: [&[usize]; 7] = [&[], &[0], &[1], &[2], &[0, 1], &[3, 2, 1], &[3]];
    let all = all_aggregates();
    let count = *random.pick(&[0, 1, 1, 2, 4]);
    let aggregates = (0..count).map(|_| random.pick(&all).clone()).collect();
    Reduce { input: NodeId(0), key: random.pick(&keys).to_vec(), aggregates, monotonic: false }
}

fn output_schema(plan: &Reduce) -> SchemaRef {
    let keys = plan.key.iter().map(|column| INPUT[*column].clone());
    schema(&keys.chain(plan.aggregates.iter().map(|a| a.data_type.clone())).collect::<Vec<_>>())
}

/// Builds the operator, with its rows and its failures as rows.
fn fragment(plan: Reduce, opening: Time) -> Arc<Fragment> {
    Arc::new(move |_, streams| {
        let input = streams.into_iter().next().expect("one input");
        let failures = Failures::default();
        let aside = Aside::new(Work::new("reduce"), &failures);
        let (rows, _) =
            reduce(input, &plan, &schema(&INPUT), &output_schema(&plan), opening, aside).expect("the plan fits");
        vec![rows.clone(), failures_as_rows(rows, failures)]
    })
}

/// Returns what the ledger holds at times at which `rows` is complete, as rows.
fn failures_as_rows(rows: Stream<'_, Time, UpdateBatch>, failures: Failures) -> Stream<'_, Time, UpdateBatch> {
    rows.unary_frontier::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "FailureRows", move |capability, _| {
        let mut capability = Some(capability);
        move |(input, frontier), output| {
            input.for_each(|_, _| {});
            let open = frontier.frontier().first().copied();
            let Some(held) = &mut capability else { return };
            for (failure, time, diff) in failures.borrow_mut().take_before(open.unwrap_or(Time::MAX)) {
                let row = [failure.expression, failure.message, failure.row].map(Value::Text).to_vec();
                let rows = to_batch(&schema(&[Utf8, Utf8, Utf8]), &[&row]);
                let mut batch = UpdateBatch { rows, times: PerRow::Same(time), diffs: PerRow::Same(diff) };
                output.session_with_builder(&held.delayed(&time)).give_container(&mut batch);
            }
            match open {
                Some(time) => held.downgrade(&time),
                None => capability = None,
            }
        }
    })
}

/// The plain twin: aggregates each group of the live rows anew. Returns the rows, and how many aggregates failed.
fn twin(plan: &Reduce, input: &Rows, opened: bool) -> (Rows, usize) {
    let mut groups: std::collections::BTreeMap<Row, Vec<(&Row, i64)>> = std::collections::BTreeMap::new();
    if plan.key.is_empty() && !plan.aggregates.is_empty() && opened {
        groups.insert(Row::new(), Vec::new());
    }
    for (row, diff) in input {
        let key = plan.key.iter().map(|column| row[*column].clone()).collect();
        groups.entry(key).or_default().push((row, *diff));
    }
    let (mut rows, mut failed) = (Rows::new(), 0);
    for (key, members) in groups {
        let mut row = key;
        let mut fails = false;
        for aggregate in &plan.aggregates {
            match aggregated(aggregate, &members) {
                Some(value) => row.push(value),
                None => {
                    fails = true;
                    failed += 1;
                }
            }
        }
        if !fails {
            rows.insert(row, 1);
        }
    }
    (rows, failed)
}

fn aggregated(aggregate: &Aggregate, members: &[(&Row, i64)]) -> Option<Value> {
    let argument_type = aggregate.argument.map(|column| INPUT[column].clone());
    let mut accumulator = for_planned(aggregate, argument_type.as_ref(), Retractions::Possible).expect("supported");
    accumulator.resize(1);
    let rows: Vec<&Row> = members.iter().map(|(row, _)| *row).collect();
    if !rows.is_empty() {
        let batch = to_batch(&schema(&INPUT), &rows);
        let diffs = PerRow::from_vec(members.iter().map(|(_, diff)| *diff).collect());
        let argument = aggregate.argument.map(|column| batch.column(column));
        let filter = aggregate.filter.map(|column| arrow::array::AsArray::as_boolean(batch.column(column)));
        accumulator.update(&vec![0; rows.len()], argument, &diffs, filter);
    }
    let evaluated = accumulator.evaluate(&[0]);
    let one =
        arrow::array::RecordBatch::try_new(schema(std::slice::from_ref(&aggregate.data_type)), vec![evaluated.values]);
    let changes = changes_of(&UpdateBatch::insert(one.expect("one column"), Time(0)));
    evaluated.errors.is_empty().then(|| changes[0].0[0].clone())
}

/// Makes integers so large that sums of them overflow.
fn enlarge(script: &mut Script) {
    for (row, _, _) in &mut script.changes[0] {
        if let Value::Int(value) = &mut row[4] {
            *value = value.wrapping_mul(1 << 60);
        }
    }
}

fn check(seed: u64, plan: impl FnOnce(&mut Random) -> Reduce) {
    let mut random = Random::new(seed);
    let mut plan = plan(&mut random);
    let domain = *random.pick(&[2, 12, 100]);
    let shape = Shape { inputs: vec![INPUT.to_vec()], times: 6, step: *random.pick(&[2, 10, 10, 80, 80, 400]), domain };
    let mut script = random_script(&mut random, &shape);
    let large = random.once_in(3);
    if large {
        enlarge(&mut script);
    }
    if random.once_in(3) {
        script.changes[0].retain(|(_, _, diff)| *diff > 0);
        plan.monotonic = true;
    }
    let workers = *random.pick(&[1, 1, 2, 4]);
    let opening = Time(random.below(2) as u64);
    let name = format!("seed {seed}, {workers} workers, {shape:?}, {plan:?}");
    let changes = run(workers, &script, fragment(plan.clone(), opening));
    let at = |time: Time| twin(&plan, &accumulate(&script.changes[0], time), time >= opening);
    assert_same_history(&name, &changes[0], script.times, |time| at(time).0);
    for time in times(0, script.times) {
        let failures = accumulate(&changes[1], time);
        assert_eq!(failures.values().sum::<i64>() as usize, at(time).1, "{name}: failures at {time}: {failures:?}");
    }
    // Only changes are sent: at each time no row occurs twice, so none is retracted and inserted again.
    let mut seen: Vec<(&Row, Time)> = changes[0].iter().map(|(row, time, _)| (row, *time)).collect();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "{name}: a row changes once at a time");
}

#[test]
fn groups_are_those_of_the_rows_there_are() {
    seeds(200).into_iter().for_each(|seed| check(seed, random_plan));
}

/// Returns aggregates of which several can be computed from one state, and others that differ in one thing.
fn related_aggregates() -> Vec<Aggregate> {
    let mut related = vec![
        aggregate(F::Max, Some(4), Int64),
        aggregate(F::Count, None, Int64),
        aggregate(F::Min, Some(4), Int64),
        aggregate(F::Min, Some(1), Utf8),
        aggregate(F::Count, Some(1), Int64),
        aggregate(F::Max, Some(1), Utf8),
    ];
    let mut filtered = related.clone();
    filtered.iter_mut().for_each(|aggregate| aggregate.filter = Some(3));
    related.extend(filtered);
    related
}

#[test]
fn aggregates_that_share_a_state_are_those_of_the_rows_there_are() {
    let plan = |random: &mut Random| Reduce { aggregates: related_aggregates(), ..random_plan(random) };
    seeds(60).into_iter().for_each(|seed| check(seed, plan));
}

#[test]
fn min_and_max_of_a_column_keep_its_values_once() {
    let bytes = |aggregates: Vec<Aggregate>| {
        let plan = Reduce { input: NodeId(0), key: vec![0], aggregates, monotonic: false };
        let mut state = ReduceState::new(&plan, &schema(&INPUT), &output_schema(&plan)).expect("the plan fits");
        let text = || Value::Text("a".to_owned());
        let row = |i: i64| vec![Value::Int(i % 3), text(), Value::Null, Value::Bool(true), Value::Int(i)];
        let rows: Vec<Row> = (0..200).map(row).collect();
        let rows = to_batch(&schema(&INPUT), &rows.iter().collect::<Vec<_>>());
        state.apply(0, &rows, &PerRow::Same(1), &mut Allowance::new(200));
        state.size().bytes
    };
    let (min, max) = (aggregate(F::Min, Some(4), Int64), aggregate(F::Max, Some(4), Int64));
    let filtered = Aggregate { filter: Some(3), ..max.clone() };
    assert_eq!(bytes(vec![min.clone()]), bytes(vec![min.clone(), max]));
    assert!(bytes(vec![min.clone()]) < bytes(vec![min, filtered]), "other rows have a state of their own");
}

/// Delays updates and joins their batches, so that a batch has several times.
fn coalesce(stream: Stream<'_, Time, UpdateBatch>) -> Stream<'_, Time, UpdateBatch> {
    stream.unary_frontier::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "Coalesce", |_, _| {
        let mut held: Option<(timely::dataflow::operators::Capability<Time>, Vec<UpdateBatch>)> = None;
        move |(input, frontier), output| {
            input.for_each(|capability, batch| {
                let least = capability.retain_least(0).expect("data travels with a time");
                let (_, batches) = held.get_or_insert_with(|| (least, Vec::new()));
                batches.push(std::mem::take(batch));
            });
            let late = |(first, batches): &mut (timely::dataflow::operators::Capability<Time>, Vec<UpdateBatch>)| {
                batches.len() >= 4 || !frontier.frontier().iter().any(|open| open <= first.time())
            };
            if let Some((first, batches)) = held.take_if(late) {
                let schema = batches[0].rows.schema();
                let rows = arrow::compute::concat_batches(&schema, batches.iter().map(|batch| &batch.rows));
                let each =
                    |batch: &UpdateBatch| (0..batch.len()).map(|i| (batch.times.at(i), batch.diffs.at(i))).collect();
                let (times, diffs) = batches.iter().flat_map(|batch| -> Vec<_> { each(batch) }).unzip();
                let (times, diffs) = (PerRow::from_vec(times), PerRow::from_vec(diffs));
                let mut batch = UpdateBatch { rows: rows.expect("batches of one input"), times, diffs };
                output.session_with_builder(&first).give_container(&mut batch);
            }
        }
    })
}

#[test]
fn batches_of_several_times_are_taken_apart() {
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let plan = random_plan(&mut random);
        let shape = Shape { inputs: vec![INPUT.to_vec()], times: 12, step: 10, domain: 12 };
        let script = random_script(&mut random, &shape);
        let workers = *random.pick(&[1, 2]);
        let direct = fragment(plan.clone(), Time(0));
        let coalesced: Arc<Fragment> =
            Arc::new(move |scope, streams| direct(scope, streams.into_iter().map(coalesce).collect()));
        let changes = run(workers, &script, coalesced);
        let name = format!("seed {seed}, {workers} workers, {plan:?}");
        let at = |time: Time| twin(&plan, &accumulate(&script.changes[0], time), true).0;
        assert_same_history(&name, &changes[0], script.times, at);
    }
}

/// Tests the state alone: reads see what was sent, and nothing is held for groups that are gone.
#[test]
fn reads_see_what_has_left() {
    for seed in seeds(100) {
        let mut random = Random::new(seed);
        let plan = random_plan(&mut random);
        let shape = Shape { inputs: vec![INPUT.to_vec()], times: 8, step: 30, domain: 12 };
        let script = random_script(&mut random, &shape);
        let mut state = ReduceState::new(&plan, &schema(&INPUT), &output_schema(&plan)).expect("the plan fits");
        if plan.key.is_empty() && !plan.aggregates.is_empty() {
            state.hold_group_of_all();
        }
        for time in times(1, script.times) {
            feed(&mut state, script.changes[0].iter().filter(|(_, at, _)| *at == time).map(|(r, _, d)| (r, *d)));
            close_all(&mut state);
            let expected = twin(&plan, &accumulate(&script.changes[0], time), true).0;
            let read = |parts: Vec<(arrow::array::RecordBatch, crate::Diffs)>| -> Rows {
                let rows = |(rows, diffs)| changes_of(&UpdateBatch { rows, times: PerRow::Same(Time(0)), diffs });
                accumulate(&parts.into_iter().flat_map(rows).collect::<Vec<_>>(), Time(0))
            };
            let mut next = 0;
            let mut all = Vec::new();
            while let Some((rows, after)) = state.rows_from(next, 7) {
                assert!(rows.iter().map(|(rows, _)| rows.num_rows()).sum::<usize>() <= 7, "seed {seed}, {plan:?}");
                all.extend(rows);
                next = after;
            }
            assert_eq!(read(all), expected, "seed {seed}, {plan:?}");
            let keys = schema(&plan.key.iter().map(|column| INPUT[*column].clone()).collect::<Vec<_>>());
            if let (Some(row), false) = (expected.keys().next(), plan.key.is_empty()) {
                let key = to_batch(&keys, &[&row[..plan.key.len()].to_vec()]);
                assert_eq!(read(state.rows_of(&key)), Rows::from([(row.clone(), 1)]), "seed {seed}, {plan:?}");
            }
        }
        let left = accumulate(&script.changes[0], script.times);
        feed(&mut state, left.iter().map(|(row, diff)| (row, -diff)));
        close_all(&mut state);
        let always = plan.key.is_empty() && !plan.aggregates.is_empty();
        assert_eq!(state.size().rows, u64::from(always), "seed {seed}, {plan:?}");
    }
}

fn feed<'a>(state: &mut ReduceState, changes: impl Iterator<Item = (&'a Row, i64)>) {
    let (rows, diffs): (Vec<&Row>, Vec<i64>) = changes.unzip();
    for (rows, diffs) in rows.chunks(7).zip(diffs.chunks(7)) {
        apply_all(state, 0, &to_batch(&schema(&INPUT), rows), &PerRow::from_vec(diffs.to_vec()));
    }
}

#[test]
fn groups_that_come_and_go_take_no_more_room() {
    let plan = Reduce {
        input: NodeId(0),
        key: vec![0],
        aggregates: vec![aggregate(F::Count, None, Int64), aggregate(F::Sum, Some(2), Float64)],
        monotonic: false,
    };
    let mut state = ReduceState::new(&plan, &schema(&INPUT), &output_schema(&plan)).expect("the plan fits");
    let mut bytes = 0;
    for round in 0..50i64 {
        let row = |i: i64| vec![Value::Int(100 * round + i), Value::Null, Value::float(1.5), Value::Null, Value::Null];
        let rows: Vec<Row> = (0..100).map(row).collect();
        feed(&mut state, rows.iter().map(|row| (row, 1)));
        close_all(&mut state);
        feed(&mut state, rows.iter().map(|row| (row, -1)));
        close_all(&mut state);
        assert_eq!(state.size().rows, 0);
        if round == 5 {
            bytes = state.size().bytes;
        }
    }
    assert_eq!(state.size().bytes, bytes);
}

#[test]
fn a_change_touches_its_group_alone() {
    let plan =
        Reduce { input: NodeId(0), key: vec![0], aggregates: vec![aggregate(F::Count, None, Int64)], monotonic: false };
    let mut state = ReduceState::new(&plan, &schema(&INPUT), &output_schema(&plan)).expect("the plan fits");
    let row = |key: i64| vec![Value::Int(key), Value::Null, Value::Null, Value::Null, Value::Null];
    let rows: Vec<Row> = (0..1000).map(row).collect();
    feed(&mut state, rows.iter().map(|row| (row, 1)));
    close_all(&mut state);
    feed(&mut state, [(&row(7), 1)].into_iter());
    let changes = close_all(&mut state);
    assert_eq!(changes.rows.len(), 1);
    let (rows, diffs) = &changes.rows[0];
    let counts = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(rows.column(1));
    assert_eq!(counts, &Int64Array::from(vec![1, 2]));
    assert_eq!((diffs.at(0), diffs.at(1)), (-1, 1));
    // The same row is inserted and retracted, so nothing is sent.
    feed(&mut state, [(&row(7), 1), (&row(7), -1), (&row(5000), 1), (&row(5000), -1)].into_iter());
    assert_eq!(close_all(&mut state).rows.len(), 0);
    assert_eq!(state.size().rows, 1000);
}

#[test]
fn plans_that_do_not_fit_are_refused() {
    let mut plan = Reduce {
        input: NodeId(0),
        key: vec![0],
        aggregates: vec![aggregate(F::Sum, Some(1), Int64)],
        monotonic: false,
    };
    let refused = |plan: &Reduce| {
        let error = ReduceState::new(plan, &schema(&INPUT), &output_schema(plan)).err().expect("refused");
        error.to_string()
    };
    assert_eq!(refused(&plan), "plan is not well formed: sum of Utf8 as Int64 is not supported");
    plan.aggregates[0].argument = Some(9);
    assert_eq!(refused(&plan), "plan is not well formed: column 9 of 5 columns");
    plan.aggregates[0] = aggregate(F::Count, None, Int64);
    plan.aggregates[0].filter = Some(0);
    assert_eq!(refused(&plan), "plan is not well formed: column 0 filters and is not a boolean");
}
