//! Conditions over a grid of values of every type: what a condition is worth on a row is what each use of it goes by.
//!
//! No other engine is asked. `WHERE p` must give the rows of which `SELECT p` says that it is true, as a query and as a
//! view; `p`, `NOT p` and `p IS NULL` must part the table; a constant must be worth what the same value in a column is;
//! and a statement that writes must change exactly the rows where its condition is true. The ideas are those of
//! non-optimising reference engines and ternary logic partitioning (SQLancer).

use std::collections::{BTreeMap, BTreeSet};

use laminardb_bridge::{Error, Outcome, Params};
use laminardb_tests::Database;
use laminardb_tests::random::{Random, seeds};

/// What a condition is worth on each row, by the row's id.
type Worth = BTreeMap<u64, Option<bool>>;

/// A type, and values of it that conditions go wrong at, as texts that are cast to it.
struct Grid {
    name: &'static str,
    values: &'static [&'static str],
    /// Conditions for values like these.
    own: &'static [&'static str],
}

/// `{a}` and `{b}` are columns, `{k}` and `{l}` constants of their type.
const CONDITIONS: &[&str] = &[
    "{a} = {b}",
    "{a} <> {b}",
    "{a} < {b}",
    "{a} >= {b}",
    "{a} = {k}",
    "{a} <> {k}",
    "{k} <= {a}",
    "{a} > {k}",
    "{a} IS NULL",
    "{a} IS DISTINCT FROM {b}",
    "{a} IS NOT DISTINCT FROM {k}",
    "{a} BETWEEN {k} AND {l}",
    "{a} NOT BETWEEN {b} AND {k}",
    "{a} IN ({k}, {l})",
    "{a} NOT IN ({k})",
    "{a} IN ({b}, {k}, NULL)",
    "{a} NOT IN ({k}, NULL)",
    "{a} NOT IN ({k}) OR {a} NOT IN ({l})",
    "{a} IN ({k}) AND {a} IN ({l})",
    "{a} = {k} OR {a} = {l} OR {b} = {k}",
    "({a} = {k} AND {b} = {l}) OR ({a} = {k} AND {b} <> {l})",
    "NOT ({a} = {b} OR {a} < {k})",
    "{a} = {b} AND {a} <> {b}",
    "({a} > {k}) = ({b} > {k})",
    "({a} < {k}) IS NOT TRUE",
    "CASE WHEN {a} = {b} THEN NULL WHEN {a} > {b} THEN true ELSE {a} IS NULL END",
    "CASE {a} WHEN {k} THEN {b} > {k} WHEN {l} THEN NULL ELSE true END",
    "coalesce({a}, {b}) = {k}",
    "nullif({a}, {k}) IS NULL",
    "{a} = {a}",
    "{a} <> {a}",
    "{a} < {a} OR {a} >= {a}",
    "greatest({a}, {b}) = {b}",
    "least({a}, {k}) < {b}",
    "CAST({a} AS VARCHAR) = CAST({k} AS VARCHAR)",
    "(SELECT {a}) = {b}",
];

const NUMERIC: &[&str] = &[
    "{a} + {b} > {a}",
    "{a} - {b} = 0",
    "{a} * 2 > {b}",
    "{a} / {b} > 1",
    "{a} / {b} IS NULL",
    "{a} % {b} = 0",
    "{b} <> 0 AND {a} / {b} > 0",
    "-{a} < {k}",
    "CAST({a} AS BIGINT) = 2",
    "CAST({a} AS BIGINT) <> 2",
    "CAST({a} AS BIGINT) < 2",
    "CAST({a} AS BIGINT) IN (1, 2)",
    "CAST({a} AS BIGINT) BETWEEN 1 AND 2",
    "TRY_CAST({a} AS SMALLINT) > 1",
    "CAST({a} AS SMALLINT) > 1",
    "TRY_CAST({a} AS TINYINT) IS NULL",
    "CAST({a} AS DECIMAL(10,1)) = 1.5",
    "CAST({a} AS DOUBLE) >= 1.5",
    "TRY_CAST({a} AS REAL) = 1",
    "{a} = 1.5",
    "{a} < 2.5",
    "{a} > CAST(1.5 AS DECIMAL(4,2))",
    "{a} IN (1, 1.5, 2)",
    "abs({a}) > 1",
    "round({a}) = 2",
    "floor({a}) = {a}",
    "coalesce({a}, 0.5) > 0.1",
];

