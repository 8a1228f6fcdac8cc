"""The examples and benchmarks of the python folder, each run small as a program of its own, but for services."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "python"
ARGUMENTS = {
    "examples/quickstart.py": [],
    "examples/streaming_analytics.py": ["--orders", "5"],
    "benchmarks/bench_ingestion.py": ["--rows", "500"],
    "benchmarks/bench_planning.py": ["--rows", "20"],
    "benchmarks/bench_query.py": ["--rows", "500"],
    "benchmarks/bench_streaming.py": ["--rows", "1500"],
}
SHOWN = {
    "examples/quickstart.py": ["sensor_b | 43.5", "UpdateInsert", "flowchart LR", "400 Query failed (400)"],
    "examples/streaming_analytics.py": ["5 orders come in", "per_city", "city    Insert"],
    "benchmarks/bench_ingestion.py": [
        "list of dicts",
        "columns (dict of lists)",
        "pandas.DataFrame",
        "polars.DataFrame",
        "pyarrow.Table",
        "insert_json",
        "insert_csv",
        "one row per insert (dict)",
        "one row per insert of a writer",
    ],
    "benchmarks/bench_planning.py": ["a constant", "TPC-H query 8", "20 literals"],
    "benchmarks/bench_query.py": ["fetchone of 500 rows", "to_dicts", "group by", "stream"],
    "benchmarks/bench_streaming.py": ["filter", "snapshot of a late subscriber", "p99"],
}

TESTED_IN = {
    "examples/asyncio_service.py": "test_examples.py",
    "examples/cdc.py": "test_examples.py",
    "examples/fastapi_app.py": "test_examples_web.py",
    "examples/gunicorn_app.py": "test_examples_web.py",
}


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300)


def test_all_scripts_are_known_here() -> None:
    found = [*FOLDER.glob("examples/*.py"), *FOLDER.glob("benchmarks/bench_*.py")]
    assert sorted(path.relative_to(FOLDER).as_posix() for path in found) == sorted([*ARGUMENTS, *TESTED_IN])
    assert ARGUMENTS.keys() == SHOWN.keys()
    for script, test in TESTED_IN.items():
        assert Path(script).stem in (Path(__file__).parent / test).read_text()


@pytest.mark.parametrize("script", ARGUMENTS)
def test_it_runs(script: str) -> None:
    done = run(script, *ARGUMENTS[script])
    assert (done.returncode, done.stderr) == (0, "")
    for text in SHOWN[script]:
        assert text in done.stdout, done.stdout


@pytest.mark.usefixtures("pa", "pd", "pl")
def test_a_benchmark_compares_with_a_rival() -> None:
    # As its own rival: the other package is not needed to see that both run.
    done = run("benchmarks/bench_ingestion.py", "--rows", "50", "--rival", sys.executable)
    assert (done.returncode, done.stderr) == (0, "")
    cases = ["one dict", "list of dicts", "columns", "JSON", "CSV", "pandas", "polars", "Arrow"]
    lines = done.stdout.splitlines()[-len(cases) - 2 :]
    for line, case in zip(lines, [*cases, "fetchone of 50", "fetchone of 500"], strict=True):
        assert line.startswith(f"{case} "), done.stdout
        assert line.endswith(" all"), done.stdout


def test_a_benchmark_refuses_a_senseless_size() -> None:
    assert "--rows must be at least 1" in run("benchmarks/bench_query.py", "--rows", "0").stderr


# One of each kind; a join of 60 tables takes long to be planned without optimisation.
STALLS = ("idle", "over_view", "runaway_drop", "writes_1m_views", "checkpoint", "many_views")


def stalls(figures: Path, scenarios: str, *arguments: str) -> list[dict[str, Any]]:
    done = run("benchmarks/stalls.py", "--scenarios", scenarios, "--json", str(figures), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    results: list[dict[str, Any]] = json.loads(figures.read_text())["results"]
    assert len(done.stdout.splitlines()) == len(results) + 2, done.stdout
    return results


@pytest.mark.usefixtures("np", "pa")
def test_stalls_are_measured_beside_each_kind_of_scenario(tmp_path: Path) -> None:
    results = stalls(tmp_path / "figures.json", ",".join(STALLS), "--rows", "500", "--workers", "2")
    assert {row["scenario"] for row in results} == set(STALLS)
    for row in results:
        assert (row["ended"], row["workers"]) == ("done", 2), row
        assert row["seconds"] > 0, row
        # A runaway is looked at for some moments only, whatever the bystanders do.
        runaway = row["step"].startswith("create runaway")
        kinds = () if runaway else ("insert", "delivery", "read", "definition", "sleep")
        for kind in kinds:
            assert row[kind]["worst"] >= row[kind]["p99"] > 0, row


@pytest.mark.usefixtures("np", "pa")
def test_a_step_that_takes_too_long_is_told_with_the_waits_up_to_then(tmp_path: Path) -> None:
    arguments = ("--timeout", "0.5", "--rows", "5000000", "--workers", "1")
    (row,) = stalls(tmp_path / "figures.json", "idle", *arguments)
    assert (row["ended"], row["seconds"]) == ("> 0.5 s", None)
    assert row["delivery"]["worst"] > 0


@pytest.mark.usefixtures("np", "pa")
def test_figures_of_stalls_are_shown_side_by_side(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    (row,) = stalls(figures, "idle", "--rows", "500", "--workers", "1")
    shown = run("benchmarks/stalls.py", "--compare", str(figures), str(figures)).stdout.splitlines()[-1]
    delivery = f"{row['delivery']['worst'] * 1e3:,.1f}"
    assert shown.startswith("| idle | nothing | 1 | ")
    assert f" | {delivery} → {delivery} | " in shown


@pytest.mark.usefixtures("np", "pa")
def test_stalls_refuses_scenarios_that_there_are_not() -> None:
    assert "no scenario is called nothing" in run("benchmarks/stalls.py", "--scenarios", "idle,nothing").stderr
