"""Section 1 of the Python contract: packaging."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import laminardb
import pytest

FOLDER = Path(__file__).parents[3] / "python"


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "pyproject.toml").read_text())


def test_names_and_files(project: dict[str, Any]) -> None:
    assert project["project"]["name"] == laminardb.__name__ == "laminardb"
    assert laminardb._laminardb.__name__ == project["tool"]["maturin"]["module-name"] == "laminardb._laminardb"
    installed = Path(laminardb.__file__).parent
    for name in ("__init__.py", "types.py", "_laminardb.pyi", "py.typed"):
        assert (FOLDER / "laminardb" / name).is_file()
        assert (installed / name).is_file()


def test_python_version_and_dependencies(project: dict[str, Any]) -> None:
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["project"].get("dependencies", []) == []


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_extras(project: dict[str, Any]) -> None:
    extras = {
        name: {requirement.partition(">")[0] for requirement in requirements}
        for name, requirements in project["project"]["optional-dependencies"].items()
    }
    assert extras["pandas"] == {"pandas", "pyarrow"}
    assert extras["polars"] == {"polars"}
    assert extras["pyarrow"] == {"pyarrow"}
    wanted = {"pandas", "polars", "pyarrow", "pytest", "pytest-asyncio", "hypothesis", "mypy"}
    assert wanted <= extras["dev"]
    for name in wanted:
        assert importlib.metadata.version(name)


def test_pytest_runs_async_tests_by_itself(project: dict[str, Any]) -> None:
    options = project["tool"]["pytest"]["ini_options"]
    assert options["asyncio_mode"] == "auto"
    assert [(FOLDER / path).resolve() for path in options["testpaths"]] == [Path(__file__).parents[1]]