const TEXT: &[&str] = &[
    "{a} LIKE 'a%'",
    "{a} NOT LIKE '%b'",
    "{a} LIKE {b}",
    "{a} ILIKE 'A_'",
    "{a} LIKE '%\\%%'",
    "{a} ~ '.*'",
    "{a} ~ '^a'",
    "{a} !~ 'b$'",
    "{a} || {b} = 'ab'",
    "length({a}) > 1",
    "upper({a}) = upper({b})",
    "TRY_CAST({a} AS BIGINT) = 1",
    "CAST({a} AS BIGINT) = 1",
    "{a} ~ '^[0-9]+$' AND CAST({a} AS BIGINT) > 0",
    "substr({a}, 1, 1) IN ('a', 'A')",
    "starts_with({a}, {b})",
    "concat({a}, {b}) = ''",
    "trim({a}) = {a}",
];

const MOMENTS: &[&str] = &[
    "{a} - {b} > INTERVAL '1 day'",
    "{a} - {b} = INTERVAL '0 days'",
    "{a} + INTERVAL '1 day' > {b}",
    "{a} - INTERVAL '1 month' < {b}",
    "CAST({a} AS DATE) = DATE '2024-02-29'",
    "CAST({a} AS DATE) > {b}",
    "date_trunc('month', {a}) = TIMESTAMP '2024-02-01 00:00:00'",
    "extract(year FROM {a}) = 2024",
    "extract(month FROM {a}) IN (1, 2)",
    "{a} >= TIMESTAMP '1970-01-01 00:00:00.5001'",
    "{a} = TIMESTAMP '1970-01-01 00:00:00.5'",
    "CAST({a} AS TIMESTAMP(0)) = {a}",
    "CAST({a} AS TIMESTAMP(3)) < {b}",
];

const BOOLEANS: &[&str] = &[
    "{a}",
    "NOT {a}",
    "{a} AND {b}",
    "{a} OR {b}",
    "{a} IS TRUE",
    "{a} IS NOT FALSE",
    "{a} IS UNKNOWN",
    "{a} <> true",
    "{a} AND NOT {a}",
    "({a} OR {b}) AND ({a} OR NOT {b})",
    "CASE WHEN {a} THEN {b} ELSE NOT {b} END",
    "coalesce({a}, {b}, false)",
];

const GRIDS: &[Grid] = &[
    Grid {
        name: "BIGINT",
        values: &["0", "1", "-1", "2", "70000", "9223372036854775807", "-9223372036854775808"],
        own: NUMERIC,
    },
    Grid { name: "SMALLINT", values: &["0", "1", "-1", "2", "300", "32767", "-32768"], own: NUMERIC },
    Grid { name: "UBIGINT", values: &["0", "1", "2", "300", "18446744073709551615"], own: NUMERIC },
    Grid {
        name: "DOUBLE",
        values: &["0", "-0.0", "1", "1.5", "2.5", "-2.5", "NaN", "inf", "-inf", "1e300", "1e-20"],
        own: NUMERIC,
    },
    Grid { name: "REAL", values: &["0", "-0.0", "1", "0.1", "2.5", "NaN", "16777216"], own: NUMERIC },
    Grid {
        name: "DECIMAL(10,2)",
        values: &["0", "1.00", "1.50", "2.00", "2.49", "-1.50", "99999999.99"],
        own: NUMERIC,
    },
    Grid {
        name: "DECIMAL(38,10)",
        values: &["0", "1.5", "2.0000000001", "-1.5", "100000000000000000000"],
        own: NUMERIC,
    },
    Grid {
        name: "VARCHAR",
        values: &["", "a", "A", "ab", "b", "%", "a%", "\\", "1", "01", "ä", "a\nb", " a "],
        own: TEXT,
    },
    Grid { name: "BLOB", values: &["", "a", "ab", "b"], own: &[] },
    Grid { name: "BOOLEAN", values: &["true", "false"], own: BOOLEANS },
    Grid {
        name: "DATE",
        values: &["1970-01-01", "2024-02-29", "2024-03-01", "1969-12-31", "2023-12-31"],
        own: MOMENTS,
    },
    Grid {
        name: "TIMESTAMP",
        values: &[
            "1970-01-01 00:00:00",
            "1970-01-01 00:00:00.5",
            "1970-01-01 00:00:00.500001",
            "1969-12-31 23:59:59.999999",
            "2024-02-29 23:59:59.6",
            "2024-03-01 12:00:00",
        ],
        own: MOMENTS,
    },
    Grid {
        name: "TIMESTAMP(3)",
        values: &["1970-01-01 00:00:00", "1970-01-01 00:00:00.5", "2024-02-29 23:59:59.6", "2024-03-01 12:00:00"],
        own: MOMENTS,
    },
    Grid {
        name: "TIMESTAMPTZ",
        values: &["1970-01-01 00:00:00Z", "1970-01-01 00:00:00.5Z", "2024-02-29 23:59:59.6Z", "2024-03-01 12:00:00Z"],
        own: &["extract(year FROM {a}) = 2024", "{a} - {b} > INTERVAL '1 day'"],
    },
    Grid { name: "TIME", values: &["00:00:00", "12:30:00", "23:59:59.999999"], own: &[] },
    Grid { name: "BIGINT[]", values: &["[]", "[1]", "[1, 2]", "[2]"], own: &[] },
];

