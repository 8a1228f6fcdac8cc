"""Random tables, writes and views against DuckDB: after every step a view equals its query, and so do its changes.

Every case prints its seed. `LAMINARDB_TEST_SEED=n` runs one case alone, `LAMINARDB_TEST_CASES_FACTOR=n` n times as many.
"""

from __future__ import annotations

import datetime
import decimal
import math
import os
import random
from collections import Counter
from typing import Any

import duckdb
import laminardb
import pytest

CASES = 15 * int(os.environ.get("LAMINARDB_TEST_CASES_FACTOR", "1"))
SEEDS = [int(os.environ["LAMINARDB_TEST_SEED"])] if "LAMINARDB_TEST_SEED" in os.environ else list(range(1, CASES + 1))
STEPS = 12

Row = tuple[Any, ...]

TABLES = {
    "a": (
        "CREATE TABLE a (id BIGINT PRIMARY KEY, k BIGINT, v BIGINT, f DOUBLE, s VARCHAR)",
        ("id", "k", "v", "f", "s"),
    ),
    "b": ("CREATE TABLE b (k BIGINT, w BIGINT, s VARCHAR)", ("k", "w", "s")),
    "c": ("CREATE {source} c (k BIGINT, x BIGINT, f DOUBLE)", ("k", "x", "f")),
    "e": (
        "CREATE TABLE e (k BIGINT, g DOUBLE, n DECIMAL(10, 2), t BOOLEAN, d DATE, m TIMESTAMP)",
        ("k", "g", "n", "t", "d", "m"),
    ),
}

