//! Images and their directory: what was written is read back, and anything else is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{
    Array, Date32Array, Decimal128Array, Float32Array, Int8Array, Int16Array, Int64Array, IntervalMonthDayNanoArray,
    ListBuilder, NullArray, StringArray, StringBuilder, StructArray, Time64MicrosecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema};
use laminardb_dataflow::{CancelToken, RelationId};
use laminardb_planner::statement::RestoreFrom;

use super::*;
use crate::error::Error;
use crate::relation::{Operation, Spec, StorageKind};
use crate::store::Store;
use crate::store::testing::{Random, random_batch, schema_of_all_types};

/// A path where nothing exists, and where nothing is left after the test.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Place(std::env::temp_dir().join(format!("laminardb-checkpoints-{}-{number}", std::process::id())))
    }

    fn directory(&self) -> Directory {
        Directory::new(self.0.clone())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the names in the directory.
    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name().into_string();
        let mut names: Vec<String> =
            fs::read_dir(&self.0).expect("the directory is there").map(|entry| name(entry).expect("a text")).collect();
        names.sort();
        names
    }

    /// Returns the names of images and of incomplete images.
    fn images(&self) -> Vec<String> {
        let is_image = |name: &String| name.starts_with("checkpoint_") || name.starts_with("incomplete_");
        self.names().into_iter().filter(is_image).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The directory may never have been made.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn scan(schema: &SchemaRef, kind: StorageKind, batches: &[RecordBatch]) -> Scan {
    let id = RelationId(1);
    let mut store = Store::default();
    let schema = Arc::clone(schema);
    let spec = Spec {
        name: "t".to_owned(),
        kind,
        schema,
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        defaults: Vec::new(),
        follow: None,
    };
    store.create(id, spec).expect("types of ours");
    let layout = store.layout(id).expect("just made");
    let prepared = layout.prepare(Operation::InsertNew, batches).expect("batches of the schema");
    store.apply(vec![prepared], |_, _| Ok(())).expect("nothing refuses it");
    store.scan(id).expect("just made")
}

fn base(name: &str, kind: RelationKind) -> BaseImage {
    BaseImage {
        name: name.to_owned(),
        kind,
        primary_key: Vec::new(),
        json_columns: Vec::new(),
        watermark: None,
        follow: None,
        total_events: 0,
    }
}

fn relation(name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Item<Scan> {
    Item::Base {
        base: base(name, RelationKind::Source),
        schema: Arc::clone(schema),
        defaults: vec![None; schema.fields().len()],
        rows: scan(schema, StorageKind::Append, batches),
    }
}

fn small(time: Time) -> ImageSource {
    let schema = schema_of_all_types();
    Image { time, items: vec![relation("t", &schema, &[random_batch(&schema, time.0, 5)])] }
}

#[track_caller]
fn refused<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("it must be refused"),
        Err(error) => {
            assert_eq!(error.code(), 700, "{error}");
            error.to_string()
        }
    }
}

fn list_of_structs() -> ArrayRef {
    let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(""), None]));
    let fields = vec![Field::new("x", DataType::Int64, true), Field::new("y", DataType::Utf8, true)];
    let structs = StructArray::new(fields.into(), vec![values, names], Some(vec![true, true, false].into()));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([2, 0, 1]);
    let item = Arc::new(Field::new("item", structs.data_type().clone(), true));
    Arc::new(arrow::array::ListArray::new(item, offsets, Arc::new(structs), Some(vec![true, false, true].into())))
}

fn list_of_lists() -> ArrayRef {
    let mut lists = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    lists.values().values().append_value("a");
    lists.values().append(true);
    lists.append(true);
    lists.append(false);
    lists.append(true);
    Arc::new(lists.finish())
}

/// Makes three rows of every type that `schema_of_all_types` lacks.
fn other_types() -> RecordBatch {
    let decimal = Decimal128Array::from(vec![Some(i128::MAX / 4), None, Some(-1)]);
    let decimal = decimal.with_precision_and_scale(38, 9).expect("38 digits");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(1)])),
        Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(1)])),
        Arc::new(UInt8Array::from(vec![Some(u8::MAX), None, Some(1)])),
        Arc::new(UInt16Array::from(vec![Some(u16::MAX), None, Some(1)])),
        Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(1)])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(1)])),
        Arc::new(Float32Array::from(vec![Some(-0.0), None, Some(f32::NAN)])),
        Arc::new(Date32Array::from(vec![Some(i32::MIN), None, Some(1)])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(86_399_999_999), None, Some(1)])),
        Arc::new(TimestampSecondArray::from(vec![Some(i64::MIN), None, Some(1)])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(i64::MAX), None, Some(1)])),
        Arc::new(decimal),
        list_of_structs(),
        list_of_lists(),
    ];
    let field =
        |(number, column): (usize, &ArrayRef)| Field::new(format!("c{number}"), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns).expect("columns of three rows")
}

