//! Tests what statements are parsed to, and where and why texts are refused.

use expect_test::{Expect, expect};

use super::{CreateRelation, CreateView, Insert, Name, OnConflict, Statement, parse, type_name};
use crate::PlanError;

/// Compares each text and its outcome, on a line each, with `expected`.
fn check(texts: &[&str], expected: Expect) {
    let lines: Vec<String> = texts.iter().map(|sql| format!("{sql}\n  {}\n", outcome(sql))).collect();
    expected.assert_eq(&lines.concat());
}

fn outcome(sql: &str) -> String {
    match parse(sql) {
        Ok(statements) => statements.iter().map(|parsed| said(&parsed.statement)).collect::<Vec<_>>().join("\n  "),
        Err(error) => refusal(&error),
    }
}

/// Returns the kind of an error and its message.
fn refusal(error: &PlanError) -> String {
    let kind = match error {
        PlanError::Syntax { .. } => "syntax",
        PlanError::Invalid { .. } => "invalid",
        PlanError::NotMaintainable { .. } => "not maintainable",
        PlanError::InvalidSchema { .. } => "schema",
        PlanError::Connector { .. } => "connector",
        PlanError::Interrupted => "interrupted",
    };
    format!("{kind}: {error}")
}

fn name(name: &Name) -> String {
    if name.quoted { format!("\"{}\"", name.value) } else { name.value.clone() }
}

fn names(list: &[Name]) -> String {
    list.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn flags(list: &[(bool, &str)]) -> String {
    list.iter().filter(|(set, _)| *set).map(|(_, word)| format!(" {word}")).collect()
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the item after its word, or nothing if it is absent.
fn part<T: ToString>(word: &str, item: Option<T>) -> String {
    item.map(|item| format!(" {word} {}", item.to_string())).unwrap_or_default()
}

fn said(statement: &Statement) -> String {
    match statement {
        Statement::Query(query) => format!("query {query}"),
        Statement::CreateRelation(create) => relation(create),
        Statement::CreateTableAs(create) => {
            let flags = flags(&[(create.or_replace, "or replace"), (create.if_not_exists, "if not exists")]);
            format!("table {}{flags} from [{}]", name(&create.name), create.query_text)
        }
        Statement::CreateView(create) => view(create),
        Statement::Drop(drop) => {
            let flags = flags(&[(drop.if_exists, "if exists"), (drop.cascade, "cascade")]);
            format!("drop {:?} {}{flags}", drop.kind, name(&drop.name))
        }
        Statement::Insert(insert) => inserted(insert),
        Statement::Update(update) => {
            let (alias, set) = (part("as", update.alias.as_ref().map(name)), list(&update.assignments));
            format!("update {}{alias} set [{set}]{}", name(&update.table), part("where", update.selection.as_ref()))
        }
        Statement::Delete(delete) => {
            let alias = part("as", delete.alias.as_ref().map(name));
            format!("delete {}{alias}{}", name(&delete.table), part("where", delete.selection.as_ref()))
        }
        Statement::Truncate(table) => format!("truncate {}", name(table)),
        Statement::Explain(parsed) => format!("explain [{}] {}", parsed.text, said(&parsed.statement)),
        Statement::Describe(table) => format!("describe {}", name(table)),
        other => format!("{other:?}"),
    }
}

fn relation(create: &CreateRelation) -> String {
    let flags = flags(&[(create.or_replace, "or replace"), (create.if_not_exists, "if not exists")]);
    let columns = create.columns.iter().map(|column| {
        let null = if column.nullable { "" } else { " not null" };
        let default = part("default", column.default.as_ref());
        format!("{} {}{null}{default}", column.name, type_name(&column.data_type))
    });
    let columns: Vec<_> = columns.collect();
    let key = if create.primary_key.is_empty() { String::new() } else { format!(" key {:?}", create.primary_key) };
    let watermark = create.watermark.as_ref().map_or_else(String::new, |watermark| {
        format!(" watermark {}{}", watermark.column, part("less", watermark.delay.as_ref()))
    });
    format!("{:?} {}{flags} ({}){key}{watermark}", create.kind, name(&create.name), columns.join(", "))
}

fn view(create: &CreateView) -> String {
    let flags = flags(&[(create.or_replace, "or replace"), (create.if_not_exists, "if not exists")]);
    let columns = if create.columns.is_empty() { String::new() } else { format!(" ({})", names(&create.columns)) };
    let CreateView { kind, query_text, on_error, .. } = create;
    format!("{kind:?} {}{flags}{columns} as [{query_text}] on error {on_error:?}", name(&create.name))
}

fn inserted(insert: &Insert) -> String {
    let columns = insert.columns.as_ref().map(|columns| format!(" ({})", names(columns))).unwrap_or_default();
    let conflict = match &insert.conflict {
        OnConflict::Fail => String::new(),
        OnConflict::Replace => " or replace".to_owned(),
        OnConflict::DoNothing { target } => format!(" on ({}) nothing", names(target)),
        OnConflict::DoUpdate { target, assignments, selection } => {
            let selection = part("where", selection.as_ref());
            format!(" on ({}) set [{}]{selection}", names(target), list(assignments))
        }
    };
    format!("insert {}{columns} [{}]{conflict}", name(&insert.table), insert.source)
}

#[test]
fn sources_and_tables() {
    check(
        &[
            "CREATE SOURCE s (a BIGINT, b VARCHAR NOT NULL)",
            "create or replace source S (A bigint)",
            "CREATE SOURCE IF NOT EXISTS s (a INT)",
            "CREATE TABLE t (a INT PRIMARY KEY, b DOUBLE DEFAULT 1.5 + 2)",
            "CREATE TABLE t (a INT, b INT, PRIMARY KEY (b, A))",
            r#"CREATE TABLE "T x" ("A" INT, a INT, PRIMARY KEY ("A"))"#,
            "CREATE TABLE t (watermark INT, source INT, emit INT)",
            "CREATE TABLE t (a INT NULL)",
            "CREATE TABLE t AS SELECT 1 AS a",
            "CREATE OR REPLACE TABLE t AS (VALUES (1), (2))",
            "CREATE TABLE IF NOT EXISTS t AS WITH w AS (SELECT 1) SELECT * FROM w",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts)",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts)",
            r#"CREATE SOURCE s ("Ts" TIMESTAMP, a INT, WATERMARK FOR TS)"#,
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)",
            "CREATE SOURCE s (WATERMARK INT)",
        ],
        expect![[r#"
            CREATE SOURCE s (a BIGINT, b VARCHAR NOT NULL)
              Source s (a BIGINT, b VARCHAR not null)
            create or replace source S (A bigint)
              Source s or replace (a BIGINT)
            CREATE SOURCE IF NOT EXISTS s (a INT)
              Source s if not exists (a INTEGER)
            CREATE TABLE t (a INT PRIMARY KEY, b DOUBLE DEFAULT 1.5 + 2)
              Table t (a INTEGER not null, b DOUBLE default 1.5 + 2) key ["a"]
            CREATE TABLE t (a INT, b INT, PRIMARY KEY (b, A))
              Table t (a INTEGER not null, b INTEGER not null) key ["b", "a"]
            CREATE TABLE "T x" ("A" INT, a INT, PRIMARY KEY ("A"))
              Table "T x" (A INTEGER not null, a INTEGER) key ["A"]
            CREATE TABLE t (watermark INT, source INT, emit INT)
              Table t (watermark INTEGER, source INTEGER, emit INTEGER)
            CREATE TABLE t (a INT NULL)
              Table t (a INTEGER)
            CREATE TABLE t AS SELECT 1 AS a
              table t from [SELECT 1 AS a]
            CREATE OR REPLACE TABLE t AS (VALUES (1), (2))
              table t or replace from [(VALUES (1), (2))]
            CREATE TABLE IF NOT EXISTS t AS WITH w AS (SELECT 1) SELECT * FROM w
              table t if not exists from [WITH w AS (SELECT 1) SELECT * FROM w]
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts)
              Source s (ts TIMESTAMP) watermark ts
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts)
              Source s (ts TIMESTAMP) watermark ts
            CREATE SOURCE s ("Ts" TIMESTAMP, a INT, WATERMARK FOR TS)
              Source s (Ts TIMESTAMP, a INTEGER) watermark Ts
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
              Source s (ts TIMESTAMP) watermark ts less INTERVAL '5' SECOND
            CREATE SOURCE s (WATERMARK INT)
              Source s (watermark INTEGER)
        "#]],
    );
}

