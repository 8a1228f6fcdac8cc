"""Values that are nested without end, or deeper than the stack, are refused with "nested too deeply".

Values whose classes lie, raise exceptions or change what is read leave the database as it was.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import laminardb
import pytest

DEEP = 10_000


@pytest.fixture
def conn() -> Iterator[laminardb.Connection]:
    with laminardb.open(":memory:") as conn:
        conn.execute("CREATE TABLE t (a BIGINT, s VARCHAR, l BIGINT[], j JSON, d DATE, p DECIMAL(10, 2))")
        conn.execute("CREATE TABLE k (a BIGINT PRIMARY KEY, j JSON)")
        conn.insert("k", {"a": 1, "j": None})
        yield conn


def lists(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def tuples(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = (value,)
    return value


def dicts(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


def list_of_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def dict_of_itself() -> Any:
    value: dict[str, Any] = {}
    value["a"] = value
    return value


def tuple_of_itself() -> Any:
    inner: list[Any] = []
    inner.append((inner,))
    return (inner,)


VALUES: dict[str, Callable[[], Any]] = {
    "lists": lambda: lists(DEEP),
    "tuples": lambda: tuples(DEEP),
    "dicts": lambda: dicts(DEEP),
    "a list that holds itself": list_of_itself,
    "a dict that holds itself": dict_of_itself,
    "a tuple that holds itself": tuple_of_itself,
}


@pytest.mark.parametrize("name", VALUES)
def test_a_deep_parameter_is_refused(conn: laminardb.Connection, name: str) -> None:
    value = VALUES[name]()
    calls: list[Callable[[], Any]] = [
        lambda: conn.query("SELECT ? AS x", [value]),
        lambda: conn.query("SELECT ? AS x", (value,)),
        lambda: conn.query("SELECT $x AS x", {"x": value}),
        lambda: conn.execute("INSERT INTO t (l) VALUES (?)", [value]),
        lambda: conn.execute("INSERT INTO t (j) VALUES (?)", [value]),
        lambda: conn.execute("UPDATE k SET j = ?", [value]),
        lambda: conn.execute("DELETE FROM t WHERE l = ?", [value]),
        lambda: conn.subscribe("SELECT ? AS x", params=[value]),
        lambda: conn.stream("SELECT ? AS x", [value]),
        lambda: conn.cursor().execute("SELECT ? AS x", [value]),
        lambda: conn.cursor().executemany("INSERT INTO t (l) VALUES (?)", [[value]]),
    ]
    for call in calls:
        with pytest.raises(laminardb.QueryError, match="nested too deeply"):
            call()


def test_parameters_that_are_a_list_that_holds_itself_are_refused(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.QueryError, match="nested too deeply"):
        conn.query("SELECT ? AS x", list_of_itself())


@pytest.mark.parametrize("name", VALUES)
def test_a_deep_value_of_a_json_column_is_refused(conn: laminardb.Connection, name: str) -> None:
    value = VALUES[name]()
    calls: list[Callable[[], Any]] = [
        lambda: conn.insert("t", {"j": value}) if isinstance(value, dict) else conn.insert("t", {"j": [value]}),
        lambda: conn.insert("t", [{"j": value}]),
        lambda: conn.insert("t", iter([{"a": 1}, {"a": 2, "j": value}])),
        lambda: conn.upsert("k", [{"a": 1, "j": value}]),
        lambda: conn.update("k", [{"a": 1, "j": value}]),
        lambda: conn.writer("t").insert([{"j": value}]),
    ]
    for call in calls:
        with pytest.raises(laminardb.IngestionError, match="nested too deeply"):
            call()
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)
    assert conn.sql("SELECT * FROM k").fetchall() == [(1, None)]


@pytest.mark.parametrize("name", VALUES)
def test_a_deep_value_of_a_column_of_lists_is_refused(conn: laminardb.Connection, name: str) -> None:
    value = VALUES[name]()
    for data in ([{"l": value}], iter([{"l": value}]), {"l": [value]}):
        with pytest.raises(laminardb.IngestionError, match="cannot be stored as BIGINT"):
            conn.insert("t", data)
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)


def test_values_as_deep_as_the_limit_are_stored(conn: laminardb.Connection) -> None:
    assert conn.insert("t", [{"j": lists(200)}]) == 1
    assert conn.sql("SELECT j FROM t").fetchone() == ("[" * 200 + "1" + "]" * 200,)
    assert conn.sql("SELECT ? AS x", [lists(32)]).fetchone() == (lists(32),)


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_deep_json_text_ends_nothing(conn: laminardb.Connection, text: str) -> None:
    for column in ("a", "s", "l"):
        with pytest.raises(laminardb.IngestionError):
            conn.insert_json("t", f'{{"{column}": {text}}}')
    with pytest.raises(laminardb.IngestionError):
        conn.insert_json("t", "[" + text + "]")
    # A column declared JSON holds text, whatever it says.
    assert conn.insert_json("t", f'{{"j": {text}}}') == 1
    assert conn.sql("SELECT j FROM t").fetchone() == (text,)


class Long(Sequence[Any]):
    """A sequence that says that it has `length` values."""

    def __init__(self, length: Any, values: Sequence[Any] = (1, 2)) -> None:
        self.length, self.values = length, values

    def __len__(self) -> int:
        return self.length  # type: ignore[no-any-return]

    def __getitem__(self, place: Any) -> Any:
        return self.values[place]


@pytest.mark.parametrize("length", [0, 1, 5, 2**31, 2**40, 2**62, 2**63 - 1])
def test_a_length_that_is_a_lie_is_not_reserved(conn: laminardb.Connection, length: int) -> None:
    assert conn.insert("t", {"a": Long(length)}) == 2
    assert conn.insert("t", {"s": Long(length, ["x"])}) == 1


@pytest.mark.parametrize("length", [-1, 2**70, "x", None, 1.5])
def test_a_length_that_is_none_is_refused(conn: laminardb.Connection, length: Any) -> None:
    with pytest.raises((laminardb.IngestionError, TypeError, ValueError, OverflowError)):
        conn.insert("t", {"a": Long(length)})


def test_rows_without_columns_have_a_limit(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError, match="more than the"):
        conn.insert("t", {"other": Long(2**40)}, extra="ignore")
    assert conn.insert("t", {"other": Long(2)}, extra="ignore") == 2


def test_numpy_arrays_that_repeat_one_value_have_a_limit(conn: laminardb.Connection, np: Any) -> None:
    for count in (2**40, 2**31 - 1):
        with pytest.raises(laminardb.IngestionError, match="more than the"):
            conn.insert("t", {"a": np.broadcast_to(np.int64(1), count)})
    assert conn.insert("t", {"a": np.broadcast_to(np.int64(1), 3)}) == 3


class Endless:
    """A value that numpy would have, which stands for another of its kind for ever."""

    def item(self) -> Any:
        return type("Next", (Endless,), {"__module__": "numpy"})()


Endless.__module__ = "numpy"


def test_a_value_that_stands_for_others_for_ever_is_refused(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError, match="cannot be stored"):
        conn.insert("t", [{"a": Endless()}])
    with pytest.raises(laminardb.QueryError, match="is no SQL value"):
        conn.query("SELECT ?", [Endless()])


def test_arrays_that_hold_themselves_are_refused(conn: laminardb.Connection, np: Any) -> None:
    for shape, place in (((), ()), (1, 0)):
        array = np.empty(shape, dtype=object)
        array[place] = array
        with pytest.raises(laminardb.QueryError):
            conn.query("SELECT ?", [array])
        for column in ("l", "j"):
            with pytest.raises(laminardb.IngestionError):
                conn.insert("t", [{column: array}])


class Ordinal(dt.date):
    """A date whose day is any number."""

    said: Any

    def toordinal(self) -> int:
        return self.said  # type: ignore[no-any-return]


@pytest.mark.parametrize("said", [-(2**63), 2**63 - 1, 2**70, 0, "x", None])
def test_a_date_that_lies_is_refused(conn: laminardb.Connection, said: Any) -> None:
    date = Ordinal(2024, 1, 1)
    date.said = said
    for call in (lambda: conn.insert("t", [{"d": date}]), lambda: conn.query("SELECT ? AS x", [date]).fetchall()):
        with contextlib.suppress(laminardb.LaminarError, TypeError, ValueError, OverflowError):
            call()


class Decimal(decimal.Decimal):
    """A number that is written in any way."""

    text: Any

    def __str__(self) -> str:
        return self.text  # type: ignore[no-any-return]


Decimal.__module__, Decimal.__name__ = "decimal", "Decimal"


@pytest.mark.parametrize("text", ["no number", "\ud800", "1e999999999", "9" * 1_000_000, "", 5, None])
def test_a_decimal_that_lies_is_refused(conn: laminardb.Connection, text: Any) -> None:
    value = Decimal("1")
    value.text = text
    with pytest.raises((laminardb.IngestionError, TypeError, UnicodeEncodeError)):
        conn.insert("t", [{"p": value}])


def fake(kind: type) -> Any:
    """A value that says that it is of a class, but is not."""
    return type("Fake", (), {"__class__": property(lambda self: kind)})()


def test_values_that_say_that_they_are_of_another_class_are_refused(conn: laminardb.Connection) -> None:
    kinds: list[type] = [
        int,
        float,
        str,
        bytes,
        list,
        tuple,
        dict,
        bool,
        dt.datetime,
        dt.date,
        dt.time,
        decimal.Decimal,
    ]
    for kind in kinds:
        for column in ("a", "s", "l", "j", "d", "p"):
            with pytest.raises((laminardb.IngestionError, TypeError)):
                conn.insert("t", [{column: fake(kind)}])
        with pytest.raises((laminardb.QueryError, TypeError)):
            conn.query("SELECT ?", [fake(kind)])


def changing(container: Any, change: Callable[[], Any]) -> Any:
    """A value that changes its container when it is looked at."""

    def look(self: Any) -> type:
        change()
        return int

    return type("Changing", (), {"__class__": property(look)})()


def test_containers_that_change_while_they_are_read_end_nothing(conn: laminardb.Connection) -> None:
    for column in ("a", "l", "j"):
        values: list[Any] = []
        values += [changing(values, values.clear), 2, 3]
        row: dict[str, Any] = {}
        row |= {column: changing(row, row.clear), "s": "x"}
        for data in ([{column: values}], {column: values}, [row], row, values):
            with pytest.raises((laminardb.LaminarError, TypeError)):
                conn.insert("t", data)
        with pytest.raises((laminardb.LaminarError, TypeError)):
            conn.query("SELECT ?", [values or [changing(values, values.clear)]])
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)


class Reentrant:
    """Rows that do something to the database while they are read."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def __iter__(self) -> Iterator[dict[str, int]]:
        yield {"a": 1}
        self.act()
        yield {"a": 2}


