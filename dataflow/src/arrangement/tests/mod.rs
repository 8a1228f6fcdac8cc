//! Compares chunks, cursors, batchers and whole arrangements with a map from update to diff.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use arrow::datatypes::DataType::{Float64, Int64, Utf8};
use differential_dataflow::trace::TraceReader;
use differential_dataflow::trace::chunk::{Chunk as _, ChunkBatch, is_graded, merge_chains, settle_all};
use timely::container::NoopBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;
use timely::dataflow::operators::probe::Probe;
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

use super::chunk::{UpdateColumns, push_chunk};
use super::*;
use crate::row_bytes::hash_bytes;
use crate::testing::{Change, Random, Row, Rows, Shape, accumulate, random_script, schema, seeds, times, to_batch};
use crate::update::PerRow;
use crate::work::Work;
use crate::{Diff, Time, UpdateBatch};

mod pieces;
mod product;
mod spine;

/// Updates by hash, row bytes and time: the order of chunks.
type Model<T = Time> = BTreeMap<(u64, Vec<u8>, T), Diff>;

fn add<T: Ord + Copy>(model: &mut Model<T>, update: (u64, Vec<u8>, T), diff: Diff) {
    *model.entry(update.clone()).or_default() += diff;
    if model[&update] == 0 {
        model.remove(&update);
    }
}

/// Rows whose first two bytes are the key, some of other lengths.
fn random_model(random: &mut Random, updates: usize, domain: usize) -> Model {
    random_model_at(random, updates, domain, |random| Time(random.below(6) as u64))
}

/// Like `random_model`, with times of any kind.
fn random_model_at<T: Ord + Copy>(
    random: &mut Random,
    updates: usize,
    domain: usize,
    time: impl Fn(&mut Random) -> T,
) -> Model<T> {
    let mut model = Model::new();
    for _ in 0..updates {
        let key = vec![random.below(domain) as u8, random.below(2) as u8];
        let mut row = key.clone();
        row.extend(std::iter::repeat_n(random.below(3) as u8, if random.once_in(4) { random.below(30) } else { 6 }));
        let time = time(random);
        add(&mut model, (hash_bytes(&key), row, time), *random.pick(&[1, 1, 1, -1, 2]));
    }
    model
}

/// The model in chunks of random sizes.
fn chunks_of<T: ArrangementTime>(random: &mut Random, model: &Model<T>) -> Vec<Chunk<T>> {
    let mut chunks = VecDeque::new();
    let mut updates = UpdateColumns::default();
    for ((hash, row, time), diff) in model {
        updates.push(*hash, row, 2, *time, *diff);
        if random.once_in(40) {
            push_chunk(std::mem::take(&mut updates), &mut chunks);
        }
    }
    push_chunk(updates, &mut chunks);
    chunks.into()
}

/// The updates of the chunks, which must be sorted and consolidated.
fn model_of<'a, T: ArrangementTime>(chunks: impl IntoIterator<Item = &'a Chunk<T>>) -> Model<T> {
    let mut model = Model::new();
    for chunk in chunks {
        let updates = chunk.updates();
        assert_eq!(chunk.last_hash, updates.hashes[chunk.end - 1]);
        for row in chunk.range() {
            assert_eq!([updates.key(row), updates.value(row)].concat(), updates.row(row));
            let update = (updates.hashes[row], updates.row(row).to_vec(), updates.time(row));
            assert!(model.last_key_value().is_none_or(|(last, _)| *last < update), "sorted and consolidated");
            assert_ne!(updates.diff(row), 0);
            model.insert(update, updates.diff(row));
        }
    }
    model
}

fn advanced(model: &Model, frontier: Option<Time>) -> Model {
    let mut result = Model::new();
    for ((hash, row, time), diff) in model {
        let time = frontier.map_or(*time, |f| f.max(*time));
        add(&mut result, (*hash, row.clone(), time), *diff);
    }
    result
}

#[test]
fn merging_chunks_adds_them_up() {
    for seed in seeds(100) {
        let random = &mut Random::new(seed);
        let (n, m, domain) = (random.below(400), random.below(400), *random.pick(&[3, 50, 250]));
        let (left, right) = (random_model(random, n, domain), random_model(random, m, domain));
        let mut merged = VecDeque::new();
        merge_chains(chunks_of(random, &left), chunks_of(random, &right), &mut merged);
        let mut sum = left;
        right.into_iter().for_each(|(update, diff)| add(&mut sum, update, diff));
        assert_eq!(model_of(&merged), sum, "seed {seed}");
    }
}