# Each view must have one answer: ties of a top-k are broken by a key.
VIEWS = [
    "SELECT id, k, v FROM a WHERE v > 1 OR s IS NULL",
    "SELECT id, v * 2 + k AS e, coalesce(s, '?') AS s, CASE WHEN v > 0 THEN 'p' WHEN v < 0 THEN 'n' END AS c FROM a",
    "SELECT k, w FROM b WHERE s LIKE 'x%' OR w IN (1, 3)",
    "SELECT k, count(*) AS n, count(v) AS c, sum(v) AS t, min(v) AS lo, max(v) AS hi FROM a GROUP BY k",
    "SELECT k, avg(f) AS m, sum(f) AS t, min(s) AS lo, max(s) AS hi FROM a GROUP BY k",
    "SELECT count(*) AS n, sum(v) AS t, min(f) AS lo, max(s) AS hi, avg(v) AS m FROM a",
    "SELECT count(*) AS n, sum(w) AS t FROM b WHERE w > 100",
    "SELECT k, count(DISTINCT v) AS d, sum(DISTINCT v) AS t FROM a GROUP BY k",
    "SELECT k, count(*) FILTER (WHERE v > 1) AS n, sum(v) FILTER (WHERE s IS NOT NULL) AS t FROM a GROUP BY k",
    "SELECT k, sum(v) AS t FROM a GROUP BY k HAVING count(*) > 1",
    "SELECT k, s, count(*) AS n FROM b GROUP BY k, s",
    "SELECT k + 1 AS j, max(w) - min(w) AS r FROM b GROUP BY k + 1",
    "SELECT a.id, a.v, b.w FROM a JOIN b ON a.k = b.k",
    "SELECT a.id, b.w FROM a JOIN b ON a.k = b.k AND a.v < b.w",
    "SELECT a.id, b.w FROM a LEFT JOIN b ON a.k = b.k",
    "SELECT a.id, b.w FROM a LEFT JOIN b ON a.k = b.k AND a.v < b.w",
    "SELECT a.id, b.k, b.w FROM a RIGHT JOIN b ON a.k = b.k",
    "SELECT a.id, a.k AS ak, b.k AS bk, b.w FROM a FULL JOIN b ON a.k = b.k",
    "SELECT a.id, b.w FROM a FULL JOIN b ON a.k = b.k AND a.v > b.w",
    "SELECT a.id, b.w FROM a JOIN b ON a.k IS NOT DISTINCT FROM b.k",
    "SELECT a.id, b.w FROM a JOIN b ON a.v < b.w",
    "SELECT a.id, c.x FROM a CROSS JOIN c WHERE a.v = c.x + 1",
    "SELECT a.id, b.w, c.x FROM a JOIN b ON a.k = b.k JOIN c ON c.k = b.k",
    "SELECT x.id, y.id AS other FROM a x JOIN a y ON x.k = y.v",
    "SELECT a.k, count(*) AS n, sum(b.w) AS t FROM a JOIN b ON a.k = b.k GROUP BY a.k",
    "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k)",
    "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.w > a.v)",
    "SELECT id FROM a WHERE k IN (SELECT k FROM b)",
    "SELECT id FROM a WHERE k NOT IN (SELECT k FROM b WHERE k IS NOT NULL)",
    "SELECT id FROM a WHERE k NOT IN (SELECT k FROM b)",
    "SELECT id FROM a WHERE v > (SELECT avg(w) FROM b)",
    "SELECT DISTINCT k, s FROM a",
    "SELECT DISTINCT w FROM b WHERE w IS NOT NULL",
    "SELECT k, v FROM a UNION ALL SELECT k, w FROM b",
    "SELECT k FROM a UNION SELECT k FROM b",
    "SELECT k FROM a EXCEPT SELECT k FROM b",
    "SELECT k FROM a INTERSECT SELECT k FROM b",
    "SELECT k FROM a EXCEPT ALL SELECT k FROM b",
    "SELECT k FROM b INTERSECT ALL SELECT k FROM c",
    "SELECT id, v FROM a ORDER BY v DESC NULLS LAST, id LIMIT 3",
    "SELECT id, f FROM a ORDER BY f NULLS FIRST, id DESC LIMIT 2 OFFSET 1",
    "SELECT k, t FROM (SELECT k, sum(v) AS t FROM a GROUP BY k) q ORDER BY t DESC NULLS LAST, k NULLS LAST LIMIT 2",
    "SELECT n, count(*) AS m FROM (SELECT k, count(*) AS n FROM b GROUP BY k) q GROUP BY n",
    "WITH q AS (SELECT k, sum(v) AS t FROM a GROUP BY k) SELECT x.k, y.k AS j FROM q x JOIN q y ON x.t = y.t",
    "SELECT q.k, q.t, b.w FROM (SELECT k, sum(x) AS t FROM c GROUP BY k) q LEFT JOIN b ON q.k = b.k",
    "SELECT k, x FROM c WHERE f > 0",
    "SELECT k, g, n, t, d, m FROM e WHERE t OR d > DATE '2024-01-01'",
    "SELECT -n AS o, n + n AS p, NOT t AS u, d + 1 AS v, m + INTERVAL '1 hour' AS w FROM e",
    "SELECT k, date_trunc('month', m) AS w, extract(year FROM d) AS y, CAST(m AS DATE) AS j FROM e",
    "SELECT k, g FROM e WHERE g > 0 OR g = 0 OR g IS NULL",
    "SELECT g, count(*) AS c, min(d) AS lo, max(m) AS hi FROM e GROUP BY g",
    "SELECT n, t, count(DISTINCT d) AS c, bool_and(t) AS o, bool_or(t) FILTER (WHERE k > 1) AS p FROM e GROUP BY n, t",
    "SELECT k, min(g) AS lo, max(g) AS hi, sum(n) AS s, min(n) AS l, max(t) AS h FROM e GROUP BY k",
    "SELECT count(g) AS c, sum(n) AS s, sum(DISTINCT n) AS r, avg(k) AS a, max(d) AS hi FROM e",
    "SELECT k, stddev_pop(f) AS p, stddev_samp(f) AS s, var_pop(v) AS q, var_samp(v) AS r FROM a GROUP BY k",
    "SELECT s, avg(v) FILTER (WHERE f > 0) AS m, avg(DISTINCT v) AS o FROM a GROUP BY s",
    "SELECT min(s) AS lo, max(s) FILTER (WHERE v > 0) AS hi FROM a",
    "SELECT DISTINCT g, t FROM e",
    "SELECT DISTINCT d, n FROM e",
    "SELECT g AS h FROM e EXCEPT SELECT f FROM c",
    "SELECT g AS h FROM e UNION SELECT f FROM c",
    "SELECT d, t FROM e INTERSECT ALL SELECT d, NOT t FROM e",
    "SELECT x.k, y.n FROM e x JOIN e y ON x.g = y.g",
    "SELECT x.k, y.d FROM e x LEFT JOIN e y ON x.d = y.d AND x.n < y.n",
    "SELECT x.k, y.t FROM e x FULL JOIN e y ON x.m = y.m AND x.t = y.t",
    "SELECT x.k, y.g FROM e x JOIN e y ON x.n IS NOT DISTINCT FROM y.n AND x.k = y.k",
    "SELECT k, d, m FROM e WHERE n IN (SELECT n FROM e WHERE t)",
    "SELECT k, g, d FROM e ORDER BY g DESC NULLS LAST, d NULLS LAST, k NULLS LAST LIMIT 4",
    "SELECT k, d FROM e x WHERE EXISTS (SELECT 1 FROM e y WHERE y.d = x.d AND y.t <> x.t)",
    "SELECT k, count(*) AS n, sum(f) AS t, max(x) AS hi FROM c GROUP BY k",
    "SELECT k, s, count(*) AS n, sum(v) AS t, grouping(k, s) AS g FROM a GROUP BY ROLLUP (k, s)",
    "SELECT k, g, max(d) AS hi, count(DISTINCT n) AS c FROM e GROUP BY t, CUBE (k, g)",
    "SELECT a.k, b.s, count(*) AS n FROM a LEFT JOIN b ON a.k = b.k GROUP BY GROUPING SETS ((a.k, b.s), (b.s), ())",
]

