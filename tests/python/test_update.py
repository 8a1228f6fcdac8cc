"""update: changes the given columns of the rows whose keys are given (API section 5.4)."""

from __future__ import annotations

import random
import threading
from types import ModuleType
from typing import Any

import laminardb
import pytest
from laminardb import codes


@pytest.fixture
def keyed(conn: laminardb.Connection) -> laminardb.Connection:
    conn.execute("CREATE TABLE k (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL, n BIGINT DEFAULT 7)")
    conn.insert("k", {"id": [1, 2, 3], "name": ["a", "b", "c"], "n": [10, 20, 30]})
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT count(*) AS rows, sum(n) AS total FROM k")
    return conn


def rows(conn: laminardb.Connection) -> list[tuple[Any, ...]]:
    return conn.sql("SELECT * FROM k ORDER BY id").fetchall()


def test_only_the_given_columns_change(keyed: laminardb.Connection) -> None:
    before = keyed.current_time
    assert keyed.update("k", {"id": 2, "n": 21}) == 1
    assert keyed.update("k", [{"id": 1, "name": "A"}, {"n": None, "ID": 3}]) == 2
    assert keyed.current_time == before + 2
    assert rows(keyed) == [(1, "A", 10), (2, "b", 21), (3, "c", None)]
    keyed.wait(timeout=60)
    assert keyed.sql("SELECT * FROM v").fetchall() == [(3, 31)]


def test_keys_that_are_not_there_are_skipped(keyed: laminardb.Connection) -> None:
    before = keyed.current_time
    assert keyed.update("k", {"id": [1, 9], "n": [11, 99]}) == 1
    assert keyed.update("k", {"id": 9, "n": 1}) == 0
    assert keyed.update("k", iter([])) == 0
    assert keyed.update("k", {"id": [], "n": []}) == 0
    assert keyed.update("k", {"id": [1, 2]}) == 2, "the rows are there, and nothing changes in them"
    assert keyed.current_time == before + 1
    assert rows(keyed) == [(1, "a", 11), (2, "b", 20), (3, "c", 30)]


def test_the_last_row_for_a_key_decides_each_column(keyed: laminardb.Connection) -> None:
    given = [{"id": 1, "n": 1}, {"id": 1, "name": "x"}, {"id": 1, "n": 2}, {"id": 2, "n": 5}, {"id": 2, "n": None}]
    assert keyed.update("k", given) == 2
    assert rows(keyed) == [(1, "x", 2), (2, "b", None), (3, "c", 30)]


def test_every_form_that_insert_takes(
    keyed: laminardb.Connection, pa: ModuleType, pd: ModuleType, pl: ModuleType
) -> None:
    columns = {"id": [1, 3], "n": [1, 3]}
    for step, data in enumerate([columns, pa.table(columns), pd.DataFrame(columns), pl.DataFrame(columns)]):
        assert keyed.update("k", data) == 2, step
        assert rows(keyed) == [(1, "a", 1), (2, "b", 20), (3, "c", 3)]
        keyed.insert("k", {"id": [1, 3], "name": ["a", "c"], "n": [0, 0]})


def test_what_is_refused_changes_nothing(keyed: laminardb.Connection) -> None:
    before = rows(keyed)
    for data, code in (
        ({"n": 1}, codes.INGESTION_FAILED),
        ([{"id": 1, "n": 1}, {"n": 1}], codes.INGESTION_FAILED),
        ({"id": None, "n": 1}, codes.INGESTION_FAILED),
        ([{"id": 1, "n": 1}, {"id": 2, "name": None}], codes.INGESTION_FAILED),
        ({"id": 9, "name": None}, codes.INGESTION_FAILED),
        ({"id": 1, "n": "x"}, codes.BATCH_SCHEMA_MISMATCH),
        ({"id": 1, "n": 2**63}, codes.BATCH_SCHEMA_MISMATCH),
        ({"id": 1, "nope": 1}, codes.BATCH_SCHEMA_MISMATCH),
        ({"id": 1, "n": 1, "N": 2}, codes.BATCH_SCHEMA_MISMATCH),
        ([1], codes.INGESTION_FAILED),
    ):
        with pytest.raises(laminardb.IngestionError) as error:
            keyed.update("k", data)
        assert error.value.code == code, data
    for data in ([], {}, None, 1, "x", (1, 2)):
        with pytest.raises(TypeError):
            keyed.update("k", data)
    assert rows(keyed) == before
    assert keyed.update("k", {"id": 1, "n": 1, "nope": 1}, extra="ignore") == 1


