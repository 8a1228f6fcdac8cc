"""The examples and benchmarks of the python folder, each run small as a program of its own, but for services."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