#[test]
fn rows_of_every_type_come_back_as_they_were() {
    let place = Place::new();
    let schema = schema_of_all_types();
    let batches: Vec<RecordBatch> = [1, 3, 2000, 70_000, 5]
        .into_iter()
        .enumerate()
        .map(|(seed, rows)| random_batch(&schema, seed as u64, rows + 7).slice(7, rows))
        .collect();
    let others = other_types();
    let items = vec![
        relation("all", &schema, &batches),
        relation("others", &others.schema(), &[others.clone(), others.slice(1, 2)]),
        relation("none", &schema, &[]),
    ];
    let mut directory = place.directory();
    assert_eq!(directory.write(&Image { time: Time(9), items }, &CancelToken::new()).expect("it is written"), 1);
    let (id, image) = directory.read(RestoreFrom::Latest, &CancelToken::new()).expect("it is whole");
    assert_eq!((id, image.time, image.items.len()), (1, Time(9), 3));
    let expected = [
        (&schema, concat_batches(&schema, &batches)),
        (&others.schema(), concat_batches(&others.schema(), [&others, &others.slice(1, 2)])),
        (&schema, concat_batches(&schema, [])),
    ];
    for (item, (schema, expected)) in image.items.iter().zip(expected) {
        let Item::Base { schema: read, rows, .. } = item else { panic!("only relations were written") };
        assert_eq!(read, schema);
        let rows = concat_batches(read, rows).expect("one schema");
        assert_eq!(rows, expected.expect("one schema"));
    }
}

#[test]
fn what_relations_and_views_are_comes_back() {
    let place = Place::new();
    let schema = schema_of_all_types();
    let odd = "Ein \"Name\"\n\u{0}, ü, '; 'š".to_owned();
    let mut defaults = vec![None; schema.fields().len()];
    defaults[5] = Some(Arc::new(StringArray::from(vec!["x"])) as ArrayRef);
    defaults[4] = Some(arrow::array::new_null_array(schema.field(4).data_type(), 1));
    let base = BaseImage {
        name: odd.clone(),
        kind: RelationKind::Table,
        primary_key: vec![3, 0],
        json_columns: vec![1, 2],
        watermark: Some(i64::MAX),
        follow: Some((7, i128::MAX)),
        total_events: u64::MAX,
    };
    let view = ViewImage {
        name: "v".to_owned(),
        kind: RelationKind::MaterializedView,
        columns: vec!["A b".to_owned(), odd],
        query: "SELECT ?, $x -- why?\n FROM t".to_owned(),
        placeholders_before: 3,
        on_error: OnError::Skip,
    };
    let positional: Vec<ArrayRef> = vec![
        Arc::new(NullArray::new(1)),
        Arc::new(Int64Array::from(vec![i64::MIN])),
        Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, -2, 3)])),
        list_of_lists().slice(0, 1),
    ];
    let named = vec![("x".to_owned(), Arc::new(StringArray::from(vec![Some("ä")])) as ArrayRef)];
    let params = Params::from_arrays(&positional, &named).expect("one value each");
    let rows = scan(&schema, StorageKind::Bag, &[random_batch(&schema, 1, 100)]);
    let items = vec![
        Item::Base { base: base.clone(), schema: Arc::clone(&schema), defaults: defaults.clone(), rows },
        Item::View { view: view.clone(), params: params.clone() },
        Item::View { view: ViewImage { kind: RelationKind::View, ..view.clone() }, params: Params::none() },
    ];
    let mut directory = place.directory();
    directory.write(&Image { time: Time(0), items }, &CancelToken::new()).expect("it is written");
    let (_, image) = directory.read(RestoreFrom::Checkpoint(1), &CancelToken::new()).expect("it is whole");
    let [relation, with_parameters, without] = &image.items[..] else { panic!("three were written") };
    let Item::Base { base: read, defaults: read_defaults, .. } = relation else { panic!("a relation was written") };
    assert_eq!((read, read_defaults), (&base, &defaults));
    let Item::View { view: read, params: read_params } = with_parameters else { panic!("a view was written") };
    assert_eq!((read, read_params), (&view, &params));
    let Item::View { view: read, params: read_params } = without else { panic!("a view was written") };
    assert!(read.kind == RelationKind::View && read_params.is_empty());
}