impl Grid {
    /// A value as an expression; the last one is NULL.
    fn literal(&self, at: usize) -> String {
        match self.values.get(at) {
            Some(value) if self.name.ends_with("[]") => format!("CAST({value} AS {})", self.name),
            Some(value) => format!("CAST('{value}' AS {})", self.name),
            None => format!("CAST(NULL AS {})", self.name),
        }
    }

    /// A condition with constants in the places of `{k}` and `{l}`.
    fn simple(&self, random: &mut Random) -> String {
        let from = if self.own.is_empty() || random.once_in(2) { CONDITIONS } else { self.own };
        let template = *random.pick(from);
        let (k, l) = (random.below(self.values.len() + 1), random.below(self.values.len() + 1));
        template.replace("{k}", &self.literal(k)).replace("{l}", &self.literal(l))
    }

    /// One condition, or two made one.
    fn condition(&self, random: &mut Random) -> String {
        let one = self.simple(random);
        if !random.once_in(3) {
            return one;
        }
        let other = self.simple(random);
        match random.below(4) {
            0 => format!("({one}) AND ({other})"),
            1 => format!("({one}) OR ({other})"),
            2 => format!("NOT (({one}) OR NOT ({other}))"),
            _ => format!("(({one}) AND ({other})) IS NOT FALSE"),
        }
    }

    /// Its own conditions and those of every type, each once.
    fn all_conditions(&self) -> Vec<String> {
        let value = |at: usize| self.literal(at % (self.values.len() + 1));
        let listed = CONDITIONS.iter().chain(self.own).enumerate();
        listed.map(|(at, template)| template.replace("{k}", &value(at)).replace("{l}", &value(at + 2))).collect()
    }

    /// So many conditions, drawn at random.
    fn conditions(&self, random: &mut Random, number: usize) -> Vec<String> {
        (0..number).map(|_| self.condition(random)).collect()
    }

    /// Every pair of values as a row; `hit` is for writing.
    fn create(&self, database: &Database) {
        let of = self.name;
        database.run(&format!("CREATE OR REPLACE TABLE t (id BIGINT PRIMARY KEY, a {of}, b {of}, hit BOOLEAN)"));
    }

