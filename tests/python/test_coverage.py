"""What is public is documented, is in the stubs and is tested, and the stubs have nothing else."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import laminardb
from laminardb import _laminardb

ROOT = Path(__file__).parents[2]
STUBS = Path(laminardb.__file__).parent / "_laminardb.pyi"


def public(name: str) -> bool:
    return not name.startswith("_") or name == "_repr_html_"


def native_classes() -> dict[str, type]:
    classes = {name: value for name, value in vars(_laminardb).items() if inspect.isclass(value)}
    assert "Connection" in classes, "the walk finds nothing"
    return classes


def native() -> Iterator[tuple[str, Any]]:
    """Every public class, method, property and function of the native module, by dotted name."""
    for name, value in vars(_laminardb).items():
        if inspect.isclass(value):
            yield name, value
            for member, attribute in vars(value).items():
                if public(member) and member != "code":
                    yield f"{name}.{member}", attribute
        elif callable(value) and public(name):
            yield name, value


def stubbed() -> dict[str, ast.stmt]:
    """The public classes, methods, properties and functions of the stubs, by dotted name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(STUBS.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and public(member.name):
                    found[f"{node.name}.{member.name}"] = member
        elif isinstance(node, ast.FunctionDef) and public(node.name):
            found[node.name] = node
    return found


NATIVE = dict(native())


def test_everything_native_has_a_docstring() -> None:
    assert len(NATIVE) > 150
    assert [name for name, value in NATIVE.items() if not (value.__doc__ or "").strip()] == []


def test_docstrings_are_sentences() -> None:
    for name, value in NATIVE.items():
        first = value.__doc__.strip().split("\n\n")[0]
        assert first[0].isupper() or first[0] in "`-", f"{name}: {first}"
        assert first.endswith("."), f"{name}: {first}"


def test_the_stubs_have_everything_and_nothing_else() -> None:
    names = stubbed()
    assert len(names) > 150, "the walk finds nothing"
    assert sorted(NATIVE.keys() - names.keys()) == [], "missing in the stubs"
    assert sorted(names.keys() - NATIVE.keys()) == [], "only in the stubs"


def test_everything_native_that_is_public_is_exported() -> None:
    classes = {name for name in native_classes() if public(name)}
    assert sorted(classes - set(laminardb.__all__)) == []
    assert all(getattr(laminardb, name) is getattr(_laminardb, name) for name in classes)


def test_everything_in_pure_python_has_a_docstring() -> None:
    missing = []
    modules: list[ModuleType] = [laminardb, laminardb.types]
    for module in modules:
        assert module.__doc__
        for name in module.__all__:
            value = getattr(module, name)
            if not callable(value):
                continue
            if not value.__doc__:
                missing.append(name)
            members = vars(value).items() if inspect.isclass(value) else ()
            missing += [
                f"{name}.{member}"
                for member, attribute in members
                if public(member) and (callable(attribute) or isinstance(attribute, property)) and not attribute.__doc__
            ]
    assert missing == []


def test_every_method_and_property_is_used_by_some_test() -> None:
    text = "\n".join(path.read_text() for path in Path(__file__).parent.rglob("*.py"))
    used = set(re.findall(r"[.]([A-Za-z_]\w*)", text))
    members = {name.partition(".")[2] for name in NATIVE} - {""}
    assert sorted(members - used) == []


def test_help_reads_well() -> None:
    text = inspect.getdoc(laminardb.Connection.insert)
    assert text is not None
    assert text.startswith("Stores rows, all or none; gives their number.\n\n`data` is a dict")
    assert str(inspect.signature(laminardb.Connection.insert)) == "(self, /, table, data, *, extra='error')"
    unsigned = []
    for name, value in NATIVE.items():
        if inspect.isroutine(value):
            try:
                inspect.signature(value)
            except ValueError:
                unsigned.append(name)
    assert unsigned == []


def test_each_line_that_stubtest_may_overlook_has_a_reason() -> None:
    lines = (Path(__file__).parent / "stubtest.allow").read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            assert before.startswith("#"), line
