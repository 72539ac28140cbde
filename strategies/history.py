"""The history: what a searcher may know. Configurations as unit-cube rows, results by fidelity, what runs now.

n  configurations so far        d  columns of the space        m  results at one fidelity

Configurations are numbered from 0: first those of earlier experiments (`earlier.py`), if there are any, then the
trials in the order of their start. So trial k has the number `history.earlier + k` here, and without earlier results k.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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

    def add(self, number: int, value: float) -> None:
        self._trials.append(number)
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def trials(self) -> Sequence[int]:
        """(m,) numbers of configurations: rows of `History.X`."""
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
        self.earlier = 0  # configurations of earlier experiments
        self._rows = GrowingArray((dim,))
        self._results: dict[float, Results] = {}
        self._arrivals = GrowingArray((3,))
        self._pending: dict[int, float] = {}
        self.proposed = 0  # configurations that a searcher proposed; the others are copies of such, perturbed

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def X(self) -> Array:
        """(n, d) every configuration so far, by number; NaN where inactive. Read-only."""
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
    def arrivals(self) -> tuple[NDArray[np.intp], Array, Array]:
        """All results in order of arrival: numbers of configurations, fidelities, values; (n,) each. Read-only."""
        rows = self._arrivals.view
        return rows[:, 0].astype(np.intp), rows[:, 1], rows[:, 2]

    @property
    def pending(self) -> dict[int, float]:
        """The numbers of the configurations that run now, in the order in which they were sent off, with the milestone
        that each is heading for."""
        return self._pending

    def begin(self, rows: Iterable[Array], results: Iterable[tuple[int, float, float]]) -> None:
        """What earlier experiments found: configurations (d,), and (number, fidelity, value) in order of arrival.
        Before the first trial only."""
        for row in rows:
            self._rows.append(row)
        self.earlier = len(self._rows)
        for number, fidelity, value in results:
            self._add(number, fidelity, value)

    def start(self, row: Array, until: float, proposed: bool = True) -> None:
        """A new trial with the configuration `row` (d,), which a searcher proposed or not, runs to `until`."""
        self._pending[len(self._rows)] = until
        self.proposed += proposed
        self._rows.append(row)

    def apply(self, record: Record) -> None:
        """Fold in any record but a start, which needs its row: see `start`."""
        match record:
            case Resume() | Continue():
                self._pending[self.earlier + record.trial] = record.until
            case Reached():
                self._add(self.earlier + record.trial, record.fidelity, record.value)
            case Failed():
                self._add(self.earlier + record.trial, record.fidelity, np.inf)
            case _:
                pass

    def _add(self, number: int, fidelity: float, value: float) -> None:
        self._pending.pop(number, None)
        self._results.setdefault(fidelity, Results()).add(number, value)
        self._arrivals.append((number, fidelity, value))
