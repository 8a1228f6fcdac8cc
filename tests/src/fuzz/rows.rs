//! What the targets of JSON and CSV share: the table, and what must hold of rows that were read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use laminardb_bridge::Error;
use laminardb_bridge::relation::{Spec, StorageKind};
use parking_lot::Mutex;

use super::{check, check_place, leading_number};
use crate::Database;

/// A table with a column of every type that text has values for, and of BLOB, for which it has NULL alone.
const TABLE: &str = "CREATE TABLE all_types (flag BOOLEAN, i8 TINYINT, i16 SMALLINT, i32 INTEGER, i64 BIGINT,
    u8 UTINYINT, u16 USMALLINT, u32 UINTEGER, u64 UBIGINT, f32 REAL, f64 DOUBLE, price DECIMAL(9, 2),
    large DECIMAL(38, 10), name VARCHAR, bytes BLOB, day DATE, tod TIME, s TIMESTAMP(0), ms TIMESTAMP(3), ts TIMESTAMP,
    ns TIMESTAMP(9), tz TIMESTAMPTZ, list BIGINT[], words VARCHAR[], nested DOUBLE[][], days DATE[],
    pair STRUCT(x BIGINT, y VARCHAR), deep STRUCT(items STRUCT(a INTEGER, at TIMESTAMP)[], flag BOOLEAN), doc JSON,
    n BIGINT NOT NULL DEFAULT 7, word VARCHAR DEFAULT 'none')";

/// The table of all types, in a database of its own.
pub(super) struct Table {
    database: Database,
    pub(super) spec: Spec,
}

static ALL_TYPES: Mutex<Option<Table>> = Mutex::new(None);

/// Runs `work` with the table, which is empty.
pub(super) fn with_table(work: impl FnOnce(&Table)) {
    work(ALL_TYPES.lock().get_or_insert_with(Table::new));
}

impl Table {
    fn new() -> Self {
        let database = Database::new(1);
        database.run(TABLE);
        let info = database.shared.relation("all_types").expect("it was just made");
        let default = |name: &str| -> Option<ArrayRef> {
            match name {
                "n" => Some(Arc::new(Int64Array::from(vec![7]))),
                "word" => Some(Arc::new(StringArray::from(vec!["none"]))),
                _ => None,
            }
        };
        let spec = Spec {
            name: info.name.clone(),
            kind: StorageKind::Bag,
            schema: Arc::clone(&info.schema),
            primary_key: Vec::new(),
            json_columns: info.json_columns.clone(),
            defaults: info.schema.fields().iter().map(|field| default(field.name())).collect(),
            follow: None,
        };
        Table { database, spec }
    }

    /// Checks what both ways of reading a text have given, with and without columns that are left out; `store` stores
    /// the same text, and `again` reads the text that `written` makes of the rows.
    pub(super) fn check(
        &self,
        text: &str,
        [strict, loose]: [Result<Vec<RecordBatch>, Error>; 2],
        store: impl FnOnce(&Database) -> Result<u64, Error>,
        again: impl Fn(&RecordBatch) -> Option<Result<Vec<RecordBatch>, Error>>,
    ) {
        if let Ok(strict) = &strict {
            assert_eq!(loose.as_ref(), Ok(strict), "extra columns are ignored, and there are none");
        }
        for error in [&strict, &loose].into_iter().filter_map(|read| read.as_ref().err()) {
            check_refusal(error, text);
        }
        let stored = store(&self.database);
        match (&strict, stored) {
            (Ok(batches), Ok(rows)) => self.check_stored(batches, rows),
            (Err(error), Err(other)) => assert_eq!(*error, other, "reading the text fails as storing it does"),
            (read, stored) => panic!("reading gives {read:?}, storing {stored:?}"),
        }
        for batch in loose.iter().flatten() {
            check_batch(batch);
            if let Some(read) = again(batch) {
                assert_eq!(read.as_deref(), Ok([batch.clone()].as_slice()), "the rows as they are written");
            }
        }
    }

    /// Checks that the table has these rows, by removing them.
    fn check_stored(&self, batches: &[RecordBatch], rows: u64) {
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64, rows);
        let removed = self.database.session.delete("all_types", batches.to_vec());
        assert_eq!(removed, Ok(rows), "equal rows are in the table");
    }
}

/// Checks that an error is one of data, and that the place which it names is in the text.
fn check_refusal(error: &Error, text: &str) {
    check(error, text);
    assert!(matches!(error.code(), 300 | 302), "{}", error.message());
    let (message, text) = (error.to_string(), text.strip_prefix('\u{feff}').unwrap_or(text));
    let number = |rest: Option<(&str, &str)>| {
        let number = rest.and_then(|(_, rest)| leading_number(rest));
        number.unwrap_or_else(|| panic!("{message}: without its place"))
    };
    if message.starts_with("not JSON: ") || message.starts_with("not CSV: ") {
        let (line, column) = (number(message.rsplit_once(" at line ")), number(message.rsplit_once(", column ")));
        check_place(text, line, column, &message);
    } else if message.starts_with("row ") {
        check_place(text, number(message.split_once("(line ")), 1, &message);
    }
}

/// Checks that the columns are what their types say.
fn check_batch(batch: &RecordBatch) {
    for column in batch.columns() {
        column.to_data().validate_full().expect("the rows that were read are valid");
    }
}
