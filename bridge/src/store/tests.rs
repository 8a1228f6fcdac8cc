//! Compares the stores with models that are too simple to be wrong: maps and lists of rows as text.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use proptest::prelude::*;

use super::encode::Encoder;
use super::testing::{Random, random_batch, schema_of_all_types};
use super::*;
use crate::relation::{Operation, StorageKind};

/// Multiplicity of each row.
type Contents = BTreeMap<Vec<u8>, i64>;

const ID: RelationId = RelationId(1);

struct Harness {
    store: Store,
    /// Sum of all deltas.
    sum: Contents,
    /// Encodes rows as bytes that are equal exactly when the rows are.
    encoder: Encoder,
}

fn spec(kind: StorageKind, schema: &SchemaRef, primary_key: Vec<usize>) -> Spec {
    Spec {
        name: "t".into(),
        kind,
        schema: Arc::clone(schema),
        primary_key,
        json_columns: Vec::new(),
        defaults: Vec::new(),
        follow: None,
    }
}

impl Harness {
    fn new(kind: StorageKind, primary_key: Vec<usize>, mask: u64) -> Self {
        let schema = schema_of_all_types();
        let mut layout = RelationLayout::new(ID, spec(kind, &schema, primary_key)).expect("types of ours");
        layout.key = layout.key.with_mask(mask);
        layout.row = layout.row.with_mask(mask);
        let layout = Arc::new(layout);
        let storage = Storage::new(&layout);
        let mut store = Store::default();
        store.relations.0.insert(ID, StoredRelation { layout, storage, writes: 0 });
        let encoder = Encoder::new(&schema, (0..schema.fields().len()).collect()).expect("types of ours");
        Harness { store, sum: Contents::new(), encoder }
    }

    fn rows(&self, batch: &RecordBatch) -> Vec<Vec<u8>> {
        let rows = self.encoder.encode(batch);
        (0..rows.len()).map(|row| rows.row(row).to_vec()).collect()
    }

    fn contents(&mut self) -> Contents {
        let scan = self.store.scan(ID).expect("made in new");
        let contents = self.contents_of(&scan);
        assert_eq!(scan.rows() as u64, self.store.rows(ID));
        contents
    }

    fn contents_of(&self, scan: &Scan) -> Contents {
        let mut contents = Contents::new();
        for batch in scan.iter() {
            assert!(batch.num_rows() > 0 && Arc::ptr_eq(batch.schema_ref(), scan.schema()));
            self.rows(&batch).into_iter().for_each(|row| *contents.entry(row).or_default() += 1);
        }
        contents
    }

    fn prepare(&self, writes: &[(Operation, RecordBatch)]) -> Vec<Prepared> {
        let layout = self.store.layout(ID).expect("made in new");
        let prepare = |(operation, batch): &(Operation, RecordBatch)| {
            let batches = if *operation == Operation::Truncate { &[][..] } else { std::slice::from_ref(batch) };
            layout.prepare(*operation, batches).expect("batches are of the schema")
        };
        writes.iter().map(prepare).collect()
    }

    /// Applies writes and checks that the store holds what the deltas say, also after a failure of any kind.
    fn apply(&mut self, writes: &[(Operation, RecordBatch)], broken_engine: bool) -> Result<Vec<Applied>, Error> {
        let prepared = self.prepare(writes);
        let before = self.contents();
        let send = |changes, _| if broken_engine { Err(Error::Shutdown) } else { Ok(changes) };
        match self.store.apply(prepared, send) {
            Ok((changes, applied)) => {
                for (_, rows, diffs) in changes {
                    let rows = self.rows(&rows);
                    for (at, row) in rows.into_iter().enumerate() {
                        *self.sum.entry(row).or_default() += diffs.at(at);
                    }
                }
                self.sum.retain(|_, count| *count != 0);
                assert_eq!(self.contents(), self.sum);
                Ok(applied)
            }
            Err(error) => {
                assert_eq!(self.contents(), before);
                Err(error)
            }
        }
    }
}

/// Makes a few rows, sometimes many, sometimes with many equal ones.
fn rows(random: &mut Random) -> RecordBatch {
    let schema = schema_of_all_types();
    let seed = random.below(u64::MAX);
    match random.below(20) {
        0 => random_batch(&schema, seed, 1100),
        1 => {
            let few = random_batch(&schema, seed, 3);
            let picks: Vec<u32> = (0..1 + random.below(1300)).map(|_| random.below(3) as u32).collect();
            take_record_batch(&few, &UInt32Array::from(picks)).expect("in range")
        }
        _ => random_batch(&schema, seed, random.below(6) as usize),
    }
}

