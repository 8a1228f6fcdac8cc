"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import laminardb
import pytest
from laminardb import _laminardb, dbapi

PARSER = doctest.DocTestParser()
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def documented() -> Iterator[tuple[str, Any]]:
    """Everything with a docstring in the native module, in `laminardb.types` and in `laminardb.dbapi`."""
    yield "dbapi", dbapi
    for module, prefix in ((_laminardb, ""), (laminardb.types, ""), (laminardb, ""), (dbapi, "dbapi.")):
        for member, value in vars(module).items():
            if member.startswith("_") or getattr(value, "__module__", "laminardb").partition(".")[0] != "laminardb":
                continue
            name = prefix + member
            yield name, value
            if inspect.isclass(value):
                yield from ((f"{name}.{member}", attribute) for member, attribute in vars(value).items())


DOCS = {
    name: value.__doc__ for name, value in documented() if isinstance(value.__doc__, str) and ">>>" in value.__doc__
}

# Their examples need pyarrow, pandas or polars.
WITH_LIBRARIES = {
    "Connection.schema",
    "QueryResult.to_arrow",
    "QueryResult.arrow",
    "QueryResult.to_pandas",
    "QueryResult.df",
    "QueryResult.to_polars",
    "QueryResult.pl",
    "QueryResult.to_df",
    "ChangeBatch.to_arrow",
    "ChangeBatch.arrow",
    "Schema",
    "dbapi.Cursor.arrow",
    "dbapi.Cursor.df",
    "dbapi.Cursor.pl",
}


def check(name: str) -> None:
    with laminardb.open(":memory:") as conn:
        test = PARSER.get_doctest(DOCS[name], {"laminardb": laminardb, "conn": conn}, name, None, None)
        failures: list[str] = []
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, out=failures.append)
    assert test.examples
    assert not failures, "".join(failures)


@pytest.mark.parametrize("name", [name for name in DOCS if name not in WITH_LIBRARIES])
def test_its_examples_are_true(name: str) -> None:
    check(name)


@pytest.mark.usefixtures("pa", "pd", "pl")
@pytest.mark.parametrize("name", sorted(WITH_LIBRARIES))
def test_its_examples_with_libraries_are_true(name: str) -> None:
    check(name)


def test_every_public_method_has_an_example() -> None:
    """All methods of connections, results and subscriptions; those of the async ones have that of their class."""
    for name in (
        "Connection",
        "QueryResult",
        "ChangeBatch",
        "ExecuteResult",
        "Subscription",
        "StreamSubscription",
        "Writer",
    ):
        methods = [
            f"{name}.{member}"
            for member, value in vars(getattr(laminardb, name)).items()
            if not member.startswith("_") and inspect.isroutine(value)
        ]
        assert methods
        assert [method for method in methods if method not in DOCS and method != "StreamSubscription.cancel"] == []