#[test]
fn advancing_piece_by_piece_consolidates() {
    for seed in seeds(100) {
        let random = &mut Random::new(seed);
        let (n, domain) = (random.below(700), *random.pick(&[1, 3, 100]));
        let model = random_model(random, n, domain);
        let frontier = [Time(random.below(7) as u64)];
        let frontier = if random.once_in(10) { &frontier[..0] } else { &frontier[..] };
        let (mut input, mut out) = (VecDeque::new(), VecDeque::new());
        for chunk in chunks_of(random, &model) {
            input.push_back(chunk);
            if random.once_in(2) {
                Chunk::advance(&mut input, AntichainRef::new(frontier), false, &mut out);
                assert!(input.iter().map(|c| c.range().len()).sum::<usize>() <= 1, "one update waits for the next");
            }
        }
        Chunk::advance(&mut input, AntichainRef::new(frontier), true, &mut out);
        assert!(input.is_empty());
        assert_eq!(model_of(&out), advanced(&model, frontier.first().copied()), "seed {seed}");
    }
}

#[test]
fn extracting_parts_by_time() {
    for seed in seeds(50) {
        let random = &mut Random::new(seed);
        let model = random_model(random, 300, 50);
        let upper = Time(random.below(7) as u64);
        let mut input: VecDeque<Chunk> = chunks_of(random, &model).into();
        let (mut residual, mut keep, mut ship) = (Antichain::new(), VecDeque::new(), VecDeque::new());
        while !input.is_empty() {
            Chunk::extract(&mut input, AntichainRef::new(&[upper]), &mut residual, &mut keep, &mut ship);
        }
        let (later, before): (Model, Model) = model.into_iter().partition(|((_, _, time), _)| upper <= *time);
        assert_eq!(residual.first().copied(), later.keys().map(|(_, _, time)| *time).min(), "seed {seed}");
        assert_eq!((model_of(&keep), model_of(&ship)), (later, before), "seed {seed}");
    }
}

#[test]
fn settling_grades_and_keeps_all() {
    for seed in seeds(50) {
        let random = &mut Random::new(seed);
        let n = random.below(900);
        let model = random_model(random, n, 250);
        let mut chunks = chunks_of(random, &model);
        for _ in 0..random.below(10) {
            // Slices that share their updates.
            let i = random.below(chunks.len().max(1));
            if let Some(chunk) = chunks.get(i).filter(|c| c.range().len() > 1).cloned() {
                let middle = chunk.start + chunk.range().len() / 2;
                chunks.splice(i..=i, [chunk.slice(chunk.start, middle), chunk.slice(middle, chunk.end)]);
            }
        }
        let settled = settle_all(chunks);
        assert!(is_graded(&settled), "seed {seed}");
        assert_eq!(model_of(&settled), model, "seed {seed}");
    }
}

#[test]
fn a_cursor_seeks_over_the_borders_of_chunks() {
    for seed in seeds(30) {
        let random = &mut Random::new(seed);
        let model = random_model(random, 600, 250);
        let batch: Batch = Rc::new(ChunkBatch::new(chunks_of(random, &model)));
        let hashes: Vec<u64> = model.keys().map(|(hash, _, _)| *hash).collect();
        let mut cursor = Cursor::new(&batch);
        let (mut at, mut wanted) = (0, 0);
        while at < hashes.len() {
            wanted = wanted.max(hashes[(at + random.below(90)).min(hashes.len() - 1)]) + random.below(2) as u64;
            cursor.seek(wanted);
            at = at.max(hashes.partition_point(|hash| *hash < wanted));
            assert_eq!(cursor.hash(), hashes.get(at).copied(), "seed {seed}");
            if cursor.hash().is_some() && random.once_in(2) {
                cursor.step();
                at += 1;
            }
        }
    }
}

fn layout() -> Arc<Layout> {
    Layout::new(&schema(&[Int64, Utf8, Float64]), &[1], &[0, 2]).expect("supported types")
}

/// The rows as the arrangement holds them: columns 1, 0, 2.
fn arranged_rows(changes: &[Change], time: Time) -> Rows {
    let rows = accumulate(changes, time).into_iter();
    rows.map(|(row, diff)| (vec![row[1].clone(), row[0].clone(), row[2].clone()], diff)).collect()
}