fn id_and_integer(batch: &RecordBatch) -> RecordBatch {
    batch.project(&[0]).expect("the key comes first")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// A keyed table is a map from key to row.
    #[test]
    fn keyed_is_a_map(seed: u64, collide: bool) {
        let random = &mut Random::new(seed);
        let mut harness = Harness::new(StorageKind::Keyed, vec![0], if collide { 3 } else { u64::MAX });
        let mut model: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
        let mut scans = Vec::new();
        for _ in 0..30 {
            let mut next = model.clone();
            let mut fails = false;
            let mut writes = Vec::new();
            for _ in 0..1 + random.below(3) {
                let batch = rows(random);
                let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("an integer").clone();
                let given = ids.values().iter().copied().zip(harness.rows(&batch));
                let operation = match random.below(10) {
                    0 => {
                        next.clear();
                        Operation::Truncate
                    }
                    1 | 2 => {
                        ids.values().iter().for_each(|id| { next.remove(id); });
                        Operation::Delete
                    }
                    3 | 4 => {
                        for (id, row) in given {
                            fails |= next.insert(id, row).is_some();
                        }
                        Operation::InsertNew
                    }
                    5 => {
                        given.for_each(|(id, row)| { next.entry(id).or_insert(row); });
                        Operation::InsertMissing
                    }
                    _ => {
                        next.extend(given);
                        Operation::Upsert
                    }
                };
                let batch = if operation == Operation::Delete { id_and_integer(&batch) } else { batch };
                writes.push((operation, batch));
            }
            let broken = random.below(5) == 0;
            let result = harness.apply(&writes, broken);
            prop_assert_eq!(result.is_err(), fails || broken);
            if result.is_ok() {
                model = next;
            }
            let expected: Contents = model.values().map(|row| (row.clone(), 1)).collect();
            prop_assert_eq!(harness.contents(), expected.clone());
            scans.push((harness.store.scan(ID).expect("there"), expected));
        }
        for (scan, expected) in scans {
            prop_assert_eq!(harness.contents_of(&scan), expected);
        }
    }

    /// A table without key is a count of each row.
    #[test]
    fn bag_counts_rows(seed: u64, collide: bool) {
        let random = &mut Random::new(seed);
        let mut harness = Harness::new(StorageKind::Bag, Vec::new(), if collide { 1 } else { u64::MAX });
        let mut model = Contents::new();
        let mut given: Vec<RecordBatch> = Vec::new();
        let mut scans = Vec::new();
        for _ in 0..30 {
            let mut next = model.clone();
            let mut fails = false;
            let mut writes = Vec::new();
            for _ in 0..1 + random.below(3) {
                let few = random.below(50);
                let fresh = if collide { random_batch(&schema_of_all_types(), few, 4) } else { rows(random) };
                match random.below(10) {
                    0 => {
                        next.clear();
                        writes.push((Operation::Truncate, fresh));
                    }
                    1..5 if !given.is_empty() => {
                        let batch = given[random.below(given.len() as u64) as usize].clone();
                        for row in harness.rows(&batch) {
                            let count = next.entry(row).or_default();
                            *count -= 1;
                            fails |= *count < 0;
                        }
                        writes.push((Operation::Delete, batch));
                    }
                    _ => {
                        harness.rows(&fresh).into_iter().for_each(|row| *next.entry(row).or_default() += 1);
                        given.push(fresh.clone());
                        writes.push((Operation::Insert, fresh));
                    }
                }
            }
            next.retain(|_, count| *count != 0);
            let broken = random.below(5) == 0;
            let result = harness.apply(&writes, broken);
            prop_assert_eq!(result.is_err(), fails || broken);
            if result.is_ok() {
                model = next;
            }
            prop_assert_eq!(harness.contents(), model.clone());
            scans.push((harness.store.scan(ID).expect("there"), model.clone()));
        }
        for (scan, expected) in scans {
            prop_assert_eq!(harness.contents_of(&scan), expected);
        }
    }

    /// A source is the list of all rows it was given.
    #[test]
    fn append_keeps_all_rows(seed: u64) {
        let random = &mut Random::new(seed);
        let mut harness = Harness::new(StorageKind::Append, Vec::new(), u64::MAX);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for _ in 0..30 {
            let batch = rows(random);
            let broken = random.below(5) == 0;
            if harness.apply(&[(Operation::Insert, batch.clone())], broken).is_ok() {
                model.extend(harness.rows(&batch));
            }
            if random.below(4) > 0 {
                continue;
            }
            let scan = harness.store.scan(ID).expect("there");
            let kept: Vec<Vec<u8>> = scan.iter().flat_map(|batch| harness.rows(&batch)).collect();
            prop_assert_eq!(&kept, &model);
        }
    }
}

