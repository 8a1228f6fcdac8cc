"""How long others wait while something big is done: the worst and late waits of bystanders, by scenario.

Beside each step of a scenario of `stall_scenarios.py`, three threads (`stall_bystanders.py`) use small tables of the
same database that the step does not touch: one inserts a row and waits at a subscription for its change, one reads a
small view, one defines and drops a view. A fourth sleeps for 1 ms at a time: what it shows above that is noise, of
Python and of whatever else the machine does, and differences below it mean nothing.

Of each kind of call the table shows the greatest time and, in brackets, the 99th percentile, in milliseconds; `>`
stands before one that had not ended. `total` is the time of the step until `conn.wait()` has returned, `call` that of
its statement alone, both in seconds. The calls counted for a step are those until each thread has made another whole
round, so that what the step leaves behind is in them.

A thread makes its next call only after the last: a stall of a second is one late call, not a thousand, so the greatest
tells more than the percentile. The scenario `idle` does nothing, for comparison.

Each scenario runs in a process of its own with each number of workers. A step that takes longer than `--timeout` ends
its process, and the steps after it are not reached. `--memory` bounds the address space of these processes, so that a
runaway ends before the machine does. Needs numpy and pyarrow; runs with whatever is called laminardb from 0.20 on.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from stall_bystanders import KINDS, Bystanders, prepare
from stall_scenarios import FULL, SCENARIOS, Scene, Step

import laminardb

# Seconds that a scenario may take to fill its tables, and that a process may take to tell of its end.
SETUP, GRACE = 600.0, 20.0
Row = dict[str, Any]


def say(message: Row) -> None:
    """Sends a line to the process that measures."""
    print(json.dumps(message), flush=True)


class Run:
    """One scenario in this process: its steps one after the other, beside the bystanders."""

    def __init__(self, scenario: str, workers: int, rows: int, folder: str) -> None:
        config = laminardb.LaminarConfig(
            workers=workers, buffer_size=0, storage_dir=folder, checkpoint_interval_ms=0 if folder else None
        )
        self.conn = laminardb.open(":memory:", config=config)
        self.scenario = scenario
        self.rows = rows
        self.bystanders: Bystanders | None = None
        # The step under way: its name, when it began, and its result without the figures of the bystanders.
        self.step = ""
        self.start = 0.0
        self.result: Row = {}

    def all(self) -> None:
        """Prepares the scenario and makes its steps."""
        prepare(self.conn)
        steps: list[Step] = SCENARIOS[self.scenario](Scene(self.conn, self.rows))
        say({"steps": [step.name for step in steps]})
        self.bystanders = Bystanders(self.conn)
        self.bystanders.settle()
        for step in steps:
            say({"begin": step.name})
            self.bystanders.errors.clear()
            self.result = {"seconds": None, "ended": ""}
            self.start, self.step = time.perf_counter(), step.name
            self.one(step)
            if step.settles:
                self.bystanders.settle()
            self.step = ""
            self.tell(step.name)

    def one(self, step: Step) -> None:
        """Makes a step and keeps how long it took, or how it failed."""
        try:
            figures = step.run() or {}
        except laminardb.LaminarError as error:
            self.result = {"seconds": time.perf_counter() - self.start, "ended": f"{type(error).__name__}: {error}"}
        else:
            self.result = {"seconds": time.perf_counter() - self.start, "ended": "done", "own": figures}

    def tell(self, name: str, ended: str = "") -> None:
        """Sends the figures of a step up to now."""
        assert self.bystanders is not None
        figures = self.bystanders.figures(self.start, time.perf_counter())
        result = {**self.result, "ended": ended or self.result["ended"], "errors": dict(self.bystanders.errors)}
        say({"step": name, **result, **figures})


def inside(options: argparse.Namespace) -> None:
    """Runs one scenario in this process, which ends with it, whatever the engine still does."""
    sys.setswitchinterval(0.0005)
    gc.disable()
    if options.memory and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (int(options.memory * 1e9), -1))
    run = Run(options.scenarios, int(options.workers), options.rows, options.folder)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            run.all()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        step, start = run.step, run.start
        if step and time.perf_counter() - start > options.timeout:
            run.tell(step, f"> {options.timeout:g} s")
            os._exit(0)
    if failed:
        say({"failed": f"{type(failed[0]).__name__}: {failed[0]}"})
    os._exit(0)


class Child:
    """The process of one scenario, seen from outside."""

    def __init__(self, scenario: str, workers: int, options: argparse.Namespace, folder: str) -> None:
        sizes = ["--rows", str(options.rows), "--timeout", str(options.timeout), "--memory", str(options.memory)]
        which = ["--inside", "--scenarios", scenario, "--workers", str(workers), "--folder", folder]
        command = [sys.executable, __file__, *which, *sizes]
        # What an abort says goes into a file: a pipe that nobody reads would stop the process.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._said, text=True)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def next(self, seconds: float) -> Row | None:
        """The next message; None if the process has ended or has said nothing for so long."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return None if line is None else json.loads(line)

    def end(self) -> str:
        """Ends the process if it still runs. Says how it ended."""
        silent = False
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            silent = True
            self._process.kill()
        code = self._process.wait()
        # The pipe is closed once the thread that reads it has met its end.
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        with self._said:
            self._said.seek(0)
            words = self._said.read().decode(errors="replace").strip().splitlines()
        if silent:
            return "killed: nothing was heard of it"
        # A traceback says last what it was, an abort first.
        name, word = (signal.Signals(-code).name, words[:1]) if code < 0 else (str(code), words[-1:])
        return " ".join(["process ended:", name, *word])