ON_VIEWS = [
    "SELECT k, count(*) AS m FROM {view} GROUP BY k",
    "SELECT DISTINCT k FROM {view}",
    "SELECT v.k, b.w FROM {view} v JOIN b ON v.k = b.k",
    "SELECT k FROM {view} WHERE k > 1",
]


NAN = "the one NaN"


def plain(value: Any) -> Any:
    """Numbers that are equal look equal; there is one NaN, one zero, and twelve digits of a DOUBLE."""
    if isinstance(value, float):
        return NAN if math.isnan(value) else float(f"{value:.12g}") + 0.0
    if isinstance(value, decimal.Decimal) and value == value.to_integral_value():
        return int(value)
    return value


def bag(rows: list[Row]) -> Counter[Row]:
    return Counter(tuple(plain(value) for value in row) for row in rows)


class Twin:
    """The same tables in laminardb and in DuckDB."""

    def __init__(self, rng: random.Random, workers: int) -> None:
        self.rng = rng
        config = laminardb.LaminarConfig(workers=workers)
        self.conn = laminardb.open(":memory:", config=config)
        self.duck = duckdb.connect()
        self.log: list[str] = []
        for create, _ in TABLES.values():
            self.conn.execute(create.format(source="SOURCE"))
            self.duck.execute(create.format(source="TABLE"))

    def value(self, column: str) -> Any:
        rng = self.rng
        if column == "id":
            return rng.randrange(12)
        if rng.random() < 0.15:
            return None
        if column == "f":
            return rng.randrange(-8, 9) / 4
        if column == "g":
            return rng.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5, 0.1, 1e300])
        if column == "n":
            return decimal.Decimal(rng.choice(["0.00", "-1.50", "0.10", "12345678.90"]))
        if column == "t":
            return rng.random() < 0.5
        if column == "d":
            return rng.choice([datetime.date(1969, 12, 31), datetime.date(2024, 2, 29), datetime.date(2024, 3, 1)])
        if column == "m":
            return rng.choice([datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), datetime.datetime(2024, 2, 29)])
        if column == "s":
            return rng.choice(["", "x", "xy", "z", "ü"])
        return rng.randrange(-1, 5)

    def rows(self, table: str, count: int) -> list[dict[str, Any]]:
        columns = TABLES[table][1]
        return [{column: self.value(column) for column in columns} for _ in range(count)]

    def insert(self, table: str) -> None:
        rows = self.rows(table, self.rng.choice([1, 1, 2, 5, 20]))
        if self.rng.random() < 0.5:
            self.conn.insert(table, rows)
        else:
            self.conn.insert(table, {column: [row[column] for row in rows] for column in rows[0]})
        verb = "INSERT OR REPLACE" if table == "a" else "INSERT"
        for row in rows:
            marks = ", ".join("?" for _ in row)
            self.duck.execute(f"{verb} INTO {table} VALUES ({marks})", list(row.values()))
        self.log.append(f"insert {table} {rows}")

    def delete_keys(self) -> None:
        keys = [self.rng.randrange(12) for _ in range(self.rng.choice([1, 3]))]
        self.conn.delete("a", {"id": keys})
        self.duck.execute("DELETE FROM a WHERE id = ANY(?)", [keys])
        self.log.append(f"delete a {keys}")

    def delete_rows(self) -> None:
        there = self.duck.execute("SELECT k, w, s FROM b").fetchall()
        gone = self.rng.sample(there, min(len(there), self.rng.choice([1, 2])))
        if not gone:
            return
        self.conn.delete("b", [dict(zip(TABLES["b"][1], row, strict=True)) for row in gone])
        for row in gone:
            same = "k IS NOT DISTINCT FROM ? AND w IS NOT DISTINCT FROM ? AND s IS NOT DISTINCT FROM ?"
            self.duck.execute(f"DELETE FROM b WHERE rowid = (SELECT min(rowid) FROM b WHERE {same})", list(row))
        self.log.append(f"delete b {gone}")

    def statement(self) -> None:
        number = self.rng.randrange(5)
        sql = self.rng.choice(
            [
                f"UPDATE a SET v = v + 1, s = NULL WHERE k = {number}",
                f"UPDATE b SET k = w, w = k WHERE w > {number}",
                f"DELETE FROM a WHERE v = {number} OR k IS NULL",
                f"DELETE FROM b WHERE w = {number}",
                f"INSERT INTO b SELECT k, v, s FROM a WHERE v > {number}",
                f"UPDATE e SET n = n + 1, t = NOT t, d = d + 1 WHERE k = {number} OR g > {number}",
                f"DELETE FROM e WHERE k = {number} OR t",
                f"INSERT INTO c VALUES ({number}, {number} + 1, 0.5), (NULL, 2, NULL)",
            ]
        )
        changed = self.conn.execute(sql).rows_affected
        found = self.duck.execute(sql).fetchone()
        assert found is not None
        assert changed == found[0], sql
        self.log.append(sql)

    def step(self) -> None:
        choice = self.rng.random()
        if choice < 0.6:
            self.insert(self.rng.choice(list(TABLES)))
        elif choice < 0.75:
            self.delete_keys()
        elif choice < 0.85:
            self.delete_rows()
        else:
            self.statement()


