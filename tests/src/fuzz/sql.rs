//! SQL text, from its statements to the plans that would run: before any rows are read.
//!
//! The statements run in a database with some sources, tables and views, which have no rows. Of a query a view of each
//! kind is made, of other statements that read or write rows the plan.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use laminardb_bridge::catalog::Entry;
use laminardb_bridge::{CancelToken, DatabaseConfig, Error, Params};
use laminardb_planner::bind::{bind_delete, bind_insert, bind_update};
use laminardb_planner::budget::within;
use laminardb_planner::catalog::{Catalog, find_name};
use laminardb_planner::rewrite::optimise_once;
use laminardb_planner::statement::{Parsed, Statement, parse};
use laminardb_planner::{PlanError, RelationInfo};
use parking_lot::Mutex;

use super::check;
use crate::Database;

/// Number of statements of one text that are run.
const MOST_STATEMENTS: usize = 4;

/// Number of steps that planning one statement may take.
const MOST_STEPS: usize = 20_000;

/// Number of inputs for which one database is used.
const MOST_INPUTS: usize = 2_000;

/// How long a view without rows may take to be complete.
const LONGEST: Duration = Duration::from_secs(60);

/// The relations that the inputs can read.
const RELATIONS: &str = "
    CREATE TABLE t (k BIGINT PRIMARY KEY, v BIGINT, s VARCHAR);
    CREATE TABLE u (k BIGINT, v BIGINT, w VARCHAR DEFAULT 'none');
    CREATE TABLE wide (id BIGINT PRIMARY KEY, flag BOOLEAN, tiny TINYINT, small SMALLINT, int INTEGER, big UBIGINT,
        real REAL, double DOUBLE, price DECIMAL(18, 4), name VARCHAR NOT NULL, bytes BLOB, day DATE, tod TIME,
        ts TIMESTAMP, nanos TIMESTAMP(9), tz TIMESTAMPTZ, list BIGINT[], names VARCHAR[],
        pair STRUCT(x BIGINT, y VARCHAR), doc JSON);
    CREATE TABLE orders (id BIGINT PRIMARY KEY, customer VARCHAR, amount DOUBLE, at TIMESTAMP);
    CREATE TABLE customers (id BIGINT PRIMARY KEY, name VARCHAR, country VARCHAR);
    CREATE SOURCE trades (symbol VARCHAR, price DOUBLE, volume BIGINT, ts BIGINT, WATERMARK FOR ts AS ts - 5);
    CREATE VIEW plain AS SELECT k, v + 1 AS v1 FROM t WHERE v > 0;
    CREATE MATERIALIZED VIEW totals AS SELECT v, count(*) AS n, sum(k) AS total FROM t GROUP BY v;
    CREATE STREAM joined AS SELECT t.k, u.w FROM t JOIN u ON t.k = u.k;
    CREATE MATERIALIZED VIEW top AS SELECT k, v FROM t ORDER BY v DESC LIMIT 10";

/// Runs the statements of a text.
pub fn target(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let statements = match parse(&text) {
        Ok(statements) => statements,
        Err(error) => return check(&error.into(), &text),
    };
    let mut fixed = FIXED.lock();
    let fixed = fixed.get_or_insert_with(Fixed::new);
    for parsed in statements.iter().take(MOST_STATEMENTS) {
        within(MOST_STEPS, &CancelToken::new(), || run(fixed, parsed));
    }
    fixed.restore();
}

/// The database of all inputs.
static FIXED: Mutex<Option<Fixed>> = Mutex::new(None);

/// A database with the fixed relations.
struct Fixed {
    database: Database,
    entries: Vec<Arc<Entry>>,
    inputs: usize,
}

impl Fixed {
    fn new() -> Self {
        let config = DatabaseConfig { lock_timeout: Some(Duration::ZERO), ..DatabaseConfig::default() };
        let database = Database::open(config);
        database.run(RELATIONS);
        let entries = database.shared.relations().expect("the database is open");
        Fixed { database, entries, inputs: 0 }
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.database.shared.relations().expect("the database is open")
    }

    /// Removes what an input has left behind. If it has changed a fixed relation, the database is made anew.
    fn restore(&mut self) {
        self.inputs += 1;
        let session = &self.database.session;
        if self.database.shared.has_transaction() {
            session.rollback().expect("a transaction can be rolled back");
        }
        let entries = self.entries();
        let same = entries.iter().zip(&self.entries).take_while(|(now, then)| Arc::ptr_eq(now, then)).count();
        for entry in entries[same..].iter().rev() {
            self.database.run(&format!("DROP {} {}", entry.kind().keyword(), quoted(entry.name())));
        }
        if same < self.entries.len() || self.inputs > MOST_INPUTS {
            self.database.shared.close();
            *self = Fixed::new();
        }
    }

    /// Runs a statement; its views must be complete afterwards.
    fn execute(&self, sql: &str, params: &Params) {
        let done = self.database.session.execute(sql, params).and_then(|_| self.database.session.wait(Some(LONGEST)));
        if let Err(error) = done {
            check(&error, sql);
        }
    }

    /// Makes views of a query.
    fn define(&self, query: &str, params: &Params) {
        for kind in ["VIEW", "MATERIALIZED VIEW"] {
            self.execute(&format!("CREATE OR REPLACE {kind} {} AS {query}", quoted(kind)), params);
        }
        if let Err(error) = self.database.session.explain(query, params) {
            check(&error, query);
        }
    }
}

impl Catalog for Fixed {
    fn relation(&self, name: &str, quoted: bool) -> Result<Option<Arc<RelationInfo>>, PlanError> {
        let entries = self.entries();
        let found = find_name(entries.iter().map(|entry| entry.name()), name, quoted);
        let found = found.map_err(|_| PlanError::invalid(format!("{name} is ambiguous")))?;
        Ok(found.map(|place| Arc::clone(&entries[place].info)))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Runs one statement, which must be the only one of its own text.
fn run(fixed: &Fixed, parsed: &Parsed) {
    let text = &parsed.text;
    let again = match parse(text).as_deref() {
        Ok([only]) if only.text == *text => only.clone(),
        other => panic!("the statement {text:?} is {other:?} when it stands alone"),
    };
    let params = params_of(&again);
    let planned = match &again.statement {
        Statement::Query(_) => return fixed.define(text, &params),
        Statement::CreateTableAs(create) => return fixed.define(&create.query_text, &params),
        Statement::Insert(insert) => bind_insert(insert, fixed, &params).and_then(|bound| optimise_once(&bound.rows)),
        Statement::Update(update) => bind_update(update, fixed, &params).and_then(|bound| optimise_once(&bound.rows)),
        Statement::Delete(delete) => bind_delete(delete, fixed, &params).and_then(|bound| optimise_once(&bound.rows)),
        _ => return fixed.execute(text, &params),
    };
    if let Err(error) = planned {
        check(&Error::from(error), text);
    }
}

/// Returns a number for each parameter that a statement uses.
fn params_of(parsed: &Parsed) -> Params {
    const MOST: usize = 16;
    let value = |number: usize| Arc::new(Int64Array::from(vec![number as i64])) as ArrayRef;
    let numbers = parsed.parameters.iter().filter_map(|name| name.parse().ok());
    let positional: Vec<ArrayRef> = (0..numbers.max().unwrap_or(0).min(MOST)).map(value).collect();
    let named = parsed.parameters.iter().filter(|name| name.parse::<usize>().is_err());
    let named: Vec<(String, ArrayRef)> = named.map(|name| (name.clone(), value(1))).collect();
    Params::from_arrays(&positional, &named).expect("each has a value")
}