/// Makes the writes of one statement to a relation of this kind, which may fail; `given` holds rows that may exist.
fn statement(random: &mut Random, kind: StorageKind, given: &mut Vec<RecordBatch>) -> Vec<(Operation, RecordBatch)> {
    let mut writes = Vec::new();
    for _ in 0..1 + random.below(2) {
        let batch = rows(random);
        writes.push(match (kind, random.below(8)) {
            (StorageKind::Append, _) => (Operation::Insert, batch),
            (_, 0) => (Operation::Truncate, batch),
            (StorageKind::Keyed, 1 | 2) => (Operation::Delete, id_and_integer(&batch)),
            (StorageKind::Keyed, 3) => (Operation::InsertNew, batch),
            (StorageKind::Keyed, 4) => (Operation::InsertMissing, batch),
            (StorageKind::Bag, 1..4) if !given.is_empty() => {
                (Operation::Delete, given[random.below(given.len() as u64) as usize].clone())
            }
            _ => {
                given.push(batch.clone());
                (Operation::Insert, batch)
            }
        });
    }
    writes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// In a transaction the rows are those of a store without one; the rows before it stay unchanged.
    #[test]
    fn a_transaction_has_both_states(seed: u64, kind in 0..3_usize, collide: bool) {
        let random = &mut Random::new(seed);
        let kind = [StorageKind::Append, StorageKind::Keyed, StorageKind::Bag][kind];
        let new = || {
            let key = if kind == StorageKind::Keyed { vec![0] } else { Vec::new() };
            Harness::new(kind, key, if collide { 3 } else { u64::MAX })
        };
        let (mut harness, mut twin, mut given, mut scans) = (new(), new(), Vec::new(), Vec::new());
        for _ in 0..6 {
            let before = harness.contents();
            harness.store.begin();
            for _ in 0..random.below(8) {
                let writes = statement(random, kind, &mut given);
                let prepared = harness.prepare(&writes);
                let done = harness.store.apply_in_transaction(&prepared).ok();
                prop_assert_eq!(done, twin.apply(&writes, false).ok());
                let now = harness.contents();
                prop_assert_eq!(&now, &twin.contents());
                scans.push((harness.store.scan(ID).expect("there"), now));
                prop_assert_eq!(harness.store.committed_rows(ID) as i64, before.values().sum::<i64>());
                if random.below(3) == 0 {
                    let committed = harness.store.committed_scan(ID).expect("there");
                    prop_assert_eq!(&harness.contents_of(&committed), &before);
                    scans.push((committed, before.clone()));
                }
            }
            let mut sum = before.clone();
            let committed = match random.below(4) {
                0 => harness.store.rollback().map(|()| false).expect("nothing is broken"),
                1 => harness.store.commit(|_, _| -> Result<(), Error> { Err(Error::Shutdown) }).is_ok(),
                _ => {
                    let changes = harness.store.commit(|changes, _| Ok(changes)).expect("the engine takes them");
                    for (_, rows, diffs) in changes {
                        for (at, row) in harness.rows(&rows).into_iter().enumerate() {
                            *sum.entry(row).or_default() += diffs.at(at);
                        }
                    }
                    sum.retain(|_, count| *count != 0);
                    true
                }
            };
            prop_assert_eq!(&harness.contents(), &sum);
            if committed {
                prop_assert_eq!(&twin.contents(), &sum);
            } else {
                twin = new();
                for rows in harness.store.scan(ID).expect("there").batches() {
                    twin.apply(&[(Operation::Insert, rows)], false).expect("they were there");
                }
            }
        }
        for (scan, expected) in scans {
            prop_assert_eq!(harness.contents_of(&scan), expected);
        }
    }
}

fn numbers(rows: &[(i64, i64)]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("v", DataType::Int64, true)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).expect("two columns")
}