#[test]
fn sources_and_tables_refused() {
    check(
        &[
            "CREATE SOURCE s",
            "CREATE SOURCE s ()",
            "CREATE TABLE t (a INT,)",
            "CREATE TABLE t (a INT",
            "CREATE TABLE t (a INT b INT)",
            "CREATE TABLE t (a)",
            "CREATE TABLE t (a NOPE)",
            "CREATE TABLE t (a INT, a INT)",
            "CREATE TABLE t (a INT, A INT)",
            r#"CREATE TABLE t ("" INT)"#,
            r#"CREATE TABLE "" (a INT)"#,
            "CREATE TABLE main.t (a INT)",
            "CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)",
            "CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))",
            "CREATE TABLE t (a INT, PRIMARY KEY (b))",
            "CREATE TABLE t (a INT, PRIMARY KEY (a, A))",
            r#"CREATE TABLE t ("A" INT, "a" INT, "b" INT, PRIMARY KEY ("B"))"#,
            "CREATE TABLE t (a INT UNIQUE)",
            "CREATE TABLE t (a INT, UNIQUE (a))",
            "CREATE TABLE t (a INT CHECK (a > 0))",
            "CREATE TABLE t (a INT REFERENCES u (b))",
        ],
        expect![[r#"
            CREATE SOURCE s
              syntax: expected ( or AS, found end of statement at line 1, column 16
            CREATE SOURCE s ()
              schema: SOURCE s needs at least one column
            CREATE TABLE t (a INT,)
              syntax: expected identifier, found ) at line 1, column 23
            CREATE TABLE t (a INT
              syntax: expected , or ), found end of statement at line 1, column 22
            CREATE TABLE t (a INT b INT)
              syntax: expected , or ), found b at line 1, column 23
            CREATE TABLE t (a)
              syntax: expected a data type name, found ) at line 1, column 18
            CREATE TABLE t (a NOPE)
              schema: column a: type NOPE is not supported
            CREATE TABLE t (a INT, a INT)
              schema: column a is there twice
            CREATE TABLE t (a INT, A INT)
              schema: column a is there twice
            CREATE TABLE t ("" INT)
              schema: a column name cannot be empty
            CREATE TABLE "" (a INT)
              schema: a name cannot be empty
            CREATE TABLE main.t (a INT)
              invalid: main is not known: names have no schema or catalog
            CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)
              schema: t has more than one PRIMARY KEY
            CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))
              schema: t has more than one PRIMARY KEY
            CREATE TABLE t (a INT, PRIMARY KEY (b))
              schema: PRIMARY KEY names unknown column b
            CREATE TABLE t (a INT, PRIMARY KEY (a, A))
              schema: PRIMARY KEY names column a twice
            CREATE TABLE t ("A" INT, "a" INT, "b" INT, PRIMARY KEY ("B"))
              schema: PRIMARY KEY names unknown column B
            CREATE TABLE t (a INT UNIQUE)
              invalid: column option UNIQUE of a is not supported at line 1, column 23
            CREATE TABLE t (a INT, UNIQUE (a))
              invalid: constraint UNIQUE (a) is not supported at line 1, column 24
            CREATE TABLE t (a INT CHECK (a > 0))
              invalid: column option CHECK of a is not supported at line 1, column 23
            CREATE TABLE t (a INT REFERENCES u (b))
              invalid: column option REFERENCES of a is not supported at line 1, column 23
        "#]],
    );
}

