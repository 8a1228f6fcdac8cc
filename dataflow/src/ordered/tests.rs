//! Compares multisets with `BTreeMap`s.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Bound;

use super::*;
use crate::Diff;
use crate::testing::{Random, seeds};

/// How the keys of a run come.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Ascending,
    Descending,
    Random,
}

fn check<K: Keys, O: Ord + Clone + Debug + Borrow<K::Key>>(random: &mut Random, name: &str, key: impl Fn(usize) -> O)
where
    K::Key: PartialEq + Debug,
{
    let arrival = *random.pick(&[Arrival::Ascending, Arrival::Descending, Arrival::Random]);
    let domain = *random.pick(&[3, 40, 1000]);
    let (mut multiset, mut plain, mut held) = (Multiset::<K>::default(), BTreeMap::<O, Diff>::new(), Held::default());
    for step in 0..random.below(600) {
        let grows = step % 200 < 120;
        let key = match arrival {
            Arrival::Ascending => key(step % domain),
            Arrival::Descending => key(domain - step % domain),
            Arrival::Random => key(random.below(domain)),
        };
        // Mostly what is there goes, and sometimes what is not, for a while.
        let key = match plain.len() {
            len if len > 0 && !grows && !random.once_in(20) => {
                plain.keys().nth(random.below(len)).expect("in range").clone()
            }
            _ => key,
        };
        let diff = match plain.get::<O>(&key) {
            Some(count) if !grows => -*count,
            Some(-1) => 2,
            _ if random.once_in(50) => -1,
            _ => 1 + random.below(3) as Diff,
        };
        multiset.add(key.borrow(), diff, &mut held);
        *plain.entry(key.clone()).or_default() += diff;
        plain.retain(|_, count| *count != 0);
        let name = format!("{name}, {arrival:?}, domain {domain}, step {step}");
        assert_eq!(multiset.first(), plain.first_key_value().map(|(key, count)| (key.borrow(), *count)), "{name}");
        assert_eq!(multiset.last(), plain.last_key_value().map(|(key, count)| (key.borrow(), *count)), "{name}");
        assert_eq!(multiset.is_empty(), plain.is_empty(), "{name}");
        assert_eq!(multiset.total(), plain.values().sum::<Diff>(), "{name}");
        let rank: Diff = plain.range::<O, _>(..key.clone()).map(|(_, count)| count).sum();
        let count = plain.get::<O>(&key).copied().unwrap_or(0);
        assert_eq!(multiset.place(key.borrow()), (rank, count), "{name}");
        let expected = multiset.held();
        assert_eq!((held.values, held.bytes::<K>()), (plain.len(), expected.bytes::<K>()), "{name}");
        if step % 16 == 0 {
            check_scans(&name, random, &multiset, &plain);
            let mut rank = rank + count;
            let mut after = multiset.after(key.borrow());
            for (key, count) in plain.range::<O, _>((Bound::Excluded(key), Bound::Unbounded)) {
                let entry = after.next().expect("an entry for each key");
                assert_eq!((entry.rank, entry.count, entry.key), (rank, *count, key.borrow()), "{name}");
                rank += count;
            }
            assert!(after.next().is_none(), "{name}");
        }
    }
    let (mut left, piece) = (plain.len(), 1 + random.below(20));
    while left > 0 {
        let dropped = multiset.discard(piece);
        assert_eq!(dropped, piece.min(left), "{name}");
        left -= dropped;
    }
    assert_eq!(multiset.discard(1), 0);
}

fn check_scans<K: Keys, O: Ord + Borrow<K::Key>>(
    name: &str,
    random: &mut Random,
    multiset: &Multiset<K>,
    plain: &BTreeMap<O, Diff>,
) where
    K::Key: PartialEq + Debug,
{
    if plain.values().any(|count| *count < 0) {
        return;
    }
    let total = plain.values().sum::<Diff>();
    let position = random.below(total as usize + 2) as Diff;
    let mut rank = 0;
    let mut expected = Vec::new();
    for (key, count) in plain {
        if rank + count > position {
            expected.push((rank, *count, key.borrow()));
        }
        rank += count;
    }
    let found: Vec<_> = multiset.from(position).map(|entry| (entry.rank, entry.count, entry.key)).collect();
    assert_eq!(found, expected, "{name}, from {position}");
}

#[test]
fn multisets_of_numbers_are_those_of_a_map() {
    for seed in seeds(150) {
        check::<Plain<u64>, u64>(&mut Random::new(seed), &format!("seed {seed}"), |number| number as u64);
    }
}

#[test]
fn multisets_of_bytes_are_those_of_a_map() {
    for seed in seeds(300) {
        let mut random = Random::new(seed);
        let kind = random.below(4);
        let key = move |number: usize| -> Vec<u8> {
            let bytes = (number as u32).to_be_bytes();
            match kind {
                // Of different lengths, prefixes of each other among them.
                0 => bytes[3 - number % 4..].iter().map(|byte| byte % 3).collect(),
                // Different after the bytes that a slot holds.
                1 => [&[7; 9][..], &bytes].concat(),
                // Some with a buffer of their own.
                2 => [&bytes[..], &vec![1; 7 * (number % 5)]].concat(),
                _ => bytes.into(),
            }
        };
        check::<Bytes, Vec<u8>>(&mut random, &format!("seed {seed}, kind {kind}"), key);
    }
}

#[test]
fn keys_that_come_in_order_fill_their_leaves() {
    for descending in [false, true] {
        let (mut multiset, mut held) = (Multiset::<Plain<u64>>::default(), Held::default());
        (0..1000u64).for_each(|key| multiset.add(&if descending { 1000 - key } else { key }, 1, &mut held));
        let leaves = multiset.leaves();
        assert!(leaves <= 1000 / node::LEAF + 1, "{leaves} leaves");
    }
}
