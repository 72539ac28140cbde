"""The history: what a searcher may know. Configurations as unit-cube rows, results by fidelity, what runs now.

n  trials started so far        d  columns of the space        m  results at one fidelity
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.actions import Continue, Failed, Reached, Record, Resume
from strategies.growing import GrowingArray

Array = NDArray[np.float64]


class Results:
    """Results at one fidelity, in the order of their arrival."""

    def __init__(self) -> None:
        self._trials: list[int] = []
        self._values = GrowingArray(())

    def add(self, trial: int, value: float) -> None:
        self._trials.append(trial)
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def trials(self) -> Sequence[int]:
        """(m,) trial numbers."""
        return self._trials

    @property
    def values(self) -> Array:
        """(m,) minimised values; inf where the trial failed. Read-only."""
        return self._values.view


class History:
    """Append-only; searchers read it and never write.

    A searcher may cache what it derives from `results(fidelity)` by that fidelity and its length: results
    are never changed or removed.
    """

    def __init__(self, dim: int) -> None:
        self._rows = GrowingArray((dim,))
        self._results: dict[float, Results] = {}
        self._pending: dict[int, float] = {}
        self.proposed = 0  # configurations that a searcher proposed; the others are copies of such, perturbed

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def X(self) -> Array:
        """(n, d) every configuration started so far, by trial number; NaN where inactive. Read-only."""
        return self._rows.view

    @property
    def fidelities(self) -> list[float]:
        """The fidelities that have results, lowest first."""
        return sorted(self._results)

    def results(self, fidelity: float) -> Results:
        return self._results[fidelity]

    def at(self, fidelity: float) -> tuple[Array, Array]:
        """X (m, d) and y (m,) of the results at `fidelity`, in order of arrival."""
        results = self._results[fidelity]
        return self.X[list(results.trials)], results.values

    @property
    def pending(self) -> dict[int, float]:
        """Trials that run now, in the order in which they were sent off, with the milestone each is heading for."""
        return self._pending

    def start(self, row: Array, until: float, proposed: bool = True) -> None:
        """A new trial with the configuration `row` (d,), which a searcher proposed or not, runs to `until`."""
        self._pending[len(self._rows)] = until
        self.proposed += proposed
        self._rows.append(row)

    def apply(self, record: Record) -> None:
        """Fold in any record but a start, which needs its row: see `start`."""
        match record:
            case Resume() | Continue():
                self._pending[record.trial] = record.until
            case Reached():
                self._add(record.trial, record.fidelity, record.value)
            case Failed():
                self._add(record.trial, record.fidelity, np.inf)
            case _:
                pass

    def _add(self, trial: int, fidelity: float, value: float) -> None:
        self._pending.pop(trial, None)
        self._results.setdefault(fidelity, Results()).add(trial, value)
