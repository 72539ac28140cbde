"""Reports in batches: how they travel from a worker to the journal, and how the journal keeps them.

A batch is the reports of one trial, one after another, that hold the same metrics. It is columns rather than rows, in
JSON text that is made once, on the worker, so that a driver keeps up with hundreds of thousands of reports a second:

    {"step": [1.0, 2.0], "time": [1795247177.3, 1795247178.1], "metrics": {"loss": [0.7, 0.5]}}
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

Row = tuple[float, float, dict[str, Any]]  # step, time, metrics

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one at every call


class Reports:
    """`count` reports of a trial, from the step `first` on.  step, time, metrics: of the last one."""

    __slots__ = ("_columns", "_rows", "count", "first", "metrics", "step", "time", "trial")

    def __init__(self, trial: int, rows: list[Row]) -> None:
        """From rows with the same metrics in each, at least one."""
        self.trial = trial
        self.count = len(rows)
        self.first = rows[0][0]
        self.step, self.time, self.metrics = rows[-1]
        self._rows: list[Row] = rows
        self._columns = ""

    @property
    def columns(self) -> str:
        """All of them, as JSON."""
        if not self._columns:
            steps, times, each = zip(*self._rows, strict=True)
            values = {name: [row[name] for row in each] for name in self.metrics}
            self._columns = _encode({"step": steps, "time": times, "metrics": values})
        return self._columns

    def after(self, step: float) -> Reports | None:
        """Those beyond `step`; None if there are none."""
        if self.first > step:
            return self
        new = [row for row in self._rows or rows_of(self.columns) if row[0] > step]
        return Reports(self.trial, new) if new else None

    def __getstate__(self) -> tuple[Any, ...]:
        """What travels: the JSON, and not the rows."""
        return self.trial, self.count, self.first, self.step, self.time, self.metrics, self.columns

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.trial, self.count, self.first, self.step, self.time, self.metrics, self._columns = state
        self._rows = []


def in_batches(trial: int, rows: Iterable[Row]) -> list[Reports]:
    """Reports in their order, as few batches as can be."""
    return [Reports(trial, list(alike)) for _, alike in itertools.groupby(rows, key=lambda row: list(row[2]))]


def rows_of(columns: str) -> Iterator[Row]:
    """The reports in a batch's columns."""
    body = json.loads(columns)
    names, values = list(body["metrics"]), body["metrics"].values()
    each = zip(*values, strict=True) if names else itertools.repeat(())
    for step, time, row in zip(body["step"], body["time"], each, strict=False):
        yield step, time, dict(zip(names, row, strict=True))
