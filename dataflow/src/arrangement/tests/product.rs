//! The same comparisons at the times of a loop: pairs of a time outside and a round, which are only partially ordered.

use differential_dataflow::lattice::Lattice;
use timely::order::Product;

use super::*;

type At = Product<Time, u32>;

fn random_at(random: &mut Random) -> At {
    Product::new(Time(random.below(4) as u64), random.below(4) as u32)
}

/// None to three times, none of which is before another.
fn random_frontier(random: &mut Random) -> Antichain<At> {
    (0..random.below(4)).map(|_| random_at(random)).collect()
}

fn advanced(model: &Model<At>, frontier: &Antichain<At>) -> Model<At> {
    let mut result = Model::new();
    for ((hash, row, time), diff) in model {
        let mut time = *time;
        time.advance_by(frontier.borrow());
        add(&mut result, (*hash, row.clone(), time), *diff);
    }
    result
}

#[test]
fn merging_chunks_adds_them_up() {
    for seed in seeds(50) {
        let random = &mut Random::new(seed);
        let (n, m, domain) = (random.below(400), random.below(400), *random.pick(&[3, 50]));
        let left = random_model_at(random, n, domain, random_at);
        let right = random_model_at(random, m, domain, random_at);
        let mut merged = VecDeque::new();
        merge_chains(chunks_of(random, &left), chunks_of(random, &right), &mut merged);
        let mut sum = left;
        right.into_iter().for_each(|(update, diff)| add(&mut sum, update, diff));
        assert_eq!(model_of(&merged), sum, "seed {seed}");
    }
}

#[test]
fn advancing_piece_by_piece_consolidates() {
    for seed in seeds(200) {
        let random = &mut Random::new(seed);
        let (n, domain) = (random.below(700), *random.pick(&[1, 3, 100]));
        let model = random_model_at(random, n, domain, random_at);
        let frontier = random_frontier(random);
        let (mut input, mut out) = (VecDeque::new(), VecDeque::new());
        for chunk in chunks_of(random, &model) {
            input.push_back(chunk);
            if random.once_in(2) {
                Chunk::advance(&mut input, frontier.borrow(), false, &mut out);
                let mut rows: Vec<&[u8]> =
                    input.iter().flat_map(|c| c.range().map(|row| c.updates().row(row))).collect();
                rows.dedup();
                assert!(rows.len() <= 1, "one row waits for its next updates");
            }
        }
        Chunk::advance(&mut input, frontier.borrow(), true, &mut out);
        assert!(input.is_empty());
        assert_eq!(model_of(&out), advanced(&model, &frontier), "seed {seed}");
    }
}

#[test]
fn extracting_parts_by_time() {
    for seed in seeds(50) {
        let random = &mut Random::new(seed);
        let model = random_model_at(random, 300, 50, random_at);
        let upper = random_frontier(random);
        let mut input: VecDeque<Chunk<At>> = chunks_of(random, &model).into();
        let (mut residual, mut keep, mut ship) = (Antichain::new(), VecDeque::new(), VecDeque::new());
        while !input.is_empty() {
            Chunk::extract(&mut input, upper.borrow(), &mut residual, &mut keep, &mut ship);
        }
        let (later, before): (Model<At>, Model<At>) =
            model.into_iter().partition(|((_, _, time), _)| upper.less_equal(time));
        let least: Antichain<At> = later.keys().map(|(_, _, time)| *time).collect();
        assert_eq!(residual, least, "seed {seed}");
        assert_eq!((model_of(&keep), model_of(&ship)), (later, before), "seed {seed}");
    }
}

/// A batch of the updates, whose rows are of (Int64, Utf8, Float64).
fn batch_at(updates: &[(Row, At, Diff)]) -> UpdateBatch<At> {
    let rows: Vec<&Row> = updates.iter().map(|(row, _, _)| row).collect();
    UpdateBatch {
        rows: to_batch(&schema(&[Int64, Utf8, Float64]), &rows),
        times: PerRow::from_vec(updates.iter().map(|(_, at, _)| *at).collect()),
        diffs: PerRow::from_vec(updates.iter().map(|(_, _, diff)| *diff).collect()),
    }
}

/// The sum of the updates at each row and time, in which the key comes first.
fn sums(updates: impl IntoIterator<Item = (Row, At, Diff)>) -> BTreeMap<(Row, At), Diff> {
    let mut sums = BTreeMap::new();
    updates.into_iter().for_each(|(row, at, diff)| *sums.entry((row, at)).or_default() += diff);
    sums.retain(|_, diff| *diff != 0);
    sums
}

#[test]
fn a_batcher_seals_what_is_closed() {
    for seed in seeds(60) {
        let random = &mut Random::new(seed);
        let step = *random.pick(&[5, 100, 500]);
        let shape = Shape { inputs: vec![vec![Int64, Utf8, Float64]], times: 6, step, domain: 40 };
        let script = random_script(random, &shape).changes.remove(0).into_iter();
        let mut open: Vec<(Row, At, Diff)> =
            script.map(|(row, time, diff)| (row, Product::new(time, random.below(5) as u32), diff)).collect();
        let layout = layout();
        let mut batcher = UpdateBatcher::new(Arc::clone(&layout), Work::new("arrange"));
        for updates in open.chunks(1 + random.below(200)) {
            batcher.insert(batch_at(updates));
        }
        let mut upper = Antichain::from_elem(Product::new(Time(0), 0));
        while !upper.is_empty() {
            let (to, several) = (random_at(random), random_frontier(random));
            upper = match random.below(4) {
                0 => Antichain::new(),
                1 => upper.join(&several.join(&Antichain::from_elem(to))),
                _ => {
                    upper.join(&Antichain::from_iter([Product::new(to.outer + 3, 0), Product::new(to.outer, to.inner)]))
                }
            };
            let (sealed, retained) = seal_all(random, &mut batcher, upper.clone());
            let (later, before): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, at, _)| upper.less_equal(at));
            assert!(retained.iter().all(|at| upper.less_equal(at)), "seed {seed}: what is before {upper:?} is sealed");
            let held = sums(later.iter().cloned());
            assert!(held.keys().all(|(_, at)| retained.less_equal(at)), "seed {seed}: {retained:?} of {held:?}");
            let chunks = sealed.iter().flat_map(|batch| &batch.chunks);
            model_of(chunks.clone());
            let sealed = chunks.flat_map(|chunk| updates_of(&layout, chunk));
            let before = before
                .into_iter()
                .map(|(row, at, diff)| (vec![row[1].clone(), row[0].clone(), row[2].clone()], at, diff));
            assert_eq!(sums(sealed), sums(before), "seed {seed}");
            open = later;
        }
    }
}

fn updates_of(layout: &Layout, chunk: &Chunk<At>) -> Vec<(Row, At, Diff)> {
    let updates = chunk.updates();
    let rows = layout.decode(chunk.range().map(|row| updates.row(row)));
    let rows = crate::testing::changes_of(&UpdateBatch::insert(rows, Time(0))).into_iter();
    rows.zip(chunk.range()).map(|((row, _, _), at)| (row, updates.time(at), updates.diff(at))).collect()
}