fn batch_of(changes: &[Change]) -> UpdateBatch {
    let rows: Vec<&Row> = changes.iter().map(|(row, _, _)| row).collect();
    UpdateBatch {
        rows: to_batch(&schema(&[Int64, Utf8, Float64]), &rows),
        times: PerRow::from_vec(changes.iter().map(|(_, time, _)| *time).collect()),
        diffs: PerRow::from_vec(changes.iter().map(|(_, _, diff)| *diff).collect()),
    }
}

fn decoded(layout: &Layout, chunks: &[Chunk]) -> Vec<Change> {
    let changes = chunks.iter().flat_map(|chunk| {
        let updates = chunk.updates();
        let rows = layout.decode(chunk.range().map(|row| updates.row(row)));
        let times = PerRow::from_vec(chunk.range().map(|row| updates.time(row)).collect());
        let diffs = PerRow::from_vec(chunk.range().map(|row| updates.diff(row)).collect());
        crate::testing::changes_of(&UpdateBatch { rows, times, diffs })
    });
    changes.collect()
}

/// Seals a batch in pieces; returns it and the least times of what the batcher keeps.
fn seal_all<T: ArrangementTime>(
    random: &mut Random,
    batcher: &mut UpdateBatcher<T>,
    upper: Antichain<T>,
) -> (Option<Batch<T>>, Antichain<T>) {
    let mut seal = batcher.seal(upper);
    loop {
        match seal.work(batcher, &mut (1 + random.below(150))) {
            Sealed::Unfinished(rest) => seal = rest,
            Sealed::Whole(batch) => return (batch, batcher.least()),
        }
    }
}

#[test]
fn a_batcher_seals_what_is_closed() {
    for seed in seeds(60) {
        let random = &mut Random::new(seed);
        let step = *random.pick(&[5, 100, 500]);
        let shape = Shape { inputs: vec![vec![Int64, Utf8, Float64]], times: 6, step, domain: 40 };
        let mut waiting = random_script(random, &shape).changes.remove(0);
        let all = waiting.clone();
        let layout = layout();
        let mut batcher = UpdateBatcher::new(Arc::clone(&layout), Work::new("arrange"));
        let (mut sealed, mut inserted, mut upper) = (Vec::new(), Vec::new(), Time::ZERO);
        while upper < Time(8) {
            // Some updates arrive before their time is the next to close.
            let arriving = waiting.iter().position(|(_, time, _)| *time > upper + random.below(3) as u64);
            let arriving: Vec<Change> = waiting.drain(..arriving.unwrap_or(waiting.len())).collect();
            for changes in arriving.chunks(1 + random.below(200)) {
                batcher.insert(batch_of(changes));
                inserted.extend_from_slice(changes);
            }
            upper = upper + 1;
            let arrived = waiting.first().map_or(Time::MAX, |(_, time, _)| *time);
            if arrived < upper {
                continue;
            }
            let (batch, retained) = seal_all(random, &mut batcher, Antichain::from_elem(upper));
            inserted.retain(|(_, time, _)| upper <= *time);
            // Updates that cancel out within a time need not be retained.
            let mut held: BTreeMap<(&Row, Time), Diff> = BTreeMap::new();
            inserted.iter().for_each(|(row, time, diff)| *held.entry((row, *time)).or_default() += diff);
            let least = held.iter().filter(|(_, diff)| **diff != 0).map(|((_, time), _)| *time).min();
            let retained = retained.first().copied();
            assert!(retained.is_none_or(|r| upper <= r), "seed {seed}: what is before {upper} is sealed");
            assert!(least.is_none_or(|l| retained.is_some_and(|r| r <= l)), "seed {seed}: {retained:?}, {least:?}");
            if let Some(batch) = batch {
                assert!(is_graded(&batch.chunks), "seed {seed}");
                model_of(&batch.chunks);
                sealed.extend(decoded(&layout, &batch.chunks));
            }
        }
        for time in times(0, Time(7)) {
            assert_eq!(accumulate(&sealed, time), arranged_rows(&all, time), "seed {seed}, time {time}");
        }
    }
}