    fn fill(&self, database: &Database) {
        let width = self.values.len() + 1;
        let row = |id: usize| format!("({id}, {}, {}, false)", self.literal(id / width), self.literal(id % width));
        let rows: Vec<String> = (0..width * width).map(row).collect();
        database.run(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
}

fn on_columns(condition: &str) -> String {
    condition.replace("{a}", "a").replace("{b}", "b")
}

/// A query of ids.
fn ids(database: &Database, sql: &str) -> Result<BTreeSet<u64>, Error> {
    let rows = database.query(sql)?;
    let ids: BTreeSet<u64> = rows.iter().map(|row| row.parse().expect("an id")).collect();
    assert_eq!(ids.len(), rows.len(), "{sql} repeats rows");
    Ok(ids)
}

/// A query of ids and truths.
fn worth(database: &Database, sql: &str) -> Result<Worth, Error> {
    let row = |row: String| {
        let (id, truth) = row.split_once(" | ").expect("two columns");
        (id.parse().expect("an id"), truth.parse().ok())
    };
    Ok(database.query(sql)?.into_iter().map(row).collect())
}

fn worth_is(worth: &Worth, wanted: Option<bool>) -> BTreeSet<u64> {
    worth.iter().filter(|(_, truth)| **truth == wanted).map(|(id, _)| *id).collect()
}

/// Differences, of which the first are shown.
#[derive(Default)]
struct Differences {
    cases: usize,
    found: Vec<String>,
}

impl Differences {
    /// Compares what a use of a condition gave with what it must; only that it fails is compared of failures.
    fn compare<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        got: &Result<T, Error>,
        wanted: &Result<T, Error>,
    ) {
        self.cases += 1;
        let differs = match (got, wanted) {
            (Ok(got), Ok(wanted)) => got != wanted,
            (Err(got), Err(_)) => got.code() >= 900,
            _ => true,
        };
        if differs {
            let text = |outcome: &Result<T, Error>| match outcome {
                Ok(value) => format!("{value:?}"),
                Err(error) => error.message(),
            };
            self.found.push(format!("{what}\n    gave {}\n    not  {}", text(got), text(wanted)));
        }
    }

    #[track_caller]
    fn none(self) {
        let (number, cases) = (self.found.len(), self.cases);
        let first: Vec<String> = self.found.into_iter().take(25).collect();
        assert!(first.is_empty(), "{number} of {cases} comparisons differ, the first of them:\n{}", first.join("\n"));
    }
}

/// Runs `compare` on so many conditions of every type, over a filled table.
fn over_all_types(number: usize, mut compare: impl FnMut(&Database, &Grid, &str, &mut Differences)) {
    let mut differences = Differences::default();
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for grid in GRIDS {
            let database = Database::new(1);
            grid.create(&database);
            grid.fill(&database);
            for condition in grid.conditions(&mut random, number) {
                compare(&database, grid, &on_columns(&condition), &mut differences);
            }
        }
    }
    differences.none();
}

/// Other places of a condition, which keep the rows where it is true.
const PLACES: [(&str, &str); 4] = [
    ("CASE", "SELECT id FROM t WHERE CASE WHEN {p} THEN 1 ELSE 0 END = 1"),
    ("HAVING", "SELECT id FROM t GROUP BY id, a, b HAVING {p}"),
    ("ON", "SELECT id FROM t JOIN (VALUES (1)) AS one (n) ON {p}"),
    ("FILTER", "SELECT id FROM (SELECT id, count(*) FILTER (WHERE {p}) AS n FROM t GROUP BY id) AS q WHERE n = 1"),
];

#[test]
fn where_gives_the_rows_of_which_select_says_that_the_condition_is_true() {
    let mut differences = Differences::default();
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for grid in GRIDS {
            let database = Database::new(1);
            grid.create(&database);
            grid.fill(&database);
            let listed = if seed == 0 { grid.all_conditions() } else { Vec::new() };
            for condition in listed.into_iter().chain(grid.conditions(&mut random, 8)) {
                let condition = on_columns(&condition);
                let known = worth(&database, &format!("SELECT id, {condition} AS p FROM t"));
                let wanted = known.map(|known| worth_is(&known, Some(true)));
                // A subquery is refused in ON and FILTER, as docs/sql.md says.
                let has_query = condition.contains("SELECT");
                let places = if has_query { &PLACES[..1] } else { &PLACES[..] };
                for (place, query) in [("WHERE", "SELECT id FROM t WHERE {p}"), *random.pick(places)] {
                    let got = ids(&database, &query.replace("{p}", &condition));
                    differences.compare(&format!("{} {place}: {condition}", grid.name), &got, &wanted);
                }
            }
        }
    }
    differences.none();
}

#[test]
fn a_condition_its_negation_and_its_being_null_part_the_table() {
    over_all_types(16, |database, grid, condition, differences| {
        let parts = "SELECT id FROM t WHERE {p} UNION ALL SELECT id FROM t WHERE NOT ({p}) \
                     UNION ALL SELECT id FROM t WHERE ({p}) IS NULL";
        let all = database.query("SELECT id FROM t ORDER BY id");
        let parted = database.query(&format!("{} ORDER BY id", parts.replace("{p}", condition)));
        // Where it fails on some row there is nothing to part.
        if parted.is_err() && database.query(&format!("SELECT {condition} AS p FROM t")).is_err() {
            return;
        }
        differences.compare(&format!("{}: {condition}", grid.name), &parted, &all);
    });
}