def test_closing_within_an_insert_applies_nothing() -> None:
    for act in ("close", "shutdown"):
        conn = laminardb.open(":memory:")
        conn.execute("CREATE TABLE t (a BIGINT)")
        with pytest.raises(laminardb.LaminarError):
            conn.insert("t", iter(Reentrant(getattr(conn, act))))
        conn.close()


def test_writing_within_an_insert_is_a_write_of_its_own(conn: laminardb.Connection) -> None:
    assert conn.insert("t", iter(Reentrant(lambda: conn.insert("t", {"a": 9})))) == 2
    assert conn.sql("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,), (9,)]
    with pytest.raises(laminardb.SchemaError):
        conn.insert("t", iter(Reentrant(lambda: conn.execute("DROP TABLE t"))))


class Keys:
    """A mapping whose keys are anything."""

    def __init__(self, keys: Any) -> None:
        self.all_of_them = keys

    def keys(self) -> Any:
        return self.all_of_them

    def __getitem__(self, key: Any) -> Any:
        return 1


@pytest.mark.parametrize("keys", [5, None, [1], [b"a"], ["\ud800"], ["a", "a"], [None], [["a"]], "ab"])
def test_keys_that_are_no_columns_are_refused(conn: laminardb.Connection, keys: Any) -> None:
    with pytest.raises((laminardb.IngestionError, TypeError)):
        conn.insert("t", [{"a": 1}, Keys(keys)])
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)


