//! Compares arrangement, join and aggregate with the typed yardstick. The candidates run in turn; each figure is the
//! median over all rounds.

use std::time::Instant;

use arrow::array::RecordBatch;

use crate::driver::{Driver, Ours, Typed};
use crate::flow::Steps;
use crate::rows::{Random, batches};
use crate::{plans, typed};

/// Returns the median of `figures`, which must not be empty.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Prints one row of a table: the name of the measurement, our figure, the yardstick's, and how many times better ours
/// is.
fn compare(what: &str, unit: &str, ours: Vec<f64>, typed: Vec<f64>, more_is_better: bool) {
    let (ours, typed) = (median(ours), median(typed));
    let ratio = if more_is_better { ours / typed } else { typed / ours };
    println!("{what:<34} ours {ours:>10.2} {unit:<7} typed {typed:>10.2} {unit:<7} ratio {ratio:>5.2}");
}

/// Runs `work` and returns the seconds that it takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Measures loading 5M rows of 37 encoded bytes at one time, and then reading them all.
pub(crate) fn arrangement(rounds: usize) {
    const ROWS: usize = 5_000_000;
    let mut random = Random(1);
    let data = batches(ROWS, |_, rows| random.records(rows, 5_000_000));
    let measure = |driver: &mut dyn Driver| {
        let load = seconds(|| {
            data.iter().for_each(|rows| driver.send(0, rows));
            driver.finish();
        });
        let mut read = 0;
        let snapshot = seconds(|| read = driver.snapshot());
        (ROWS as f64 / load / 1e6, snapshot * 1e9 / read as f64)
    };
    let (mut ours, mut yardstick, mut bytes) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..rounds {
        yardstick.push(measure(&mut Typed::start(typed::load)));
        let mut driver = Ours::start(plans::load(&data[0].schema()), 1);
        ours.push(measure(&mut driver));
        bytes = driver.bytes_per_row();
    }
    let column = |figures: &[(f64, f64)], pick: fn(&(f64, f64)) -> f64| figures.iter().map(pick).collect();
    compare("load 5M rows", "Mrow/s", column(&ours, |f| f.0), column(&yardstick, |f| f.0), true);
    compare("snapshot to Arrow", "ns/row", column(&ours, |f| f.1), column(&yardstick, |f| f.1), false);
    println!("bytes held per row {bytes:.1} (payload 37)");
}

/// Measures loading 5M bids and 500k auctions, and then changes of 100 rows on either side.
pub(crate) fn join(rounds: usize) {
    const AUCTIONS: usize = 500_000;
    let mut random = Random(2);
    let bids = batches(5_000_000, |_, rows| random.bids(rows, AUCTIONS as u64));
    let auctions = batches(AUCTIONS, |first, rows| random.auctions(first as i64, rows));
    let more_bids: Vec<RecordBatch> = (0..300).map(|_| random.bids(100, AUCTIONS as u64)).collect();
    let more_auctions: Vec<RecordBatch> = (0..300).map(|_| random.more_auctions(100, AUCTIONS as u64)).collect();
    let measure = |driver: &mut dyn Driver| -> [f64; 5] {
        let load = seconds(|| {
            auctions.iter().for_each(|rows| driver.send(1, rows));
            bids.iter().for_each(|rows| driver.send(0, rows));
            driver.finish();
        });
        let mut delta = |input: usize, rows: &[RecordBatch]| {
            Steps::of(1000, |turn| {
                driver.send(input, &rows[turn % rows.len()]);
                driver.finish();
            })
        };
        let (bid, auction) = (delta(0, &more_bids), delta(1, &more_auctions));
        [load, bid.micros(0.5), bid.micros(0.99), auction.micros(0.5), auction.micros(0.99)]
    };
    let (mut ours, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        yardstick.push(measure(&mut Typed::start(typed::join)));
        ours.push(measure(&mut Ours::start(plans::join(&bids[0].schema(), &auctions[0].schema()), 1)));
    }
    let names = ["load 5M x 500k, s", "100 bids p50", "100 bids p99", "100 auctions p50", "100 auctions p99"];
    for (at, name) in names.into_iter().enumerate() {
        let column = |figures: &[[f64; 5]]| figures.iter().map(|figures| figures[at]).collect();
        compare(name, if at == 0 { "s" } else { "us" }, column(&ours), column(&yardstick), false);
    }
}

/// Measures loading 4M rows into count(*) and sum(v) of 1M keys, and then changes of 1, 100 and 10,000 rows; the
/// yardstick is `count_total`.
pub(crate) fn reduce(rounds: usize) {
    const KEYS: u64 = 1_000_000;
    const SIZES: [(usize, usize); 3] = [(1, 5000), (100, 2000), (10_000, 60)];
    let mut random = Random(3);
    let data = batches(4_000_000, |_, rows| random.pairs(rows, KEYS));
    let changes = SIZES.map(|(rows, _)| (0..50).map(|_| random.pairs(rows, KEYS)).collect::<Vec<_>>());
    let measure = |driver: &mut dyn Driver| -> [f64; 7] {
        let load = seconds(|| {
            data.iter().for_each(|rows| driver.send(0, rows));
            driver.finish();
        });
        let mut figures = [load, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for (at, (rows, (_, repeat))) in changes.iter().zip(SIZES).enumerate() {
            let steps = Steps::of(repeat, |turn| {
                driver.send(0, &rows[turn % rows.len()]);
                driver.finish();
            });
            figures[1 + 2 * at] = steps.micros(0.5);
            figures[2 + 2 * at] = steps.micros(0.99);
        }
        figures
    };
    let (mut ours, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        yardstick.push(measure(&mut Typed::start(typed::reduce)));
        ours.push(measure(&mut Ours::start(plans::reduce(&data[0].schema()), 1)));
    }
    let names = [
        "load 4M rows into 1M keys",
        "1 row p50",
        "1 row p99",
        "100 rows p50",
        "100 rows p99",
        "10k rows p50",
        "10k rows p99",
    ];
    for (at, name) in names.into_iter().enumerate() {
        let column = |figures: &[[f64; 7]]| figures.iter().map(|figures| figures[at]).collect();
        compare(name, if at == 0 { "s" } else { "us" }, column(&ours), column(&yardstick), false);
    }
}
