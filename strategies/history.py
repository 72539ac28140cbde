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
from strategies.ranking import Standings
from strategies.rung import outcome

Array = NDArray[np.float64]


class Results:
    """Results at one fidelity, in the order of their arrival."""

    def __init__(self) -> None:
        self._trials: list[int] = []
        self._values = GrowingArray(())

    def add(
        self, number: int, value: float, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        """A result; see `actions.Reached`."""
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

    def ranked(self, which: Sequence[int]) -> list[int]:
        """Of some results, by index, those that are numbers, best first; ties go to the earlier in `which`."""
        values = self._values.view[list(which)]
        order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
        return [which[i] for i in order]


class ConstrainedResults(Results):
    """Results with several metrics, or constraints. Their values are the places that they have among all of them."""

    def __init__(self, objectives: int) -> None:
        super().__init__()
        self._standings = Standings(objectives)

    def add(
        self, number: int, value: float, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        super().add(number, value)
        self._standings.add(*outcome(value, values, excess, self._standings.objectives))

    @property
    def values(self) -> Array:
        """(m,) the place of each, from 0; inf where the trial failed. They change with every result."""
        return self._standings.scores()

    def ranked(self, which: Sequence[int]) -> list[int]:
        """See `Results.ranked`: as if there were no others."""
        places = self._standings.among(which).scores()
        order = np.argsort(places, kind="stable")[: int(np.isfinite(places).sum())]
        return [which[i] for i in order]


class History:
    """Append-only; searchers read it and never write.

    A searcher may cache what it derives from `results(fidelity)` by that fidelity and its length: results
    are never changed or removed.

    With several metrics or constraints the values there are places in the ranking (`strategies.ranking`), which most
    searchers need not know: they only want to know which are good. Those that fold one result after another must ask
    for `ranked` instead, since places change.

    objectives, constraints: how many.  plain: one metric, no constraints.
    """

    def __init__(self, dim: int, objectives: int = 1, constraints: int = 0) -> None:
        self.objectives, self.constraints = objectives, constraints
        self.plain = objectives == 1 and not constraints
        self._outcomes = GrowingArray((objectives + constraints,))
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
    def outcomes(self) -> tuple[Array, Array]:
        """Of all results in order of arrival the minimised values (n, objectives), and by how much each constraint is
        violated (n, constraints): see `actions.Reached`. inf where failed. Read-only."""
        if self.plain:
            values = self._arrivals.view[:, 2:]
            return values, values[:, :0]
        rows = self._outcomes.view
        return rows[:, : self.objectives], rows[:, self.objectives :]

    @property
    def pending(self) -> dict[int, float]:
        """The numbers of the configurations that run now, in the order in which they were sent off, with the milestone
        that each is heading for."""
        return self._pending

    def begin(
        self,
        rows: Iterable[Array],
        results: Sequence[tuple[int, float, float]],
        more: Sequence[tuple[Sequence[float] | None, Sequence[float] | None]] = (),
    ) -> None:
        """What earlier experiments found: configurations (d,), and (number, fidelity, value) in order of arrival, with
        (values, excess) of each, if there are several metrics or constraints. Before the first trial only."""
        for row in rows:
            self._rows.append(row)
        self.earlier = len(self._rows)
        for result, further in zip(results, more or [(None, None)] * len(results), strict=True):
            self._add(*result, *further)

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
                self._add(self.earlier + record.trial, record.fidelity, record.value, record.values, record.excess)
            case Failed():
                self._add(self.earlier + record.trial, record.fidelity, np.inf)
            case _:
                pass

    def _add(
        self,
        number: int,
        fidelity: float,
        value: float,
        values: Sequence[float] | None = None,
        excess: Sequence[float] | None = None,
    ) -> None:
        self._pending.pop(number, None)
        self._arrivals.append((number, fidelity, value))
        if fidelity not in self._results:
            self._results[fidelity] = Results() if self.plain else ConstrainedResults(self.objectives)
        self._results[fidelity].add(number, value, values, excess)
        if not self.plain:
            self._outcomes.append([*(values or [value] * self.objectives), *(excess or [np.inf] * self.constraints)])