def test_only_tables_with_a_key_are_updated(keyed: laminardb.Connection) -> None:
    keyed.execute("CREATE TABLE bag (id BIGINT)")
    keyed.execute("CREATE SOURCE log (id BIGINT)")
    for name, code in (("bag", 202), ("log", 202), ("v", 202), ("nope", 200)):
        with pytest.raises(laminardb.SchemaError) as error:
            keyed.update(name, {"id": 1})
        assert error.value.code == code


def test_a_key_of_several_columns_and_minus_zero(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE k (id DOUBLE, b VARCHAR, n BIGINT, PRIMARY KEY (b, id))")
    conn.insert("k", [{"id": 0.0, "b": "x", "n": 1}, {"id": 1.0, "b": "x", "n": 2}])
    assert conn.update("k", {"id": -0.0, "b": "x", "n": 3}) == 1
    assert repr(rows(conn)) == "[(0.0, 'x', 3), (1.0, 'x', 2)]"
    with pytest.raises(laminardb.IngestionError) as error:
        conn.update("k", {"b": "x", "n": 3})
    assert error.value.code == codes.INGESTION_FAILED


def test_a_transaction_updates_its_own_rows(keyed: laminardb.Connection) -> None:
    with keyed.transaction() as tx:
        tx.insert("k", {"id": 4, "name": "d"})
        assert tx.update("k", {"id": [1, 4], "n": [0, 40]}) == 2
        assert tx.update("k", {"id": 4, "name": "D"}) == 1
        tx.delete("k", {"id": 1})
        assert tx.update("k", {"id": 1, "n": 5}) == 0
    assert rows(keyed) == [(2, "b", 20), (3, "c", 30), (4, "D", 40)]
    keyed.execute("BEGIN")
    assert keyed.update("k", {"id": 2, "n": 0}) == 1
    keyed.execute("ROLLBACK")
    assert rows(keyed)[0] == (2, "b", 20)


def test_no_update_is_lost_beside_others(keyed: laminardb.Connection) -> None:
    def change(column: str) -> None:
        for step in range(50):
            keyed.update("k", {"id": [1, 2, 3], column: [str(step) if column == "name" else step] * 3})

    threads = [threading.Thread(target=change, args=(column,)) for column in ("name", "n")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(keyed) == [(n, "49", 49) for n in (1, 2, 3)]


def test_a_table_replaced_meanwhile_is_updated_or_refused(keyed: laminardb.Connection) -> None:
    keyed.execute("DROP MATERIALIZED VIEW v")
    stop = threading.Event()

    def replace() -> None:
        for _ in range(50):
            keyed.execute("CREATE OR REPLACE TABLE k (id BIGINT PRIMARY KEY, name VARCHAR NOT NULL, n BIGINT)")
        stop.set()

    thread = threading.Thread(target=replace)
    thread.start()
    while not stop.is_set():
        assert keyed.update("k", {"id": [1, 2], "n": [0, 0]}) in (0, 2)
    thread.join()


@pytest.mark.parametrize("seed", range(20))
def test_random_updates_are_those_of_a_dict(conn: laminardb.Connection, seed: int) -> None:
    draw = random.Random(seed)
    conn.create_table("k", {"id": "int64", "a": "int64", "b": "string"}, primary_key="id")
    conn.execute("CREATE MATERIALIZED VIEW v AS SELECT a, b, count(*) AS n FROM k GROUP BY a, b")
    model: dict[int, dict[str, Any]] = {}
    for _ in range(20):
        given = [
            {"id": draw.randrange(8)}
            | ({"a": draw.choice([None, 1, 2])} if draw.random() < 0.7 else {})
            | ({"b": draw.choice([None, "x", "y"])} if draw.random() < 0.7 else {})
            for _ in range(draw.randrange(1, 6))
        ]
        if draw.random() < 0.4:
            conn.insert("k", given)
            model |= {row["id"]: {"a": None, "b": None} | row for row in given}
        else:
            assert conn.update("k", given) == len({row["id"] for row in given} & model.keys())
            for row in given:
                if row["id"] in model:
                    model[row["id"]] |= row
        expected = [(row["id"], row["a"], row["b"]) for _, row in sorted(model.items())]
        assert rows(conn) == expected
    conn.wait(timeout=60)
    groups = conn.sql("SELECT a, b, count(*) AS n FROM k GROUP BY a, b").fetchall()
    assert sorted(conn.sql("SELECT * FROM v").fetchall(), key=repr) == sorted(groups, key=repr)