def outside(scenario: str, workers: int, options: argparse.Namespace) -> list[Row]:
    """The rows of one scenario, run in a process of its own."""
    about = {"scenario": scenario, "workers": workers, "load": os.getloadavg()[0]}
    rows: list[Row] = []
    steps, begun = ["setup"], ""
    with tempfile.TemporaryDirectory() as folder:
        child = Child(scenario, workers, options, folder if scenario == "checkpoint" else "")
        failed = ""
        while (message := child.next(options.timeout + GRACE if begun else SETUP)) is not None:
            steps = message.get("steps", steps)
            begun = message.get("begin", begun)
            failed = message.get("failed", failed)
            if "step" in message:
                rows.append({**about, **message})
        how = child.end()
    for step in steps[len(rows) :]:
        ended = (failed or how) if step == begun or steps == ["setup"] else "not reached"
        rows.append({**about, "step": step, "seconds": None, "ended": ended})
    return rows


def wait(figure: Row | None) -> str:
    """The greatest time and the 99th percentile in milliseconds."""
    if figure is None or figure["worst"] is None:
        return f"{'-':>20}"
    most = f"{'>' if figure['open'] else ''}{figure['worst'] * 1e3:,.1f}"
    return f"{most:>11} {'(' + format(figure['p99'] * 1e3, ',.1f') + ')':>8}"


def line(row: Row) -> str:
    """The line of a step."""
    call = row.get("own", {}).get("call")
    notes = [f"{name} {own(row, name)} ms" for name in row.get("own", {}) if name != "call"]
    notes += [f"{count} x {error}" for error, count in row.get("errors", {}).items()]
    if row["ended"] != "done":
        notes.insert(0, row["ended"])
    took = "-" if row["seconds"] is None else f"{row['seconds']:,.3f}"
    called = "-" if call is None else f"{call:,.3f}"
    waits = "".join(wait(row.get(kind)) for kind in KINDS)
    what = f"{row['scenario']:<19}{row['step']:<38}{row['workers']:>2}"
    return f"{what}{took:>9}{called:>8}{waits}  {'; '.join(notes)}".rstrip()


def worst(row: Row | None, kind: str) -> str:
    """The greatest time of a kind of call in milliseconds, or what there is instead."""
    if row is None or row.get(kind) is None or row[kind]["worst"] is None:
        return "-"
    return f"{'>' if row[kind]['open'] else ''}{row[kind]['worst'] * 1e3:,.1f}"


def total(row: Row | None) -> str:
    """How long a step took in seconds, or why it is not known."""
    if row is None:
        return "-"
    if row["ended"] != "done":
        return str(row["ended"]).split(":")[0]
    return f"{row['seconds']:,.2f}"


def own(row: Row | None, name: str) -> str:
    """A figure of the step's own in milliseconds."""
    return f"{row['own'][name] * 1e3:,.2f}" if row and name in row.get("own", {}) else "-"


def compare(files: tuple[Path, Path]) -> None:
    """Prints two files of `--json` side by side as a table of Markdown: total in seconds, greatest waits in ms."""
    before, after = (json.loads(file.read_text()) for file in files)
    for name, side in (("Before", before), ("After", after)):
        print(f"{name}: laminardb {side['version']}, {side['rows']:,} rows, {side['cores']} cores")
    print(f"\n| scenario | step | workers | total s | {' | '.join(KINDS)} | its own, ms |")
    print("|---" * (len(KINDS) + 5) + "|")
    found: dict[tuple[str, str, int], list[Row | None]] = {}
    for idx, side in enumerate((before, after)):
        for row in side["results"]:
            found.setdefault((row["scenario"], row["step"], row["workers"]), [None, None])[idx] = row
    for (scenario, step, workers), (old, new) in found.items():
        waits = [f"{worst(old, kind)} → {worst(new, kind)}" for kind in KINDS]
        names = {name: None for row in (old, new) if row for name in row.get("own", {})}
        owns = "; ".join(f"{name} {own(old, name)} → {own(new, name)}" for name in names)
        print(f"| {scenario} | {step} | {workers} | {total(old)} → {total(new)} | {' | '.join(waits)} | {owns} |")


def wanted() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="which, separated by commas; all: %(default)s")
    parser.add_argument("--workers", default="1,2", help="numbers of workers (%(default)s)")
    parser.add_argument("--rows", type=int, default=FULL, help="rows of the big tables (%(default)s)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that a step may take (%(default)s)")
    parser.add_argument("--memory", type=float, default=14.0, help="GB of address space, 0: no bound (%(default)s)")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--compare", type=Path, nargs=2, help="only show two files of --json side by side")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows must be at least 1")
    if unknown := set(options.scenarios.split(",")) - SCENARIOS.keys():
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    if not all(number.isdigit() and int(number) for number in options.workers.split(",")):
        parser.error("--workers must be numbers separated by commas")
    return options


def main() -> None:
    """Measures all scenarios that are asked for."""
    options = wanted()
    if options.inside:
        inside(options)
    if options.compare:
        compare(options.compare)
        return
    version, cores = laminardb.__version__, os.cpu_count()
    about = {"version": version, "rows": options.rows, "timeout": options.timeout, "cores": cores}
    print(f"Stalls (laminardb {version}, {options.rows:,} rows, {cores} cores), worst (p99) in ms")
    head = f"{'scenario':<19}{'step':<38}{'w':>2}{'total s':>9}{'call s':>8}"
    print(head + "".join(f"{kind:>20}" for kind in KINDS), flush=True)
    rows: list[Row] = []
    for scenario in options.scenarios.split(","):
        for workers in map(int, options.workers.split(",")):
            for row in outside(scenario, workers, options):
                rows.append(row)
                print(line(row), flush=True)
            if options.json:
                options.json.write_text(json.dumps({**about, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
