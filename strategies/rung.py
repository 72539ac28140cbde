"""The results at one milestone of one bracket, ranked. Part of the trial table; see trials.py."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sortedcontainers import SortedList  # type: ignore[import-untyped]  # it has no types

from strategies.ranking import Standings, total_violation

Entry = tuple[float, int]  # a value, or another number to minimise, and a trial


class Sorted:
    """Entries in their order, sorted when they are asked for: many rungs are never asked."""

    def __init__(self) -> None:
        self._sorted = SortedList()  # into a list of 100,000 it takes 20 times as long to insert
        self._new: list[Any] = []

    def add(self, entry: Any) -> None:
        self._new.append(entry)

    def remove(self, entry: Any) -> None:
        if self._new and self._new[-1] == entry:
            self._new.pop()
        else:
            self.entries.remove(entry)

    @property
    def entries(self) -> Any:
        """Ascending."""
        if self._new:
            if len(self._new) == 1:
                self._sorted.add(self._new[0])
            else:
                self._sorted.update(self._new)
            self._new.clear()
        return self._sorted


class Rung:
    """One metric, no constraints: values rank.

    entered: trials that were ever sent to this milestone.
    values: trial -> value, in the order of arrival.
    ended: trials that were stopped here, or failed on their way, and that none replaces; in this order.
    paused: trials that pause here.
    finite: how many results are numbers.
    """

    def __init__(self) -> None:
        self.entered = 0
        self.values: dict[int, float] = {}
        self._means = Sorted()
        self.ended: dict[int, None] = {}
        self.paused: set[int] = set()
        self.finite = 0
        self._ranking = Sorted()
        self._here = Sorted()

    @property
    def ranking(self) -> Sequence[Entry]:
        """All results, best first; ties go to the earlier trial, failures (inf) come last."""
        ranking: Sequence[Entry] = self._ranking.entries
        return ranking

    @property
    def here(self) -> Sequence[Entry]:
        """The part of the ranking that is neither failed, nor stopped, nor sent on from here."""
        here: Sequence[Entry] = self._here.entries
        return here

    def add(
        self, value: float, trial: int, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        """A result; see `actions.Reached`."""
        self._ranking.add((value, trial))
        self.values[trial] = value
        if math.isfinite(value):
            self._here.add((value, trial))
            self.finite += 1

    @property
    def means(self) -> Sequence[float]:
        """Of each trial with a number here, the mean of its values up to here; ascending."""
        means: Sequence[float] = self._means.entries
        return means

    def add_mean(self, mean: float) -> None:
        self._means.add(mean)

    def leave(self, trial: int) -> None:
        """A trial with a result here was stopped or sent on."""
        entry = (self.values[trial], trial)
        if math.isfinite(entry[0]):
            self._here.remove(entry)

    def rank(self, trial: int) -> int:
        """The 1-based rank of a trial."""
        return int(self._ranking.entries.bisect_left((self.values[trial], trial))) + 1

    def least_rank(self, trial: int) -> int:
        """The best rank that the trial can still have when more results have arrived."""
        return self.rank(trial)

    def top(self, k: int) -> list[int]:
        """The best `k` trials, best first, none of them failed."""
        return [trial for _, trial in self.ranking[: min(k, self.finite)]]

    def scores(self, trials: Iterable[int]) -> list[float]:
        """Of trials without failures a number each that ranks them as the results here do, whatever others there
        are."""
        return [self.values[trial] for trial in trials]


class ConstrainedRung(Rung):
    """Several metrics, or constraints: who is dominated by fewest ranks first (`strategies.ranking`).

    Ranks change when others arrive, so they are worked out when they are asked for.
    """

    def __init__(self, objectives: int) -> None:
        super().__init__()
        self._standings = Standings(objectives)
        self._trials: list[int] = []
        self._indices: dict[int, int] = {}
        self._left: set[int] = set()
        self._known = (0, 0)  # results and trials that left, of which the next two were made
        self._ranked: list[Entry] = []
        self._ranked_here: list[Entry] = []

    @property
    def ranking(self) -> Sequence[Entry]:
        self._sort()
        return self._ranked

    @property
    def here(self) -> Sequence[Entry]:
        self._sort()
        return self._ranked_here

    def add(
        self, value: float, trial: int, values: Sequence[float] | None = None, excess: Sequence[float] | None = None
    ) -> None:
        self.values[trial] = value
        self.finite += math.isfinite(value)
        self._indices[trial] = len(self._trials)
        self._trials.append(trial)
        self._standings.add(*outcome(value, values, excess, self._standings.objectives))

    def leave(self, trial: int) -> None:
        self._left.add(trial)

    def rank(self, trial: int) -> int:
        return int(self._standings.places[self._indices[trial]]) + 1

    def least_rank(self, trial: int) -> int:
        """All that dominate it now rank before it for ever: whatever dominates them dominates it."""
        return int(self._standings.dominators[self._indices[trial]]) + 1

    def scores(self, trials: Iterable[int]) -> list[float]:
        places: list[float] = self._standings.among([self._indices[trial] for trial in trials]).scores().tolist()
        return places

    def _sort(self) -> None:
        known = (len(self._trials), len(self._left))
        if known != self._known:
            ranked = [self._trials[i] for i in self._standings.order]
            self._ranked = [(float(place), trial) for place, trial in enumerate(ranked)]
            self._ranked_here = [entry for entry in self._ranked[: self.finite] if entry[1] not in self._left]
            self._known = known


def outcome(
    value: float, values: Sequence[float] | None, excess: Sequence[float] | None, objectives: int
) -> tuple[Sequence[float], float]:
    """What a result is to `Standings`: its values, and its total violation."""
    if math.isinf(value):
        return [math.inf] * objectives, math.inf
    return [value] * objectives if values is None else values, total_violation(excess or ())