class View:
    """A maintained view, its definition, and what its subscription has told so far."""

    def __init__(self, twin: Twin, name: str, sql: str) -> None:
        self.name, self.sql, self.twin = name, sql, twin
        twin.conn.execute(f"CREATE MATERIALIZED VIEW {name} AS {sql}")
        twin.duck.execute(f"CREATE VIEW {name} AS {sql}")
        twin.log.append(f"view {name} AS {sql}")
        self.columns = twin.conn.query_stream(name).columns
        self.sub = twin.conn.subscribe_stream(name, snapshot=True)
        self.state: Counter[Row] = Counter()
        self.time = 0

    def drop(self) -> None:
        """While somebody is subscribed, who hears of it."""
        self.twin.conn.execute(f"DROP MATERIALIZED VIEW {self.name}")
        self.twin.duck.execute(f"DROP VIEW {self.name}")
        self.twin.log.append(f"drop {self.name}")
        with pytest.raises(laminardb.SubscriptionError):
            list(self.sub)

    def check(self) -> None:
        expected = bag(self.twin.duck.execute(f"SELECT * FROM {self.name}").fetchall())
        read = bag(self.twin.conn.sql(f"SELECT * FROM {self.name}").fetchall())
        assert read == expected, f"view {self.sql}"
        ad_hoc = bag(self.twin.conn.sql(self.sql).fetchall())
        assert ad_hoc == expected, f"ad hoc {self.sql}"
        while (batch := self.sub.try_next()) is not None:
            self.take(batch)
        assert self.state == expected, f"changes {self.sql}"

    def take(self, batch: laminardb.ChangeBatch) -> None:
        assert len(batch) > 0
        assert batch.time > self.time or batch.is_snapshot, "times come in order, each once"
        self.time = batch.time
        net: Counter[Row] = Counter()
        ops = batch.ops
        rows = [tuple(plain(value) for value in row) for row in batch]
        for place, (op, row) in enumerate(zip(ops, rows, strict=True)):
            net[row] += 1 if op.endswith("Insert") else -1
            if op == "UpdateDelete":
                assert ops[place + 1] == "UpdateInsert"
                assert rows[place + 1] != row
        assert sum(abs(count) for count in net.values()) == len(rows), "changes are net"
        for row, count in net.items():
            self.state[row] += count
            assert self.state[row] >= 0, "a row that is not there was taken away"
        self.state = +self.state


def run(seed: int) -> None:
    rng = random.Random(seed)
    twin = Twin(rng, rng.choice([1, 1, 2, 4]))
    views: list[View] = []
    read: set[str] = set()
    try:
        for step in range(STEPS):
            if step in (0, STEPS // 2):
                for sql in rng.sample(VIEWS, 4):
                    views.append(View(twin, f"v{len(views)}", sql))
                readable = [view.name for view in views if "k" in view.columns]
                if readable:
                    read.add(rng.choice(readable))
                    sql = rng.choice(ON_VIEWS).format(view=sorted(read)[-1])
                    views.append(View(twin, f"v{len(views)}", sql))
            twin.step()
            if rng.random() < 0.3:
                twin.step()
            if rng.random() < 0.3:
                at = rng.choice([at for at, view in enumerate(views) if view.sql in VIEWS and view.name not in read])
                views[at].drop()
                views[at] = View(twin, views[at].name, rng.choice(VIEWS))
            twin.conn.wait()
            for view in views:
                view.check()
    except BaseException as error:
        error.add_note(f"seed {seed}, workers {twin.conn!r}:\n" + "\n".join(twin.log))
        raise
    finally:
        twin.conn.close()
        twin.duck.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_views_equal_recomputation(seed: int) -> None:
    print(f"seed {seed}")
    run(seed)


@pytest.mark.parametrize("sql", VIEWS)
def test_every_kind_of_view(sql: str) -> None:
    """Each definition alone, so that one that is wrong shows by its name."""
    twin = Twin(random.Random(VIEWS.index(sql)), 1)
    view = View(twin, "v", sql)
    for _ in range(8):
        twin.step()
        twin.conn.wait()
        view.check()
    twin.conn.close()