#[test]
fn an_image_with_any_bit_changed_is_refused() {
    let place = Place::new();
    let mut directory = place.directory();
    let schema = schema_of_all_types();
    let mut items = vec![relation("t", &schema, &[random_batch(&schema, 1, 50)])];
    let view = ViewImage {
        name: "v".to_owned(),
        kind: RelationKind::Stream,
        columns: Vec::new(),
        query: "SELECT 1 AS a".to_owned(),
        placeholders_before: 0,
        on_error: OnError::Fail,
    };
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    items.push(Item::View { view, params: Params::from_arrays(&[one], &[]).expect("one value") });
    directory.write(&Image { time: Time(3), items }, &CancelToken::new()).expect("it is written");
    let image = place.path("checkpoint_1");
    let files: Vec<PathBuf> = fs::read_dir(&image).expect("it is there").map(|f| f.expect("readable").path()).collect();
    assert_eq!(files.len(), 3, "rows, parameters, the manifest");
    let damage = |directory: &mut Directory, path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).expect("writable");
        refused(directory.read(RestoreFrom::Latest, &CancelToken::new()));
    };
    for path in &files {
        let whole = fs::read(path).expect("readable");
        let random = &mut Random::new(whole.len() as u64);
        let is_manifest = path.ends_with("manifest.json");
        // All bits of the manifest, and as many of the other files, including their last bytes.
        let bits: Vec<usize> = match is_manifest {
            true => (0..whole.len() * 8).collect(),
            false => {
                (0..500).map(|_| random.below(whole.len() as u64 * 8) as usize).chain([whole.len() * 8 - 1]).collect()
            }
        };
        for bit in bits {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            damage(&mut directory, path, &bytes);
        }
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            damage(&mut directory, path, &whole[..length]);
        }
        damage(&mut directory, path, &[&whole[..], &[0]].concat());
        fs::remove_file(path).expect("there");
        refused(directory.read(RestoreFrom::Latest, &CancelToken::new()));
        fs::write(path, &whole).expect("writable");
    }
    directory.read(RestoreFrom::Latest, &CancelToken::new()).expect("it is whole again");
    let other = place.path("checkpoint_2");
    fs::rename(&image, &other).expect("both are there");
    assert!(refused(directory.read(RestoreFrom::Latest, &CancelToken::new())).contains("it is of checkpoint 1"));
}

