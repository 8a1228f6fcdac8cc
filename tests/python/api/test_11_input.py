"""Section 11 of the Python contract: what is taken as rows. Most of it is in test_insert.py and test_text.py."""

from __future__ import annotations

import datetime as dt
import decimal
from types import ModuleType
from typing import Any

import laminardb
import pytest
from expect import fails

NAN = float("nan")


@pytest.fixture
def table(conn: laminardb.Connection) -> laminardb.Connection:
    conn.create_table("t", {"a": "int64", "b": "string"})
    return conn


def rows(conn: laminardb.Connection) -> list[tuple[Any, ...]]:
    return conn.sql("SELECT * FROM t").fetchall()


def test_a_filtered_frame_has_no_index(table: laminardb.Connection, pd: ModuleType) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]}, index=["p", "q", "r"])
    assert table.insert("t", frame[frame.a > 1]) == 2
    assert table.insert("t", frame.set_index("a", drop=False)) == 3
    assert rows(table) == [(2, "y"), (3, "z"), (1, "x"), (2, "y"), (3, "z")]


def test_array_capsules(table: laminardb.Connection, pa: ModuleType) -> None:
    class Array:
        """Only an array capsule."""

        def __arrow_c_array__(self, requested_schema: object = None) -> object:
            return pa.record_batch({"b": ["x"], "a": [1]}).__arrow_c_array__(requested_schema)

    assert table.insert("t", Array()) == 1
    assert rows(table) == [(1, "x")]


def test_an_array_capsule_that_is_no_struct(table: laminardb.Connection, pa: ModuleType) -> None:
    with pytest.raises(TypeError):
        table.insert("t", pa.array([1, 2]))


@pytest.mark.parametrize(
    ("data", "word"),
    [([], "empty list"), ({}, "empty dict"), (5, "int"), (None, "NoneType"), ("x", "str"), ((1,), "tuple")],
)
def test_what_is_no_data_is_a_type_error(table: laminardb.Connection, data: Any, word: str) -> None:
    for call in (table.insert, table.writer("t").insert):
        args = ("t", data) if call == table.insert else (data,)
        with pytest.raises(TypeError, match=word):
            call(*args)


@pytest.mark.parametrize("data", [[1], [{"a": 1}, 2], [[1, "x"]], {1: 2}, [{1: 2}], {"a": 1, 2: 3}])
def test_malformed_rows(table: laminardb.Connection, data: Any) -> None:
    with fails(laminardb.IngestionError, 300):
        table.insert("t", data)


def test_columns_of_other_lengths_are_named(table: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError) as caught:
        table.insert("t", {"a": [1, 2, 3], "b": ["x"]})
    assert caught.value.code == 300
    assert "3" in str(caught.value)
    assert "1" in str(caught.value)


def check_message(table: laminardb.Connection, data: Any) -> None:
    with pytest.raises(laminardb.IngestionError) as caught:
        table.insert("t", data)
    for part in ("'a'", "row 2", "seven"):
        assert part in str(caught.value)
    assert "eight" not in str(caught.value)
    assert rows(table) == []


def test_the_message_names_column_row_and_value(table: laminardb.Connection) -> None:
    check_message(table, [{"a": 1}, {"a": 2}, {"a": "seven"}, {"a": "eight"}])
    check_message(table, {"a": [1, 2, "seven", "eight"]})


def test_the_message_names_column_row_and_value_of_a_frame(table: laminardb.Connection, pd: ModuleType) -> None:
    check_message(table, pd.DataFrame({"a": pd.Series([1, 2, "seven", "eight"], dtype=object)}))


def test_a_row_of_a_relation_with_lists(conn: laminardb.Connection, pa: ModuleType) -> None:
    conn.create_table("t", pa.schema([("a", pa.int64()), ("l", pa.list_(pa.int64()))]))
    conn.insert("t", {"a": 1, "l": [1, 2]})
    conn.insert("t", {"a": [2, 3], "l": [[1], [2, 3]]})
    conn.insert("t", [{"a": 4, "l": [9, 9]}])
    assert rows(conn) == [(1, [1, 2]), (2, [1]), (3, [2, 3]), (4, [9, 9])]


def test_a_missing_column_is_its_default_or_null(conn: laminardb.Connection) -> None:
    conn.execute("CREATE SOURCE t (a BIGINT DEFAULT 5, b VARCHAR, c DOUBLE DEFAULT 0.5)")
    conn.insert("t", [{"b": "x"}, {"a": None, "c": 1}])
    conn.insert("t", {"b": ["y"]})
    conn.insert_json("t", '{"b": "z"}')
    conn.insert_csv("t", "b\nw\n")
    assert rows(conn) == [(5, "x", 0.5), (None, None, 1.0), (5, "y", 0.5), (5, "z", 0.5), (5, "w", 0.5)]


FORMS: list[Any] = [
    {"a": 1, "c": 2},
    [{"a": 1}, {"c": 2}],
    {"a": [1], "c": [2]},
    {"a": 1, "A": 2},
]


@pytest.mark.parametrize("data", FORMS, ids=lambda data: type(data).__name__)
def test_unknown_and_duplicate_columns(table: laminardb.Connection, data: Any) -> None:
    with fails(laminardb.IngestionError, 302):
        table.insert("t", data)
    assert rows(table) == []


