//! Counts what a spine merges and how many batches it holds, and compares its updates with what was inserted.

use differential_dataflow::trace::{Description, Span, Trace as _};

use super::*;
use crate::fuel::{Fuel, Meter, PIECE_ROWS};

/// A spine, and what has been inserted.
struct Inserted {
    spine: Spine,
    meter: Rc<Meter>,
    upper: Time,
    rows: u64,
}

impl Inserted {
    fn new() -> Self {
        let meter = Meter::new();
        let spine = Spine::of(Work::of("arrange", &Fuel::new(&meter)), None);
        Inserted { spine, meter, upper: Time(0), rows: 0 }
    }

    /// Inserts rows numbered from `first` on at the next time, each with this diff.
    fn insert(&mut self, first: u64, rows: u64, diff: Diff) {
        let mut model = Model::new();
        for i in first..first + rows {
            let row = [&[0, 0][..], &i.to_be_bytes()].concat();
            model.insert((hash_bytes(&i.to_be_bytes()), row, self.upper), diff);
        }
        let chunks = settle_all(chunks_of(&mut Random::new(first), &model));
        let batch = (rows > 0).then(|| Rc::new(ChunkBatch::new(chunks)));
        let bounds = [self.upper, self.upper + 1].map(Antichain::from_elem);
        let [lower, upper] = bounds;
        self.upper = self.upper + 1;
        self.rows += rows;
        self.spine.insert(Span::new(Description::new(lower, upper, Antichain::from_elem(Time(0))), batch));
    }

    /// Lets everything be merged that was inserted.
    fn release(&mut self) {
        self.spine.set_logical_compaction(AntichainRef::new(&[self.upper - 1]));
        self.spine.set_physical_compaction(AntichainRef::new(&[self.upper]));
    }

    /// Merges as much as one activation does; returns how many rows that was.
    fn exert(&mut self) -> u64 {
        self.meter.look();
        self.meter.take_largest();
        self.spine.exert();
        self.meter.take_largest()
    }

    /// Merges until nothing is due, in small pieces.
    fn rest(&mut self) {
        loop {
            let piece = self.exert();
            assert!(piece <= 3 * PIECE_ROWS as u64, "{piece} rows merged in one activation");
            if piece == 0 {
                return;
            }
        }
    }

    fn batches(&self) -> usize {
        let mut batches = 0;
        self.spine.map_spans(|span| batches += usize::from(span.has_updates()));
        batches
    }

    fn held(&self) -> u64 {
        let mut rows = 0;
        self.spine.map_spans(|span| {
            let chunks = span.inner.iter().flat_map(|batch| &batch.chunks);
            rows += chunks.map(|chunk| chunk.range().len() as u64).sum::<u64>();
        });
        rows
    }

    /// The number of times that each row may be merged, and the number of batches at rest.
    fn logarithm(&self) -> u64 {
        u64::from(self.rows.ilog2()) + 1
    }
}

#[test]
fn single_rows_are_merged_a_logarithmic_number_of_times() {
    let mut inserted = Inserted::new();
    for i in 0..30_000 {
        inserted.insert(i, 1, 1);
        inserted.release();
        inserted.exert();
        assert!(inserted.batches() <= 2 * inserted.logarithm() as usize, "{} batches", inserted.batches());
    }
    let merged = inserted.spine.merged();
    assert!(merged <= 2 * inserted.rows * inserted.logarithm(), "{merged} rows merged of {}", inserted.rows);
    assert_eq!(inserted.held(), inserted.rows);
}

#[test]
fn a_large_batch_is_not_copied_for_every_small_one() {
    let mut inserted = Inserted::new();
    inserted.insert(0, 50_000, 1);
    for i in 0..3000 {
        inserted.insert(50_000 + 4 * i, 4, 1);
        inserted.release();
        inserted.exert();
    }
    inserted.rest();
    let merged = inserted.spine.merged();
    assert!(merged <= 4 * 3000 * 14 + 2 * inserted.rows, "{merged} rows merged of {}", inserted.rows);
    assert!(inserted.batches() <= 8, "{} batches", inserted.batches());
}

#[test]
fn a_small_batch_before_a_large_one_costs_one_copy() {
    let mut inserted = Inserted::new();
    for i in 0..100 {
        inserted.insert(i, 1, 1);
    }
    inserted.insert(1000, 20_000, 1);
    inserted.release();
    inserted.rest();
    assert!(inserted.spine.merged() <= inserted.rows + 100 * 8 * 2, "{} rows merged", inserted.spine.merged());
    assert_eq!((inserted.batches(), inserted.held()), (1, inserted.rows));
}