#[test]
fn sources_and_connectors_refused() {
    check(
        &[
            "CREATE SOURCE s (a INT PRIMARY KEY)",
            "CREATE SOURCE s (a INT, PRIMARY KEY (a))",
            "CREATE SOURCE s AS SELECT 1",
            "CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT)",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR nope)",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts, WATERMARK FOR ts)",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts + INTERVAL '5' SECOND)",
            "CREATE SOURCE s (ts TIMESTAMP, u TIMESTAMP, WATERMARK FOR ts AS u - INTERVAL '5' SECOND)",
            "CREATE SOURCE s (ts TIMESTAMP, WATERMARK ts)",
            "CREATE SOURCE s (a INT) WITH (connector = 'kafka')",
            "CREATE SOURCE s FROM KAFKA ('topic' = 'x')",
            "CREATE LOOKUP TABLE l (a INT)",
            "CREATE SINK k FROM v",
            "CREATE INDEX i ON t (a)",
            "CREATE TEMPORARY TABLE t (a INT)",
            "CREATE 'x'",
            "CREATE",
        ],
        expect![[r#"
            CREATE SOURCE s (a INT PRIMARY KEY)
              schema: SOURCE s cannot have a PRIMARY KEY; use CREATE TABLE
            CREATE SOURCE s (a INT, PRIMARY KEY (a))
              schema: SOURCE s cannot have a PRIMARY KEY; use CREATE TABLE
            CREATE SOURCE s AS SELECT 1
              invalid: CREATE SOURCE takes columns, not a query
            CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT)
              invalid: OR REPLACE and IF NOT EXISTS exclude each other
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR nope)
              schema: WATERMARK names unknown column nope
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts, WATERMARK FOR ts)
              invalid: only one WATERMARK is possible
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts + INTERVAL '5' SECOND)
              invalid: WATERMARK FOR ts AS takes ts - <constant>
            CREATE SOURCE s (ts TIMESTAMP, u TIMESTAMP, WATERMARK FOR ts AS u - INTERVAL '5' SECOND)
              invalid: WATERMARK FOR ts AS takes ts - <constant>
            CREATE SOURCE s (ts TIMESTAMP, WATERMARK ts)
              schema: column watermark: type ts is not supported
            CREATE SOURCE s (a INT) WITH (connector = 'kafka')
              connector: SOURCE s needs a connector; there are none
            CREATE SOURCE s FROM KAFKA ('topic' = 'x')
              connector: SOURCE s needs a connector; there are none
            CREATE LOOKUP TABLE l (a INT)
              connector: CREATE LOOKUP TABLE needs a connector; there are none
            CREATE SINK k FROM v
              connector: CREATE SINK needs a connector; there are none
            CREATE INDEX i ON t (a)
              invalid: CREATE INDEX is not supported at line 1, column 8
            CREATE TEMPORARY TABLE t (a INT)
              invalid: CREATE TEMPORARY is not supported at line 1, column 8
            CREATE 'x'
              syntax: expected what to create, found 'x' at line 1, column 8
            CREATE
              syntax: expected what to create, found end of statement at line 1, column 7
        "#]],
    );
}