fn table(kind: StorageKind, batch: &RecordBatch) -> Store {
    let mut store = Store::default();
    let primary_key = if kind == StorageKind::Keyed { vec![0] } else { Vec::new() };
    store.create(ID, spec(kind, &batch.schema(), primary_key)).expect("types of ours");
    store
}

fn write(
    store: &mut Store,
    operation: Operation,
    batch: &RecordBatch,
) -> Result<(Vec<(RecordBatch, Diffs)>, Applied), Error> {
    let layout = store.layout(ID).expect("made by table");
    let prepared = layout.prepare(operation, std::slice::from_ref(batch))?;
    let send = |changes: Vec<(RelationId, RecordBatch, Diffs)>, _| {
        Ok(changes.into_iter().map(|(_, rows, diffs)| (rows, diffs)).collect())
    };
    let (changes, applied) = store.apply(vec![prepared], send)?;
    Ok((changes, applied[0]))
}

#[test]
fn an_equal_replacement_is_no_change() {
    let rows = numbers(&[(1, 10), (2, 20), (1, 11)]);
    let mut store = table(StorageKind::Keyed, &rows);
    let (changes, applied) = write(&mut store, Operation::Insert, &rows).expect("fits");
    assert_eq!(applied, Applied { given: 3, changed: 2 });
    assert_eq!(changes.iter().map(|(rows, _)| rows.num_rows()).collect::<Vec<_>>(), [2]);
    let (changes, applied) = write(&mut store, Operation::Insert, &rows).expect("fits");
    assert_eq!((changes.len(), applied), (0, Applied { given: 3, changed: 0 }));
    let (changes, applied) = write(&mut store, Operation::Upsert, &numbers(&[(2, 21), (1, 11)])).expect("fits");
    assert_eq!(applied, Applied { given: 2, changed: 1 });
    let diffs: Vec<_> = changes.iter().map(|(rows, diffs)| (rows.num_rows(), diffs.at(0))).collect();
    assert_eq!(diffs, [(1, -1), (1, 1)]);
}

#[test]
fn a_duplicate_key_names_table_and_key() {
    let rows = numbers(&[(1, 10), (2, 20)]);
    let mut store = table(StorageKind::Keyed, &rows);
    write(&mut store, Operation::InsertNew, &rows).expect("fits");
    for again in [numbers(&[(3, 0), (2, 0)]), numbers(&[(4, 0), (2, 1), (4, 0)])] {
        let error = write(&mut store, Operation::InsertNew, &again).expect_err("a key twice");
        assert_eq!(error.code(), 400);
        assert!(error.to_string().starts_with("duplicate key in table t: k = "), "{error}");
        assert_eq!(store.rows(ID), 2);
    }
}

#[test]
fn deleting_a_row_that_is_not_there_names_it() {
    let rows = numbers(&[(1, 10), (1, 10), (2, 20)]);
    let mut store = table(StorageKind::Bag, &rows);
    write(&mut store, Operation::Insert, &rows).expect("fits");
    let error = write(&mut store, Operation::Delete, &numbers(&[(1, 10), (2, 21)])).expect_err("not there");
    assert_eq!(error.code(), 300);
    assert_eq!(error.to_string(), "cannot delete row 1 from table t: no such row (2, 21)");
    assert_eq!(store.rows(ID), 3);
    let error = write(&mut store, Operation::Delete, &numbers(&[(1, 10), (1, 10), (1, 10)])).expect_err("twice only");
    assert_eq!(error.code(), 300);
    let (_, applied) = write(&mut store, Operation::Delete, &numbers(&[(1, 10), (1, 10)])).expect("there twice");
    assert_eq!((applied.changed, store.rows(ID)), (2, 1));
}

#[test]
fn kinds_refuse_what_they_cannot_do() {
    let rows = numbers(&[(1, 10)]);
    let cases = [
        (StorageKind::Append, Operation::Delete),
        (StorageKind::Append, Operation::Truncate),
        (StorageKind::Append, Operation::Upsert),
        (StorageKind::Bag, Operation::Upsert),
        (StorageKind::Bag, Operation::InsertMissing),
    ];
    for (kind, operation) in cases {
        let error = write(&mut table(kind, &rows), operation, &rows).expect_err("refused");
        assert_eq!(error.code(), 202, "{kind:?} {operation:?}");
    }
}