def test_unknown_and_duplicate_columns_of_frames(
    table: laminardb.Connection, pa: ModuleType, pd: ModuleType, pl: ModuleType
) -> None:
    for data in (
        pd.DataFrame({"a": [1], "c": [2]}),
        pl.DataFrame({"a": [1], "c": [2]}),
        pa.table({"a": [1], "c": [2]}),
        pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
    ):
        with fails(laminardb.IngestionError, 302):
            table.insert("t", data)
    assert rows(table) == []


EVERY = ["bool", "int8", "uint64", "float", "double", "decimal(5,2)", "string", "binary", "date", "time"]
EVERY += ["timestamp", "timestamptz"]


def test_none_is_null_in_every_type(conn: laminardb.Connection) -> None:
    conn.create_table("t", dict(zip(EVERY, EVERY, strict=True)))
    conn.insert("t", dict.fromkeys(EVERY))
    conn.insert("t", {key: [None] for key in EVERY})
    assert rows(conn) == [(None,) * len(EVERY)] * 2


def test_none_of_tables_and_frames_is_null_in_every_type(
    conn: laminardb.Connection, pa: ModuleType, pd: ModuleType
) -> None:
    conn.create_table("t", dict(zip(EVERY, EVERY, strict=True)))
    conn.insert("t", pa.table({name: pa.nulls(1) for name in EVERY}))
    conn.insert("t", pd.DataFrame({name: [None] for name in EVERY}))
    assert rows(conn) == [(None,) * len(EVERY)] * 2


@pytest.mark.parametrize("value", [{"x": 1}, [1, 2]])
def test_no_collections_in_scalar_columns(table: laminardb.Connection, value: Any) -> None:
    with fails(laminardb.IngestionError, 302):
        table.insert("t", [{"b": value}])


def test_numpy_counts_as_its_values(conn: laminardb.Connection, np: ModuleType) -> None:
    conn.create_table("t", {"i": "int64", "f": "float64", "s": "string", "b": "bool", "d": "timestamp"})
    conn.insert(
        "t",
        {
            "i": np.array([1, 2], dtype=np.uint8),
            "f": np.array([0.5, NAN]),
            "s": np.array(["x", "y"], dtype=object),
            "b": np.array([True, False]),
            "d": np.array(["2024-01-01", "NaT"], dtype="datetime64[s]"),
        },
    )
    conn.insert("t", {"i": np.int32(3), "f": np.float32(1.5), "s": np.str_("z"), "b": np.bool_(True), "d": None})
    found = rows(conn)
    assert found[0] == (1, 0.5, "x", True, dt.datetime(2024, 1, 1))
    assert str(found[1]) == "(2, nan, 'y', False, None)"
    assert found[2] == (3, 1.5, "z", True, None)


def test_keys_take_nan_as_one_number_and_minus_zero_as_zero(conn: laminardb.Connection) -> None:
    conn.execute("CREATE TABLE t (k DOUBLE PRIMARY KEY, v BIGINT)")
    conn.insert("t", {"k": [NAN, NAN, 0.0, -0.0], "v": [1, 2, 3, 4]})
    assert sorted(conn.sql("SELECT v FROM t").fetchall()) == [(2,), (4,)]
    assert sorted(conn.sql("SELECT count(*) FROM t GROUP BY k").fetchall()) == [(1,), (1,)]
    assert conn.delete("t", {"k": [NAN, 0.0]}) == 2


def test_decimals_are_exact_from_floats_and_text(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "decimal(20,10)"})
    conn.insert("t", {"a": [0.1, 1.1, 12345.678]})
    conn.insert_json("t", '[{"a": 0.1}, {"a": 1.1}, {"a": 12345.678}]')
    expected = [(decimal.Decimal(text).quantize(decimal.Decimal("1E-10")),) for text in ("0.1", "1.1", "12345.678")]
    assert rows(conn) == expected * 2


def test_text_errors_say_where(table: laminardb.Connection) -> None:
    with fails(laminardb.IngestionError, 300, "line 2"):
        table.insert_json("t", '[{"a": 1},\n {"a": }]')
    with fails(laminardb.IngestionError, 300, "line 3"):
        table.insert_csv("t", "a,b\n1,x\n2\n")
    for call in (table.insert_json, table.insert_csv):
        for wrong in (1, None, ["x"]):
            with pytest.raises(TypeError):
                call("t", wrong)
    assert rows(table) == []


def test_json_integers_never_pass_through_a_double(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"a": "int64", "b": "uint64", "c": "decimal(38,0)"})
    conn.insert_json(
        "t", '{"a": 9007199254740993, "b": 18446744073709551615, "c": 12345678901234567890123456789012345678}'
    )
    assert rows(conn) == [(9007199254740993, 2**64 - 1, decimal.Decimal("12345678901234567890123456789012345678"))]


def test_csv_booleans_nulls_and_times(conn: laminardb.Connection) -> None:
    conn.create_table("t", {"b": "bool", "s": "string", "ts": "timestamp"})
    text = 'b,s,ts\r\ntrue,,2024-01-01T10:00:00\r\nF,"",2024-01-01 10:00:00\r\n1,"a ""b"", c",\r\n'
    assert conn.insert_csv("t", text) == 3
    ten = dt.datetime(2024, 1, 1, 10)
    assert rows(conn) == [(True, None, ten), (False, "", ten), (True, 'a "b", c', None)]
