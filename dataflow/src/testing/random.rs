//! Random updates from a seed.

use arrow::datatypes::DataType;

use super::fragment::Script;
use super::rows::{Change, Row, Value, schema, times};
use crate::Time;

/// A stream of numbers determined by its seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Returns true once in `times` calls, on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, X>(&mut self, from: &'a [X]) -> &'a X {
        &from[self.below(from.len())]
    }

    /// Returns one of about `domain` values of the type, or NULL.
    pub(crate) fn value(&mut self, data_type: &DataType, domain: usize) -> Value {
        if self.once_in(8) {
            return Value::Null;
        }
        match data_type {
            DataType::Boolean => Value::Bool(self.once_in(2)),
            DataType::Int64 => Value::Int(self.below(domain) as i64 - domain as i64 / 2),
            DataType::Float64 => Value::float(*self.pick(&[0.0, f64::NAN, 1.5, -2.25, f64::INFINITY, 1e300])),
            DataType::Utf8 => {
                let length = *self.pick(&[0, 1, 3, 8, 9, 31, 33, 70]);
                let letter = char::from(b'a' + (self.below(domain.min(20))) as u8);
                Value::Text(std::iter::repeat_n(letter, length).collect())
            }
            other => panic!("no random values of type {other}"),
        }
    }
}

/// How the updates of a script are drawn.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Column types of each input.
    pub(crate) inputs: Vec<Vec<DataType>>,
    /// Number of times, from 1.
    pub(crate) times: u64,
    /// Maximum number of updates of an input at a time.
    pub(crate) step: usize,
    /// Approximate number of values that a column takes.
    pub(crate) domain: usize,
}

/// Inserts, duplicates and retracts live rows; multiplicities are never negative between times.
pub(crate) fn random_script(random: &mut Random, shape: &Shape) -> Script {
    let last = Time(shape.times);
    let mut changes = vec![Vec::new(); shape.inputs.len()];
    for (input, types) in shape.inputs.iter().enumerate() {
        let mut live: Vec<Row> = Vec::new();
        for time in times(1, last) {
            let count = if random.once_in(5) { 0 } else { random.below(shape.step + 1) };
            for _ in 0..count {
                let change = random_change(random, types, shape.domain, &mut live, time);
                changes[input].push(change);
            }
        }
    }
    let drained = times(1, last).filter(|_| random.once_in(2)).collect();
    let schemas = shape.inputs.iter().map(|types| schema(types)).collect();
    Script { schemas, changes, times: last, drained }
}

/// Returns a script over many times, in which rows of (Int64, Utf8) stay for ten times each.
pub(crate) fn churning_script(inputs: usize, last: Time) -> Script {
    let row = |i: Time| vec![Value::Int((i.0 % 7) as i64), Value::Text(i.to_string())];
    let inserted = times(1, last).map(|time| (row(time), time, 1));
    let deleted = times(11, last).map(|time| (row(time - 10), time, -1));
    let mut changes: Vec<Change> = inserted.chain(deleted).collect();
    changes.sort_by_key(|(_, time, _)| *time);
    let schemas = vec![schema(&[DataType::Int64, DataType::Utf8]); inputs];
    Script { schemas, changes: vec![changes; inputs], times: last, drained: times(1, last).collect() }
}

fn random_change(random: &mut Random, types: &[DataType], domain: usize, live: &mut Vec<Row>, time: Time) -> Change {
    if !live.is_empty() && random.below(5) < 2 {
        let row = live.swap_remove(random.below(live.len()));
        return (row, time, -1);
    }
    let row: Row = match live.last() {
        Some(last) if random.once_in(6) => last.clone(),
        _ => types.iter().map(|t| random.value(t, domain)).collect(),
    };
    let times = if random.once_in(10) { 2 } else { 1 };
    live.extend(std::iter::repeat_n(row.clone(), times));
    (row, time, times as i64)
}

/// Returns the number of random cases of a test: more if the environment asks for it.
pub(crate) fn cases(usual: u64) -> u64 {
    let factor = std::env::var("LAMINARDB_TEST_CASES_FACTOR").ok().and_then(|f| f.parse::<u64>().ok());
    usual * factor.unwrap_or(1)
}

/// Returns the seeds of a test: the one in the environment, or 0 up to the number of cases.
pub(crate) fn seeds(usual: u64) -> Vec<u64> {
    match std::env::var("LAMINARDB_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..cases(usual)).collect(),
    }
}