/// Conditions that rewrites have got wrong, and the rows where each is true.
const KNOWN: &[(&str, &[u64])] = &[
    ("CAST(d AS BIGINT) = 2", &[2, 3]),
    ("CAST(d AS BIGINT) <> 2", &[1, 5]),
    ("CAST(d AS BIGINT) < 2", &[1, 5]),
    ("CAST(d AS BIGINT) > 1", &[2, 3]),
    ("CAST(d AS BIGINT) IN (1, 2)", &[1, 2, 3]),
    ("CAST(d AS BIGINT) BETWEEN 2 AND 5", &[2, 3]),
    ("CAST(d AS DECIMAL(10,1)) = 1.5", &[1, 2]),
    ("CAST(d AS DECIMAL(10,0)) = 2", &[2, 3]),
    ("TRY_CAST(i AS SMALLINT) > 1", &[3]),
    ("TRY_CAST(i AS SMALLINT) IS NULL", &[1, 4]),
    ("i NOT IN (1) OR i NOT IN (2)", &[1, 2, 3, 5]),
    ("i IN (1) AND i IN (2)", &[]),
    ("NOT (i IN (1) AND i IN (2))", &[1, 2, 3, 5]),
    ("i <> i", &[]),
    ("i = i", &[1, 2, 3, 5]),
    ("s ~ '.*'", &[1, 2, 3, 5]),
    ("s LIKE '%'", &[1, 2, 3, 5]),
    ("ms >= TIMESTAMP '1970-01-01 00:00:00.5001'", &[3]),
    ("ms = TIMESTAMP '1970-01-01 00:00:00.5001'", &[]),
    ("ms <= TIMESTAMP '1970-01-01 00:00:00.4999'", &[1]),
    ("i NOT IN (SELECT i FROM t WHERE id = 4)", &[]),
    ("coalesce(d, 0.5) > 0.49", &[1, 2, 3, 4]),
];

#[test]
fn delete_and_update_lose_no_row_to_a_rewritten_condition() {
    let database = Database::new(1);
    database.run(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, d DECIMAL(10,2), i BIGINT, s VARCHAR, ms TIMESTAMP(3), hit BOOLEAN)",
    );
    database.run(
        "INSERT INTO t VALUES (1, 1.49, 70000, 'a', TIMESTAMP '1970-01-01 00:00:00', false),
                              (2, 1.50, 1, '', TIMESTAMP '1970-01-01 00:00:00.5', false),
                              (3, 2.00, 2, 'b', TIMESTAMP '1970-01-01 00:00:01', false),
                              (4, NULL, NULL, NULL, NULL, false),
                              (5, -2.50, 1, 'x\\y', NULL, false)",
    );
    database.run("CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM t");
    let mut differences = Differences::default();
    for (condition, rows) in KNOWN {
        let wanted = Ok(BTreeSet::from_iter(rows.iter().copied()));
        let rest = Ok((1..=5).filter(|id| !rows.contains(id)).collect());
        differences.compare(
            &format!("WHERE {condition}"),
            &ids(&database, &format!("SELECT id FROM t WHERE {condition}")),
            &wanted,
        );
        let uses = [
            (format!("DELETE FROM t WHERE {condition}"), "SELECT id FROM t", &rest),
            (format!("UPDATE t SET hit = true WHERE {condition}"), "SELECT id FROM t WHERE hit", &wanted),
        ];
        for (statement, look, wanted) in uses {
            database.run("BEGIN");
            let done = database.session.execute(&statement, &Params::none());
            let found = ids(&database, look);
            database.run("ROLLBACK");
            differences.compare(&statement, &done.and(found), wanted);
        }
    }
    differences.none();
    // Views are told of the rows that went, and of no others.
    assert_eq!(database.changed("DELETE FROM t WHERE i NOT IN (1) OR i NOT IN (2)"), 4);
    assert_eq!(database.rows("SELECT n FROM kept"), ["1"]);
}

#[test]
fn a_delete_takes_exactly_the_rows_where_its_condition_is_true() {
    over_all_types(12, |database, grid, condition, differences| {
        let known = worth(database, &format!("SELECT id, {condition} AS p FROM t"));
        let all = ids(database, "SELECT id FROM t").expect("a table can be read");
        database.run("BEGIN");
        let deleted = database.session.execute(&format!("DELETE FROM t WHERE {condition}"), &Params::none());
        let left = ids(database, "SELECT id FROM t").expect("a table can be read");
        database.run("ROLLBACK");
        let gone: BTreeSet<u64> = all.difference(&left).copied().collect();
        let changed = |outcome| match outcome {
            Outcome::Rows(rows) => rows as usize,
            other => panic!("DELETE changed no rows but gave {other:?}"),
        };
        let got = deleted.map(|outcome| (changed(outcome), gone));
        let wanted = known.map(|known| worth_is(&known, Some(true))).map(|rows| (rows.len(), rows));
        differences.compare(&format!("{} DELETE: {condition}", grid.name), &got, &wanted);
    });
}

