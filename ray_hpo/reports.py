"""Reports in batches: how they travel from a worker to the journal, and how the journal keeps them.

A batch is the reports of one trial, one after another, that hold the same metrics. It is columns rather than rows, in
JSON text that is made once, on the worker, so that a driver keeps up with hundreds of thousands of reports a second:

    {"step": [1.0, 2.0], "time": [1795247177.3, 1795247178.1], "metrics": {"loss": [0.7, 0.5]}}
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Row = tuple[float, float, dict[str, Any]]  # step, time, metrics

_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one at every call


@dataclass(frozen=True)
class Reports:
    """`count` reports of a trial, from the step `first` on.

    step, time, metrics: of the last one.  columns: all of them, as JSON.
    """

    trial: int
    count: int
    first: float
    step: float
    time: float
    metrics: dict[str, Any]
    columns: str

    @classmethod
    def of(cls, trial: int, rows: list[Row]) -> Reports:
        """From rows with the same metrics in each, at least one."""
        step, time, metrics = rows[-1]
        steps, times, each = zip(*rows, strict=True)
        values = {name: [row[name] for row in each] for name in metrics}
        columns = _encode({"step": steps, "time": times, "metrics": values})
        return cls(trial, len(rows), steps[0], step, time, metrics, columns)

    def after(self, step: float) -> Reports | None:
        """Those beyond `step`; None if there are none."""
        if self.first > step:
            return self
        new = [row for row in rows_of(self.columns) if row[0] > step]
        return Reports.of(self.trial, new) if new else None


def in_batches(trial: int, rows: Iterable[Row]) -> list[Reports]:
    """Reports in their order, as few batches as can be."""
    return [Reports.of(trial, list(alike)) for _, alike in itertools.groupby(rows, key=lambda row: list(row[2]))]


def rows_of(columns: str) -> Iterator[Row]:
    """The reports in a batch's columns."""
    body = json.loads(columns)
    names, values = list(body["metrics"]), body["metrics"].values()
    each = zip(*values, strict=True) if names else itertools.repeat(())
    for step, time, row in zip(body["step"], body["time"], each, strict=False):
        yield step, time, dict(zip(names, row, strict=True))
