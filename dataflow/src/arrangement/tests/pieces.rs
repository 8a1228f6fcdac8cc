//! Arrangements of many rows, which must be made and read in pieces.

use std::collections::VecDeque;

use super::*;
use crate::arrangement::chunk::Chunk;
use crate::arrangement::sort::{sort, take_range};
use crate::fuel::PIECE_ROWS;
use crate::testing::{FueledFragment, Script, Value, run_in_pieces};

fn row(i: usize, key: &str) -> Row {
    vec![Value::Int(i as i64), Value::Text(key.to_owned()), Value::float(0.5)]
}

#[test]
fn a_large_step_is_sealed_and_merged_in_pieces() {
    let rows = (0..5000).map(|i| (row(i, "k"), Time(1 + i as u64 / 3000), 1)).collect();
    let schemas = vec![schema(&[Int64, Utf8, Float64])];
    let script = Script { schemas, changes: vec![rows], times: Time(2), drained: vec![] };
    let fragment: Arc<FueledFragment> = Arc::new(|_, mut streams, fuel| {
        let stream = streams.remove(0);
        let mut arranged = arrange(stream.clone(), &layout(), "Arrange", Work::of("arrange", fuel));
        arranged.trace.set_physical_compaction(AntichainRef::new(&[]));
        // The rows are captured once they are sealed.
        arranged.stream.unary::<NoopBuilder<UpdateBatch>, _, _, _>(Pipeline, "Sealed", move |_, _| {
            let trace = arranged.trace;
            move |input, output| {
                let _ = &trace;
                input.for_each(|capability, spans| {
                    for chunk in spans.iter().filter_map(|span| span.inner.as_ref()).flat_map(|batch| &batch.chunks) {
                        let updates = chunk.updates();
                        let rows = layout().decode(chunk.range().map(|row| updates.row(row)));
                        let mut batch = UpdateBatch::insert(rows, updates.time(chunk.start));
                        output.session_with_builder(&capability).give_container(&mut batch);
                    }
                });
            }
        })
    });
    let (changes, largest) = run_in_pieces(&script, fragment);
    assert!(largest <= 5 * PIECE_ROWS as u64, "{largest} rows in one step");
    for time in times(0, Time(2)) {
        assert_eq!(accumulate(&changes, time), arranged_rows(&script.changes[0], time), "time {time}");
    }
}

#[test]
fn a_step_of_a_seal_moves_many_rows_however_many_runs_there_are() {
    let count = 10_000;
    let rows: Vec<Row> = (0..count).map(|i| row(i, &i.to_string())).collect();
    let rows = to_batch(&schema(&[Int64, Utf8, Float64]), &rows.iter().collect::<Vec<_>>());
    let mut batcher = UpdateBatcher::new(layout(), Work::new("arrange"));
    batcher.insert(UpdateBatch::insert(rows, Time(1)));
    while batcher.has_run() {
        batcher.sort_run();
    }
    let mut seal = batcher.seal(Antichain::from_elem(Time(2)));
    let mut steps = 0;
    let batch = loop {
        seal = match seal.work(&mut batcher, &mut 1) {
            Sealed::Unfinished(seal) => seal,
            Sealed::Whole(batch) => break batch.expect("there are updates"),
        };
        steps += 1;
    };
    assert_eq!(batch.chunks.iter().map(|chunk| chunk.range().len()).sum::<usize>(), count);
    assert!(steps < count / 2, "{steps} steps");
}

#[test]
fn a_snapshot_is_read_in_pieces() {
    // All rows have one key, so that a piece cannot end between two hashes.
    let mut changes: Vec<Change> = (0..2000).map(|i| (row(i, "k"), Time(1), 1)).collect();
    changes.extend((0..2000).map(|i| (row(i, "k"), Time(2), -1)));
    changes.extend((500..900).map(|i| (row(i, "k"), Time(3), 1)));
    let expected = changes.clone();
    with_arrangement(&changes, Time(3), move |trace, now| {
        let pieces = |mut snapshot: Snapshot| {
            let pieces: Vec<_> = std::iter::from_fn(|| snapshot.next(PIECE_ROWS)).collect();
            let rows = |piece: &Vec<(arrow::array::RecordBatch, crate::Diffs)>| -> usize {
                piece.iter().map(|(rows, _)| rows.num_rows()).sum()
            };
            assert!(pieces.iter().all(|piece| rows(piece) <= 2 * PIECE_ROWS), "pieces are small");
            rows_of(pieces.into_iter().flatten().collect())
        };
        let all = arranged_rows(&expected, now);
        assert_eq!(pieces(Snapshot::new(trace, &layout(), now)), all, "at {now}");
        let keys = to_batch(&schema(&[Utf8]), &[&row(0, "k")[1..2].to_vec()]);
        assert_eq!(pieces(Snapshot::of_keys(trace, &layout(), &keys, now)), all, "at {now}");
    });
}

/// With the least of the runs' ends as the end of the range, a range had the fewer rows the more runs there were.
#[test]
fn a_range_of_many_runs_has_about_the_rows_asked_for() {
    const RUNS: usize = 30;
    let runs_of = |key: &dyn Fn(usize) -> String| -> Vec<VecDeque<Chunk>> {
        let run = |run: usize| {
            let rows: Vec<Row> = (0..100).map(|i| row(run * 100 + i, &key(run * 100 + i))).collect();
            let rows = to_batch(&schema(&[Int64, Utf8, Float64]), &rows.iter().collect::<Vec<_>>());
            sort(&layout(), &[UpdateBatch::insert(rows, Time(1))])
        };
        (0..RUNS).map(run).collect()
    };
    let ranges = |mut runs: Vec<VecDeque<Chunk>>, rows: usize| -> Vec<usize> {
        let range = || (!runs.is_empty()).then(|| take_range(&mut runs, rows));
        std::iter::from_fn(range).map(|range| range.iter().map(|chunk| chunk.range().len()).sum()).collect()
    };
    let even = ranges(runs_of(&|i| i.to_string()), 2 * RUNS);
    assert_eq!(even.iter().sum::<usize>(), 100 * RUNS);
    assert!(even.len() <= 100, "{} ranges of at most {} rows", even.len(), 4 * RUNS);
    // The rows of a key can be in as many runs as there are, each after the other.
    let apart = ranges(runs_of(&|_| "k".to_owned()), 2 * RUNS);
    assert_eq!(apart.iter().sum::<usize>(), 100 * RUNS);
    for rows in even.iter().chain(&apart) {
        assert!((1..=4 * RUNS).contains(rows), "{rows} rows");
    }
}