#[test]
fn a_manifest_of_another_format_is_refused() {
    let place = Place::new();
    let mut directory = place.directory();
    directory.write(&small(Time(1)), &CancelToken::new()).expect("it is written");
    let path = place.path("checkpoint_1/manifest.json");
    let text = fs::read_to_string(&path).expect("JSON is text");
    let (_, body) = text.split_once(",\"manifest\":").expect("it is there");
    let body = body.trim_end().strip_suffix('}').expect("the end of the object");
    for (old, new, why) in [
        ("\"format\":1", "\"format\":2", "its format is 2"),
        ("\"time\":1", "\"time\":18446744073709551615", "its time is"),
        ("\"rows\":5", "\"rows\":6", "it has 5 rows, not 6"),
        ("relation_0.arrow", "../relation_0.arrow", "not relation_0.arrow"),
        ("\"kind\":\"SOURCE\"", "\"kind\":\"SINK\"", "no kind of relation"),
        ("\"primary_key\":[]", "\"primary_key\":[99]", "no such column"),
        ("\"name\":\"t\",", "", "name is missing"),
    ] {
        let changed = body.replacen(old, new, 1);
        assert_ne!(changed, body, "{old} is there");
        let sum = file::checksum(changed.as_bytes());
        fs::write(&path, format!("{{\"checksum\":\"{sum}\",\"manifest\":{changed}}}\n")).expect("writable");
        let text = refused(directory.read(RestoreFrom::Latest, &CancelToken::new()));
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn ids_increase_past_everything_that_ever_was_there() {
    let place = Place::new();
    let mut directory = place.directory();
    for id in 1..=5 {
        assert_eq!(directory.write(&small(Time(id)), &CancelToken::new()).expect("it is written"), id);
    }
    assert_eq!(place.images(), ["checkpoint_3", "checkpoint_4", "checkpoint_5"], "the newest three are kept");
    assert!(refused(directory.read(RestoreFrom::Checkpoint(2), &CancelToken::new())).contains("there are 3, 4, 5"));
    directory.release();
    for image in place.images() {
        fs::remove_dir_all(place.path(&image)).expect("it is there");
    }
    let mut directory = place.directory();
    refused(directory.read(RestoreFrom::Latest, &CancelToken::new()));
    assert_eq!(directory.write(&small(Time(6)), &CancelToken::new()).expect("it is written"), 6);
    directory.release();
    fs::write(place.path("last_checkpoint"), "not a number").expect("writable");
    fs::create_dir(place.path("incomplete_11")).expect("new");
    fs::write(place.path("incomplete_11/relation_0.arrow"), "half").expect("writable");
    // Not spelt as we spell them.
    for foreign in ["checkpoint_099", "checkpoint_x", "checkpoint_"] {
        fs::create_dir(place.path(foreign)).expect("new");
    }
    let mut directory = place.directory();
    assert_eq!(directory.read(RestoreFrom::Latest, &CancelToken::new()).expect("leftovers are no images").0, 6);
    assert_eq!(directory.write(&small(Time(7)), &CancelToken::new()).expect("it is written"), 12);
    assert!(!place.images().iter().any(|name| name.starts_with("incomplete")), "leftovers are removed");
    assert_eq!(directory.read(RestoreFrom::Latest, &CancelToken::new()).expect("it is whole").1.time, Time(7));
}

#[test]
fn a_directory_has_one_user_at_a_time() {
    let place = Place::new();
    let mut first = place.directory();
    refused(first.read(RestoreFrom::Latest, &CancelToken::new()));
    assert!(!place.0.exists(), "reading makes nothing");
    first.write(&small(Time(1)), &CancelToken::new()).expect("it is written");
    let before = place.names();
    let mut second = place.directory();
    assert!(refused(second.write(&small(Time(2)), &CancelToken::new())).contains("in use"));
    assert!(refused(second.read(RestoreFrom::Latest, &CancelToken::new())).contains("in use"));
    assert_eq!(place.names(), before, "nothing is touched");
    first.release();
    assert_eq!(second.write(&small(Time(2)), &CancelToken::new()).expect("it is free"), 2);
    assert!(refused(first.write(&small(Time(3)), &CancelToken::new())).contains("in use"));
    // A directory that was removed and made again is a different one.
    fs::remove_dir_all(&place.0).expect("it is there");
    assert_eq!(
        first.write(&small(Time(3)), &CancelToken::new()).expect("nobody has it"),
        2,
        "an id it has not seen used"
    );
    assert!(refused(second.write(&small(Time(4)), &CancelToken::new())).contains("in use"));
}

#[test]
fn what_is_no_directory_is_refused() {
    let place = Place::new();
    fs::write(&place.0, "a file").expect("writable");
    refused(place.directory().write(&small(Time(1)), &CancelToken::new()));
    refused(place.directory().read(RestoreFrom::Latest, &CancelToken::new()));
    let mut below = Directory::new(place.path("below"));
    refused(below.write(&small(Time(1)), &CancelToken::new()));
    refused(below.read(RestoreFrom::Latest, &CancelToken::new()));
    assert_eq!(fs::read_to_string(&place.0).expect("still a file"), "a file");
    fs::remove_file(&place.0).expect("it is there");
}

/// A token that is cancelled when it is looked at after `looks` looks.
fn given_up_after(looks: u32) -> CancelToken {
    let left = AtomicU32::new(looks);
    let look = |left: u32| Some(left.saturating_sub(1));
    CancelToken::polled(Duration::ZERO, move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, look) == Ok(0))
}

#[test]
fn given_up_at_any_moment_it_leaves_nothing() {
    let place = Place::new();
    let mut directory = place.directory();
    let schema = schema_of_all_types();
    let batches: Vec<RecordBatch> = (0..4).map(|seed| random_batch(&schema, seed, 3000)).collect();
    let image =
        Image { time: Time(1), items: vec![relation("t", &schema, &batches), relation("u", &schema, &batches)] };
    let mut looks = 0_u32;
    loop {
        match directory.write(&image, &given_up_after(looks)) {
            Ok(id) => break assert!(id >= 1),
            Err(error) => assert_eq!(error, Error::Interrupted),
        }
        assert_eq!(place.images(), [""; 0], "after {looks} looks");
        looks += 1;
    }
    assert!(looks > 8, "it was asked before each batch and at the end: {looks}");
    let mut looks = 0_u32;
    loop {
        match directory.read(RestoreFrom::Latest, &given_up_after(looks)) {
            Ok((_, image)) => break assert_eq!(image.items.len(), 2),
            Err(error) => assert_eq!(error, Error::Interrupted),
        }
        looks += 1;
    }
    assert!(looks > 8, "{looks}");
}