def test_what_is_shown_in_messages_may_raise(conn: laminardb.Connection) -> None:
    def bad(said: Any) -> Any:
        def show(self: Any) -> Any:
            if said is None:
                raise ValueError("not shown")
            return said

        return type("Bad", (), {"__repr__": show, "__str__": show})()

    for said in (None, 5, "\ud800"):
        for data in ([{"a": bad(said)}], [{bad(said): 1}], {bad(said): [1]}, {bad(said): [1], "a": [1, 2]}):
            with pytest.raises((laminardb.IngestionError, TypeError, ValueError)):
                conn.insert("t", data)
        with pytest.raises(laminardb.QueryError):
            conn.query("SELECT ?", [bad(said)])


@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") < 2**33, reason="it takes 5 GiB")
def test_a_column_of_more_than_2_gib_is_refused(conn: laminardb.Connection) -> None:
    with pytest.raises(laminardb.IngestionError, match="row 2047"):
        conn.insert("t", {"s": ["x" * 2**20] * 2048})
    assert conn.sql("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_text_of_2_gib_is_refused(conn: laminardb.Connection) -> None:
    text = "x" * 2**31
    with pytest.raises(laminardb.IngestionError, match="cannot be stored as VARCHAR"):
        conn.insert("t", {"s": text})
    with pytest.raises(laminardb.QueryError, match="cannot be stored as VARCHAR"):
        conn.query("SELECT ?", [text])