#[test]
fn large_batches_that_come_too_fast_are_a_backlog_and_never_a_forced_merge() {
    let mut inserted = Inserted::new();
    let mut overdue = 0;
    for i in 0..120 {
        inserted.insert(1000 * i, 1000, 1);
        inserted.release();
        let piece = inserted.exert();
        assert!(piece <= 3 * PIECE_ROWS as u64, "{piece} rows merged in one activation");
        overdue += usize::from(inserted.spine.overdue() > 0);
    }
    assert!(overdue > 10, "there is a backlog");
    inserted.rest();
    assert_eq!(inserted.spine.overdue(), 0);
    assert!(inserted.batches() <= 4, "{} batches", inserted.batches());
    assert!(inserted.spine.merged() <= inserted.rows * 10, "{} rows merged", inserted.spine.merged());
    assert_eq!(inserted.held(), inserted.rows);
}

#[test]
fn readers_that_hold_back_merging_see_every_border_and_cost_nothing_later() {
    let mut inserted = Inserted::new();
    for i in 0..5000 {
        inserted.insert(i, 1, 1);
        inserted.exert();
    }
    assert_eq!((inserted.spine.merged(), inserted.batches()), (0, 5000));
    let through = |inserted: &mut Inserted, time: u64| {
        inserted.spine.batches_through(AntichainRef::new(&[Time(time)])).expect("a border").len()
    };
    assert_eq!([0, 1, 77, 5000].map(|time| through(&mut inserted, time)), [0, 1, 77, 5000]);
    inserted.spine.set_physical_compaction(AntichainRef::new(&[Time(4000)]));
    inserted.rest();
    assert_eq!(through(&mut inserted, 4500) - through(&mut inserted, 4000), 500);
    inserted.release();
    inserted.rest();
    assert!(inserted.batches() <= 8, "{} batches", inserted.batches());
    let merged = inserted.spine.merged();
    assert!(merged <= 2 * inserted.rows * inserted.logarithm(), "{merged} rows merged of {}", inserted.rows);
}

#[test]
fn rows_that_cancel_out_are_gone_and_spans_without_updates_are_united() {
    let mut inserted = Inserted::new();
    for _ in 0..5 {
        inserted.insert(0, 1000, 1);
        inserted.insert(0, 0, 1);
        inserted.insert(0, 1000, -1);
        inserted.release();
        inserted.rest();
    }
    let mut spans = 0;
    inserted.spine.map_spans(|_| spans += 1);
    assert_eq!((inserted.held(), inserted.batches(), spans), (0, 0, 1));
    let mut upper = Antichain::new();
    inserted.spine.read_upper(&mut upper);
    assert_eq!(upper.into_option(), Some(inserted.upper));
}

#[test]
fn merging_in_pieces_keeps_what_readers_can_tell_apart() {
    for seed in seeds(8) {
        let random = &mut Random::new(seed);
        let mut inserted = Inserted::new();
        let mut all: Vec<(u64, Time, Diff)> = Vec::new();
        let mut since = Time(0);
        for _ in 0..40 {
            let (first, rows) = (random.below(200) as u64, *random.pick(&[0, 1, 5, 300]));
            let diff = *random.pick(&[1, 1, -1]);
            all.extend((first..first + rows).map(|i| (i, inserted.upper, diff)));
            inserted.insert(first, rows, diff);
            if random.once_in(3) {
                since = Time(since.0 + random.below((inserted.upper.0 - since.0) as usize) as u64);
                inserted.spine.set_logical_compaction(AntichainRef::new(&[since]));
                inserted.spine.set_physical_compaction(AntichainRef::new(&[since]));
            }
            (0..random.below(3)).for_each(|_| inserted.spine.exert());
            for time in times(since.0, inserted.upper) {
                let mut held: BTreeMap<u64, Diff> = BTreeMap::new();
                inserted.spine.map_spans(|span| {
                    for chunk in span.inner.iter().flat_map(|batch| &batch.chunks) {
                        for row in chunk.range().filter(|row| chunk.updates().time(*row) <= time) {
                            let number = chunk.updates().value(row).try_into().expect("eight bytes");
                            *held.entry(u64::from_be_bytes(number)).or_default() += chunk.updates().diff(row);
                        }
                    }
                });
                for (i, _, diff) in all.iter().filter(|(_, at, _)| *at <= time) {
                    *held.entry(*i).or_default() -= diff;
                }
                assert!(held.values().all(|diff| *diff == 0), "seed {seed}, time {time}");
            }
        }
    }
}