/// Runs one worker's arrangement over a script and hands the trace to `check` at the end of every time.
fn with_arrangement(changes: &[Change], last: Time, check: impl Fn(&mut Trace, Time) + Send + Sync + 'static) {
    let changes = changes.to_vec();
    let guards = timely::execute(timely::Config::thread(), move |worker| {
        let mut input = InputHandle::<Time, NoopBuilder<UpdateBatch>>::new_with_builder();
        let (probe, mut trace) = worker.dataflow::<Time, _, _>(|scope| {
            let arranged = arrange(input.to_stream(scope), &layout(), "Arrange", Work::new("arrange"));
            (arranged.stream.probe().0, arranged.trace)
        });
        for time in times(1, last) {
            input.advance_to(time);
            let step: Vec<Change> = changes.iter().filter(|(_, at, _)| *at == time).cloned().collect();
            input.send_batch(&mut batch_of(&step));
            input.advance_to(time + 1);
            worker.step_while(|| probe.less_than(&(time + 1)));
            check(&mut trace, time);
        }
    });
    drop(guards.expect("timely starts"));
}

fn rows_of(read: Vec<(arrow::array::RecordBatch, crate::Diffs)>) -> Rows {
    let mut rows = Rows::new();
    for (batch, diffs) in read {
        let updates = UpdateBatch { rows: batch, times: PerRow::Same(Time(0)), diffs };
        for (row, _, diff) in crate::testing::changes_of(&updates) {
            assert!(rows.insert(row, diff).is_none(), "each row once");
        }
    }
    rows
}

#[test]
fn reads_see_the_rows_of_their_time() {
    for seed in seeds(20) {
        let random = &mut Random::new(seed);
        let step = *random.pick(&[3, 200]);
        let shape = Shape { inputs: vec![vec![Int64, Utf8, Float64]], times: 10, step, domain: 10 };
        let changes = random_script(random, &shape).changes.remove(0);
        let expected = changes.clone();
        with_arrangement(&changes, Time(10), move |trace, now| {
            let layout = layout();
            for time in times(now.0.saturating_sub(3), now) {
                let rows = arranged_rows(&expected, time);
                assert_eq!(rows_of(snapshot(trace, &layout, time)), rows, "seed {seed}, time {time} at {now}");
                let mut keys: Vec<Row> = rows.keys().map(|row| row[..1].to_vec()).step_by(2).collect();
                keys.push(vec![crate::testing::Value::Text("absent".to_owned())]);
                let wanted = to_batch(&schema(&[Utf8]), &keys.iter().collect::<Vec<_>>());
                let found = rows.into_iter().filter(|(row, _)| keys.iter().any(|key| key[0] == row[0])).collect();
                assert_eq!(rows_of(lookup(trace, &layout, &wanted, time)), found, "seed {seed}, time {time} at {now}");
            }
            let since = [Time(now.0.saturating_sub(2))];
            trace.set_logical_compaction(AntichainRef::new(&since));
            trace.set_physical_compaction(AntichainRef::new(&[now + 1]));
        });
    }
}

#[test]
fn the_remains_of_a_dropped_arrangement_are_freed_in_pieces() {
    let row = |i: i64| {
        vec![
            crate::testing::Value::Int(i),
            crate::testing::Value::Text(i.to_string()),
            crate::testing::Value::float(0.5),
        ]
    };
    let changes: Vec<Change> = (0..2000).map(|i| (row(i), Time(1 + i as u64 / 500), 1)).collect();
    with_arrangement(&changes, Time(4), |trace, now| {
        trace.set_physical_compaction(AntichainRef::new(&[now + 1]));
        let mut remains = Remains::of(trace);
        let pieces = 1 + std::iter::from_fn(|| remains.free(150).then_some(())).count();
        // A chunk has at most 64 rows, so a piece has less than 214.
        assert!(pieces >= 500 * now.0 as usize / 214, "{pieces} pieces at {now}");
    });
}

#[test]
fn history_does_not_grow_with_time() {
    let row = |i: i64| {
        vec![
            crate::testing::Value::Int(i),
            crate::testing::Value::Text("k".to_owned()),
            crate::testing::Value::float(0.5),
        ]
    };
    let mut changes: Vec<Change> = Vec::new();
    for time in times(1, Time(300)) {
        changes.push((row(time.0 as i64), time, 1));
        if time > Time(10) {
            changes.push((row(time.0 as i64 - 10), time, -1));
        }
    }
    with_arrangement(&changes, Time(300), |trace, now| {
        trace.set_logical_compaction(AntichainRef::new(&[now]));
        trace.set_physical_compaction(AntichainRef::new(&[now + 1]));
        let size = size(trace);
        assert!(size.updates <= 80 && size.batches <= 12 && size.bytes <= 40_000, "at {now}: {size:?}");
    });
}
