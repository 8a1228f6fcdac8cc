"""What `stalls.py` measures others beside: each scenario prepares a database and gives the steps to be measured.

Sizes stand for 5,000,000 rows and shrink with `--rows`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy
import pyarrow

import laminardb

Figures = dict[str, float]
FULL = 5_000_000


@dataclass
class Scene:
    """A database and the number of rows of its big tables."""

    conn: laminardb.Connection
    rows: int
    _random: numpy.random.Generator = field(default_factory=lambda: numpy.random.default_rng(14))

    def scaled(self, full: int, least: int = 10) -> int:
        """What `full` is at this number of rows, but at least `least`."""
        return max(least, full * self.rows // FULL)

    def numbers(self, rows: int) -> pyarrow.Table:
        """Rows of a big table: `k` counts, `g` has groups of about 50 rows, and `v` is random."""
        groups = max(1, rows // 50)
        columns = {
            "k": numpy.arange(rows),
            "g": self._random.integers(0, groups, rows),
            "v": self._random.integers(0, rows, rows),
        }
        return pyarrow.table(columns)

    def fill(self, name: str, rows: int) -> None:
        """Makes a big table without a key, and waits until its rows are in."""
        self.conn.execute(f"CREATE TABLE {name} (k BIGINT, g BIGINT, v BIGINT)")
        self.conn.insert(name, self.numbers(rows))
        self.conn.wait()

    def sides(self, rows: int) -> None:
        """Makes two tables whose rows all have one key: each row of one joins all rows of the other."""
        for name in ("lefts", "rights"):
            self.conn.execute(f"CREATE TABLE {name} (k BIGINT, g BIGINT)")
            columns = {"k": numpy.arange(rows), "g": numpy.zeros(rows, dtype="int64")}
            self.conn.insert(name, pyarrow.table(columns))
        self.conn.wait()


@dataclass(frozen=True)
class Step:
    """Something to be measured. `run` may give figures of its own, in seconds.

    What goes on for ever is left running with `settles=False`: the next step begins while bystanders still wait for it.
    """

    name: str
    run: Callable[[], Figures | None]
    settles: bool = True


def executed(scene: Scene, name: str, sql: str) -> Step:
    """A step that executes a statement and waits until all views have its result."""

    def run() -> Figures:
        start = time.perf_counter()
        scene.conn.execute(sql)
        called = time.perf_counter() - start
        scene.conn.wait()
        return {"call": called}

    return Step(name, run)


def asked(scene: Scene, name: str, query: str) -> Step:
    """A step that runs a query once."""

    def run() -> None:
        scene.conn.sql(query)

    return Step(name, run)


def lifetime(scene: Scene, what: str, query: str) -> list[Step]:
    """A view that is created, read for the first time, and dropped.

    The first read waits if the view is not complete when `wait()` has returned.
    """
    return [
        executed(scene, f"create {what}", f"CREATE MATERIALIZED VIEW watched AS {query}"),
        asked(scene, f"first read of {what}", "SELECT * FROM watched LIMIT 1"),
        executed(scene, f"drop {what}", "DROP MATERIALIZED VIEW watched"),
    ]


VIEWS = {
    "min_max": "SELECT g, min(v) AS low, max(v) AS high FROM big GROUP BY g",
    "top_3": """SELECT g, v, k FROM (SELECT g, v, k, row_number() OVER (PARTITION BY g ORDER BY v DESC, k) AS place
        FROM big) AS placed WHERE place <= 3""",
    "order_limit": "SELECT k, v FROM big ORDER BY v DESC, k LIMIT 10",
    "join": "SELECT big.k AS k, v, name FROM big JOIN names ON big.g = names.g",
    "distinct": "SELECT DISTINCT v FROM big",
    "group_each": "SELECT k, count(*) AS n, sum(v) AS total FROM big GROUP BY k",
    "union": "SELECT k FROM big UNION SELECT v FROM big",
    "except": "SELECT k FROM big EXCEPT SELECT v FROM big",
    "over_view": "SELECT n, max(total) AS most FROM sums GROUP BY n",
}


def view(name: str) -> Callable[[Scene], list[Step]]:
    """The scenario of one of the views."""

    def scenario(scene: Scene) -> list[Step]:
        scene.fill("big", scene.rows)
        if name == "join":
            scene.conn.execute("CREATE TABLE names (g BIGINT PRIMARY KEY, name VARCHAR)")
            groups = numpy.arange(max(1, scene.rows // 50))
            scene.conn.insert("names", pyarrow.table({"g": groups, "name": groups.astype(str)}))
        if name == "over_view":
            scene.conn.execute(f"CREATE MATERIALIZED VIEW sums AS {VIEWS['group_each']}")
        scene.conn.wait()
        return lifetime(scene, name, VIEWS[name])

    return scenario


PAIRS = "SELECT lefts.k AS a, rights.k AS b FROM lefts JOIN rights ON lefts.g = rights.g"
# The comparison makes it count pairs: rows of one key alone could be counted on each side.
COUNTED = "SELECT count(*) AS n FROM lefts JOIN rights ON lefts.g = rights.g AND lefts.k <> rights.k"


def idle(scene: Scene) -> list[Step]:
    """Nothing is done: what is measured then is the noise of the machine and of Python."""
    return [Step("nothing", lambda: time.sleep(max(0.3, 5 * scene.rows / FULL)))]


def hot_key(query: str) -> Callable[[Scene], list[Step]]:
    """A join of 10,000 rows with 10,000 rows that all have one key, as a view."""

    def scenario(scene: Scene) -> list[Step]:
        rows = scene.scaled(10_000)
        scene.sides(rows)
        return lifetime(scene, f"join of {rows:,} x {rows:,}", query)

    return scenario


def hot_key_once(scene: Scene) -> list[Step]:
    """The number of pairs of two tables of 10,000 rows that all have one key, run once."""
    rows = scene.scaled(10_000)
    scene.sides(rows)
    return [asked(scene, f"count of {rows:,} x {rows:,}, once", COUNTED)]


def runaway(query: str, last: str) -> Callable[[Scene], list[Step]]:
    """A view of 300,000 x 300,000 rows that nobody can wait for, and the end of it: a DROP or `shutdown()`."""

    def scenario(scene: Scene) -> list[Step]:
        rows = scene.scaled(300_000)
        scene.sides(rows)
        what = f"runaway {rows:,} x {rows:,}"

        def create() -> Figures:
            start = time.perf_counter()
            scene.conn.execute(f"CREATE MATERIALIZED VIEW watched AS {query}")
            called = time.perf_counter() - start
            time.sleep(max(0.3, 3 * scene.rows / FULL))
            return {"call": called}

        def end() -> None:
            if last == "drop":
                scene.conn.execute("DROP MATERIALIZED VIEW watched")
            else:
                scene.conn.shutdown()

        return [Step(f"create {what}", create, settles=False), Step(f"{last} of it", end)]

    return scenario


def writes(full: int, *queries: str) -> Callable[[Scene], list[Step]]:
    """A table of `full` rows is filled, changed and emptied, under views of some queries."""

    def scenario(scene: Scene) -> list[Step]:
        rows = scene.scaled(full)
        data = scene.numbers(rows)
        scene.conn.execute("CREATE TABLE mass (k BIGINT PRIMARY KEY, g BIGINT, v BIGINT)")
        for idx, query in enumerate(queries):
            scene.conn.execute(f"CREATE MATERIALIZED VIEW over_{idx} AS {query}")

        def insert() -> Figures:
            start = time.perf_counter()
            scene.conn.insert("mass", data)
            called = time.perf_counter() - start
            scene.conn.wait()
            return {"call": called}

        return [
            Step(f"insert {rows:,}", insert),
            executed(scene, f"update {rows:,}", "UPDATE mass SET v = v + 1"),
            executed(scene, f"delete {rows:,}", "DELETE FROM mass WHERE k >= 0"),
            Step(f"insert {rows:,} again", insert),
            executed(scene, f"truncate {rows:,}", "TRUNCATE mass"),
        ]

    return scenario


OVER_MASS = (
    "SELECT g, count(*) AS n, sum(v) AS total FROM mass GROUP BY g",
    "SELECT g, min(v) AS low, max(v) AS high FROM mass GROUP BY g",
)


def checkpoint(scene: Scene) -> list[Step]:
    """An image of a table with a view over it is written, and read back."""
    scene.fill("big", scene.rows)
    scene.conn.execute("CREATE MATERIALIZED VIEW sums AS SELECT g, sum(v) AS total FROM big GROUP BY g")
    scene.conn.wait()
    rows = f"{scene.rows:,}"

    def restore() -> Figures:
        start = time.perf_counter()
        scene.conn.restore()
        called = time.perf_counter() - start
        scene.conn.wait()
        return {"call": called}

    def save() -> None:
        scene.conn.checkpoint()

    return [Step(f"checkpoint {rows}", save), Step(f"restore {rows}", restore)]


def queries(scene: Scene) -> list[Step]:
    """Two queries that run for long, once each."""
    scene.fill("big", scene.rows)
    few = ", ".join(f"({number})" for number in range(5))
    pairs = f"SELECT count(*) AS n FROM big CROSS JOIN (VALUES {few}) AS few(x)"
    return [
        asked(scene, f"count of {scene.rows:,} x 5, once", pairs),
        asked(scene, "group by v, once", "SELECT v, count(*) AS n, sum(k) AS total FROM big GROUP BY v"),
    ]


def wide_join(scene: Scene) -> list[Step]:
    """A join of 60 small tables is explained, created and dropped."""
    tables = 60
    for number in range(tables):
        scene.conn.execute(f"CREATE TABLE t{number} (k BIGINT PRIMARY KEY, v BIGINT)")
        scene.conn.insert(f"t{number}", {"k": list(range(10)), "v": list(range(10))})
    scene.conn.wait()
    joined = " ".join(f"JOIN t{number} ON t{number}.k = t{number - 1}.k" for number in range(1, tables))
    query = f"SELECT t0.k AS k, t{tables - 1}.v AS v FROM t0 {joined}"

    def explain() -> None:
        scene.conn.explain(query)

    return [Step(f"explain join of {tables}", explain), *lifetime(scene, f"join of {tables}", query)]


def many_views(scene: Scene) -> list[Step]:
    """A thousand views over one table, and single rows through all of them."""
    count = scene.scaled(1_000, 5)
    scene.conn.execute("CREATE TABLE hub (k BIGINT PRIMARY KEY, v BIGINT)")

    def create() -> Figures:
        for number in range(count):
            query = f"SELECT k % 16 AS part, sum(v + {number}) AS total FROM hub GROUP BY k % 16"
            scene.conn.execute(f"CREATE MATERIALIZED VIEW hub_{number} AS {query}")
        scene.conn.wait()
        return {}

    def rows() -> Figures:
        subscription = scene.conn.subscribe(f"SELECT * FROM hub_{count // 2}", snapshot=False)
        inserts, deliveries = [], []
        for key in range(200):
            start = time.perf_counter()
            scene.conn.insert("hub", {"k": key, "v": 1})
            inserts.append(time.perf_counter() - start)
            subscription.next()
            deliveries.append(time.perf_counter() - start)
        subscription.cancel()
        inserts.sort()
        deliveries.sort()
        return {
            "own insert p50": inserts[100],
            "own insert worst": inserts[-1],
            "own delivery p50": deliveries[100],
            "own delivery worst": deliveries[-1],
        }

    return [Step(f"create {count:,} views", create), Step(f"200 rows through {count:,} views", rows)]


SCENARIOS: dict[str, Callable[[Scene], Any]] = {
    "idle": idle,
    **{name: view(name) for name in VIEWS},
    "hot_key_once": hot_key_once,
    "hot_key_count": hot_key(COUNTED),
    "hot_key_pairs": hot_key(PAIRS),
    "runaway_drop": runaway(PAIRS, "drop"),
    "runaway_shutdown": runaway(PAIRS, "shutdown"),
    "runaway_count_drop": runaway(COUNTED, "drop"),
    "writes_1m": writes(1_000_000),
    "writes_1m_views": writes(1_000_000, *OVER_MASS),
    "writes_5m": writes(5_000_000),
    "writes_5m_views": writes(5_000_000, *OVER_MASS),
    "checkpoint": checkpoint,
    "queries": queries,
    "wide_join": wide_join,
    "many_views": many_views,
}
