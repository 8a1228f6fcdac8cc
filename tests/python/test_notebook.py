"""The example notebook runs, and shows what it says; jupysql's magics run on a connection of laminardb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import pytest

# Another process runs it: what the libraries of Jupyter warn of while they work is not about laminardb.
assert nbclient.__name__ == "nbclient"
NOTEBOOK = Path(__file__).parents[2] / "python" / "examples" / "notebook.ipynb"
RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.stdin, as_version=4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def executed(notebook: str, folder: Path) -> list[dict[str, Any]]:
    """The cells of a notebook after a run in a home folder of its own, without telemetry or network."""
    environment = os.environ | {
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "PLOOMBER_STATS_ENABLED": "false",
        "PLOOMBER_VERSION_CHECK_DISABLED": "true",
        "PYTHONDEVMODE": "",
        "PYTHONWARNINGS": "ignore",
    }
    done = folder / "done.ipynb"
    command = [sys.executable, "-c", RUN, str(done)]
    run = subprocess.run(command, input=notebook, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    cells: list[dict[str, Any]] = json.loads(done.read_text())["cells"]
    return cells


def shown(cell: dict[str, Any]) -> str:
    """What a cell shows: text, and HTML where it has some."""
    parts = []
    for output in cell.get("outputs", []):
        assert output.get("name") != "stderr", output
        data = output.get("data", {})
        parts.append("".join(data.get("text/html", data.get("text/plain", output.get("text", "")))))
    return "\n".join(parts)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The cells of the example with their outputs."""
    return executed(NOTEBOOK.read_text(), tmp_path_factory.mktemp("home"))


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def output_of(cells: list[dict[str, Any]], source: str) -> str:
    """What the only cell shows that begins so."""
    [cell] = [cell for cell in cells if "".join(cell["source"]).startswith(source)]
    return shown(cell)


def test_no_cell_fails_or_writes_to_stderr(cells: list[dict[str, Any]]) -> None:
    for cell in cells:
        shown(cell)


def test_changes_of_the_view_are_shown(cells: list[dict[str, Any]]) -> None:
    assert "is_snapshot" not in output_of(cells, "changes = ")
    assert "Bern" in output_of(cells, "changes = ")
    lines = output_of(cells, 'conn.insert("orders"').splitlines()
    assert sorted(lines) == [
        "Insert Rome 7.5",
        "UpdateDelete Bern 10.0",
        "UpdateInsert Bern 15.0",
    ]


def test_the_magic_shows_the_view_up_to_date(cells: list[dict[str, Any]]) -> None:
    table = output_of(cells, "%sql SELECT * FROM per_city")
    for value in ("Bern", "15.0", "Oslo", "20.0", "Rome", "7.5"):
        assert f"<td>{value}</td>" in table


def test_answers_become_frames(cells: list[dict[str, Any]]) -> None:
    assert "Oslo" in output_of(cells, "dearest = ")
    assert 'class="dataframe"' in output_of(cells, "dearest = ")
    assert 'class="dataframe"' in output_of(cells, 'conn.sql("SELECT city')


def test_the_connection_shows_what_there_is(cells: list[dict[str, Any]]) -> None:
    overview = output_of([cell for cell in cells if cell["source"] in ("conn", ["conn"])], "conn")
    for word in ("orders", "per_city", "kept up to date"):
        assert word in overview


BY_ADDRESS = [
    "from sqlalchemy.dialects import registry\n"
    'registry.register("laminardb", "laminardb.sqlalchemy", "LaminarDialect")',
    "%load_ext sql\n%config SqlMagic.displaycon = False\n%config SqlMagic.feedback = 0",
    "%sql laminardb://",
    "%sql CREATE TABLE t (a BIGINT, b VARCHAR)",
    "%sql INSERT INTO t VALUES (1, 'x'), (2, 'y')",
    "%%sql\nCREATE MATERIALIZED VIEW v AS\nSELECT count(*) AS n\nFROM t",
    "%sql DELETE FROM t WHERE a = 1",
    "%sql SELECT n FROM v",
    "rows = %sql SELECT * FROM t\nprint(list(rows.DataFrame()['b']))",
    "%sqlcmd tables",
]


def test_the_magics_take_an_address(tmp_path: Path) -> None:
    code = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    made = [code | {"id": f"cell-{number}", "source": source} for number, source in enumerate(BY_ADDRESS)]
    cells = executed(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), tmp_path)
    shows = [shown(cell) for cell in cells]
    assert "<td>1</td>" in shows[-3]
    assert shows[-2].strip() == "['y']"
    assert "<td>t</td>" in shows[-1]