#[test]
fn memory_falls_with_the_rows() {
    for kind in [StorageKind::Keyed, StorageKind::Bag] {
        let rows = numbers(&(0..50_000).map(|k| (k, k)).collect::<Vec<_>>());
        let mut store = table(kind, &rows);
        write(&mut store, Operation::Insert, &rows).expect("fits");
        let most = numbers(&(100..50_000).map(|k| (k, k)).collect::<Vec<_>>());
        let batch = if kind == StorageKind::Keyed { most.project(&[0]).expect("key first") } else { most };
        let full = store.bytes(ID);
        write(&mut store, Operation::Delete, &batch).expect("all there");
        assert_eq!(store.rows(ID), 100);
        assert!(store.bytes(ID) < full / 50, "{kind:?}: {} of {full}", store.bytes(ID));
    }
}

#[test]
fn upserts_of_one_row_do_not_pile_up() {
    let mut store = table(StorageKind::Keyed, &numbers(&[(1, 1)]));
    for v in 0..50_000 {
        write(&mut store, Operation::Upsert, &numbers(&[(1, v)])).expect("fits");
    }
    assert_eq!(store.rows(ID), 1);
    assert!(store.bytes(ID) < 1 << 20, "{}", store.bytes(ID));
}

#[test]
fn a_long_transaction_leaves_no_more_behind_than_its_rows() {
    for commits in [true, false] {
        let mut store = table(StorageKind::Keyed, &numbers(&[(1, 1)]));
        store.begin();
        let layout = store.layout(ID).expect("made by table");
        for v in 0..50_000 {
            let prepared = layout.prepare(Operation::Upsert, &[numbers(&[(1, v)])]).expect("fits");
            store.apply_in_transaction(&[prepared]).expect("a key");
        }
        if commits { store.commit(|_, _| Ok(())) } else { store.rollback() }.expect("nothing is broken");
        assert_eq!(store.rows(ID), u64::from(commits));
        assert!(store.bytes(ID) < 1 << 20, "{}", store.bytes(ID));
    }
}

#[test]
fn many_equal_rows_are_deleted_quickly() {
    let rows = numbers(&vec![(1, 1); 200_000]);
    let mut store = table(StorageKind::Bag, &rows);
    write(&mut store, Operation::Insert, &rows).expect("fits");
    write(&mut store, Operation::Delete, &rows.slice(0, 150_000)).expect("there");
    assert_eq!(store.rows(ID), 50_000);
    write(&mut store, Operation::Delete, &rows.slice(0, 50_001)).expect_err("too many");
    assert_eq!(store.rows(ID), 50_000);
}

#[test]
fn rows_are_found_by_key() {
    let rows = numbers(&[(1, 10), (2, 20), (3, 30)]);
    let mut store = table(StorageKind::Keyed, &rows);
    write(&mut store, Operation::Insert, &rows).expect("fits");
    let (found, old) =
        store.finder().expect("whole").find(ID, &numbers(&[(3, 0), (4, 0), (1, 0), (3, 1)])).expect("a keyed table");
    assert_eq!((found, old.column(1).as_primitive::<Int64Type>().values().to_vec()), (vec![0, 2, 3], vec![30, 10, 30]));
    let (found, old) = store.finder().expect("whole").find(ID, &numbers(&[(7, 0)])).expect("a keyed table");
    assert_eq!((found.len(), old.num_rows()), (0, 0));
    assert_eq!(
        table(StorageKind::Bag, &rows).finder().expect("whole").find(ID, &rows).expect_err("no key").code(),
        202
    );
}

#[test]
fn a_broken_invariant_ends_reads_and_writes() {
    let rows = numbers(&[(1, 10)]);
    let mut store = table(StorageKind::Keyed, &rows);
    let prepared =
        store.layout(ID).expect("there").prepare(Operation::Insert, std::slice::from_ref(&rows)).expect("fits");
    let error =
        store.apply(vec![prepared], |_, _| -> Result<(), Error> { panic!("an invariant") }).expect_err("caught");
    assert_eq!(error, Error::Internal("the store stopped: an invariant".into()));
    assert!(store.scan(ID).is_none());
    assert_eq!(write(&mut store, Operation::Insert, &rows).expect_err("stopped"), error);
}

#[test]
fn a_key_column_must_not_be_nullable() {
    let schema = numbers(&[]).schema();
    let error = Store::default().create(ID, spec(StorageKind::Keyed, &schema, vec![1])).expect_err("v is nullable");
    assert_eq!((error.code(), error.to_string().as_str()), (203, "key column v of t must be NOT NULL"));
}