#[test]
fn views() {
    check(
        &[
            "CREATE VIEW v AS SELECT 1",
            "CREATE STREAM v AS SELECT a FROM t WHERE a > 1 ;",
            "CREATE MATERIALIZED VIEW v AS SELECT a FROM t",
            r#"CREATE OR REPLACE MATERIALIZED VIEW V (x, "Y") AS SELECT a, b FROM t"#,
            "create materialized view if not exists v as with w as (select 1) select * from w",
            "CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'skip')",
            "CREATE STREAM v AS SELECT a FROM t WITH (ON_ERROR = 'FAIL')",
            "CREATE STREAM v AS (SELECT a FROM t)",
            r#"CREATE VIEW stream AS SELECT 1 AS "view""#,
        ],
        expect![[r#"
            CREATE VIEW v AS SELECT 1
              View v as [SELECT 1] on error Fail
            CREATE STREAM v AS SELECT a FROM t WHERE a > 1 ;
              Stream v as [SELECT a FROM t WHERE a > 1] on error Fail
            CREATE MATERIALIZED VIEW v AS SELECT a FROM t
              MaterializedView v as [SELECT a FROM t] on error Fail
            CREATE OR REPLACE MATERIALIZED VIEW V (x, "Y") AS SELECT a, b FROM t
              MaterializedView v or replace (x, "Y") as [SELECT a, b FROM t] on error Fail
            create materialized view if not exists v as with w as (select 1) select * from w
              MaterializedView v if not exists as [with w as (select 1) select * from w] on error Fail
            CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'skip')
              Stream v as [SELECT a FROM t] on error Skip
            CREATE STREAM v AS SELECT a FROM t WITH (ON_ERROR = 'FAIL')
              Stream v as [SELECT a FROM t] on error Fail
            CREATE STREAM v AS (SELECT a FROM t)
              Stream v as [(SELECT a FROM t)] on error Fail
            CREATE VIEW stream AS SELECT 1 AS "view"
              View stream as [SELECT 1 AS "view"] on error Fail
        "#]],
    );
}

#[test]
fn views_refused() {
    check(
        &[
            "CREATE VIEW v",
            "CREATE VIEW v AS",
            "CREATE VIEW v AS INSERT INTO t VALUES (1)",
            "CREATE VIEW v () AS SELECT 1",
            "CREATE VIEW v AS SELECT a FROM t WITH ('on_error' = 'skip')",
            "CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'retry')",
            "CREATE STREAM v AS SELECT a FROM t WITH ('on_eror' = 'skip')",
            "CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'skip', 'on_error')",
            "CREATE STREAM v AS SELECT a FROM t WITH ('connector' = 'kafka')",
            "CREATE STREAM v WITH ('on_error' = 'skip') AS SELECT a FROM t",
            "CREATE STREAM v AS SELECT a FROM t EMIT CHANGES",
            "CREATE STREAM v AS SELECT a FROM t EMIT ON WINDOW CLOSE",
            "CREATE MATERIALIZED TABLE v AS SELECT 1",
            "CREATE STREAM v (a INT) AS SELECT 1",
        ],
        expect![[r#"
            CREATE VIEW v
              syntax: expected AS, found end of statement at line 1, column 14
            CREATE VIEW v AS
              syntax: expected a query, found end of statement at line 1, column 17
            CREATE VIEW v AS INSERT INTO t VALUES (1)
              syntax: expected a query, found INSERT at line 1, column 18
            CREATE VIEW v () AS SELECT 1
              syntax: expected identifier, found ) at line 1, column 16
            CREATE VIEW v AS SELECT a FROM t WITH ('on_error' = 'skip')
              invalid: a VIEW takes no options: it is not maintained
            CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'retry')
              invalid: on_error is 'fail' or 'skip', not 'retry'
            CREATE STREAM v AS SELECT a FROM t WITH ('on_eror' = 'skip')
              invalid: unknown option 'on_eror'
            CREATE STREAM v AS SELECT a FROM t WITH ('on_error' = 'skip', 'on_error')
              invalid: options are written WITH ('name' = 'value', ...)
            CREATE STREAM v AS SELECT a FROM t WITH ('connector' = 'kafka')
              connector: STREAM v needs a connector; there are none
            CREATE STREAM v WITH ('on_error' = 'skip') AS SELECT a FROM t
              connector: STREAM v needs a connector; there are none
            CREATE STREAM v AS SELECT a FROM t EMIT CHANGES
              invalid: EMIT is not supported at line 1, column 36
            CREATE STREAM v AS SELECT a FROM t EMIT ON WINDOW CLOSE
              invalid: EMIT is not supported at line 1, column 36
            CREATE MATERIALIZED TABLE v AS SELECT 1
              invalid: CREATE MATERIALIZED is not supported at line 1, column 8
            CREATE STREAM v (a INT) AS SELECT 1
              syntax: expected ), found INT at line 1, column 20
        "#]],
    );
}