#[test]
fn an_update_changes_exactly_the_rows_where_its_condition_is_true() {
    over_all_types(8, |database, grid, condition, differences| {
        let known = worth(database, &format!("SELECT id, {condition} AS p FROM t"));
        let wanted = known.map(|known| worth_is(&known, Some(true)));
        // The condition is about the row that is there, which has columns of the new row beside it.
        let upsert = format!(
            "INSERT INTO t SELECT id, b, a, hit FROM t ON CONFLICT (id) DO UPDATE SET hit = true WHERE {condition}"
        );
        for (statement, is_upsert) in [(format!("UPDATE t SET hit = true WHERE {condition}"), false), (upsert, true)] {
            if is_upsert && condition.contains("SELECT") {
                continue;
            }
            database.run("BEGIN");
            let updated = database.session.execute(&statement, &Params::none());
            let hit = ids(database, "SELECT id FROM t WHERE hit");
            database.run("ROLLBACK");
            differences.compare(&format!("{}: {statement}", grid.name), &updated.and(hit), &wanted);
        }
    });
}

#[test]
fn a_view_filters_by_a_condition_as_it_computes_it_and_as_a_query_that_runs_once() {
    let mut differences = Differences::default();
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for grid in GRIDS {
            let database = Database::new(2);
            grid.create(&database);
            let mut conditions: Vec<String> = grid.conditions(&mut random, 12).iter().map(|p| on_columns(p)).collect();
            // Views that skip say which rows fail: they are in neither.
            let skip = "WITH ('on_error' = 'skip')";
            let mut is_made = |at: usize, condition: &str| {
                let computing = format!("CREATE STREAM c{at} AS SELECT id, {condition} AS p FROM t {skip}");
                let filtering = format!("CREATE STREAM f{at} AS SELECT id FROM t WHERE {condition} {skip}");
                let made = |sql: &str| database.session.execute(sql, &Params::none()).map(drop);
                let (computing, filtering) = (made(&computing), made(&filtering));
                differences.compare(&format!("{} CREATE: {condition}", grid.name), &filtering, &computing);
                computing.is_ok() && filtering.is_ok()
            };
            let mut at = 0;
            conditions.retain(|condition| {
                let is_made = is_made(at, condition);
                at += usize::from(is_made);
                is_made
            });
            grid.fill(&database);
            for (at, condition) in conditions.iter().enumerate() {
                let computed = worth(&database, &format!("SELECT id, p FROM c{at}"));
                let filtered = ids(&database, &format!("SELECT id FROM f{at}"));
                let wanted = computed.as_ref().map(|known| worth_is(known, Some(true))).map_err(Clone::clone);
                differences.compare(&format!("{} a view WHERE {condition}", grid.name), &filtered, &wanted);
                let once = worth(&database, &format!("SELECT id, {condition} AS p FROM t"));
                if once.is_ok() {
                    differences.compare(&format!("{} a view of {condition}", grid.name), &computed, &once);
                }
            }
        }
    }
    differences.none();
}

#[test]
fn a_constant_is_worth_what_the_same_value_in_a_column_is() {
    let mut differences = Differences::default();
    for seed in seeds(1) {
        let mut random = Random::new(seed);
        for grid in GRIDS {
            let database = Database::new(1);
            grid.create(&database);
            grid.fill(&database);
            let width = grid.values.len() + 1;
            for condition in grid.conditions(&mut random, 12) {
                for _ in 0..2 {
                    let id = random.below(width * width);
                    let (a, b) = (grid.literal(id / width), grid.literal(id % width));
                    let constant = condition.replace("{a}", &a).replace("{b}", &b);
                    let folded = database.query(&format!("SELECT {constant} AS p"));
                    let read =
                        database.query(&format!("SELECT {} AS p FROM t WHERE id = {id}", on_columns(&condition)));
                    differences.compare(&format!("{} folded: {constant}", grid.name), &folded, &read);
                }
            }
        }
    }
    differences.none();
}
