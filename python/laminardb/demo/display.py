"""What the demo shows while it runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass
class Progress:
    """Figures of the run so far; times in seconds."""

    rows: int = 0
    rows_total: int = 0
    day: str = ""
    started: float = field(default_factory=time.perf_counter)
    ended: float | None = None
    latencies: list[float] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    worst_routes: list[tuple[Any, ...]] = field(default_factory=list)

    def rate(self) -> float:
        """Rows written per second, from the start to the end or until now."""
        until = time.perf_counter() if self.ended is None else self.ended
        return self.rows / max(until - self.started, 1e-9)

    def latency(self, share: float) -> float:
        """The latency that ``share`` of the writes do not exceed, in milliseconds."""
        return percentile(self.latencies, share) * 1e3

    def line(self) -> str:
        """One line that says all."""
        changes = sum(self.changes.values())
        return (
            f"{self.day}  {self.rows:,} of {self.rows_total:,} rows  {self.rate():,.0f} rows/s  "
            f"latency p50 {self.latency(0.5):.2f} ms p99 {self.latency(0.99):.2f} ms  {changes:,} changes"
        )


def percentile(values: list[float], share: float) -> float:
    """The value at ``share`` (0 to 1) of the sorted values, the nearest rank; 0.0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class PlainDisplay:
    """Prints a line at every tenth of the way."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tenth = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self) -> None:
        """Called after every write."""
        tenth = 10 * self._progress.rows // max(self._progress.rows_total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            print(self._progress.line(), flush=True)


class LiveDisplay:
    """A table that is redrawn in place, a few times a second."""

    def __init__(self, progress: Progress) -> None:
        from rich.live import Live

        self._progress = progress
        self._live = Live(get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self) -> None:
        """Called after every write; the drawing is done by the display's own thread."""

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        progress = self._progress
        routes = Table(title="Ten worst routes so far", title_justify="left")
        for name in ("from", "to", "mean delay, min", "flights"):
            routes.add_column(name, justify="left" if name in ("from", "to") else "right")
        for origin, dest, mean_delay, flights in progress.worst_routes:
            routes.add_row(origin, dest, f"{mean_delay:.1f}", f"{flights:,}")
        changes = Table(title="Changes delivered", title_justify="left")
        changes.add_column("view")
        changes.add_column("rows", justify="right")
        for view, count in progress.changes.items():
            changes.add_row(view, f"{count:,}")
        bar = ProgressBar(total=max(progress.rows_total, 1), completed=progress.rows, width=60)
        return Group(progress.line(), bar, routes, changes)


def display(progress: Progress) -> PlainDisplay | LiveDisplay:
    """The display that fits where the output goes; without the package rich it is plain lines."""
    if sys.stdout.isatty():
        try:
            return LiveDisplay(progress)
        except ImportError:
            pass
    return PlainDisplay(progress)