#[test]
fn drops() {
    check(
        &[
            "DROP SOURCE s",
            "DROP TABLE IF EXISTS T CASCADE",
            "DROP VIEW v RESTRICT",
            r#"DROP STREAM "V""#,
            "DROP MATERIALIZED VIEW v",
            "DROP TABLE a, b",
            "DROP TABLE",
            "DROP",
            "DROP INDEX i",
            "DROP SINK k",
            "DROP TABLE a.b",
            "DROP TABLE IF NOT EXISTS a",
        ],
        expect![[r#"
            DROP SOURCE s
              drop Source s
            DROP TABLE IF EXISTS T CASCADE
              drop Table t if exists cascade
            DROP VIEW v RESTRICT
              drop View v
            DROP STREAM "V"
              drop Stream "V"
            DROP MATERIALIZED VIEW v
              drop MaterializedView v
            DROP TABLE a, b
              syntax: expected end of statement, found , at line 1, column 13
            DROP TABLE
              syntax: expected identifier, found end of statement at line 1, column 11
            DROP
              syntax: expected what to drop, found end of statement at line 1, column 5
            DROP INDEX i
              invalid: DROP INDEX is not supported at line 1, column 6
            DROP SINK k
              connector: DROP SINK needs a connector; there are none
            DROP TABLE a.b
              invalid: a is not known: names have no schema or catalog
            DROP TABLE IF NOT EXISTS a
              syntax: expected end of statement, found NOT at line 1, column 15
        "#]],
    );
}

#[test]
fn writes() {
    check(
        &[
            "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
            r#"INSERT INTO T (B, "C") SELECT * FROM u"#,
            "INSERT OR REPLACE INTO t VALUES (1)",
            "INSERT OR IGNORE INTO t VALUES (1)",
            "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (1) ON CONFLICT (K) DO NOTHING",
            "INSERT INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET n = n + excluded.n WHERE n < 5",
            "UPDATE t SET a = 1, b = b + 1 WHERE c",
            "UPDATE t AS x SET a = x.b",
            "DELETE FROM t",
            "DELETE FROM t AS x WHERE x.a = 1",
            "TRUNCATE TABLE t",
            "TRUNCATE t",
        ],
        expect![[r#"
            INSERT INTO t VALUES (1, 'a'), (2, NULL)
              insert t [VALUES (1, 'a'), (2, NULL)]
            INSERT INTO T (B, "C") SELECT * FROM u
              insert t (b, "C") [SELECT * FROM u]
            INSERT OR REPLACE INTO t VALUES (1)
              insert t [VALUES (1)] or replace
            INSERT OR IGNORE INTO t VALUES (1)
              insert t [VALUES (1)] on () nothing
            INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING
              insert t [VALUES (1)] on () nothing
            INSERT INTO t VALUES (1) ON CONFLICT (K) DO NOTHING
              insert t [VALUES (1)] on (k) nothing
            INSERT INTO t VALUES (1) ON CONFLICT (k) DO UPDATE SET n = n + excluded.n WHERE n < 5
              insert t [VALUES (1)] on (k) set [n = n + excluded.n] where n < 5
            UPDATE t SET a = 1, b = b + 1 WHERE c
              update t set [a = 1, b = b + 1] where c
            UPDATE t AS x SET a = x.b
              update t as x set [a = x.b]
            DELETE FROM t
              delete t
            DELETE FROM t AS x WHERE x.a = 1
              delete t as x where x.a = 1
            TRUNCATE TABLE t
              truncate t
            TRUNCATE t
              truncate t
        "#]],
    );
}

#[test]
fn writes_refused() {
    check(
        &[
            "INSERT INTO t DEFAULT VALUES",
            "INSERT INTO t VALUES (1) RETURNING a",
            "INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT c DO NOTHING",
            "INSERT INTO a.t VALUES (1)",
            "INSERT t",
            "INSERT OR FAIL INTO t VALUES (1)",
            "UPDATE t SET",
            "UPDATE t, u SET a = 1",
            "UPDATE t SET a = 1 FROM u",
            "UPDATE t JOIN u ON true SET a = 1",
            "UPDATE t SET a = 1 RETURNING a",
            "DELETE FROM t USING u",
            "DELETE FROM t, u",
            "DELETE FROM t RETURNING a",
            "TRUNCATE t, u",
        ],
        expect![[r#"
            INSERT INTO t DEFAULT VALUES
              invalid: INSERT with DEFAULT VALUES is not supported
            INSERT INTO t VALUES (1) RETURNING a
              invalid: INSERT with RETURNING is not supported
            INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT c DO NOTHING
              invalid: INSERT with ON CONSTRAINT is not supported
            INSERT INTO a.t VALUES (1)
              invalid: a.t is not known: names have no schema or catalog
            INSERT t
              syntax: expected SELECT, VALUES, or a subquery in the query body, found end of statement at line 1, column 9
            INSERT OR FAIL INTO t VALUES (1)
              invalid: INSERT with this conflict clause is not supported
            UPDATE t SET
              syntax: expected identifier, found end of statement at line 1, column 13
            UPDATE t, u SET a = 1
              syntax: expected SET, found , at line 1, column 9
            UPDATE t SET a = 1 FROM u
              invalid: UPDATE with FROM is not supported
            UPDATE t JOIN u ON true SET a = 1
              invalid: UPDATE with anything but one table is not supported
            UPDATE t SET a = 1 RETURNING a
              invalid: UPDATE with RETURNING is not supported
            DELETE FROM t USING u
              invalid: DELETE with USING is not supported
            DELETE FROM t, u
              invalid: DELETE with more than one table is not supported
            DELETE FROM t RETURNING a
              invalid: DELETE with RETURNING is not supported
            TRUNCATE t, u
              invalid: TRUNCATE with more than one table is not supported
        "#]],
    );
}

#[test]
fn other_statements() {
    check(
        &[
            "BEGIN",
            "START TRANSACTION",
            "BEGIN WORK",
            "COMMIT",
            "END TRANSACTION",
            "ROLLBACK",
            "EXPLAIN  SELECT  1 ",
            "EXPLAIN CREATE VIEW v AS SELECT 1",
            "DESCRIBE t",
            r#"DESC TABLE "T""#,
            "SHOW SOURCES",
            "SHOW materialized VIEWS",
            "SHOW STREAMS",
            "CHECKPOINT",
            "RESTORE FROM CHECKPOINT 17",
            "RESTORE FROM CHECKPOINT LATEST",
        ],
        expect![[r#"
            BEGIN
              Begin
            START TRANSACTION
              Begin
            BEGIN WORK
              Begin
            COMMIT
              Commit
            END TRANSACTION
              Commit
            ROLLBACK
              Rollback
            EXPLAIN  SELECT  1 
              explain [SELECT  1] query SELECT 1
            EXPLAIN CREATE VIEW v AS SELECT 1
              explain [CREATE VIEW v AS SELECT 1] View v as [SELECT 1] on error Fail
            DESCRIBE t
              describe t
            DESC TABLE "T"
              describe "T"
            SHOW SOURCES
              Show(Sources)
            SHOW materialized VIEWS
              Show(MaterializedViews)
            SHOW STREAMS
              Show(Streams)
            CHECKPOINT
              Checkpoint
            RESTORE FROM CHECKPOINT 17
              Restore(Checkpoint(17))
            RESTORE FROM CHECKPOINT LATEST
              Restore(Latest)
        "#]],
    );
}

#[test]
fn other_statements_refused() {
    check(
        &[
            "START",
            "BEGIN TRANSACTION READ ONLY",
            "EXPLAIN",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW COLUMNS",
            "SHOW",
            "DESCRIBE",
            "RESTORE",
            "RESTORE FROM CHECKPOINT",
            "RESTORE FROM CHECKPOINT -1",
            "SUBSCRIBE t",
            "ALTER TABLE t ADD COLUMN a INT",
            "set x = 1",
            "SELEC 1",
            r#""SELECT" 1"#,
            "1",
        ],
        expect![[r#"
            START
              syntax: expected TRANSACTION, found end of statement at line 1, column 6
            BEGIN TRANSACTION READ ONLY
              syntax: expected end of statement, found READ at line 1, column 19
            EXPLAIN
              syntax: expected a statement, found end of statement at line 1, column 8
            EXPLAIN ANALYZE SELECT 1
              invalid: EXPLAIN ANALYZE is not supported at line 1, column 9
            SHOW COLUMNS
              invalid: SHOW COLUMNS is not supported at line 1, column 6
            SHOW
              syntax: expected what to show, found end of statement at line 1, column 5
            DESCRIBE
              syntax: expected identifier, found end of statement at line 1, column 9
            RESTORE
              syntax: expected FROM, found end of statement at line 1, column 8
            RESTORE FROM CHECKPOINT
              syntax: expected a checkpoint number or LATEST, found end of statement at line 1, column 24
            RESTORE FROM CHECKPOINT -1
              syntax: expected a checkpoint number or LATEST, found - at line 1, column 25
            SUBSCRIBE t
              invalid: SUBSCRIBE is not supported at line 1, column 1
            ALTER TABLE t ADD COLUMN a INT
              invalid: ALTER is not supported at line 1, column 1
            set x = 1
              invalid: SET is not supported at line 1, column 1
            SELEC 1
              syntax: expected a statement, found SELEC at line 1, column 1
            "SELECT" 1
              syntax: expected a statement, found "SELECT" at line 1, column 1
            1
              syntax: expected a statement, found 1 at line 1, column 1
        "#]],
    );
}

const TYPES: &[&str] = &[
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "usmallint",
    "UINTEGER",
    "UBIGINT",
    "REAL",
    "FLOAT(24)",
    "FLOAT(25)",
    "DOUBLE PRECISION",
    "DECIMAL",
    "DECIMAL(5)",
    "NUMERIC(38, 38)",
    "TEXT",
    "VARCHAR(10)",
    "BLOB",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP(3)",
    "TIMESTAMP WITH TIME ZONE",
    "timestamp_ns",
    "INTERVAL",
    "INT[]",
    r#"STRUCT(a INT, "B" TEXT[])"#,
    "DECIMAL(39, 2)",
    "DECIMAL(3, 4)",
    "DECIMAL(0)",
    "TIMESTAMP(5)",
    "HUGEINT",
    "MAP(INT, INT)",
];

#[test]
fn types() {
    let line = |data_type: &&str| match parse(&format!("CREATE TABLE t (c {data_type})")) {
        Ok(parsed) => match &parsed[0].statement {
            Statement::CreateRelation(create) => format!("{data_type} = {}\n", type_name(&create.columns[0].data_type)),
            other => panic!("{data_type}: {other:?}"),
        },
        Err(error) => format!("{data_type}: {}\n", refusal(&error)),
    };
    expect![[r#"
        BOOLEAN = BOOLEAN
        TINYINT = TINYINT
        SMALLINT = SMALLINT
        INTEGER = INTEGER
        BIGINT = BIGINT
        UTINYINT = UTINYINT
        usmallint = USMALLINT
        UINTEGER = UINTEGER
        UBIGINT = UBIGINT
        REAL = REAL
        FLOAT(24) = REAL
        FLOAT(25) = DOUBLE
        DOUBLE PRECISION = DOUBLE
        DECIMAL = DECIMAL(38,9)
        DECIMAL(5) = DECIMAL(5,0)
        NUMERIC(38, 38) = DECIMAL(38,38)
        TEXT = VARCHAR
        VARCHAR(10) = VARCHAR
        BLOB = BLOB
        DATE = DATE
        TIME = TIME
        TIMESTAMP = TIMESTAMP
        TIMESTAMP(3) = TIMESTAMP(3)
        TIMESTAMP WITH TIME ZONE = TIMESTAMPTZ
        timestamp_ns = TIMESTAMP(9)
        INTERVAL = INTERVAL
        INT[] = INTEGER[]
        STRUCT(a INT, "B" TEXT[]) = STRUCT(a INTEGER, B VARCHAR[])
        DECIMAL(39, 2): schema: column c: DECIMAL(39, 2) is not possible: the precision is 1 to 38, the scale at most the precision
        DECIMAL(3, 4): schema: column c: DECIMAL(3, 4) is not possible: the precision is 1 to 38, the scale at most the precision
        DECIMAL(0): schema: column c: DECIMAL(0, 0) is not possible: the precision is 1 to 38, the scale at most the precision
        TIMESTAMP(5): schema: column c: type TIMESTAMP(5) is not supported
        HUGEINT: schema: column c: type HUGEINT is not supported
        MAP(INT, INT): schema: column c: type MAP(INT, INT) is not supported
    "#]].assert_eq(&TYPES.iter().map(line).collect::<String>());
}

#[test]
fn texts_of_statements_are_as_written() {
    let sql = "  -- first\n SELECT 1 -- one\n ; ;\n\tCREATE VIEW é AS\n  SELECT 'a;b' AS \"c;d\" /* ; */ , 2;\n";
    let texts: Vec<_> = parse(sql).expect("two statements").into_iter().map(|parsed| parsed.text).collect();
    assert_eq!(texts, ["SELECT 1", "CREATE VIEW é AS\n  SELECT 'a;b' AS \"c;d\" /* ; */ , 2"]);
}

#[test]
fn comments_are_space() {
    for sql in ["SELECT/**/1", "SELECT /* a /* nested */ b */ 1", "-- a\nSELECT 1--b", "SELECT 1 -- b ; SELECT 2"] {
        assert_eq!(outcome(sql), "query SELECT 1", "{sql}");
    }
    assert_eq!(outcome("SELECT '--' || '/*'"), "query SELECT '--' || '/*'");
    for sql in ["", "  \n", ";;", "-- nothing", "/* nothing */ ;"] {
        assert_eq!(outcome(sql), "invalid: Empty SQL statement", "{sql:?}");
    }
}

#[test]
fn positions_are_those_in_the_whole_text() {
    check(
        &[
            "SELECT 1;\n  SELEC 2",
            "SELECT 'é', (1",
            "SELECT 'é' 'x' FROM t WHERE",
            "SELECT 1;\nCREATE TABLE t (\n  a INT,\n  b INT c INT\n)",
            "SELECT 1 +;\nSELECT 2",
            "SELECT 1 FROM",
            "SELECT a FROM t GROUP a",
            "SELECT (SELECT 1",
            "SELECT 1)",
            "SELECT 1 2",
            "SELECT 'abc",
            "SELECT 1;\n SELECT 'abc",
            "SELECT \"abc",
            "SELECT /* abc",
            "SELECT $$abc",
            "SELECT 'it''s', 'abc",
            "SELECT #",
            "SELECT a FROM t\nWHERE\n  )",
        ],
        expect![[r#"
            SELECT 1;
              SELEC 2
              syntax: expected a statement, found SELEC at line 2, column 3
            SELECT 'é', (1
              syntax: expected ), found end of statement at line 1, column 15
            SELECT 'é' 'x' FROM t WHERE
              syntax: expected an expression, found end of statement at line 1, column 28
            SELECT 1;
            CREATE TABLE t (
              a INT,
              b INT c INT
            )
              syntax: expected , or ), found c at line 4, column 9
            SELECT 1 +;
            SELECT 2
              syntax: expected an expression, found end of statement at line 1, column 11
            SELECT 1 FROM
              syntax: expected identifier, found end of statement at line 1, column 14
            SELECT a FROM t GROUP a
              syntax: expected end of statement, found GROUP at line 1, column 17
            SELECT (SELECT 1
              syntax: expected ), found end of statement at line 1, column 17
            SELECT 1)
              syntax: expected end of statement, found ) at line 1, column 9
            SELECT 1 2
              syntax: expected end of statement, found 2 at line 1, column 10
            SELECT 'abc
              syntax: unterminated string literal at line 1, column 8
            SELECT 1;
             SELECT 'abc
              syntax: unterminated string literal at line 2, column 9
            SELECT "abc
              syntax: expected close delimiter '"' before the end of the text at line 1, column 8
            SELECT /* abc
              syntax: unexpected the end of the text while in a multi-line comment at line 1, column 14
            SELECT $$abc
              syntax: strings between $$ are not supported at line 1, column 8
            SELECT 'it''s', 'abc
              syntax: unterminated string literal at line 1, column 17
            SELECT #
              syntax: expected an expression, found # at line 1, column 8
            SELECT a FROM t
            WHERE
              )
              syntax: expected an expression, found ) at line 3, column 3
        "#]],
    );
}

#[test]
fn parameters_are_numbered_through_the_text() {
    let parameters = |sql: &str| -> Vec<String> {
        parse(sql).expect("it parses").into_iter().map(|parsed| parsed.parameters.join(" ")).collect()
    };
    assert_eq!(parameters("SELECT ?, '?', ?; SELECT 1; DELETE FROM t WHERE a = ?"), ["1 2", "", "3"]);
    assert_eq!(parameters("SELECT $2, $name, $2"), ["2 name"]);
    let explained = parse("EXPLAIN SELECT ?").expect("it parses").swap_remove(0);
    let Statement::Explain(inner) = explained.statement else { panic!("not an EXPLAIN") };
    assert_eq!((explained.parameters, inner.parameters), (vec!["1".to_owned()], vec!["1".to_owned()]));
}

#[test]
fn only_reads_are_reads() {
    let read = |sql: &str| parse(sql).expect("it parses")[0].statement.is_read();
    for sql in ["SELECT 1", "VALUES (1)", "(SELECT 1)", "SHOW TABLES", "DESCRIBE t", "EXPLAIN SELECT 1"] {
        assert!(read(sql), "{sql}");
    }
    for sql in ["DROP TABLE t", "DELETE FROM t", "BEGIN", "CHECKPOINT", "CREATE TABLE t AS SELECT 1"] {
        assert!(!read(sql), "{sql}");
    }
}

#[test]
fn literals_and_operators_are_those_of_the_dialect() {
    check(
        &[
            "SELECT 1_000, 1e3, .5, E'a\\nb', 'it''s', X'0aFF', DATE '2020-01-01', INTERVAL '1' DAY",
            "SELECT a::INT, a ~ 'x', a !~* 'y', a ILIKE 'z', a[1], [1, 2], {'k': 1}",
            "SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM t",
            "SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY c) = 1",
            "SELECT DISTINCT ON (a) b FROM t ORDER BY a LIMIT 1 OFFSET 2",
            "SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ALL",
            "FROM t SELECT a",
            "SELECT a, FROM t",
            "SELECT `a`",
            "SELECT [a FROM t",
        ],
        expect![[r#"
            SELECT 1_000, 1e3, .5, E'a\nb', 'it''s', X'0aFF', DATE '2020-01-01', INTERVAL '1' DAY
              query SELECT 1_000, 1e3, .5, 'a
            b', 'it''s', X'0aFF', DATE '2020-01-01', INTERVAL '1' DAY
            SELECT a::INT, a ~ 'x', a !~* 'y', a ILIKE 'z', a[1], [1, 2], {'k': 1}
              query SELECT a::INT, a ~ 'x', a !~* 'y', a ILIKE 'z', a[1], [1, 2], {'k': 1}
            SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM t
              query SELECT * EXCLUDE (a) REPLACE (b + 1 AS b) FROM t
            SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY c) = 1
              query SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY c) = 1
            SELECT DISTINCT ON (a) b FROM t ORDER BY a LIMIT 1 OFFSET 2
              query SELECT DISTINCT ON (a) b FROM t ORDER BY a LIMIT 1 OFFSET 2
            SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ALL
              query SELECT count(*) FILTER (WHERE a > 1) FROM t GROUP BY ALL
            FROM t SELECT a
              syntax: expected a statement, found FROM at line 1, column 1
            SELECT a, FROM t
              syntax: expected an expression, found FROM at line 1, column 16
            SELECT `a`
              syntax: expected an expression, found ` at line 1, column 8
            SELECT [a FROM t
              syntax: expected ], found FROM at line 1, column 11
        "#]],
    );
}

/// Nesting is limited, so no text can exhaust the stack; what is within the limit can be parsed on any thread.
#[test]
fn depth_is_limited() {
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    let queries = |depth: usize| format!("{}SELECT 1{}", "SELECT * FROM (".repeat(depth), ")".repeat(depth));
    let negated = |depth: usize| format!("SELECT {}true", "NOT ".repeat(depth));
    let chain = |link: &str, count: usize| format!("SELECT 1{}", link.repeat(count));
    let (sum, union) = (" + 1", " UNION ALL SELECT 1");
    for text in [nested(100), queries(5), queries(60), negated(100), chain(sum, 3_000), chain(union, 3_000)] {
        parse(&text).unwrap_or_else(|error| panic!("{error}"));
    }
    let error = |text: &str| parse(text).expect_err("it is too deep").to_string();
    for text in [nested(1_000), queries(1_000), negated(500), negated(10_000), "(".repeat(100_000)] {
        assert_eq!(error(&text), "the statement is nested too deeply (limit 300)", "{}", &text[..40]);
    }
    for text in [chain(sum, 100_000), chain(union, 3_001), chain(" AND 1", 10_000)] {
        assert_eq!(error(&text), "the statement is nested too deeply (limit 3000)", "{}", &text[..40]);
    }
    assert_eq!(
        error(&"EXPLAIN ".repeat(100_000)),
        "expected a statement to explain, found EXPLAIN at line 1, column 9"
    );
    // A long text, but not a deep one.
    let rows = format!("VALUES {}(1)", "(1 + 1, -2), ".repeat(10_000));
    parse(&rows).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_question_mark_is_named_as_it_is_written() {
    let cases = [
        ("SELECT ? FROM ?", "expected identifier, found ? at line 1, column 15"),
        ("SELECT ?? 1", "expected end of statement, found ? at line 1, column 9"),
        ("SELECT 1 $1", "expected end of statement, found $1 at line 1, column 10"),
        ("SELECT a FROM t WHERE a BETWEEN ? ?", "expected AND, found ? at line 1, column 35"),
    ];
    for (sql, message) in cases {
        let error = parse(sql).expect_err(sql);
        assert!(error.to_string().contains(message), "{sql}: {error}");
    }
}
